//! What a peer makes of the server's requests in a dialog, and what it asks there itself.

use super::dialog::{Dialog, Open, Served, Stage, is_caller};
use super::ledger::Use;
use super::net::What;
use super::party::{Extra, On, Party, branch_of};
use super::script::Act;
use ringway::sip::{HeaderName, Message, Method};

const REFUSALS: [u16; 9] = [403, 404, 415, 486, 488, 500, 503, 600, 603];

impl Party {
    pub fn receive(&mut self, on: &mut On<'_>, message: &Message<'_>) {
        if self.dead {
            return;
        }
        match message.status() {
            Some(status) => self.response(on, message, status.code()),
            None => self.request(on, message),
        }
    }

    fn request(&mut self, on: &mut On<'_>, message: &Message<'_>) {
        let method = message.method();
        if method == Method::Ack {
            return self.acknowledged(on, message);
        }
        let branch = branch_of(message);
        let again = self.served.iter().find(|served| served.branch == branch && served.method == method);
        if let Some(again) = again {
            let accepted = method == Method::Invite && (200..300).contains(&again.status);
            if !again.last.is_empty() && !accepted {
                self.send(on, again.last.clone());
            }
            return;
        }
        if method == Method::Cancel {
            return self.cancelled(on, message);
        }
        if message.to_tag().is_empty() {
            if method != Method::Invite || self.place == super::super::call::CALLER {
                return on.complain("a request outside a dialog");
            }
            return self.invited(on, message);
        }
        let Some(dialog) = self.dialog_of(message.to_tag()) else {
            return on.complain("a request in an unknown dialog");
        };
        let state = &mut self.dialogs[usize::from(dialog)];
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let status = match () {
            // All that would have told of the dialog was lost.
            () if self.forgot || state.remote_tag.is_empty() => Some(481),
            () if method == Method::Bye && (state.bye_sent || state.byed) => Some(200),
            () if state.is_ended() => Some(481),
            () if cseq <= state.remote_cseq => Some(500),
            () => None,
        };
        if let Some(status) = status {
            let number = self.serve(on, message, dialog);
            return self.refuse(on, number, status);
        }
        state.remote_cseq = cseq;
        match method {
            Method::Bye => self.byed(on, message, dialog),
            Method::Invite => self.reinvited(on, message, dialog),
            Method::Update => self.updated(on, message, dialog),
            Method::Prack => self.pracked(on, message, dialog),
            _ => self.passed(on, message, dialog),
        }
    }

    /// A final response that says no.
    fn refuse(&mut self, on: &mut On<'_>, number: u16, status: u16) {
        self.refuse_offer(number);
        let Served { method, dialog, .. } = self.served[usize::from(number)];
        let headers = if status == 500 { "Retry-After: 2\r\n".into() } else { String::new() };
        let extra = Extra { headers, body: None };
        match method {
            Method::Invite => self.finish(on, number, (dialog, status), &extra),
            _ => {
                self.respond(on, number, status, &extra);
            }
        }
    }

    fn byed(&mut self, on: &mut On<'_>, message: &Message<'_>, dialog: u8) {
        let number = self.serve(on, message, dialog);
        let state = self.dialog(dialog);
        (state.byed, state.stage) = (true, Stage::Over);
        self.respond(on, number, 200, &Extra::default());
        self.end_served(on, dialog);
    }

    /// Requests that wait for their answer do not outlive their dialog (RFC 3261 §15.1.2).
    pub fn end_served(&mut self, on: &mut On<'_>, dialog: u8) {
        for number in 0..self.served.len() as u16 {
            let served = &self.served[usize::from(number)];
            let waits = served.status < 200 && served.method == Method::Invite && served.dialog == dialog;
            if waits && self.invite != Some(number) {
                self.refuse(on, number, 487);
            }
        }
    }

    fn passed(&mut self, on: &mut On<'_>, message: &Message<'_>, dialog: u8) {
        let number = self.serve(on, message, dialog);
        if message.method() == Method::Notify && !self.knows_event(message) {
            // The REFER may have been another callee's, or not the last.
            let refers = on.ledger.refers[usize::from(is_caller(self.place))];
            if refers == 1 && self.asked.iter().any(|asked| asked.method == Method::Refer) {
                on.complain("a NOTIFY of a REFER that was never sent");
            }
            return self.refuse(on, number, 481);
        }
        let status = match on.rng.below(100) {
            0..3 => return,
            3..15 => on.rng.pick(&REFUSALS),
            _ if message.method() == Method::Refer => 202,
            _ => 200,
        };
        let after_ms = if on.rng.percent(60) { 0 } else { on.rng.below(1_500) };
        self.reply_later(on, number, (status, after_ms));
    }

