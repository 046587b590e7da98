//! The core as a shard's loop sees it.

use crate::clock::{Deadline, Now, UnixMs};
use crate::mail::Mail;
use crate::media::Media;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::shard::{Datagram, Owner, Shard};

/// What the loop needs of the core: [`Shard`], and in the shell's tests an echo.
pub(super) trait Core: 'static {
    fn handle_datagram(&mut self, now: Now, datagram: Datagram<'_>) -> Owner;
    fn handle_timeout(&mut self, now: Now);
    fn handle_mail(&mut self, now: Now, mail: Mail);
    fn poll_timeout(&self) -> Option<Deadline>;
    fn set_calendar(&mut self, calendar: UnixMs);
    fn drain(&mut self);
    fn close(&mut self, now: Now);
    fn calls(&self) -> usize;
    fn unfinished(&self) -> usize;
    fn unrecorded(&self) -> usize;
    fn outbox(&mut self) -> &mut Outbox;
    fn metrics(&self) -> &Metrics;

    /// The media that it has the shell move; `None`: it has none.
    fn media(&mut self) -> Option<&mut Media> {
        None
    }
}

impl Core for Shard {
    fn handle_datagram(&mut self, now: Now, datagram: Datagram<'_>) -> Owner {
        Shard::handle_datagram(self, now, datagram)
    }

    fn handle_timeout(&mut self, now: Now) {
        Shard::handle_timeout(self, now);
    }

    fn handle_mail(&mut self, now: Now, mail: Mail) {
        Shard::handle_mail(self, now, mail);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Shard::poll_timeout(self)
    }

    fn set_calendar(&mut self, calendar: UnixMs) {
        Shard::set_calendar(self, calendar);
    }

    fn drain(&mut self) {
        Shard::drain(self);
    }

    fn close(&mut self, now: Now) {
        Shard::close(self, now);
    }

    fn calls(&self) -> usize {
        Shard::calls(self)
    }

    fn unfinished(&self) -> usize {
        Shard::unfinished(self)
    }

    fn unrecorded(&self) -> usize {
        Shard::unrecorded(self)
    }

    fn outbox(&mut self) -> &mut Outbox {
        Shard::outbox(self)
    }

    fn metrics(&self) -> &Metrics {
        Shard::metrics(self)
    }

    fn media(&mut self) -> Option<&mut Media> {
        Some(Shard::media(self))
    }
}
