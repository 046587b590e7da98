//! INVITE server transaction: RFC 3261 §17.2.1, Figure 7, as corrected by RFC 6026 §8.5, Figure 7.

use super::{Effect, Step, end, to};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Proceeding,
    /// A non-2xx final response was sent; Timers G and H run.
    Completed,
    /// Its ACK came; Timer I runs.
    Confirmed,
    /// A 2xx was sent, which the call repeats until its ACK; Timer L runs.
    Accepted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The INVITE came again.
    Invite,
    Ack,
    SendProvisional,
    SendSuccess,
    SendFailure,
    TimerG,
    TimerH,
    TimerI,
    TimerL,
}

impl State {
    pub const ALL: [State; 4] = [State::Proceeding, State::Completed, State::Confirmed, State::Accepted];
}

impl Event {
    pub const ALL: [Event; 9] = [
        Event::Invite,
        Event::Ack,
        Event::SendProvisional,
        Event::SendSuccess,
        Event::SendFailure,
        Event::TimerG,
        Event::TimerH,
        Event::TimerI,
        Event::TimerL,
    ];
}

/// One transition.
#[must_use]
pub const fn step(state: State, event: Event) -> Step<State> {
    use Effect::{Impossible, Late, None, Report, Send, SendAgain};
    use Event::{Ack, Invite, SendFailure, SendProvisional, SendSuccess, TimerG, TimerH, TimerI, TimerL};
    use State::{Accepted, Completed, Confirmed, Proceeding};
    match (state, event) {
        (Proceeding, Invite) | (Completed, Invite | TimerG) => to(state, SendAgain),
        (Proceeding, SendProvisional) => to(Proceeding, Send),
        (Proceeding | Accepted, SendSuccess) => to(Accepted, Send),
        (Proceeding, SendFailure) => to(Completed, Send),
        (Completed, Ack) => to(Confirmed, None),
        // The ACK to a 2xx has a branch of its own; one that repeats the INVITE's branch is passed on.
        (Accepted, Ack) => to(Accepted, Report),
        // No ACK ever came: there is no dialog, so nobody needs to know.
        (Completed, TimerH) | (Confirmed, TimerI) | (Accepted, TimerL) => end(None),
        (Proceeding | Confirmed, Ack) | (Confirmed | Accepted, Invite) => to(state, Late),
        (Proceeding, TimerG | TimerH | TimerI | TimerL)
        | (Completed, SendProvisional | SendSuccess | SendFailure | TimerI | TimerL)
        | (Confirmed, SendProvisional | SendSuccess | SendFailure | TimerG | TimerH | TimerL)
        | (Accepted, SendProvisional | SendFailure | TimerG | TimerH | TimerI) => to(state, Impossible),
    }
}
