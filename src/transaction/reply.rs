//! Responses to a request: where they go and what they copy (RFC 3261 §8.2.6, §18.2, RFC 3581).

use crate::sip::message::TopVia;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Status};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// Where a response to a request from `source` goes: back to the very port with `rport`, else to the
/// port of sent-by at the address that the request came from (RFC 3261 §18.2.2, RFC 3581 §4).
///
/// `maddr` is left out of account, against §18.2.2. It is there for requests to a multicast group, and no
/// listener of ours joins one. To anyone else it would lend our address: one datagram with another's address
/// in `maddr` has a 200 sent there over and over, larger than what asked for it, and no network has to let
/// a forged source pass for that. Where `maddr` is the sender's own address nothing changes without it.
/// `ttl` has a meaning only with a group.
#[must_use]
pub fn destination(via: &TopVia<'_>, source: SocketAddr) -> SocketAddr {
    let port = match via.port {
        _ if via.wants_rport => source.port(),
        // Nothing can be sent there.
        Some(0) => source.port(),
        port => port.unwrap_or(5060),
    };
    // Not made anew from the address alone: a link-local one is reached by its scope.
    let mut destination = source;
    destination.set_port(port);
    destination
}

/// Writes a whole bodiless response without Contact. `to_tag` is added when the request's To has none.
pub fn write(
    out: &mut Vec<u8>,
    request: &Message<'_>,
    source: SocketAddr,
    (status, reason): (Status, &[u8]),
    to_tag: &[u8],
    extra: impl FnOnce(&mut Writer<'_>),
) {
    let mut writer = Writer::new(out);
    writer.status_line(status, reason);
    write_head(out, request, source, to_tag);
    let mut writer = Writer::new(out);
    extra(&mut writer);
    writer.body(b"");
}

/// Writes Via, From, To, Call-ID and CSeq of a response, in this order.
pub fn write_head(out: &mut Vec<u8>, request: &Message<'_>, source: SocketAddr, to_tag: &[u8]) {
    write_vias(out, request, source);
    let mut writer = Writer::new(out);
    writer.header(HeaderName::From, request.header(HeaderName::From).unwrap_or_default());
    writer.name(HeaderName::To).raw(request.header(HeaderName::To).unwrap_or_default());
    if request.to_tag().is_empty() && !to_tag.is_empty() {
        writer.raw(b";tag=").raw(to_tag);
    }
    writer.end_line();
    writer.header(HeaderName::CallId, request.call_id());
    writer.header(HeaderName::CSeq, request.header(HeaderName::CSeq).unwrap_or_default());
}

fn write_vias(out: &mut Vec<u8>, request: &Message<'_>, source: SocketAddr) {
    for (position, value) in request.values(HeaderName::Via).enumerate() {
        let mut rest = value;
        let mut writer = Writer::new(out);
        writer.name(HeaderName::Via);
        if let (0, Some(via)) = (position, request.top_via()) {
            write_top_via(out, &via, source);
            // The scanner's text starts where the value starts: what follows it is the list's rest.
            rest = value.get(via.text.len()..).unwrap_or_default();
        }
        let mut writer = Writer::new(out);
        writer.raw(rest).end_line();
    }
}

/// The topmost Via with `received` and `rport` filled in. The sender's own `received` goes, for the one that
/// we write must not be the second; an `rport` beside one that is to be filled goes for the same reason.
fn write_top_via(out: &mut Vec<u8>, via: &TopVia<'_>, source: SocketAddr) {
    let (sent_by, params) = match memchr::memchr(b';', via.text) {
        Some(position) => via.text.split_at(position),
        None => (via.text, &[][..]),
    };
    out.extend_from_slice(sent_by);
    let mut is_rport_due = via.wants_rport;
    for (name, param) in split_params(params) {
        if name.eq_ignore_ascii_case(b"received") {
            continue;
        }
        if via.wants_rport && name.eq_ignore_ascii_case(b"rport") {
            if is_rport_due {
                write_text(out, format_args!(";rport={}", source.port()));
            }
            is_rport_due = false;
            continue;
        }
        out.push(b';');
        out.extend_from_slice(param);
    }
    // A socket of both families tells an IPv4 peer as `::ffff:192.0.2.1`.
    let ip = source.ip().to_canonical();
    if via.wants_rport || host_ip(via.host) != Some(ip) {
        write_text(out, format_args!(";received={ip}"));
    }
}

fn host_ip(host: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(host).ok()?;
    let ip: IpAddr = text.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(ip.to_canonical())
}

fn write_text(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = out.write_fmt(text);
}

/// The parameters of `;a;b=c;d="e;f"`: name and whole text of each, without white space around them.
fn split_params(params: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = params;
    std::iter::from_fn(move || {
        let after = rest.strip_prefix(b";")?;
        let end = unquoted_semicolon(after);
        let param = trim(&after[..end]);
        rest = &after[end..];
        let name = param.split(|&byte| byte == b'=').next().unwrap_or_default();
        Some((trim(name), param))
    })
}

/// The text without blanks around it. Any other byte belongs to a value, which a peer wants back as it was.
fn trim(text: &[u8]) -> &[u8] {
    let is_other = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = text.iter().position(is_other).unwrap_or(text.len());
    let end = text.iter().rposition(is_other).map_or(start, |last| last + 1);
    &text[start..end]
}

fn unquoted_semicolon(text: &[u8]) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for (position, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => return position,
            _ => {}
        }
    }
    text.len()
}
