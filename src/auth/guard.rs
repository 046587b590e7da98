//! The door: what becomes of a request before anyone acts on it.

use super::credentials::{Authorization, Found};
use super::nonce::{Nonces, Worth};
use super::replay::Replays;
use super::throttle::Throttle;
use super::{Caller, digest};
use crate::directory::{Credentials, Directory};
use crate::limits;
use crate::settings::Settings;
use crate::signalling::{Request, Signalling};
use crate::sip::name_addr::split_list;
use crate::sip::{HeaderName, Message, Method, NameAddr, Status, Uri};
use std::sync::Arc;

/// Asks who sends what begins something.
#[derive(Debug)]
pub struct Guard {
    nonces: Nonces,
    replays: Replays,
    throttle: Throttle,
    /// Stands for a password that nobody has: an unknown number costs what a known one does.
    nobody: Credentials,
}

/// Why a request is not let in.
enum Refusal {
    /// 401: there are no credentials, or they do not count; `stale`: they may well be good, but the nonce is
    /// not (RFC 7616 §3.3).
    Challenge { stale: bool },
    /// 400 with this reason phrase.
    Bad(&'static str),
    /// 403: it is not the sender's to ask for.
    Forbidden,
    /// 503: the source has failed too often; it may come again in so many seconds.
    Throttled { wait_s: u32 },
}

impl Guard {
    /// The guard of one shard. `seed` is the same on all of them, `secret` is the shard's own.
    #[must_use]
    pub fn new(settings: &Settings, (shard, shards): (u16, u16), (seed, secret): (u64, u64)) -> Guard {
        Guard {
            nonces: Nonces::new(shard, seed),
            replays: Replays::new(limits::nonces_max(settings, shards)),
            throttle: Throttle::new(settings.auth.failures_per_minute, shards),
            nobody: digest::credentials("", &settings.auth.realm, &secret.to_string()),
        }
    }

    /// Who sends a request; `None`: it was refused.
    pub fn identify<'m>(&mut self, on: &mut Signalling, request: &Request<'m>) -> Option<Caller<'m>> {
        if !is_asked(&request.message) {
            return Some(Caller::Unchecked);
        }
        let settings = Arc::clone(&on.context.settings);
        if settings.auth.is_trusted(request.source.ip()) {
            return Some(Caller::Trusted);
        }
        let directory = Arc::clone(&on.context.directory);
        if !settings.auth.required && !has_password(&directory, claimed_user(&request.message)) {
            return Some(Caller::Unchecked);
        }
        match self.check(on, request, &directory) {
            Ok(number) => Some(Caller::Subscriber(number)),
            Err(refusal) => {
                self.refuse(on, request, refusal);
                None
            }
        }
    }

    /// The number whose password the sender knows, if it may ask for what it asks for.
    fn check<'m>(
        &mut self,
        on: &mut Signalling,
        request: &Request<'m>,
        directory: &Directory,
    ) -> Result<&'m [u8], Refusal> {
        let (context, message) = (&mut on.context, &request.message);
        let settings = &context.settings.auth;
        let (mint, source) = (&context.mint, request.source.ip());
        let authorization = match Authorization::find(message, &settings.realm, &settings.algorithms) {
            Found::Ours(authorization) => authorization,
            Found::None => return Err(Refusal::Challenge { stale: false }),
            Found::Malformed => return Err(Refusal::Bad("Malformed Authorization")),
        };
        let wait_s = self.throttle.wait_s(mint, context.now, source);
        if wait_s > 0 {
            return Err(Refusal::Throttled { wait_s });
        }
        if authorization.qop.is_empty() {
            return Err(Refusal::Challenge { stale: false });
        }
        if !is_same_uri(authorization.uri, message.request_uri()) {
            return Err(Refusal::Bad("Authorization For Another URI"));
        }
        let lifetime_s = settings.nonce_lifetime_s;
        let number = match self.nonces.judge(authorization.nonce, context.unix(), lifetime_s, source) {
            Worth::Good { number, .. } => number,
            Worth::Stale => return Err(Refusal::Challenge { stale: true }),
            Worth::Forged => return Err(Refusal::Challenge { stale: false }),
        };
        if !self.knows_password(directory, message, &authorization) {
            self.throttle.fail(mint, context.now, source);
            context.metrics.auth_failures += 1;
            return Err(Refusal::Challenge { stale: false });
        }
        if !self.replays.take(mint, number, authorization.nc) {
            return Err(Refusal::Challenge { stale: true });
        }
        match may_ask(message, authorization.username) {
            true => Ok(authorization.username),
            false => Err(Refusal::Forbidden),
        }
    }

    /// Whether the credentials are those of a subscriber. It takes the same whether there is one or not.
    fn knows_password(
        &self,
        directory: &Directory,
        message: &Message<'_>,
        authorization: &Authorization<'_>,
    ) -> bool {
        let view = directory.read();
        let entry = view.get(authorization.username);
        let credentials = entry.and_then(|entry| entry.subscriber.credentials.as_deref());
        let is_known = credentials.is_some();
        let credentials = credentials.unwrap_or(&self.nobody);
        digest::is_right(credentials, message.method_text(), authorization) & is_known
    }

    fn refuse(&mut self, on: &mut Signalling, request: &Request<'_>, refusal: Refusal) {
        let metrics = &mut on.context.metrics;
        match refusal {
            Refusal::Challenge { stale } => {
                metrics.auth_challenges += 1;
                metrics.auth_stale_nonces += u64::from(stale);
                self.challenge(on, request, stale);
            }
            Refusal::Bad(reason) => {
                metrics.requests_refused += 1;
                on.reply(request, (Status::BAD_REQUEST, reason.as_bytes()), |_, _| {});
            }
            Refusal::Forbidden => {
                metrics.auth_forbidden += 1;
                on.refuse(request, Status::FORBIDDEN);
            }
            Refusal::Throttled { wait_s } => {
                metrics.auth_throttled += 1;
                on.reply(request, (Status::SERVICE_UNAVAILABLE, b""), |_, writer| {
                    writer.name(HeaderName::RetryAfter).number(wait_s.into()).end_line();
                });
            }
        }
    }

    /// Answers 401 with a challenge for each algorithm (RFC 8760 §2.3: the most wanted first).
    fn challenge(&mut self, on: &mut Signalling, request: &Request<'_>, stale: bool) {
        let nonce = self.nonces.make(on.context.unix(), request.source.ip());
        on.reply(request, (Status::UNAUTHORIZED, b""), |context, writer| {
            let settings = &context.settings.auth;
            for algorithm in &settings.algorithms {
                writer.name(HeaderName::WwwAuthenticate);
                writer
                    .raw(b"Digest realm=\"")
                    .raw(settings.realm.as_bytes())
                    .raw(b"\", nonce=\"")
                    .raw(&nonce);
                writer.raw(b"\", qop=\"auth\", algorithm=").raw(algorithm.name().as_bytes());
                writer.raw(if stale { b", stale=true" } else { b"" }).end_line();
            }
        });
    }
}

