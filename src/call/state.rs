//! The call's two machines: the call as the caller sees it, and a leg to a callee. Pure tables.

/// A call, from the caller's side.
///
/// ```text
///   Searching ──answer──▶ Answered ──ACK──▶ Talking ──BYE──▶ Ending
///       │                     └─callee's BYE─▶ HangupHeld ──ACK──▲
///       └──final, CANCEL──▶ Refused
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// A leg is tried; the caller has had no final response.
    Searching,
    /// The caller was sent a 200 and has not acknowledged it.
    Answered,
    /// As `Answered`, and the callee has hung up: the caller's BYE must wait for its ACK (RFC 3261 §15).
    HangupHeld,
    Talking,
    /// The caller has had a final response other than 2xx; legs are being given up.
    Refused,
    /// Someone hung up; BYEs are on their way.
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEvent {
    CallerCancel,
    CallerAck,
    CallerBye,
    CalleeBye,
    /// The 200 to the caller is due again.
    AnswerDue,
    /// 64·T1 went by without an ACK.
    AckMissing,
    /// The call has lasted as long as a call may.
    TooLong,
    /// A callee does not know its dialog any more, or does not answer (RFC 3261 §12.2.1.2).
    DialogLost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallAction {
    None,
    /// 487 to the INVITE, CANCEL to the legs (SIP_RULES 6).
    Abort,
    /// ACK to the callee, if it still waits for one.
    Acknowledge,
    /// BYE to the callee.
    HangUpCallee,
    /// BYE to the caller.
    HangUpCaller,
    /// BYE to both.
    HangUpBoth,
    RepeatAnswer,
    /// Late or duplicate: normal, absorbed.
    Late,
    /// Our bug, counted.
    Impossible,
}

/// A leg to a callee: one dialog on the callee's side.
///
/// ```text
///   Calling ─100─▶ Trying ─18x─▶ Ringing ─2xx─▶ Answered ─ACK─▶ Confirmed ─BYE─▶ Ending
///      └─cancel─▶ Held ─1xx─▶ Cancelling ◀─cancel, timer─┘ (from Trying and Ringing)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// INVITE sent, nothing heard: Timer B of the transaction runs.
    Calling,
    /// 100 heard: the limit on trying runs.
    Trying,
    /// 18x heard: the no-answer timer runs, once.
    Ringing,
    /// To be cancelled as soon as a 1xx comes (RFC 3261 §9.1).
    Held,
    /// CANCEL sent: 64·T1 run.
    Cancelling,
    /// 2xx heard, no ACK sent yet.
    Answered,
    Confirmed,
    /// BYE sent.
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegEvent {
    Trying,
    Ringing,
    Success,
    Failure,
    /// Timer B: no response at all.
    Silence,
    /// The leg's own timer.
    Timer,
    /// The call has no use for the leg any more.
    Cancel,
    /// The 2xx is to be acknowledged.
    Acknowledge,
    /// The call ends the dialog.
    HangUp,
    /// The callee's BYE, answered already.
    PeerBye,
    /// Our BYE got its final response, or none ever.
    ByeDone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegAction {
    None,
    /// Start the limit on 100 Trying.
    StartTrying,
    /// Start the no-answer timer and tell the caller.
    StartRinging,
    /// Tell the caller once more; the timer runs on (SIP_RULES 2).
    RepeatRinging,
    /// The leg answered: it may win the call.
    TakeAnswer,
    /// It answered after it was given up (RFC 5407 §3.1.2).
    TakeLateAnswer,
    TakeFailure,
    TakeSilence,
    /// CANCEL, then on to the next target.
    NoAnswer,
    /// CANCEL: it never rang.
    NeverRang,
    SendCancel,
    SendAck,
    /// UPDATE: the session timer is ours to refresh (RFC 4028 §10).
    Refresh,
    SendBye,
    SendAckAndBye,
    /// The callee hung up before our ACK: its 2xx gets one all the same (RFC 3261 §13.2.2.4).
    SendAckAndRemove,
    /// The leg is over.
    Remove,
    Late,
    Impossible,
}

/// One transition of the call.
#[must_use]
pub const fn call_step(state: CallState, event: CallEvent) -> (CallState, CallAction) {
    use CallAction::{
        Abort, Acknowledge, HangUpBoth, HangUpCallee, HangUpCaller, Impossible, Late, None, RepeatAnswer,
    };
    use CallEvent::{
        AckMissing, AnswerDue, CalleeBye, CallerAck, CallerBye, CallerCancel, DialogLost, TooLong,
    };
    use CallState::{Answered, Ending, HangupHeld, Refused, Searching, Talking};
    match (state, event) {
        (Searching, CallerCancel | CallerBye) => (Refused, Abort),
        (Answered, CallerAck) => (Talking, Acknowledge),
        (Answered, CallerBye) | (Talking, CallerBye) => (Ending, HangUpCallee),
        (Answered, CalleeBye) => (HangupHeld, None),
        (Answered | HangupHeld, AnswerDue) => (state, RepeatAnswer),
        (Answered, AckMissing) | (Talking, TooLong | DialogLost) => (Ending, HangUpBoth),
        (HangupHeld, CallerAck | AckMissing) | (Talking, CalleeBye) => (Ending, HangUpCaller),
        (HangupHeld, CallerBye) => (Ending, None),
        // The transaction answers a CANCEL after the final response without asking the call.
        (Answered | HangupHeld | Talking | Refused | Ending, CallerCancel)
        | (Searching | Talking | Refused | Ending, CallerAck)
        | (Refused | Ending, CallerBye)
        | (Searching | Answered | HangupHeld | Refused | Ending, DialogLost)
        | (HangupHeld | Refused | Ending, CalleeBye) => (state, Late),
        (Searching, CalleeBye)
        | (Searching | Talking | Refused | Ending, AnswerDue | AckMissing)
        | (Searching | Answered | HangupHeld | Refused | Ending, TooLong) => (state, Impossible),
    }
}

/// One transition of a leg.
#[must_use]
pub const fn leg_step(state: LegState, event: LegEvent) -> (LegState, LegAction) {
    use LegAction::{
        Impossible, Late, NeverRang, NoAnswer, None, Refresh, Remove, RepeatRinging, SendAck, SendAckAndBye,
        SendAckAndRemove, SendBye, SendCancel, StartRinging, StartTrying, TakeAnswer, TakeFailure,
        TakeLateAnswer, TakeSilence,
    };
    use LegEvent as E;
    use LegState::{Answered, Calling, Cancelling, Confirmed, Ending, Held, Ringing, Trying};
    match (state, event) {
        (Calling, E::Trying) => (Trying, StartTrying),
        (Calling | Trying, E::Ringing) => (Ringing, StartRinging),
        (Ringing, E::Ringing) => (Ringing, RepeatRinging),
        (Calling | Trying | Ringing, E::Success) => (Answered, TakeAnswer),
        (Calling | Trying | Ringing, E::Failure) => (state, TakeFailure),
        (Calling, E::Silence) => (state, TakeSilence),
        (Calling, E::Cancel) => (Held, None),
        (Trying, E::Timer) => (Cancelling, NeverRang),
        (Ringing, E::Timer) => (Cancelling, NoAnswer),
        (Trying | Ringing, E::Cancel) => (Cancelling, SendCancel),
        (Held, E::Trying | E::Ringing) => (Cancelling, SendCancel),
        (Held | Cancelling, E::Success) => (Answered, TakeLateAnswer),
        (Held, E::Failure | E::Silence) | (Cancelling, E::Failure | E::Timer) => (state, Remove),
        (Answered, E::Acknowledge) => (Confirmed, SendAck),
        (Answered, E::HangUp) => (Ending, SendAckAndBye),
        (Confirmed, E::HangUp) => (Ending, SendBye),
        (Confirmed, E::Timer) => (Confirmed, Refresh),
        (Answered, E::PeerBye) => (state, SendAckAndRemove),
        (Confirmed, E::PeerBye) | (Ending, E::ByeDone | E::PeerBye) => (state, Remove),
        (Trying | Ringing, E::Trying)
        | (Held | Cancelling | Answered | Confirmed | Ending, E::Cancel)
        | (Cancelling, E::Trying | E::Ringing)
        | (Answered, E::Trying | E::Ringing)
        | (Confirmed, E::Trying | E::Ringing | E::Acknowledge)
        | (Ending, E::Trying | E::Ringing | E::Acknowledge | E::HangUp) => (state, Late),
        (Calling, E::Timer)
        | (Held, E::Timer)
        | (Trying | Ringing | Cancelling, E::Silence)
        | (Answered | Confirmed | Ending, E::Success | E::Failure | E::Silence)
        | (Answered | Ending, E::Timer)
        | (Answered | Confirmed, E::ByeDone)
        | (
            Calling | Trying | Ringing | Held | Cancelling,
            E::Acknowledge | E::HangUp | E::PeerBye | E::ByeDone,
        ) => (state, Impossible),
    }
}
