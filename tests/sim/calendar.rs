//! What happens when: a ring of milliseconds, each with a queue. Those of one moment come in the order in
//! which they were put in, so nothing depends on an address or on a hash.

/// How far ahead an event may lie, in milliseconds.
pub const SPAN_MS: u64 = 1 << 16;

const NONE: u32 = u32::MAX;

pub struct Calendar<E> {
    /// First and last event of each millisecond.
    queues: Vec<(u32, u32)>,
    /// Which milliseconds have events.
    busy: Vec<u64>,
    events: Vec<(E, u32)>,
    free: u32,
    now_ms: u64,
    length: usize,
}

impl<E: Copy> Calendar<E> {
    pub fn new() -> Calendar<E> {
        Calendar {
            queues: vec![(NONE, NONE); SPAN_MS as usize],
            busy: vec![0; SPAN_MS as usize / 64],
            events: Vec::new(),
            free: NONE,
            now_ms: 0,
            length: 0,
        }
    }

    /// Puts an event `after_ms` behind `now_ms`, at most `SPAN_MS - 1`.
    pub fn put(&mut self, now_ms: u64, after_ms: u32, event: E) {
        assert!(u64::from(after_ms) < SPAN_MS, "{after_ms} ms are too far ahead");
        let place = (now_ms + u64::from(after_ms)) as usize % SPAN_MS as usize;
        let slot = match self.free {
            NONE => {
                self.events.push((event, NONE));
                self.events.len() as u32 - 1
            }
            slot => {
                self.free = self.events[slot as usize].1;
                self.events[slot as usize] = (event, NONE);
                slot
            }
        };
        let (first, last) = &mut self.queues[place];
        match *last {
            NONE => *first = slot,
            last => self.events[last as usize].1 = slot,
        }
        *last = slot;
        self.busy[place / 64] |= 1 << (place % 64);
        self.length += 1;
    }

    /// When the next event happens. Events may still be put in before it.
    pub fn next_ms(&self) -> Option<u64> {
        if self.length == 0 {
            return None;
        }
        let mut at_ms = self.now_ms;
        loop {
            let place = at_ms as usize % SPAN_MS as usize;
            let rest = self.busy[place / 64] >> (place % 64);
            if rest != 0 {
                return Some(at_ms + u64::from(rest.trailing_zeros()));
            }
            at_ms += 64 - place as u64 % 64;
        }
    }

    /// Takes the next event of a moment that [`Calendar::next_ms`] named.
    pub fn take(&mut self, now_ms: u64) -> Option<E> {
        let place = now_ms as usize % SPAN_MS as usize;
        let (first, last) = &mut self.queues[place];
        let slot = *first;
        if slot == NONE {
            return None;
        }
        let (event, next) = self.events[slot as usize];
        *first = next;
        if next == NONE {
            *last = NONE;
            self.busy[place / 64] &= !(1 << (place % 64));
        }
        self.events[slot as usize].1 = self.free;
        self.free = slot;
        self.length -= 1;
        Some(event)
    }

    /// Time has gone on to `now_ms`; nothing is left before it.
    pub fn go_on(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }
}
