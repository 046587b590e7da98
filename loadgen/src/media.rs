//! The sound of the calls of one thread: who holds which port, when which packet is due, and what is to be
//! said of a packet that came. Pure: no sockets, no clock.
//!
//! ```text
//!        claim            start              end               2 s
//!  Free ───────▶ Held ───────────▶ sending ───────▶ Ending ───────▶ Free
//! ```

use crate::call::{Id, Origin};
use crate::plan::{Plan, Rtp};
use crate::rtp::{self, Heard, INTERVAL_NS, Label, Order, Packet};
use crate::rtp_account::Account;
use std::collections::VecDeque;
use std::net::SocketAddrV4;

/// How long a port is listened on when its call is over, before another call gets it.
pub const GRACE_NS: u64 = 2_000_000_000;
/// What comes later than this after the end of a side's call is too late: until then it may have been on its
/// way.
const LATE_NS: u64 = 200_000_000;

/// The 20 ms of a packet are cut into so many beats, and streams are shared out to them in turn: so a
/// thread's packets leave evenly and not in bursts.
const BEATS: usize = 80;
const BEAT_NS: u64 = INTERVAL_NS / BEATS as u64;
/// After a stall, so many beats are caught up before the sockets are looked at again: those who send more
/// than they read would never get out of it.
const BEATS_PER_PASS: u64 = 4;
/// A packet that leaves later than this after its time counts as late: the generator did not keep up.
const LATE_PACKET_NS: u64 = INTERVAL_NS;

/// A port that a side of a call holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    place: u32,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Free,
    Held,
    /// The call is over; what still comes is counted.
    Ending,
}

/// One side of a call, or a port that waits for one.
#[derive(Default)]
struct Side {
    port: u16,
    is_caller: bool,
    stage: Stage,
    /// Some call had this port.
    was_used: bool,
    has_started: bool,
    call: Option<Id>,
    /// Where the server's description wants our packets, and the only place from which any may come.
    far: Option<SocketAddrV4>,
    /// Where packets came from before that was known, and how many.
    early: Option<(SocketAddrV4, u64)>,
    ssrc: u32,
    sequence: u32,
    /// Packets that are still to be sent.
    left: u32,
    beat: Option<u8>,
    ended_ns: u64,
    heard: Heard,
    /// The stream that is heard.
    peer_ssrc: Option<u32>,
}

pub struct Media {
    origin: Origin,
    talk_packets: u32,
    tail_packets: u32,
    sides: Vec<Side>,
    /// Ports that are free, longest first: the callers', and those of who answers.
    free: [VecDeque<u32>; 2],
    /// Ports whose calls are over, and when they are free.
    ending: VecDeque<(u64, u32)>,
    /// Who sends at which beat.
    beats: Vec<Vec<u32>>,
    sending: usize,
    /// The next beat, counted from the clock's start.
    next_beat: u64,
    /// The beat that the next stream gets.
    turn: usize,
    streams: u32,
    calls: u64,
    packet: Packet,
    account: Option<Box<Account>>,
}

impl Media {
    /// `callers` and `called` are the ports of this thread, which [`Media`] names by their place in the two
    /// lists, one behind the other.
    pub fn new(plan: &Plan, origin: Origin, callers: &[u16], called: &[u16]) -> Media {
        let side = |port, is_caller| Side { port, is_caller, ..Side::default() };
        let sides: Vec<Side> = callers
            .iter()
            .map(|port| side(*port, true))
            .chain(called.iter().map(|port| side(*port, false)))
            .collect();
        let (first, all) = (callers.len() as u32, sides.len() as u32);
        let rtp = plan.rtp.as_ref();
        let tail_ns = rtp.map_or(0, |rtp| rtp.tail_ns);
        Media {
            origin,
            talk_packets: u32::try_from(plan.hold_ns / INTERVAL_NS).unwrap_or(u32::MAX),
            tail_packets: (tail_ns / INTERVAL_NS) as u32,
            free: [(0..first).collect(), (first..all).collect()],
            ending: VecDeque::with_capacity(sides.len()),
            beats: (0..BEATS).map(|_| Vec::with_capacity(sides.len().div_ceil(BEATS) + 8)).collect(),
            sides,
            sending: 0,
            next_beat: 0,
            turn: 0,
            streams: 0,
            calls: 0,
            packet: Packet::new(rtp.map_or(0, Rtp::payload_type)),
            account: rtp.map(|_| Box::default()),
        }
    }

    /// What was counted; `None` where calls have no sound.
    pub fn into_account(self) -> Option<Box<Account>> {
        self.account
    }

