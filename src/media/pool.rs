//! Pairs of ports: which are free, whose the others are. A pair that is given back rests before it is used
//! again, so that late packets of the old call do not reach the new one.

use super::{Family, Slot};
use crate::clock::{Deadline, Now};
use crate::slab::Handle;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Pairs of a family that are kept ready, so that calls find ports: those of a few milliseconds of setups.
pub const LOW_WATER: usize = 256;

#[derive(Debug)]
pub struct Pool {
    /// By slot. Apart from the addresses: every packet looks here.
    owners: Vec<Option<Handle>>,
    addresses: Vec<SocketAddr>,
    /// Of each family, whoever may be used first in front.
    free: [VecDeque<Resting>; 2],
    quarantine_ms: u32,
}

#[derive(Clone, Copy, Debug)]
struct Resting {
    slot: Slot,
    until: Deadline,
}

impl Family {
    #[must_use]
    pub const fn of_ip(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    #[must_use]
    pub const fn of(address: &SocketAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

impl Pool {
    pub fn new(quarantine_ms: u32) -> Pool {
        let free = [VecDeque::new(), VecDeque::new()];
        Pool { owners: Vec::new(), addresses: Vec::new(), free, quarantine_ms }
    }

    /// A pair that was never used: it needs no rest.
    pub fn add(&mut self, rtp: SocketAddr) -> Slot {
        let slot = Slot(self.addresses.len() as u32);
        self.addresses.push(rtp);
        self.owners.push(None);
        self.free[Family::of(&rtp) as usize].push_front(Resting { slot, until: Deadline::from_ms(0) });
        slot
    }

    /// How many pairs are missing to the low water mark.
    pub fn wanted(&self, now: Now, family: Family) -> usize {
        let free = &self.free[family as usize];
        if free.get(LOW_WATER - 1).is_some_and(|resting| resting.until.is_due(now)) {
            return 0;
        }
        LOW_WATER - free.partition_point(|resting| resting.until.is_due(now))
    }

    /// The pair that has rested longest, for this owner.
    pub fn take(&mut self, now: Now, family: Family, owner: Handle) -> Option<Slot> {
        let free = &mut self.free[family as usize];
        let slot = free.front().filter(|resting| resting.until.is_due(now))?.slot;
        *self.owners.get_mut(slot.0 as usize)? = Some(owner);
        free.pop_front();
        Some(slot)
    }

    pub fn give_back(&mut self, now: Now, slot: Slot) {
        let Some(owner) = self.owners.get_mut(slot.0 as usize) else { return };
        if owner.take().is_none() {
            return;
        }
        let Some(address) = self.addresses.get(slot.0 as usize) else { return };
        let resting = Resting { slot, until: now.after_ms(self.quarantine_ms) };
        self.free[Family::of(address) as usize].push_back(resting);
    }

    #[inline]
    pub fn owner(&self, slot: Slot) -> Option<Handle> {
        self.owners.get(slot.0 as usize).copied().flatten()
    }

    pub fn address(&self, slot: Slot) -> Option<SocketAddr> {
        self.addresses.get(slot.0 as usize).copied()
    }
}
