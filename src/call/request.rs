//! Requests that no transaction knows: into a dialog that lives, or the beginning of a call.

use super::admit::{Called, admit};
use super::identity::Identity;
use super::state::ReinviteEvent;
use super::write::SUPPORTED_RELIABLE;
use super::{Calls, Request, Signalling};
use crate::auth::Caller;
use crate::ids::Kind;
use crate::signalling::{ALLOW_OUTSIDE, unsupported};
use crate::sip::{HeaderName, Method, Status};
use crate::transaction::{ServerKey, User};
use std::sync::Arc;

impl Calls {
    /// Handles a new request other than CANCEL, of this sender. `draining`: no new calls.
    pub fn handle_request(
        &mut self,
        on: &mut Signalling,
        request: &Request<'_>,
        key: ServerKey,
        (draining, caller): (bool, Caller<'_>),
    ) {
        let method = request.message.method();
        if !request.message.to_tag().is_empty() {
            if !self.parks_request(on, request, key) {
                self.handle_in_dialog(on, request, key);
            }
            return;
        }
        match method {
            Method::Ack => on.context.metrics.stray_acks += 1,
            Method::Invite => self.handle_invite(on, request, key, (draining, caller)),
            Method::Options if unsupported(&request.message).next().is_some() => {
                on.refuse(request, Status::BAD_EXTENSION);
            }
            Method::Options => {
                on.context.metrics.options_answered += 1;
                on.reply(request, (Status::OK, b""), |_, writer| {
                    writer.header(HeaderName::Allow, ALLOW_OUTSIDE);
                    writer.header(HeaderName::Accept, b"application/sdp");
                    writer.header(HeaderName::Supported, SUPPORTED_RELIABLE);
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
            if self.cancels_parked(on, request) {
                return;
            }
            on.context.metrics.stray_cancels += 1;
            return on.refuse(request, Status::CALL_DOES_NOT_EXIST);
        };
        let call = match cancelled.user {
            User::Call(call) => call,
            user => {
                on.reply(request, (Status::OK, b""), |_, _| {});
                if let (User::Relay(relay), true) = (user, cancelled.pending) {
                    self.reinvite_event(on, relay, ReinviteEvent::Cancel, Some(&request.message));
                }
                return;
            }
        };
        // RFC 3261 §9.2: the To tag of the CANCEL's 200 is that of the INVITE's responses.
        let tag = on.context.mint.tag(Kind::Call, call);
        on.reply_with_tag(request, (Status::OK, b""), &tag, |_, _| {});
        if cancelled.pending {
            self.cancel(on, call, &request.message);
        }
    }

    /// An INVITE that begins a call, if nothing speaks against it.
    fn handle_invite(
        &mut self,
        on: &mut Signalling,
        request: &Request<'_>,
        key: ServerKey,
        (draining, caller): (bool, Caller<'_>),
    ) {
        let settings = Arc::clone(&on.context.settings);
        let directory = Arc::clone(&on.context.directory);
        let view = directory.read();
        let admitted = admit(&settings, &view, &request.message)
            .and_then(|called| Ok((called, Identity::of(caller, &request.message)?)));
        let begun = match admitted {
            Err(status) => return on.refuse(request, status),
            Ok(_) if draining => {
                on.context.metrics.refused_draining += 1;
                return on.refuse(request, Status::SERVICE_UNAVAILABLE);
            }
            Ok((Called::Subscriber(called), identity)) => self.begin(on, request, key, (called, identity)),
            Ok((Called::Code, identity)) => self.dial(on, (request, key), (caller, identity)),
        };
        if let Err(status) = begun {
            on.context.metrics.refused_full += 1;
            on.refuse(request, status);
        }
    }
}
