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
    /// The 200 to the caller, or a reliable provisional response, is due again.
    AnswerDue,
    /// 64·T1 went by without an ACK, or without a PRACK.
    AckMissing,
    /// The call has lasted as long as a call may.
    TooLong,
    /// A callee does not know its dialog any more, or does not answer (RFC 3261 §12.2.1.2).
    DialogLost,
    /// A session timer ran out unrefreshed (RFC 4028 §10).
    SessionExpired,
    /// Nothing was to be heard for too long.
    MediaSilent,
    /// The operator wants it to end.
    HangUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallAction {
    None,
    /// 487 to the INVITE, CANCEL to the legs (SIP_RULES 6).
    Abort,
    /// A final response to the INVITE though a callee had answered: the caller never took a reliable
    /// provisional response, or the callee hung up before the answer could go out.
    GiveUp,
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
///      └─cancel─▶ Held ─1xx─▶ Cancelling ◀─cancel─┘ (from Trying and Ringing)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// INVITE sent, nothing heard: Timer B of the transaction runs.
    Calling,
    /// 100 heard: the limit on trying runs.
    Trying,
    /// 18x heard: the no-answer timer of the search runs.
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
    /// Start the no-answer timer if it does not run yet, and tell the caller.
    StartRinging,
    /// Tell the caller once more; the timer runs on (SIP_RULES 2).
    RepeatRinging,
    /// The leg answered: it may win the call.
    TakeAnswer,
    /// It answered after it was given up (RFC 5407 §3.1.2).
    TakeLateAnswer,
    TakeFailure,
    TakeSilence,
    /// CANCEL: it never rang.
    NeverRang,
    SendCancel,
    SendAck,
    /// The session timer: refresh, or end the call (RFC 4028 §10).
    SessionDue,
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
        Abort, Acknowledge, GiveUp, HangUpBoth, HangUpCallee, HangUpCaller, Impossible, Late, None,
        RepeatAnswer,
    };
    use CallEvent::{
        AckMissing, AnswerDue, CalleeBye, CallerAck, CallerBye, CallerCancel, DialogLost, HangUp,
        MediaSilent, SessionExpired, TooLong,
    };
    use CallState::{Answered, Ending, HangupHeld, Refused, Searching, Talking};
    match (state, event) {
        (Searching, CallerCancel | CallerBye) => (Refused, Abort),
        (Searching, AckMissing | CalleeBye | HangUp) => (Refused, GiveUp),
        (Answered, CallerAck) => (Talking, Acknowledge),
        (Answered, CallerBye) | (Talking, CallerBye) => (Ending, HangUpCallee),
        (Answered, CalleeBye) => (HangupHeld, None),
        // The caller's BYE waits for its ACK (RFC 3261 §15); the callee needs not wait for it.
        (Answered, HangUp) => (HangupHeld, HangUpCallee),
        (Searching | Answered | HangupHeld, AnswerDue) => (state, RepeatAnswer),
        (Answered, AckMissing) | (Talking, TooLong | DialogLost | SessionExpired | MediaSilent | HangUp) => {
            (Ending, HangUpBoth)
        }
        (HangupHeld, CallerAck | AckMissing) | (Talking, CalleeBye) => (Ending, HangUpCaller),
        (HangupHeld, CallerBye) => (Ending, None),
        // The transaction answers a CANCEL after the final response without asking the call.
        (Answered | HangupHeld | Talking | Refused | Ending, CallerCancel)
        | (Searching | Talking | Refused | Ending, CallerAck)
        | (Refused | Ending, CallerBye)
        | (Searching | Answered | HangupHeld | Refused | Ending, DialogLost | SessionExpired)
        | (HangupHeld | Refused | Ending, CalleeBye | HangUp) => (state, Late),
        (Talking | Refused | Ending, AnswerDue | AckMissing)
        | (Searching | Answered | HangupHeld | Refused | Ending, TooLong | MediaSilent) => {
            (state, Impossible)
        }
    }
}

