//! A message that waited for the engine, written with what the engine says in place of what it described.

use super::Reread;
use super::write::is_content;
use crate::limits::{DATAGRAM_BYTES_MAX, SCAN_PADDING};
use crate::sdp;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, scan};
use std::ops::Range;

/// What a parked message goes on with.
#[derive(Clone, Copy)]
pub(super) enum Told<'a> {
    Same,
    /// Nothing of media.
    Without,
    New(&'a [u8]),
}

impl Reread {
    /// Reads what `write` writes; `None`: it is no message, or too long.
    pub(super) fn read(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Option<usize> {
        self.buffer.clear();
        write(&mut self.buffer);
        let length = self.buffer.len();
        self.buffer.resize(length + SCAN_PADDING, 0);
        let is_read = length <= DATAGRAM_BYTES_MAX && scan(&mut self.buffer, length, &mut self.index).is_ok();
        is_read.then_some(length)
    }
}

/// Writes a message with another description of media, or without its body.
pub(super) fn write(out: &mut Vec<u8>, message: &Message<'_>, told: Told<'_>) {
    let bytes = message.bytes();
    let head = message.headers().first().map_or(bytes.len(), |header| usize::from(header.line_start));
    let mut body = Vec::new();
    let place = place(message);
    if let (Told::New(sdp), Some(place)) = (told, place) {
        sdp::splice(&mut body, message.body(), place, |out| out.extend_from_slice(sdp));
    }
    let mut writer = Writer::new(out);
    writer.raw(bytes.get(..head).unwrap_or_default());
    writer.splice_headers(message, |name| {
        name != HeaderName::ContentLength && (!body.is_empty() || !is_content(name))
    });
    writer.body(&body);
}

pub(super) fn place(message: &Message<'_>) -> Option<Range<usize>> {
    if message.body().is_empty() || message.has(HeaderName::ContentEncoding) {
        return None;
    }
    let kind = message.header(HeaderName::ContentType).unwrap_or(b"application/sdp");
    sdp::find(kind, message.body())
}
