//! A callee, or several behind a forking proxy: what it makes of the INVITE.

use super::caller::{contact_of, names, number_of};
use super::dialog::{Dialog, Final, Open, Rel, Stage, next_ms};
use super::ledger::{Token, Use};
use super::net::What;
use super::party::{Extra, On, Party};
use super::script::{Refresher, Step};
use ringway::sip::{HeaderName, Message, Method};

/// A step that has to wait is tried again after so long.
const LATER_MS: u32 = 300;

fn header(message: &Message<'_>, name: HeaderName) -> String {
    String::from_utf8_lossy(message.header(name).unwrap_or_default()).into_owned()
}

impl Party {
    /// The first INVITE, or the one behind our 422.
    pub fn invited(&mut self, on: &mut On<'_>, message: &Message<'_>) {
        let number = self.serve(on, message, 0);
        let asked_s = number_of(message, HeaderName::SessionExpires);
        let floor = self.script.min_se.filter(|min_se| asked_s.is_some_and(|asked_s| asked_s < *min_se));
        if let Some(min_se) = floor {
            on.net.counts.too_small_422 += 1;
            let extra = Extra { headers: format!("Min-SE: {min_se}\r\n"), body: None };
            return self.finish(on, number, (0, 422), &extra);
        }
        self.asks_session_s = asked_s;
        self.takes_reliable = names(message, HeaderName::Supported, "100rel");
        self.dialogs.clear();
        let offer = self.served[usize::from(number)].offer;
        for fork in 0..self.script.forks {
            let to = header(message, HeaderName::To);
            let from = header(message, HeaderName::From);
            let uri = |text: &str| text.split('>').next().map(|uri| format!("{uri}>")).unwrap_or_default();
            self.dialogs.push(Dialog {
                call_id: header(message, HeaderName::CallId),
                local_tag: self.tag(fork),
                remote_tag: String::from_utf8_lossy(message.from_tag()).into_owned(),
                local_uri: uri(&to),
                remote_uri: uri(&from),
                target: contact_of(message).unwrap_or_default(),
                contact: self.contact(fork),
                cseq: 222,
                remote_cseq: self.served[usize::from(number)].cseq,
                stage: Stage::Early,
                open: offer.map_or(Open::Nothing, Open::Received),
                settled: false,
                described: None,
                rseq: 0,
                rseq_seen: 0,
                session: None,
                bye_sent: false,
                byed: false,
            });
        }
        self.invite = Some(number);
        on.net.counts.forks += u64::from(self.script.forks > 1);
        for (step, Step { after_ms, .. }) in self.script.steps.iter().enumerate() {
            on.net.wake(self.call, self.place, What::Step(step as u8), *after_ms);
        }
    }

    pub fn step(&mut self, on: &mut On<'_>, step: u8) {
        let Some(number) = self.invite else { return };
        let Step { fork, status, .. } = self.script.steps[usize::from(step)];
        let final_status = self.served[usize::from(number)].status;
        let answered = (200..300).contains(&final_status);
        let may = final_status < 200 || answered && status == 200;
        let again = self.finals.iter().any(|last| last.served == number && last.dialog == fork);
        if !may || again || self.cancelled && status != 200 || self.dialogs[usize::from(fork)].is_ended() {
            return;
        }
        if status == 100 {
            self.respond(on, number, 100, &Extra::default());
        } else if status < 200 {
            self.ring(on, step, number);
        } else if status < 300 {
            self.answer(on, step, (number, fork));
        } else {
            self.finish(on, number, (fork, status), &Extra::default());
        }
    }