/// Whether anyone is asked who sends this: what begins a dialog, a message or a registration. A To tag says
/// that it belongs to a dialog, which is looked for; a REGISTER never does (RFC 3261 §10.2).
fn is_asked(message: &Message<'_>) -> bool {
    match message.method() {
        Method::Register => true,
        Method::Invite
        | Method::Subscribe
        | Method::Refer
        | Method::Message
        | Method::Publish
        | Method::Notify => message.to_tag().is_empty(),
        // RFC 3261 §22.1: an ACK and a CANCEL cannot be sent again. OPTIONS asks what everyone may know; the
        // others live in a dialog.
        Method::Ack
        | Method::Cancel
        | Method::Options
        | Method::Bye
        | Method::Prack
        | Method::Update
        | Method::Info
        | Method::Other => false,
    }
}

/// The user that a request is from, as it says: of a REGISTER the one that it binds.
fn claimed_user<'m>(message: &Message<'m>) -> &'m [u8] {
    let name = if message.method() == Method::Register { HeaderName::To } else { HeaderName::From };
    message.header(name).and_then(user_of).unwrap_or_default()
}

/// The user part of an address; `None`: it is no address of a URI that has one.
fn user_of(address: &[u8]) -> Option<&[u8]> {
    let user = Uri::parse(NameAddr::parse(address).ok()?.uri).ok()?.user;
    (!user.is_empty()).then_some(user)
}

fn has_password(directory: &Directory, user: &[u8]) -> bool {
    let mut decoded = [0; limits::NUMBER_BYTES_MAX];
    let number = Uri::decoded_user(user, &mut decoded);
    let view = directory.read();
    let entry = number.and_then(|number| view.get(number));
    entry.is_some_and(|entry| entry.subscriber.credentials.is_some())
}

/// Whether a request names nobody else than `number` as its sender (RFC 3325 §5), and registers nobody else.
fn may_ask(message: &Message<'_>, number: &[u8]) -> bool {
    let is_own = |address: &[u8]| user_of(address).is_some_and(|user| Uri::same_user(user, number));
    let is_nobody = |address: &[u8]| user_of(address).is_some_and(|user| Uri::same_user(user, ANONYMOUS));
    let from = message.header(HeaderName::From).unwrap_or_default();
    let to = message.header(HeaderName::To).unwrap_or_default();
    (is_own(from) || is_nobody(from))
        && message.values(HeaderName::PPreferredIdentity).flat_map(split_list).all(is_own)
        && (message.method() != Method::Register || is_own(to))
}

/// The user of a From that tells nobody (RFC 3323 §4.1).
const ANONYMOUS: &[u8] = b"anonymous";

/// Whether the digest was made for the request's URI. What phones leave out or add (parameters, escapes, case
/// of the host) makes no other URI of it.
fn is_same_uri(left: &[u8], right: &[u8]) -> bool {
    if left == right {
        return true;
    }
    let (Ok(left), Ok(right)) = (Uri::parse(left), Uri::parse(right)) else { return false };
    left.scheme == right.scheme
        && left.scheme != crate::sip::uri::Scheme::Other
        && Uri::same_user(left.user, right.user)
        && left.host.eq_ignore_ascii_case(right.host)
        && left.port == right.port
}
