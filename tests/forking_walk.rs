//! Random walks: the phones of a group, and those of the number that it forwards to, ring, answer, refuse,
//! fall silent and cross each other and the caller's CANCEL. The caller gets one final response, nothing
//! stays behind, and the whole trace obeys the audit.

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::callee::Leg;
use lab::caller::{Caller, Invite};
use lab::engine::Mood;
use lab::group::{self, C1, C2, binding, phone};
use lab::party::{Party, sdp};
use lab::peer::{A, B, C, Peer, Setup};
use lab::sip::Sip;
use lab::trace::{Entry, Way};
use lab::{Lab, T1X64_MS};
use ringway::settings::{AckPolicy, LateAnswer, MediaMode};
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

const FAILURES: [&str; 11] = [
    "486 Busy Here",
    "404 Not Found",
    "408 Request Timeout",
    "480 Temporarily Unavailable",
    "302 Moved Temporarily",
    "401 Unauthorized",
    "500 Server Internal Error",
    "503 Service Unavailable",
    "603 Decline",
    "486 Busy Here",
    "422 Session Interval Too Small",
];

/// A phone that was sent an INVITE.
struct Ringing {
    leg: Leg,
    party: Party,
    /// It has sent something with its tag.
    is_early: bool,
    is_over: bool,
    rseq: u32,
    /// Its last reliable response has no PRACK yet.
    awaits_prack: bool,
    /// It has given its answer reliably.
    has_answered: bool,
    /// It says nothing yet.
    is_silent: bool,
    /// When it was called.
    called_ms: u64,
}

impl Ringing {
    fn new(lab: &mut Lab, peer: Peer, (invite, called_ms): (&Sip, u64), dice: &mut Dice) -> Ringing {
        let tag = format!("11{}{}", peer.name, lab.serial());
        let leg = Leg { peer, invite: invite.clone(), tag, cseq: 222 };
        let party = Party::callee(&leg);
        Ringing {
            leg,
            party,
            is_early: false,
            is_over: false,
            rseq: 0,
            awaits_prack: false,
            has_answered: false,
            is_silent: dice.roll(8) == 0,
            called_ms,
        }
    }

    /// Timer B has given it up: what it might say now would be to nobody.
    fn forget(&mut self, lab: &Lab) {
        let said = lab.trace.iter().any(|entry| {
            let of_leg = entry.sip.as_ref().filter(|_| entry.way == Way::In);
            of_leg.is_some_and(|sip| sip.branch == self.leg.invite.branch)
        });
        self.is_over |= !said && lab.now_ms() + 500 > self.called_ms + T1X64_MS;
    }

    fn act(&mut self, lab: &mut Lab, dice: &mut Dice) {
        self.forget(lab);
        if self.is_over || self.is_silent {
            return;
        }
        let reliably = self.leg.invite.one("Supported").contains("100rel") && !self.awaits_prack;
        let media = sdp(self.leg.cseq as u16);
        match dice.roll(16) {
            0 => drop(self.leg.respond(lab, "100 Trying")),
            1 | 2 => self.early(lab, "180 Ringing", ""),
            3 => self.early(lab, "183 Session Progress", &media),
            4 => self.early(lab, "182 Queued", ""),
            5 if reliably => self.reliable(lab, "180 Ringing", ""),
            6 | 7 if reliably && !self.has_answered => {
                self.has_answered = true;
                self.reliable(lab, "183 Session Progress", &media);
            }
            8 if !self.awaits_prack => self.fail(lab, FAILURES[dice.roll(FAILURES.len())]),
            9 if dice.roll(3) == 0 && !self.awaits_prack => self.answer(lab),
            11 if self.is_early => self.repeat(lab),
            12 if self.is_early && self.has_answered && !self.awaits_prack => {
                drop(self.party.update(lab, &sdp(15)));
            }
            10 if self.is_early => drop(self.party.request(lab, "INFO", &[], "")),
            _ => {}
        }
    }

    fn early(&mut self, lab: &mut Lab, status: &str, body: &str) {
        self.is_early = true;
        self.leg.respond_with(lab, status, &[], if self.has_answered { "" } else { body });
    }