    fn ring(&mut self, on: &mut On<'_>, step: u8, number: u16) {
        let Step { fork, status, reliable, sdp, .. } = self.script.steps[usize::from(step)];
        if self.served[usize::from(number)].status >= 200 {
            return;
        }
        let reliable = reliable && self.takes_reliable;
        if self.rels.iter().any(|rel| rel.dialog == fork && !rel.acked) {
            return on.net.wake(self.call, self.place, What::Step(step), LATER_MS);
        }
        let (place, first) = (self.place, on.rng.between(1, 1 << 30));
        let asked = self.served[usize::from(number)].offer;
        let dialog = &mut self.dialogs[usize::from(fork)];
        let (mut body, mut offer) = (None, None);
        match dialog.open {
            // An UPDATE's offer has its answer in the UPDATE's 200.
            Open::Received(to) if sdp && asked == Some(to) => {
                let answer = *dialog.described.get_or_insert_with(|| on.ledger.body(place, Use::Answer(to)));
                body = Some(answer);
                if reliable {
                    (dialog.open, dialog.settled) = (Open::Nothing, true);
                }
            }
            Open::Nothing if sdp && reliable && !dialog.settled => {
                let token = on.ledger.body(place, Use::Offer);
                (dialog.open, dialog.described) = (Open::Sent(token), Some(token));
                (body, offer) = (Some(token), Some(token));
            }
            _ => {}
        }
        let mut headers = String::new();
        if reliable {
            dialog.rseq = if dialog.rseq == 0 { first } else { dialog.rseq + 1 };
            headers = format!("Require: 100rel\r\nRSeq: {}\r\n", dialog.rseq);
        }
        let (rseq, has_body) = (dialog.rseq, body.is_some());
        let bytes = self.respond_as(on, number, (fork, status), &Extra { headers, body });
        if reliable {
            self.rels.push(Rel { served: number, dialog: fork, rseq, bytes, acked: false, has_body, offer });
            on.net.wake(self.call, self.place, What::RelAgain(self.rels.len() as u16 - 1, 1), 500);
        }
        if !self.rang {
            self.rang = true;
            self.schedule(on, fork, true);
        }
    }

    /// RFC 3262 §3: again at intervals that double, until the PRACK; in vain: the INVITE is refused.
    pub fn rel_again(&mut self, on: &mut On<'_>, number: u16, attempt: u8) {
        let Rel { served, acked, dialog, .. } = self.rels[usize::from(number)];
        if acked
            || self.served[usize::from(served)].status >= 200
            || self.dialogs[usize::from(dialog)].is_ended()
        {
            return;
        }
        if attempt > 6 {
            return self.finish(on, served, (dialog, 504), &Extra::default());
        }
        let bytes = self.rels[usize::from(number)].bytes.clone();
        self.send(on, bytes);
        on.net.wake(self.call, self.place, What::RelAgain(number, attempt + 1), 500 << attempt);
    }

    pub fn pracked(&mut self, on: &mut On<'_>, message: &Message<'_>, dialog: u8) {
        let number = self.serve(on, message, dialog);
        let rseq = number_of(message, HeaderName::RAck);
        let found = self.rels.iter_mut().find(|rel| rel.dialog == dialog && Some(rel.rseq) == rseq);
        let Some(rel) = found else {
            on.complain("a PRACK for nothing");
            self.respond(on, number, 481, &Extra::default());
            return;
        };
        rel.acked = true;
        let offered = rel.offer;
        let token = self.served[usize::from(number)].token;
        let place = self.place;
        let dialog = self.dialog(dialog);
        let mut extra = Extra::default();
        match (dialog.open, token) {
            (Open::Sent(sent), Some(token)) if offered == Some(sent) => {
                // One fork's offer gets the answer that the caller gave to the other's.
                if !matches!(on.ledger.get(token).map(|body| body.of), Some(Use::Answer(_))) {
                    on.complain("an answer to another offer in PRACK");
                }
                (dialog.open, dialog.settled) = (Open::Nothing, true);
            }
            (Open::Nothing, Some(token)) => {
                let answer = on.ledger.body(place, Use::Answer(token));
                dialog.described = Some(answer);
                extra.body = Some(answer);
            }
            (_, Some(_)) => on.complain("a PRACK with an offer while another is open"),
            _ => {}
        }
        self.respond(on, number, 200, &extra);
    }

