//! name-addr and addr-spec with header parameters: From, To, Contact, Route, Record-Route, Diversion
//! (RFC 3261 §20.10, §25.1).

use super::Malformed;

/// `"Alice" <sip:alice@host>;tag=1` or `sip:alice@host;tag=1` (then everything behind `;` is a header
/// parameter, RFC 3261 §20.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// As it stands, quotes included; empty when there is none.
    pub display: &'a [u8],
    /// The URI without its angle brackets.
    pub uri: &'a [u8],
    /// Everything behind the address, from the first `;` on; empty when there is none.
    pub params: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Parses one address. `value` holds exactly one (see [`split_list`]).
    ///
    /// # Errors
    /// [`Malformed`] when no address can be told from it.
    pub fn parse(value: &'a [u8]) -> Result<NameAddr<'a>, Malformed> {
        let _ = value;
        unimplemented!()
    }

    /// A parameter's value without quotes; `Some(b"")` for one without a value. Names compare without case.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        let _ = name;
        unimplemented!()
    }

    /// The `tag` parameter; empty when there is none.
    #[must_use]
    pub fn tag(&self) -> &'a [u8] {
        self.param("tag").unwrap_or_default()
    }
}

/// Splits a list at the commas outside quotes and angle brackets. Items come without white space around
/// them; empty items are left out.
pub fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let _ = value;
    std::iter::empty()
}

/// Looks a parameter up in `;a;b=c;d="e"`.
#[must_use]
pub fn param<'a>(params: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let _ = (params, name);
    unimplemented!()
}
