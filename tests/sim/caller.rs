//! A caller: a small user agent of RFC 3261 with a script for when it does what.

use super::call::{CALLER, Call, Exchange, Kind, Timer, again_ms};
use super::network::Network;
use super::rng::Rng;
use super::server::Server;
use ringway::sip::Method;

const T1X64_MS: u32 = 32_000;

/// What the caller will do. Moments count from the INVITE, or from the 2xx for `hang_up_ms`.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    pub cancel_ms: Option<u32>,
    /// CANCEL as soon as this response comes; 200: it crosses the 2xx, whose ACK and BYE follow.
    pub cancel_on: Option<u16>,
    /// CANCEL does not wait for a provisional response.
    pub hasty: bool,
    /// BYE in the early dialog.
    pub early_bye_ms: Option<u32>,
    pub hang_up_ms: Option<u32>,
    pub never_acks: bool,
    /// The INVITE has no offer, the ACK carries the answer.
    pub late_offer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Calling,
    Proceeding,
    Talking,
    Refused,
    /// Timer B: no response at all.
    Silence,
}

#[derive(Clone, Copy)]
pub struct Caller {
    pub script: Script,
    pub state: State,
    /// The 2xx has come: ACK has a branch of its own.
    pub answered: bool,
    /// A response with a tag has come: there is an early dialog.
    pub has_dialog: bool,
    pub cancel_wanted: bool,
    pub cancel: Exchange,
    pub bye: Exchange,
    /// The server's BYE has come.
    pub byed: bool,
    pub server: Server,
    /// The final response that the server sent, and how often it came.
    pub final_status: u16,
    pub final_hash: u64,
    pub finals_delivered: u32,
    /// Refused with 503 for want of room: the server does not remember, and takes the INVITE when it comes
    /// again.
    pub turned_away: bool,
    /// What has come to the server.
    pub invite_arrived: bool,
    pub bye_arrived: bool,
    /// A CANCEL came to the server before it had sent a final response.
    pub cancelled: bool,
}

impl Caller {
    /// `diverted_ms`: when the first callee's time is up, as far as can be told beforehand.
    pub fn draw(rng: &mut Rng, diverted_ms: u32) -> Caller {
        let some = |rng: &mut Rng, percent, to_ms| rng.percent(percent).then(|| rng.below(to_ms));
        let cancel_ms = match rng.below(100) {
            0..12 => Some(rng.below(30_000)),
            12..20 => Some((diverted_ms + rng.below(200)).saturating_sub(100)),
            _ => None,
        };
        let script = Script {
            cancel_ms,
            cancel_on: rng.percent(6).then(|| rng.pick(&[100, 180, 180, 181, 200])),
            hasty: rng.percent(10),
            early_bye_ms: some(rng, 3, 20_000),
            hang_up_ms: hang_up(rng, 60),
            never_acks: rng.percent(2),
            late_offer: rng.percent(10),
        };
        Caller {
            script,
            state: State::Calling,
            answered: false,
            has_dialog: false,
            cancel_wanted: false,
            cancel: Exchange::None,
            bye: Exchange::None,
            byed: false,
            server: Server::UNSEEN,
            final_status: 0,
            final_hash: 0,
            finals_delivered: 0,
            turned_away: false,
            invite_arrived: false,
            bye_arrived: false,
            cancelled: false,
        }
    }

    fn is_waiting(&self) -> bool {
        matches!(self.state, State::Calling | State::Proceeding)
    }

    /// Whether the caller thinks at the end that the call goes on. `None`: it does not, or cannot know.
    pub fn complaint(&self) -> Option<&'static str> {
        match self.state {
            State::Proceeding | State::Calling if self.final_status == 0 && !self.turned_away => {
                Some("the caller waits for ever")
            }
            State::Proceeding | State::Calling if self.finals_delivered > 0 => {
                Some("the caller did not understand its final response")
            }
            State::Talking if self.bye == Exchange::None && !self.byed && !self.server.bye.is_lost() => {
                Some("the caller was left in the call")
            }
            _ => None,
        }
    }
}

/// When a party hangs up after the call began: now and then both at one moment.
pub fn hang_up(rng: &mut Rng, percent: u32) -> Option<u32> {
    let at_once = rng.percent(30);
    rng.percent(percent).then(|| if at_once { rng.pick(&[0, 1, 100, 500, 1_000]) } else { rng.below(30_000) })
}

pub fn start(call: &mut Call, network: &mut Network) {
    request(call, network, Method::Invite);
    network.wake(call.index, CALLER, Timer::InviteAgain, 0, 500);
    network.wake(call.index, CALLER, Timer::InviteGiveUp, 0, T1X64_MS);
    let script = call.caller.script;
    for (timer, after_ms) in [(Timer::Cancel, script.cancel_ms), (Timer::EarlyBye, script.early_bye_ms)] {
        if let Some(after_ms) = after_ms {
            network.wake(call.index, CALLER, timer, 0, after_ms);
        }
    }
}

