//! Reads a REGISTER: what it asks for (RFC 3261 §10.3, RFC 3327, RFC 5626 §6).

use super::binding::{Change, Contacts};
use super::contact::{self, Common};
use super::refused::Refused;
use crate::clock::UnixSeconds;
use crate::directory::Binding;
use crate::limits;
use crate::settings::Settings;
use crate::signalling::{Request, unsupported};
use crate::sip::name_addr::split_list;
use crate::sip::number::leading_number;
use crate::sip::uri::Scheme;
use crate::sip::{HeaderName, Message, NameAddr, Status, Uri};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};

/// The user part of the address-of-record, escapes decoded (in `room` where there are any): To names it, on
/// whatever host (RFC 3261 §10.3 steps 1 to 5).
pub(super) fn address_of_record<'m>(
    register: &Message<'m>,
    room: &'m mut [u8; limits::NUMBER_BYTES_MAX],
) -> Result<&'m [u8], Refused> {
    let domain = Uri::parse(register.request_uri()).map_err(|_| Refused::bad("Malformed Request-URI"))?;
    if !matches!(domain.scheme, Scheme::Sip | Scheme::Sips) {
        return Err(Status::UNSUPPORTED_URI_SCHEME.into());
    }
    if unsupported(register).next().is_some() {
        return Err(Status::BAD_EXTENSION.into());
    }
    let to = register.header(HeaderName::To).unwrap_or_default();
    let to = NameAddr::parse(to).and_then(|to| Uri::parse(to.uri));
    let to = to.map_err(|_| Refused::bad("Malformed To"))?;
    if !matches!(to.scheme, Scheme::Sip | Scheme::Sips) {
        return Err(Refused::bad("To Is No SIP URI"));
    }
    // A number longer than any is nobody's.
    Ok(Uri::decoded_user(to.user, room).unwrap_or_default())
}

/// The change that a REGISTER asks for; `None`: it only wants to know the bindings.
pub(super) fn change(
    settings: &Settings,
    request: &Request<'_>,
    now: UnixSeconds,
) -> Result<Option<Change>, Refused> {
    let message = &request.message;
    let contacts_max = usize::from(settings.registration.contacts_max) * limits::CONTACTS_PER_BINDING;
    let mut list: [&[u8]; limits::CONTACTS_MAX * limits::CONTACTS_PER_BINDING] = Default::default();
    let mut count = 0;
    for contact in message.values(HeaderName::Contact).flat_map(split_list) {
        // Counted before any of them is looked into.
        let place = list.get_mut(count).filter(|_| count < contacts_max);
        *place.ok_or(Refused::forbidden("Too Many Contacts"))? = contact;
        count += 1;
    }
    let list = &list[..count];
    if list.is_empty() {
        return match message.has(HeaderName::Contact) {
            true => Err(Refused::bad("Malformed Contact")),
            false => Ok(None),
        };
    }
    let call_id = call_id(message.call_id());
    let cseq = message.cseq().map_or(0, |cseq| cseq.number);
    let contacts = match list.contains(&&b"*"[..]) {
        true => remove_all(message, list)?,
        false => Contacts::Update(bindings(settings, &common(request, (call_id, cseq), now)?, list)?),
    };
    Ok(Some(Change { call_id, cseq, contacts }))
}

/// Whether an option tag is among those that Supported names.
pub(super) fn supports(message: &Message<'_>, tag: &[u8]) -> bool {
    message.values(HeaderName::Supported).flat_map(split_list).any(|other| other.eq_ignore_ascii_case(tag))
}

/// `Contact: *` stands alone, with `Expires: 0` (RFC 3261 §10.2.2).
fn remove_all(message: &Message<'_>, list: &[&[u8]]) -> Result<Contacts, Refused> {
    if list.len() > 1 {
        return Err(Refused::bad("Contact * Not Alone"));
    }
    match message.header(HeaderName::Expires).and_then(leading_number) {
        Some((0, [])) => Ok(Contacts::RemoveAll),
        _ => Err(Refused::bad("Contact * Without Expires: 0")),
    }
}

fn bindings(settings: &Settings, common: &Common<'_>, list: &[&[u8]]) -> Result<Vec<Binding>, Refused> {
    let read = list.iter().map(|contact| contact::binding(settings, common, contact));
    let bindings: Vec<Binding> = read.collect::<Result<_, Refused>>()?;
    // RFC 5626 §6: a flow is registered alone.
    let mut added = bindings.iter().filter(|binding| common.now < binding.expires_at);
    if added.clone().count() > 1 && added.any(has_flow) {
        return Err(Refused::bad("More Contacts Beside reg-id"));
    }
    Ok(bindings)
}

