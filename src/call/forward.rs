//! Where a call goes on that its callee does not take: the service's decision carried out.

use super::chain::RECEIVED_NUMBERS_MAX;
use super::record::{Call, Heard};
use super::search::{Callee, NotTried, own_status};
use super::{Calls, Signalling};
use crate::context::Context;
use crate::directory::{Condition, Entry, Q_MAX, View};
use crate::limits::{NUMBER_BYTES_MAX, REQUEST_URI_BYTES_MAX};
use crate::mail::Cause;
use crate::metrics::Metrics;
use crate::service::history::Hop;
use crate::service::{Divert, Facts, Failure, Outside, Reason, Refusal, condition_of, divert, write_number};
use crate::settings::Settings;
use crate::sip::name_addr::split_list;
use crate::sip::number::q_value;
use crate::sip::{HeaderName, Message, NameAddr, Status, Uri};
use crate::slab::Handle;
use std::ops::Range;
use std::sync::Arc;

/// Numbers in a chain at most: the caller, those received, the first callee, and every diversion of ours
/// (`--max-diversions` ≤ 10).
const CHAIN_MAX: usize = 12 + RECEIVED_NUMBERS_MAX;

/// What came of looking for somebody to call.
pub(super) enum Next {
    /// There is a leg.
    Tried,
    /// With the reason for its record.
    Refuse(Status, Cause),
    /// Nothing is set: the caller gets the leg's own final response.
    Relay,
}

/// A diversion that is to be made.
#[derive(Clone, Copy)]
struct Diversion<'a> {
    reason: Reason,
    /// The final response that led to it, 408 where nothing came in time; 0: nobody was asked.
    status: u16,
    target: &'a [u8],
    /// The diverting party is not to be named beyond trusted peers.
    is_private: bool,
}

impl Calls {
    /// Calls a subscriber, or whom it forwards all its calls to.
    pub(super) fn call_subscriber(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        called: &Entry,
        invite: &Message<'_>,
    ) -> Next {
        let directory = Arc::clone(&on.context.directory);
        let view = directory.read();
        self.try_callee(on, handle, (&view, invite), called)
    }

    /// Asks the service where a call goes on after its callee came to nothing, and sends it there.
    pub(super) fn next_target(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        failure: Failure,
        response: Option<&Message<'_>>,
    ) -> Next {
        let settings = Arc::clone(&on.context.settings);
        let directory = Arc::clone(&on.context.directory);
        let view = directory.read();
        let Some(call) = self.calls.get(handle) else { return Next::Relay };
        // A target outside has set nothing, whoever else has its number.
        let is_outside = call.search.outside.is_some();
        let entry = view.get(call.called(&on.context)).filter(|_| !is_outside);
        let is_private = entry.is_some_and(|entry| entry.subscriber.is_private);
        let (status, rang) = match failure {
            Failure::Response { status, rang, .. } => (status.code(), rang),
            // RFC 7044 §10.2: what timed out counts as if it had got a 408.
            Failure::RangOut | Failure::NeverRang | Failure::Silent => (408, false),
            Failure::NotRegistered => (0, false),
        };
        if let Some(target) = response.and_then(|response| deflection(&settings, response)) {
            let reason = Reason::Deflection { alerting: rang };
            return self.send_on(on, handle, &view, &Diversion { reason, status, target, is_private });
        }
        let set =
            condition_of(failure, settings.unreachable_408).zip(entry).and_then(|(condition, entry)| {
                Some((condition, entry.subscriber.forwarding.target(condition)?.as_bytes()))
            });
        match set {
            None => Next::Relay,
            Some((condition, target)) => {
                let reason = Reason::Set(condition);
                self.send_on(on, handle, &view, &Diversion { reason, status, target, is_private })
            }
        }
    }

    /// The same as [`Calls::divert`] once the INVITE is read again.
    fn send_on(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        view: &View<'_>,
        diversion: &Diversion<'_>,
    ) -> Next {
        // What the leg before had to say is of no interest any more.
        if let Some(call) = self.calls.get_mut(handle) {
            on.context.keep.release(call.held.take());
        }
        let sent = self
            .with_invite(on, handle, |calls, on, invite| calls.divert(on, handle, (view, invite), diversion));
        sent.unwrap_or(Next::Refuse(Status::SERVER_INTERNAL_ERROR, Cause::Failed))
    }

