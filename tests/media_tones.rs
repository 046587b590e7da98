//! Tones: what is heard, for how long, and as which packets.

#[expect(dead_code, reason = "each test file uses its part of it")]
mod media_parties;

use media_parties::{
    CALLEE, CALLER, Call, NOWHERE, SOURCE, describe, is_relayed, ms, open, remote, report, rtp, with_ports,
};
use ringway::clock::{Moment, Now};
use ringway::media::{Component, G711, Hop, Law, Media, Remote, Tone};
use ringway::settings::{self, Learning, TonePlan};
use ringway::slab::Handle;

const PLANS: [TonePlan; 4] =
    [TonePlan::Europe, TonePlan::UnitedStates, TonePlan::UnitedKingdom, TonePlan::China];
const TONES: [Tone; 4] = [Tone::Ringback, Tone::Busy, Tone::Confirmation, Tone::Error];
const PACKET_MS: u64 = 20;

/// A party that is played a tone, alone.
struct Listener {
    media: Media,
    endpoint: Handle,
}

impl Listener {
    fn new(plan: TonePlan, law: Law) -> Listener {
        let settings = settings::Media { tones: plan, ..settings::Media::default() };
        let mut media = with_ports(Media::new(&settings, 100, 7), 4);
        let payload_type = if law == Law::Mu { 0 } else { 8 };
        let g711 = Some(G711 { payload_type, law });
        let endpoint = open(&mut media, 0, Remote { g711, ..remote(CALLER) });
        Listener { media, endpoint }
    }

    fn play(&mut self, at_ms: u64, tone: Tone) {
        assert!(self.media.play(Now::from_ms(at_ms), self.endpoint, tone));
    }

    fn poll(&mut self, at: Moment) -> Vec<Packet> {
        let mut buffer = Vec::new();
        let mut packets = Vec::new();
        while let Some(hop) = self.media.poll_tone(at, &mut buffer) {
            packets.push(Packet::read(hop, &buffer));
        }
        packets
    }

