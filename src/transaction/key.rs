//! How a request finds its server transaction (RFC 3261 §17.2.3).

use crate::ids::{MAGIC_COOKIE, Mint};
use crate::sip::{Message, Method};

/// A server transaction's key: two keyed 64-bit hashes of what tells one request from another.
///
/// `request` is of Call-ID, From tag and CSeq number: what a request has in common with its ACK, its
/// CANCEL, its retransmissions and its copies that came by another way (RFC 3261 §8.2.2.2). `transaction`
/// is of branch and method. Together they are stricter than §17.2.3 but for sent-by, which is left out on
/// purpose: a phone behind a NAT may learn its address between INVITE and CANCEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerKey {
    pub(super) request: u64,
    pub(super) transaction: u64,
}

impl ServerKey {
    /// The key of `request`, as if its method were `method`: an ACK and a CANCEL look for the INVITE.
    #[must_use]
    pub fn of(mint: &Mint, request: &Message<'_>, method: Method) -> Option<ServerKey> {
        let via = request.top_via()?;
        let number = request.cseq()?.number.to_be_bytes();
        let method = [method as u8];
        let transaction = if via.branch.len() > MAGIC_COOKIE.len() && via.branch.starts_with(MAGIC_COOKIE) {
            mint.hash(&[via.branch, &method])
        } else {
            // RFC 2543: no branch to rely on. The To tag is left out, because an ACK carries ours.
            mint.hash(&[via.text, request.request_uri(), &method])
        };
        let request = mint.hash(&[request.call_id(), request.from_tag(), &number]);
        Some(ServerKey { request, transaction })
    }
}
