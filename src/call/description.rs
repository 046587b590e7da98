//! A session description that is kept because it may have to be said again.
//!
//! Some are kept as they came, some as they were told. Either may be told: in what was told in the server's
//! name already, telling it again to the same side changes nothing.

use super::media::Spoken;
use crate::context::Context;
use crate::keep::Kept;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message};

/// A body with the header lines that describe it.
#[derive(Debug)]
pub(super) struct Description {
    text: Kept,
    /// Where the body starts.
    body: u16,
}

impl Description {
    pub const NONE: Description = Description { text: Kept::NONE, body: 0 };

    /// Keeps the body of a message; nothing, where there is none or no room.
    pub fn of(context: &mut Context, message: &Message<'_>) -> Description {
        if message.body().is_empty() {
            return Description::NONE;
        }
        let mut text = std::mem::take(&mut context.scratch);
        text.clear();
        Writer::new(&mut text).splice_headers(message, super::write::is_content);
        // The lines stood in a datagram, whose positions fit.
        let body = text.len() as u16;
        text.extend_from_slice(message.body());
        let kept = context.keep.keep(&text);
        context.scratch = text;
        kept.map_or(Description::NONE, |text| Description { text, body })
    }

    pub fn is_some(&self) -> bool {
        self.text.is_some()
    }

    pub fn take(&mut self) -> Description {
        std::mem::replace(self, Description::NONE)
    }

    /// Writes lines and body: the end of a message. `spoken`: what stands for the body.
    pub fn write(&self, context: &Context, writer: &mut Writer<'_>, spoken: &Spoken) {
        let text = context.keep.bytes(&self.text);
        let (lines, body) = text.split_at(usize::from(self.body).min(text.len()));
        writer.raw(lines);
        writer.body(spoken.body().unwrap_or(body));
    }

    /// Its Content-Type, empty where the body is encoded, and the body.
    pub fn content<'c>(&self, context: &'c Context) -> (&'c [u8], &'c [u8]) {
        let text = context.keep.bytes(&self.text);
        let (lines, body) = text.split_at(usize::from(self.body).min(text.len()));
        let mut kind = &b"application/sdp"[..];
        for line in lines.split(|&byte| byte == b'\n') {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            match HeaderName::classify(line[..colon].trim_ascii()) {
                HeaderName::ContentType => kind = line[colon + 1..].trim_ascii(),
                HeaderName::ContentEncoding => return (b"", body),
                _ => {}
            }
        }
        (kind, body)
    }

    /// Puts another one in its place.
    pub fn replace(&mut self, context: &mut Context, with: Description) {
        std::mem::replace(self, with).release(context);
    }

    pub fn release(self, context: &mut Context) {
        context.keep.release(self.text);
    }
}