    /// Takes a port for a side of a call. `far` is where its packets go, if that is known. `None`: all are
    /// taken.
    pub fn claim(&mut self, is_caller: bool, call: Option<Id>, far: Option<SocketAddrV4>) -> Option<Claim> {
        let place = self.free[usize::from(!is_caller)].pop_front()?;
        let ssrc = self.next_ssrc();
        let side = &mut self.sides[place as usize];
        *side = Side {
            port: side.port,
            is_caller,
            stage: Stage::Held,
            was_used: true,
            call,
            far,
            ssrc,
            ..Side::default()
        };
        Some(Claim { place, port: side.port })
    }

    /// Another one for each stream of the run.
    fn next_ssrc(&mut self) -> u32 {
        self.streams = self.streams.wrapping_add(1);
        let lane = u32::from(self.origin.lane).wrapping_mul(0x85eb_ca6b);
        self.streams.wrapping_mul(0x9e37_79b1) ^ self.origin.run ^ lane
    }

    /// The description that came says where the packets of this side go.
    pub fn aim(&mut self, claim: Claim, far: SocketAddrV4) {
        let side = &mut self.sides[claim.place as usize];
        side.far = Some(far);
        if let (Some((_, count)), Some(account)) =
            (side.early.take().filter(|(source, _)| *source != far), &mut self.account)
        {
            account.wrong_source += count;
        }
    }

    /// The side talks from now on, for the time that the plan says.
    pub fn start(&mut self, claim: Claim, now_ns: u64) {
        let side = &mut self.sides[claim.place as usize];
        if side.stage != Stage::Held || side.has_started || side.far.is_none() {
            return;
        }
        side.has_started = true;
        side.left = self.talk_packets;
        self.calls += u64::from(side.is_caller);
        if let Some(account) = &mut self.account {
            account.calls_at_once_max = account.calls_at_once_max.max(self.calls);
        }
        self.schedule(claim.place, now_ns);
    }

    /// The side's call is over, well or not.
    pub fn end(&mut self, claim: Claim, now_ns: u64) {
        let side = &mut self.sides[claim.place as usize];
        if side.stage != Stage::Held {
            return;
        }
        side.stage = Stage::Ending;
        side.ended_ns = now_ns;
        self.calls -= u64::from(side.is_caller && side.has_started);
        self.ending.push_back((now_ns + GRACE_NS, claim.place));
        self.unschedule(claim.place);
        let side = &mut self.sides[claim.place as usize];
        if side.has_started && self.tail_packets > 0 {
            side.left = self.tail_packets;
            self.schedule(claim.place, now_ns);
        }
    }

    fn schedule(&mut self, place: u32, now_ns: u64) {
        let side = &mut self.sides[place as usize];
        if side.left == 0 {
            return;
        }
        if self.sending == 0 {
            self.next_beat = now_ns / BEAT_NS + 1;
        }
        side.beat = Some(self.turn as u8);
        self.beats[self.turn].push(place);
        self.turn = (self.turn + 1) % BEATS;
        self.sending += 1;
    }

    fn unschedule(&mut self, place: u32) {
        let Some(beat) = self.sides[place as usize].beat.take() else { return };
        let beat = &mut self.beats[usize::from(beat)];
        if let Some(index) = beat.iter().position(|other| *other == place) {
            beat.swap_remove(index);
            self.sending -= 1;
        }
    }

    /// When [`Media::handle_timeout`] is wanted next.
    pub fn next_ns(&self) -> Option<u64> {
        let freed_ns = self.ending.front().map(|(free_ns, _)| *free_ns);
        if self.sending == 0 {
            return freed_ns;
        }
        let ahead = (0..BEATS as u64)
            .find(|ahead| !self.beats[((self.next_beat + ahead) % BEATS as u64) as usize].is_empty());
        let beat_ns = (self.next_beat + ahead.unwrap_or(0)) * BEAT_NS;
        Some(freed_ns.map_or(beat_ns, |freed_ns| freed_ns.min(beat_ns)))
    }

    /// Until when ports must be listened on; 0: no call was over yet.
    pub fn quiet_ns(&self) -> u64 {
        self.ending.back().map_or(0, |(free_ns, _)| *free_ns)
    }

