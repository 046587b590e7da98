//! Two sides and a relay between them that does to packets what it is told to.

use super::*;
use crate::args::Cli;
use crate::rtp::PACKET_BYTES;
use crate::slab::Handle;
use clap::Parser;

const MS: u64 = 1_000_000;
const ORIGIN: Origin = Origin { run: 0xabcdef, lane: 1 };

fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new([10, 0, 0, 9].into(), port)
}

/// Where the relay hears and sends, towards the caller and towards the called party.
const RELAY: [u16; 2] = [30_000, 30_002];

fn call(number: u64) -> Id {
    Id { origin: ORIGIN, handle: Handle::from_bits(1 << 32 | number) }
}

type Sent = (usize, SocketAddrV4, [u8; PACKET_BYTES]);

struct World {
    now_ns: u64,
    media: Media,
    caller: Claim,
    called: Claim,
}

impl World {
    /// A call whose two sides talk from now on.
    fn new(flags: &[&str]) -> World {
        let fixed = ["loadgen", "--flow", "answer", "--rtp", "--hold", "1s"];
        let plan = Cli::parse_from(fixed.iter().chain(flags)).options.plan();
        let mut media = Media::new(&plan, ORIGIN, &[20_000, 20_002], &[20_004, 20_006]);
        let caller = media.claim(true, Some(call(1)), None).expect("a port");
        let called = media.claim(false, Some(call(1)), Some(at(RELAY[1]))).expect("a port");
        let mut world = World { now_ns: 7 * MS, media, caller, called };
        world.media.aim(caller, at(RELAY[0]));
        world.media.start(caller, world.now_ns);
        world.media.start(called, world.now_ns);
        world
    }

    /// Lets time pass; what was sent comes back, in order.
    fn pass(&mut self, span_ns: u64) -> Vec<Sent> {
        let end_ns = self.now_ns + span_ns;
        let mut sent = Vec::new();
        while let Some(next_ns) = self.media.next_ns().filter(|next_ns| *next_ns <= end_ns) {
            self.now_ns = next_ns.max(self.now_ns);
            let now_ns = self.now_ns;
            self.media.handle_timeout(
                now_ns,
                || now_ns,
                |place, far, packet| {
                    sent.push((place, far, *packet.first_chunk().expect("a packet's length")));
                    true
                },
            );
        }
        self.now_ns = end_ns;
        sent
    }

    /// Brings a packet to the other side after `delay_ns`, as the relay does.
    fn relay(&mut self, sent: &Sent, delay_ns: u64) {
        let (to, from) = if sent.0 == 0 { (2, RELAY[1]) } else { (0, RELAY[0]) };
        let sent_ns = rtp::read(&sent.2).expect("a packet of ours").sent_ns;
        self.media.handle_packet(sent_ns + delay_ns, to, at(from), &sent.2);
    }

    fn account(&self) -> &Account {
        self.media.account.as_ref().expect("there is sound")
    }
}

#[test]
fn both_sides_send_fifty_packets_a_second_to_where_they_are_told_and_hear_the_others() {
    let mut world = World::new(&[]);
    let sent = world.pass(1_100 * MS);
    for (place, relay) in [(0, RELAY[0]), (2, RELAY[1])] {
        let times: Vec<u64> = sent
            .iter()
            .filter(|one| one.0 == place)
            .inspect(|one| assert_eq!(one.1, at(relay)))
            .map(|one| rtp::read(&one.2).expect("a packet of ours").sent_ns)
            .collect();
        assert_eq!(times.len(), 50);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 20 * MS), "{times:?}");
        assert!((7 * MS..=28 * MS).contains(&times[0]), "{times:?}");
    }
    for one in &sent {
        world.relay(one, 3 * MS);
    }
    let account = world.account();
    assert_eq!((account.sent, account.received, account.calls_at_once_max), (100, 100, 1));
    let wrong = [
        account.out_of_order,
        account.duplicated,
        account.corrupted,
        account.other_call,
        account.wrong_source,
        account.after_call,
    ];
    assert_eq!(wrong, [0; 6]);
    assert_eq!((account.delays().min(), account.delays().len()), (3_000, 100));
    assert_eq!(world.media.next_ns(), None, "nothing more is to be sent");
}

