//! Our own diversions, as a call keeps them.

use crate::directory::Condition;
use crate::limits::DIVERSIONS_MAX;
use crate::service::Reason;

/// One diversion of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop<'a> {
    /// The Request-URI before it, without parameters: `sip:1004@host`.
    pub diverting: &'a [u8],
    /// The URI that the call was diverted to, without parameters: `sip:1005@host`.
    pub target: &'a [u8],
    pub reason: Reason,
    /// The final response that led to it, 408 where nothing came in time (RFC 7044 §10.2); 0: nobody was
    /// asked.
    pub status: u16,
    /// Those beyond trusted peers are not to know who diverted.
    pub is_private: bool,
}

/// What stands before a hop's URIs where it is kept: reason, status, privacy, the lengths of the URIs.
const HEAD_BYTES: usize = 8;

impl<'a> Hop<'a> {
    /// Appends the hop as it is kept. A URI that is longer than any target may be is cut.
    pub fn push(&self, out: &mut Vec<u8>) {
        let uri = |uri: &'a [u8]| &uri[..uri.len().min(usize::from(u16::MAX))];
        let (diverting, target) = (uri(self.diverting), uri(self.target));
        out.extend_from_slice(&[encoded(self.reason), u8::from(self.is_private)]);
        // Both fit, cut above.
        for number in [self.status, diverting.len() as u16, target.len() as u16] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(diverting);
        out.extend_from_slice(target);
    }

    /// The hops that were kept, oldest first.
    pub fn all(kept: &'a [u8]) -> impl Iterator<Item = Hop<'a>> + Clone {
        let mut rest = kept;
        std::iter::from_fn(move || {
            let (&head, behind) = rest.split_first_chunk::<HEAD_BYTES>()?;
            let [reason, is_private, status @ .., d0, d1, t0, t1] = head;
            let (diverting, behind) = behind.split_at_checked(u16::from_be_bytes([d0, d1]).into())?;
            let (target, behind) = behind.split_at_checked(u16::from_be_bytes([t0, t1]).into())?;
            rest = behind;
            let status = u16::from_be_bytes(status);
            Some(Hop { diverting, target, reason: decoded(reason), status, is_private: is_private == 1 })
        })
    }
}

/// A call's own diversions, oldest first.
#[derive(Clone, Copy)]
pub(super) struct Hops<'a> {
    items: [Option<Hop<'a>>; DIVERSIONS_MAX],
    count: usize,
}

impl<'a> Hops<'a> {
    /// Those that were kept.
    pub fn read(kept: &'a [u8]) -> Hops<'a> {
        let mut hops = Hops { items: [None; DIVERSIONS_MAX], count: 0 };
        for (place, hop) in hops.items.iter_mut().zip(Hop::all(kept)) {
            *place = Some(hop);
            hops.count += 1;
        }
        hops
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Hop<'a>> + Clone {
        self.items[..self.count].iter().copied().flatten()
    }

    pub fn first(&self) -> Option<Hop<'a>> {
        self.items[0]
    }

    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

const fn encoded(reason: Reason) -> u8 {
    match reason {
        Reason::Set(condition) => condition as u8,
        Reason::Deflection { alerting: false } => 16,
        Reason::Deflection { alerting: true } => 17,
    }
}

fn decoded(byte: u8) -> Reason {
    match byte {
        16 | 17 => Reason::Deflection { alerting: byte == 17 },
        _ => {
            let known = Condition::ALL.into_iter().find(|condition| *condition as u8 == byte);
            Reason::Set(known.unwrap_or(Condition::Unconditional))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_read_as_they_were_kept() {
        let hops = [
            Hop {
                diverting: b"sip:1004@h",
                target: b"sip:1005@h",
                reason: Reason::Set(Condition::NoAnswer),
                status: 408,
                is_private: true,
            },
            Hop {
                diverting: b"sip:1005@h",
                target: b"sip:+49@gw",
                reason: Reason::Deflection { alerting: true },
                status: 302,
                is_private: false,
            },
        ];
        let mut kept = Vec::new();
        hops.iter().for_each(|hop| hop.push(&mut kept));
        assert!(Hop::all(&kept).eq(hops));
        assert_eq!(Hop::all(&kept[..kept.len() - 1]).count(), 1);
    }
}
