//! The client with nodes that the test plays, and the thread with a socket that does.

use super::client::Client;
use super::{Engines, Node};
use crate::mail::{Described, EngineFailed, Letter, Mail, Party, Role};
use crate::net::post::Post;
use crate::slab::Handle;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

const WAIT_MS: u32 = 1_000;

fn nodes(count: u16) -> Vec<Node> {
    let node = |number| Node { address: ([127, 0, 0, 1], 22_000 + number).into(), weight: 1 };
    (0..count).map(node).collect()
}

/// A client whose nodes have answered their first ping.
fn client(count: u16) -> Client {
    let mut client = Client::new(&nodes(count), WAIT_MS, 0);
    client.handle_timeout(0);
    for (node, ping) in std::mem::take(&mut client.output.datagrams) {
        client.handle_datagram(0, node, &answer(&ping, "d6:result4:ponge"));
    }
    client
}

fn ticket(index: u32) -> Handle {
    Handle { index, generation: 1 }
}

fn letter(index: u32, session: &str, role: Role, party: Party) -> Letter {
    let source = IpAddr::from([192, 0, 2, 1]);
    let described = Described { role, party, source, sdp: format!("v=0 {index}\r\n").into_bytes().into() };
    Letter::Engine { ticket: ticket(index), session: session.into(), described }
}

fn offer(index: u32, session: &str) -> Letter {
    letter(index, session, Role::Offer, Party::Caller)
}

/// What a node says to a request.
fn answer(request: &[u8], dictionary: &str) -> Vec<u8> {
    let cookie = request.split(|&byte| byte == b' ').next().unwrap();
    [cookie, b" ", dictionary.as_bytes()].concat()
}

const TAKEN: &str = "d3:sdp3:new6:result2:oke";

/// What left besides pings: to which node, and the command.
fn sent(client: &mut Client) -> Vec<(usize, String, Vec<u8>)> {
    let command = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let commands = ["ping", "offer", "answer", "delete"];
        let named = |name: &&&str| text.contains(&format!("7:command{}:{name}", name.len()));
        commands.iter().find(named).map_or(text.clone(), |name| (*name).to_owned())
    };
    let datagrams = std::mem::take(&mut client.output.datagrams).into_iter();
    datagrams
        .map(|(node, bytes)| (node, command(&bytes), bytes))
        .filter(|(_, command, _)| command != "ping")
        .collect()
}

/// The one request that left.
fn one(client: &mut Client, command: &str) -> (usize, Vec<u8>) {
    let mut all = sent(client);
    assert_eq!(all.iter().map(|(_, command, _)| command.as_str()).collect::<Vec<_>>(), [command]);
    let (node, _, bytes) = all.remove(0);
    (node, bytes)
}

/// What the shards were told, by the number of the ticket.
type Told = (u32, Result<Box<[u8]>, EngineFailed>);

fn mail(client: &mut Client) -> Vec<Told> {
    let mail = client.output.mail.drain(..).map(|(shard, mail)| match mail {
        Mail::Engine { ticket, outcome } => {
            assert_eq!(shard, 3);
            (ticket.index, outcome)
        }
        other => panic!("{other:?}"),
    });
    mail.collect()
}

/// Lets time pass in steps of a timer's.
fn pass(client: &mut Client, from_ms: u64, to_ms: u64) {
    for now in from_ms..=to_ms {
        client.handle_timeout(now);
    }
}

#[test]
fn a_call_keeps_its_node_and_is_asked_about_one_thing_after_another() {
    let mut client = client(3);
    client.handle_letter(0, 3, offer(1, "call"));
    client.handle_letter(0, 3, letter(2, "call", Role::Answer, Party::Callee));
    client.handle_letter(0, 3, Letter::EngineOver { session: "call".into() });
    let (node, request) = one(&mut client, "offer");
    assert!(!request.windows(6).any(|part| part == b"to-tag"), "nobody else is known to it");
    client.handle_datagram(5, node, &answer(&request, TAKEN));
    assert_eq!(mail(&mut client), [(1, Ok(b"new"[..].into()))]);
    let (other, request) = one(&mut client, "answer");
    assert!(request.windows(6).any(|part| part == b"to-tag"));
    assert_eq!(other, node);
    client.handle_datagram(9, node, &answer(&request, TAKEN));
    client.handle_datagram(9, node, &answer(&request, TAKEN));
    assert_eq!(mail(&mut client), [(2, Ok(b"new"[..].into()))], "once");
    let (other, request) = one(&mut client, "delete");
    assert_eq!(other, node);
    client.handle_datagram(9, node, &answer(&request, "d6:result2:oke"));
    assert!(client.is_idle());
}

