//! A via-parm in full (RFC 3261 §20.42, RFC 3581). The scanner reads the topmost one itself.

use super::Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, `TLS`, … as it stands.
    pub transport: &'a [u8],
    /// Host of sent-by; an IPv6 reference keeps its brackets.
    pub host: &'a [u8],
    pub port: Option<u16>,
    /// From the first `;` on.
    pub params: &'a [u8],
}

impl<'a> Via<'a> {
    /// Parses one via-parm (see [`super::name_addr::split_list`]); white space around `/` and `:` is allowed.
    ///
    /// # Errors
    /// [`Malformed`] when protocol or sent-by cannot be read.
    pub fn parse(value: &'a [u8]) -> Result<Via<'a>, Malformed> {
        let _ = value;
        unimplemented!()
    }

    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        super::name_addr::param(self.params, name)
    }

    #[must_use]
    pub fn branch(&self) -> &'a [u8] {
        self.param("branch").unwrap_or_default()
    }
}
