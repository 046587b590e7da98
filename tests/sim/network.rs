//! The network between the peers and the server: loss, duplication, reordering, delay, cut links.

use super::calendar::Calendar;
use super::call::{Call, Kind, Parcel, Timer};
use super::setup;
use super::trace::Fate;

/// What happens next.
#[derive(Clone, Copy)]
pub enum Event {
    /// The next call begins.
    Begin(u32),
    /// A message reaches the server.
    Arrive(Parcel),
    /// A message reaches its peer.
    Deliver(Parcel),
    Wake {
        call: u32,
        who: u8,
        timer: Timer,
        attempt: u8,
    },
}

pub struct Network {
    pub calendar: Calendar<Event>,
    pub now_ms: u64,
    pub datagrams_lost: u64,
    setup: setup::Network,
}

impl Network {
    pub fn new(setup: setup::Network) -> Network {
        Network { calendar: Calendar::new(), now_ms: 0, datagrams_lost: 0, setup }
    }

    /// Wakes a peer later.
    pub fn wake(&mut self, call: u32, who: u8, timer: Timer, attempt: u8, after_ms: u32) {
        self.calendar.put(self.now_ms, after_ms, Event::Wake { call, who, timer, attempt });
    }

    /// A peer's message to the server.
    pub fn send(&mut self, call: &mut Call, who: u8, kind: Kind) {
        let parcel = Parcel { call: call.index, who, kind };
        if !self.carry(call, who, Event::Arrive(parcel)) {
            call.trace.push(self.now_ms, who, Fate::InLost, kind);
        }
    }

    /// The server's message to a peer.
    pub fn send_to_peer(&mut self, call: &mut Call, parcel: Parcel) {
        let carried = self.carry(call, parcel.who, Event::Deliver(parcel));
        let fate = if carried { Fate::Out } else { Fate::OutLost };
        call.trace.push(self.now_ms, parcel.who, fate, parcel.kind);
    }

    /// `false`: every copy is lost.
    fn carry(&mut self, call: &mut Call, who: u8, event: Event) -> bool {
        let copies = 1 + u32::from(call.rng.chance(self.setup.duplication));
        let cut = call.is_cut(who, self.now_ms);
        let mut carried = false;
        for _ in 0..copies {
            if cut || call.rng.chance(self.setup.loss) {
                continue;
            }
            let straggles = call.rng.chance(self.setup.straggling);
            let more_ms = if straggles { call.rng.below(self.setup.straggling_ms) } else { 0 };
            let after_ms = call.rng.below(self.setup.jitter_ms + 1) + more_ms;
            self.calendar.put(self.now_ms, after_ms, event);
            carried = true;
        }
        self.datagrams_lost += u64::from(!carried);
        carried
    }
}
