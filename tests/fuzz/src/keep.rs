//! The pool of kept bytes and the slab against a map that holds the same.

use crate::input::Input;
use ringway::keep::{Keep, Kept};
use ringway::slab::{Handle, Slab};

/// A few chunks, so that a full pool is met.
const POOL_BYTES: usize = 1 << 20;

const RECORDS_MAX: u32 = 6;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.one_in(2) { slab(&mut input) } else { pool(&mut input) }
}

fn pool(input: &mut Input<'_>) {
    let mut keep = Keep::new(POOL_BYTES);
    let mut held: Vec<(Kept, Vec<u8>)> = Vec::new();
    let mut number = 0u8;
    while !input.is_empty() {
        if input.one_in(3) && !held.is_empty() {
            let (kept, text) = held.swap_remove(input.below(held.len().min(256)));
            assert_eq!(keep.bytes(&kept), text);
            keep.release(kept);
        } else {
            number = number.wrapping_add(1);
            let text = vec![number; usize::from(input.number()) >> input.below(16)];
            held.extend(keep.keep(&text).map(|kept| (kept, text)));
        }
        assert!(keep.bytes_reserved() <= POOL_BYTES);
        assert_eq!(keep.is_empty(), held.is_empty());
    }
    for (kept, text) in held {
        assert_eq!(keep.bytes(&kept), text);
        keep.release(kept);
    }
    assert!(keep.is_empty());
}

fn slab(input: &mut Input<'_>) {
    let mut slab: Slab<u32> = Slab::new(RECORDS_MAX);
    let mut live: Vec<(Handle, u32)> = Vec::new();
    let mut gone: Vec<Handle> = Vec::new();
    let mut number = 0;
    while !input.is_empty() {
        if input.one_in(2) && !live.is_empty() {
            let (handle, record) = live.swap_remove(input.below(live.len()));
            assert_eq!(slab.remove(handle), Some(record));
            assert_eq!(slab.free_generation(handle.index), Some(handle.generation.wrapping_add(1)));
            gone.push(handle);
        } else {
            number += 1;
            let next = slab.next_handle();
            let handle = slab.insert(number).ok();
            assert_eq!(handle, next);
            assert_eq!(handle.is_some(), live.len() < RECORDS_MAX as usize);
            live.extend(handle.map(|handle| (handle, number)));
        }
        assert_eq!(slab.len(), live.len());
        assert!(live.iter().all(|(handle, record)| slab.get(*handle) == Some(record)));
        assert!(gone.iter().all(|handle| slab.get(*handle).is_none()));
    }
}
