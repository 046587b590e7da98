//! Session timers that are ours to refresh (RFC 4028): UPDATE at half the interval.

use super::state::{CallEvent, LegState};
use super::write::{SUPPORTED, write_contact};
use super::{Calls, Signalling};
use crate::sip::name_addr::{param, split_list};
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, Method, Status};
use crate::slab::Handle;
use crate::transaction::{Exchange, User};

/// An interval is not believed below this, in seconds (RFC 4028 §4).
const INTERVAL_MIN_S: u32 = 90;

/// Nor above this: refreshing once a day is as good as never.
const INTERVAL_MAX_S: u32 = 86_400;

/// The interval that a callee's 2xx leaves us to refresh; 0: it leaves none, or takes no UPDATE.
pub(super) fn refresh_of(answer: &Message<'_>) -> u32 {
    let takes_update =
        answer.values(HeaderName::Allow).flat_map(split_list).any(|method| method == b"UPDATE");
    let Some(value) = answer.header(HeaderName::SessionExpires) else { return 0 };
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    let (digits, params) = value.split_at(end);
    let ours = param(params, "refresher").is_some_and(|refresher| refresher.eq_ignore_ascii_case(b"uac"));
    let seconds = std::str::from_utf8(digits.trim_ascii()).ok().and_then(|digits| digits.parse::<u32>().ok());
    match seconds {
        Some(seconds) if takes_update && ours => seconds.clamp(INTERVAL_MIN_S, INTERVAL_MAX_S),
        _ => 0,
    }
}

impl Calls {
    /// Starts the timer of a leg whose session is ours to refresh.
    pub(super) fn arm_refresh(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(leg) = self.legs.get(handle) else { return };
        if leg.refresh_s > 0 && leg.state == LegState::Confirmed {
            let half_ms = leg.refresh_s * 500;
            self.arm_leg(on, handle, half_ms);
        }
    }

    /// Refreshes the session and waits for the next time.
    pub(super) fn refresh_leg(&mut self, on: &mut Signalling, handle: Handle) {
        let Some(leg) = self.legs.get_mut(handle) else { return };
        leg.dialog.local_cseq += 1;
        let (dialog, seconds) = (&leg.dialog, leg.refresh_s);
        let to = (dialog.answer_to, dialog.local_cseq);
        let user = (User::Leg(handle), Exchange::Refresh);
        let sent = on.transactions.send_request(&mut on.context, user, to, |context, out, branch| {
            dialog.write_request(context, out, (Method::Update, dialog.local_cseq), branch);
            let mut writer = Writer::new(out);
            write_contact(&mut writer, b"", context.sent_by(dialog.answer_to.listener));
            writer.header(HeaderName::Supported, SUPPORTED);
            writer.name(HeaderName::SessionExpires).number(u64::from(seconds)).raw(b";refresher=uac");
            writer.end_line();
            writer.body(b"");
        });
        on.context.metrics.transactions_not_kept += u64::from(sent.is_err());
        self.arm_refresh(on, handle);
    }

    /// What became of a refresh: `None`: no answer. A callee that does not know the dialog, or does not
    /// answer, is gone (RFC 3261 §12.2.1.2); any other refusal leaves the session as it is.
    pub(super) fn refreshed(&mut self, on: &mut Signalling, user: User, status: Option<Status>) {
        let User::Leg(handle) = user else { return };
        let gone = matches!(status, None | Some(Status::CALL_DOES_NOT_EXIST | Status::REQUEST_TIMEOUT));
        if let (true, Some(leg)) = (gone, self.legs.get(handle)) {
            let call = leg.call;
            self.call_event(on, call, CallEvent::DialogLost, None);
        }
    }
}