    /// The network brings its last response once more.
    fn repeat(&mut self, lab: &mut Lab) {
        let is_last = |entry: &&Entry| {
            let sip = entry.sip.as_ref().filter(|_| entry.way == Way::In);
            sip.is_some_and(|sip| sip.branch == self.leg.invite.branch && sip.status.is_some())
        };
        let last = lab.trace.iter().rev().find(is_last).map(|entry| entry.bytes.clone());
        if let Some(last) = last {
            lab.send_bytes(self.leg.peer.address, &last);
        }
    }

    fn reliable(&mut self, lab: &mut Lab, status: &str, body: &str) {
        (self.is_early, self.awaits_prack) = (true, true);
        self.rseq += 1;
        self.leg.reliable(lab, status, self.rseq, body);
    }

    fn fail(&mut self, lab: &mut Lab, status: &str) {
        self.is_over = true;
        let lines: &[&str] = match &status[..3] {
            "422" => &["Min-SE: 300"],
            "480" => &["Reason: Q.850;cause=19"],
            _ => &[],
        };
        self.leg.respond_with(lab, status, lines, "");
    }

    fn answer(&mut self, lab: &mut Lab) {
        self.is_over = true;
        let body = if self.has_answered { String::new() } else { sdp(self.leg.cseq as u16) };
        self.leg.respond_with(lab, "200 OK", &["Allow: INVITE, ACK, CANCEL, BYE, UPDATE"], &body);
    }

    /// Takes a request of the server's in this leg.
    fn take(&mut self, lab: &mut Lab, sip: &Sip, dice: &mut Dice) {
        match sip.method.as_str() {
            "ACK" => {}
            // It has not heard of it.
            "CANCEL" if dice.roll(10) == 0 => {}
            "CANCEL" => {
                self.leg.answer(lab, sip, "200 OK");
                if !self.is_over && dice.roll(4) == 0 {
                    self.answer(lab);
                } else if !self.is_over {
                    self.fail(lab, "487 Request Terminated");
                }
            }
            "PRACK" => {
                self.awaits_prack = false;
                self.leg.answer(lab, sip, "200 OK");
            }
            _ => {
                let body = if sip.body.is_empty() { String::new() } else { sdp(8) };
                self.party.respond(lab, sip, "200 OK", &[], &body);
            }
        }
    }
}

struct World {
    lab: Lab,
    caller: Caller,
    party: Option<Party>,
    /// Reliable responses that the caller has not acknowledged yet.
    pracks: Vec<Sip>,
    /// The 2xx that it has not acknowledged yet.
    answer: Option<Sip>,
    /// Its INVITE had no offer, and no answer of its has gone out yet.
    owes_answer: bool,
    is_final: bool,
    is_acked: bool,
    is_over: bool,
    /// An answer has come or gone reliably: another offer may follow.
    has_answer: bool,
    phones: Vec<Ringing>,
    seen: usize,
    taken: HashSet<Vec<u8>>,
}

impl World {
    fn new(dice: &mut Dice, mode: MediaMode) -> World {
        let engine = mode == MediaMode::Engine;
        let mut lab = Lab::with(|setup: &mut Setup| {
            if mode == MediaMode::Anchor {
                setup.anchor();
                // Now and then there are not enough.
                setup.media_pairs = [3, 6, 100, 100][dice.roll(4)];
            }
            if dice.roll(2) == 0 {
                setup.only_registers(B);
            }
            for number in 1..=1 + dice.roll(4) {
                let q = [1_000, 1_000, 500, 0][dice.roll(4)];
                setup.bind_as(phone(number), binding(phone(number), q));
            }
            for peer in [C1, C2] {
                if dice.roll(2) == 0 {
                    setup.bind(peer, [1_000, 700][dice.roll(2)]);
                }
            }
            if dice.roll(4) == 0 {
                setup.only_registers(C);
            }
            setup.settings.send_181 = dice.roll(3) > 0;
            setup.settings.trying_limit_ms = [10_000, 60_000][dice.roll(2)];
            setup.settings.no_answer_ms = [3_000, 20_000][dice.roll(2)];
            if dice.roll(3) == 0 {
                setup.settings.late_answer = LateAnswer::Keep;
            }
            if dice.roll(3) == 0 {
                setup.settings.ack = AckPolicy::Immediate;
            }
            if engine {
                setup.settings.media.mode = MediaMode::Engine;
            }
        });
        if engine {
            lab.engine.mood = Mood::Holds;
            // What was sent and what came count when the engine has taken them.
            lab.audits = false;
        }
        let mut invite = Invite::new(&mut lab, A, B.number);
        let lines: &[&str] = match dice.roll(3) {
            0 => &["Supported: 100rel", "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"],
            1 => &["Require: 100rel"],
            _ => &[],
        };
        invite.lines = lines.iter().map(|line| line.to_string()).collect();
        let offers_late = dice.roll(4) == 0;
        if offers_late {
            invite.body.clear();
        }
        let caller = invite.send(&mut lab);
        World {
            lab,
            caller,
            party: None,
            pracks: Vec::new(),
            answer: None,
            owes_answer: offers_late,
            is_final: false,
            is_acked: false,
            is_over: false,
            has_answer: false,
            phones: Vec::new(),
            seen: 0,
            taken: HashSet::new(),
        }
    }

