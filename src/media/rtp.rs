//! What a packet on a media port is, from its header alone (RFC 3550 §5.1, §6.4; RFC 5761 §4; RFC 7983 §7).
//! Nothing here looks at a payload.

/// The fixed header.
const RTP_BYTES_MIN: usize = 12;
/// Header and SSRC of a report.
const RTCP_BYTES_MIN: usize = 8;
const EXTENSION_BYTES: usize = 4;
const SENDER_INFO_BYTES: usize = 20;
const REPORT_BLOCK_BYTES: usize = 24;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;

/// RFC 8489 §5.
const STUN_BYTES_MIN: usize = 20;
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// RFC 6189 §5: a header of three words, and a checksum.
const ZRTP_BYTES_MIN: usize = 16;

/// What a packet is (RFC 7983 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rtp(Header),
    /// By its first report's sender.
    Rtcp {
        ssrc: u32,
    },
    /// What agrees on SRTP's keys: DTLS, or ZRTP (RFC 6189).
    Keys,
    Stun,
    Malformed,
}

/// What the statistics need of RTP's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
}

/// What a party's report says about a stream that it gets (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of packets that never came; below zero, because of duplicates, it is 0.
    pub lost: u32,
    /// In ticks of the stream's clock.
    pub jitter: u32,
}

/// What came to a port where RTP is spoken.
#[inline]
#[must_use]
pub fn classify(packet: &[u8]) -> Kind {
    match packet {
        [128..=191, 192..=223, ..] => rtcp(packet),
        [128..=191, ..] => rtp(packet),
        [20..=63, ..] => Kind::Keys,
        [16..=19, ..] if packet.len() >= ZRTP_BYTES_MIN && packet[4..8] == *b"ZRTP" => Kind::Keys,
        [0..=3, ..] if packet.len() >= STUN_BYTES_MIN && packet[4..8] == STUN_COOKIE => Kind::Stun,
        _ => Kind::Malformed,
    }
}

fn rtcp(packet: &[u8]) -> Kind {
    if packet.len() < RTCP_BYTES_MIN {
        return Kind::Malformed;
    }
    Kind::Rtcp { ssrc: word(packet, 4) }
}

#[inline]
fn rtp(packet: &[u8]) -> Kind {
    let Some((header, rest)) = packet.split_first_chunk::<RTP_BYTES_MIN>() else { return Kind::Malformed };
    // RTCP's types 200 to 204 without the first bit, which a broken sender leaves out (RFC 5761 §4).
    if matches!(header[1] & 0x7F, 72..=76) {
        return Kind::Malformed;
    }
    // Extension or CSRCs are there.
    if header[0] & 0x1F != 0 && !has_sound_lengths(header[0], rest) {
        return Kind::Malformed;
    }
    Kind::Rtp(Header {
        sequence: u16::from_be_bytes([header[2], header[3]]),
        timestamp: word(header, 4),
        ssrc: word(header, 8),
    })
}

/// Whether CSRCs and extension have room behind the fixed header (RFC 3550 §5.1, §5.3.1). How long padding is
/// stands in the payload's last byte, which SRTP encrypts (RFC 3711 §3.1).
fn has_sound_lengths(first: u8, rest: &[u8]) -> bool {
    let Some(rest) = rest.get(usize::from(first & 0x0F) * 4..) else { return false };
    if first & 0x10 == 0 {
        return true;
    }
    let Some(extension) = rest.first_chunk::<EXTENSION_BYTES>() else { return false };
    let words = usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    rest.len() >= EXTENSION_BYTES + words * 4
}

/// The last report about a source in a compound RTCP packet (RFC 3550 §6.1). What is cut off or has a wrong
/// length ends the search.
#[must_use]
pub fn report_about(packet: &[u8], ssrc: u32) -> Option<Report> {
    let mut found = None;
    let mut rest = packet;
    while let [first, kind, high, low, ..] = *rest {
        let bytes = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        if first >> 6 != 2 || bytes > rest.len() {
            break;
        }
        let (one, behind) = rest.split_at(bytes);
        let blocks_at = match kind {
            SENDER_REPORT => RTCP_BYTES_MIN + SENDER_INFO_BYTES,
            RECEIVER_REPORT => RTCP_BYTES_MIN,
            _ => bytes,
        };
        let blocks = one.get(blocks_at..).unwrap_or_default().chunks_exact(REPORT_BLOCK_BYTES);
        for block in blocks.take(usize::from(first & 0x1F)).filter(|block| word(block, 0) == ssrc) {
            found = Some(read(block));
        }
        rest = behind;
    }
    found
}

fn read(block: &[u8]) -> Report {
    // 24 bits with a sign, below the fraction's byte.
    let lost = (word(block, 4) << 8).cast_signed() >> 8;
    Report { lost: lost.max(0).unsigned_abs(), jitter: word(block, 12) }
}

/// The callers have checked that it is there.
#[inline]
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}
