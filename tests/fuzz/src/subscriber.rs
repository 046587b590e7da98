//! Subscribers as flags: whoever is taken can be called, and the INVITE to them can be read.

use crate::config::read;
use crate::padded;
use crate::sip::Sip;
use ringway::clock::{Now, UnixSeconds};
use ringway::config::Action;
use ringway::directory::Directory;
use ringway::outbox::ListenerId;
use ringway::settings::Settings;
use ringway::shard::{Datagram, Place, Shard};
use ringway::sip::Uri;
use ringway::sip::uri::Scheme;
use std::sync::Arc;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let flags: Vec<String> = text.split('\n').map(|text| format!("--subscriber={text}")).collect();
    let mut args: Vec<&str> = flags.iter().map(String::as_str).collect();
    args.extend(["--listen=udp:192.0.2.1:5060", "--listen=udp:[2001:db8::1]:5060"]);
    let Ok(Action::Start(config)) = read(&args, &[], "") else { return };
    let settings = Arc::new(Settings { max_calls: 64, max_transactions: 512, ..config.settings.clone() });
    let directory = Directory::of(config.subscribers.iter().cloned());
    for subscriber in &config.subscribers {
        let contact = subscriber.contact.as_ref().expect("a contact");
        let uri = Uri::parse(contact.uri.as_bytes()).expect("a contact that can be called");
        assert_eq!((uri.scheme, uri.ip()), (Scheme::Sip, Some(contact.destination.ip())));
        assert_eq!(uri.port.unwrap_or(5060), contact.destination.port());
        call(&settings, &directory, &subscriber.number, &contact.uri);
    }
}

fn call(settings: &Arc<Settings>, directory: &Arc<Directory>, number: &str, contact: &str) {
    let place = Place { shard: 0, shards: 1, owner_seed: 7, secret: 99 };
    let mut shard = Shard::new(Arc::clone(settings), Arc::clone(directory), place, UnixSeconds(0));
    let invite = format!(
        "INVITE sip:{number}@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa\r\n\
         From: <sip:9@h>;tag=f\r\nTo: <sip:{number}@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:9@192.0.2.9>\r\n\r\n"
    );
    let mut buffer = padded(invite.as_bytes());
    let source = "192.0.2.9:5060".parse().expect("an address");
    let datagram = Datagram { source, listener: ListenerId(0), buffer: &mut buffer, length: invite.len() };
    shard.handle_datagram(Now::from_ms(0), datagram);
    let outbox = shard.outbox();
    let sent: Vec<&[u8]> = outbox.datagrams().iter().map(|datagram| outbox.bytes(datagram)).collect();
    let read =
        |bytes: &&[u8]| Sip::read(bytes).unwrap_or_else(|fault| panic!("{fault:?}: {}", crate::shown(bytes)));
    let sent: Vec<Sip> = sent.iter().map(read).collect();
    let summaries: Vec<String> = sent.iter().map(Sip::summary).collect();
    assert_eq!(summaries, ["100 INVITE", "INVITE"], "{number} cannot be called");
    assert_eq!(sent[1].request_uri, contact);
}
