//! A callee: a small user agent of RFC 3261 with a script for when it does what, and for what it does wrong.

use super::call::{Call, Exchange, Kind, Timer, again_ms};
use super::network::Network;
use super::plan::Target;
use super::rng::Rng;
use super::server::Server;
use ringway::sip::Method;

/// What a callee makes of CANCEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCancel {
    Obeys,
    /// It was just answering: 200 to the INVITE instead of 487.
    Answers,
    /// 200 to the CANCEL and nothing more.
    RingsOn,
    /// No response whatever.
    Ignores,
}

/// What a 302's Contact names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    Next,
    /// Its own number.
    Own,
    Nobody,
    Missing,
}

impl Contact {
    /// Where it leads.
    pub fn target(self) -> Option<Target> {
        match self {
            Contact::Next => Some(Target::Next),
            Contact::Own => Some(Target::Loop),
            Contact::Nobody => Some(Target::Nowhere),
            Contact::Missing => None,
        }
    }
}

/// What the callee will do. Moments count from the INVITE, or from the ACK for `hang_up_ms`.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    pub trying_ms: Option<u32>,
    pub ring_ms: Option<u32>,
    pub ring_status: u16,
    /// Further 18x, one every second and a half.
    pub rings: u8,
    /// `None`: it rings for ever.
    pub end_ms: Option<u32>,
    pub end_status: u16,
    pub no_answer_cause: bool,
    pub contact: Contact,
    pub on_cancel: OnCancel,
    pub hang_up_ms: Option<u32>,
    /// BYE does not wait for the ACK.
    pub hasty: bool,
    /// After so many messages it neither sends nor hears anything any more.
    pub dies_after: u8,
}

/// What the server is set to for a callee.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub ring_ms: u32,
    pub trying_ms: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Idle,
    Early,
    /// 2xx sent, no ACK yet.
    Answered,
    Talking,
    /// Another final response sent, no ACK yet.
    Refused,
    Over,
}

#[derive(Clone, Copy)]
pub struct Callee {
    pub script: Script,
    pub state: State,
    pub bye: Exchange,
    /// The server's BYE has come.
    pub byed: bool,
    sent: u8,
    /// The last response to the INVITE.
    last_status: u16,
    pub server: Server,
    /// When the server sent the INVITE first, and CANCEL.
    pub invited_ms: u64,
    pub cancelled_ms: u64,
    /// How long the server lets it ring.
    pub patience: Patience,
    /// When its first 180 or 183 came to the server.
    pub rang_ms: Option<u64>,
    /// When a response to the INVITE came to the server first, and a final one, and which.
    pub heard_ms: Option<u64>,
    pub final_ms: Option<u64>,
    pub final_status: u16,
    /// The server acknowledged a 2xx.
    pub acknowledged: bool,
    /// The callee's BYE came to the server.
    pub bye_arrived: bool,
    /// A 2xx came when the server had forgotten the first: it ends a dialog that it does not know.
    pub orphaned: bool,
}

const REFUSALS: [u16; 24] = [
    301, 302, 302, 302, 302, 400, 403, 404, 404, 408, 408, 408, 410, 415, 480, 480, 486, 486, 487, 500, 503,
    504, 600, 603,
];

/// What one of several phones may say.
const REFUSALS_OF_MANY: [u16; 25] = [
    301, 302, 302, 401, 403, 404, 407, 408, 408, 415, 420, 422, 480, 480, 484, 486, 486, 486, 487, 500, 503,
    504, 600, 603, 606,
];

impl Script {
    /// The same for one of several phones: it says sooner what it has to say, or nothing ever.
    fn of_many(self, rng: &mut Rng, no_answer: u32) -> Script {
        let end_ms = match rng.below(100) {
            0..45 => Some(rng.below(5_000)),
            45..60 => Some((no_answer + rng.below(200)).saturating_sub(100).min(60_000)),
            60..70 => Some((no_answer + rng.below(20_000)).min(60_000)),
            _ => None,
        };
        let answers = rng.percent(30);
        Script {
            trying_ms: self.trying_ms.filter(|_| rng.percent(80)),
            end_ms,
            end_status: if answers { rng.pick(&[200, 200, 202]) } else { rng.pick(&REFUSALS_OF_MANY) },
            dies_after: if rng.percent(12) { 0 } else { self.dies_after },
            ..self
        }
    }
}