    /// `Event: refer;id=N` names the CSeq of a REFER of ours (RFC 3515 §2.4.6).
    fn knows_event(&self, message: &Message<'_>) -> bool {
        let event =
            String::from_utf8_lossy(message.header(HeaderName::Event).unwrap_or_default()).into_owned();
        let id = event.split("id=").nth(1).and_then(|id| id.parse().ok());
        let mut refers = self.asked.iter().filter(|asked| asked.method == Method::Refer);
        refers.any(|asked| id.is_none_or(|id: u32| id == asked.cseq))
    }

    fn reply_later(&mut self, on: &mut On<'_>, number: u16, (status, after_ms): (u16, u32)) {
        match after_ms {
            0 => self.reply(on, number, status),
            _ => on.net.wake(self.call, self.place, What::Reply(number, status), after_ms),
        }
    }

    /// The final response that was decided on.
    pub fn reply(&mut self, on: &mut On<'_>, number: u16, status: u16) {
        let Served { method, dialog, offer, status: sent, .. } = self.served[usize::from(number)];
        let is_ended = self.dialogs[usize::from(dialog)].is_ended();
        if sent >= 200 || is_ended && method == Method::Invite {
            return;
        }
        if status >= 300 || is_ended {
            return self.refuse(on, number, if is_ended { 481 } else { status });
        }
        let headers = self.session_again(on, number);
        match (method, offer) {
            (Method::Invite, _) => self.accept(on, number, (dialog, status), headers),
            (Method::Update, Some(offer)) => {
                let answer = on.ledger.body(self.place, Use::Answer(offer));
                let state = self.dialog(dialog);
                (state.open, state.described) = (Open::Nothing, Some(answer));
                self.respond(on, number, status, &Extra { headers, body: Some(answer) });
            }
            (Method::Update, None) => {
                self.respond(on, number, status, &Extra { headers, body: None });
            }
            _ => {
                let body = on.rng.percent(50).then(|| on.ledger.body(self.place, Use::Reply));
                self.respond(on, number, status, &Extra { headers, body });
                if method == Method::Refer {
                    for (place, after_ms) in [(0, 100), (1, 2_000)] {
                        on.net.wake(self.call, self.place, What::Notify(place), after_ms);
                    }
                    self.refer = Some((dialog, self.served[usize::from(number)].cseq));
                }
            }
        }
    }

    /// A 2xx to a refresh says Session-Expires again, and begins the interval anew.
    fn session_again(&mut self, on: &mut On<'_>, number: u16) -> String {
        let Served { dialog, .. } = self.served[usize::from(number)];
        let asks = self.refreshes.iter().find(|(served, ..)| *served == number).copied();
        let Some((_, interval_s, uac)) = asks else { return String::new() };
        on.net.counts.refreshes_by_server += 1;
        self.set_session(on, dialog, (interval_s, !uac));
        format!("Session-Expires: {interval_s};refresher={}\r\n", if uac { "uac" } else { "uas" })
    }

    fn note_refresh(&mut self, message: &Message<'_>, number: u16) {
        let Some(interval_s) = super::caller::number_of(message, HeaderName::SessionExpires) else { return };
        let value = String::from_utf8_lossy(message.header(HeaderName::SessionExpires).unwrap_or_default());
        let uac = !value.contains("refresher=uas");
        drop(value);
        self.refreshes.push((number, interval_s, uac));
    }

    fn updated(&mut self, on: &mut On<'_>, message: &Message<'_>, dialog: u8) {
        let number = self.serve(on, message, dialog);
        self.note_refresh(message, number);
        let Some(offer) = self.served[usize::from(number)].offer else {
            return self.reply(on, number, 200);
        };
        if !self.script.has_update {
            return self.refuse(on, number, 405);
        }
        if let Some(status) = self.refusal(dialog) {
            return self.refuse(on, number, status);
        }
        self.dialog(dialog).open = Open::Received(offer);
        let status = match on.rng.below(100) {
            0..2 => return,
            2..10 => 488,
            10..12 => 481,
            12..14 => 504,
            _ => 200,
        };
        let after_ms = if on.rng.percent(60) { 0 } else { on.rng.below(1_000) };
        self.reply_later(on, number, (status, after_ms));
    }