    /// So many packets from a moment on, polled when each is due.
    fn listen(&mut self, from_ms: u64, packets: u64) -> Vec<Packet> {
        let polled = (0..packets).map(|index| {
            let mut due = self.poll(ms(from_ms + index * PACKET_MS));
            assert_eq!(due.len(), 1, "packet {index}");
            due.remove(0)
        });
        polled.collect()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Packet {
    hop: Hop,
    has_marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: Vec<u8>,
}

impl Packet {
    fn read(hop: Hop, bytes: &[u8]) -> Packet {
        assert_eq!(bytes.len(), 12 + 160);
        assert_eq!(bytes[0], 0x80);
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        Packet {
            hop,
            has_marker: bytes[1] & 0x80 != 0,
            payload_type: bytes[1] & 0x7F,
            sequence: word(0) as u16,
            timestamp: word(4),
            ssrc: word(8),
            payload: bytes[12..].to_vec(),
        }
    }

    fn is_silent(&self, law: Law) -> bool {
        let silence = if law == Law::Mu { 0xFF } else { 0xD5 };
        self.payload.iter().all(|byte| *byte == silence)
    }
}

/// ITU-T G.191's `ulaw_expand` and `alaw_expand`.
fn decode(law: Law, byte: u8) -> f64 {
    let bits = if law == Law::Mu { !byte } else { byte ^ 0x55 };
    let (exponent, mantissa) = ((bits >> 4) & 7, i32::from(bits & 0x0F));
    let magnitude = match (law, exponent) {
        (Law::Mu, _) => (0x80 << exponent) + (8 << exponent) * mantissa + (4 << exponent) - 4 * 33,
        (Law::A, 0) => (mantissa << 4) + 8,
        (Law::A, _) => (((mantissa + 16) << 4) + 8) << (exponent - 1),
    };
    f64::from(if byte & 0x80 == 0 { -magnitude } else { magnitude })
}

/// The level of a frequency in dBm0, by Goertzel's algorithm over whole periods of it.
fn level(samples: &[f64], hz: f64) -> f64 {
    let coefficient = 2.0 * (std::f64::consts::TAU * hz / 8_000.0).cos();
    let (mut before, mut last) = (0.0, 0.0);
    for sample in samples {
        (before, last) = (last, sample + coefficient * last - before);
    }
    let power = before * before + last * last - coefficient * before * last;
    let amplitude = 2.0 * power.sqrt() / samples.len() as f64;
    // A sine with this peak is G.711's full load: +3.17 dBm0 (µ-law; A-law's +3.14 is the same within 0.03).
    20.0 * (amplitude / 32_636.0).log10() + 3.17
}

/// Frequencies, and on and off in turns in milliseconds (none: always on): as the plans say, before rounding
/// to 20 ms.
fn plan(plan: TonePlan, tone: Tone) -> (&'static [f64], &'static [u64]) {
    match (plan, tone) {
        (TonePlan::Europe, Tone::Ringback) => (&[425.0], &[1_000, 4_000]),
        (TonePlan::Europe, Tone::Busy) => (&[425.0], &[500, 500]),
        (TonePlan::Europe, Tone::Error) => (&[425.0], &[250, 250]),
        (TonePlan::UnitedStates, Tone::Ringback) => (&[440.0, 480.0], &[2_000, 4_000]),
        (TonePlan::UnitedStates, Tone::Busy) => (&[480.0, 620.0], &[500, 500]),
        (TonePlan::UnitedStates, Tone::Error) => (&[480.0, 620.0], &[250, 250]),
        (TonePlan::UnitedKingdom, Tone::Ringback) => (&[400.0, 450.0], &[400, 200, 400, 2_000]),
        (TonePlan::UnitedKingdom, Tone::Busy) => (&[400.0], &[375, 375]),
        (TonePlan::UnitedKingdom, Tone::Error) => (&[400.0], &[400, 350, 225, 525]),
        (TonePlan::China, Tone::Ringback) => (&[450.0], &[1_000, 4_000]),
        (TonePlan::China, Tone::Busy) => (&[450.0], &[350, 350]),
        (TonePlan::China, Tone::Error) => (&[450.0], &[700, 700]),
        (TonePlan::Europe, Tone::Confirmation) => (&[425.0], &[100, 100, 100, 100, 100]),
        (TonePlan::UnitedStates, Tone::Confirmation) => (&[350.0, 440.0], &[100, 100, 100, 100, 100]),
        (TonePlan::UnitedKingdom, Tone::Confirmation) => (&[1_400.0], &[]),
        (TonePlan::China, Tone::Confirmation) => (&[450.0], &[100, 100, 100, 100, 100]),
    }
}

/// How long it is on and off, in turns, beginning with on.
fn cadence(packets: &[Packet], law: Law) -> Vec<u64> {
    let mut turns = vec![0];
    let mut is_on = true;
    for packet in packets {
        if packet.is_silent(law) == is_on {
            turns.push(0);
            is_on = !is_on;
        }
        *turns.last_mut().expect("one at least") += PACKET_MS;
    }
    turns
}

#[test]
fn each_plans_tones_have_their_frequencies_level_and_cadence() {
    for (which, law) in PLANS.into_iter().flat_map(|plan| [(plan, Law::Mu), (plan, Law::A)]) {
        for tone in TONES {
            let mut listener = Listener::new(which, law);
            listener.play(0, tone);
            let packets = listener.listen(0, 800);
            let (frequencies, turns) = plan(which, tone);
            let heard = cadence(&packets, law);
            for (index, heard) in heard[..heard.len() - 1].iter().enumerate() {
                let expected = turns[index % turns.len()];
                assert!(heard.abs_diff(expected) <= 15, "{which:?} {tone:?}: {heard} ms in turn {index}");
            }
            if tone == Tone::Confirmation {
                assert_eq!(heard.len(), turns.len() + 1, "what was heard, and what follows");
            } else {
                assert!(heard.len() > 2 * turns.len(), "{which:?} {tone:?} repeats");
            }
            // 100 ms: whole periods of all these frequencies but 425 Hz, of which half a period is nothing.
            let on: Vec<f64> = packets[..5]
                .iter()
                .flat_map(|packet| &packet.payload)
                .map(|byte| decode(law, *byte))
                .collect();
            for hz in [350.0, 400.0, 425.0, 440.0, 450.0, 480.0, 620.0, 1_400.0] {
                let level = level(&on, hz);
                if frequencies.contains(&hz) {
                    assert!((-16.7..=-15.3).contains(&level), "{which:?} {tone:?}: {level} dBm0 of {hz} Hz");
                } else if frequencies.iter().all(|own: &f64| (own - hz).abs() >= 50.0) {
                    assert!(level < -35.0, "{which:?} {tone:?}: {level} dBm0 of {hz} Hz");
                }
            }
        }
    }
}

#[test]
fn a_tone_has_as_many_periods_as_its_frequency() {
    // A second of 425 Hz: the sign changes twice a period, and no repetition of the table slips.
    let mut listener = Listener::new(TonePlan::Europe, Law::A);
    listener.play(0, Tone::Ringback);
    let packets = listener.listen(0, 50);
    let signs: Vec<bool> =
        packets.iter().flat_map(|packet| &packet.payload).map(|byte| byte & 0x80 != 0).collect();
    let crossings = signs.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((848..=850).contains(&crossings), "{crossings}");
}

#[test]
fn its_packets_are_a_stream_of_their_own() {
    let mut listener = Listener::new(TonePlan::Europe, Law::Mu);
    listener.play(1_000, Tone::Busy);
    let packets = listener.listen(1_000, 100);
    let first = &packets[0];
    for (index, packet) in packets.iter().enumerate() {
        assert_eq!(packet.has_marker, index == 0);
        assert_eq!((packet.payload_type, packet.ssrc), (0, first.ssrc));
        assert_eq!(packet.sequence, first.sequence.wrapping_add(index as u16));
        assert_eq!(packet.timestamp, first.timestamp.wrapping_add(160 * index as u32), "through silence too");
        assert_eq!(packet.hop.destination.to_string(), CALLER);
        assert_eq!(packet.hop.component, Component::Rtp);
    }
    let figures = listener.media.figures(listener.endpoint);
    assert_eq!((figures.sent.packets, figures.sent.bytes), (100, 17_200));
    assert_eq!(listener.media.counts().played, 100);
    // It goes on where it is asked for again; a new one has new numbers.
    listener.play(3_000, Tone::Busy);
    let next = listener.listen(3_000, 1).remove(0);
    assert_eq!((next.has_marker, next.ssrc), (false, first.ssrc));
    listener.media.stop(listener.endpoint);
    listener.play(9_000, Tone::Busy);
    let again = listener.listen(9_000, 1).remove(0);
    assert!(again.has_marker);
    assert_ne!(again.ssrc, first.ssrc);
}

#[test]
fn the_numbers_depend_on_the_seed_alone() {
    let of = |random| {
        let mut media = with_ports(Media::new(&settings::Media::default(), 100, random), 4);
        let endpoint = open(&mut media, 0, remote(CALLER));
        let mut listener = Listener { media, endpoint };
        listener.play(0, Tone::Busy);
        listener.listen(0, 1).remove(0)
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1).ssrc, of(2).ssrc);
}

#[test]
fn it_is_encoded_as_the_party_takes_it() {
    let mut listener = Listener::new(TonePlan::Europe, Law::Mu);
    let dynamic = Remote { g711: Some(G711 { payload_type: 97, law: Law::A }), ..remote(CALLER) };
    describe(&mut listener.media, 0, listener.endpoint, dynamic);
    listener.play(0, Tone::Busy);
    let packets = listener.listen(0, 50);
    assert!(packets.iter().all(|packet| packet.payload_type == 97));
    assert_eq!(packets.iter().filter(|packet| packet.is_silent(Law::A)).count(), 25);
    let none = Remote { g711: None, ..remote(CALLER) };
    describe(&mut listener.media, 0, listener.endpoint, none);
    assert!(!listener.media.play(Now::from_ms(0), listener.endpoint, Tone::Busy));
    // What it was played before has ended.
    assert_eq!(listener.poll(ms(2_000)), []);
}

#[test]
fn packets_come_when_they_are_due_and_never_in_a_burst() {
    let mut listener = Listener::new(TonePlan::Europe, Law::Mu);
    listener.play(0, Tone::Ringback);
    assert_eq!(listener.poll(ms(0)).len(), 1);
    assert_eq!(listener.poll(Moment::from_us(19_999)).len(), 0);
    assert_eq!(listener.poll(Moment::from_us(20_000)).len(), 1);
    let late = listener.poll(ms(120));
    assert_eq!(late.len(), 5, "what is a little late is made up for");
    // After a second it goes on where it would be: the timestamps show the time that is missing.
    let after = listener.poll(ms(1_125));
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].sequence, late[4].sequence.wrapping_add(1));
    assert_eq!(after[0].timestamp, late[4].timestamp.wrapping_add(50 * 160));
    assert!(after[0].is_silent(Law::Mu), "its second is over");
    assert_eq!(listener.poll(ms(1_139)).len(), 0);
    assert_eq!(listener.poll(ms(1_140)).len(), 1);
}

