//! RFC 5359 §2.7–2.9 as oracles: the messages that its flows give to each party, in their order, with the
//! header fields that they show, against what each party gets from us. The RFC's server is a proxy that
//! forks; ours stands in the middle. Each difference that is meant is named below. Skipped by name without
//! the folder that `SIP_CORPORA` names.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

#[path = "corpora/folder.rs"]
mod folder;

use folder::{corpus, files, stem};
use lab::Lab;
use lab::callee::Leg;
use lab::caller::Caller;
use lab::peer::{A, B, C, Peer, Setup};
use ringway::directory::{Condition, Forwarding};
use ringway::service::Route;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a flow's message says of itself.
struct Message {
    start_line: String,
    names: BTreeSet<String>,
    cseq_method: String,
    call_id: String,
    from: String,
    to: String,
    max_forwards: Option<u32>,
    /// The host of the topmost Via, and how many there are.
    sent_by: String,
    vias: usize,
    has_body: bool,
}

impl Message {
    fn read(text: &str) -> Message {
        let unfolded = text.replace("\r\n", "\n").replace("\n ", " ");
        let (head, body) = unfolded.split_once("\n\n").unwrap_or((&unfolded, ""));
        let mut lines = head.lines();
        let start_line = lines.next().expect("a start line").to_string();
        let fields: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_string()))
            .collect();
        let all = |name: &str| fields.iter().filter(|field| field.0 == name).count();
        let one = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1.clone());
        let via = one("via").expect("a Via");
        let sent_by = via.split_whitespace().nth(1).expect("a host");
        let sent_by = sent_by.split([':', ';']).next().expect("a host").to_string();
        Message {
            start_line,
            cseq_method: one("cseq").expect("CSeq").split_whitespace().nth(1).expect("a method").into(),
            call_id: one("call-id").expect("Call-ID"),
            from: one("from").expect("From"),
            to: one("to").expect("To"),
            max_forwards: one("max-forwards").map(|text| text.parse().expect("a number")),
            sent_by,
            vias: all("via"),
            has_body: !body.trim().is_empty(),
            names: fields.into_iter().map(|field| field.0).collect(),
        }
    }

    /// As the laboratory writes it: `INVITE`, `181 INVITE`.
    fn summary(&self) -> String {
        match self.start_line.strip_prefix("SIP/2.0 ") {
            Some(status) => format!("{} {}", &status[..3], self.cseq_method),
            None => self.cseq_method.clone(),
        }
    }

    /// Whether the server sent it to the caller: a response with Alice's Via alone.
    fn is_for_caller(&self) -> bool {
        self.start_line.starts_with("SIP/2.0") && self.vias == 1 && self.sent_by.starts_with("client.atlanta")
    }

    /// Whether the server sent it to this host: a request that names it, on the server's own Via.
    fn is_for(&self, host: &str) -> bool {
        !self.start_line.starts_with("SIP/2.0") && self.sent_by == "ss1.example.com" && {
            let uri = self.start_line.split_whitespace().nth(1).expect("a URI");
            uri.split(['@', ';']).nth(1) == Some(host)
        }
    }
}

/// The messages of a section in the RFC's order; `None`: the folder is not there.
fn flow(section: &str) -> Option<Vec<Message>> {
    let folder = corpus(&format!("rfc5359 {section}"), "rfc-flows/rfc5359")?;
    let number = |path: &PathBuf| -> Option<u32> {
        let name = stem(path).strip_prefix(&format!("{section}__"))?;
        name.split('_').next()?.parse().ok()
    };
    let mut flow: Vec<(u32, PathBuf)> =
        files(&folder).into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
    flow.sort();
    assert!(!flow.is_empty(), "no messages of {section}");
    let read = |path: &Path| Message::read(&fs::read_to_string(path).expect("a message"));
    Some(flow.iter().map(|(_, path)| read(path)).collect())
}

/// What the flow's server gives to a party, without repetitions.
fn given(flow: &[Message], is_for: impl Fn(&Message) -> bool) -> Vec<&Message> {
    flow.iter().filter(|message| is_for(message)).collect()
}

/// What is meant to differ in the order, for the caller: the RFC's proxy relays the target's first 180 and so
/// do we behind a 181.
#[track_caller]
fn same_order(lab: &Lab, peer: Peer, expected: &[&Message]) {
    let expected: Vec<String> = expected.iter().map(|message| message.summary()).collect();
    assert_eq!(lab.sent_to(peer), expected, "to {}", peer.name);
}

