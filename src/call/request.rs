//! Requests that no transaction knows: into a dialog that lives, or the beginning of a call.

use super::admit::admit;
use super::{ALLOW, Calls, DialogSide, Request, SUPPORTED, Signalling, unsupported};
use crate::ids::Kind;
use crate::sip::{HeaderName, Method, Status};
use crate::transaction::{ServerKey, User};
use std::sync::Arc;

impl Calls {
    /// Handles a new request other than CANCEL. `draining`: no new calls.
    pub fn handle_request(
        &mut self,
        on: &mut Signalling,
        request: &Request<'_>,
        key: ServerKey,
        draining: bool,
    ) {
        let method = request.message.method();
        if !request.message.to_tag().is_empty() {
            return self.handle_in_dialog(on, request, key);
        }
        match method {
            Method::Ack => on.context.metrics.stray_acks += 1,
            Method::Invite => self.handle_invite(on, request, key, draining),
            Method::Options if unsupported(&request.message).next().is_some() => {
                on.refuse(request, Status::BAD_EXTENSION);
            }
            Method::Options => {
                on.context.metrics.options_answered += 1;
                on.reply(request, (Status::OK, b""), |_, writer| {
                    writer.header(HeaderName::Allow, ALLOW);
                    writer.header(HeaderName::Accept, b"application/sdp");
                    writer.header(HeaderName::Supported, SUPPORTED);
                });
            }
            // A BYE or another request that lives in a dialog only (RFC 3261 §15.1.2).
            Method::Bye | Method::Prack | Method::Update | Method::Info => {
                on.refuse(request, Status::CALL_DOES_NOT_EXIST);
            }
            _ => on.refuse(request, Status::METHOD_NOT_ALLOWED),
        }
    }

    /// A CANCEL: 200, and 487 to its INVITE while that has no final response (RFC 3261 §9.2). The answer is
    /// the same however often it comes, so it needs no transaction.
    pub fn handle_cancel(&mut self, on: &mut Signalling, request: &Request<'_>) {
        let key = ServerKey::of(&on.context.mint, &request.message, Method::Invite);
        let Some(cancelled) = key.and_then(|key| on.transactions.find_invite(key)) else {
            on.context.metrics.stray_cancels += 1;
            return on.refuse(request, Status::CALL_DOES_NOT_EXIST);
        };
        let User::Call(call) = cancelled.user else {
            return on.reply(request, (Status::OK, b""), |_, _| {});
        };
        // RFC 3261 §9.2: the To tag of the CANCEL's 200 is that of the INVITE's responses.
        let tag = on.context.mint.tag(Kind::Call, call);
        on.reply_with_tag(request, (Status::OK, b""), &tag, |_, _| {});
        if cancelled.pending {
            self.cancel(on, call);
        }
    }

    /// A request with a To tag: ours names the dialog.
    fn handle_in_dialog(&mut self, on: &mut Signalling, request: &Request<'_>, key: ServerKey) {
        let message = &request.message;
        let side = match on.context.mint.read_tag(message.to_tag()) {
            Some((Kind::Call, call)) => Some(DialogSide::Caller(call)),
            Some((Kind::Leg, leg)) => Some(DialogSide::Callee(leg)),
            _ => None,
        };
        match (message.method(), side) {
            (Method::Ack, side) => {
                if !side.is_some_and(|side| self.acknowledge(on, side, request)) {
                    on.context.metrics.stray_acks += 1;
                }
            }
            (Method::Bye, Some(side)) => {
                if let Err(status) = self.hang_up(on, side, request, key) {
                    on.refuse(request, status);
                }
            }
            (method, Some(side)) if self.knows(on, side, message) => match method {
                Method::Options => on.reply(request, (Status::OK, b""), |_, writer| {
                    writer.header(HeaderName::Allow, ALLOW);
                }),
                Method::Update if message.body().is_empty() => on.refresh(request),
                // The session stays as it is (RFC 3261 §14.2, RFC 3311 §5.2).
                Method::Invite | Method::Update => on.refuse(request, Status::NOT_ACCEPTABLE_HERE),
                _ => on.refuse(request, Status::METHOD_NOT_ALLOWED),
            },
            _ => on.refuse(request, Status::CALL_DOES_NOT_EXIST),
        }
    }

    /// An INVITE that begins a call, if nothing speaks against it.
    fn handle_invite(&mut self, on: &mut Signalling, request: &Request<'_>, key: ServerKey, draining: bool) {
        let settings = Arc::clone(&on.context.settings);
        if on.transactions.is_merged(key) {
            return on.refuse(request, Status::LOOP_DETECTED);
        }
        match admit(&settings, &request.message) {
            Err(status) => on.refuse(request, status),
            Ok(_) if draining => {
                on.context.metrics.refused_draining += 1;
                on.refuse(request, Status::SERVICE_UNAVAILABLE);
            }
            Ok(subscriber) => {
                if let Err(status) = self.begin(on, request, key, subscriber) {
                    on.context.metrics.refused_full += 1;
                    on.refuse(request, status);
                }
            }
        }
    }
}