#[test]
fn a_request_is_sent_again_and_given_up_in_time() {
    let mut client = client(1);
    client.handle_letter(0, 3, offer(1, "call"));
    let (_, first) = one(&mut client, "offer");
    for (from, to) in [(1, 100), (101, 300), (301, 700)] {
        pass(&mut client, from, to - 1);
        assert_eq!(sent(&mut client), []);
        pass(&mut client, to, to);
        assert_eq!(one(&mut client, "offer").1, first, "byte for byte: the node knows it by its cookie");
    }
    pass(&mut client, 701, 999);
    assert_eq!(mail(&mut client), []);
    pass(&mut client, 1_000, 1_000);
    assert_eq!(mail(&mut client), [(1, Err(EngineFailed::Unavailable))]);
    assert_eq!((client.tally.retransmissions, client.tally.timeouts, client.nodes_up()), (3, 1, 0));
    // The node is down: the next is told so at once.
    sent(&mut client);
    client.handle_letter(1_001, 3, offer(2, "other"));
    assert_eq!(mail(&mut client), [(2, Err(EngineFailed::Unavailable))]);
    assert_eq!(sent(&mut client), []);
}

#[test]
fn an_offer_that_nobody_answers_goes_to_another_node() {
    let mut client = client(2);
    client.handle_letter(0, 3, offer(1, "call"));
    let (dead, _) = one(&mut client, "offer");
    pass(&mut client, 1, 499);
    sent(&mut client);
    pass(&mut client, 500, 500);
    let (other, request) = one(&mut client, "offer");
    assert_ne!(other, dead);
    client.handle_datagram(510, other, &answer(&request, TAKEN));
    assert_eq!(mail(&mut client), [(1, Ok(b"new"[..].into()))]);
    client.handle_letter(600, 3, letter(2, "call", Role::Answer, Party::Callee));
    assert_eq!(one(&mut client, "answer").0, other);
    // All others go there too, at once.
    for index in 0..20 {
        client.handle_letter(600, 3, offer(10 + index, &format!("call {index}")));
    }
    assert!(sent(&mut client).iter().all(|(node, ..)| *node == other));
    assert_eq!(client.tally.moved, 1);
}

#[test]
fn a_node_that_is_up_again_is_told_which_calls_went_on_without_it() {
    let mut client = client(2);
    client.handle_letter(0, 3, offer(1, "call"));
    let (still, _) = one(&mut client, "offer");
    pass(&mut client, 1, 500);
    let (other, _, request) = sent(&mut client).pop().unwrap();
    client.handle_datagram(501, other, &answer(&request, TAKEN));
    assert_ne!(other, still);
    pass(&mut client, 501, 1_000);
    let pings = std::mem::take(&mut client.output.datagrams);
    let (_, ping) = pings.iter().find(|(node, _)| *node == still).unwrap();
    client.handle_datagram(1_001, still, &answer(ping, "d6:result4:ponge"));
    let (node, request) = one(&mut client, "delete");
    assert_eq!(node, still);
    assert!(String::from_utf8_lossy(&request).contains("7:call-id4:call"));
    assert_eq!(client.nodes_up(), 2);
    // The one that has the call keeps it.
    client.handle_letter(1_002, 3, letter(2, "call", Role::Answer, Party::Callee));
    assert_eq!(one(&mut client, "answer").0, other);
}

#[test]
fn a_node_that_is_gone_loses_its_calls_at_once() {
    let mut client = client(2);
    client.handle_letter(0, 3, offer(1, "call"));
    let (gone, request) = one(&mut client, "offer");
    client.handle_datagram(1, gone, &answer(&request, TAKEN));
    client.handle_letter(2, 3, letter(2, "call", Role::Answer, Party::Callee));
    one(&mut client, "answer");
    client.handle_refusal(3, gone);
    let _ = mail(&mut client);
    assert_eq!(client.nodes_up(), 1);
    // An answer has nowhere to go; the next offer makes the call known elsewhere.
    client.handle_letter(4, 3, letter(3, "call", Role::Answer, Party::Callee));
    assert_eq!(mail(&mut client), [(3, Err(EngineFailed::Unavailable))]);
    client.handle_letter(5, 3, letter(4, "call", Role::Offer, Party::Callee));
    let (other, request) = one(&mut client, "offer");
    assert_ne!(other, gone);
    assert!(!request.windows(6).any(|part| part == b"to-tag"));
}

