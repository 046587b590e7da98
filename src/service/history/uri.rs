//! URIs as the header fields have them.

use crate::sip::Uri;
use crate::sip::uri::Scheme;
use crate::sip::write::Writer;

/// Who is not to be told (RFC 3323 §4.1.1.3).
pub(super) const ANONYMOUS: &[u8] = b"sip:anonymous@anonymous.invalid";

/// Who is not known (RFC 7544 §5).
pub(super) const UNKNOWN: &[u8] = b"sip:unknown@unknown.invalid";

/// What an entry of History-Info says in its URI besides whose it is.
#[derive(Clone, Copy, Default)]
pub(super) struct Extras {
    /// RFC 4458 §2.
    pub cause: Option<u16>,
    /// `Some(false)`: that there is nothing to hide.
    pub is_private: Option<bool>,
    /// The final response that made the call go on from there; 0: none (RFC 7044 §10.2).
    pub status: u16,
}

/// Writes a URI without a cause and header fields of its own, with these. A tel URI becomes a sip URI, for it
/// can have neither (RFC 7544 §5, note 3).
pub(super) fn write_with(writer: &mut Writer<'_>, text: &[u8], extras: &Extras) {
    match Uri::parse(text) {
        Ok(Uri { scheme: Scheme::Tel, .. }) => {
            let number = memchr::memchr(b':', text).map_or(text, |colon| &text[colon + 1..]);
            writer.raw(b"sip:").raw(number).raw(b"@unknown.invalid;user=phone");
        }
        Ok(uri) => write_plain(writer, text, &uri),
        Err(_) => {
            writer.raw(text);
        }
    }
    extras.write(writer);
}

/// The same without anything of its own: as Diversion has it, where a tel URI may stay.
pub(super) fn write_bare(writer: &mut Writer<'_>, text: &[u8]) {
    match Uri::parse(text) {
        Ok(uri) if uri.scheme != Scheme::Tel => write_plain(writer, text, &uri),
        _ => {
            writer.raw(text);
        }
    }
}

/// Writes a Request-URI as the address of the number that was called: without its parameters, its password
/// and the port that is meant anyway.
pub(super) fn write_address(writer: &mut Writer<'_>, text: &[u8]) {
    match Uri::parse(text) {
        Ok(uri) if uri.scheme == Scheme::Tel => {
            writer.raw(b"sip:").raw(uri.user).raw(b"@unknown.invalid;user=phone");
        }
        Ok(uri) if !uri.host.is_empty() => {
            writer.raw(if uri.scheme == Scheme::Sips { b"sips:" } else { b"sip:" });
            if !uri.user.is_empty() {
                writer.raw(uri.user).raw(b"@");
            }
            writer.raw(uri.host);
            if let Some(port) = uri.port.filter(|&port| port != 5060) {
                writer.raw(b":").number(u64::from(port));
            }
        }
        _ => {
            writer.raw(UNKNOWN);
        }
    }
}

/// Whether two URIs are one address: the same user at the same host and port; at no host, of a tel URI.
pub(super) fn is_same_address(left: &[u8], right: &[u8]) -> bool {
    let (Ok(left), Ok(right)) = (Uri::parse(left), Uri::parse(right)) else { return false };
    let has_no_host = left.scheme == Scheme::Tel || right.scheme == Scheme::Tel;
    let port = |uri: &Uri<'_>| uri.port.unwrap_or(5060);
    Uri::same_user(left.user, right.user)
        && (has_no_host || left.host.eq_ignore_ascii_case(right.host) && port(&left) == port(&right))
}

/// `;a;b="c;d"` parameter by parameter, without the semicolons.
pub(super) fn params(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    let params = text.split(move |&byte| {
        let is_end = byte == b';' && !is_quoted;
        is_quoted ^= byte == b'"' && !is_escaped;
        is_escaped = is_quoted && byte == b'\\' && !is_escaped;
        is_end
    });
    params.map(<[u8]>::trim_ascii).filter(|param| !param.is_empty())
}

/// Whether a parameter has this name.
pub(super) fn is_named(param: &[u8], name: &[u8]) -> bool {
    let end = memchr::memchr(b'=', param).unwrap_or(param.len());
    param[..end].trim_ascii().eq_ignore_ascii_case(name)
}

fn write_plain(writer: &mut Writer<'_>, text: &[u8], uri: &Uri<'_>) {
    writer.raw(&text[..text.len() - uri.params.len() - uri.headers.len()]);
    for param in params(uri.params).filter(|param| !is_named(param, b"cause")) {
        writer.raw(b";").raw(param);
    }
}

impl Extras {
    pub fn write(&self, writer: &mut Writer<'_>) {
        if let Some(cause) = self.cause {
            writer.raw(b";cause=").number(u64::from(cause));
        }
        let mut before: &[u8] = b"?";
        if let Some(is_private) = self.is_private {
            writer.raw(before).raw(if is_private { b"Privacy=history" } else { b"Privacy=none" });
            before = b"&";
        }
        if self.status > 0 {
            writer.raw(before).raw(b"Reason=SIP%3Bcause%3D").number(u64::from(self.status));
        }
    }
}
