//! A phone that registers.

use super::Lab;
use super::caller::{Invite, request};
use super::peer::{Peer, SERVER};
use super::sip::Sip;

/// A phone and the REGISTER that it sent last.
pub struct Phone {
    pub register: Invite,
}

impl Phone {
    /// The phone of a subscriber, at its own address; it has sent nothing yet.
    pub fn new(lab: &mut Lab, peer: Peer) -> Phone {
        let mut register = request(lab, peer, "REGISTER", peer.number);
        register.request_uri = format!("sip:{SERVER}");
        register.cseq = 0;
        register.contact.clear();
        Phone { register }
    }

    pub fn peer(&self) -> Peer {
        self.register.peer
    }

    /// The next REGISTER with these Contacts (empty: none) and lines; it is not sent.
    pub fn next(&mut self, lab: &mut Lab, contacts: &str, lines: &[&str]) -> String {
        let address = self.peer().address;
        self.register.cseq += 1;
        self.register.via = format!("SIP/2.0/UDP {address};rport;branch=z9hG4bKr{}", lab.serial());
        self.register.contact = contacts.into();
        self.register.lines = lines.iter().map(|line| (*line).into()).collect();
        self.register.text()
    }

    /// Sends the next REGISTER.
    pub fn send(&mut self, lab: &mut Lab, contacts: &str, lines: &[&str]) {
        let text = self.next(lab, contacts, lines);
        lab.send(self.peer(), &text);
    }

    /// Sends the next REGISTER, which gets this answer at once, and nobody else anything.
    #[track_caller]
    pub fn gets(&mut self, lab: &mut Lab, (contacts, lines): (&str, &[&str]), status: u16) -> Sip {
        self.send(lab, contacts, lines);
        let answer = lab.expect(self.peer(), &format!("{status} REGISTER"));
        lab.expect_nothing();
        answer
    }

    /// Registers these Contacts: the answer.
    #[track_caller]
    pub fn registers(&mut self, lab: &mut Lab, contacts: &str) -> Sip {
        self.gets(lab, (contacts, &[]), 200)
    }

    /// What the server says is bound.
    #[track_caller]
    pub fn fetches(&mut self, lab: &mut Lab) -> Vec<String> {
        self.gets(lab, ("", &[]), 200).list("Contact")
    }
}
