//! A batch of changes: applied one after the other to drafts of the entries, committed as one.

use super::job::{Answer, Job, What};
use super::{Done, Expected, Refused, Request, Rules};
use crate::clock::UnixSeconds;
use crate::config;
use crate::directory::{Entry, Forwarding, Subscriber, View};
use crate::registrar::{self, Change, Refusal};
use crate::service;
use crate::service::change::{Change as Set, NotSet};
use crate::store::{Part, Write};
use std::collections::HashMap;

/// One number's entry as the batch leaves it.
pub(super) struct Draft {
    pub(super) number: Box<str>,
    /// `None`: nobody has the number.
    pub(super) entry: Option<Entry>,
    /// The revision in the directory; 0: it is not there.
    based_on: u64,
    /// The one that it gets.
    pub(super) revision: u64,
    subscriber_changed: bool,
    bindings_changed: bool,
}

/// A job, and what came of it.
pub(super) struct Applied {
    pub(super) job: Job,
    /// Which draft it was applied to.
    pub(super) draft: usize,
    /// What is to be answered once the draft is durable.
    pub(super) answer: Answer,
    /// The draft had been changed before: a refusal too is true only if that change is made.
    pub(super) rests_on_change: bool,
}

/// What came by now.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) drafts: Vec<Draft>,
    by_number: HashMap<Box<str>, usize>,
    /// In the order in which they came.
    pub(super) jobs: Vec<Applied>,
    /// Expired bindings that go with it.
    pub(super) expired: usize,
}

/// What a batch is applied under.
pub(super) struct Terms<'a> {
    pub(super) view: View<'a>,
    pub(super) rules: &'a Rules,
    pub(super) now: UnixSeconds,
}

impl Draft {
    pub(super) fn is_changed(&self) -> bool {
        self.subscriber_changed || self.bindings_changed
    }

    /// What the store is to write. `unix_us`: the calendar's microseconds, which keep a number that is taken
    /// away and given out again from having a revision twice.
    pub(super) fn write(&mut self, unix_us: u64) -> Write<'_> {
        self.revision = (self.based_on + 1).max(unix_us);
        let entry = self.entry.as_ref();
        let subscriber = match (self.subscriber_changed, entry) {
            (false, _) => Part::Keep,
            (true, Some(entry)) => Part::Put(&entry.subscriber),
            (true, None) => Part::Remove,
        };
        let bindings = match (self.bindings_changed, entry) {
            (false, _) => Part::Keep,
            (true, Some(entry)) if !entry.bindings.is_empty() => Part::Put(&*entry.bindings),
            (true, _) => Part::Remove,
        };
        Write {
            number: &self.number,
            based_on: Some(self.based_on),
            revision: self.revision,
            subscriber,
            bindings,
        }
    }
}

impl Batch {
    /// Applies a job to the draft of its number.
    pub(super) fn add(&mut self, mut job: Job, terms: &Terms<'_>) {
        let index = self.draft(job.what.number(), &terms.view);
        let rests_on_change = self.drafts[index].is_changed();
        let answer = match &mut job.what {
            What::Register { change, .. } => Answer::Registered(self.register(index, change, terms)),
            What::Forwarding { change, .. } => Answer::Forwarding(self.forward(index, change, terms)),
            What::Request { request, .. } => Answer::Outcome(self.request(index, request, terms)),
            What::Expire { .. } => {
                self.expire(index, terms.now);
                Answer::Nothing
            }
        };
        self.jobs.push(Applied { job, draft: index, answer, rests_on_change });
    }

    fn draft(&mut self, number: &str, view: &View<'_>) -> usize {
        if let Some(&index) = self.by_number.get(number) {
            return index;
        }
        let entry = view.get(number.as_bytes()).cloned();
        let index = self.drafts.len();
        self.by_number.insert(number.into(), index);
        self.drafts.push(Draft {
            number: number.into(),
            based_on: entry.as_ref().map_or(0, |entry| entry.revision),
            entry,
            revision: 0,
            subscriber_changed: false,
            bindings_changed: false,
        });
        index
    }

    fn register(&mut self, index: usize, change: &Change, terms: &Terms<'_>) -> Result<(), Refusal> {
        let draft = &mut self.drafts[index];
        let entry = draft.entry.as_mut().ok_or(Refusal::NoSubscriber)?;
        entry.bindings = registrar::apply(&entry.bindings, change, terms.rules.registration, terms.now)?;
        draft.bindings_changed = true;
        Ok(())
    }

