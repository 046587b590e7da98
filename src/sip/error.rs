//! What can be wrong with a message, sorted by what is to be done about it.

use super::HeaderName;

/// Why a datagram is not an acceptable SIP message (RFC 3261 §7, §8.2, §18.3; SIP_RULES 27).
///
/// After a fault the index holds whatever was read, so that a response can be built when Via, From,
/// To, Call-ID and CSeq are all usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing but CR, LF, NUL or blanks: a keep-alive of RFC 5626 §3.5.1 or of an old phone.
    KeepAlive,
    /// The first line is neither a Request-Line nor a Status-Line. Nothing behind it is read, and the
    /// message counts neither as a request nor as a response.
    NotSip,
    /// A Request-Line that is one by its last word, `SIP/…`, and not by the rest: blanks that do not
    /// belong there, no token for a method, nothing that could be a URI (RFC 3261 §7.1): 400.
    BrokenStartLine,
    /// A Request-Line or Status-Line with a version other than SIP/2.0: 505.
    Version,
    /// The Request-URI is longer than `limits::REQUEST_URI_BYTES_MAX`: 414.
    RequestUriTooLong,
    /// More header fields than `limits::HEADERS_MAX`: 400.
    TooManyHeaders,
    /// A header line without a colon, with a bad name, or without an end; a lone CR or LF before the body;
    /// no empty line before it: 400.
    BrokenHeader,
    /// A mandatory header field is absent (RFC 3261 §8.1.1): 400.
    Missing(HeaderName),
    /// A header field that may stand only once stands twice: 400.
    Repeated(HeaderName),
    /// A header field that routing needs cannot be parsed: 400.
    Malformed(HeaderName),
    /// CSeq's method is not the request's (RFC 3261 §8.1.1.5): 400.
    CSeqMethod,
    /// Content-Length is larger than what the datagram holds (RFC 3261 §18.3): 400.
    Truncated,
}

/// A header field's value does not follow its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;
