//! How a request finds its server transaction (RFC 3261 §17.2.3).

use crate::ids::{MAGIC_COOKIE, Mint};
use crate::sip::{Message, Method};

/// A server transaction's key: a keyed 64-bit hash of what §17.2.3 compares. With two million
/// transactions alive the odds that a new request meets a stranger's key are 10⁻¹³.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerKey(pub(super) u64);

/// What two copies of one request have in common when they came by different ways (RFC 3261 §8.2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeKey(pub(super) u64);

impl ServerKey {
    /// The key of `request`, as if its method were `method`: an ACK and a CANCEL look for the INVITE.
    /// The source address is no part of it: a NAT may change it between INVITE and CANCEL.
    #[must_use]
    pub fn of(mint: &Mint, request: &Message<'_>, method: Method) -> Option<ServerKey> {
        let via = request.top_via()?;
        let method = [method as u8];
        let hash = if via.branch.len() > MAGIC_COOKIE.len() && via.branch.starts_with(MAGIC_COOKIE) {
            let port = via.port.unwrap_or(5060).to_be_bytes();
            mint.hash(&[via.branch, via.host, &port, &method])
        } else {
            // RFC 2543: no branch to rely on. The To tag is left out, because an ACK carries ours.
            let number = request.cseq()?.number.to_be_bytes();
            let uri = request.request_uri();
            mint.hash(&[request.call_id(), request.from_tag(), &number, via.text, uri, &method])
        };
        Some(ServerKey(hash))
    }
}

impl MergeKey {
    #[must_use]
    pub fn of(mint: &Mint, request: &Message<'_>) -> Option<MergeKey> {
        let number = request.cseq()?.number.to_be_bytes();
        Some(MergeKey(mint.hash(&[request.from_tag(), request.call_id(), &number])))
    }
}