/// One transition of a leg.
#[must_use]
pub const fn leg_step(state: LegState, event: LegEvent) -> (LegState, LegAction) {
    use LegAction::{
        Impossible, Late, NeverRang, None, Remove, RepeatRinging, SendAck, SendAckAndBye, SendAckAndRemove,
        SendBye, SendCancel, SessionDue, StartRinging, StartTrying, TakeAnswer, TakeFailure, TakeLateAnswer,
        TakeSilence,
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
        (Trying | Ringing, E::Cancel) => (Cancelling, SendCancel),
        (Held, E::Trying | E::Ringing) => (Cancelling, SendCancel),
        (Held | Cancelling, E::Success) => (Answered, TakeLateAnswer),
        (Held, E::Failure | E::Silence) | (Cancelling, E::Failure | E::Timer) => (state, Remove),
        (Answered, E::Acknowledge) => (Confirmed, SendAck),
        (Answered, E::HangUp) => (Ending, SendAckAndBye),
        (Confirmed, E::HangUp) => (Ending, SendBye),
        (Confirmed, E::Timer) => (Confirmed, SessionDue),
        (Answered, E::PeerBye) => (state, SendAckAndRemove),
        (Confirmed, E::PeerBye) | (Ending, E::ByeDone | E::PeerBye) => (state, Remove),
        (Trying | Ringing, E::Trying)
        | (Held | Cancelling | Answered | Confirmed | Ending, E::Cancel)
        | (Cancelling, E::Trying | E::Ringing)
        | (Answered, E::Trying | E::Ringing)
        | (Confirmed, E::Trying | E::Ringing | E::Acknowledge)
        | (Ending, E::Trying | E::Ringing | E::Acknowledge | E::HangUp) => (state, Late),
        (Calling | Ringing | Held, E::Timer)
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

/// A re-INVITE, passed on or our own: two transactions, one on each side.
///
/// ```text
///   Calling ─1xx─▶ Proceeding ─2xx─▶ Answered ─ACK─▶ over
///      └─CANCEL─▶ Held ─1xx─▶ Cancelling ◀─CANCEL, timer─┘
///      (from every state the call's end leads to Closing)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReinviteState {
    /// Passed on, nothing heard.
    Calling,
    /// A provisional response came; the limit on ringing runs.
    Proceeding,
    /// To be cancelled as soon as a 1xx comes.
    Held,
    /// CANCEL sent: 64·T1 run.
    Cancelling,
    /// 2xx passed back, and repeated until its ACK.
    Answered,
    /// The call ended: the other side's final response is awaited for 64·T1.
    Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReinviteEvent {
    Provisional,
    Success,
    Failure,
    /// Timer B: no response at all.
    Silence,
    /// The limit on ringing, or on waiting after a CANCEL.
    Timer,
    /// The 2xx is due again.
    AnswerDue,
    /// 64·T1 went by without an ACK.
    AckMissing,
    /// The asker's CANCEL.
    Cancel,
    Ack,
    /// Someone hung up.
    CallOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReinviteAction {
    None,
    /// Start the limit on ringing and pass the response back.
    StartRinging,
    PassProvisional,
    SendCancel,
    /// 2xx to the asker.
    TakeAnswer,
    TakeFailure,
    TakeSilence,
    /// A final response of ours; the other side never sent one after its CANCEL.
    GiveUp,
    RepeatAnswer,
    /// The asker never acknowledged: the call ends.
    AckMissing,
    /// ACK to the other side; over.
    Acknowledge,
    /// The asker gets 487, unless it has its answer.
    Close,
    /// The other side's 2xx gets its ACK; over.
    AcknowledgeAndRemove,
    Remove,
    Late,
    Impossible,
}

/// One transition of a re-INVITE.
#[must_use]
pub const fn reinvite_step(state: ReinviteState, event: ReinviteEvent) -> (ReinviteState, ReinviteAction) {
    use ReinviteAction::{
        Acknowledge, AcknowledgeAndRemove, Close, GiveUp, Impossible, Late, None, PassProvisional, Remove,
        RepeatAnswer, SendCancel, StartRinging, TakeAnswer, TakeFailure, TakeSilence,
    };
    use ReinviteEvent as E;
    use ReinviteState::{Answered, Calling, Cancelling, Closing, Held, Proceeding};
    match (state, event) {
        (Calling, E::Provisional) => (Proceeding, StartRinging),
        (Proceeding, E::Provisional) => (Proceeding, PassProvisional),
        (Held, E::Provisional) => (Cancelling, SendCancel),
        (Calling, E::Cancel) => (Held, None),
        (Proceeding, E::Cancel | E::Timer) => (Cancelling, SendCancel),
        (Calling | Proceeding | Held | Cancelling, E::Success) => (Answered, TakeAnswer),
        (Calling | Proceeding | Held | Cancelling, E::Failure) => (state, TakeFailure),
        (Calling | Held, E::Silence) => (state, TakeSilence),
        (Cancelling, E::Timer) => (state, GiveUp),
        (Answered, E::AnswerDue) => (Answered, RepeatAnswer),
        (Answered, E::AckMissing) => (Answered, ReinviteAction::AckMissing),
        (Answered, E::Ack) => (Answered, Acknowledge),
        (Calling | Proceeding | Held | Cancelling, E::CallOver) => (Closing, Close),
        (Answered, E::CallOver) | (Closing, E::Success) => (state, AcknowledgeAndRemove),
        (Closing, E::Failure | E::Silence | E::Timer) => (Closing, Remove),
        (Cancelling | Closing, E::Provisional)
        | (Held | Cancelling | Answered | Closing, E::Cancel)
        | (Answered, E::Provisional | E::Failure)
        | (Calling | Proceeding | Held | Cancelling | Closing, E::Ack)
        | (Closing, E::CallOver) => (state, Late),
        (Calling | Held, E::Timer)
        | (Proceeding | Cancelling, E::Silence)
        | (Calling | Proceeding | Held | Cancelling, E::AnswerDue | E::AckMissing)
        | (Answered, E::Success | E::Silence | E::Timer)
        | (Closing, E::AnswerDue | E::AckMissing) => (state, Impossible),
    }
}
