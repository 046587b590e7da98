//! Page-aligned, pre-faulted memory that the kernel may back by huge pages: the receive slots lie in it.

use std::io;
use std::ptr::NonNull;

/// A huge page on x86-64 and on AArch64 with 4 KiB pages.
const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

const PAGE_BYTES: usize = 4096;

/// Zeroed memory of its own, aligned to a huge page, touched once so that no page fault waits on the data
/// path.
#[derive(Debug)]
pub(super) struct Arena {
    mapping: NonNull<u8>,
    mapping_bytes: usize,
    base: NonNull<u8>,
    bytes: usize,
}

impl Arena {
    /// Maps `bytes` bytes.
    pub(super) fn new(bytes: usize) -> io::Result<Arena> {
        let mapping_bytes = bytes + HUGE_PAGE_BYTES;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let mapping = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapping_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if mapping == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapping = NonNull::new(mapping.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: `align_offset` is below HUGE_PAGE_BYTES, so base and base + bytes stay inside the mapping.
        let base = unsafe { mapping.add(mapping.as_ptr().align_offset(HUGE_PAGE_BYTES)) };
        let arena = Arena { mapping, mapping_bytes, base, bytes };
        // SAFETY: the range lies in our own mapping. A refusal (no huge pages here) costs speed only.
        unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        for offset in (0..bytes).step_by(PAGE_BYTES) {
            // SAFETY: offset < bytes, so the byte lies in our own mapping, which nothing else uses yet.
            unsafe { base.add(offset).write_volatile(0) };
        }
        Ok(arena)
    }

    /// The first of `bytes` bytes at `offset`, for the kernel to write through.
    ///
    /// # Panics
    /// When the range leaves the arena: a mistake of the caller's sums.
    pub(super) fn pointer(&self, offset: usize, bytes: usize) -> *mut u8 {
        assert!(offset + bytes <= self.bytes, "a slot leaves the arena");
        // SAFETY: checked above.
        unsafe { self.base.add(offset).as_ptr() }
    }

    /// `bytes` bytes at `offset`.
    ///
    /// # Panics
    /// As [`Arena::pointer`].
    pub(super) fn slice(&mut self, offset: usize, bytes: usize) -> &mut [u8] {
        let start = self.pointer(offset, bytes);
        // SAFETY: the range is inside the mapping, always initialised (zero or written by the kernel), and
        // borrowed from `self` alone.
        unsafe { std::slice::from_raw_parts_mut(start, bytes) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no slice of it outlives `self`.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapping_bytes) };
    }
}
