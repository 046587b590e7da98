//! Feature codes: what phones dial to set forwarding (3GPP TS 22.030 §6.5), and short codes of the
//! operator's.

use super::change::{Action, Change};
use crate::directory::{Condition, Subscriber};
use crate::limits::NUMBER_BYTES_MAX;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The codes that are understood: those of mobile phones, and short ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub short: Vec<ShortCode>,
}

impl Default for Table {
    /// Those that carriers use most: all calls, busy, no answer; set and erase.
    fn default() -> Table {
        let short = |code: &str, action, conditions| ShortCode { code: code.into(), action, conditions };
        use ShortAction::{Erase, Register};
        Table {
            short: vec![
                short("*72", Register, &[Condition::Unconditional]),
                short("*73", Erase, &[Condition::Unconditional]),
                short("*90", Register, &[Condition::Busy]),
                short("*91", Erase, &[Condition::Busy]),
                short("*92", Register, &[Condition::NoAnswer]),
                short("*93", Erase, &[Condition::NoAnswer]),
            ],
        }
    }
}

/// A code of the operator's choice: `*92` and behind it the target, where the action wants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortCode {
    pub code: Box<str>,
    pub action: ShortAction,
    pub conditions: &'static [Condition],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortAction {
    Register,
    Activate,
    Deactivate,
    Erase,
    Query,
}

/// What a phone wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    Change(Change),
    /// Tell what is set.
    Query(&'static [Condition]),
}

/// Why something dialled is no code though it begins like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Nobody knows the code.
    Unknown,
    /// It ends too early: no target, no last `#`, no digits.
    Incomplete,
    /// The seconds are none from 5 to 180, or it is no code that has any.
    Seconds,
    /// What stands in the target's place is no number.
    Target,
    /// The target is longer than any number.
    TooLong,
    /// There is something in it that belongs to no code of its kind.
    Superfluous,
}

impl Bad {
    /// For people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Bad::Unknown => "unknown feature code",
            Bad::Incomplete => "the feature code is not complete",
            Bad::Seconds => "the time has to be from 5 to 180 seconds, and the code one that has a time",
            Bad::Target => "the target is not a number",
            Bad::TooLong => "the target is too long",
            Bad::Superfluous => "the feature code has parts that do not belong to it",
        }
    }
}

/// Seconds that the no-answer time may be dialled as.
pub const SECONDS: RangeInclusive<u32> = 5..=180;

/// Bytes of a dialled code: the target, and so many more of the code around it.
pub const DIALLED_BYTES_MAX: usize = NUMBER_BYTES_MAX + 64;

/// The service codes (3GPP TS 22.030 annex B): those of the conditions and of their groups.
const SERVICES: [(&str, &[Condition]); 6] = [
    ("21", &[Condition::Unconditional]),
    ("67", &[Condition::Busy]),
    ("61", &[Condition::NoAnswer]),
    ("62", NOT_REACHABLE),
    ("002", ALL),
    ("004", ALL_CONDITIONAL),
];

/// For a mobile network both are one condition.
const NOT_REACHABLE: &[Condition] = &[Condition::NotRegistered, Condition::NotReachable];

const ALL: &[Condition] = &Condition::ALL;

const ALL_CONDITIONAL: &[Condition] =
    &[Condition::Busy, Condition::NoAnswer, Condition::NotRegistered, Condition::NotReachable];

/// The basic service group of telephony (3GPP TS 22.030 annex C), the only one that there is here.
const TELEPHONY: &[u8] = b"11";

/// What the operator may call the conditions of a short code.
const GROUPS: [(&str, &[Condition]); 7] = [
    ("unconditional", &[Condition::Unconditional]),
    ("busy", &[Condition::Busy]),
    ("no-answer", &[Condition::NoAnswer]),
    ("not-registered", &[Condition::NotRegistered]),
    ("not-reachable", NOT_REACHABLE),
    ("all", ALL),
    ("all-conditional", ALL_CONDITIONAL),
];

const ACTIONS: [(&str, ShortAction); 5] = [
    ("register", ShortAction::Register),
    ("activate", ShortAction::Activate),
    ("deactivate", ShortAction::Deactivate),
    ("erase", ShortAction::Erase),
    ("query", ShortAction::Query),
];

impl FromStr for ShortCode {
    type Err = String;