    /// Why an offer or an INVITE cannot be taken now (RFC 3261 §14.2, RFC 3311 §5.2).
    fn refusal(&self, dialog: u8) -> Option<u16> {
        let invites = self.asked.iter().any(|asked| {
            asked.dialog == dialog && asked.method == Method::Invite && asked.waits() && !asked.outside
        });
        match self.dialogs[usize::from(dialog)].open {
            Open::Received(_) => Some(500),
            Open::Sent(_) => Some(491),
            Open::Nothing if invites => Some(491),
            Open::Nothing => None,
        }
    }

    fn reinvited(&mut self, on: &mut On<'_>, message: &Message<'_>, dialog: u8) {
        let number = self.serve(on, message, dialog);
        self.note_refresh(message, number);
        let others = self.served[..usize::from(number)].iter();
        let pending = others.clone().any(|served| served.method == Method::Invite && served.status < 200);
        let refusal = if pending { Some(500) } else { self.refusal(dialog) };
        if let Some(status) = refusal {
            return self.refuse(on, number, status);
        }
        if let Some(offer) = self.served[usize::from(number)].offer {
            self.dialog(dialog).open = Open::Received(offer);
        }
        match on.rng.below(10) {
            0..4 => {
                self.respond(on, number, 100, &Extra::default());
            }
            4..6 => {
                self.respond(on, number, 180, &Extra::default());
            }
            _ => {}
        }
        let status = match on.rng.below(100) {
            0..2 => return,
            2..10 => 488,
            10..13 => 491,
            13..15 => 481,
            15 => 408,
            16..18 => 503,
            _ => 200,
        };
        let after_ms = if on.rng.percent(50) { 0 } else { on.rng.below(3_000) };
        self.reply_later(on, number, (status, after_ms));
    }

    /// The dialog in which the party acts.
    fn acting(&self, early: bool) -> Option<u8> {
        let stage = if early { Stage::Early } else { Stage::Confirmed };
        let found =
            self.dialogs.iter().position(|dialog| dialog.stage == stage && !dialog.remote_tag.is_empty());
        found.map(|number| number as u8)
    }

    pub fn act(&mut self, on: &mut On<'_>, number: u8) {
        let timed = self.script.acts[usize::from(number)];
        let Some(dialog) = self.acting(timed.early) else { return };
        let method = match timed.act {
            Act::HangUp => return self.bye(on, dialog),
            Act::Die => {
                on.net.counts.dead += 1;
                self.dead = true;
                return;
            }
            Act::Forget => {
                on.net.counts.forgotten += 1;
                self.forgot = true;
                self.dialogs.iter_mut().for_each(|dialog| dialog.stage = Stage::Over);
                return;
            }
            Act::Reinvite | Act::EmptyReinvite | Act::CancelledReinvite => {
                return self.reinvite(on, dialog, timed.act);
            }
            Act::Update => return self.update(on, dialog, true),
            Act::EmptyUpdate => return self.update(on, dialog, false),
            Act::Info => Method::Info,
            Act::Message => Method::Message,
            Act::Options => Method::Options,
            Act::Unknown => Method::Other,
            Act::Refer => Method::Refer,
        };
        let counts = &mut on.net.counts;
        *match method {
            Method::Info => &mut counts.infos,
            Method::Message => &mut counts.messages,
            Method::Options => &mut counts.options,
            Method::Refer => &mut counts.refers,
            _ => &mut counts.unknown_methods,
        } += 1;
        let mut headers = format!("Contact: <{}>\r\n", self.dialogs[usize::from(dialog)].contact);
        if method == Method::Refer {
            on.ledger.refers[usize::from(is_caller(self.place))] += 1;
            headers += "Refer-To: <sip:elsewhere@example.com>\r\n";
        }
        let body = Some(on.ledger.body(self.place, Use::Plain));
        self.ask(on, dialog, method, &Extra { headers, body }, None);
    }

    pub fn notify(&mut self, on: &mut On<'_>, last: u8) {
        let Some((dialog, cseq)) = self.refer else { return };
        if self.dialogs[usize::from(dialog)].is_ended() {
            return;
        }
        on.net.counts.notifies += 1;
        let id = if on.rng.percent(40) { format!(";id={cseq}") } else { String::new() };
        let state = if last == 0 { "active;expires=60" } else { "terminated;reason=noresource" };
        let contact = &self.dialogs[usize::from(dialog)].contact;
        let headers = format!("Contact: <{contact}>\r\nEvent: refer{id}\r\nSubscription-State: {state}\r\n");
        let body = Some(on.ledger.body(self.place, Use::Plain));
        self.ask(on, dialog, Method::Notify, &Extra { headers, body }, None);
    }

