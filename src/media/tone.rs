//! Tones of the server's own (ITU-T E.180), as G.711 in RTP packets of 20 ms.
//!
//! An on-phase repeats after a whole number of packets, so that every packet is a copy of one that was
//! encoded at the start. Frequencies and cadences are the national ones that ITU-T E.180 Supplement 2
//! collects (those of the United Kingdom: BT SIN 350), rounded to 20 ms; most of continental Europe has
//! 425 Hz. Few countries have a tone for confirmation: North America three short bursts, the United Kingdom
//! a steady 1,400 Hz. Europe and China get the bursts in their own frequency, which is our choice.

use super::g711;
use super::{Law, Tone};
use crate::settings::TonePlan;
use crate::slab::Handle;
use siphasher::sip::SipHasher13;
use std::collections::VecDeque;
use std::hash::Hasher;

/// A packet's time, in microseconds, and its samples: at 8,000 Hz one byte each.
pub const PACKET_US: u64 = 20_000;
pub const PACKET_SAMPLES: usize = 160;

const SAMPLE_HZ: u32 = 8_000;

/// A tone further behind than this goes on as if it had been in time; a burst would be played late anyway.
const BEHIND_US_MAX: u64 = 100_000;

const HEADER_BYTES: usize = 12;

/// Each component at -16 dBm0: two stay 7 dB under G.711's +3.17 dBm0, which a peak of 32,636 is.
const AMPLITUDE: f64 = 3_590.0;

/// What is heard in an on-phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signal {
    /// Hz; the second is 0 if there is one only.
    frequencies: [u32; 2],
    /// After how many packets it repeats: the least number with whole periods of each frequency.
    packets: usize,
}

const fn signal(one: u32, other: u32) -> Signal {
    let mut packets = 1;
    while !(one * packets).is_multiple_of(50) || !(other * packets).is_multiple_of(50) {
        packets += 1;
    }
    Signal { frequencies: [one, other], packets: packets as usize }
}

/// On and off in turns, in packets.
#[derive(Clone, Copy, Debug)]
struct Cadence {
    signal: Signal,
    phases: &'static [u16],
    /// Begins again at its end; else silence follows.
    repeats: bool,
}

const fn steady(signal: Signal, phases: &'static [u16]) -> Cadence {
    Cadence { signal, phases, repeats: true }
}

const fn confirmation(signal: Signal) -> Cadence {
    Cadence { signal, phases: &[5, 5, 5, 5, 5], repeats: false }
}

const HZ_400: Signal = signal(400, 0);
const HZ_425: Signal = signal(425, 0);
const HZ_450: Signal = signal(450, 0);

/// Of a plan: ringback, busy, confirmation, error.
const fn cadences(plan: TonePlan) -> [Cadence; 4] {
    match plan {
        TonePlan::Europe => [
            steady(HZ_425, &[50, 200]),
            steady(HZ_425, &[25, 25]),
            confirmation(HZ_425),
            // Between the 0.2 s and the 0.25 s that are in use.
            steady(HZ_425, &[12, 12]),
        ],
        TonePlan::UnitedStates => [
            steady(signal(440, 480), &[100, 200]),
            steady(signal(480, 620), &[25, 25]),
            confirmation(signal(350, 440)),
            // 0.25 s each.
            steady(signal(480, 620), &[12, 13]),
        ],
        TonePlan::UnitedKingdom => [
            steady(signal(400, 450), &[20, 10, 20, 100]),
            // 0.375 s each.
            steady(HZ_400, &[19, 19]),
            steady(signal(1_400, 0), &[1]),
            // 0.4 s on, 0.35 s off, 0.225 s on, 0.525 s off.
            steady(HZ_400, &[20, 18, 11, 26]),
        ],
        TonePlan::China => [
            steady(HZ_450, &[50, 200]),
            // 0.35 s each.
            steady(HZ_450, &[18, 18]),
            confirmation(HZ_450),
            steady(HZ_450, &[35, 35]),
        ],
    }
}

impl Cadence {
    /// The packets of one turn.
    fn length(&self) -> u32 {
        self.phases.iter().map(|phase| u32::from(*phase)).sum()
    }

    /// Which packet of the signal is heard at that one of the cadence; `None`: silence.
    fn at(&self, position: u32) -> Option<usize> {
        let mut position = if self.repeats { position % self.length() } else { position };
        let mut is_on = true;
        for phase in self.phases.iter().map(|phase| u32::from(*phase)) {
            if position < phase {
                return is_on.then_some(position as usize % self.signal.packets);
            }
            position -= phase;
            is_on = !is_on;
        }
        None
    }
}

type Payload = [u8; PACKET_SAMPLES];

/// The packets of one law.
#[derive(Debug)]
struct Encoded {
    /// Of each tone, those of its signal.
    tones: [Vec<Payload>; 4],
    silence: Payload,
}

/// A tone on its way to an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Playing {
    tone: Tone,
    law: Law,
    payload_type: u8,
    is_first: bool,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    /// Packets since it began.
    position: u32,
    due_us: u64,
}

/// The tones of a shard: what they sound like and which packet is due next.
#[derive(Debug)]
pub struct Player {
    cadences: [Cadence; 4],
    /// µ-law and A-law.
    encoded: Vec<Encoded>,
    /// By time: each has its next packet here.
    queue: VecDeque<Due>,
    /// A keyed hash: what parties see of it tells nothing of the key, which may serve others too.
    numbers: SipHasher13,
    drawn: u64,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    us: u64,
    endpoint: Handle,
}

