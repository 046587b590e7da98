//! Random walks: two user agents in a call say whatever they like whenever they like, repeat themselves,
//! cancel, cross each other and hang up. Every INVITE of theirs is answered, nothing stays behind, and the
//! whole trace obeys the audit.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::engine::Mood;
use lab::party::{Party, sdp, talk};
use lab::sip::Sip;
use lab::trace::{Entry, Way};
use lab::{Lab, T1X64_MS};
use ringway::metrics::Metrics;
use ringway::settings::MediaMode;
use std::collections::HashSet;

/// Numbers that look random and are the same each time (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % sides
    }
}

/// An INVITE of a side's own.
struct Asked {
    invite: Sip,
    /// A 1xx came: it may be cancelled.
    trying: bool,
    cancelled: bool,
    /// The 2xx, and the ACK once it was sent.
    accepted: Option<(Sip, Option<String>)>,
    refused: bool,
    /// When it was sent first and last.
    sent_ms: (u64, u64),
}

/// One user agent.
struct Agent {
    party: Party,
    asked: Vec<Asked>,
    /// What it has yet to answer.
    pending: Vec<Sip>,
    /// It hung up, or was hung up.
    over: bool,
}

impl Agent {
    fn new(party: Party) -> Agent {
        Agent { party, asked: Vec::new(), pending: Vec::new(), over: false }
    }

    /// Takes what was sent to it.
    fn take(&mut self, lab: &mut Lab, sip: &Sip, is_repeated: bool) {
        match (sip.status, sip.method.as_str()) {
            (None, "ACK") => {}
            (None, _) if is_repeated => {}
            (None, "CANCEL") => {
                self.party.answer(lab, sip, "200 OK");
                if let Some(place) = self.pending.iter().position(|invite| invite.branch == sip.branch) {
                    let invite = self.pending.remove(place);
                    self.party.answer(lab, &invite, "487 Request Terminated");
                }
            }
            (None, method) => {
                self.over |= method == "BYE";
                self.pending.push(sip.clone());
            }
            (Some(status), "INVITE") => self.take_response(lab, sip, status),
            _ => {}
        }
    }

    fn take_response(&mut self, lab: &mut Lab, sip: &Sip, status: u16) {
        let Some(asked) = self.asked.iter_mut().find(|asked| asked.invite.branch == sip.branch) else {
            return;
        };
        match status {
            ..200 => asked.trying = true,
            200..300 => match &asked.accepted {
                Some((_, Some(ack))) => self.party.send(lab, ack),
                Some((_, None)) => {}
                None => asked.accepted = Some((sip.clone(), None)),
            },
            _ => {
                asked.refused = true;
                self.party.ack_refusal(lab, &asked.invite, sip);
            }
        }
    }

    /// One step of its own.
    fn act(&mut self, lab: &mut Lab, dice: &mut Dice) {
        let port = dice.roll(60_000) as u16;
        let body = if dice.roll(2) == 0 { String::new() } else { sdp(port) };
        match dice.roll(14) {
            0 if !self.over => drop(self.party.update(lab, &body)),
            1 if !self.over => drop(self.party.request(lab, "INFO", &[], &body)),
            2 if !self.over && dice.roll(20) == 0 => self.hang_up(lab),
            3 | 4 if !self.over => self.ask(lab, &body),
            5 => self.cancel(lab, dice),
            6 | 7 => self.acknowledge(lab, dice),
            _ if !self.pending.is_empty() => {
                let place = dice.roll(self.pending.len());
                self.answer(lab, place, dice.roll(8));
            }
            _ => {}
        }
    }

    fn hang_up(&mut self, lab: &mut Lab) {
        self.over = true;
        self.party.request(lab, "BYE", &[], "");
    }

    fn ask(&mut self, lab: &mut Lab, body: &str) {
        let invite = self.party.invite(lab, body);
        self.asked.push(Asked {
            invite,
            trying: false,
            cancelled: false,
            accepted: None,
            refused: false,
            sent_ms: (lab.now_ms(), lab.now_ms()),
        });
    }

    /// Timers A and B: an INVITE that nothing was heard of goes out again.
    fn insist(&mut self, lab: &mut Lab) {
        let unheard = |asked: &&mut Asked| !asked.trying && !asked.refused && asked.accepted.is_none();
        for asked in self.asked.iter_mut().filter(unheard) {
            let (first_ms, last_ms) = asked.sent_ms;
            let now_ms = lab.now_ms();
            if now_ms >= last_ms + 500 && now_ms + 4_000 < first_ms + T1X64_MS {
                asked.sent_ms.1 = now_ms;
                self.party.resend(lab, &asked.invite);
            }
        }
    }

