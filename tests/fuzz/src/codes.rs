//! Feature codes and the offers of those who dial them: what is read is within bounds, what is written can be
//! read.

use ringway::sdp::{Description, Origin, answer_inactive};
use ringway::service::change::{Action, Change};
use ringway::service::codes::{Code, ShortCode, Table, is_code, parse};

pub fn run(data: &[u8]) {
    // A short code of the operator's, what is dialled, an offer.
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (short, dialled, offer) = (part(), part(), part());
    let short: Option<ShortCode> = std::str::from_utf8(short).ok().and_then(|text| text.parse().ok());
    let table = short.map_or_else(Table::default, |short| Table { short: vec![short] });
    let read = parse(&table, dialled);
    assert_eq!(read.is_some(), is_code(dialled));
    if let Some(Ok(Code::Change(Change { conditions, action }))) = read {
        assert!(!conditions.is_empty());
        if let Action::Register { target, after_s } = action {
            assert!((1..=64).contains(&target.len()) && dialled.len() > target.len());
            assert!(target.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(after_s.is_none_or(|after_s| (5..=180).contains(&after_s)));
        }
    }
    let origin = Origin { host: "192.0.2.1", is_ipv6: false, id: 1 };
    let mut answer = Vec::new();
    match answer_inactive(&mut answer, offer, origin) {
        Err(_) => assert!(answer.is_empty()),
        Ok(()) => {
            assert!(answer.len() < 5_000 && answer.is_ascii());
            let streams = |text| Description::read(text).map(|description| description.streams().len());
            assert_eq!(streams(&answer), streams(offer), "{}", crate::shown(&answer));
            // The answer is a description that could be answered itself.
            assert!(answer_inactive(&mut Vec::new(), &answer, origin).is_ok(), "{}", crate::shown(&answer));
        }
    }
}