#[test]
fn losses_repetitions_and_disorder_are_counted_each_as_what_they_are() {
    let mut world = World::new(&[]);
    let sent: Vec<Sent> = world.pass(1_100 * MS).into_iter().filter(|one| one.0 == 0).collect();
    // 0, 2, 1, 3, 3, 5 …: one late, one twice, packet 4 never.
    for place in [0, 2, 1, 3, 3].into_iter().chain(5..50) {
        world.relay(&sent[place], MS);
    }
    let account = world.account();
    assert_eq!((account.received, account.out_of_order, account.duplicated), (49, 1, 1));
    assert_eq!(account.delays().len(), 49, "a duplicate has no delay");
}

#[test]
fn what_is_not_this_calls_packet_from_the_right_place_is_not_received() {
    let mut world = World::new(&[]);
    let sent = world.pass(40 * MS);
    let from_caller = sent.iter().find(|one| one.0 == 0).expect("one was sent");
    let now_ns = world.now_ns;
    world.media.handle_packet(now_ns, 2, at(RELAY[0]), &from_caller.2);
    assert_eq!(world.account().wrong_source, 1, "from another port of the relay");
    world.media.handle_packet(now_ns, 0, at(RELAY[0]), &from_caller.2);
    assert_eq!(world.account().other_call, 1, "the caller's own, thrown back");
    world.media.handle_packet(now_ns, 2, at(RELAY[1]), &from_caller.2[..100]);
    assert_eq!(world.account().corrupted, 1, "cut short");
    world.media.handle_packet(now_ns, 1, at(RELAY[0]), &from_caller.2);
    assert_eq!(world.account().wrong_source, 2, "to a port that no call had");
    let mut label = rtp::read(&from_caller.2).expect("a packet of ours");
    world.relay(from_caller, MS);
    for (call, ssrc) in [(call(2), label.ssrc), (call(1), label.ssrc + 1)] {
        (label.call, label.ssrc) = (Some(call), ssrc);
        world.media.handle_packet(now_ns, 2, at(RELAY[1]), Packet::new(8).write(&label));
    }
    let account = world.account();
    assert_eq!((account.other_call, account.received), (3, 1), "another call's, another stream's");
}

#[test]
fn before_the_answer_a_caller_takes_packets_from_where_the_answer_then_says() {
    for (from, wrong_source) in [(RELAY[0], 0), (RELAY[1], 1)] {
        let mut world = World::new(&[]);
        let early = world.media.claim(true, Some(call(2)), None).expect("a port");
        let label = Label {
            call: Some(call(2)),
            is_from_caller: false,
            is_after_the_end: false,
            ssrc: 1,
            sequence: 0,
            sent_ns: world.now_ns,
        };
        let now_ns = world.now_ns;
        world.media.handle_packet(now_ns, 1, at(from), Packet::new(8).write(&label));
        world.media.handle_packet(now_ns, 1, at(from), &[0x80; PACKET_BYTES]);
        world.media.aim(early, at(RELAY[0]));
        let account = world.account();
        assert_eq!((account.received, account.before_answer, account.corrupted), (1, 1, 0));
        assert_eq!(account.wrong_source, wrong_source);
    }
}