    /// `*92=register:no-answer`.
    fn from_str(text: &str) -> Result<ShortCode, String> {
        let (code, rest) = text.split_once('=').ok_or("there is no = behind the code")?;
        let (action, conditions) = rest.split_once(':').ok_or("there is no : behind the action")?;
        let is_code = is_code(code.as_bytes())
            && code.len() > 1
            && code.len() <= SHORT_BYTES_MAX
            && code.bytes().all(|byte| byte.is_ascii_digit() || b"*#".contains(&byte));
        if !is_code {
            return Err("a code is * or # and up to 15 digits, * or #".to_owned());
        }
        let named = |name: &str| ACTIONS.into_iter().find(|(other, _)| *other == name);
        let (_, action) =
            named(action).ok_or("the action is not register, activate, deactivate, erase or query")?;
        let named = |name: &str| GROUPS.into_iter().find(|(other, _)| *other == name);
        let (_, conditions) = named(conditions).ok_or_else(|| {
            let names = GROUPS.map(|(name, _)| name);
            format!("the condition is none of {}", names.join(", "))
        })?;
        Ok(ShortCode { code: code.into(), action, conditions })
    }
}

/// A short code, its first character included.
const SHORT_BYTES_MAX: usize = 16;

/// Whether something dialled is a feature code, if anything: no subscriber's number begins so, unless it is
/// given out.
#[must_use]
pub fn is_code(dialled: &[u8]) -> bool {
    matches!(dialled.first(), Some(b'*' | b'#'))
}

/// Reads what was dialled, its escapes decoded. `None`: it does not begin like a code.
///
/// A code of mobile phones that is whole comes first: those phones can dial nothing else. Of the operator's
/// the longest that fits counts.
#[must_use]
pub fn parse(table: &Table, dialled: &[u8]) -> Option<Result<Code, Bad>> {
    if !is_code(dialled) {
        return None;
    }
    let mobile = mobile(dialled);
    if mobile.is_ok() {
        return Some(mobile);
    }
    let fits = |short: &&ShortCode| {
        let rest = dialled.strip_prefix(short.code.as_bytes());
        rest.is_some_and(|rest| short.action == ShortAction::Register || matches!(rest, [] | b"#"))
    };
    let short = table.short.iter().filter(fits).max_by_key(|short| short.code.len());
    Some(match (short, mobile) {
        (Some(short), Err(Bad::Unknown)) => short.read(dialled),
        // `*61*1005` begins like `*6` too, but is a code of mobile phones that lacks something.
        (Some(short), Err(Bad::Incomplete)) if short.action != ShortAction::Register => short.read(dialled),
        (_, mobile) => mobile,
    })
}

impl ShortCode {
    fn read(&self, dialled: &[u8]) -> Result<Code, Bad> {
        let action = match self.action {
            ShortAction::Query => return Ok(Code::Query(self.conditions)),
            ShortAction::Activate => Action::Activate,
            ShortAction::Deactivate => Action::Deactivate,
            ShortAction::Erase => Action::Erase,
            ShortAction::Register => {
                let rest = dialled.get(self.code.len()..).unwrap_or_default();
                let target = rest.strip_suffix(b"#").unwrap_or(rest);
                Action::Register { target: target_of(target)?, after_s: None }
            }
        };
        Ok(Code::Change(Change { conditions: self.conditions, action }))
    }
}

/// What the beginning of a mobile phone's code asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Procedure {
    /// `**`
    Register,
    /// `*`: registers with a target, activates without (3GPP TS 22.030 §6.5.2).
    Activate,
    Deactivate,
    Erase,
    Query,
}

/// A code of mobile phones: `*SC*SIA*SIB*SIC#` behind the procedure's beginning.
fn mobile(dialled: &[u8]) -> Result<Code, Bad> {
    let (procedure, rest) = match dialled {
        [b'*', b'*', rest @ ..] => (Procedure::Register, rest),
        [b'#', b'#', rest @ ..] => (Procedure::Erase, rest),
        [b'*', b'#', rest @ ..] => (Procedure::Query, rest),
        [b'*', rest @ ..] => (Procedure::Activate, rest),
        [b'#', rest @ ..] => (Procedure::Deactivate, rest),
        _ => return Err(Bad::Unknown),
    };
    let (whole, rest) = match rest.strip_suffix(b"#") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let mut parts = rest.split(|&byte| byte == b'*');
    let service = parts.next().unwrap_or_default();
    if service.is_empty() {
        return Err(Bad::Incomplete);
    }
    let known = SERVICES.iter().find(|(code, _)| code.as_bytes() == service);
    let (code, conditions) = *known.ok_or(Bad::Unknown)?;
    if !whole {
        return Err(Bad::Incomplete);
    }
    let mut part = || parts.next().unwrap_or_default();
    let (target, group, seconds) = (part(), part(), part());
    if parts.next().is_some() || !(group.is_empty() || group == TELEPHONY) {
        return Err(Bad::Superfluous);
    }
    let has_time = matches!(code, "61" | "002" | "004");
    let change = |action| Ok(Code::Change(Change { conditions, action }));
    match procedure {
        Procedure::Register | Procedure::Activate if !target.is_empty() => {
            let after_s = match seconds {
                [] => None,
                seconds if has_time => Some(seconds_of(seconds)?),
                _ => return Err(Bad::Seconds),
            };
            change(Action::Register { target: target_of(target)?, after_s })
        }
        Procedure::Register => Err(Bad::Incomplete),
        _ if !target.is_empty() || !seconds.is_empty() => Err(Bad::Superfluous),
        Procedure::Activate => change(Action::Activate),
        Procedure::Deactivate => change(Action::Deactivate),
        Procedure::Erase => change(Action::Erase),
        Procedure::Query => Ok(Code::Query(conditions)),
    }
}

