//! Non-INVITE server transaction: RFC 3261 §17.2.2, Figure 8.

use super::{Effect, Step, end, to};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent yet; RFC 4320 §4.1 forbids a provisional response before its time.
    Trying,
    /// A final response was sent; Timer J runs.
    Completed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The request came again.
    Request,
    SendFinal,
    TimerJ,
}

impl State {
    pub const ALL: [State; 2] = [State::Trying, State::Completed];
}

impl Event {
    pub const ALL: [Event; 3] = [Event::Request, Event::SendFinal, Event::TimerJ];
}

/// One transition. ringway sends no provisional response to a non-INVITE request, so Proceeding is left out.
#[must_use]
pub const fn step(state: State, event: Event) -> Step<State> {
    use Effect::{Impossible, Late, None, Send, SendAgain};
    use Event::{Request, SendFinal, TimerJ};
    use State::{Completed, Trying};
    match (state, event) {
        (Trying, Request) => to(Trying, Late),
        (Trying, SendFinal) => to(Completed, Send),
        (Completed, Request) => to(Completed, SendAgain),
        (Completed, TimerJ) => end(None),
        (Trying, TimerJ) | (Completed, SendFinal) => to(state, Impossible),
    }
}