    /// Frees the ports whose time is over, and hands the packets that are due to `send`: from which port's
    /// place, where to, and the bytes. `send` says whether the packet left; `clock` is read for each.
    pub fn handle_timeout(
        &mut self,
        now_ns: u64,
        clock: impl Fn() -> u64,
        mut send: impl FnMut(usize, SocketAddrV4, &[u8]) -> bool,
    ) {
        while let Some((_, place)) = self.ending.front().copied().filter(|(free_ns, _)| *free_ns <= now_ns) {
            self.ending.pop_front();
            self.free(place);
        }
        let Some(account) = &mut self.account else { return };
        let last_beat = (now_ns / BEAT_NS).min(self.next_beat + BEATS_PER_PASS - 1);
        while self.sending > 0 && self.next_beat <= last_beat {
            let beat = &mut self.beats[(self.next_beat % BEATS as u64) as usize];
            let mut index = 0;
            while let Some(place) = beat.get(index).copied() {
                let side = &mut self.sides[place as usize];
                let sent_ns = clock();
                let lag_ns = sent_ns.saturating_sub(self.next_beat * BEAT_NS);
                account.lag_max_ns = account.lag_max_ns.max(lag_ns);
                account.late += u64::from(lag_ns > LATE_PACKET_NS);
                send_one(side, place as usize, &mut self.packet, account, sent_ns, &mut send);
                if side.left > 0 {
                    index += 1;
                } else {
                    side.beat = None;
                    beat.swap_remove(index);
                    self.sending -= 1;
                }
            }
            self.next_beat += 1;
        }
    }

    fn free(&mut self, place: u32) {
        self.unschedule(place);
        let side = &mut self.sides[place as usize];
        if let Some(account) = &mut self.account {
            account.silent_sides += u64::from(side.has_started && side.heard.is_silent());
        }
        side.stage = Stage::Free;
        self.free[usize::from(!side.is_caller)].push_back(place);
    }

    /// A packet that came to the port at `place`.
    #[inline]
    pub fn handle_packet(&mut self, now_ns: u64, place: usize, source: SocketAddrV4, bytes: &[u8]) {
        let (Some(side), Some(account)) = (self.sides.get_mut(place), &mut self.account) else { return };
        match side.stage {
            Stage::Free if !side.was_used => return account.wrong_source += 1,
            Stage::Free => return account.after_call += 1,
            Stage::Ending if now_ns > side.ended_ns + LATE_NS => return account.after_call += 1,
            Stage::Held | Stage::Ending => {}
        }
        if side.far.is_some_and(|far| far != source) {
            return account.wrong_source += 1;
        }
        let label = match rtp::read(bytes) {
            Some(label) => label,
            None if side.far.is_none() => return account.before_answer += 1,
            None => return account.corrupted += 1,
        };
        if side.far.is_none() {
            match &mut side.early {
                Some((first, count)) if *first == source => *count += 1,
                Some(_) => return account.wrong_source += 1,
                None => side.early = Some((source, 1)),
            }
        }
        if !side.expects(self.origin, &label) {
            return account.other_call += 1;
        }
        if label.is_after_the_end {
            // Still on its way when this side's call ended, too.
            return;
        }
        match side.heard.note(label.sequence) {
            Order::Again => return account.duplicated += 1,
            Order::Late => account.out_of_order += 1,
            Order::Newest => {}
        }
        account.received += 1;
        account.record_delay(now_ns.saturating_sub(label.sent_ns));
    }
}

impl Side {
    /// Whether a packet is of this call, of this run, from the other side, and of the stream that was heard
    /// before.
    fn expects(&mut self, origin: Origin, label: &Label) -> bool {
        let is_call = match (self.call, label.call) {
            (Some(own), Some(other)) => own == other,
            (_, other) => other.is_none_or(|other| other.origin.run == origin.run),
        };
        is_call
            && label.is_from_caller != self.is_caller
            && *self.peer_ssrc.get_or_insert(label.ssrc) == label.ssrc
    }
}

/// Sends the next packet of a side.
fn send_one(
    side: &mut Side,
    place: usize,
    packet: &mut Packet,
    account: &mut Account,
    sent_ns: u64,
    send: &mut impl FnMut(usize, SocketAddrV4, &[u8]) -> bool,
) {
    side.left -= 1;
    let Some(far) = side.far else { return };
    let label = Label {
        call: side.call,
        is_from_caller: side.is_caller,
        is_after_the_end: side.stage == Stage::Ending,
        ssrc: side.ssrc,
        sequence: side.sequence,
        sent_ns,
    };
    side.sequence += 1;
    let count = match (send(place, far, packet.write(&label)), label.is_after_the_end) {
        (false, _) => &mut account.refused,
        (true, false) => &mut account.sent,
        (true, true) => &mut account.sent_after_call,
    };
    *count += 1;
}

#[cfg(test)]
mod tests;