#[test]
fn pings_say_who_is_down_and_who_is_up_again() {
    let mut client = client(1);
    pass(&mut client, 1, 3_999);
    assert_eq!(client.nodes_up(), 1, "two are missed");
    pass(&mut client, 4_000, 4_000);
    assert_eq!(client.nodes_up(), 0);
    let pings = std::mem::take(&mut client.output.datagrams);
    assert_eq!(pings.len(), 4);
    client.handle_datagram(4_001, 0, &answer(&pings[0].1, "d6:result4:ponge"));
    assert_eq!(client.nodes_up(), 0, "an old answer");
    client.handle_datagram(4_001, 0, &answer(&pings[3].1, "d6:result4:ponge"));
    assert_eq!(client.nodes_up(), 1);
}

#[test]
fn weights_are_kept_to() {
    let mut nodes = nodes(2);
    nodes[1].weight = 3;
    let mut client = Client::new(&nodes, WAIT_MS, 0);
    for index in 0..4_000 {
        client.handle_letter(0, 3, offer(index, &format!("a {index}")));
    }
    let heavy = sent(&mut client).iter().filter(|(node, ..)| *node == 1).count();
    assert!((2_800..3_200).contains(&heavy), "{heavy}");
}

#[test]
fn a_description_that_no_node_reads_is_refused_and_a_full_node_is_passed_by() {
    let mut client = client(2);
    client.handle_letter(0, 3, offer(1, "call"));
    let (node, request) = one(&mut client, "offer");
    let unread = "d12:error-reason19:Failed to parse SDP6:result5:errore";
    client.handle_datagram(1, node, &answer(&request, unread));
    assert_eq!(mail(&mut client), [(1, Err(EngineFailed::Refused))]);
    assert_eq!(one(&mut client, "delete").0, node, "it may have made ports of it");
    client.handle_letter(2, 3, offer(2, "other"));
    let (full, request) = one(&mut client, "offer");
    client.handle_datagram(3, full, &answer(&request, "d6:result10:load limite"));
    let (other, request) = one(&mut client, "offer");
    assert_ne!(other, full);
    client.handle_datagram(4, other, &answer(&request, "d6:result10:load limite"));
    assert_eq!(mail(&mut client), [(2, Err(EngineFailed::Unavailable))]);
    assert_eq!(client.nodes_up(), 2);
}

#[test]
fn what_is_no_answer_is_ignored() {
    let mut client = client(2);
    client.handle_letter(0, 3, offer(1, "call"));
    let (node, request) = one(&mut client, "offer");
    client.handle_datagram(1, 1 - node, &answer(&request, TAKEN));
    for wrong in [&b""[..], b" ", b"1_1 d6:result2:oke", b"x", &answer(&request, "d6:result2:ok")] {
        client.handle_datagram(1, node, wrong);
    }
    assert_eq!(mail(&mut client), []);
    client.handle_datagram(2, node, &answer(&request, TAKEN));
    assert_eq!(mail(&mut client).len(), 1);
}

/// What may end a node is not told to any.
#[test]
fn a_description_that_is_too_large_is_refused_without_asking() {
    let mut client = client(2);
    let source = IpAddr::from([192, 0, 2, 1]);
    let sdp = [&b"v=0\r\n"[..], &b"m=audio 9 RTP/SAVP 0\r\n".repeat(80)].concat();
    let described = Described { role: Role::Offer, party: Party::Caller, source, sdp: sdp.into() };
    client.handle_letter(0, 3, Letter::Engine { ticket: ticket(1), session: "call".into(), described });
    client.handle_letter(0, 3, Letter::EngineOver { session: "call".into() });
    assert_eq!(sent(&mut client), []);
    assert_eq!(mail(&mut client), [(1, Err(EngineFailed::Refused))]);
    assert!(client.is_idle());
}

