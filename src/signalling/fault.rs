//! Messages with a fault: a request that can be answered gets its 4xx or 5xx, all else is dropped
//! (SIP_RULES 27, 28).

use super::{Request, Signalling};
use crate::sip::{Fault, HeaderName, Message, Method, Status};

impl Signalling {
    /// Answers or drops a message that the scanner found a fault in.
    pub fn refuse_fault(&mut self, request: &Request<'_>, fault: Fault) {
        let message = &request.message;
        let metrics = &mut self.context.metrics;
        match fault {
            Fault::KeepAlive => metrics.keepalives += 1,
            Fault::NotSip => metrics.not_sip += 1,
            _ if !message.is_request() || message.method() == Method::Ack || !is_answerable(message) => {
                metrics.bad_messages_dropped += 1;
            }
            fault => {
                metrics.bad_requests_answered += 1;
                let (status, reason) = fault_response(fault);
                self.reply(request, (status, reason.as_bytes()), |_, _| {});
            }
        }
    }
}

/// Whether the header fields that every response copies are there.
fn is_answerable(message: &Message<'_>) -> bool {
    let copied = [HeaderName::From, HeaderName::To, HeaderName::CSeq];
    message.top_via().is_some()
        && !message.call_id().is_empty()
        && copied.iter().all(|&name| message.header(name).is_some_and(|value| !value.is_empty()))
}

/// The response to a fault; a 400's reason phrase names the header field (RFC 3261 §21.4.1).
fn fault_response(fault: Fault) -> (Status, String) {
    let bad = |text: String| (Status::BAD_REQUEST, text);
    match fault {
        Fault::Version => (Status::VERSION_NOT_SUPPORTED, String::new()),
        Fault::RequestUriTooLong => (Status::REQUEST_URI_TOO_LONG, String::new()),
        Fault::TooManyHeaders => bad("Too Many Header Fields".into()),
        Fault::BrokenStartLine => bad("Broken Request-Line".into()),
        Fault::BrokenHeader => bad("Broken Header Line".into()),
        Fault::Missing(name) => bad(format!("Missing {}", name.text())),
        Fault::Repeated(name) => bad(format!("Repeated {}", name.text())),
        Fault::Malformed(name) => bad(format!("Malformed {}", name.text())),
        Fault::CSeqMethod => bad("CSeq Method Differs".into()),
        Fault::Truncated => bad("Content-Length Beyond Datagram".into()),
        Fault::KeepAlive | Fault::NotSip => bad(String::new()),
    }
}
