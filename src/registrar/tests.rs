//! What a proven caller may do, and what it is told.

use super::{Refusal, Registrar};
use crate::auth::Caller;
use crate::clock::{Now, UnixMs, UnixSeconds};
use crate::context::Context;
use crate::directory::{Directory, Subscriber};
use crate::ids::Mint;
use crate::keep::Keep;
use crate::limits;
use crate::mail::Letter;
use crate::metrics::Metrics;
use crate::outbox::{ListenerId, Outbox};
use crate::settings::Settings;
use crate::signalling::{Request, Signalling};
use crate::sip::{Index, scan};
use crate::timer::Wheel;
use crate::transaction::{ServerKey, Transactions};
use std::sync::Arc;

/// A shard's means, for the subscriber 1004.
fn means() -> (Signalling, Registrar) {
    let settings = Arc::new(Settings { max_calls: 8, max_transactions: 64, ..Settings::default() });
    let (transactions, registrar) = (Transactions::new(&settings, 1), Registrar::new(&settings, 1));
    let context = Context {
        media: crate::media::Media::new(&settings.media, 0, 1),
        now: Now::from_ms(0),
        started: UnixSeconds(0),
        calendar: UnixMs(0),
        wheel: Wheel::new(limits::timers_max(&settings, 1)),
        keep: Keep::new(1 << 20),
        outbox: Outbox::new(),
        metrics: Metrics::default(),
        mint: Mint::new(0, 1, 7, 9),
        scratch: Vec::new(),
        settings,
        directory: Arc::new(Directory::of([Subscriber::new("1004")])),
    };
    (Signalling { context, transactions }, registrar)
}

/// Hands a REGISTER of a number to the registrar.
fn register((on, registrar): &mut (Signalling, Registrar), number: &str, caller: Caller<'_>) {
    let mut buffer = format!(
        "REGISTER sip:192.0.2.60 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bK1\r\n\
         From: <sip:{number}@192.0.2.60>;tag=1\r\nTo: <sip:{number}@192.0.2.60>\r\nCall-ID: 1\r\n\
         CSeq: 1 REGISTER\r\nContact: <sip:{number}@192.0.2.4>\r\n\r\n"
    )
    .into_bytes();
    let length = buffer.len();
    buffer.resize(length + limits::SCAN_PADDING, 0);
    let mut index = Index::new();
    scan(&mut buffer, length, &mut index).unwrap();
    let message = index.message(&buffer[..length]);
    let source = "192.0.2.4:5060".parse().unwrap();
    let request = Request { message, source, listener: ListenerId(0) };
    let key = ServerKey::of(&on.context.mint, &message, message.method()).unwrap();
    registrar.handle_request(on, &request, key, caller);
}

/// The first line of the last datagram.
fn status_line(on: &Signalling) -> String {
    let outbox = &on.context.outbox;
    let last = outbox.datagrams().last().map(|last| outbox.bytes(last)).unwrap_or_default();
    String::from_utf8_lossy(last).lines().next().unwrap_or_default().into()
}

#[test]
fn a_subscriber_registers_itself_and_nobody_else() {
    let mut means = means();
    register(&mut means, "1004", Caller::Subscriber(b"1003"));
    assert_eq!(status_line(&means.0), "SIP/2.0 403 Forbidden");
    // Nor does it learn which numbers there are.
    register(&mut means, "1999", Caller::Subscriber(b"1003"));
    assert_eq!(status_line(&means.0), "SIP/2.0 403 Forbidden");
    assert!(means.1.is_empty());
    register(&mut means, "1004", Caller::Subscriber(b"1004"));
    assert_eq!((means.1.len(), means.0.context.outbox.letters().count()), (1, 1));
}

#[test]
fn a_trusted_peer_registers_for_anyone_there_is() {
    let mut means = means();
    register(&mut means, "1999", Caller::Trusted);
    assert_eq!(status_line(&means.0), "SIP/2.0 404 Not Found");
    register(&mut means, "1004", Caller::Trusted);
    assert_eq!(means.1.len(), 1);
}

#[test]
fn a_subscriber_whose_number_was_taken_away_is_forbidden_to_register() {
    let mut means = means();
    register(&mut means, "1004", Caller::Subscriber(b"1004"));
    let (on, registrar) = &mut means;
    let Some(Letter::Register { ticket, .. }) = on.context.outbox.letters().next() else {
        panic!("a letter")
    };
    registrar.handle_mail(on, ticket, Err(Refusal::NoSubscriber));
    assert_eq!(status_line(on), "SIP/2.0 403 Forbidden");
    assert!(registrar.is_empty());
}