#[test]
fn many_tones_keep_each_to_its_own_time() {
    let media = with_ports(Media::new(&settings::Media::default(), 100, 7), 20);
    let mut listener = Listener { media, endpoint: Handle { index: 0, generation: 0 } };
    let mut heard = std::collections::HashMap::<String, Vec<u64>>::new();
    let mut last = None;
    for at_ms in 0..400 {
        if at_ms % 7 == 0 && at_ms < 140 {
            let endpoint = open(&mut listener.media, at_ms, remote(&format!("192.0.2.10:{}", 4_000 + at_ms)));
            assert!(listener.media.play(Now::from_ms(at_ms), endpoint, Tone::Ringback));
            last = Some(endpoint);
        }
        if at_ms == 200 {
            listener.media.stop(last.expect("one plays"));
        }
        for packet in listener.poll(ms(at_ms)) {
            heard.entry(packet.hop.destination.to_string()).or_default().push(at_ms);
        }
    }
    assert_eq!(heard.len(), 20);
    for (index, from_ms) in (0..140_u64).step_by(7).enumerate() {
        let until_ms = if index == 19 { 200 } else { 400 };
        let expected: Vec<u64> = (from_ms..until_ms).step_by(20).collect();
        assert_eq!(heard[&format!("192.0.2.10:{}", 4_000 + from_ms)], expected);
    }
}

