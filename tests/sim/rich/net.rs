//! The network of a world whose messages are bytes: the same faults as the other's.

use super::super::calendar::{Calendar, SPAN_MS};
use super::super::rng::Rng;
use super::super::setup::Network as Weather;
use super::counts::Counts;
use std::net::SocketAddr;

/// What wakes a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A request again, by its number, and how often it was sent.
    Again(u16, u8),
    /// Nobody has answered a request, by its number.
    GiveUp(u16),
    /// A final response without its ACK, by its number.
    FinalAgain(u16, u8),
    /// A reliable provisional response without its PRACK.
    RelAgain(u16, u8),
    /// A step of a callee's script.
    Step(u8),
    /// A step in the dialog.
    Act(u8),
    /// The 491 was long enough ago: a request again, by its number.
    Retry(u16),
    /// The final response to a request, by its number, and its status.
    Reply(u16, u16),
    /// A CANCEL for a request.
    Cancel(u16),
    CancelAgain(u16, u8),
    Notify(u8),
    /// The session has to be refreshed, in a dialog.
    Refresh(u8, u16),
}

#[derive(Clone, Copy)]
pub struct Wake {
    pub call: u32,
    pub place: u8,
    pub what: What,
    pub due_ms: u64,
}

#[derive(Clone, Copy)]
pub enum Event {
    Begin(u32),
    ToServer(u32),
    ToPeer(u32),
    Wake(Wake),
}

/// A datagram on its way.
#[derive(Clone)]
pub struct Datagram {
    pub call: u32,
    pub place: u8,
    /// The peer's address, or that of the proxy before it.
    pub address: SocketAddr,
    pub bytes: Vec<u8>,
}

pub struct Net {
    pub calendar: Calendar<Event>,
    pub now_ms: u64,
    pub lost: u64,
    pub counts: Counts,
    weather: Weather,
    on_way: Vec<Datagram>,
    free: Vec<u32>,
}

impl Net {
    pub fn new(weather: Weather) -> Net {
        Net {
            calendar: Calendar::new(),
            now_ms: 0,
            lost: 0,
            counts: Counts::default(),
            weather,
            on_way: Vec::new(),
            free: Vec::new(),
        }
    }

    pub fn wake(&mut self, call: u32, place: u8, what: What, after_ms: u32) {
        let wake = Wake { call, place, what, due_ms: self.now_ms + u64::from(after_ms) };
        self.put_wake(wake);
    }

    /// The calendar does not reach far: a far event is put in again on its way. `false`: it is due.
    pub fn put_off(&mut self, wake: Wake) -> bool {
        let far = wake.due_ms > self.now_ms;
        if far {
            self.put_wake(wake);
        }
        far
    }

    fn put_wake(&mut self, wake: Wake) {
        let after_ms = (wake.due_ms - self.now_ms).min(SPAN_MS - 1);
        self.calendar.put(self.now_ms, after_ms as u32, Event::Wake(wake));
    }

    /// Sends a datagram; `false`: every copy of it is lost.
    pub fn carry(&mut self, rng: &mut Rng, to_peer: bool, datagram: Datagram) -> bool {
        let copies = 1 + u32::from(rng.chance(self.weather.duplication));
        let mut carried = false;
        for _ in 0..copies {
            if rng.chance(self.weather.loss) {
                continue;
            }
            let straggles = rng.chance(self.weather.straggling);
            let more_ms = if straggles { rng.below(self.weather.straggling_ms) } else { 0 };
            let after_ms = rng.below(self.weather.jitter_ms + 1) + more_ms;
            let slot = self.keep(&datagram);
            let event = if to_peer { Event::ToPeer(slot) } else { Event::ToServer(slot) };
            self.calendar.put(self.now_ms, after_ms, event);
            carried = true;
        }
        self.lost += u64::from(!carried);
        carried
    }

    fn keep(&mut self, datagram: &Datagram) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.on_way[slot as usize].clone_from(datagram);
                slot
            }
            None => {
                self.on_way.push(datagram.clone());
                self.on_way.len() as u32 - 1
            }
        }
    }

    pub fn take(&mut self, slot: u32) -> Datagram {
        self.free.push(slot);
        let empty = Datagram { bytes: Vec::new(), ..self.on_way[slot as usize] };
        std::mem::replace(&mut self.on_way[slot as usize], empty)
    }
}
