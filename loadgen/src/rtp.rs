//! The packets of a call: RTP (RFC 3550 §5.1) with 20 ms of G.711, whose sound is a label that says which
//! call and which packet this is and when it left. And what a side keeps of the packets that it got.

use crate::call::{Id, Origin};
use crate::slab::Handle;

const HEADER_BYTES: usize = 12;
/// 20 ms of G.711.
pub const SOUND_BYTES: usize = 160;
pub const PACKET_BYTES: usize = HEADER_BYTES + SOUND_BYTES;
pub const INTERVAL_NS: u64 = 20_000_000;

/// Where the label ends; its own digest stands last in it.
const LABEL_END: usize = 52;
const DIGEST: usize = LABEL_END - 4;
const MAGIC: [u8; 4] = *b"lgen";
/// What fills the rest: neither silence nor a word that a repeated packet of somebody else would hold.
const FILLER: u8 = 0x6d;
/// Both counters begin shortly before they wrap, so that every call longer than a second has them wrap.
const FIRST_SEQUENCE: u16 = u16::MAX - 35;
const FIRST_TIMESTAMP: u32 = u32::MAX - 40 * SOUND_BYTES as u32;

const FROM_CALLER: u8 = 1;
const AFTER_THE_END: u8 = 2;

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The call, where the sender knows it: a called party knows it by the offer's mark alone.
    pub call: Option<Id>,
    pub is_from_caller: bool,
    /// Sent when the call was over: nobody should get it.
    pub is_after_the_end: bool,
    pub ssrc: u32,
    /// Counts from 0 and does not wrap.
    pub sequence: u32,
    /// On the run's clock.
    pub sent_ns: u64,
}

/// A packet that is written again and again.
pub struct Packet {
    bytes: [u8; PACKET_BYTES],
    payload_type: u8,
}

impl Packet {
    pub fn new(payload_type: u8) -> Packet {
        let mut bytes = [FILLER; PACKET_BYTES];
        bytes[0] = 2 << 6;
        bytes[HEADER_BYTES..][..4].copy_from_slice(&MAGIC);
        Packet { bytes, payload_type }
    }

    /// The packet with this label; the first of a stream has the marker (RFC 3551 §4.1).
    #[inline]
    pub fn write(&mut self, label: &Label) -> &[u8] {
        let bytes = &mut self.bytes;
        let marker = if label.sequence == 0 { 0x80 } else { 0 };
        let timestamp = label.sequence.wrapping_mul(SOUND_BYTES as u32).wrapping_add(FIRST_TIMESTAMP);
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let flags = flag(label.is_from_caller, FROM_CALLER) | flag(label.is_after_the_end, AFTER_THE_END);
        let origin = label.call.map_or(0, |call| call.origin.run << 8 | u32::from(call.origin.lane));
        let handle = label.call.map_or(0, |call| call.handle.bits());
        bytes[1] = self.payload_type | marker;
        bytes[2..4].copy_from_slice(&FIRST_SEQUENCE.wrapping_add(label.sequence as u16).to_be_bytes());
        bytes[4..8].copy_from_slice(&timestamp.to_be_bytes());
        bytes[8..12].copy_from_slice(&label.ssrc.to_be_bytes());
        bytes[16..20].copy_from_slice(&u32::from(flags).to_be_bytes());
        bytes[20..24].copy_from_slice(&label.sequence.to_be_bytes());
        bytes[24..28].copy_from_slice(&origin.to_be_bytes());
        bytes[28..36].copy_from_slice(&handle.to_be_bytes());
        bytes[36..44].copy_from_slice(&label.sent_ns.to_be_bytes());
        bytes[44..48].copy_from_slice(&label.ssrc.to_be_bytes());
        let digest = digest(bytes);
        bytes[DIGEST..LABEL_END].copy_from_slice(&digest.to_be_bytes());
        bytes
    }
}

/// Reads a packet of ours; `None`: it is none, or a single one of its bytes is not as it was sent.
#[inline]
pub fn read(bytes: &[u8]) -> Option<Label> {
    let bytes: &[u8; PACKET_BYTES] = bytes.try_into().ok()?;
    let is_whole = bytes[HEADER_BYTES..][..4] == MAGIC
        && bytes[LABEL_END..] == [FILLER; PACKET_BYTES - LABEL_END]
        && word(bytes, DIGEST) == digest(bytes);
    if !is_whole {
        return None;
    }
    let origin = word(bytes, 24);
    let call = Id {
        origin: Origin { run: origin >> 8, lane: origin as u8 },
        handle: Handle::from_bits(long(bytes, 28)),
    };
    let flags = word(bytes, 16) as u8;
    Some(Label {
        // A call's handle is never 0: its generation is odd.
        call: (call.handle.bits() != 0).then_some(call),
        is_from_caller: flags & FROM_CALLER != 0,
        is_after_the_end: flags & AFTER_THE_END != 0,
        ssrc: word(bytes, 44),
        sequence: word(bytes, 20),
        sent_ns: long(bytes, 36),
    })
}

