//! How a peer's own requests go on: the caller's INVITE, and everything asked in a dialog.

use super::super::call::CALLER;
use super::dialog::{Asked, Dialog, Open, Session, Stage, Wait};
use super::ledger::{Token, Use};
use super::net::What;
use super::party::{Extra, On, Party};
use super::script::{Act, Reliable};
use ringway::sip::{HeaderName, Message, Method};

/// A number that stands at the start of a header field.
pub fn number_of(message: &Message<'_>, name: HeaderName) -> Option<u32> {
    let text = std::str::from_utf8(message.header(name)?).ok()?;
    let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Whether a list names an option.
pub fn names(message: &Message<'_>, name: HeaderName, option: &str) -> bool {
    message
        .values(name)
        .any(|value| String::from_utf8_lossy(value).split(',').any(|tag| tag.trim() == option))
}

/// The URI in Contact.
pub fn contact_of(message: &Message<'_>) -> Option<String> {
    let text = std::str::from_utf8(message.header(HeaderName::Contact)?).ok()?;
    let start = text.find('<')? + 1;
    Some(text[start..].split('>').next()?.to_owned())
}

impl Party {
    /// The caller's first INVITE, or the one behind a 422.
    pub fn start(&mut self, on: &mut On<'_>) {
        let server = self.server();
        if self.dialogs.is_empty() {
            let called = format!("<sip:{}@{server}>", self.number);
            self.dialogs.push(Dialog {
                call_id: format!("{:08x}@{}", self.call, self.address.ip()),
                local_tag: self.tag(0),
                remote_tag: String::new(),
                local_uri: self.uri(),
                remote_uri: called,
                target: String::new(),
                contact: self.contact(0),
                cseq: 38,
                remote_cseq: 0,
                stage: Stage::Early,
                open: Open::Nothing,
                settled: false,
                described: None,
                rseq: 0,
                rseq_seen: 0,
                session: None,
                bye_sent: false,
                byed: false,
            });
        }
        let offer = (!self.script.late_offer).then(|| on.ledger.body(CALLER, Use::Offer));
        on.net.counts.late_offers += u64::from(self.script.late_offer);
        let mut headers = format!("Contact: <{}>\r\nAllow: {}\r\n", self.contact(0), self.script.allow());
        headers += &self.record_route();
        match self.script.reliable {
            Reliable::Never => headers += "Supported: timer\r\n",
            Reliable::Supported => headers += "Supported: 100rel, timer\r\n",
            Reliable::Required => headers += "Require: 100rel\r\nSupported: timer\r\n",
        }
        if let Some(session_s) = self.script.session_s {
            headers += &format!("Session-Expires: {session_s}\r\n");
        }
        self.ask(on, 0, Method::Invite, &Extra { headers, body: offer }, offer);
        if let Some(after_ms) = self.script.cancel_ms {
            let number = self.asked.len() as u16 - 1;
            on.net.wake(self.call, self.place, What::Cancel(number), after_ms);
        }
    }

    pub fn response(&mut self, on: &mut On<'_>, message: &Message<'_>, status: u16) {
        let branch = super::party::branch_of(message);
        let digits = branch.get(16..20).and_then(|digits| std::str::from_utf8(digits).ok());
        let number = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or(u16::MAX);
        let Some(asked) = self.asked.get_mut(usize::from(number)) else {
            return on.complain("a response to what was never asked");
        };
        if message.method() == Method::Cancel {
            asked.cancel = Some(Wait::Done);
        } else if message.method() != asked.method {
            on.complain("a response of another method");
        } else if status >= 200 {
            self.final_response(on, number, message, status);
        } else if asked.waits() {
            asked.wait = Wait::Proceeding;
            let (outside, wanted) = (asked.outside, asked.cancel_wanted);
            if status > 100 && outside && !self.dialogs[0].is_ended() {
                self.progress(on, number, message);
            }
            if wanted {
                self.cancel(on, number, 0);
            }
        }
    }

    /// An 18x for the caller.
    fn progress(&mut self, on: &mut On<'_>, number: u16, message: &Message<'_>) {
        let first = self.dialogs[0].remote_tag.is_empty();
        self.learn(message, 0);
        if first {
            self.schedule(on, 0, true);
        }
        let is_reliable = names(message, HeaderName::Require, "100rel");
        let rseq = number_of(message, HeaderName::RSeq);
        match (rseq, self.script.reliable) {
            (None, Reliable::Required) => on.complain("unreliable to a caller that requires 100rel"),
            (Some(_), Reliable::Never) => on.complain("reliable to a caller that does not know 100rel"),
            _ if rseq.is_some() != is_reliable => on.complain("RSeq without Require or the other way round"),
            _ => {}
        }
        let Some(rseq) = rseq else { return };
        let dialog = &mut self.dialogs[0];
        if rseq <= dialog.rseq_seen {
            return;
        }
        if dialog.rseq_seen != 0 && rseq != dialog.rseq_seen + 1 {
            return on.complain("a gap in RSeq");
        }
        dialog.rseq_seen = rseq;
        on.net.counts.reliable_to_caller += 1;
        let token = on.ledger.token_of(message.body());
        let body = self.take_description(on, 0, token, self.asked[usize::from(number)].offer);
        let cseq = self.asked[usize::from(number)].cseq;
        let mut extra = Extra { headers: format!("RAck: {rseq} {cseq} INVITE\r\n"), body };
        let mut offer = None;
        let dialog = &self.dialogs[0];
        if body.is_none() && dialog.settled && dialog.open == Open::Nothing && on.rng.percent(20) {
            offer = Some(on.ledger.body(CALLER, Use::Offer));
            extra.body = offer;
            on.net.counts.prack_offers += 1;
        }
        on.net.counts.prack += 1;
        self.ask(on, 0, Method::Prack, &extra, offer);
    }

    /// A description has come behind our offer, or an offer: what is to be answered to it.
    fn take_description(
        &mut self,
        on: &mut On<'_>,
        dialog: u8,
        token: Option<Token>,
        offer: Option<Token>,
    ) -> Option<Token> {
        let place = self.place;
        let dialog = self.dialog(dialog);
        let token = token?;
        match dialog.open {
            Open::Sent(sent) if Some(sent) == offer => {
                if on.ledger.get(token).map(|body| body.of) != Some(Use::Answer(sent)) {
                    on.complain("an answer to another offer");
                }
                (dialog.open, dialog.settled) = (Open::Nothing, true);
                None
            }
            Open::Nothing if offer.is_none() && !dialog.settled => {
                let answer = on.ledger.body(place, Use::Answer(token));
                (dialog.settled, dialog.described) = (true, Some(answer));
                Some(answer)
            }
            _ => None,
        }
    }

    /// What a response says of the dialog.
    fn learn(&mut self, message: &Message<'_>, dialog: u8) {
        let contact = contact_of(message);
        let dialog = self.dialog(dialog);
        let tag = String::from_utf8_lossy(message.to_tag()).into_owned();
        if dialog.remote_tag.is_empty() {
            dialog.remote_tag = tag;
        }
        if let Some(contact) = contact {
            dialog.target = contact;
        }
    }

    fn final_response(&mut self, on: &mut On<'_>, number: u16, message: &Message<'_>, status: u16) {
        let asked = &mut self.asked[usize::from(number)];
        let before = asked.wait;
        let is_invite = asked.method == Method::Invite;
        if before == Wait::Done || before == Wait::Silence && !is_invite {
            if let (Some(ack), true) = (asked.ack.clone(), is_invite) {
                self.send(on, ack);
            }
            return;
        }
        (asked.wait, asked.status) = (Wait::Done, status);
        let outside = asked.outside;
        if outside {
            self.learn(message, 0);
        }
        match (is_invite, status) {
            (true, 200..300) => self.accepted(on, number, message, before),
            (true, _) if before == Wait::Silence => {}
            (true, _) => self.refused(on, number, message),
            (false, _) => self.done(on, number, message),
        }
    }

    /// A 2xx to an INVITE.
    fn accepted(&mut self, on: &mut On<'_>, number: u16, message: &Message<'_>, before: Wait) {
        let Asked { dialog, outside, offer, cseq, cancel, .. } = self.asked[usize::from(number)];
        self.learn(message, dialog);
        let token = on.ledger.token_of(message.body());
        let state = self.dialog(dialog);
        let unanswered = offer.is_some_and(|offer| state.open == Open::Sent(offer));
        let wants = if outside { offer.is_none() && !state.settled } else { offer.is_none() };
        if token.is_none() && (unanswered || wants) {
            on.complain("a 2xx without the description that it needs");
        }
        if !outside && offer.is_none() {
            state.settled = false;
        }
        let body = self.take_description(on, dialog, token, offer);
        let mut ack = Asked::new(Method::Ack, cseq, dialog);
        ack.wait = Wait::Done;
        self.asked.push(ack);
        let bytes = self.write(
            on,
            self.asked.len() as u16 - 1,
            (dialog, Method::Ack),
            &Extra { body, ..Extra::default() },
        );
        self.asked[usize::from(number)].ack = Some(bytes.clone());
        self.send(on, bytes);
        if !outside {
            return self.session_of(on, dialog, message, true);
        }
        if self.dialog(dialog).is_ended() || before == Wait::Silence || cancel.is_some() {
            self.dialog(dialog).stage = Stage::Confirmed;
            return self.bye(on, dialog);
        }
        self.dialog(dialog).stage = Stage::Confirmed;
        on.net.counts.answered += 1;
        self.session_of(on, dialog, message, true);
        self.schedule(on, dialog, false);
    }

    fn refused(&mut self, on: &mut On<'_>, number: u16, message: &Message<'_>) {
        let Asked { dialog, outside, offer, status, cancel, .. } = self.asked[usize::from(number)];
        let bytes = self.write(on, number, (dialog, Method::Ack), &Extra::default());
        self.asked[usize::from(number)].ack = Some(bytes.clone());
        self.send(on, bytes);
        let state = self.dialog(dialog);
        if offer.is_some_and(|offer| state.open == Open::Sent(offer)) {
            state.open = Open::Nothing;
        }
        if !outside {
            return self.asked_in_vain(on, number);
        }
        let min_se = number_of(message, HeaderName::MinSe);
        if let (422, Some(min_se), None) = (status, min_se, cancel) {
            on.net.counts.too_small_422 += 1;
            state.remote_tag.clear();
            self.script.session_s = Some(min_se);
            return self.start(on);
        }
        if status == 422 {
            on.complain("422 without Min-SE");
        }
        self.dialog(dialog).stage = Stage::Over;
    }

    /// A final response to a request other than INVITE.
    fn done(&mut self, on: &mut On<'_>, number: u16, message: &Message<'_>) {
        let Asked { dialog, offer, status, method, .. } = self.asked[usize::from(number)];
        let is_open = offer.is_some_and(|offer| self.dialog(dialog).open == Open::Sent(offer));
        if is_open && status < 300 {
            let token = on.ledger.token_of(message.body());
            if token.is_none() {
                on.complain("a 2xx without the answer");
            }
            self.take_description(on, dialog, token, offer);
        }
        if is_open {
            self.dialog(dialog).open = Open::Nothing;
        }
        if method == Method::Update && status < 300 {
            self.learn(message, dialog);
            self.session_of(on, dialog, message, true);
        }
        if matches!(method, Method::Update) && status >= 300 {
            self.asked_in_vain(on, number);
        }
    }

    /// A re-INVITE or an UPDATE was refused.
    fn asked_in_vain(&mut self, on: &mut On<'_>, number: u16) {
        let Asked { status, retried, dialog, .. } = self.asked[usize::from(number)];
        match status {
            491 => {
                on.net.counts.glare_491 += 1;
                // RFC 3261 §14.1: whoever made the Call-ID waits longer.
                let (from, to) = if self.place == CALLER { (210, 400) } else { (0, 200) };
                let after_ms = 10 * on.rng.between(from, to);
                if !retried {
                    on.net.wake(self.call, self.place, What::Retry(number), after_ms);
                }
            }
            500 => on.net.counts.glare_500 += 1,
            // RFC 5057, RFC 3261 §12.2.1.2: the dialog is gone.
            408 | 481 => self.bye(on, dialog),
            _ => {}
        }
    }

    /// Nobody answers.
    pub fn give_up(&mut self, on: &mut On<'_>, number: u16) {
        let asked = &mut self.asked[usize::from(number)];
        let gives_up = match asked.method {
            Method::Invite => asked.wait == Wait::Calling,
            _ => asked.waits(),
        };
        if !gives_up {
            return;
        }
        asked.wait = Wait::Silence;
        let Asked { method, outside, offer, dialog, .. } = *asked;
        let state = self.dialog(dialog);
        if offer.is_some_and(|offer| state.open == Open::Sent(offer)) {
            state.open = Open::Nothing;
        }
        if outside {
            state.stage = Stage::Over;
        } else if matches!(method, Method::Invite | Method::Update | Method::Prack) {
            self.bye(on, dialog);
        }
    }

    /// Session-Expires of a 2xx, ours or the server's.
    pub fn session_of(&mut self, on: &mut On<'_>, dialog: u8, message: &Message<'_>, we_asked: bool) {
        let Some(interval_s) = number_of(message, HeaderName::SessionExpires) else { return };
        let value = message.header(HeaderName::SessionExpires).unwrap_or_default();
        let text = String::from_utf8_lossy(value).into_owned();
        let we_refresh = text.contains("refresher=uac") == we_asked;
        self.set_session(on, dialog, (interval_s, we_refresh));
    }

    pub fn set_session(&mut self, on: &mut On<'_>, dialog: u8, (interval_s, we_refresh): (u32, bool)) {
        let state = self.dialog(dialog);
        let round = state.session.map_or(0, |session| session.round) + 1;
        state.session = Some(Session { interval_s, we_refresh, round });
        let after_ms = if we_refresh { interval_s * 500 } else { interval_s * 1_000 };
        on.net.wake(self.call, self.place, What::Refresh(dialog, round), after_ms);
    }

    pub fn bye(&mut self, on: &mut On<'_>, dialog: u8) {
        if self.ends_early(on, dialog) {
            return;
        }
        let state = self.dialog(dialog);
        if state.bye_sent || state.byed || state.remote_tag.is_empty() || state.target.is_empty() {
            return;
        }
        (state.bye_sent, state.stage) = (true, Stage::Over);
        self.ask(on, dialog, Method::Bye, &Extra::default(), None);
        self.end_served(on, dialog);
    }

    /// What the party does from now on: behind the first 18x, or behind the answer.
    pub fn schedule(&mut self, on: &mut On<'_>, dialog: u8, early: bool) {
        // One branch of a fork is enough to act on.
        if dialog > 0 && self.script.acts.is_empty() {
            return;
        }
        for (number, timed) in self.script.acts.iter().enumerate() {
            if timed.early == early {
                on.net.wake(self.call, self.place, What::Act(number as u8), timed.after_ms);
            }
        }
        if !early && self.script.acts.iter().any(|timed| timed.act == Act::HangUp && timed.after_ms < 3_000) {
            on.net.counts.hang_ups_in_between += 1;
        }
    }
}