impl Callee {
    /// `forwards`: the chain goes on behind it.
    pub fn draw(rng: &mut Rng, patience: Patience, (of_many, forwards): (bool, bool)) -> Callee {
        let ring_ms = rng.percent(85).then(|| rng.below(3_000));
        let no_answer = ring_ms.unwrap_or(0) + patience.ring_ms;
        let answers = rng.percent(if forwards { 40 } else { 60 });
        let end_ms = match rng.below(100) {
            0..20 if forwards => Some(rng.below(2_000)),
            0..40 => Some(rng.below(15_000)),
            // Around the moment of our CANCEL.
            40..50 => Some((no_answer + rng.below(200)).saturating_sub(100).min(60_000)),
            50..55 => Some((no_answer + rng.below(20_000)).min(60_000)),
            _ => None,
        };
        let script = Script {
            trying_ms: rng.percent(70).then(|| rng.below(600)),
            ring_ms,
            ring_status: rng.pick(&[180, 180, 180, 180, 183, 181, 199]),
            rings: rng.pick(&[0, 0, 0, 1, 3]),
            end_ms,
            end_status: if answers { rng.pick(&[200, 200, 200, 202]) } else { rng.pick(&REFUSALS) },
            no_answer_cause: rng.percent(50),
            contact: rng.pick(&[
                Contact::Next,
                Contact::Next,
                Contact::Next,
                Contact::Own,
                Contact::Nobody,
                Contact::Missing,
            ]),
            on_cancel: match rng.below(100) {
                0..80 => OnCancel::Obeys,
                80..94 => OnCancel::Answers,
                94..97 => OnCancel::RingsOn,
                _ => OnCancel::Ignores,
            },
            hang_up_ms: super::caller::hang_up(rng, 50),
            hasty: rng.percent(15),
            dies_after: if rng.percent(6) { rng.below(6) as u8 } else { u8::MAX },
        };
        let script = if of_many { script.of_many(rng, no_answer) } else { script };
        Callee {
            script,
            state: State::Idle,
            bye: Exchange::None,
            byed: false,
            sent: 0,
            last_status: 0,
            server: Server::UNSEEN,
            invited_ms: 0,
            cancelled_ms: 0,
            patience,
            rang_ms: None,
            heard_ms: None,
            final_ms: None,
            final_status: 0,
            acknowledged: false,
            bye_arrived: false,
            orphaned: false,
        }
    }

    fn is_dead(&self) -> bool {
        self.sent >= self.script.dies_after
    }

    /// The server holds the dialog and has not ended it.
    pub fn is_winner(&self) -> bool {
        self.acknowledged && self.server.bye.sent == 0 && !self.bye_arrived
    }

    /// The server need not know this leg any more: nothing came from it in 64·T1, or for so long since
    /// CANCEL.
    pub fn is_given_up(&self, now_ms: u64) -> bool {
        let silent = self.heard_ms.is_none_or(|heard_ms| heard_ms >= self.invited_ms + 31_900);
        let late = self.server.cancel.sent > 0 && now_ms >= self.cancelled_ms + 31_900;
        silent && now_ms >= self.invited_ms + 31_900 || late
    }

    /// Whether the callee thinks at the end that the call goes on. `None`: it does not, or cannot know.
    pub fn complaint(&self) -> Option<&'static str> {
        if self.is_dead() {
            return None;
        }
        let never_heard = self.heard_ms.is_none_or(|heard_ms| heard_ms >= self.invited_ms + 31_900);
        let obeys = matches!(self.script.on_cancel, OnCancel::Obeys | OnCancel::Answers);
        match self.state {
            State::Early if never_heard || self.server.cancel.is_lost() => None,
            State::Early if obeys || self.server.cancel.sent == 0 => Some("a callee was left ringing"),
            State::Answered => Some("a callee was left answered"),
            State::Talking if self.bye == Exchange::None && !self.byed && !self.server.bye.is_lost() => {
                Some("a callee was left in the call")
            }
            _ if self.final_ms.is_some_and(|ms| !self.is_given_up(ms)) && self.server.ack.sent == 0 => {
                Some("a final response was never acknowledged")
            }
            _ => None,
        }
    }
}

pub fn receive(call: &mut Call, network: &mut Network, hop: u8, kind: Kind) {
    let callee = &mut call.callees[usize::from(hop)];
    if callee.is_dead() {
        return;
    }
    match kind {
        Kind::Request(Method::Invite) => match callee.state {
            State::Idle => begin(call, network, hop),
            State::Early | State::Refused if callee.last_status > 0 => {
                let status = callee.last_status;
                send(call, network, hop, Kind::Response(status, Method::Invite));
            }
            _ => {}
        },
        Kind::Request(Method::Ack) => match callee.state {
            State::Answered => {
                callee.state = State::Talking;
                if let Some(after_ms) = callee.script.hang_up_ms {
                    network.wake(call.index, hop, Timer::HangUp, 0, after_ms);
                }
            }
            State::Refused => callee.state = State::Over,
            _ => {}
        },
        Kind::Request(Method::Cancel) => cancelled(call, network, hop),
        Kind::Request(Method::Bye) => {
            let known = matches!(callee.state, State::Answered | State::Talking) || callee.byed;
            if known {
                callee.byed = true;
                callee.state = State::Over;
            }
            let status = if known { 200 } else { 481 };
            send(call, network, hop, Kind::Response(status, Method::Bye));
        }
        Kind::Request(method) => send(call, network, hop, Kind::Response(200, method)),
        Kind::Response(200.., Method::Bye) => {
            callee.bye = Exchange::Done;
            callee.state = State::Over;
        }
        Kind::Response(..) => {}
    }
}

