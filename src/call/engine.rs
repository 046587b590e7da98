use super::{Calls, Signalling};
use crate::mail::EngineFailed;
use crate::slab::Handle;

impl Calls {
    pub fn engine_said(&mut self, on: &mut Signalling, _: Handle, _: Result<Box<[u8]>, EngineFailed>) {
        on.context.metrics.late_mail += 1;
    }
}
