//! Which new INVITEs are taken, and for whom.

use super::session::SessionTimer;
use crate::directory::{Entry, View};
use crate::ids;
use crate::limits;
use crate::service::codes;
use crate::settings::{Listener, Settings};
use crate::signalling::unsupported;
use crate::sip::name_addr::split_list;
use crate::sip::uri::Scheme;
use crate::sip::{HeaderName, Message, NameAddr, Status, Uri, Via};

/// What an INVITE is for.
pub(super) enum Called<'d> {
    Subscriber(&'d Entry),
    /// A feature code: nobody is called.
    Code,
}

/// Checks a new INVITE in the order of RFC 3261 §8.2 and §16.3 and finds whom it is for.
pub(super) fn admit<'d>(
    settings: &Settings,
    directory: &'d View<'_>,
    invite: &Message<'_>,
) -> Result<Called<'d>, Status> {
    let uri = Uri::parse(invite.request_uri()).map_err(|_| Status::BAD_REQUEST)?;
    if uri.scheme == Scheme::Other {
        return Err(Status::UNSUPPORTED_URI_SCHEME);
    }
    if invite.max_forwards() == Some(0) {
        return Err(Status::TOO_MANY_HOPS);
    }
    if unsupported(invite).next().is_some() {
        return Err(Status::BAD_EXTENSION);
    }
    SessionTimer::NONE.asked(invite)?;
    if came_from_us(settings, invite) {
        return Err(Status::LOOP_DETECTED);
    }
    // Our own INVITEs are made of it.
    let from = invite.header(HeaderName::From).unwrap_or_default();
    NameAddr::parse(from).and_then(|from| Uri::parse(from.uri)).map_err(|_| Status::BAD_REQUEST)?;
    match find(directory, uri.user) {
        Some(called) => Ok(Called::Subscriber(called)),
        None if is_code(settings, uri.user) => Ok(Called::Code),
        None => Err(Status::NOT_FOUND),
    }
}

/// The subscriber with this number, escapes decoded (RFC 3261 §19.1.4).
fn find<'d>(directory: &'d View<'_>, number: &[u8]) -> Option<&'d Entry> {
    let mut decoded = [0; limits::NUMBER_BYTES_MAX];
    directory.get(Uri::decoded_user(number, &mut decoded)?)
}

/// Whether a number that nobody has is a feature code, if anything.
fn is_code(settings: &Settings, number: &[u8]) -> bool {
    let first = Uri::first_byte(number);
    settings.forwarding.codes.is_some() && first.is_some_and(|(first, _)| codes::is_code(&[first]))
}

/// Whether the INVITE went through us before: its topmost Via below the sender's bears a branch of ours'
/// form and one of our own addresses (RFC 5393 §4 asks for loop detection; a B2BUA's call that comes back
/// by way of a proxy still carries the Via that we wrote).
fn came_from_us(settings: &Settings, invite: &Message<'_>) -> bool {
    let vias = invite.values(HeaderName::Via).flat_map(split_list);
    vias.filter_map(|via| Via::parse(via).ok()).any(|via| {
        settings.listeners.iter().any(|listener| is_sent_by(listener, &via))
            && via.branch().starts_with(ids::MAGIC_COOKIE)
            && via.branch().len() == ids::BRANCH_BYTES
    })
}

fn is_sent_by(listener: &Listener, via: &Via<'_>) -> bool {
    let sent_by = listener.sent_by.as_bytes();
    let Some(rest) = sent_by.strip_prefix(via.host) else { return false };
    let port = via.port.unwrap_or(5060);
    rest.strip_prefix(b":")
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .map_or(rest.is_empty() && port == 5060, |digits| digits.parse() == Ok(port))
}
