//! Offer and answer in a dialog (RFC 3264, RFC 3311, RFC 6337): who may offer, and when.

/// Where a dialog stands, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negotiation {
    /// No offer is open.
    Stable,
    /// An offer of ours (the other party's, passed on) waits for the peer's answer.
    Sent,
    /// An offer of the peer's waits for our answer.
    Received,
}

/// Why an offer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 491: the peer has an offer of ours before it (RFC 3261 §14.2, RFC 3311 §5.2).
    Glare,
    /// 500 with Retry-After: the peer's earlier offer is not answered yet.
    Busy,
}

/// Whether an offer may pass from the side that stands at `here` to the one that stands at `there`.
///
/// # Errors
/// [`Refusal`], which the offer is answered with.
pub const fn pass_offer(here: Negotiation, there: Negotiation) -> Result<(), Refusal> {
    match (here, there) {
        (Negotiation::Stable, Negotiation::Stable) => Ok(()),
        (Negotiation::Received, _) => Err(Refusal::Busy),
        _ => Err(Refusal::Glare),
    }
}
