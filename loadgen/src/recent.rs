//! Which INVITEs came lately: tells a retransmission from a new leg, also when the leg is over. A fixed table
//! that forgets the oldest of a line of four; no deletion, no growth.

use crate::slab::Handle;

const LINES: usize = 1 << 16;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    keys: [u64; 4],
    handles: [Handle; 4],
}

pub struct Recent {
    lines: Vec<Line>,
    /// Takes turns among a line's four places.
    turn: usize,
}

impl Recent {
    pub fn new() -> Recent {
        let empty = Line { keys: [0; 4], handles: [Handle::from_bits(0); 4] };
        Recent { lines: vec![empty; LINES], turn: 0 }
    }

    /// The leg that was made for this key, whether it still lives or not.
    pub fn find(&self, key: u64) -> Option<Handle> {
        let line = &self.lines[key as usize % LINES];
        line.keys.iter().position(|held| *held == key).map(|place| line.handles[place])
    }

    pub fn insert(&mut self, key: u64, handle: Handle) {
        let line = &mut self.lines[key as usize % LINES];
        let place = line.keys.iter().position(|held| *held == 0).unwrap_or(self.turn % 4);
        self.turn = self.turn.wrapping_add(1);
        line.keys[place] = key;
        line.handles[place] = handle;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_four_and_forgets_then() {
        let mut recent = Recent::new();
        let keys: Vec<u64> = (1..=5).map(|n| n * LINES as u64 + 9).collect();
        for key in &keys {
            recent.insert(*key, Handle::from_bits(*key));
        }
        let found = keys.iter().filter(|key| recent.find(**key) == Some(Handle::from_bits(**key))).count();
        assert_eq!(found, 4);
        assert_eq!(recent.find(keys[4]), Some(Handle::from_bits(keys[4])), "the newest is there");
        assert_eq!(recent.find(10), None);
    }
}
