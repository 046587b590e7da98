//! G.711's two laws, the way in: from 16 bits linear, of which µ-law takes 14 and A-law 13 (ITU-T G.711
//! tables 1a to 2b; the same values as ITU-T G.191's `ulaw_compress` and `alaw_compress`).

use super::Law;

/// µ-law's first decision value is moved so that every segment begins at a power of two.
const MU_BIAS: u16 = 33;
const MU_MAGNITUDE_MAX: u16 = 0x1FFF;

#[must_use]
pub const fn encode(law: Law, sample: i16) -> u8 {
    match law {
        Law::Mu => mu(sample),
        Law::A => a(sample),
    }
}

/// What silence is as a byte: µ-law's positive zero; A-law has none, and this is the positive value next to
/// it.
#[must_use]
pub const fn silence(law: Law) -> u8 {
    encode(law, 0)
}

/// Sign, segment, place in the segment; sent with all bits inverted.
const fn mu(sample: i16) -> u8 {
    let biased = (magnitude(sample) >> 2) + MU_BIAS;
    let biased = if biased > MU_MAGNITUDE_MAX { MU_MAGNITUDE_MAX } else { biased };
    // The bias makes it 33 at least: bit 5 is the lowest that can be the highest.
    let segment = biased.ilog2() - 5;
    let place = (biased >> (segment + 1)) & 0x0F;
    !(sign(sample) | ((segment as u8) << 4) | place as u8)
}

/// Sign, segment, place in the segment; sent with every other bit inverted.
const fn a(sample: i16) -> u8 {
    let magnitude = magnitude(sample) >> 4;
    // The first two segments have steps of the same size.
    let (segment, place) = if magnitude < 32 {
        (magnitude >> 4, magnitude & 0x0F)
    } else {
        let segment = magnitude.ilog2() - 3;
        (segment as u16, (magnitude >> (segment - 1)) & 0x0F)
    };
    ((sign(sample) ^ 0x80) | ((segment as u8) << 4) | place as u8) ^ 0x55
}

/// Of one's complement, as G.191 has it: -1 is a zero too.
const fn magnitude(sample: i16) -> u16 {
    if sample < 0 { !sample.cast_unsigned() } else { sample.cast_unsigned() }
}

const fn sign(sample: i16) -> u8 {
    if sample < 0 { 0x80 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G.191 `ulaw_expand`.
    fn from_mu(byte: u8) -> i32 {
        let (exponent, mantissa) = ((!byte >> 4) & 7, i32::from(!byte & 0x0F));
        let magnitude = (0x80 << exponent) + (8 << exponent) * mantissa + (4 << exponent) - 4 * 33;
        if byte < 0x80 { -magnitude } else { magnitude }
    }

    /// G.191 `alaw_expand`.
    fn from_a(byte: u8) -> i32 {
        let (exponent, mantissa) = (((byte ^ 0x55) >> 4) & 7, i32::from((byte ^ 0x55) & 0x0F));
        let magnitude = match exponent {
            0 => (mantissa << 4) + 8,
            _ => (((mantissa + 16) << 4) + 8) << (exponent - 1),
        };
        if byte < 0x80 { -magnitude } else { magnitude }
    }

    #[test]
    fn the_ends_and_the_middle_are_those_of_the_tables() {
        let known = [
            // Linear, µ-law, A-law.
            (0, 0xFF, 0xD5),
            (-1, 0x7F, 0x55),
            (8, 0xFE, 0xD5),
            (16, 0xFD, 0xD4),
            (i16::MAX, 0x80, 0xAA),
            (i16::MIN, 0x00, 0x2A),
            // Table 2a: 8,031 of 14 bits is what µ-law's last interval stands for, and 7,903 begins it.
            (8_031 * 4, 0x80, 0xAA),
            (-8_031 * 4, 0x00, 0x2A),
            (7_903 * 4, 0x80, 0xAB),
            (7_902 * 4, 0x81, 0xAB),
            // Table 1a: 4,032 of 13 bits is what A-law's last interval stands for, and 3,968 begins it; 2,048
            // begins its last segment.
            (4_032 * 8, 0x80, 0xAA),
            (3_968 * 8, 0x80, 0xAA),
            (3_967 * 8, 0x80, 0xAB),
            (2_048 * 8, 0x8F, 0xA5),
        ];
        for (linear, mu, a) in known {
            assert_eq!((encode(Law::Mu, linear), encode(Law::A, linear)), (mu, a), "{linear}");
        }
    }

    #[test]
    fn every_code_is_what_its_own_value_encodes_to() {
        for byte in 0..=u8::MAX {
            // µ-law's negative zero is the value of the positive one.
            if byte != 0x7F {
                assert_eq!(encode(Law::Mu, from_mu(byte) as i16), byte);
            }
            assert_eq!(encode(Law::A, from_a(byte) as i16), byte);
        }
    }

    #[test]
    fn no_sample_is_further_off_than_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let magnitude = i32::from(sample).abs();
            // A step is 1/16 of its segment, and a segment as long as all that is below it.
            let allowed = (magnitude + 132) / 32 + 4;
            let off = (from_mu(encode(Law::Mu, sample)) - i32::from(sample)).abs();
            // What is beyond the last value is clipped to it.
            assert!(off <= allowed.max(magnitude - 32_124), "µ-law: {sample} is {off} off");
            let off = (from_a(encode(Law::A, sample)) - i32::from(sample)).abs();
            assert!(off <= (magnitude / 32).max(8) + 8, "A-law: {sample} is {off} off");
        }
    }
}
