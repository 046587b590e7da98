//! Why a REGISTER is refused before the store is asked.

use crate::sip::Status;

/// What is wrong with a REGISTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A status with the reason phrase that says why; empty: the status's own.
    Because(Status, &'static str),
    /// 423 with Min-Expires.
    TooBrief,
    /// 503: a table is full.
    Full,
}

impl Refused {
    pub const fn bad(reason: &'static str) -> Refused {
        Refused::Because(Status::BAD_REQUEST, reason)
    }

    pub const fn forbidden(reason: &'static str) -> Refused {
        Refused::Because(Status::FORBIDDEN, reason)
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Refused {
        Refused::Because(status, "")
    }
}