pub(super) fn has_flow(binding: &Binding) -> bool {
    binding.extras.as_ref().is_some_and(|extras| extras.reg_id > 0)
}

fn common<'m>(
    request: &Request<'m>,
    (call_id, cseq): (u64, u32),
    now: UnixSeconds,
) -> Result<Common<'m>, Refused> {
    let message = &request.message;
    let path = Path::read(message, request.source)?;
    let keeps_flows = message.has_one_via() || path.keeps_flows;
    if !keeps_flows && supports(message, b"outbound") && has_reg_id(message) {
        return Err(Status::FIRST_HOP_LACKS_OUTBOUND_SUPPORT.into());
    }
    Ok(Common {
        source: request.source,
        listener: request.listener,
        is_behind_nat: sent_by(message) != Some(canonical(request.source)),
        expires: message.header(HeaderName::Expires),
        path: path.text,
        path_destination: path.destination,
        keeps_flows,
        call_id,
        cseq,
        now,
    })
}

fn has_reg_id(message: &Message<'_>) -> bool {
    let contacts = message.values(HeaderName::Contact).flat_map(split_list);
    contacts
        .filter_map(|contact| NameAddr::parse(contact).ok())
        .any(|contact| contact.param("reg-id").is_some() && contact.param("+sip.instance").is_some())
}

/// The address that the topmost Via names; `None`: a name.
fn sent_by(message: &Message<'_>) -> Option<SocketAddr> {
    let via = message.top_via()?;
    let host = std::str::from_utf8(via.host).ok()?;
    let ip: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(SocketAddr::new(ip.to_canonical(), via.port.unwrap_or(5060)))
}

/// A source without what only the socket knows of it.
fn canonical(source: SocketAddr) -> SocketAddr {
    SocketAddr::new(source.ip().to_canonical(), source.port())
}

/// Stands for a Call-ID: the first bytes of its SHA-256. Whoever is not its author cannot make another.
fn call_id(text: &[u8]) -> u64 {
    let digest = Sha256::digest(text);
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The Path header fields (RFC 3327).
struct Path {
    /// See [`crate::directory::Extras::path`].
    text: Box<str>,
    /// Where the first one leads.
    destination: Option<SocketAddr>,
    /// The first one has `ob` (RFC 5626 §5.1).
    keeps_flows: bool,
}

impl Path {
    fn read(message: &Message<'_>, source: SocketAddr) -> Result<Path, Refused> {
        let mut path = Path { text: Box::default(), destination: None, keeps_flows: false };
        let mut text = String::new();
        for value in message.values(HeaderName::Path).flat_map(split_list) {
            let bad = Refused::bad("Malformed Path");
            let uri = NameAddr::parse(value).and_then(|value| Uri::parse(value.uri)).map_err(|_| bad)?;
            let is_sound = value.iter().all(|byte| *byte == b' ' || byte.is_ascii_graphic());
            let value = std::str::from_utf8(value).ok().filter(|_| is_sound).ok_or(bad)?;
            if text.is_empty() {
                path.destination = Some(next_hop(&uri, source)?);
                path.keeps_flows = uri.param("ob").is_some();
            } else {
                text.push_str(", ");
            }
            // It becomes a Route: without `lr` it would be a strict router's (RFC 3327 §5.1).
            if uri.param("lr").is_none() {
                return Err(Refused::bad("Path Without lr"));
            }
            if text.len() + value.len() > limits::PATH_BYTES_MAX {
                return Err(Refused::bad("Path Too Long"));
            }
            text.push_str(value);
        }
        path.text = text.into();
        Ok(path)
    }
}

/// Where the first Path leads: to an address by UDP, for no name is looked up.
fn next_hop(uri: &Uri<'_>, source: SocketAddr) -> Result<SocketAddr, Refused> {
    let transport = uri.param("transport").unwrap_or(b"udp");
    if uri.scheme != Scheme::Sip || !transport.eq_ignore_ascii_case(b"udp") {
        return Err(Refused::bad("Path Transport Not UDP"));
    }
    let destination = contact::own_address(uri).ok_or(Refused::bad("Path Host Not An IP Address"))?;
    match contact::is_reachable(destination, source) {
        true => Ok(destination),
        false => Err(Refused::bad("Path Cannot Be Reached")),
    }
}