/// Header fields that the RFC's messages show and ours mean to have not.
const NOT_OURS: [&str; 1] = [
    // A B2BUA is in every dialog by its Contact (RFC 3261 §12.1), and records no route.
    "record-route",
];

/// Every header field that the RFC shows in a message to a peer is in ours.
#[track_caller]
fn same_fields(lab: &Lab, peer: Peer, expected: &[&Message]) {
    let ours: Vec<&lab::sip::Sip> = lab
        .trace
        .iter()
        .filter(|entry| entry.way == lab::trace::Way::Out && entry.peer == peer.address)
        .filter_map(|entry| entry.sip.as_ref())
        .collect();
    for (ours, theirs) in ours.into_iter().zip(expected) {
        for name in theirs.names.iter().filter(|name| !NOT_OURS.contains(&name.as_str())) {
            assert!(ours.has(name), "{name} is missing in\n{}", ours.text());
        }
        let length: usize = ours.one("Content-Length").parse().expect("a number");
        assert_eq!(length > 0, theirs.has_body, "{}", theirs.summary());
    }
}

/// A calls B with a Max-Forwards of 70, as Alice does.
fn alice(lab: &mut Lab) -> Caller {
    let invite = lab::caller::Invite::new(lab, A, B.number).max_forwards(70);
    invite.line("Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY").send(lab)
}

fn lab(condition: Condition, target: &str) -> Lab {
    Lab::with(|setup: &mut Setup| {
        setup.subscriber(B).forwarding = Forwarding::default();
        setup.forward_on(condition, B, target);
        // The gateway of §2.7 is at C's address.
        setup.settings.forwarding.routes =
            vec![Route { prefix: "+1".into(), host: C.address.to_string().into(), destination: C.address }];
    })
}

/// The target rings and answers, and Alice hangs up.
fn talk(lab: &mut Lab, caller: &mut Caller, target: &Leg) {
    target.respond(lab, "180 Ringing");
    target.respond(lab, "200 OK");
    lab.sent();
    caller.answer = Some(lab.last_to(A));
    caller.ack(lab, "");
    caller.bye(lab);
    lab.sent();
    let bye = lab.last_to(target.peer);
    target.answer(lab, &bye, "200 OK");
}

#[track_caller]
fn compare(lab: &Lab, flow: &[Message], peers: &[(Peer, &str)]) {
    let caller = given(flow, Message::is_for_caller);
    same_order(lab, A, &caller);
    same_fields(lab, A, &caller);
    for &(peer, host) in peers {
        let theirs = given(flow, |message| message.is_for(host));
        assert!(!theirs.is_empty(), "the flow has nothing for {host}");
        same_order(lab, peer, &theirs);
        same_fields(lab, peer, &theirs);
    }
    kept_apart(lab, flow, peers);
}

/// Differences that are meant, each looked at on both sides: the proxy keeps Call-ID, From tag, To and the
/// Vias; a B2BUA has a dialog of its own with each party, and tells the target of the diversion (RFC 5806,
/// which the RFC's flows do not use).
#[track_caller]
fn kept_apart(lab: &Lab, flow: &[Message], peers: &[(Peer, &str)]) {
    let theirs = &flow[0];
    assert!(flow.iter().all(|message| message.call_id == theirs.call_id));
    let target = peers.last().expect("a target");
    let theirs = given(flow, |message| message.is_for(target.1))[0];
    let ours = lab.trace.iter().find(|entry| {
        entry.peer == target.0.address && entry.sip.as_ref().is_some_and(|sip| sip.summary() == "INVITE")
    });
    let ours = ours.and_then(|entry| entry.sip.as_ref()).expect("an INVITE");
    assert_ne!(ours.call_id, lab.trace[0].sip.as_ref().expect("the caller's INVITE").call_id);
    assert_eq!((theirs.vias, ours.all("Via").len()), (2, 1));
    // The proxy sends the number that was dialled on in To; ours names whom the leg calls.
    assert!(theirs.to.contains("bob@biloxi") && !ours.one("To").contains("1004@"));
    assert!(theirs.from.contains("alice") && ours.one("From").contains("1003"));
    assert!(!theirs.names.contains("diversion") && ours.has("Diversion"));
    // RFC 3261 §16.6 step 3 and SIP_RULES 9 agree: 70 becomes 69.
    assert_eq!(theirs.max_forwards, Some(69));
    assert_eq!(ours.one("Max-Forwards"), "69");
}

