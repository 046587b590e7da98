//! Statistics of what a party sends (RFC 3550 A.1, A.3, A.8) and of what it says that it gets (§6.4.1).

use super::Flow;
use super::rtp::{Header, Report};
use crate::clock::Moment;

/// RFC 3550 A.1: a sequence number further ahead than this, or further behind, is none of the stream's.
const MAX_DROPOUT: u16 = 3_000;
const MAX_MISORDER: u16 = 100;

/// What RFC 3551 §6 has for nearly all audio; for streams whose description tells no clock.
pub const CLOCK_HZ: u32 = 8_000;

/// More than any payload format has (27 MHz).
const CLOCK_HZ_MAX: u32 = 100_000_000;

const US_PER_S: u64 = 1_000_000;

/// What a party sends. Packets and bytes are all that was taken from it, whether or not somebody was there to
/// get them. Losses are summed over the sources (SSRCs) that it used one after another; the jitter is that of
/// the present one. It is in step with RFC 3550 but for two things: a source whose clock jumps by a second or
/// more, as after a hold, starts a new timeline, which is no jitter; and a packet with the timestamp of the
/// one before shows none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    packets: u64,
    bytes: u64,
    /// Of earlier sources.
    lost_before: u64,
    /// The present source; `None`: none has sent yet.
    source: Option<Source>,
}

/// RFC 3550 A.1's `source`.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    base_sequence: u16,
    max_sequence: u16,
    /// Wrap-arounds, times 65,536.
    cycles: u32,
    /// The sequence number that would show that the sender restarted.
    bad_sequence: Option<u16>,
    received: u64,
    /// Of the last packet.
    timestamp: u32,
    /// The same, in ticks.
    transit: u32,
    /// Sixteenths of ticks.
    jitter: u32,
}

impl Received {
    /// A packet of a stream that is no RTP.
    #[inline]
    pub fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    /// An RTP packet; `clock_hz`: that of its timestamps.
    #[inline]
    pub fn count_rtp(&mut self, at: Moment, header: Header, bytes: usize, clock_hz: u32) {
        self.count(bytes);
        let transit = ticks(at, clock_hz).wrapping_sub(header.timestamp);
        match &mut self.source {
            Some(source) if source.ssrc == header.ssrc => {
                self.lost_before += source.update(header, transit, clock_hz);
            }
            _ => self.begin(header, transit),
        }
    }

    #[must_use]
    pub fn flow(&self, clock_hz: u32) -> Flow {
        let (lost, jitter) = self.source.map_or((0, 0), |source| (source.lost(), source.jitter));
        let lost = self.lost_before + lost;
        Flow { packets: self.packets, bytes: self.bytes, lost, jitter_us: micros(jitter, 16, clock_hz) }
    }

    #[cold]
    fn begin(&mut self, header: Header, transit: u32) {
        self.lost_before += self.source.map_or(0, |source| source.lost());
        self.source = Some(Source::new(header, transit));
    }
}

impl Source {
    fn new(header: Header, transit: u32) -> Source {
        let Header { ssrc, sequence, timestamp } = header;
        Source {
            ssrc,
            base_sequence: sequence,
            max_sequence: sequence,
            cycles: 0,
            bad_sequence: None,
            received: 1,
            timestamp,
            transit,
            jitter: 0,
        }
    }

    /// RFC 3550 A.1 `update_seq`, and A.8. Returns what was lost before, if the sender has restarted.
    #[inline]
    fn update(&mut self, header: Header, transit: u32, clock_hz: u32) -> u64 {
        let sequence = header.sequence;
        let ahead = sequence.wrapping_sub(self.max_sequence);
        if ahead < MAX_DROPOUT {
            if sequence < self.max_sequence {
                self.cycles = self.cycles.wrapping_add(1 << 16);
            }
            self.max_sequence = sequence;
        } else if ahead <= 0_u16.wrapping_sub(MAX_MISORDER) {
            return self.jump(header, transit);
        }
        // Else a duplicate, or late: it is received all the same.
        self.received += 1;
        // More of the same frame or of the same key (RFC 4733): they are sent when they are, not when the
        // timestamp says.
        if header.timestamp == self.timestamp {
            return 0;
        }
        self.timestamp = header.timestamp;
        let difference = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
        self.transit = transit;
        if difference < clock(clock_hz) {
            // Never below zero: a sixteenth of itself, rounded, is taken off.
            self.jitter = self.jitter + difference - ((self.jitter + 8) >> 4);
        }
        0
    }

    /// Two packets that follow each other after a very large jump: the sender has restarted.
    #[cold]
    fn jump(&mut self, header: Header, transit: u32) -> u64 {
        if self.bad_sequence != Some(header.sequence) {
            self.bad_sequence = Some(header.sequence.wrapping_add(1));
            return 0;
        }
        let (lost, jitter) = (self.lost(), self.jitter);
        *self = Source { jitter, ..Source::new(header, transit) };
        lost
    }

    /// RFC 3550 A.3; duplicates can make it less than none.
    fn lost(&self) -> u64 {
        let last = u64::from(self.cycles) + u64::from(self.max_sequence);
        (last + 1).saturating_sub(u64::from(self.base_sequence)).saturating_sub(self.received)
    }
}

/// What goes to a party: counted by us, lost and jitter as it reports them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    packets: u64,
    bytes: u64,
    /// As reported of earlier sources.
    lost_before: u64,
    lost: u32,
    /// Ticks.
    jitter: u32,
    /// The source that it gets now.
    ssrc: Option<u32>,
    /// The source that the figures are about.
    reported: Option<u32>,
}

impl Sent {
    /// `ssrc`: of RTP.
    #[inline]
    pub fn count(&mut self, bytes: usize, ssrc: Option<u32>) {
        self.packets += 1;
        self.bytes += bytes as u64;
        self.ssrc = ssrc;
    }

    /// The source whose reports count.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// The party's report about that source. Each report holds the losses since the source began.
    pub fn report(&mut self, report: Report) {
        if self.reported != self.ssrc {
            self.lost_before += u64::from(self.lost);
            self.reported = self.ssrc;
        }
        self.lost = report.lost;
        self.jitter = report.jitter;
    }

    #[must_use]
    pub fn flow(&self, clock_hz: u32) -> Flow {
        let lost = self.lost_before + u64::from(self.lost);
        Flow { packets: self.packets, bytes: self.bytes, lost, jitter_us: micros(self.jitter, 1, clock_hz) }
    }
}

/// A clock that can be divided by, and 16 seconds of which fit into 32 bits.
#[inline]
fn clock(clock_hz: u32) -> u32 {
    if clock_hz == 0 { CLOCK_HZ } else { clock_hz.min(CLOCK_HZ_MAX) }
}

/// A moment on the stream's clock, modulo 2^32 as timestamps are.
#[inline]
fn ticks(at: Moment, clock_hz: u32) -> u32 {
    let (seconds, rest) = (at.as_us() / US_PER_S, at.as_us() % US_PER_S);
    let hz = u64::from(clock(clock_hz));
    seconds.wrapping_mul(hz).wrapping_add(rest * hz / US_PER_S) as u32
}

fn micros(parts: u32, parts_per_tick: u64, clock_hz: u32) -> u32 {
    let micros = u64::from(parts) * US_PER_S / (parts_per_tick * u64::from(clock(clock_hz)));
    u32::try_from(micros).unwrap_or(u32::MAX)
}