fn word(bytes: &[u8; PACKET_BYTES], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8; PACKET_BYTES], at: usize) -> u64 {
    u64::from(word(bytes, at)) << 32 | u64::from(word(bytes, at + 4))
}

/// Of all that stands before the digest, the RTP header included (FNV-1a over words).
#[inline]
fn digest(bytes: &[u8; PACKET_BYTES]) -> u32 {
    (0..DIGEST).step_by(4).fold(0x811c_9dc5, |digest: u32, at| {
        (digest.rotate_left(5) ^ word(bytes, at)).wrapping_mul(0x0100_0193)
    })
}

/// How a packet stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Newer than all before it.
    Newest,
    /// The first of its number, behind a newer one.
    Late,
    /// Its number came before; also one that is older than is remembered, 2.5 s.
    Again,
}

/// The packets of one stream that were heard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    highest: u32,
    /// Bit n: the packet n before the highest came. 0: none came at all.
    seen: u128,
}

impl Heard {
    #[inline]
    pub fn note(&mut self, sequence: u32) -> Order {
        if self.seen == 0 || sequence > self.highest {
            let ahead = sequence.saturating_sub(self.highest);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = sequence;
            return Order::Newest;
        }
        let bit = 1u128.checked_shl(self.highest - sequence).unwrap_or(0);
        if bit == 0 || self.seen & bit != 0 {
            return Order::Again;
        }
        self.seen |= bit;
        Order::Late
    }

    pub fn is_silent(&self) -> bool {
        self.seen == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(sequence: u32) -> Label {
        let origin = Origin { run: 0xabcdef, lane: 3 };
        Label {
            call: Some(Id { origin, handle: Handle::from_bits(0x12_0000_0007) }),
            is_from_caller: true,
            is_after_the_end: false,
            ssrc: 0xdead_beef,
            sequence,
            sent_ns: 123_456_789_012,
        }
    }

    #[test]
    fn a_label_survives_its_packet() {
        let mut packet = Packet::new(8);
        for sequence in [0, 1, 36, 70_000, u32::MAX] {
            let wanted = label(sequence);
            assert_eq!(read(packet.write(&wanted)), Some(wanted));
            let other = Label { call: None, is_from_caller: false, is_after_the_end: true, ..wanted };
            assert_eq!(read(packet.write(&other)), Some(other));
        }
    }

    #[test]
    fn the_header_is_that_of_g711_at_twenty_milliseconds() {
        let mut packet = Packet::new(8);
        let header = |bytes: &[u8]| {
            let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
            let timestamp = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            (bytes[0], bytes[1], sequence, timestamp)
        };
        let first = header(packet.write(&label(0)));
        let second = header(packet.write(&label(1)));
        let fiftieth = header(packet.write(&label(50)));
        assert_eq!((first.0, first.1, second.1), (0x80, 0x88, 8), "the marker stands on the first alone");
        assert_eq!((second.2, second.3), (first.2 + 1, first.3 + 160));
        assert_eq!(fiftieth.2, 14, "the sequence number wraps");
        assert_eq!(fiftieth.3, first.3.wrapping_add(50 * 160), "so does the timestamp");
        assert!(fiftieth.3 < first.3);
    }

    #[test]
    fn a_single_changed_bit_is_noticed_wherever_it_is() {
        let whole = *Packet::new(0).write(&label(5)).first_chunk::<PACKET_BYTES>().expect("its length");
        for bit in 0..PACKET_BYTES * 8 {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bytes), None, "bit {bit}");
        }
        assert_eq!(read(&whole[..PACKET_BYTES - 1]), None);
        assert_eq!(read(&[&whole[..], &[FILLER]].concat()), None);
    }

    #[test]
    fn order_and_repetition_are_told_apart() {
        let mut heard = Heard::default();
        assert!(heard.is_silent());
        let orders: Vec<Order> =
            [1, 0, 1, 0, 2, 5, 4, 4, 3, 6].into_iter().map(|sequence| heard.note(sequence)).collect();
        use Order::{Again, Late, Newest};
        assert_eq!(
            orders,
            [Newest, Late, Again, Again, Newest, Newest, Late, Again, Late, Newest],
            "packets 1 0 1 0 2 5 4 4 3 6"
        );
        assert!(!heard.is_silent());
        assert_eq!(heard.note(6 + 127), Newest);
        assert_eq!((heard.note(6), heard.note(7)), (Again, Late), "127 back is remembered");
        assert_eq!(heard.note(5), Again, "what lies further back is not");
        assert_eq!(heard.note(10_000), Newest);
        assert_eq!((heard.note(9_999), heard.note(9_999)), (Late, Again));
    }
}
