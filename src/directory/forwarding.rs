//! Where a number's calls go instead of to its phones.

/// What a subscriber may have its calls forwarded on (3GPP TS 24.604 §4.2.1: CFU, CFB, CFNR, CFNL, CFNRc).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// Before any phone is tried.
    Unconditional,
    Busy,
    NoAnswer,
    /// It has no phone that could be tried.
    NotRegistered,
    /// Its phones do not answer to SIP at all, or their server fails.
    NotReachable,
}

/// One kind of forwarding, as it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub condition: Condition,
    /// A rule that is not active keeps its target until it is activated again.
    pub is_active: bool,
    /// A number, or a sip or tel URI.
    pub target: Box<str>,
}

/// All that is set: at most one rule for each condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// In the order of their conditions.
    rules: Box<[Rule]>,
}

/// Which header fields tell those behind a diversion of it (SIP_RULES 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryForm {
    /// RFC 5806.
    Diversion,
    /// RFC 7044.
    HistoryInfo,
    #[default]
    Both,
    /// Neither, whatever came with the INVITE.
    None,
}

impl Condition {
    /// All of them, in their order.
    pub const ALL: [Condition; 5] = [
        Condition::Unconditional,
        Condition::Busy,
        Condition::NoAnswer,
        Condition::NotRegistered,
        Condition::NotReachable,
    ];

    /// As options, the API's clients and people write it: `no-answer`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Condition::Unconditional => "unconditional",
            Condition::Busy => "busy",
            Condition::NoAnswer => "no-answer",
            Condition::NotRegistered => "not-registered",
            Condition::NotReachable => "not-reachable",
        }
    }

    /// The condition with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Condition> {
        Condition::ALL.into_iter().find(|condition| condition.name() == name)
    }
}

impl Forwarding {
    /// What is set for a condition, active or not.
    #[must_use]
    pub fn rule(&self, condition: Condition) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.condition == condition)
    }

    /// Where calls go under a condition; `None`: they are not forwarded.
    #[must_use]
    pub fn target(&self, condition: Condition) -> Option<&str> {
        self.rule(condition).filter(|rule| rule.is_active).map(|rule| &*rule.target)
    }

    /// Everything that is set, in the conditions' order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Sets a rule in the place of the one with its condition.
    pub fn set(&mut self, rule: Rule) {
        let mut rules = self.without(rule.condition);
        let place = rules.iter().position(|other| other.condition > rule.condition).unwrap_or(rules.len());
        rules.insert(place, rule);
        self.rules = rules.into();
    }

    /// An active rule with this target.
    pub fn forward(&mut self, condition: Condition, target: &str) {
        self.set(Rule { condition, is_active: true, target: target.into() });
    }

    /// Takes a condition's rule away.
    pub fn erase(&mut self, condition: Condition) {
        self.rules = self.without(condition).into();
    }

    /// Activates or deactivates what is set for a condition; `false`: nothing is.
    pub fn activate(&mut self, condition: Condition, is_active: bool) -> bool {
        let rule = self.rules.iter_mut().find(|rule| rule.condition == condition);
        rule.map(|rule| rule.is_active = is_active).is_some()
    }

    fn without(&self, condition: Condition) -> Vec<Rule> {
        self.rules.iter().filter(|rule| rule.condition != condition).cloned().collect()
    }
}

impl HistoryForm {
    pub const ALL: [HistoryForm; 4] =
        [HistoryForm::Diversion, HistoryForm::HistoryInfo, HistoryForm::Both, HistoryForm::None];

    /// As options and the API's clients write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            HistoryForm::Diversion => "diversion",
            HistoryForm::HistoryInfo => "history-info",
            HistoryForm::Both => "both",
            HistoryForm::None => "none",
        }
    }

    /// The form with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<HistoryForm> {
        HistoryForm::ALL.into_iter().find(|form| form.name() == name)
    }

    #[must_use]
    pub const fn has_diversion(self) -> bool {
        matches!(self, HistoryForm::Diversion | HistoryForm::Both)
    }

    #[must_use]
    pub const fn has_history_info(self) -> bool {
        matches!(self, HistoryForm::HistoryInfo | HistoryForm::Both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_has_one_rule_at_most() {
        let mut forwarding = Forwarding::default();
        forwarding.forward(Condition::NotReachable, "1");
        forwarding.forward(Condition::Unconditional, "2");
        forwarding.forward(Condition::NoAnswer, "3");
        forwarding.forward(Condition::NoAnswer, "4");
        let set: Vec<_> = forwarding.rules().iter().map(|rule| (rule.condition, &*rule.target)).collect();
        assert_eq!(
            set,
            [(Condition::Unconditional, "2"), (Condition::NoAnswer, "4"), (Condition::NotReachable, "1")]
        );
        assert!(forwarding.activate(Condition::NoAnswer, false));
        assert!(!forwarding.activate(Condition::Busy, true));
        assert_eq!(forwarding.target(Condition::NoAnswer), None);
        assert_eq!(forwarding.rule(Condition::NoAnswer).map(|rule| &*rule.target), Some("4"));
        forwarding.erase(Condition::NoAnswer);
        assert_eq!(forwarding.rule(Condition::NoAnswer), None);
        assert_eq!(forwarding.rules().len(), 2);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for condition in Condition::ALL {
            assert_eq!(Condition::named(condition.name()), Some(condition));
        }
        for form in HistoryForm::ALL {
            assert_eq!(HistoryForm::named(form.name()), Some(form));
        }
        assert_eq!(Condition::named("no_answer"), None);
    }
}
