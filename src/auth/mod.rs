//! Who sends a request: peers that are trusted by their address, subscribers by their password (RFC 7616).

/// Who sends a request that begins something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller<'m> {
    /// A peer whose word is taken for the identity that it asserts.
    Trusted,
    /// The subscriber with this number, by its password.
    Subscriber(&'m [u8]),
    /// Anyone: in the lab nobody is asked.
    Unchecked,
}
