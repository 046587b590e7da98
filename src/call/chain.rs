//! Where a call has been: the numbers that it came by, and our diversions of it.

use super::record::Call;
use super::write::user_of;
use super::{Calls, Signalling};
use crate::context::Context;
use crate::keep::Kept;
use crate::service::history::{History, Hop};
use crate::sip::name_addr::{param, split_list};
use crate::sip::{HeaderName, Message, NameAddr, Uri};
use crate::slab::Handle;
use std::net::SocketAddr;

/// Where the call has been.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Numbers tried, and URIs of targets that are none, each followed by a line feed; the first is the
    /// caller's, the last the one whose leg is tried now.
    pub numbers: Kept,
    /// Our diversions, oldest first ([`Hop::push`]).
    pub hops: Kept,
    /// Diversions that came with the INVITE and our own.
    pub count: u32,
}

/// Numbers of received Diversion and History-Info entries that are looked at to tell a loop.
pub(super) const RECEIVED_NUMBERS_MAX: usize = 32;

impl Calls {
    /// Keeps the numbers that the call has come by: the caller's, those that diverted it before it came
    /// here, the one that is called.
    pub(super) fn keep_chain(
        &mut self,
        on: &mut Signalling,
        call: Handle,
        invite: &Message<'_>,
        called: &[u8],
    ) {
        let Some(call) = self.calls.get_mut(call) else { return };
        let context = &mut on.context;
        let mut text = std::mem::take(&mut context.scratch);
        text.clear();
        let caller = user_of(invite.header(HeaderName::From).unwrap_or_default());
        // A caller without a number still takes the chain's first place.
        text.extend_from_slice(if caller.is_empty() { b"-" } else { caller });
        text.push(b'\n');
        let diverted = invite.values(HeaderName::Diversion).chain(invite.values(HeaderName::HistoryInfo));
        for number in diverted.flat_map(split_list).map(user_of).take(RECEIVED_NUMBERS_MAX) {
            if !number.is_empty() && number != called {
                text.extend_from_slice(number);
                text.push(b'\n');
            }
        }
        text.extend_from_slice(called);
        text.push(b'\n');
        call.chain.numbers = context.keep.keep(&text).unwrap_or(Kept::NONE);
        context.scratch = text;
    }
}

impl Call {
    /// Adds a number or a URI to those that were tried.
    pub fn push_number(&mut self, context: &mut Context, number: &[u8]) {
        append(context, &mut self.chain.numbers, |text| {
            text.extend_from_slice(number);
            text.push(b'\n');
        });
    }

    /// Adds a diversion of ours.
    pub fn push_hop(&mut self, context: &mut Context, hop: &Hop<'_>) {
        append(context, &mut self.chain.hops, |text| hop.push(text));
        self.chain.count = self.chain.count.saturating_add(1);
    }

    /// The number whose leg is tried now, or the URI.
    pub fn called<'c>(&self, context: &'c Context) -> &'c [u8] {
        let numbers = context.keep.bytes(&self.chain.numbers);
        numbers.split(|&byte| byte == b'\n').rfind(|number| !number.is_empty()).unwrap_or_default()
    }

    /// What a leg to this address is told of the diversions.
    pub fn history_towards<'a>(
        &self,
        context: &'a Context,
        destination: SocketAddr,
        invite: &'a Message<'a>,
    ) -> History<'a> {
        let settings = &context.settings.forwarding;
        let peer = settings.peer(destination.ip());
        History {
            settings,
            form: peer.and_then(|peer| peer.history).unwrap_or(self.search.history),
            invite,
            hops: context.keep.bytes(&self.chain.hops),
            to_trusted: context.settings.auth.is_trusted(destination.ip()),
            is_outside: self.search.outside.is_some(),
        }
    }
}

/// Keeps a kept text with something behind it.
fn append(context: &mut Context, kept: &mut Kept, write: impl FnOnce(&mut Vec<u8>)) {
    let mut text = std::mem::take(&mut context.scratch);
    text.clear();
    text.extend_from_slice(context.keep.bytes(kept));
    write(&mut text);
    let longer = context.keep.keep(&text).unwrap_or(Kept::NONE);
    context.keep.release(std::mem::replace(kept, longer));
    context.scratch = text;
}

/// How often the call was diverted before it came to us: by the counters of Diversion (absent: 1, RFC
/// 5806 §4) or by the causes of History-Info, whichever tells of more, since both tell of the same hops.
pub(super) fn received_diversions(invite: &Message<'_>) -> u32 {
    let counted = invite.values(HeaderName::Diversion).flat_map(split_list).fold(0u32, |sum, entry| {
        let params = entry.iter().rposition(|&byte| byte == b'>').map_or(&b""[..], |end| &entry[end + 1..]);
        sum.saturating_add(param(params, "counter").map_or(1, counter_value))
    });
    let entries = || invite.values(HeaderName::HistoryInfo).flat_map(split_list);
    // RFC 4458's cause stands in the target's URI; where nobody wrote it, the Reason that is escaped in the
    // diverting party's URI tells of the same diversion.
    let targets = entries().filter(|entry| cause_of(entry).is_some()).count();
    let reasons = || entries().filter(|entry| contains_ignoring_case(entry, b"reason=")).count();
    let caused = if targets > 0 { targets } else { reasons() };
    counted.max(caused as u32)
}

/// A Diversion's counter. What is no number still tells of one diversion; what no u32 holds is beyond every
/// cap.
fn counter_value(text: &[u8]) -> u32 {
    let value = text.iter().try_fold(0u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    });
    value.unwrap_or(1).max(1)
}

/// The `cause` parameter of an entry's URI (RFC 4458 §2).
fn cause_of<'a>(entry: &&'a [u8]) -> Option<&'a [u8]> {
    let address = NameAddr::parse(entry).ok()?;
    Uri::parse(address.uri).ok()?.param("cause")
}

fn contains_ignoring_case(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}
