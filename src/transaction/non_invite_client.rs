//! Non-INVITE client transaction: RFC 3261 §17.1.2, Figure 6.

use super::{Effect, Step, end, to};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Trying,
    Proceeding,
    /// A final response came; Timer K runs.
    Completed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Provisional,
    Final,
    TimerE,
    TimerF,
    TimerK,
}

impl State {
    pub const ALL: [State; 3] = [State::Trying, State::Proceeding, State::Completed];
}

impl Event {
    pub const ALL: [Event; 5] =
        [Event::Provisional, Event::Final, Event::TimerE, Event::TimerF, Event::TimerK];
}

/// One transition.
#[must_use]
pub const fn step(state: State, event: Event) -> Step<State> {
    use Effect::{Impossible, Late, None, Report, ReportTimeout, SendAgain};
    use Event::{Final, Provisional, TimerE, TimerF, TimerK};
    use State::{Completed, Proceeding, Trying};
    match (state, event) {
        (Trying | Proceeding, Provisional) => to(Proceeding, None),
        (Trying | Proceeding, Final) => to(Completed, Report),
        (Trying | Proceeding, TimerE) => to(state, SendAgain),
        (Trying | Proceeding, TimerF) => end(ReportTimeout),
        (Completed, Provisional | Final) => to(Completed, Late),
        (Completed, TimerK) => end(None),
        (Trying | Proceeding, TimerK) | (Completed, TimerE | TimerF) => to(state, Impossible),
    }
}