    fn answer(&mut self, on: &mut On<'_>, step: u8, (number, fork): (u16, u8)) {
        let unacked = self.rels.iter().any(|rel| rel.dialog == fork && !rel.acked && rel.has_body);
        let dialog = &self.dialogs[usize::from(fork)];
        let asks =
            self.asked.iter().any(|asked| asked.dialog == fork && asked.waits() && asked.offer.is_some());
        let open = matches!(dialog.open, Open::Sent(_)) || dialog.settled && dialog.open != Open::Nothing;
        let others_won = self.served[usize::from(number)].status >= 200;
        if unacked || asks || open {
            // A branch that still waits when another has answered is cancelled by its proxy.
            if !others_won {
                on.net.wake(self.call, self.place, What::Step(step), LATER_MS);
            }
            return;
        }
        if others_won {
            on.net.counts.fork_winners_many += 1;
        }
        let headers = self.session_headers(on, fork);
        self.accept(on, number, (fork, 200), headers);
    }

    /// Session-Expires of our first 2xx.
    fn session_headers(&mut self, on: &mut On<'_>, fork: u8) -> String {
        let Some(asked_s) = self.asks_session_s else { return String::new() };
        let (role, we_refresh) = match self.script.refresher {
            Refresher::Nobody => return String::new(),
            Refresher::Uac => (";refresher=uac", false),
            Refresher::Uas => (";refresher=uas", true),
            Refresher::Unsaid => ("", false),
        };
        self.set_session(on, fork, (asked_s, we_refresh));
        let require = if we_refresh { "" } else { "Require: timer\r\n" };
        format!("Session-Expires: {asked_s}{role}\r\n{require}")
    }

    /// 2xx to an INVITE: with the answer, or with an offer where it had none.
    pub fn accept(&mut self, on: &mut On<'_>, number: u16, (fork, status): (u8, u16), headers: String) {
        let place = self.place;
        let first = self.invite == Some(number);
        let dialog = &mut self.dialogs[usize::from(fork)];
        let (mut body, mut offer) = (None, None);
        match dialog.open {
            Open::Received(to) => {
                // What an unreliable 183 has shown is the answer.
                let shown = dialog.described.filter(|_| first);
                let answer = shown.unwrap_or_else(|| on.ledger.body(place, Use::Answer(to)));
                (dialog.open, dialog.described, dialog.settled) = (Open::Nothing, Some(answer), true);
                body = Some(answer);
            }
            Open::Nothing if !first || !dialog.settled => {
                let token = on.ledger.body(place, Use::Offer);
                (dialog.open, dialog.described) = (Open::Sent(token), Some(token));
                (body, offer) = (Some(token), Some(token));
            }
            _ => {}
        }
        let bytes = self.respond_as(on, number, (fork, status), &Extra { headers, body });
        let accepted = Final { served: number, dialog: fork, bytes, acked: false, offer, status };
        self.await_ack(on, accepted);
    }

    /// Another final response to an INVITE.
    pub fn finish(&mut self, on: &mut On<'_>, number: u16, (fork, status): (u8, u16), extra: &Extra) {
        let bytes = self.respond_as(on, number, (fork, status), extra);
        if self.invite == Some(number) {
            self.dialogs.iter_mut().for_each(|dialog| dialog.stage = Stage::Over);
        }
        self.await_ack(on, Final { served: number, dialog: fork, bytes, acked: false, offer: None, status });
    }

    fn await_ack(&mut self, on: &mut On<'_>, last: Final) {
        self.finals.push(last);
        on.net.wake(self.call, self.place, What::FinalAgain(self.finals.len() as u16 - 1, 1), 500);
    }

    pub fn final_again(&mut self, on: &mut On<'_>, number: u16, attempt: u8) {
        let Final { acked, status, dialog, .. } = self.finals[usize::from(number)];
        if acked {
            return;
        }
        match next_ms(Method::Bye, attempt) {
            Some(after_ms) => {
                let bytes = self.finals[usize::from(number)].bytes.clone();
                self.send(on, bytes);
                on.net.wake(self.call, self.place, What::FinalAgain(number, attempt + 1), after_ms);
            }
            // RFC 3261 §13.3.1.4.
            None if status < 300 => {
                self.finals[usize::from(number)].acked = true;
                self.bye(on, dialog);
            }
            None => {}
        }
    }

