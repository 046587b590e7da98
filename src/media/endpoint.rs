//! One stream of one party: what it has described, from where it sends, what it sent and got.

use super::figures::{Received, Sent};
use super::latch::{Described, Latch, Mark, Party, TASTED_MAX};
use super::rtp::{self, Kind};
use super::tone::Playing;
use super::{Component, Dropped, Family, Figures, Remote, Slot};
use crate::clock::{Moment, Now};
use crate::settings::Learning;
use crate::slab::Handle;
use std::net::SocketAddr;

/// An anchored call that is forwarded has four, beside what it needs without media: 3 of its 8 KiB.
const ENDPOINT_BYTES_MAX: usize = 768;

const _: () = assert!(size_of::<Endpoint>() <= ENDPOINT_BYTES_MAX, "a call has several");

#[derive(Debug)]
pub struct Endpoint {
    pub slot: Slot,
    pub family: Family,
    /// Whom it is joined to.
    pub peer: Option<Handle>,
    /// What counts, and what was described since.
    pub current: Option<Remote>,
    pub next: Option<Remote>,
    rtp: Latch,
    rtcp: Latch,
    /// How many packets may still be relayed though nothing has locked.
    tastes_left: u8,
    received: Received,
    pub sent: Sent,
    pub dropped: u64,
    /// When the last packet was taken, or what counts was described.
    pub heard: Option<Now>,
    /// The tone that it gets.
    pub playing: Option<Playing>,
}

/// A packet that was taken from a party.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub kind: Taking,
    /// It sends RTCP on the RTP port too.
    pub has_mux: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// RTP by its SSRC, or any packet of a stream that is no RTP.
    Stream {
        ssrc: Option<u32>,
    },
    Rtcp,
    /// DTLS or ZRTP: it goes where it came, and is no part of the figures.
    Keys,
}

impl Endpoint {
    pub fn new(slot: Slot, family: Family) -> Endpoint {
        Endpoint {
            slot,
            family,
            peer: None,
            current: None,
            next: None,
            rtp: Latch::default(),
            rtcp: Latch::default(),
            tastes_left: TASTED_MAX,
            received: Received::default(),
            sent: Sent::default(),
            dropped: 0,
            heard: None,
            playing: None,
        }
    }

    /// What was described last counts. Whether it is a change.
    pub fn settle(&mut self, now: Now) -> bool {
        let Some(remote) = self.next.take() else { return false };
        let is_change = self.current != Some(remote);
        // Describing a change is a sign of life: after a hold nothing has come for long.
        if is_change {
            self.heard = Some(now);
        }
        self.current = Some(remote);
        let family = self.family;
        let described = |place: Option<SocketAddr>| match place {
            Some(place) if Family::of(&place) == family => Described::At(place),
            None if remote.is_held => Described::Hold,
            // A name; or an address of a family that the sockets do not reach.
            _ => Described::OutOfReach,
        };
        self.rtp.describe(now, described(remote.rtp), remote.host);
        self.rtcp.describe(now, described(remote.rtcp), remote.host);
        is_change
    }

    /// As long as nothing has locked, what comes now may.
    pub fn reopen(&mut self, now: Now) {
        self.rtp.reopen(now);
        self.rtcp.reopen(now);
    }

    /// Takes a packet that came by one of its sockets, and counts it; or says why not.
    #[inline]
    pub fn take(
        &mut self,
        at: Moment,
        learning: Learning,
        component: Component,
        source: SocketAddr,
        packet: &[u8],
    ) -> Result<Taken, Dropped> {
        // Whoever has described nothing may send nothing.
        let Some(remote) = &self.current else { return Err(Dropped::Source) };
        let &Remote { is_rtp, has_mux, clock_hz, .. } = remote;
        let (latch, known) = match component {
            Component::Rtp => (&mut self.rtp, None),
            Component::Rtcp => (&mut self.rtcp, self.rtp.locked_host()),
        };
        let party = Party { learning, is_rtp, known };
        let tastes = &mut self.tastes_left;
        let kind = if !is_rtp {
            if !latch.take(at, source, None, party, tastes) {
                return Err(Dropped::Source);
            }
            self.received.count(packet.len());
            Taking::Stream { ssrc: None }
        } else {
            match (rtp::classify(packet), component) {
                (Kind::Rtp(header), Component::Rtp) => {
                    let mark = Mark { ssrc: header.ssrc, sequence: Some(header.sequence) };
                    if !latch.take(at, source, Some(mark), party, tastes) {
                        return Err(Dropped::Source);
                    }
                    self.received.count_rtp(at, header, packet.len(), clock_hz);
                    Taking::Stream { ssrc: Some(header.ssrc) }
                }
                (Kind::Rtcp { ssrc }, component) if has_mux || component == Component::Rtcp => {
                    let mark = Mark { ssrc, sequence: None };
                    if !latch.take(at, source, Some(mark), party, tastes) {
                        return Err(Dropped::Source);
                    }
                    if let Some(report) = self.sent.ssrc().and_then(|ssrc| rtp::report_about(packet, ssrc)) {
                        self.sent.report(report);
                    }
                    Taking::Rtcp
                }
                // Before them there is no RTP.
                (Kind::Keys, _) if latch.take(at, source, None, party, tastes) => Taking::Keys,
                (Kind::Keys, _) => return Err(Dropped::Source),
                (Kind::Stun, _) => return Err(Dropped::Stun),
                (Kind::Rtp(_) | Kind::Rtcp { .. } | Kind::Malformed, _) => return Err(Dropped::Malformed),
            }
        };
        self.heard = Some(at.now());
        Ok(Taken { kind, has_mux })
    }

    /// By which socket and to where the party gets what the other one sent. RTCP shares the RTP port only if
    /// both have described that: each was told what the other said (RFC 5761 §5.1.1).
    #[inline]
    pub fn way(&self, component: Component, taken: Taken) -> Option<(Component, SocketAddr)> {
        let remote = self.current.as_ref()?;
        let by = match taken.kind {
            Taking::Stream { .. } | Taking::Keys => component,
            Taking::Rtcp if taken.has_mux && remote.has_mux => Component::Rtp,
            Taking::Rtcp => Component::Rtcp,
        };
        let latch = match by {
            Component::Rtp => &self.rtp,
            Component::Rtcp => &self.rtcp,
        };
        Some((by, latch.destination()?))
    }

    /// Where a tone goes.
    pub fn rtp_place(&self) -> Option<SocketAddr> {
        self.rtp.destination()
    }

    pub fn figures(&self) -> Figures {
        let clock_hz = self.current.or(self.next).map_or(0, |remote| remote.clock_hz);
        let (received, sent) = (self.received.flow(clock_hz), self.sent.flow(clock_hz));
        Figures { received, sent, dropped: self.dropped }
    }
}
