//! What must hold of dialogs, told from the messages alone.

use crate::sip::Sip;
use std::collections::{HashMap, HashSet};

/// Call-ID, our tag, the peer's.
type Dialog = (String, String, String);

#[derive(Default)]
pub struct Promises {
    /// CSeq of the last request of ours in a dialog.
    last: HashMap<Dialog, u32>,
    /// CSeq of the last INVITE that makes dialogs, by Call-ID and our tag.
    first: HashMap<(String, String), u32>,
    /// Of all requests of ours: what has one of them is a repetition.
    branches: HashSet<String>,
    /// INVITEs of ours by Call-ID, tag and CSeq: their branches, and whether they had a To tag.
    invites: HashMap<(String, String, u32), (String, bool)>,
    /// What came to them: branch, To tag, status and RSeq.
    answers: HashSet<(String, String, u16, u32)>,
    highest_rseq: HashMap<String, u32>,
    /// PRACKs that came: Call-ID and RSeq.
    pracks: HashSet<(String, u32)>,
    /// What PRACKs of ours acknowledge.
    acknowledged: HashSet<(Dialog, String)>,
    /// The message that was sent last was the ACK in this dialog.
    last_ack: Option<Dialog>,
    /// A response came that names another call than the request with its branch. Who sends that has lost the
    /// thread, and so have the rules below.
    is_lost: bool,
    /// Dialogs that a 2xx of ours made, or one that we acknowledged.
    made: HashSet<Dialog>,
    /// Those that ended by a BYE of ours, or one that we took.
    ended: HashSet<Dialog>,
}

fn dialog(sip: &Sip) -> Dialog {
    match sip.is_request() {
        true => (sip.call_id.clone(), sip.from_tag.clone(), sip.to_tag.clone()),
        false => (sip.call_id.clone(), sip.to_tag.clone(), sip.from_tag.clone()),
    }
}

