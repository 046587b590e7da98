//! The timing wheel: hierarchical, slab-indexed, no clock inside.
//!
//! Time is cut into ticks of 8 ms; a deadline is rounded up to one. The near level has a list of timers for
//! each of the next 4,096 ticks (32.77 s: it covers 64·T1 = 32 s, so no timer of RFC 3261 §17 ever moves).
//! The far level has a list for each of the next 4,096 blocks of 64 ticks (35 minutes: no-answer and
//! session timers); a block moves to the near level when its first tick comes. A deadline beyond that waits
//! in the last block and is placed anew from there. A bitmap for each level finds the next list that is not
//! empty, so an idle gap of any length costs nothing.
//!
//! Far blocks are half a second wide, and not 32 s, so that what moves at once is what fires within the
//! same half second.

use crate::clock::{Deadline, Now};

/// Milliseconds in a tick.
const TICK_MS: u64 = 8;

/// Lists in a level: 64 words of 64 bits, told apart by one summary word.
const LISTS_PER_LEVEL: u64 = 64 * 64;

/// Ticks in a block of the far level.
const BLOCK_TICKS: u64 = 64;

/// No node: ends a list.
const NIL: u32 = u32::MAX;

const _: () = assert!(LISTS_PER_LEVEL * TICK_MS > 64 * 500);
const _: () = assert!(2 * LISTS_PER_LEVEL <= u16::MAX as u64);
const _: () = assert!(BLOCK_TICKS < LISTS_PER_LEVEL);

/// A timer that is armed. Stale handles are told by their generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerHandle {
    index: u32,
    generation: u32,
}

impl TimerHandle {
    /// A handle that no wheel ever gives out: "not armed".
    pub const NONE: TimerHandle = TimerHandle { index: NIL, generation: 0 };
}

/// Timers with a payload of type `T` (a record's key), due at a [`Deadline`].
pub struct Wheel<T> {
    nodes: Vec<Node<T>>,
    capacity: usize,
    armed: usize,
    /// First of the nodes that are free, chained by `next`.
    free: u32,
    /// The near level's lists, then the far level's.
    lists: Box<[List]>,
    near: Occupancy,
    far: Occupancy,
    /// The earliest tick that may still hold timers. The block that it lies in has left the far level, so
    /// near lists are the ticks `cursor..cursor + 4096` and far lists the blocks after the cursor's.
    cursor: u64,
}

struct Node<T> {
    tick: u64,
    prev: u32,
    next: u32,
    /// Counts how often the node was freed.
    generation: u32,
    list: u16,
    payload: T,
}

#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

const EMPTY: List = List { head: NIL, tail: NIL };

impl<T: Copy> Wheel<T> {
    /// A wheel that holds at most `capacity` timers. Memory is reserved, not touched.
    #[must_use]
    pub fn new(capacity: usize) -> Wheel<T> {
        let capacity = capacity.min(NIL as usize);
        Wheel {
            nodes: Vec::with_capacity(capacity),
            capacity,
            armed: 0,
            free: NIL,
            lists: vec![EMPTY; 2 * LISTS_PER_LEVEL as usize].into_boxed_slice(),
            near: Occupancy::new(),
            far: Occupancy::new(),
            cursor: 0,
        }
    }

    /// Arms a timer; `None` when the wheel is full. A deadline in the past fires at the next `next_due`.
    pub fn insert(&mut self, deadline: Deadline, payload: T) -> Option<TimerHandle> {
        let index = self.allocate(payload)?;
        self.armed += 1;
        self.link(index, tick_of(deadline));
        Some(TimerHandle { index, generation: self.nodes[index as usize].generation })
    }

    /// Disarms; `false` when the handle is stale or `NONE`.
    pub fn cancel(&mut self, handle: TimerHandle) -> bool {
        if !self.is_armed(handle) {
            return false;
        }
        self.unlink(handle.index);
        self.release(handle.index);
        true
    }

    /// Moves an armed timer to another deadline in place; `false` when the handle is stale.
    pub fn rearm(&mut self, handle: TimerHandle, deadline: Deadline) -> bool {
        if !self.is_armed(handle) {
            return false;
        }
        self.unlink(handle.index);
        self.link(handle.index, tick_of(deadline));
        true
    }

    /// Takes the next timer that is due at `now`, or `None`. Never earlier than its deadline, at most one
    /// tick (8 ms) later than the first call at or after it. Call until `None`. Timers come in the order of
    /// their ticks; `now` may stand still or jump by any amount.
    pub fn next_due(&mut self, now: Now) -> Option<T> {
        let now_tick = now.as_ms() / TICK_MS;
        while let Some(event) = self.next_event() {
            if event.tick() > now_tick {
                break;
            }
            self.cursor = event.tick();
            match event {
                Event::Block(block) => self.move_near(block),
                Event::Tick(tick) => return self.take_first(near_list(tick)),
            }
        }
        self.cursor = self.cursor.max(now_tick);
        None
    }

    /// A moment at or before the earliest deadline, rounded up to the tick, at which it is worth calling
    /// `next_due`; `None` when empty. Where that deadline had passed when it was armed: at or before the
    /// last `now`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.next_event().map(|event| Deadline::from_ms(event.tick().saturating_mul(TICK_MS)))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.armed
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_armed(&self, handle: TimerHandle) -> bool {
        self.nodes.get(handle.index as usize).is_some_and(|node| node.generation == handle.generation)
    }

    /// A node that is in no list; its tick and links mean nothing yet.
    fn allocate(&mut self, payload: T) -> Option<u32> {
        if self.free != NIL {
            let index = self.free;
            let node = &mut self.nodes[index as usize];
            self.free = node.next;
            node.payload = payload;
            return Some(index);
        }
        if self.nodes.len() == self.capacity {
            return None;
        }
        let index = self.nodes.len() as u32;
        self.nodes.push(Node { tick: 0, prev: NIL, next: NIL, generation: 0, list: 0, payload });
        Some(index)
    }