#[test]
fn who_is_played_a_tone_hears_nothing_else_until_it_is_joined_anew() {
    let mut call = Call::new(Learning::Window);
    assert!(call.media.play(Now::from_ms(0), call.caller, Tone::Ringback));
    assert_eq!(call.towards_caller(0), NOWHERE);
    // The other way nothing changes.
    assert!(is_relayed(call.send(0, call.caller, CALLER, &rtp(1, 1))));
    call.media.join(call.caller, call.callee);
    assert!(is_relayed(call.towards_caller(0)));
    assert_eq!(call.media.poll_tone(ms(500), &mut Vec::new()), None);
    assert!(call.media.play(Now::from_ms(500), call.caller, Tone::Ringback));
    call.media.stop(call.caller);
    assert!(is_relayed(call.towards_caller(500)));
    assert_eq!(call.media.poll_tone(ms(600), &mut Vec::new()), None);
}

#[test]
fn a_tone_ends_with_its_endpoint() {
    let mut listener = Listener::new(TonePlan::Europe, Law::Mu);
    listener.play(0, Tone::Ringback);
    let closed = listener.endpoint;
    listener.media.close(Now::from_ms(0), closed);
    assert_eq!(listener.poll(ms(100)), []);
    assert!(!listener.media.play(Now::from_ms(0), closed, Tone::Ringback));
}

#[test]
fn a_tone_follows_the_party_and_waits_while_it_is_nowhere() {
    let mut listener = Listener::new(TonePlan::Europe, Law::Mu);
    listener.play(0, Tone::Ringback);
    let first = listener.listen(0, 1).remove(0);
    let nowhere = Remote { rtp: None, rtcp: None, ..remote(CALLER) };
    describe(&mut listener.media, 10, listener.endpoint, nowhere);
    assert_eq!(listener.poll(ms(20)), []);
    describe(&mut listener.media, 30, listener.endpoint, remote(CALLEE));
    let packet = listener.listen(40, 1).remove(0);
    assert_eq!(packet.hop.destination.to_string(), CALLEE);
    assert_eq!(packet.timestamp, first.timestamp.wrapping_add(320));
    assert_eq!(listener.media.counts().played, 2);
}

#[test]
fn a_party_reports_what_it_gets_of_a_tone() {
    let mut call = Call::new(Learning::Window);
    assert!(call.media.play(Now::from_ms(0), call.caller, Tone::Ringback));
    let mut packet = Vec::new();
    let hop = call.media.poll_tone(ms(0), &mut packet).expect("it is due");
    let ssrc = Packet::read(hop, &packet).ssrc;
    let told = report(201, 5, &[media_parties::Block { ssrc, lost: 3, jitter: 8 }]);
    let rtcp = Component::Rtcp;
    assert!(is_relayed(call.send_by(0, call.caller, rtcp, "192.0.2.10:4001", &told)));
    assert_eq!(call.media.figures(call.caller).sent.lost, 3);
    assert_eq!(call.send_by(0, call.caller, rtcp, CALLEE, &told), SOURCE);
}