    /// Calls a subscriber where it is, unless it forwards all its calls, or has no phone and forwards then.
    /// Each diversion counts, so this ends.
    fn try_callee(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        (view, invite): (&View<'_>, &Message<'_>),
        entry: &Entry,
    ) -> Next {
        let subscriber = &entry.subscriber;
        let set = |condition| {
            let target = subscriber.forwarding.target(condition)?.as_bytes();
            let reason = Reason::Set(condition);
            Some(Diversion { reason, status: 0, target, is_private: subscriber.is_private })
        };
        if let Some(diversion) = set(Condition::Unconditional) {
            return self.divert(on, handle, (view, invite), &diversion);
        }
        // Without a phone no search starts: what follows says more.
        if entry.locations(on.context.unix()).next().is_some() {
            self.tell_of_forwarding(on, handle, invite);
        }
        match self.search(on, handle, Callee::Subscriber(entry), invite) {
            Ok(()) => Next::Tried,
            Err(NotTried::Refused(status)) => Next::Refuse(status, Cause::Failed),
            Err(NotTried::NoLocation) => match set(Condition::NotRegistered) {
                Some(diversion) => self.divert(on, handle, (view, invite), &diversion),
                None => Next::Refuse(own_status(&Failure::NotRegistered), Cause::NotRegistered),
            },
        }
    }

    /// Sends a call on, if it may go there.
    fn divert(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        (view, invite): (&View<'_>, &Message<'_>),
        diversion: &Diversion<'_>,
    ) -> Next {
        let settings = Arc::clone(&on.context.settings);
        let Some(call) = self.calls.get(handle) else { return Next::Relay };
        match decide(&on.context, call, (view, &settings), diversion.target) {
            Divert::Refused(refusal) => {
                on.context.metrics.forwards_refused += 1;
                on.context.metrics.forwards_in_loop += u64::from(refusal == Refusal::Loop);
                Next::Refuse(diversion.reason.refusal(), Cause::NotForwarded)
            }
            Divert::Subscriber(entry) => {
                self.record_diversion(on, handle, (diversion, Callee::Subscriber(entry)), invite);
                self.try_callee(on, handle, (view, invite), entry)
            }
            Divert::Outside(mut outside) => {
                self.record_diversion(on, handle, (diversion, Callee::Outside(&outside)), invite);
                name_cause(&settings, diversion.reason, &mut outside);
                self.tell_of_forwarding(on, handle, invite);
                match self.search(on, handle, Callee::Outside(&outside), invite) {
                    Ok(()) => Next::Tried,
                    Err(NotTried::Refused(status)) => Next::Refuse(status, Cause::Failed),
                    Err(NotTried::NoLocation) => {
                        Next::Refuse(diversion.reason.refusal(), Cause::NotForwarded)
                    }
                }
            }
        }
    }

    /// The call's chain gets one longer.
    fn record_diversion(
        &mut self,
        on: &mut Signalling,
        handle: Handle,
        (diversion, callee): (&Diversion<'_>, Callee<'_>),
        invite: &Message<'_>,
    ) {
        *counter(&mut on.context.metrics, diversion.reason) += 1;
        let Some(call) = self.calls.get_mut(handle) else { return };
        let mut uris = std::mem::take(&mut self.uris);
        uris.clear();
        let host = write_diverting(&on.context, call, invite, &mut uris);
        let start = if host.start == 0 { host.end } else { 0 };
        let end = uris.len();
        let name = match callee {
            Callee::Subscriber(entry) => {
                let number = entry.subscriber.number.as_bytes();
                uris.extend_from_slice(b"sip:");
                write_number(&mut uris, number);
                uris.extend_from_within(host);
                number
            }
            Callee::Outside(outside) => {
                uris.extend_from_slice(without_params(outside.uri.as_bytes()));
                outside.name.as_bytes()
            }
        };
        let (diverting, target) = (&uris[start..end], &uris[end..]);
        let Diversion { reason, status, is_private, .. } = *diversion;
        call.push_hop(&mut on.context, &Hop { diverting, target, reason, status, is_private });
        call.push_number(&mut on.context, name);
        call.owes_181 = on.context.settings.send_181;
        self.uris = uris;
    }

    /// 181 to the caller, if it is owed one and nothing waits for its PRACK (SIP_RULES 14).
    pub(super) fn tell_of_forwarding(&mut self, on: &mut Signalling, handle: Handle, invite: &Message<'_>) {
        let Some(call) = self.calls.get_mut(handle) else { return };
        if call.owes_181 && call.outstanding.is_none() {
            call.owes_181 = false;
            self.tell(on, handle, (Status::CALL_IS_BEING_FORWARDED, Heard::Forwarded), Some(invite));
        }
    }
}