    /// Everybody takes what was sent since the last look.
    fn deliver(&mut self, dice: &mut Dice) {
        while self.seen < self.lab.trace.len() {
            let Entry { way, peer, sip, bytes, at_ms, .. } = self.lab.trace[self.seen].clone();
            self.seen += 1;
            let (Way::Out, Some(sip)) = (way, sip) else { continue };
            let is_repeated = !self.taken.insert(bytes);
            if peer == A.address {
                self.send_to_caller(&sip, is_repeated);
            } else if sip.is_request() && !is_repeated {
                self.send_to_phone(peer, (&sip, at_ms), dice);
            }
        }
        self.lab.sent();
    }

    fn send_to_phone(&mut self, address: std::net::SocketAddr, (sip, at_ms): (&Sip, u64), dice: &mut Dice) {
        let known = [B, C].into_iter().chain(group::all()).find(|peer| peer.address == address);
        let peer = known.expect("a phone");
        if sip.method == "INVITE" {
            return self.phones.push(Ringing::new(&mut self.lab, peer, (sip, at_ms), dice));
        }
        let of_leg = |phone: &&mut Ringing| phone.leg.invite.call_id == sip.call_id;
        // After a 422 there are two of one leg: the later one is meant.
        let phone = self.phones.iter_mut().rev().find(of_leg).expect("a leg");
        phone.take(&mut self.lab, sip, dice);
    }

    fn send_to_caller(&mut self, sip: &Sip, is_repeated: bool) {
        let Some(status) = sip.status else {
            if let (Some(party), false) = (&self.party, is_repeated || sip.method == "ACK") {
                self.is_over |= sip.method == "BYE";
                let body = if sip.body.is_empty() { String::new() } else { sdp(7) };
                party.respond(&mut self.lab, sip, "200 OK", &[], &body);
            }
            return;
        };
        if sip.method != "INVITE" || status == 100 {
            return;
        }
        if self.party.is_none() {
            self.party = Some(Party::caller(&self.caller, &with_contact(sip)));
        }
        match status {
            ..200 if sip.has("RSeq") && !is_repeated => self.pracks.push(sip.clone()),
            ..200 => {}
            200..300 if !is_repeated => (self.answer, self.is_final) = (Some(sip.clone()), true),
            200..300 => {}
            _ => {
                (self.is_final, self.is_over) = (true, true);
                let ack = self.caller.ack_refusal_text(sip);
                self.lab.send(A, &ack);
            }
        }
    }

    fn caller_acts(&mut self, dice: &mut Dice) {
        match (dice.roll(12), &mut self.party) {
            (0..5, _) => self.catch_up(),
            (7, Some(party)) if !self.is_over && self.has_answer => {
                drop(party.update(&mut self.lab, &sdp(12)));
            }
            (8, Some(party)) if !self.is_final && !self.is_over && dice.roll(12) == 0 => {
                self.is_over = true;
                party.request(&mut self.lab, "BYE", &[], "");
            }
            (5, Some(party)) if !self.is_over => drop(party.request(&mut self.lab, "INFO", &[], "")),
            (6, _) if !self.is_final && dice.roll(12) == 0 => self.caller.cancel(&mut self.lab),
            _ => {}
        }
    }

