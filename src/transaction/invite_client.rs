//! INVITE client transaction: RFC 3261 §17.1.1, Figure 5, as corrected by RFC 6026 §8.4, Figure 5.

use super::{Effect, Step, end, to};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Calling,
    Proceeding,
    /// A non-2xx final response came; Timer D runs.
    Completed,
    /// A 2xx came; Timer M runs.
    Accepted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Provisional,
    Success,
    Failure,
    TimerA,
    TimerB,
    TimerD,
    TimerM,
}

impl State {
    pub const ALL: [State; 4] = [State::Calling, State::Proceeding, State::Completed, State::Accepted];
}

impl Event {
    pub const ALL: [Event; 7] = [
        Event::Provisional,
        Event::Success,
        Event::Failure,
        Event::TimerA,
        Event::TimerB,
        Event::TimerD,
        Event::TimerM,
    ];
}

/// One transition. A 2xx is reported in every state: another one than the first needs an ACK and a BYE
/// (RFC 3261 §13.2.2.4).
#[must_use]
pub const fn step(state: State, event: Event) -> Step<State> {
    use Effect::{AcknowledgeAndReport, Impossible, Late, None, Report, ReportTimeout, SendAgain};
    use Event::{Failure, Provisional, Success, TimerA, TimerB, TimerD, TimerM};
    use State::{Accepted, Calling, Completed, Proceeding};
    match (state, event) {
        (Calling | Proceeding, Provisional) => to(Proceeding, Report),
        (Calling | Proceeding | Accepted, Success) => to(Accepted, Report),
        (Calling | Proceeding, Failure) => to(Completed, AcknowledgeAndReport),
        (Calling, TimerA) => to(Calling, SendAgain),
        (Calling, TimerB) => end(ReportTimeout),
        (Completed, Success) => to(Completed, Report),
        (Completed, Failure) => to(Completed, SendAgain),
        (Completed | Accepted, Provisional) | (Accepted, Failure) => to(state, Late),
        (Completed, TimerD) | (Accepted, TimerM) => end(None),
        (Calling, TimerD | TimerM)
        | (Proceeding, TimerA | TimerB | TimerD | TimerM)
        | (Completed, TimerA | TimerB | TimerM)
        | (Accepted, TimerA | TimerB | TimerD) => to(state, Impossible),
    }
}