    fn forward(&mut self, index: usize, change: &Set, terms: &Terms<'_>) -> Result<(), NotSet> {
        let entry = self.drafts[index].entry.as_ref().ok_or(NotSet::NoSubscriber)?;
        if entry.is_configured {
            return Err(NotSet::Configured);
        }
        let mut subscriber = entry.subscriber.clone();
        let known = |number: &str| self.known(number, terms);
        service::change::apply(&terms.rules.forwarding, &mut subscriber, change, &known)?;
        let draft = &mut self.drafts[index];
        draft.subscriber_changed = true;
        if let Some(entry) = &mut draft.entry {
            entry.subscriber = subscriber;
        }
        Ok(())
    }

    fn expire(&mut self, index: usize, now: UnixSeconds) {
        let draft = &mut self.drafts[index];
        let Some(entry) = &mut draft.entry else { return };
        let live = entry.bindings.iter().filter(|binding| now < binding.expires_at);
        let live: Box<[_]> = live.cloned().collect();
        let expired = entry.bindings.len() - live.len();
        if expired > 0 {
            entry.bindings = live;
            draft.bindings_changed = true;
            self.expired += expired;
        }
    }

    fn request(&mut self, index: usize, request: &Request, terms: &Terms<'_>) -> Result<Done, Refused> {
        match request {
            Request::Put { subscriber, expected } => self.put(index, subscriber, *expected, terms),
            Request::Change { edit, .. } => {
                let entry = self.drafts[index].entry.as_ref().ok_or(Refused::NoSubscriber)?;
                let mut subscriber = entry.subscriber.clone();
                edit(&mut subscriber);
                subscriber.number.clone_from(&self.drafts[index].number);
                self.put(index, &subscriber, Expected::Present, terms)
            }
            Request::Remove { .. } => {
                let draft = &mut self.drafts[index];
                let entry = draft.entry.as_ref().ok_or(Refused::NoSubscriber)?;
                if entry.is_configured {
                    return Err(Refused::Configured);
                }
                let unbound = entry.bindings.len();
                draft.entry = None;
                (draft.subscriber_changed, draft.bindings_changed) = (true, true);
                Ok(Done { is_new: false, revision: 0, unbound })
            }
            Request::Unbind { uri, .. } => {
                let draft = &mut self.drafts[index];
                let entry = draft.entry.as_mut().ok_or(Refused::NoSubscriber)?;
                let kept = entry.bindings.iter();
                let kept = kept.filter(|binding| uri.as_ref().is_some_and(|uri| binding.uri != *uri));
                let kept: Box<[_]> = kept.cloned().collect();
                let unbound = entry.bindings.len() - kept.len();
                entry.bindings = kept;
                draft.bindings_changed |= unbound > 0;
                Ok(Done { is_new: false, revision: entry.revision, unbound })
            }
        }
    }

    fn put(
        &mut self,
        index: usize,
        subscriber: &Subscriber,
        expected: Expected,
        terms: &Terms<'_>,
    ) -> Result<Done, Refused> {
        let draft = &self.drafts[index];
        match (&draft.entry, expected) {
            (Some(entry), _) if entry.is_configured => return Err(Refused::Configured),
            (Some(_), Expected::Absent) => return Err(Refused::Exists),
            (Some(entry), Expected::Revision(revision))
                if draft.is_changed() || entry.revision != revision =>
            {
                return Err(Refused::Changed { revision: entry.revision });
            }
            (None, Expected::Present | Expected::Revision(_)) => return Err(Refused::NoSubscriber),
            _ => {}
        }
        config::check_subscriber(subscriber).map_err(Refused::Invalid)?;
        // It may be new, and may name itself.
        let (number, forwarding) = (&*subscriber.number, &subscriber.forwarding);
        let known = |other: &str| match other == number {
            true => Some(forwarding.clone()),
            false => self.known(other, terms),
        };
        let before = draft.entry.as_ref().map(|entry| entry.subscriber.forwarding.clone());
        let before = before.unwrap_or_default();
        service::check(&terms.rules.forwarding, number, (&before, forwarding), &known).map_err(
            |(condition, wrong)| Refused::Invalid(format!("{}: {wrong}", config::member(condition))),
        )?;
        let draft = &mut self.drafts[index];
        draft.subscriber_changed = true;
        let is_new = draft.entry.is_none();
        match &mut draft.entry {
            Some(entry) => entry.subscriber = subscriber.clone(),
            None => {
                draft.entry = Some(Entry::from(subscriber.clone()));
                // Bindings that a number of the configuration left in the store are not its.
                draft.bindings_changed = true;
            }
        }
        Ok(Done { is_new, revision: 0, unbound: 0 })
    }

    /// What a number has set once the batch is done; `None`: nobody has it.
    fn known(&self, number: &str, terms: &Terms<'_>) -> Option<Forwarding> {
        let entry = match self.by_number.get(number) {
            Some(&index) => self.drafts[index].entry.as_ref(),
            None => terms.view.get(number.as_bytes()),
        };
        entry.map(|entry| entry.subscriber.forwarding.clone())
    }
}
