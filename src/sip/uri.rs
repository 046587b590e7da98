//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966).

use super::Malformed;
use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    /// Any other absolute URI: 416 as a Request-URI.
    Other,
}

/// A URI in its parts; none of them is unescaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    pub scheme: Scheme,
    /// User part without password; the number of a tel URI; empty when there is none.
    pub user: &'a [u8],
    /// Host; an IPv6 reference keeps its brackets; empty for tel and other schemes.
    pub host: &'a [u8],
    pub port: Option<u16>,
    /// From the first `;` behind the host on; empty when there is none.
    pub params: &'a [u8],
    /// From the `?` on; empty when there is none.
    pub headers: &'a [u8],
}

impl<'a> Uri<'a> {
    /// # Errors
    /// [`Malformed`] for a text without a scheme, with a bad host or port, with blanks or control bytes.
    pub fn parse(text: &'a [u8]) -> Result<Uri<'a>, Malformed> {
        let _ = text;
        unimplemented!()
    }

    /// The host as an address, `None` for a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        unimplemented!()
    }

    /// A URI parameter's value; `Some(b"")` for one without a value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        super::name_addr::param(self.params, name)
    }

    /// Whether two user parts name the same user: escapes are decoded, case matters (RFC 3261 §19.1.4).
    #[must_use]
    pub fn same_user(left: &[u8], right: &[u8]) -> bool {
        let _ = (left, right);
        unimplemented!()
    }
}