    /// The caller acknowledges what it has got.
    fn catch_up(&mut self) {
        let Some(party) = &mut self.party else { return };
        for response in std::mem::take(&mut self.pracks) {
            if !self.is_over {
                self.has_answer |= !response.body.is_empty();
                let body = answer_to(&mut self.owes_answer, &response);
                party.prack(&mut self.lab, &response, &body);
            }
        }
        if let Some(answer) = self.answer.take() {
            let body = answer_to(&mut self.owes_answer, &answer);
            self.caller.answer = Some(answer);
            self.caller.ack(&mut self.lab, &body);
            self.is_acked = true;
        }
    }

    /// Everybody comes to an end; the caller hangs up, or gives up.
    fn finish(mut self, dice: &mut Dice) {
        self.lab.engine.mood = Mood::Works;
        self.lab.release_engine(self.lab.engine.held.len());
        let cancels = dice.roll(3) == 0;
        for round in 0..500 {
            self.deliver(dice);
            self.catch_up();
            for phone in &mut self.phones {
                phone.is_silent = false;
                phone.forget(&self.lab);
                if !phone.is_over && !phone.awaits_prack {
                    phone.fail(&mut self.lab, "486 Busy Here");
                }
            }
            self.deliver(dice);
            if round == 1 && cancels && !self.is_final {
                self.caller.cancel(&mut self.lab);
            }
            if round >= 5 && self.is_acked && !self.is_over {
                self.is_over = true;
                self.party.as_mut().expect("a dialog").request(&mut self.lab, "BYE", &[], "");
            }
            self.deliver(dice);
            self.lab.advance(500);
        }
        self.deliver(dice);
        assert!(self.is_final, "the INVITE was never answered");
        self.lab.finish();
    }
}

/// The answer to a late offer, once.
fn answer_to(owes_answer: &mut bool, response: &Sip) -> String {
    match *owes_answer && !response.body.is_empty() {
        true => {
            *owes_answer = false;
            sdp(7)
        }
        false => String::new(),
    }
}

/// A refusal without a Contact names the caller's dialog all the same.
fn with_contact(sip: &Sip) -> Sip {
    match sip.has("Contact") {
        true => sip.clone(),
        false => {
            let text =
                sip.text().replace("\r\nContent-Length", "\r\nContact: <sip:127.0.0.60>\r\nContent-Length");
            Sip::read(text.as_bytes()).expect("readable")
        }
    }
}

fn walk(seed: u64, steps: usize) {
    walk_in(seed, steps, MediaMode::Pass);
    walk_in(seed, steps, MediaMode::Anchor);
}

fn walk_in(seed: u64, steps: usize, mode: MediaMode) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut world = World::new(&mut dice, mode);
    for step in 0..steps {
        if mode == MediaMode::Anchor && step % 8 == 0 {
            world.lab.probe_media();
        }
        if mode == MediaMode::Engine && dice.roll(2) == 0 {
            let count = dice.roll(world.lab.engine.held.len() + 1);
            world.lab.release_engine(count);
        }
        world.deliver(&mut dice);
        match dice.roll(5) {
            0 => world.lab.advance([1, 40, 300, 1_000, 4_000][dice.roll(5)]),
            1 => world.caller_acts(&mut dice),
            _ if !world.phones.is_empty() => {
                let place = dice.roll(world.phones.len());
                world.phones[place].act(&mut world.lab, &mut dice);
            }
            _ => {}
        }
    }
    world.finish(&mut dice);
}

#[test]
fn short_walks_end_with_nothing_left() {
    for seed in 1..=200 {
        eprintln!("seed {seed}");
        walk(seed, 30);
    }
}

#[test]
fn walks_with_an_engine_that_takes_its_time_end_with_nothing_left() {
    for (seeds, steps) in [(2_001..=2_150, 30), (3_001..=3_040, 150)] {
        for seed in seeds {
            eprintln!("seed {seed}");
            walk_in(seed, steps, MediaMode::Engine);
        }
    }
}

#[test]
fn long_walks_end_with_nothing_left() {
    for seed in 1_001..=1_080 {
        eprintln!("seed {seed}");
        walk(seed, 150);
    }
}
