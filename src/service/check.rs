//! Whether what somebody wants to set as forwarding makes sense.

use super::settings::Settings;
use super::target::{NoTarget, Target};
use crate::directory::{Condition, Forwarding, Rule};
use crate::limits::NUMBER_BYTES_MAX;
use std::collections::HashSet;
use std::fmt;

/// Why a forwarding is refused when it is set. What it says is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    Itself,
    /// The numbers that calls would go round by, the first of them twice.
    Loop(Vec<Box<str>>),
    Emergency(Box<str>),
    /// Nobody has the number, and no route leads there.
    NoWay(Box<str>),
    NoTarget(NoTarget),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Itself => f.write_str("a subscriber cannot forward to itself"),
            Wrong::Loop(numbers) => write!(f, "calls would go in a loop: {}", numbers.join(" → ")),
            Wrong::Emergency(number) => write!(f, "{number} is an emergency number"),
            Wrong::NoWay(number) => {
                write!(f, "nobody has the number {number}, and no route leads there")
            }
            Wrong::NoTarget(reason) => reason.fmt(f),
        }
    }
}

/// How many numbers a loop is looked for in; a longer chain than a call may take is cut by the cap.
const LOOKED_AT_MAX: usize = 256;

/// Checks a number's rules that are not as they were before. `known` gives what a number has set, `None`
/// where nobody has it.
///
/// # Errors
/// The first condition whose rule makes no sense, and why. A loop counts active rules alone, whatever their
/// conditions: a call that is forwarded all the way round finds nobody.
pub fn check(
    settings: &Settings,
    number: &str,
    (before, forwarding): (&Forwarding, &Forwarding),
    known: &impl Fn(&str) -> Option<Forwarding>,
) -> Result<(), (Condition, Wrong)> {
    let is_new = |rule: &&Rule| before.rule(rule.condition) != Some(*rule);
    for rule in forwarding.rules().iter().filter(is_new) {
        let wrong = |wrong| Err((rule.condition, wrong));
        let next = match follow(settings, &rule.target, known) {
            Err(reason) => return wrong(reason),
            Ok(next) => next,
        };
        let Some((next, forwarding)) = next else { continue };
        if *next == *number {
            return wrong(Wrong::Itself);
        }
        if rule.is_active
            && let Some(numbers) = way_back(settings, number, (next, forwarding), known)
        {
            return wrong(Wrong::Loop(numbers));
        }
    }
    Ok(())
}

/// The number of ours that a target names, and what it has set; `None`: it is none of ours.
fn follow(
    settings: &Settings,
    target: &str,
    known: &impl Fn(&str) -> Option<Forwarding>,
) -> Result<Option<(Box<str>, Forwarding)>, Wrong> {
    let mut room = [0; NUMBER_BYTES_MAX];
    let parsed = settings.target(target.as_bytes(), &mut room).map_err(Wrong::NoTarget)?;
    if settings.is_emergency(parsed) {
        return Err(Wrong::Emergency(target.into()));
    }
    if let Target::Number(digits) = parsed {
        let mut other = [0; NUMBER_BYTES_MAX];
        for digits in [digits, settings.normalized(digits, &mut other)] {
            let digits = String::from_utf8_lossy(digits);
            if let Some(forwarding) = known(&digits) {
                return Ok(Some((digits.into(), forwarding)));
            }
        }
    }
    match settings.outside(parsed) {
        Some(_) => Ok(None),
        None => Err(Wrong::NoWay(target.into())),
    }
}

