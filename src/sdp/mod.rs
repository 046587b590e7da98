//! Session descriptions (RFC 4566, RFC 8866, RFC 3264): read, told again in the server's own name, or made.

mod inactive;

pub use inactive::{Origin, Unusable, answer_inactive, offer_inactive};

use crate::media::{G711, Remote};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// A description that was read; it borrows its text.
#[derive(Debug)]
pub struct Description<'a> {
    text: &'a [u8],
    streams: Vec<Stream>,
}

/// A stream: an `m=` line with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// 0: refused.
    pub port: u16,
    /// Where it wants to be sent to; `None`: a host name, or none is named.
    pub address: Option<IpAddr>,
    /// `a=rtcp` (RFC 3605): the port, and the address where that is another.
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    /// `a=rtcp-mux` (RFC 5761).
    pub has_mux: bool,
    /// It does not both send and receive, or its address is 0.0.0.0.
    pub is_held: bool,
    /// It goes over UDP, so that it can be relayed.
    pub is_udp: bool,
    pub is_rtp: bool,
    pub is_audio: bool,
    /// The clock of its first format in Hz; 8,000 where it is not known.
    pub clock_hz: u32,
    /// The first of its formats that is G.711.
    pub g711: Option<G711>,
}

/// What a side was told last, as its own session (RFC 3264 §8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The session's identifier in `o=`; 0: none was told yet, and one is needed first.
    pub id: u64,
    pub version: u64,
    hash: u64,
}

impl Told {
    /// Nothing yet; `id` tells the session from others of the server's.
    #[must_use]
    pub const fn new(id: u64) -> Told {
        Told { id, version: id, hash: 0 }
    }

    /// Whether it has an identifier.
    #[must_use]
    pub const fn has_id(&self) -> bool {
        self.id != 0
    }

    /// Whether anything was told.
    #[must_use]
    pub const fn is_some(&self) -> bool {
        self.hash != 0
    }
}

impl<'a> Description<'a> {
    /// Reads a description.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn read(text: &'a [u8]) -> Result<Description<'a>, Unusable> {
        Ok(Description { text, streams: Vec::new() })
    }

    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }
}

impl Stream {
    /// What the relay needs to know of it. `host`: where the party's signalling comes from.
    #[must_use]
    pub fn remote(&self, host: IpAddr) -> Remote {
        let _ = self;
        Remote {
            rtp: None,
            rtcp: None,
            host,
            is_rtp: true,
            has_mux: false,
            is_held: false,
            clock_hz: 8_000,
            g711: None,
        }
    }
}

/// Writes a description in the server's own name: `own` is its address, `places` are its RTP addresses, one
/// for each stream; `None` refuses the stream. Everything that is not about addresses stays as it is.
pub fn rewrite(
    out: &mut Vec<u8>,
    description: &Description<'_>,
    told: &mut Told,
    (own, places): (IpAddr, &[Option<SocketAddr>]),
) {
    let _ = (told, own, places);
    out.extend_from_slice(description.text);
}

/// Where the session description is in a body of this Content-Type; `None`: there is none.
#[must_use]
pub fn find(content_type: &[u8], body: &[u8]) -> Option<Range<usize>> {
    let _ = content_type;
    Some(0..body.len())
}

/// Writes a body whose part `part` is written anew by `write`.
pub fn splice(out: &mut Vec<u8>, body: &[u8], part: Range<usize>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&body[..part.start]);
    write(out);
    out.extend_from_slice(&body[part.end..]);
}
