//! What a leg is told of diversions: whatever came with the INVITE, and whatever we did to the call, what is
//! written is a message, is bounded, and shows nobody who is not to be shown.

use crate::input::Input;
use crate::{padded, shown};
use ringway::directory::{Condition, HistoryForm};
use ringway::limits::{HISTORY_BYTES_MAX, HISTORY_ENTRIES_MAX};
use ringway::service::history::{History, Hop, received_diversions};
use ringway::service::{NumberRule, Reason, Settings};
use ringway::sip::name_addr::split_list;
use ringway::sip::write::Writer;
use ringway::sip::{HeaderName, Index, Message, scan};

/// Diversions of ours in one call.
const HOPS_MAX: usize = 10;

/// How much may be told: all, our own, what came.
const DETAILS: usize = 3;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let form = HistoryForm::ALL[input.below(4)];
    let (to_trusted, is_outside) = (input.one_in(2), input.one_in(2));
    let hops = hops(&mut input);
    let head = "INVITE sip:1004@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKb\r\nFrom: <sip:a>;tag=f\r\n\
                To: <sip:b>\r\nCall-ID: call\r\nCSeq: 1 INVITE\r\n";
    let rest = input.rest();
    let mut datagram = head.as_bytes().to_vec();
    for (number, value) in rest.split(|&byte| byte == 0).enumerate() {
        let name = ["Diversion: ", "History-Info: ", "Privacy: "][number % 3];
        datagram.extend_from_slice(name.as_bytes());
        datagram.extend(value.iter().filter(|&&byte| byte != b'\r' && byte != b'\n'));
        datagram.extend_from_slice(b"\r\n");
    }
    datagram.extend_from_slice(b"\r\n");
    let mut buffer = padded(&datagram);
    let mut index = Index::new();
    if scan(&mut buffer, datagram.len(), &mut index).is_err() {
        return;
    }
    let invite = index.message(&buffer);
    let _ = received_diversions(&invite);
    let rule = NumberRule { prefix: "1".into(), replacement: "+491".into() };
    let settings = Settings { number_rules: vec![rule], ..Settings::default() };
    let history = History { settings: &settings, form, invite: &invite, hops: &hops, to_trusted, is_outside };
    check(&history);
    let mut response = Vec::new();
    History { form: HistoryForm::HistoryInfo, to_trusted: false, ..history }
        .write_for_caller(&mut Writer::new(&mut response));
    is_readable(&response, &invite);
}

fn hops(input: &mut Input<'_>) -> Vec<u8> {
    let mut hops = Vec::new();
    for number in 0..input.below(HOPS_MAX + 1) {
        let reason = match input.below(7) {
            5 => Reason::Deflection { alerting: false },
            6 => Reason::Deflection { alerting: true },
            place => Reason::Set(Condition::ALL[place]),
        };
        let (status, is_private) = (input.pick(&[0, 302, 408, 486]), input.one_in(3));
        let (diverting, target) = (format!("sip:{}@h", 1004 + number), format!("sip:{}@h", 1005 + number));
        let (diverting, target) = (diverting.as_bytes(), target.as_bytes());
        Hop { diverting, target, reason, status, is_private }.push(&mut hops);
    }
    hops
}

fn check(history: &History<'_>) {
    let Some(mut told) = history.read() else { return };
    for detail in 0..DETAILS {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        told.write_above(&mut writer);
        writer.splice_fields(history.invite, |header| {
            let is_told = matches!(header.name, HeaderName::Diversion | HeaderName::HistoryInfo);
            is_told && told.passes(header)
        });
        told.write_below(&mut writer);
        is_readable(&out, history.invite);
        let came = history.invite.bytes().len();
        // One entry may be as long as what came; the others are bounded.
        assert!(out.len() <= 2 * came + 4 * HISTORY_BYTES_MAX, "{} of {came}", out.len());
        if history.form == HistoryForm::None {
            assert!(out.is_empty(), "{}", shown(&out));
        }
        if !history.to_trusted {
            hides(&out);
        }
        assert_eq!(told.shorten(), detail + 1 < DETAILS);
    }
}

/// What was written are header fields, each with a value where all that came had one.
fn is_readable(written: &[u8], invite: &Message<'_>) {
    let head = b"SIP/2.0 181 x\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKb\r\nFrom: <sip:a>;tag=f\r\n\
                 To: <sip:b>\r\nCall-ID: call\r\nCSeq: 1 INVITE\r\n";
    let message = [head, written, b"\r\n"].concat();
    let mut buffer = padded(&message);
    let mut index = Index::new();
    let result = scan(&mut buffer, message.len(), &mut index);
    assert!(result.is_ok(), "{result:?}: {}", shown(&message));
    let read = index.message(&buffer);
    assert_eq!(read.bytes(), message, "{}", shown(&message));
    let came = invite.values(HeaderName::HistoryInfo).flat_map(split_list).count();
    let goes = read.values(HeaderName::HistoryInfo).flat_map(split_list).count();
    assert!(goes <= came + 2 * HISTORY_ENTRIES_MAX + HOPS_MAX + 2, "{came} {goes}: {}", shown(&message));
}

/// Nothing that is to be hidden goes to those whom nobody trusts. What stands in quotes is a name.
fn hides(written: &[u8]) {
    if written.contains(&b'"') {
        return;
    }
    let text = written.to_ascii_lowercase();
    for line in text.split(|&byte| byte == b'\n') {
        let says = |needle: &[u8]| line.windows(needle.len()).any(|window| window == needle);
        let is_diversion = line.starts_with(b"diversion:");
        // What stands within a URI says nothing of the entry.
        if is_diversion && line.contains(&b'?') {
            continue;
        }
        let needles: &[&[u8]] = match is_diversion {
            true => &[b">;privacy=full", b">;privacy=uri", b">;privacy=name", b";counter=1;privacy=full"],
            false => &[b"?privacy=history>", b"?privacy=history&"],
        };
        assert!(!needles.iter().any(|needle| says(needle)), "{}", shown(written));
    }
}