    /// Nothing of an offer or of an INVITE is open, as far as the party knows.
    fn may_offer(&self, dialog: u8) -> bool {
        let asks = self.asked.iter().any(|asked| {
            let invites = asked.method == Method::Invite && !asked.outside;
            asked.dialog == dialog && asked.waits() && (invites || asked.offer.is_some())
        });
        let serves = self.served.iter().any(|served| {
            served.method == Method::Invite
                && served.status < 200
                && self.dialogs[usize::from(dialog)].stage != Stage::Early
        });
        let Dialog { open, settled, .. } = self.dialogs[usize::from(dialog)];
        let unacked = self.finals.iter().any(|last| !last.acked && last.status < 300);
        open == Open::Nothing && settled && !asks && !serves && !unacked
    }

    fn next_contact(&mut self, on: &mut On<'_>, dialog: u8) -> String {
        let moves = on.rng.percent(15);
        on.net.counts.target_refreshes += u64::from(moves);
        let state = self.dialog(dialog);
        if moves {
            state.contact += ";v=1";
        }
        format!("Contact: <{}>\r\n", state.contact)
    }

    fn reinvite(&mut self, on: &mut On<'_>, dialog: u8, act: Act) {
        if !self.may_offer(dialog) {
            return;
        }
        let offer = (act != Act::EmptyReinvite).then(|| on.ledger.body(self.place, Use::Offer));
        on.net.counts.reinvites += u64::from(offer.is_some());
        on.net.counts.empty_reinvites += u64::from(offer.is_none());
        let headers = self.next_contact(on, dialog) + &format!("Allow: {}\r\n", self.script.allow());
        let number = self.ask(on, dialog, Method::Invite, &Extra { headers, body: offer }, offer);
        if act == Act::CancelledReinvite {
            on.net.counts.reinvites_cancelled += 1;
            let after_ms = on.rng.below(1_000);
            on.net.wake(self.call, self.place, What::Cancel(number), after_ms);
        }
    }

    fn update(&mut self, on: &mut On<'_>, dialog: u8, with_offer: bool) {
        // RFC 3311 §5.1: no offer before the PRACK for what was said last.
        let unacked = self.rels.iter().any(|rel| rel.dialog == dialog && !rel.acked);
        if with_offer && (unacked || !self.may_offer(dialog)) {
            return;
        }
        let offer = with_offer.then(|| on.ledger.body(self.place, Use::Offer));
        on.net.counts.updates += u64::from(with_offer);
        on.net.counts.empty_updates += u64::from(!with_offer);
        let headers = self.next_contact(on, dialog);
        self.ask(on, dialog, Method::Update, &Extra { headers, body: offer }, offer);
    }

    /// A request that got 491, once more and with a new offer.
    pub fn retry(&mut self, on: &mut On<'_>, number: u16) {
        let super::dialog::Asked { method, dialog, offer, .. } = self.asked[usize::from(number)];
        if self.dialogs[usize::from(dialog)].is_ended() || !self.may_offer(dialog) {
            return;
        }
        on.net.counts.retries += 1;
        let asked = self.asked.len();
        match method {
            Method::Invite if offer.is_none() => self.reinvite(on, dialog, Act::EmptyReinvite),
            Method::Invite => self.reinvite(on, dialog, Act::Reinvite),
            _ => self.update(on, dialog, offer.is_some()),
        }
        if let Some(asked) = self.asked.get_mut(asked) {
            asked.retried = true;
        }
    }

    /// Half of the interval is over and we refresh, or all of it and nobody did.
    pub fn refresh(&mut self, on: &mut On<'_>, dialog: u8, round: u16) {
        let state = &self.dialogs[usize::from(dialog)];
        let Some(session) = state.session.filter(|session| session.round == round) else { return };
        if state.is_ended() {
            return;
        }
        if !session.we_refresh {
            return self.bye(on, dialog);
        }
        if self.script.neglects {
            return;
        }
        on.net.counts.refreshes_by_peer += 1;
        let contact = self.dialogs[usize::from(dialog)].contact.clone();
        let headers =
            format!("Contact: <{contact}>\r\nSession-Expires: {};refresher=uac\r\n", session.interval_s);
        if self.script.has_update {
            self.ask(on, dialog, Method::Update, &Extra { headers, body: None }, None);
        } else if self.may_offer(dialog) {
            let offer = on.ledger.body(self.place, Use::Offer);
            self.ask(on, dialog, Method::Invite, &Extra { headers, body: Some(offer) }, Some(offer));
        }
    }
}