    fn cancel(&mut self, lab: &mut Lab, dice: &mut Dice) {
        let open = |asked: &&mut Asked| asked.trying && !asked.refused && !asked.cancelled;
        let Some(asked) = self.asked.iter_mut().filter(open).find(|asked| asked.accepted.is_none()) else {
            return;
        };
        if dice.roll(3) == 0 {
            asked.cancelled = true;
            self.party.cancel(lab, &asked.invite);
        }
    }

    fn acknowledge(&mut self, lab: &mut Lab, dice: &mut Dice) {
        for asked in &mut self.asked {
            let Some((answer, ack @ None)) = &mut asked.accepted else { continue };
            let is_late_offer = asked.invite.body.is_empty() && !answer.body.is_empty();
            let body = if is_late_offer { sdp(dice.roll(60_000) as u16) } else { String::new() };
            *ack = Some(self.party.ack(lab, &asked.invite, &body));
        }
    }

    /// Answers what it has to answer, one way or another.
    fn answer(&mut self, lab: &mut Lab, place: usize, way: usize) {
        let request = self.pending[place].clone();
        let body = if request.body.is_empty() && request.method != "INVITE" { String::new() } else { sdp(9) };
        let status = match (request.method.as_str(), way) {
            ("INVITE", 0) => "100 Trying",
            ("INVITE", 1) => "180 Ringing",
            ("INVITE" | "UPDATE", 2) => "491 Request Pending",
            ("INVITE" | "UPDATE", 3) => "488 Not Acceptable Here",
            ("INVITE" | "UPDATE", 4) if self.over => "481 Call/Transaction Does Not Exist",
            ("INFO", 5) => "500 Server Internal Error",
            _ => "200 OK",
        };
        let body = if status == "200 OK" && request.method != "INFO" { &*body } else { "" };
        self.party.respond(lab, &request, status, &[], body);
        if !status.starts_with('1') {
            self.pending.remove(place);
        }
    }
}

/// What both have been sent, and how much of it is lost.
struct Wire {
    seen: usize,
    taken: HashSet<Vec<u8>>,
    /// One message in so many is lost on the way to them; 0: none.
    loses: usize,
}

impl Wire {
    /// Both take what was sent to them since the last look.
    fn deliver(&mut self, lab: &mut Lab, agents: &mut [Agent; 2], dice: &mut Dice) {
        while self.seen < lab.trace.len() {
            let Entry { way, peer, sip, bytes, .. } = lab.trace[self.seen].clone();
            self.seen += 1;
            let (Way::Out, Some(sip)) = (way, sip) else { continue };
            if self.loses > 0 && dice.roll(self.loses) == 0 {
                continue;
            }
            let is_repeated = !self.taken.insert(bytes);
            let agent = agents.iter_mut().find(|agent| agent.party.peer.address == peer);
            agent.expect("one of the two").take(lab, &sip, is_repeated);
        }
        agents.iter_mut().for_each(|agent| agent.insist(lab));
        lab.sent();
    }
}

/// Something that this agent sent within the last seconds once more; not an INVITE that was refused nor an
/// UPDATE, which are tests of their own (`crossings.rs`).
fn repeat(lab: &mut Lab, agent: &Agent, dice: &mut Dice) {
    let now_ms = lab.now_ms();
    let is_refused = |entry: &&Entry| {
        let branch = entry.sip.as_ref().map(|sip| sip.branch.as_str());
        agent.asked.iter().any(|asked| asked.refused && Some(asked.invite.branch.as_str()) == branch)
    };
    let its = lab.trace.iter().filter(|entry| entry.way == Way::In && entry.at_ms + 5_000 > now_ms);
    let its = its.filter(|entry| entry.peer == agent.party.peer.address && !is_refused(entry));
    let its = its.filter(|entry| entry.sip.as_ref().is_some_and(|sip| sip.summary() != "UPDATE"));
    let recent: Vec<&Entry> = its.collect();
    if !recent.is_empty() {
        let bytes = recent[dice.roll(recent.len())].bytes.clone();
        lab.send_bytes(agent.party.peer.address, &bytes);
    }
}