fn seconds_of(digits: &[u8]) -> Result<u32, Bad> {
    let seconds = digits.iter().try_fold(0u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    });
    seconds.filter(|seconds| SECONDS.contains(seconds)).ok_or(Bad::Seconds)
}

/// A target as it is dialled: a number, or the name of a subscriber that has one. No address: that nobody
/// dials, and a phone's keys are no place to say where the server sends datagrams.
fn target_of(text: &[u8]) -> Result<Box<str>, Bad> {
    let text = match std::str::from_utf8(text) {
        Ok("") => return Err(Bad::Incomplete),
        Ok(text) => text,
        Err(_) => return Err(Bad::Target),
    };
    if text.len() > NUMBER_BYTES_MAX {
        return Err(Bad::TooLong);
    }
    let is_number = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._()".contains(&byte);
    if text.bytes().all(is_number) { Ok(text.into()) } else { Err(Bad::Target) }
}

/// What is set for some conditions, for people: a line for each. `after_ms`: the time that the number's
/// phones ring.
#[must_use]
pub fn describe(subscriber: &Subscriber, conditions: &[Condition], after_ms: u32) -> String {
    let lines = conditions.iter().map(|&condition| {
        let number = &subscriber.number;
        let (calls, forwarding) = match condition {
            Condition::Unconditional => (format!("All calls to {number}"), "of all calls"),
            Condition::Busy => (format!("Calls to {number} on busy"), "on busy"),
            Condition::NoAnswer => (format!("Calls to {number} on no answer"), "on no answer"),
            Condition::NotRegistered => {
                (format!("Calls to {number} when not registered"), "when not registered")
            }
            Condition::NotReachable => {
                (format!("Calls to {number} when not reachable"), "when not reachable")
            }
        };
        match subscriber.forwarding.target(condition) {
            None => format!("Forwarding {forwarding} is off."),
            Some(target) if condition == Condition::NoAnswer => {
                format!("{calls} go to {target} after {} s.", after_ms / 1_000)
            }
            Some(target) => format!("{calls} go to {target}."),
        }
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dialled: &str) -> Option<Result<Code, Bad>> {
        parse(&Table::default(), dialled.as_bytes())
    }

    fn change(conditions: &'static [Condition], action: Action) -> Option<Result<Code, Bad>> {
        Some(Ok(Code::Change(Change { conditions, action })))
    }

    fn register(target: &str, after_s: Option<u32>) -> Action {
        Action::Register { target: target.into(), after_s }
    }

    #[test]
    fn the_codes_of_mobile_phones_are_read() {
        for (service, conditions) in SERVICES {
            for begin in ["*", "**"] {
                let to = |rest: &str| read(&format!("{begin}{service}*{rest}#"));
                assert_eq!(to("1005"), change(conditions, register("1005", None)));
                assert_eq!(to("+49301005"), change(conditions, register("+49301005", None)));
                assert_eq!(to("1005*11"), change(conditions, register("1005", None)));
                let timed = ["61", "002", "004"].contains(&service);
                for (rest, seconds) in [("1005*11*5", 5), ("1005**180", 180), ("1005**020", 20)] {
                    let expected = change(conditions, register("1005", Some(seconds)));
                    assert_eq!(to(rest), if timed { expected } else { Some(Err(Bad::Seconds)) }, "{rest}");
                }
            }
            let plain = |begin: &str| read(&format!("{begin}{service}#"));
            assert_eq!(plain("*"), change(conditions, Action::Activate));
            assert_eq!(plain("#"), change(conditions, Action::Deactivate));
            assert_eq!(plain("##"), change(conditions, Action::Erase));
            assert_eq!(plain("*#"), Some(Ok(Code::Query(conditions))));
            assert_eq!(plain("**"), Some(Err(Bad::Incomplete)));
        }
    }

    #[test]
    fn the_short_codes_are_read_with_and_without_a_last_hash() {
        for last in ["", "#"] {
            let busy = &[Condition::Busy];
            assert_eq!(read(&format!("*901005{last}")), change(busy, register("1005", None)));
            assert_eq!(read(&format!("*91{last}")), change(busy, Action::Erase));
            assert_eq!(read(&format!("*72{last}")), Some(Err(Bad::Incomplete)));
            assert_eq!(read(&format!("*731005{last}")), Some(Err(Bad::Unknown)));
        }
    }

    #[test]
    fn what_is_no_code_is_told_apart() {
        let long = format!("**61*{}#", "1".repeat(65));
        let longest = format!("**61*{}#", "1".repeat(64));
        assert!(matches!(read(&longest), Some(Ok(_))));
        for (dialled, bad) in [
            ("*", Bad::Incomplete),
            ("#", Bad::Incomplete),
            ("**", Bad::Incomplete),
            ("*#", Bad::Incomplete),
            ("##", Bad::Incomplete),
            ("*##", Bad::Incomplete),
            ("**61", Bad::Incomplete),
            ("**61*1005", Bad::Incomplete),
            ("*61", Bad::Incomplete),
            ("**61*#", Bad::Incomplete),
            ("**61**20#", Bad::Superfluous),
            ("**61***20#", Bad::Incomplete),
            ("**61*1005**4#", Bad::Seconds),
            ("**61*1005**181#", Bad::Seconds),
            ("**61*1005**0#", Bad::Seconds),
            ("**61*1005**1000000000000#", Bad::Seconds),
            ("**61*1005**-5#", Bad::Seconds),
            ("**61*1005**2x#", Bad::Seconds),
            ("**67*1005**20#", Bad::Seconds),
            ("**61*1005*25*20#", Bad::Superfluous),
            ("**61*1005**20*1#", Bad::Superfluous),
            ("#61*1005#", Bad::Superfluous),
            ("*#61***20#", Bad::Superfluous),
            ("**61*10 05#", Bad::Target),
            ("**61*sip:x@192.0.2.1#", Bad::Target),
            ("*72sip:x@192.0.2.1", Bad::Target),
            ("**61*10#05#", Bad::Target),
            ("**99*1005#", Bad::Unknown),
            ("*99", Bad::Unknown),
            ("*#06#", Bad::Unknown),
            (&long, Bad::TooLong),
        ] {
            assert_eq!(read(dialled), Some(Err(bad)), "{dialled}");
        }
        for other in ["", "1004", "0*21#", "+*", "%23"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn the_operators_codes_are_read_by_the_longest_and_do_not_hide_those_of_mobile_phones() {
        let short =
            ["*6=register:busy", "*600=query:all", "#1=deactivate:not-reachable", "*55=activate:busy"];
        let table = Table { short: short.map(|text| text.parse().unwrap()).into() };
        let busy = &[Condition::Busy];
        assert_eq!(parse(&table, b"*61005"), change(busy, register("1005", None)));
        assert_eq!(parse(&table, b"*600"), Some(Ok(Code::Query(ALL))));
        assert_eq!(parse(&table, b"*6001"), change(busy, register("001", None)));
        assert_eq!(parse(&table, b"*61#"), change(&[Condition::NoAnswer], Action::Activate));
        assert_eq!(parse(&table, b"#1"), change(NOT_REACHABLE, Action::Deactivate));
        assert_eq!(parse(&table, b"*55#"), change(busy, Action::Activate));
        assert_eq!(parse(&table, b"*721005"), Some(Err(Bad::Unknown)));
        for bad in ["", "*92", "92=register:busy", "*=register:busy", "*9a=query:all", "*92=set:busy"] {
            assert!(bad.parse::<ShortCode>().is_err(), "{bad}");
        }
        for bad in ["*92=register", "*92=register:", "*92=register:Busy", "*12345678901234567=query:all"] {
            assert!(bad.parse::<ShortCode>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_set_is_told_in_a_line_for_each_condition() {
        let mut subscriber = Subscriber::new("1004");
        subscriber.forwarding.forward(Condition::NoAnswer, "1005");
        subscriber.forwarding.forward(Condition::Busy, "1006");
        subscriber.forwarding.activate(Condition::Busy, false);
        assert_eq!(
            describe(&subscriber, ALL, 20_000),
            "Forwarding of all calls is off.\r\nForwarding on busy is off.\r\nCalls to 1004 on no answer go \
             to 1005 after 20 s.\r\nForwarding when not registered is off.\r\nForwarding when not reachable \
             is off."
        );
    }
}