    /// Frees a node that is in no list; handles to it are stale from now on.
    fn release(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        node.generation = node.generation.wrapping_add(1);
        node.next = self.free;
        self.free = index;
        self.armed -= 1;
    }

    /// Puts a node at the end of the list that `tick` belongs to, seen from the cursor.
    fn link(&mut self, index: u32, tick: u64) {
        let due = tick.max(self.cursor);
        let list = if due - self.cursor < LISTS_PER_LEVEL {
            near_list(due)
        } else {
            let last = self.cursor / BLOCK_TICKS + LISTS_PER_LEVEL - 1;
            far_list((tick / BLOCK_TICKS).min(last))
        };
        let tail = std::mem::replace(&mut self.lists[list].tail, index);
        if tail == NIL {
            self.lists[list].head = index;
            self.occupancy(list).set(list as u64 % LISTS_PER_LEVEL);
        } else {
            self.nodes[tail as usize].next = index;
        }
        let node = &mut self.nodes[index as usize];
        node.tick = tick;
        node.list = list as u16;
        node.prev = tail;
        node.next = NIL;
    }

    fn unlink(&mut self, index: u32) {
        let Node { prev, next, list, .. } = self.nodes[index as usize];
        let list = list as usize;
        match prev {
            NIL => self.lists[list].head = next,
            prev => self.nodes[prev as usize].next = next,
        }
        match next {
            NIL => self.lists[list].tail = prev,
            next => self.nodes[next as usize].prev = prev,
        }
        if prev == NIL && next == NIL {
            self.occupancy(list).clear(list as u64 % LISTS_PER_LEVEL);
        }
    }

    /// Fires the first timer of a list.
    fn take_first(&mut self, list: usize) -> Option<T> {
        let index = self.lists[list].head;
        let payload = self.nodes.get(index as usize)?.payload;
        self.unlink(index);
        self.release(index);
        Some(payload)
    }

    /// Places a block's timers anew; the cursor stands at the block's first tick.
    fn move_near(&mut self, block: u64) {
        let list = far_list(block);
        let mut index = std::mem::replace(&mut self.lists[list], EMPTY).head;
        self.far.clear(block % LISTS_PER_LEVEL);
        while index != NIL {
            let Node { next, tick, .. } = self.nodes[index as usize];
            self.link(index, tick);
            index = next;
        }
    }

    /// What stands next on the wheel, at whatever time. A block goes before the tick that it starts with.
    fn next_event(&self) -> Option<Event> {
        let block = self.cursor / BLOCK_TICKS;
        let tick = self.near.distance_from(self.cursor).map(|distance| self.cursor + distance);
        let block = self.far.distance_from(block).map(|distance| block + distance);
        match (tick, block) {
            (Some(tick), Some(block)) if tick < block * BLOCK_TICKS => Some(Event::Tick(tick)),
            (_, Some(block)) => Some(Event::Block(block)),
            (Some(tick), None) => Some(Event::Tick(tick)),
            (None, None) => None,
        }
    }

    fn occupancy(&mut self, list: usize) -> &mut Occupancy {
        if list < LISTS_PER_LEVEL as usize { &mut self.near } else { &mut self.far }
    }
}

/// Something that is to be done when a tick comes.
#[derive(Clone, Copy)]
enum Event {
    /// This tick's timers fire.
    Tick(u64),
    /// This block's timers move to the near level.
    Block(u64),
}

impl Event {
    const fn tick(self) -> u64 {
        match self {
            Event::Tick(tick) => tick,
            Event::Block(block) => block * BLOCK_TICKS,
        }
    }
}

const fn tick_of(deadline: Deadline) -> u64 {
    deadline.as_ms().div_ceil(TICK_MS)
}

const fn near_list(tick: u64) -> usize {
    (tick % LISTS_PER_LEVEL) as usize
}

const fn far_list(block: u64) -> usize {
    (LISTS_PER_LEVEL + block % LISTS_PER_LEVEL) as usize
}

/// Which of a level's 4,096 lists hold timers. Positions are taken modulo 4,096.
struct Occupancy {
    words: [u64; 64],
    /// Which words are not zero.
    summary: u64,
}

impl Occupancy {
    const fn new() -> Occupancy {
        Occupancy { words: [0; 64], summary: 0 }
    }

    fn set(&mut self, position: u64) {
        let word = position / 64 % 64;
        self.words[word as usize] |= 1 << (position % 64);
        self.summary |= 1 << word;
    }

    fn clear(&mut self, position: u64) {
        let word = position / 64 % 64;
        self.words[word as usize] &= !(1 << (position % 64));
        if self.words[word as usize] == 0 {
            self.summary &= !(1 << word);
        }
    }

    /// How far the first set position at or after `start` is from it, going round once.
    fn distance_from(&self, start: u64) -> Option<u64> {
        let word = start / 64 % 64;
        let rest = self.words[word as usize] >> (start % 64);
        if rest != 0 {
            return Some(u64::from(rest.trailing_zeros()));
        }
        // Bit 0 is now the next word and bit 63 the start's own, whose set bits all lie before the start.
        let round = self.summary.rotate_right(word as u32 + 1);
        if round == 0 {
            return None;
        }
        let found = (word + 1 + u64::from(round.trailing_zeros())) % 64;
        let position = found * 64 + u64::from(self.words[found as usize].trailing_zeros());
        Some(position.wrapping_sub(start) % LISTS_PER_LEVEL)
    }
}