#[test]
fn a_node_that_answers_others_stays_up_though_it_leaves_one_unanswered() {
    let mut client = client(2);
    client.handle_letter(0, 3, offer(1, "poison"));
    let (first, _) = one(&mut client, "offer");
    for now in 1..=1_000 {
        client.handle_timeout(now);
        for (node, bytes) in std::mem::take(&mut client.output.datagrams) {
            if bytes.ends_with(b"d7:command4:pinge") {
                client.handle_datagram(now, node, &answer(&bytes, "d6:result4:ponge"));
            }
        }
    }
    assert_eq!(mail(&mut client), [(1, Err(EngineFailed::Unavailable))]);
    assert_eq!((client.nodes_up(), client.tally.timeouts), (2, 2));
    // Its own call went on to the other, and it is told that it may forget it.
    client.handle_letter(1_000, 3, offer(2, "poison"));
    assert_eq!(one(&mut client, "offer").0, first);
}

#[test]
fn a_node_that_loses_a_call_to_another_is_told_so() {
    // It was down meanwhile.
    let mut client = client(2);
    client.handle_letter(0, 3, offer(1, "call"));
    let (gone, request) = one(&mut client, "offer");
    client.handle_datagram(1, gone, &answer(&request, TAKEN));
    client.handle_refusal(2, gone);
    client.handle_letter(3, 3, letter(2, "call", Role::Offer, Party::Callee));
    let (other, request) = one(&mut client, "offer");
    client.handle_datagram(4, other, &answer(&request, TAKEN));
    client.handle_timeout(1_000);
    let pings = std::mem::take(&mut client.output.datagrams);
    let (_, ping) = pings.iter().find(|(node, _)| *node == gone).unwrap();
    client.handle_datagram(1_001, gone, &answer(ping, "d6:result4:ponge"));
    assert_eq!(one(&mut client, "delete").0, gone);
    // It sheds load.
    client.handle_letter(1_002, 3, letter(3, "call", Role::Offer, Party::Caller));
    let (full, request) = one(&mut client, "offer");
    assert_eq!(full, other);
    client.handle_datagram(1_003, full, &answer(&request, "d6:result10:load limite"));
    let (next, request) = one(&mut client, "offer");
    assert_eq!(next, gone);
    client.handle_datagram(1_004, next, &answer(&request, TAKEN));
    assert_eq!(one(&mut client, "delete").0, full);
    client.handle_letter(1_005, 3, Letter::EngineOver { session: "call".into() });
    assert_eq!(one(&mut client, "delete").0, next);
}

#[test]
fn the_thread_asks_a_node_and_ends_when_it_is_told_to() {
    let node = UdpSocket::bind("127.0.0.1:0").unwrap();
    node.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let nodes = [Node { address: node.local_addr().unwrap(), weight: 1 }];
    let post = Arc::new(Post::default());
    assert!(post.post(0, offer(0, "early")).is_err(), "nobody reads it yet");
    let engines = Engines::start(&nodes, 10_000, Arc::clone(&post)).unwrap();
    post.post(0, offer(1, "call")).unwrap();
    let mut buffer = [0; 2_048];
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let (length, source) = node.recv_from(&mut buffer).unwrap();
        let request = &buffer[..length];
        let is_ping = request.windows(4).any(|part| part == b"ping");
        let said = if is_ping { "d6:result4:ponge" } else { TAKEN };
        node.send_to(&answer(request, said), source).unwrap();
        if !seen.contains(&is_ping) {
            seen.push(is_ping);
        }
    }
    post.post(0, Letter::EngineOver { session: "call".into() }).unwrap();
    engines.end();
    // The delete goes out, whatever is told in between.
    loop {
        let (length, source) = node.recv_from(&mut buffer).unwrap();
        let request = &buffer[..length];
        if request.windows(6).any(|part| part == b"delete") {
            node.send_to(&answer(request, "d6:result2:oke"), source).unwrap();
            break;
        }
    }
    engines.stop();
    assert!(post.post(0, offer(2, "late")).is_err());
    assert!(post.undelivered() >= 1, "the mail, for no shard runs");
    let tally = post.engines.tally();
    assert_eq!((tally.nodes, tally.requests), (1, 2));
}
