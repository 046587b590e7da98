//! Where a call has been: the numbers that it came by, and our diversions of it.

use super::identity::Diverting;
use super::record::Call;
use super::session::lists;
use super::write::user_of;
use super::{Calls, Signalling};
use crate::context::Context;
use crate::directory::HistoryForm;
use crate::keep::Kept;
use crate::limits::NUMBER_BYTES_MAX;
use crate::service::history::{History, Hop};
use crate::service::{AssertedParty, Settings};
use crate::sip::name_addr::split_list;
use crate::sip::uri::Scheme;
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
    /// The caller supports History-Info (RFC 7044 §6.1).
    pub caller_has_history: bool,
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
        let name = |address| name_of(&context.settings.forwarding, invite, address);
        for number in diverted.flat_map(split_list).map(name).take(RECEIVED_NUMBERS_MAX) {
            if !number.is_empty() && number != called {
                text.extend_from_slice(number);
                text.push(b'\n');
            }
        }
        text.extend_from_slice(called);
        text.push(b'\n');
        call.chain.caller_has_history = lists(invite, HeaderName::Supported, b"histinfo");
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

    /// Who calls, as it is known to the loop test: by what a trusted peer asserts, else by From.
    pub fn caller_name<'m>(&self, settings: &Settings, invite: &Message<'m>) -> &'m [u8] {
        let asserted = invite.values(HeaderName::PAssertedIdentity).flat_map(split_list).next();
        let asserted = asserted.filter(|_| self.identity.is_trusted());
        let from = invite.header(HeaderName::From).unwrap_or_default();
        match asserted {
            Some(asserted) => name_of(settings, invite, asserted),
            // It has proved that the number is its own, whatever host stands behind it.
            None if self.identity.is_proved() => user_of(from),
            None => name_of(settings, invite, from),
        }
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

impl Call {
    /// The number of ours that diverted the call last, for a leg to a server that wants its identity.
    pub fn diverting_towards<'a>(
        &self,
        context: &'a Context,
        destination: SocketAddr,
    ) -> Option<Diverting<'a>> {
        let rules = &context.settings.forwarding;
        rules.peer(destination.ip()).filter(|peer| peer.identity == AssertedParty::Diverting)?;
        let hops = Hop::all(context.keep.bytes(&self.chain.hops));
        let host = |hop: &Hop<'a>| Uri::parse(hop.diverting).map(|uri| (uri.host, uri.port)).ok();
        let own = hops.clone().next().and_then(|hop| host(&hop));
        // What is at another host than the number that was called is none of our numbers.
        let hop = hops.filter(|hop| host(hop) == own).last()?;
        let user = Uri::parse(hop.diverting).ok()?.user;
        let is_outside = self.search.outside.is_some();
        Some(Diverting { user, is_private: hop.is_private, rules, is_outside })
    }

    /// What the caller is told of the diversions with a 181 (SIP_RULES 14); `None`: it did not ask for it, or
    /// is told nothing.
    pub fn history_for_caller<'a>(
        &self,
        context: &'a Context,
        invite: &'a Message<'a>,
    ) -> Option<History<'a>> {
        let settings = &context.settings.forwarding;
        let peer = settings.peer(self.reply_to.destination.ip());
        let form = peer.and_then(|peer| peer.history).unwrap_or(settings.history);
        (self.chain.caller_has_history && form.has_history_info()).then(|| History {
            settings,
            form: HistoryForm::HistoryInfo,
            invite,
            hops: context.keep.bytes(&self.chain.hops),
            // It shows whatever it is told to whoever called.
            to_trusted: false,
            is_outside: false,
        })
    }
}

/// What the loop test knows a party by that an INVITE names: its number, or its URI where somebody else has
/// given it the number. 1005 at another server is not our 1005, but a global number is one everywhere (RFC
/// 3966 §5.1.4).
fn name_of<'m>(settings: &Settings, invite: &Message<'_>, address: &'m [u8]) -> &'m [u8] {
    let text = NameAddr::parse(address).map(|address| address.uri);
    let Some((text, uri)) = text.ok().and_then(|text| Some((text, Uri::parse(text).ok()?))) else {
        return user_of(address);
    };
    let is_global = || settings.normalized(uri.user, &mut [0; NUMBER_BYTES_MAX]).starts_with(b"+");
    let dialled = Uri::parse(invite.request_uri()).map_or(&b""[..], |uri| uri.host);
    let own = settings.own_hosts.iter().map(|(host, _)| host.as_bytes()).chain([dialled]);
    let is_ours = |own: &[u8]| own.eq_ignore_ascii_case(uri.host);
    match uri.scheme == Scheme::Tel
        || uri.user.starts_with(b"+")
        || own.into_iter().any(is_ours)
        || is_global()
    {
        true => uri.user,
        false => &text[..text.len() - uri.params.len() - uri.headers.len()],
    }
}

/// Keeps a kept text with something behind it; where there is no room it stays as it was.
fn append(context: &mut Context, kept: &mut Kept, write: impl FnOnce(&mut Vec<u8>)) {
    let mut text = std::mem::take(&mut context.scratch);
    text.clear();
    text.extend_from_slice(context.keep.bytes(kept));
    write(&mut text);
    if let Some(longer) = context.keep.keep(&text) {
        context.keep.release(std::mem::replace(kept, longer));
    }
    context.scratch = text;
}
