//! What is asked of the operating system: the CPUs allowed, and a secret.

use std::io;

/// 8,192 CPUs, the most that any kernel is built for.
const CPU_MASK_WORDS: usize = 128;

/// The CPUs that this process may run on, in ascending order.
pub fn cpus_allowed() -> io::Result<Vec<usize>> {
    let mut mask = [0u64; CPU_MASK_WORDS];
    // SAFETY: the pointer is to `size_of_val(&mask)` writable bytes, aligned as the kernel's unsigned long;
    // the call writes no more than that.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let is_set = |cpu: &usize| mask[cpu / 64] >> (cpu % 64) & 1 == 1;
    Ok((0..CPU_MASK_WORDS * 64).filter(is_set).collect())
}

/// 64 bits that nobody can guess, from the system's generator.
pub fn secret() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the pointer is to `bytes.len()` writable bytes. Up to 256 bytes come whole (getrandom(2)).
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(got) {
        Ok(got) if got == bytes.len() => Ok(u64::from_ne_bytes(bytes)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_names_cpus_and_gives_secrets() {
        let cpus = cpus_allowed().expect("CPUs");
        assert!(!cpus.is_empty() && cpus.is_sorted());
        assert_ne!(secret().expect("a secret"), secret().expect("another"));
    }
}