#[test]
fn what_comes_after_the_end_is_counted_and_the_port_is_another_calls_two_seconds_later() {
    let mut world = World::new(&[]);
    let sent = world.pass(40 * MS);
    let packet = sent.iter().find(|one| one.0 == 0).expect("one was sent").2;
    let (end_ns, called) = (world.now_ns, world.called);
    world.media.end(called, end_ns);
    world.media.end(called, end_ns + MS);
    let hear = |world: &mut World, after_ms: u64| {
        world.media.handle_packet(end_ns + after_ms * MS, 2, at(RELAY[1]), &packet);
        let account = world.account();
        (account.received, account.duplicated, account.after_call)
    };
    assert_eq!(hear(&mut world, 200), (1, 0, 0), "it was on its way");
    assert_eq!(hear(&mut world, 201), (1, 0, 1));
    world.media.end(world.caller, end_ns);
    assert!(world.pass(1_999 * MS).is_empty(), "a call that is over is silent");
    assert_eq!(world.media.quiet_ns(), end_ns + GRACE_NS);
    assert_eq!(hear(&mut world, 1_999), (1, 0, 2));
    let other = world.media.claim(false, None, None).expect("the other port").port;
    assert_eq!((other, world.media.claim(false, None, None)), (20_006, None));
    world.pass(2 * MS);
    assert_eq!(hear(&mut world, 2_001), (1, 0, 3), "free, and still listened on");
    assert_eq!(world.account().silent_sides, 1, "the caller heard nothing");
    assert_eq!(world.media.claim(false, None, None).map(|claim| claim.port), Some(20_004));
    assert_eq!(world.account().calls_at_once_max, 1);
}

#[test]
fn a_tail_goes_on_after_the_end_and_is_told_apart() {
    let mut world = World::new(&["--rtp-tail", "400ms"]);
    world.pass(1_100 * MS);
    let end_ns = world.now_ns;
    world.media.end(world.caller, end_ns);
    world.media.end(world.called, end_ns);
    let tail = world.pass(1_000 * MS);
    assert_eq!(tail.len(), 40);
    assert_eq!((world.account().sent, world.account().sent_after_call), (100, 40));
    for one in &tail {
        world.relay(one, MS);
    }
    let account = world.account();
    // What comes in the first 200 ms may have been on its way.
    assert_eq!((account.received, account.duplicated), (0, 0));
    assert!((18..=22).contains(&account.after_call), "{}", account.after_call);
}

#[test]
fn streams_are_spread_over_the_beats() {
    let plan = Cli::parse_from(["loadgen", "--rtp", "--hold", "10s"]).options.plan();
    let ports: Vec<u16> = (0..240).map(|n| 20_000 + 2 * n).collect();
    let mut media = Media::new(&plan, ORIGIN, &ports, &[]);
    for number in 0..240 {
        let claim = media.claim(true, Some(call(number)), Some(at(40_000))).expect("a port");
        media.start(claim, 0);
    }
    let mut at_a_time = std::collections::BTreeMap::<u64, usize>::new();
    let mut now_ns = 0;
    while now_ns < 100 * MS {
        now_ns = media.next_ns().expect("calls go on");
        media.handle_timeout(
            now_ns,
            || now_ns,
            |_, _, _| {
                *at_a_time.entry(now_ns).or_default() += 1;
                true
            },
        );
    }
    assert!(at_a_time.len() >= 5 * BEATS - 1, "{} times", at_a_time.len());
    assert!(at_a_time.values().all(|count| *count == 3), "{at_a_time:?}");
}

#[test]
fn a_stall_is_caught_up_and_told() {
    let mut world = World::new(&[]);
    let first_ns = world.media.next_ns().expect("there is something to send");
    let (late_ns, mut sent) = (first_ns + 100 * MS, 0);
    while world.media.next_ns().is_some_and(|next_ns| next_ns <= late_ns) {
        world.media.handle_timeout(
            late_ns,
            || late_ns,
            |_, _, _| {
                sent += 1;
                true
            },
        );
    }
    assert_eq!(sent, 11, "six of the one side, five of the other, which is a beat behind");
    assert_eq!((world.account().lag_max_ns, world.account().late), (100 * MS, 8));
}