fn walk(seed: u64, steps: usize, loses: usize) {
    walk_in(Lab::new(), seed, steps, loses);
    let anchored = Lab::with(|setup| {
        setup.anchor();
        // Enough for the call, and for a stream or two that come and go.
        setup.media_pairs = 4;
    });
    walk_in(anchored, seed, steps, loses);
}

fn walk_in(mut lab: Lab, seed: u64, steps: usize, loses: usize) -> Metrics {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let allow = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE";
    let timers = ["Supported: timer", "Session-Expires: 90;refresher=uas", allow];
    let callee = ["Session-Expires: 90;refresher=uac", allow];
    let with_timers = dice.roll(2) == 0;
    let (a, c) = if with_timers { talk(&mut lab, &timers, &callee) } else { talk(&mut lab, &[], &[]) };
    let mut agents = [Agent::new(a), Agent::new(c)];
    let mut wire = Wire { seen: lab.trace.len(), taken: HashSet::new(), loses };
    let is_slow = !lab.audits;
    if is_slow {
        lab.engine.mood = Mood::Holds;
    }
    for step in 0..steps {
        if is_slow && dice.roll(2) == 0 {
            let count = dice.roll(lab.engine.held.len() + 1);
            lab.release_engine(count);
        }
        match dice.roll(6) {
            0 => lab.advance([1, 40, 300, 600, 3_000][dice.roll(5)]),
            1 if dice.roll(3) == 0 => repeat(&mut lab, &agents[dice.roll(2)], &mut dice),
            _ => agents[dice.roll(2)].act(&mut lab, &mut dice),
        }
        wire.deliver(&mut lab, &mut agents, &mut dice);
        if step % 8 == 0 && lab.media_ports_used() > 0 {
            lab.probe_media();
        }
    }
    finish(lab, agents, wire, &mut dice)
}

/// Both come to an end: everything is answered and acknowledged, and one hangs up.
fn finish(mut lab: Lab, mut agents: [Agent; 2], mut wire: Wire, dice: &mut Dice) -> Metrics {
    let last = dice.roll(2);
    lab.engine.mood = Mood::Works;
    lab.release_engine(lab.engine.held.len());
    for round in 0..400 {
        wire.deliver(&mut lab, &mut agents, dice);
        for agent in &mut agents {
            agent.acknowledge(&mut lab, dice);
            while !agent.pending.is_empty() {
                let way = if agent.over { 3 } else { 7 };
                agent.answer(&mut lab, 0, way);
            }
        }
        if round == 2 && !agents[last].over {
            agents[last].hang_up(&mut lab);
        }
        wire.deliver(&mut lab, &mut agents, dice);
        lab.advance(500);
    }
    lab.advance(2 * T1X64_MS);
    wire.deliver(&mut lab, &mut agents, dice);
    lab.sent();
    // What is lost may be a 200 that the BYE behind it has overtaken: then the audit alone can tell.
    for agent in agents.iter().filter(|_| wire.loses == 0) {
        let unanswered =
            agent.asked.iter().filter(|asked| !asked.refused && asked.accepted.is_none()).count();
        assert_eq!(unanswered, 0, "INVITEs that were never answered");
    }
    let metrics = lab.metrics();
    lab.finish();
    metrics
}

#[test]
fn short_walks_end_with_nothing_left() {
    for seed in 1..=150 {
        eprintln!("seed {seed}");
        walk(seed, 25, 0);
    }
}

#[test]
fn long_walks_end_with_nothing_left() {
    for seed in 1_001..=1_020 {
        eprintln!("seed {seed}");
        walk(seed, 250, 0);
    }
}

#[test]
fn walks_with_an_engine_that_takes_its_time_end_with_nothing_left() {
    let mut sum = Metrics::default();
    for (seeds, steps) in [(3_001..=3_150, 25), (4_001..=4_020, 250)] {
        for seed in seeds {
            eprintln!("seed {seed}");
            let mut lab = Lab::with(|setup| setup.settings.media.mode = MediaMode::Engine);
            // What was sent and what came count when the engine has taken them.
            lab.audits = false;
            sum.add(&walk_in(lab, seed, steps, 0));
        }
    }
    assert!(sum.requests_relayed > 500 && sum.media_engine_failures > 20 && sum.late_mail > 20, "{sum:?}");
}

#[test]
fn walks_on_a_wire_that_loses_messages_end_with_nothing_left() {
    for seed in 2_001..=2_080 {
        eprintln!("seed {seed}");
        walk(seed, 40, 5);
    }
}
