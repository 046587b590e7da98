//! Calls whose media a real rtpengine relays (Debian's rtpengine-daemon), with voices that go through it.
//! Without it every test that needs one passes as skipped.
#![cfg(feature = "server")]

#[path = "rtpengines/daemon.rs"]
mod daemon;
#[path = "rtpengines/phone.rs"]
mod phone;
#[expect(dead_code, reason = "each test file uses its part")]
mod stores;

use daemon::{Daemon, is_installed};
use phone::{Phone, place};
use std::net::{SocketAddr, UdpSocket};
use stores::process::Server;
use stores::wait_until;
use tempfile::TempDir;

/// A, B and C; B forwards to C when it is busy.
struct Lab {
    a: Phone,
    b: Phone,
    c: Phone,
    server: Server,
}

impl Lab {
    fn new(nodes: &[SocketAddr]) -> Lab {
        let [mut a, mut b, mut c] =
            [("1003", "127.0.0.137"), ("1004", "127.0.0.136"), ("1005", "127.0.0.138")]
                .map(|(number, host)| Phone::new(number, host));
        let nodes: Vec<String> = nodes.iter().map(|node| format!("udp:{node}")).collect();
        let media = format!("rtpengine:{}", nodes.join(","));
        let subscriber = |phone: &Phone, more: &str| {
            format!("number={0},contact=sip:{0}@{1}{more}", phone.number, phone.address())
        };
        let subscribers = [subscriber(&a, ""), subscriber(&b, ",busy=1005"), subscriber(&c, "")];
        // Long enough for a machine that is busy with other tests.
        let mut options = vec!["--media", &media, "--media-wait", "4000"];
        subscribers.iter().for_each(|subscriber| options.extend(["--subscriber", subscriber]));
        let server = Server::start(&options, || {});
        for phone in [&mut a, &mut b, &mut c] {
            phone.serve(server.address);
        }
        Lab { a, b, c, server }
    }