fn first_number(text: &str) -> u32 {
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

impl Promises {
    /// A datagram from a peer.
    pub fn received(&mut self, bytes: &[u8]) {
        let Ok(sip) = Sip::read(bytes) else { return };
        let first = |name: &str| sip.all(name).first().map_or(0, |value| first_number(value));
        match sip.status {
            Some(status) if sip.method == "INVITE" => {
                let rseq = first("RSeq");
                let is_other =
                    |((call_id, tag, cseq), (branch, _)): (&(String, String, u32), &(String, bool))| {
                        *branch == sip.branch
                            && (*call_id != sip.call_id || *tag != sip.from_tag || *cseq != sip.cseq)
                    };
                self.is_lost |= self.invites.iter().any(is_other);
                let highest = self.highest_rseq.entry(sip.branch.clone()).or_default();
                *highest = rseq.max(*highest);
                self.answers.insert((sip.branch, sip.to_tag, status, rseq));
            }
            None if sip.method == "PRACK" => {
                let rseq = first("RAck");
                self.pracks.insert((sip.call_id, rseq));
            }
            _ => {}
        }
    }

    pub fn last_rseq(&self, branch: &str) -> u32 {
        self.highest_rseq.get(branch).copied().unwrap_or_default()
    }

    pub fn has_prack(&self, call_id: &[u8], rseq: u32) -> bool {
        self.pracks.contains(&(String::from_utf8_lossy(call_id).into_owned(), rseq))
    }

    /// A message of ours.
    pub fn sent(&mut self, sip: &Sip) {
        let before = self.last_ack.take();
        if sip.status.is_some() || self.is_lost {
            return self.responded(sip);
        }
        match sip.method.as_str() {
            "ACK" => self.acknowledges(sip),
            "CANCEL" => assert!(self.invited(sip, sip.cseq).is_some(), "CANCEL of nothing:\n{}", sip.text()),
            _ => self.requested(sip, before),
        }
    }

    fn invited(&self, sip: &Sip, cseq: u32) -> Option<&(String, bool)> {
        self.invites.get(&(sip.call_id.clone(), sip.from_tag.clone(), cseq))
    }

    /// Each request has a higher CSeq than the one before (RFC 3261 §12.2.1.1), be that the INVITE that made
    /// the dialog.
    fn requested(&mut self, sip: &Sip, before: Option<Dialog>) {
        if !self.branches.insert(sip.branch.clone()) {
            return;
        }
        let key = dialog(sip);
        let ours = (key.0.clone(), key.1.clone());
        if let Some(last) = self.last.get(&key).or_else(|| self.first.get(&ours)) {
            // A 2xx that comes when its leg is forgotten gets ACK and BYE without regard to what was said.
            let is_stray = sip.method == "BYE" && before.as_ref() == Some(&key);
            assert!(sip.cseq > *last || is_stray, "CSeq {last} was before:\n{}", sip.text());
        }
        self.last.insert(key.clone(), sip.cseq);
        if sip.method == "INVITE" && sip.to_tag.is_empty() {
            self.first.insert(ours, sip.cseq);
        }
        let of = (sip.call_id.clone(), sip.from_tag.clone(), sip.cseq);
        match sip.method.as_str() {
            "INVITE" => {
                // A peer's tag may be empty (RFC 2543).
                let is_in_dialog = !sip.to_tag.is_empty() || self.is_untagged(&key);
                self.invites.insert(of, (sip.branch.clone(), is_in_dialog));
            }
            "BYE" => drop(self.ended.insert(key)),
            "PRACK" => self.provisionally_acknowledges(sip),
            _ => {}
        }
    }

    /// Whether an INVITE with this Call-ID and our tag got a 2xx without a tag.
    fn is_untagged(&self, (call_id, tag, _): &Dialog) -> bool {
        let is_of = |branch: &String| {
            let mut invites = self.invites.iter().filter(|(_, (of, _))| of == branch);
            invites.any(|(invite, _)| invite.0 == *call_id && invite.1 == *tag)
        };
        let mut answers = self.answers.iter();
        answers.any(|(of, to, status, _)| to.is_empty() && (200..300).contains(status) && is_of(of))
    }

    /// An ACK answers a final response to an INVITE of ours.
    fn acknowledges(&mut self, sip: &Sip) {
        let Some((branch, is_in_dialog)) = self.invited(sip, sip.cseq) else {
            panic!("ACK to nothing:\n{}", sip.text());
        };
        // A peer that changes its tag in a dialog is not followed.
        let is_tag = |tag: &str| *is_in_dialog || tag == sip.to_tag;
        let mut answers =
            self.answers.iter().filter(|(of, tag, status, _)| of == branch && *status >= 200 && is_tag(tag));
        let is_made = !is_in_dialog && answers.clone().all(|(_, _, status, _)| *status < 300);
        assert!(answers.next().is_some(), "ACK to nothing that came:\n{}", sip.text());
        self.last_ack = Some(dialog(sip));
        if is_made {
            self.made.insert(dialog(sip));
        }
    }

    /// A PRACK names a provisional response, and no other PRACK names it too (RFC 3262 §4).
    fn provisionally_acknowledges(&mut self, sip: &Sip) {
        let rack = sip.one("RAck");
        let (rseq, rest) = rack.split_once(' ').expect("RSeq and CSeq");
        let (rseq, cseq) = (first_number(rseq), first_number(rest));
        let invite = self.invited(sip, cseq).map(|(branch, _)| branch);
        let is_it = |(of, tag, status, number): &(String, String, u16, u32)| {
            Some(of) == invite && *tag == sip.to_tag && (101..200).contains(status) && *number == rseq
        };
        assert!(self.answers.iter().any(is_it), "PRACK for nothing that came:\n{}", sip.text());
        let is_new = self.acknowledged.insert((dialog(sip), rack.to_owned()));
        assert!(is_new, "PRACK twice:\n{}", sip.text());
    }

    fn responded(&mut self, sip: &Sip) {
        let is_success = sip.status.is_some_and(|status| (200..300).contains(&status));
        match sip.method.as_str() {
            "INVITE" if is_success => drop(self.made.insert(dialog(sip))),
            "BYE" if is_success => drop(self.ended.insert(dialog(sip))),
            _ => {}
        }
    }

    /// No dialog is left to its peer.
    pub fn kept(&self) {
        for made in self.made.iter().filter(|_| !self.is_lost) {
            assert!(self.ended.contains(made), "no BYE in the dialog {made:?}");
        }
    }
}