    pub fn acknowledged(&mut self, on: &mut On<'_>, message: &Message<'_>) {
        let branch = super::party::branch_of(message);
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let dialog = self.dialog_of(message.to_tag());
        let served = &self.served;
        let found = self.finals.iter_mut().find(|last| {
            let served = &served[usize::from(last.served)];
            match last.status {
                200..300 => Some(last.dialog) == dialog && served.cseq == cseq,
                _ => served.branch == branch,
            }
        });
        let Some(last) = found.filter(|last| !last.acked) else { return };
        last.acked = true;
        let Final { served, dialog, offer, status, .. } = *last;
        if status >= 300 {
            return;
        }
        let token = on.ledger.token_of(message.body());
        let first = self.invite == Some(served);
        let state = self.dialog(dialog);
        if let (Some(offer), Open::Sent(sent)) = (offer, state.open) {
            // Who has lost gets none, but a BYE: the audit sees to it.
            let answer = token.and_then(|token| on.ledger.get(token)).map(|body| body.of);
            if sent == offer && answer.is_some_and(|answer| answer != Use::Answer(offer)) {
                on.complain("an ACK with another offer's answer");
            }
            (state.open, state.settled) = (Open::Nothing, true);
        } else if token.is_some() {
            on.complain("an ACK with a description that nobody asked for");
        }
        if first && state.stage == Stage::Early {
            state.stage = Stage::Confirmed;
            self.schedule(on, dialog, false);
        }
    }

    /// A CANCEL has come for an INVITE.
    pub fn cancelled(&mut self, on: &mut On<'_>, message: &Message<'_>) {
        let branch = super::party::branch_of(message);
        let of_it =
            |served: &super::dialog::Served| served.method == Method::Invite && served.branch == branch;
        let found = self.served.iter().position(of_it);
        let cancel = self.serve(on, message, 0);
        let Some(found) = found.map(|found| found as u16) else {
            self.respond(on, cancel, 481, &Extra::default());
            return;
        };
        self.respond(on, cancel, 200, &Extra::default());
        let super::dialog::Served { status, dialog, .. } = self.served[usize::from(found)];
        if status >= 200 {
            return;
        }
        if self.invite != Some(found) {
            self.refuse_offer(found);
            return self.finish(on, found, (dialog, 487), &Extra::default());
        }
        self.cancelled = true;
        // A late offer in a reliable response that reached a leg already given up was PRACKed without an
        // answer: nobody was left to give one (RFC 3262 §5 knows no such case), and there is nothing to
        // answer the CANCEL with.
        let ready = matches!(self.dialogs[0].open, Open::Received(_)) && !self.dialogs[0].settled;
        if self.script.answers_cancel && ready && self.rels.iter().all(|rel| rel.acked) {
            return self.accept(on, found, (0, 200), String::new());
        }
        self.finish(on, found, (0, 487), &Extra::default());
    }

    /// RFC 3261 §15: a callee sends no BYE in an early dialog; it refuses the INVITE. `false`: the dialog is
    /// not such a one.
    pub fn ends_early(&mut self, on: &mut On<'_>, dialog: u8) -> bool {
        let Some(number) = self.invite.filter(|_| self.dialog(dialog).stage == Stage::Early) else {
            return false;
        };
        let accepted = |last: &Final| last.served == number && last.dialog == dialog && last.status < 300;
        if self.finals.iter().any(accepted) {
            return false;
        }
        self.dialog(dialog).stage = Stage::Over;
        if self.served[usize::from(number)].status < 200 {
            self.finish(on, number, (dialog, 480), &Extra::default());
        }
        true
    }

    /// The offer of a request that is refused is gone.
    pub fn refuse_offer(&mut self, served: u16) {
        let super::dialog::Served { dialog, offer, .. } = self.served[usize::from(served)];
        let Some(dialog) = self.dialogs.get_mut(usize::from(dialog)) else { return };
        if offer.is_some_and(|offer: Token| dialog.open == Open::Received(offer)) {
            dialog.open = Open::Nothing;
        }
    }
}