/// The service's decision for a target of a call that lives.
fn decide<'d>(
    context: &Context,
    call: &Call,
    (view, settings): (&'d View<'_>, &Settings),
    target: &[u8],
) -> Divert<'d> {
    let mut numbers = [&b""[..]; CHAIN_MAX];
    let mut count = 0;
    for number in context.keep.bytes(&call.chain.numbers).split(|&byte| byte == b'\n') {
        if count < CHAIN_MAX && !number.is_empty() {
            numbers[count] = number;
            count += 1;
        }
    }
    let (caller, tried) = numbers[..count].split_first().unwrap_or((&numbers[0], &[]));
    let facts = Facts {
        caller,
        tried,
        diversions: call.chain.count,
        diversions_max: u32::from(settings.max_diversions),
        now: context.unix(),
    };
    match divert((view, &settings.forwarding), target, &facts) {
        // A 302 may name what no listener of ours can reach.
        Divert::Outside(Outside { destination, .. })
            if settings.listeners.iter().all(|own| own.address.is_ipv4() != destination.is_ipv4()) =>
        {
            Divert::Refused(Refusal::NoWay)
        }
        decision => decision,
    }
}

/// The URI of a 302's Contact that is preferred most among those that can be called (RFC 3261 §8.1.3.4);
/// `None`: the response is none, or is not to be followed.
pub(super) fn deflection<'r>(settings: &Settings, response: &Message<'r>) -> Option<&'r [u8]> {
    if response.status() != Some(Status::MOVED_TEMPORARILY) || !settings.forwarding.deflection {
        return None;
    }
    let mut best: Option<((bool, u16), &[u8])> = None;
    for contact in response.values(HeaderName::Contact).flat_map(split_list) {
        let Ok(address) = NameAddr::parse(contact) else { continue };
        let mut room = [0; NUMBER_BYTES_MAX];
        let is_target = settings.forwarding.target(address.uri, &mut room).is_ok();
        let rank = (is_target, address.param("q").and_then(q_value).unwrap_or(Q_MAX));
        if best.is_none_or(|(other, _)| rank > other) {
            best = Some((rank, address.uri));
        }
    }
    best.map(|(_, uri)| uri)
}

/// RFC 4458 §2: those who answer for a target beyond us are told why they get the call. A registered contact
/// stays as its phone wrote it.
fn name_cause(settings: &Settings, reason: Reason, outside: &mut Outside) {
    let peer = settings.forwarding.peer(outside.destination.ip());
    let form = peer.and_then(|peer| peer.history).unwrap_or(settings.forwarding.history);
    let has_cause = Uri::parse(outside.uri.as_bytes()).is_ok_and(|uri| uri.param("cause").is_some());
    if form.has_history_info() && !has_cause && outside.uri.len() < REQUEST_URI_BYTES_MAX {
        outside.uri = format!("{};cause={}", outside.uri, reason.cause()).into();
    }
}

/// Writes the Request-URI before a diversion: what the call was diverted to last, else what was dialled.
/// Returns what stands behind the user of the number that was dialled: our numbers are named at that host.
fn write_diverting(context: &Context, call: &Call, invite: &Message<'_>, out: &mut Vec<u8>) -> Range<usize> {
    let mut hops = Hop::all(context.keep.bytes(&call.chain.hops));
    let Some(first) = hops.next() else {
        out.extend_from_slice(b"sip:");
        write_number(out, call.called(context));
        let host = out.len();
        write_host(context, call, invite, out);
        return host..out.len();
    };
    let host = memchr::memchr(b'@', first.diverting).unwrap_or(first.diverting.len());
    out.extend_from_slice(&first.diverting[host..]);
    let end = out.len();
    out.extend_from_slice(hops.last().unwrap_or(first).target);
    0..end
}

/// Writes `@` and the host that was dialled.
fn write_host(context: &Context, call: &Call, invite: &Message<'_>, out: &mut Vec<u8>) {
    out.push(b'@');
    match Uri::parse(invite.request_uri()) {
        Ok(uri) if !uri.host.is_empty() => {
            out.extend_from_slice(uri.host);
            if let Some(port) = uri.port.filter(|&port| port != 5060) {
                out.push(b':');
                crate::sip::write::Writer::new(out).number(u64::from(port));
            }
        }
        _ => out.extend_from_slice(context.sent_by(call.listener).as_bytes()),
    }
}

fn without_params(uri: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b';', b'?', uri).unwrap_or(uri.len());
    &uri[..end]
}

fn counter(metrics: &mut Metrics, reason: Reason) -> &mut u64 {
    match reason {
        Reason::Set(Condition::Unconditional) => &mut metrics.forwarded_unconditional,
        Reason::Set(Condition::Busy) => &mut metrics.forwarded_busy,
        Reason::Set(Condition::NoAnswer) => &mut metrics.forwarded_no_answer,
        Reason::Set(Condition::NotRegistered) => &mut metrics.forwarded_not_registered,
        Reason::Set(Condition::NotReachable) => &mut metrics.forwarded_not_reachable,
        Reason::Deflection { .. } => &mut metrics.forwarded_deflection,
    }
}