    /// A calls C with these streams.
    fn offers(&self, own: &str, streams: &str) {
        let (address, server) = (self.a.address(), self.server.address);
        let sdp =
            format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{streams}");
        self.a.send(&format!(
            "INVITE sip:1005@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {address};rport;branch=z9hG4bK{own}\r\n\
             From: <sip:1003@{server}>;tag={own}\r\nTo: <sip:1005@{server}>\r\nCall-ID: {own}@{address}\r\n\
             CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:1003@{address}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        ));
    }

    /// A calls C, who answers; both hear each other, and C hangs up.
    #[track_caller]
    fn call(&mut self, own: &str) {
        let Lab { a, c, .. } = self;
        a.invite("1005", own);
        let invite = c.expect("INVITE ", "INVITE");
        c.respond(&invite, "200 OK", &c.sdp("sendrecv"));
        let answer = a.expect("SIP/2.0 200 ", "INVITE");
        let dialog = a.dialog_of(&answer);
        a.request("ACK", 1, &dialog, "");
        c.expect("ACK ", "ACK");
        a.is_heard_by(c, &answer);
        c.is_heard_by(a, &invite);
        let cseq = a.ask("BYE", &dialog, "");
        let bye = c.expect("BYE ", "BYE");
        c.respond(&bye, "200 OK", "");
        a.expect("SIP/2.0 200 ", &format!("{cseq} BYE"));
    }
}

#[test]
fn a_forwarded_call_has_its_media_by_the_engine_from_the_first_183_to_the_bye() {
    if !is_installed("a_forwarded_call") {
        return;
    }
    let directory = TempDir::new().expect("a directory");
    let daemon = Daemon::start(directory.path());
    let Lab { mut a, b, c, server } = Lab::new(&[daemon.address]);
    a.invite("1004", "forwarded");
    let invite = b.expect("INVITE ", "INVITE");
    assert_eq!(place(&invite).ip(), daemon.address.ip());
    b.respond(&invite, "183 Session Progress", &b.sdp("sendrecv"));
    let early = a.expect("SIP/2.0 183 ", "INVITE");
    b.is_heard_by(&a, &invite);
    a.is_heard_by(&b, &early);
    // On to C, with the offer that the engine has: the caller keeps its port, and C has B's.
    b.respond(&invite, "486 Busy Here", "");
    b.expect("ACK ", "ACK");
    let second = c.expect("INVITE ", "INVITE");
    assert_eq!(place(&second), place(&invite));
    c.respond(&second, "180 Ringing", "");
    c.respond(&second, "200 OK", &c.sdp("sendrecv"));
    let answer = a.expect("SIP/2.0 200 ", "INVITE");
    assert_eq!(place(&answer), place(&early));
    let dialog = a.dialog_of(&answer);
    a.request("ACK", 1, &dialog, "");
    c.expect("ACK ", "ACK");
    a.is_heard_by(&c, &answer);
    c.is_heard_by(&a, &second);
    assert_eq!(daemon.calls(), 1);
    // B knows that port, and is not heard there any more once the engine knows where C is.
    b.is_unheard_by(&a, (&c, &second));
    // Hold and resume; ports stay.
    for (offered, answered) in [("sendonly", "recvonly"), ("sendrecv", "sendrecv")] {
        let cseq = a.ask("INVITE", &dialog, &a.sdp(offered));
        let held = c.expect("INVITE ", "INVITE");
        assert!(held.contains(&format!("\r\na={offered}\r\n")), "{held}");
        assert_eq!(place(&held), place(&second));
        c.respond(&held, "200 OK", &c.sdp(answered));
        let taken = a.expect("SIP/2.0 200 ", &format!("{cseq} INVITE"));
        assert!(taken.contains(&format!("\r\na={answered}\r\n")), "{taken}");
        assert_eq!(place(&taken), place(&answer));
        a.request("ACK", cseq, &dialog, "");
        c.expect("ACK ", "ACK");
        a.is_heard_by(&c, &taken);
    }
    c.is_heard_by(&a, &second);
    a.ask("BYE", &dialog, "");
    let bye = c.expect("BYE ", "BYE");
    c.respond(&bye, "200 OK", "");
    a.expect("SIP/2.0 200 ", "BYE");
    wait_until("the call's end", || daemon.calls() == 0);
    assert_eq!(server.figure("impossible_events_total"), 0);
    assert_eq!(server.figure("media_engine_failures_total"), 0);
}

#[test]
fn calls_go_by_another_engine_when_one_is_gone_or_stands_still() {
    if !is_installed("another_engine") {
        return;
    }
    let directory = TempDir::new().expect("a directory");
    let [mut one, other] = [(); 2].map(|()| Daemon::start(directory.path()));
    let mut lab = Lab::new(&[one.address, other.address]);
    lab.call("both");
    // One that stands still costs its callers half of the wait, and then nobody anything.
    one.signal(libc::SIGSTOP);
    for call in 0..4 {
        lab.call(&format!("still{call}"));
    }
    one.signal(libc::SIGCONT);
    lab.server.counts("media_engines_up", 2);
    // What it was asked for while it stood still it does now, and is told that it is over.
    wait_until("its calls' end", || one.calls() == 0);
    one.kill();
    for call in 0..4 {
        lab.call(&format!("gone{call}"));
    }
    wait_until("its calls' end", || other.calls() == 0);
    assert_eq!(lab.server.figure("media_engine_failures_total"), 0);
}

#[test]
fn an_offer_that_the_engine_cannot_rewrite_leaves_no_ports_there() {
    if !is_installed("an_offer_that_the_engine_cannot_rewrite") {
        return;
    }
    let directory = TempDir::new().expect("a directory");
    let daemon = Daemon::start(directory.path());
    let lab = Lab::new(&[daemon.address]);
    lab.offers("rewritten", &format!("\r\r{}", "m=audio 9 RTP/SAVP 0\n".repeat(20)));
    lab.a.expect("SIP/2.0 488 ", "INVITE");
    wait_until("the call's end", || daemon.calls() == 0);
}

/// rtpengine 10.5 ends with an assertion when it has to write a description of 100,000 bytes.
#[test]
fn an_offer_that_would_end_the_engine_is_refused() {
    if !is_installed("an_offer_that_would_end_the_engine") {
        return;
    }
    let directory = TempDir::new().expect("a directory");
    let daemon = Daemon::start(directory.path());
    let mut lab = Lab::new(&[daemon.address]);
    lab.offers("large", &"m=audio 9 RTP/SAVP 0\r\n".repeat(80));
    lab.a.expect("SIP/2.0 488 ", "INVITE");
    lab.call("small");
    wait_until("the call's end", || daemon.calls() == 0);
}

#[test]
fn without_an_engine_calls_get_503_until_there_is_one() {
    let nobody = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let lab = Lab::new(&[nobody]);
    let dialog = lab.a.invite("1005", "refused");
    let refusal = lab.a.expect("SIP/2.0 503 ", "INVITE");
    assert!(refusal.contains("\r\nRetry-After: "), "{refusal}");
    drop(dialog);
    lab.server.counts("media_engine_failures_total", 1);
    lab.server.counts("media_engines_up", 0);
}