/// The numbers from `number` by way of `next` back to it; `None`: no active rules lead back.
fn way_back(
    settings: &Settings,
    number: &str,
    next: (Box<str>, Forwarding),
    known: &impl Fn(&str) -> Option<Forwarding>,
) -> Option<Vec<Box<str>>> {
    let mut seen: HashSet<Box<str>> = HashSet::from([next.0.clone()]);
    let mut ways = vec![(vec![number.into(), next.0], next.1)];
    while let Some((way, forwarding)) = ways.pop() {
        for rule in forwarding.rules().iter().filter(|rule| rule.is_active) {
            let Ok(Some((next, forwarding))) = follow(settings, &rule.target, known) else { continue };
            let mut way = way.clone();
            way.push(next.clone());
            if *next == *number {
                return Some(way);
            }
            if seen.len() < LOOKED_AT_MAX && seen.insert(next) {
                ways.push((way, forwarding));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::settings::{NumberRule, Route};
    use std::collections::HashMap;

    type Rules<'a> = &'a [(&'a str, Condition, &'a str)];

    fn wrong(settings: &Settings, rules: Rules<'_>, number: &str) -> Option<String> {
        let mut all: HashMap<&str, Forwarding> = HashMap::new();
        for number in ["1003", "1004", "1005", "+49301006"] {
            all.insert(number, Forwarding::default());
        }
        for (number, condition, target) in rules {
            all.entry(number).or_default().forward(*condition, target);
        }
        let own = all[number].clone();
        check(settings, number, (&Forwarding::default(), &own), &|number| all.get(number).cloned())
            .err()
            .map(|(condition, wrong)| format!("{}: {wrong}", condition.name()))
    }

    #[test]
    fn what_leads_nowhere_is_refused_with_the_reason() {
        let settings = Settings {
            routes: vec![Route {
                prefix: "+".into(),
                host: "192.0.2.9".into(),
                destination: "192.0.2.9:5060".parse().unwrap(),
            }],
            number_rules: vec![NumberRule { prefix: "0".into(), replacement: "+49".into() }],
            ..Settings::default()
        };
        let busy = |target| wrong(&settings, &[("1004", Condition::Busy, target)], "1004");
        for good in ["1005", "+4930", "030", "0301006", "tel:+49-30", "sip:x@192.0.2.1"] {
            assert_eq!(busy(good), None, "{good}");
        }
        let long = "1".repeat(65);
        for (bad, part) in [
            ("1004", "itself"),
            ("1009", "nobody has the number 1009, and no route leads there"),
            ("112", "112 is an emergency number"),
            ("tel:911", "emergency"),
            ("sip:112@192.0.2.1", "emergency"),
            ("", "empty"),
            (&long, "too long"),
            ("sips:x@192.0.2.1", "UDP"),
            ("sip:x@192.0.2.1;transport=tcp", "UDP"),
            ("sip:x@example.com", "host"),
            ("sip:192.0.2.1", "nobody is reached"),
            ("sip:x@192.0.2.1?Subject=x", "header fields"),
            ("mailto:x", "not a number"),
            ("10 05", "not a number"),
        ] {
            let refused = busy(bad).unwrap_or_default();
            assert!(refused.starts_with("busy: ") && refused.contains(part), "{bad}: {refused}");
        }
    }

    #[test]
    fn a_loop_is_named_whatever_its_conditions_and_length() {
        use Condition::{Busy, NoAnswer, Unconditional};
        let settings = Settings::default();
        let two: Rules<'_> = &[("1004", NoAnswer, "1005"), ("1005", Busy, "1004")];
        assert_eq!(
            wrong(&settings, two, "1005").as_deref(),
            Some("busy: calls would go in a loop: 1005 → 1004 → 1005")
        );
        let three: Rules<'_> =
            &[("1003", Unconditional, "1004"), ("1004", NoAnswer, "1005"), ("1005", Busy, "1003")];
        assert_eq!(
            wrong(&settings, three, "1003").as_deref(),
            Some("unconditional: calls would go in a loop: 1003 → 1004 → 1005 → 1003")
        );
        // Somebody else's loop is not this number's fault.
        let others: Rules<'_> =
            &[("1003", Unconditional, "1004"), ("1004", NoAnswer, "1005"), ("1005", Busy, "1004")];
        assert_eq!(wrong(&settings, others, "1003"), None);
    }

    #[test]
    fn a_rule_that_is_not_active_makes_no_loop() {
        let settings = Settings::default();
        let mut own = Forwarding::default();
        own.forward(Condition::Busy, "1005");
        own.activate(Condition::Busy, false);
        let known = |number: &str| {
            let mut forwarding = Forwarding::default();
            if number == "1005" {
                forwarding.forward(Condition::Busy, "1004");
            }
            Some(forwarding)
        };
        assert_eq!(check(&settings, "1004", (&Forwarding::default(), &own), &known), Ok(()));
        own.activate(Condition::Busy, true);
        assert!(check(&settings, "1004", (&Forwarding::default(), &own), &known).is_err());
    }
}