pub fn wake(call: &mut Call, network: &mut Network, timer: Timer, attempt: u8) {
    let caller = &mut call.caller;
    match timer {
        Timer::InviteAgain if caller.state == State::Calling && attempt < 6 => {
            request(call, network, Method::Invite);
            network.wake(call.index, CALLER, timer, attempt + 1, 500 << (attempt + 1));
        }
        Timer::InviteGiveUp if caller.state == State::Calling => caller.state = State::Silence,
        Timer::Cancel if caller.is_waiting() => {
            caller.cancel_wanted = true;
            if caller.state == State::Proceeding || caller.script.hasty {
                cancel(call, network);
            }
        }
        Timer::EarlyBye if caller.is_waiting() && caller.has_dialog => bye(call, network),
        Timer::HangUp if !caller.byed => bye(call, network),
        Timer::CancelAgain if caller.cancel == Exchange::Sent && caller.is_waiting() => {
            repeat(call, network, timer, attempt, Method::Cancel);
        }
        Timer::ByeAgain if caller.bye == Exchange::Sent => {
            repeat(call, network, timer, attempt, Method::Bye);
        }
        _ => {}
    }
}

pub fn receive(call: &mut Call, network: &mut Network, kind: Kind) {
    let caller = &mut call.caller;
    match kind {
        Kind::Response(status, Method::Invite) => {
            caller.has_dialog |= status > 100;
            let cancels = caller.is_waiting() && caller.script.cancel_on == Some(status);
            caller.cancel_wanted |= cancels;
            if cancels && status == 200 {
                cancel(call, network);
            }
            match status {
                100..200 => progress(call, network),
                200..300 => answered(call, network),
                _ => refused(call, network),
            }
        }
        Kind::Response(200.., Method::Cancel) => caller.cancel = Exchange::Done,
        Kind::Response(200.., Method::Bye) => caller.bye = Exchange::Done,
        Kind::Response(..) | Kind::Request(Method::Ack | Method::Cancel) => {}
        Kind::Request(Method::Bye) => {
            caller.byed = true;
            network.send(call, CALLER, Kind::Response(200, Method::Bye));
        }
        Kind::Request(Method::Invite) => {
            network.send(call, CALLER, Kind::Response(488, Method::Invite));
        }
        Kind::Request(method) => network.send(call, CALLER, Kind::Response(200, method)),
    }
}

fn progress(call: &mut Call, network: &mut Network) {
    if call.caller.state == State::Calling {
        call.caller.state = State::Proceeding;
    }
    if call.caller.cancel_wanted && call.caller.state == State::Proceeding {
        cancel(call, network);
    }
}

fn answered(call: &mut Call, network: &mut Network) {
    let caller = &mut call.caller;
    let before = caller.state;
    caller.finals_delivered += 1;
    caller.answered = true;
    caller.state = State::Talking;
    let script = caller.script;
    if !script.never_acks {
        request(call, network, Method::Ack);
    }
    if before == State::Talking {
        return;
    }
    // RFC 3261 §9.1, §13.2.2.4: what was given up and is answered all the same is ended.
    if before == State::Silence || call.caller.cancel != Exchange::None {
        bye(call, network);
    } else if let Some(after_ms) = script.hang_up_ms {
        network.wake(call.index, CALLER, Timer::HangUp, 0, after_ms);
    }
}

fn refused(call: &mut Call, network: &mut Network) {
    call.caller.finals_delivered += 1;
    if call.caller.is_waiting() {
        call.caller.state = State::Refused;
    }
    // After Timer B nothing is left that could acknowledge it.
    if call.caller.state == State::Refused && !call.caller.script.never_acks {
        request(call, network, Method::Ack);
    }
}

fn cancel(call: &mut Call, network: &mut Network) {
    if call.caller.cancel == Exchange::None {
        call.caller.cancel = Exchange::Sent;
        repeat(call, network, Timer::CancelAgain, 0, Method::Cancel);
    }
}

fn bye(call: &mut Call, network: &mut Network) {
    if call.caller.bye == Exchange::None {
        call.caller.bye = Exchange::Sent;
        repeat(call, network, Timer::ByeAgain, 0, Method::Bye);
    }
}

/// Sends a request and sees to its next repetition.
fn repeat(call: &mut Call, network: &mut Network, timer: Timer, attempt: u8, method: Method) {
    if let Some(after_ms) = again_ms(attempt) {
        request(call, network, method);
        network.wake(call.index, CALLER, timer, attempt + 1, after_ms);
    }
}

fn request(call: &mut Call, network: &mut Network, method: Method) {
    network.send(call, CALLER, Kind::Request(method));
}