#[test]
fn section_2_7_unconditional() {
    let Some(flow) = flow("2.7") else { return };
    let mut lab = lab(Condition::Unconditional, "+19727293660");
    let mut caller = alice(&mut lab);
    let order = lab.sent();
    // F2 100, F3 181, F4 INVITE to the gateway.
    let theirs: Vec<String> = flow[1..4].iter().map(Message::summary).collect();
    assert_eq!(theirs, ["100 INVITE", "181 INVITE", "INVITE"]);
    assert_eq!(order, ["A 100 INVITE", "A 181 INVITE", "C INVITE"]);
    let invite = lab.last_to(C);
    // The RFC's Request-URI has user=phone; ours has what the route sets, and why the call comes (RFC 4458).
    assert!(flow[3].start_line.ends_with(":+19727293660@gw1.example.com;user=phone SIP/2.0"));
    assert_eq!(invite.request_uri, "sip:+19727293660@127.0.0.138:5060;cause=302");
    let gateway = Leg { peer: C, invite, tag: "765432".into(), cseq: 1 };
    talk(&mut lab, &mut caller, &gateway);
    compare(&lab, &flow, &[(C, "gw1.example.com")]);
    lab.finish();
}

#[test]
fn section_2_8_busy() {
    let Some(flow) = flow("2.8") else { return };
    let mut lab = lab(Condition::Busy, C.number);
    let mut caller = alice(&mut lab);
    // F2 INVITE and F3 100 are the other way round: a 100 leaves at once (RFC 3261 §17.2.1).
    assert_eq!(lab.sent(), ["A 100 INVITE", "B INVITE"]);
    let theirs: Vec<String> = flow[4..7].iter().map(Message::summary).collect();
    assert_eq!(theirs, ["ACK", "181 INVITE", "INVITE"]);
    let b = Leg { peer: B, invite: lab.last_to(B), tag: "3145678".into(), cseq: 1 };
    b.respond(&mut lab, "486 Busy Here");
    assert_eq!(lab.sent(), ["B ACK", "A 181 INVITE", "C INVITE"]);
    let c = Leg { peer: C, invite: lab.last_to(C), tag: "765432".into(), cseq: 1 };
    talk(&mut lab, &mut caller, &c);
    let target = target_of(&flow);
    compare(&lab, &flow, &[(B, "client.biloxi.example.com"), (C, &target)]);
    lab.finish();
}

#[test]
fn section_2_9_no_answer() {
    let Some(flow) = flow("2.9") else { return };
    let mut lab = lab(Condition::NoAnswer, C.number);
    let mut caller = alice(&mut lab);
    assert_eq!(lab.sent(), ["A 100 INVITE", "B INVITE"]);
    let b = Leg { peer: B, invite: lab.last_to(B), tag: "3145678".into(), cseq: 1 };
    b.respond(&mut lab, "180 Ringing");
    assert_eq!(lab.sent(), ["A 180 INVITE"]);
    lab.advance(20_000);
    let theirs: Vec<String> = flow[5..11].iter().map(Message::summary).collect();
    assert_eq!(theirs, ["CANCEL", "200 CANCEL", "487 INVITE", "ACK", "181 INVITE", "INVITE"]);
    // SIP_RULES 3: 181 and INVITE leave with the CANCEL; RFC 3261 §9.1: its 487 may never come.
    assert_eq!(lab.sent(), ["B CANCEL", "A 181 INVITE", "C INVITE"]);
    let cancel = lab.last_to(B);
    b.answer(&mut lab, &cancel, "200 OK");
    b.respond(&mut lab, "487 Request Terminated");
    assert_eq!(lab.sent(), ["B ACK"]);
    let c = Leg { peer: C, invite: lab.last_to(C), tag: "765432".into(), cseq: 1 };
    talk(&mut lab, &mut caller, &c);
    let target = target_of(&flow);
    compare(&lab, &flow, &[(B, "client.biloxi.example.com"), (C, &target)]);
    lab.finish();
}

/// Where the last INVITE of a flow goes.
fn target_of(flow: &[Message]) -> String {
    let mut invites = flow.iter().filter(|message| message.start_line.starts_with("INVITE "));
    let uri = invites.next_back().and_then(|message| message.start_line.split_whitespace().nth(1));
    uri.and_then(|uri| uri.split('@').nth(1)).expect("a host").into()
}