fn begin(call: &mut Call, network: &mut Network, hop: u8) {
    let callee = &mut call.callees[usize::from(hop)];
    callee.state = State::Early;
    let script = callee.script;
    let steps =
        [(Timer::Trying, script.trying_ms), (Timer::Ring, script.ring_ms), (Timer::Final, script.end_ms)];
    for (timer, after_ms) in steps {
        match after_ms {
            Some(0) => wake(call, network, hop, (timer, 0)),
            Some(after_ms) => network.wake(call.index, hop, timer, 0, after_ms),
            None => {}
        }
    }
}

pub fn wake(call: &mut Call, network: &mut Network, hop: u8, (timer, attempt): (Timer, u8)) {
    let callee = &mut call.callees[usize::from(hop)];
    if callee.is_dead() {
        return;
    }
    match (timer, callee.state) {
        (Timer::Trying, State::Early) if callee.last_status == 0 => respond(call, network, hop, 100),
        (Timer::Ring, State::Early) => {
            let (status, rings) = (callee.script.ring_status, callee.script.rings);
            respond(call, network, hop, status);
            if attempt < rings {
                network.wake(call.index, hop, timer, attempt + 1, 1_500);
            }
        }
        (Timer::Final, State::Early) => {
            let status = callee.script.end_status;
            finish(call, network, hop, status);
        }
        (Timer::FinalAgain, State::Answered | State::Refused) => final_again(call, network, hop, attempt),
        (Timer::HangUp, State::Talking | State::Answered) => bye(call, network, hop),
        (Timer::ByeAgain, _) if callee.bye == Exchange::Sent => {
            if let Some(after_ms) = again_ms(attempt) {
                send(call, network, hop, Kind::Request(Method::Bye));
                network.wake(call.index, hop, timer, attempt + 1, after_ms);
            } else {
                callee.bye = Exchange::Done;
                callee.state = State::Over;
            }
        }
        _ => {}
    }
}

/// The final response again; without an ACK the dialog is ended (RFC 3261 §13.3.1.4).
fn final_again(call: &mut Call, network: &mut Network, hop: u8, attempt: u8) {
    let callee = &mut call.callees[usize::from(hop)];
    let answered = callee.state == State::Answered;
    match again_ms(attempt) {
        Some(after_ms) => {
            let status = callee.last_status;
            send(call, network, hop, Kind::Response(status, Method::Invite));
            network.wake(call.index, hop, Timer::FinalAgain, attempt + 1, after_ms);
        }
        None if answered && callee.bye == Exchange::None => bye(call, network, hop),
        None => callee.state = State::Over,
    }
}

fn cancelled(call: &mut Call, network: &mut Network, hop: u8) {
    let callee = &call.callees[usize::from(hop)];
    let (early, on_cancel) = (callee.state == State::Early, callee.script.on_cancel);
    if early && on_cancel == OnCancel::Ignores {
        return;
    }
    let answers_first = early && on_cancel == OnCancel::Answers;
    if answers_first {
        finish(call, network, hop, 200);
    }
    send(call, network, hop, Kind::Response(200, Method::Cancel));
    if early && on_cancel == OnCancel::Obeys {
        finish(call, network, hop, 487);
    }
}

/// A final response to the INVITE.
fn finish(call: &mut Call, network: &mut Network, hop: u8, status: u16) {
    let callee = &mut call.callees[usize::from(hop)];
    let answers = (200..300).contains(&status);
    callee.state = if answers { State::Answered } else { State::Refused };
    if let Some(after_ms) = callee.script.hang_up_ms.filter(|_| answers && callee.script.hasty) {
        network.wake(call.index, hop, Timer::HangUp, 0, after_ms / 100);
    }
    respond(call, network, hop, status);
    network.wake(call.index, hop, Timer::FinalAgain, 1, 500);
}

fn respond(call: &mut Call, network: &mut Network, hop: u8, status: u16) {
    call.callees[usize::from(hop)].last_status = status;
    send(call, network, hop, Kind::Response(status, Method::Invite));
}

fn bye(call: &mut Call, network: &mut Network, hop: u8) {
    let callee = &mut call.callees[usize::from(hop)];
    if callee.bye == Exchange::None {
        callee.bye = Exchange::Sent;
        send(call, network, hop, Kind::Request(Method::Bye));
        network.wake(call.index, hop, Timer::ByeAgain, 1, 500);
    }
}

fn send(call: &mut Call, network: &mut Network, hop: u8, kind: Kind) {
    let callee = &mut call.callees[usize::from(hop)];
    if !callee.is_dead() {
        callee.sent = callee.sent.saturating_add(1);
        network.send(call, hop, kind);
    }
}