impl Player {
    /// `is_used`: there can be somebody who gets tones; else they are not made.
    pub fn new(plan: TonePlan, random: u64, is_used: bool) -> Player {
        let cadences = cadences(plan);
        let laws: &[Law] = if is_used { &[Law::Mu, Law::A] } else { &[] };
        let encode = |law: &Law| Encoded {
            tones: cadences.map(|cadence| cadence.signal.encode(*law)),
            silence: [g711::silence(*law); PACKET_SAMPLES],
        };
        let encoded = laws.iter().map(encode).collect();
        let numbers = SipHasher13::new_with_keys(random, 0x746f_6e65);
        Player { cadences, encoded, queue: VecDeque::new(), numbers, drawn: 0 }
    }

    /// A tone whose first packet is due at once. RFC 3550 §5.1: all its numbers begin at random.
    pub fn begin(&mut self, now_us: u64, endpoint: Handle, tone: Tone, g711: super::G711) -> Playing {
        let (one, other) = (self.draw(), self.draw());
        self.enqueue(Due { us: now_us, endpoint });
        Playing {
            tone,
            law: g711.law,
            payload_type: g711.payload_type & 0x7F,
            is_first: true,
            sequence: other as u16,
            timestamp: (other >> 32) as u32,
            ssrc: one as u32,
            position: 0,
            due_us: now_us,
        }
    }

    /// Nothing more of it is due.
    pub fn end(&mut self, endpoint: Handle, playing: Playing) {
        let from = self.queue.partition_point(|due| due.us < playing.due_us);
        let at_once = self.queue.iter().skip(from).take_while(|due| due.us == playing.due_us);
        let place = at_once.enumerate().find(|(_, due)| due.endpoint == endpoint).map(|(index, _)| index);
        if let Some(index) = place {
            self.queue.remove(from + index);
        }
    }

    /// Whose packet is due.
    pub fn due(&mut self, at_us: u64) -> Option<Handle> {
        let due = self.queue.front().filter(|due| due.us <= at_us)?.endpoint;
        self.queue.pop_front();
        Some(due)
    }

    /// Writes the packet that is due, and has the next one follow. Silence is sent too: its listener hears
    /// that the stream lives.
    pub fn next(&mut self, at_us: u64, endpoint: Handle, playing: &mut Playing, packet: &mut Vec<u8>) {
        let behind = at_us.saturating_sub(playing.due_us);
        if behind > BEHIND_US_MAX {
            playing.skip((behind / PACKET_US) as u32);
        }
        packet.clear();
        packet.extend_from_slice(&playing.header());
        let tone = playing.tone as usize;
        let sound = self.cadences[tone].at(playing.position);
        if let Some(encoded) = self.encoded.get(playing.law as usize) {
            let payload = sound.and_then(|index| encoded.tones[tone].get(index));
            packet.extend_from_slice(payload.unwrap_or(&encoded.silence));
        }
        playing.is_first = false;
        playing.sequence = playing.sequence.wrapping_add(1);
        playing.skip(1);
        self.enqueue(Due { us: playing.due_us, endpoint });
    }

    /// Nearly always the last: all wait for 20 ms.
    fn enqueue(&mut self, due: Due) {
        let place = self.queue.partition_point(|other| other.us <= due.us);
        self.queue.insert(place, due);
    }

    fn draw(&mut self) -> u64 {
        let mut hasher = self.numbers;
        hasher.write_u64(self.drawn);
        self.drawn += 1;
        hasher.finish()
    }
}

impl Playing {
    /// Lets time pass without packets: the sequence number stays.
    fn skip(&mut self, packets: u32) {
        self.position = self.position.wrapping_add(packets);
        self.timestamp = self.timestamp.wrapping_add(packets.wrapping_mul(PACKET_SAMPLES as u32));
        self.due_us += u64::from(packets) * PACKET_US;
    }

    /// Whether it is this tone in this codec.
    pub fn is_of(&self, tone: Tone, g711: super::G711) -> bool {
        let is_same_format = (self.law, self.payload_type) == (g711.law, g711.payload_type & 0x7F);
        self.tone == tone && is_same_format
    }

    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[0] = 0x80;
        // The marker: a talkspurt begins (RFC 3551 §4.1).
        header[1] = self.payload_type | if self.is_first { 0x80 } else { 0 };
        header[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        header[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        header[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        header
    }
}

impl Signal {
    fn encode(self, law: Law) -> Vec<Payload> {
        let packet = |index: usize| {
            std::array::from_fn(|sample| g711::encode(law, self.sample(index * PACKET_SAMPLES + sample)))
        };
        (0..self.packets).map(packet).collect()
    }

    /// 16 bits.
    fn sample(self, at: usize) -> i16 {
        let of = |hz: u32| {
            // Whole periods are taken off first, so that each repetition has the same values.
            let phase = (at as u64 * u64::from(hz)) % u64::from(SAMPLE_HZ);
            AMPLITUDE * (std::f64::consts::TAU * phase as f64 / f64::from(SAMPLE_HZ)).sin()
        };
        self.frequencies.into_iter().map(of).sum::<f64>().round() as i16
    }
}
