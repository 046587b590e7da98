//! What must hold before a server starts. Each failure is one line: what is wrong, and the cure.

use super::udp::{self, BATCH_MAX};
use super::{NetSettings, ServerError};
use crate::limits::{LISTENERS_MAX, SHARDS_MAX};
use socket2::Socket;
use std::io;
use std::net::SocketAddr;

/// Below this glommio 0.9.0 starts no executor.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Checks settings, CPUs, limits, io_uring and addresses, in this order.
pub(super) fn check(listeners: &[SocketAddr], net: &NetSettings) -> Result<(), ServerError> {
    check_settings(listeners, net)?;
    check_cpus(&net.cpus)?;
    raise_memlock()?;
    check_io_uring()?;
    listeners.iter().try_for_each(|&address| check_free(address))
}

fn failure<T>(line: impl Into<String>) -> Result<T, ServerError> {
    Err(ServerError(line.into()))
}

fn check_settings(listeners: &[SocketAddr], net: &NetSettings) -> Result<(), ServerError> {
    if listeners.is_empty() {
        return failure(
            "there is nothing to listen on; name an address and a port, for example 127.0.0.1:5060",
        );
    }
    if listeners.len() > LISTENERS_MAX {
        return failure(format!("{} listeners; at most {LISTENERS_MAX} are possible", listeners.len()));
    }
    for (index, address) in listeners.iter().enumerate() {
        if address.port() == 0 {
            return failure(format!(
                "{address}: port 0 cannot be shared by the shards nor advertised; name the port"
            ));
        }
        if listeners[..index].contains(address) {
            return failure(format!("{address} is named twice as a listener; name it once"));
        }
    }
    if net.cpus.is_empty() || net.cpus.len() > SHARDS_MAX {
        return failure(format!("{} CPUs for shards; name 1 to {SHARDS_MAX}", net.cpus.len()));
    }
    if net.batch == 0 || net.batch > BATCH_MAX {
        return failure(format!("a batch of {} datagrams; 1 to {BATCH_MAX} are possible", net.batch));
    }
    Ok(())
}

/// CPUs that this process may run on, in ascending order.
///
/// # Errors
/// The kernel's; it has more CPUs than a `cpu_set_t` can name, for instance.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: a CPU set is plain bits; none set is valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the given size into `set`.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let bits = 8 * size_of_val(&set);
    // SAFETY: every index is below the number of bits in `set`.
    Ok((0..bits).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

fn check_cpus(cpus: &[usize]) -> Result<(), ServerError> {
    let allowed = allowed_cpus().map_err(|error| {
        ServerError(format!("the CPUs of this process cannot be read ({error}); start it with `taskset`"))
    })?;
    match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        None => Ok(()),
        Some(cpu) => failure(format!(
            "CPU {cpu} is not one that this process may run on ({}); choose among those, or widen its cpuset \
             (`taskset`, CPUAffinity= in systemd, `--cpuset-cpus` in Docker)",
            ranges(&allowed)
        )),
    }
}

/// `0-3,8` for 0, 1, 2, 3 and 8.
fn ranges(cpus: &[usize]) -> String {
    let mut text = String::new();
    for run in cpus.chunk_by(|&a, &b| b == a + 1) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&match run {
            [one] => one.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => String::new(),
        });
    }
    text
}

/// Raises the soft limit to the hard one when glommio would not start otherwise.
fn raise_memlock() -> Result<(), ServerError> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit`.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    if result != 0 || limit.rlim_cur >= MEMLOCK_BYTES_MIN {
        return Ok(());
    }
    if limit.rlim_max >= MEMLOCK_BYTES_MIN {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        // SAFETY: the kernel reads one `rlimit`.
        if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const raised) } == 0 {
            return Ok(());
        }
    }
    failure(format!(
        "the limit of locked memory is {} KiB and io_uring needs {} KiB; raise it: `ulimit -l {}` as root, \
         LimitMEMLOCK=8M in systemd, `--ulimit memlock=8388608` in Docker",
        limit.rlim_max / 1024,
        MEMLOCK_BYTES_MIN / 1024,
        8 * 1024,
    ))
}

/// Makes the smallest ring and forgets it; in a thread of its own, because the kernel takes a ring down later
/// by interrupting the thread that made it: the caller's next blocking call could fail with EINTR.
fn check_io_uring() -> Result<(), ServerError> {
    match std::thread::Builder::new().spawn(make_ring).map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(line))) => failure(line),
        Ok(Err(_)) => failure("io_uring could not be tried; see the panic above"),
        Err(error) => failure(format!("no thread can be started ({error}); raise `ulimit -u`")),
    }
}

fn make_ring() -> Result<(), String> {
    /// `struct io_uring_params` of the kernel's interface: 120 bytes, zeroes ask for nothing special.
    const PARAMS_BYTES: usize = 120;
    let mut params = [0u64; PARAMS_BYTES / 8];
    // SAFETY: the kernel reads and writes one `io_uring_params`, which `params` holds.
    let descriptor = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1u32, params.as_mut_ptr()) };
    if descriptor >= 0 {
        // SAFETY: the descriptor was just made and nothing else knows it.
        unsafe { libc::close(descriptor as libc::c_int) };
        return Ok(());
    }
    let error = io::Error::last_os_error();
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    Err(io_uring_failure(&error, disabled.trim()))
}

/// The line for a refused io_uring; `disabled` is the value of the sysctl of that name.
fn io_uring_failure(error: &io::Error, disabled: &str) -> String {
    const BLOCKED: &str = "io_uring is blocked, most likely by a container's seccomp profile (Docker's \
        default since version 25); allow it: `--security-opt seccomp=unconfined`, or a profile that permits \
        io_uring_setup, io_uring_enter and io_uring_register";
    const MISSING: &str = "this kernel has no io_uring; Linux 5.8 or later is needed, with CONFIG_IO_URING \
        (a sandbox such as gVisor may hide it too)";
    match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM), "1" | "2") => format!(
            "io_uring is switched off (kernel.io_uring_disabled = {disabled}); allow it: \
             `sysctl -w kernel.io_uring_disabled=0`"
        ),
        (Some(libc::EPERM), _) => BLOCKED.to_owned(),
        (Some(libc::ENOSYS), _) => MISSING.to_owned(),
        _ => {
            format!("io_uring cannot be set up ({error}); see `ulimit -l`, `ulimit -n` and the kernel's log")
        }
    }
}

fn check_free(address: SocketAddr) -> Result<(), ServerError> {
    udp::bind_alone(address).map(drop).map_err(|error| bind_failure(address, &error))
}

/// Makes one shard's sockets.
pub(super) fn bind(listeners: &[SocketAddr], net: &NetSettings) -> Result<Vec<Socket>, ServerError> {
    let bind = |&address: &SocketAddr| {
        udp::bind_shared(address, net.receive_buffer_bytes, net.send_buffer_bytes)
            .map_err(|error| bind_failure(address, &error))
    };
    listeners.iter().map(bind).collect()
}

fn bind_failure(address: SocketAddr, error: &io::Error) -> ServerError {
    let (ip, port) = (address.ip(), address.port());
    ServerError(match error.raw_os_error() {
        Some(libc::EADDRINUSE) => format!(
            "{address}/udp is in use; stop the other server (`ss -lunp 'sport = :{port}'` shows it) or \
             choose another --listen"
        ),
        Some(libc::EADDRNOTAVAIL) => format!(
            "{ip} is not an address of this machine (`ip address` lists them); choose another --listen, and \
             advertise the address that peers see"
        ),
        Some(libc::EACCES) => format!(
            "port {port}/udp of {ip} needs a privilege; grant it (`setcap cap_net_bind_service=+ep`, \
             AmbientCapabilities=CAP_NET_BIND_SERVICE in systemd) or choose a port from 1024 on"
        ),
        Some(libc::EAFNOSUPPORT) => {
            format!("{address}: this machine has no IPv6; choose an IPv4 address for --listen")
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            format!("{address}: no file descriptor is left ({error}); raise `ulimit -n`")
        }
        _ => format!("{address}/udp cannot be bound ({error}); choose another --listen"),
    })
}

/// Warns when the kernel gave a socket smaller buffers than were asked for.
pub(super) fn warn_of_small_buffers(socket: &Socket, net: &NetSettings) {
    let given = [
        ("receive", "rmem_max", net.receive_buffer_bytes, socket.recv_buffer_size()),
        ("send", "wmem_max", net.send_buffer_bytes, socket.send_buffer_size()),
    ];
    for (which, sysctl, asked, given) in given {
        // The kernel doubles what was asked for its own bookkeeping and tells the double.
        let given = given.map_or(asked, |doubled| doubled / 2);
        if given < asked {
            tracing::warn!(
                "the {which} buffer of a socket is {given} bytes, not {asked}; raise it: `sysctl -w \
                 net.core.{sysctl}={asked}`"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_named_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 3, 8]), "0-3,8");
        assert_eq!(ranges(&[5]), "5");
        assert_eq!(ranges(&[0, 2, 4, 5]), "0,2,4-5");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn a_refused_io_uring_names_its_cure() {
        let line = |code, disabled| io_uring_failure(&io::Error::from_raw_os_error(code), disabled);
        assert!(line(libc::EPERM, "2").contains("sysctl -w kernel.io_uring_disabled=0"));
        assert!(line(libc::EPERM, "0").contains("seccomp"));
        assert!(line(libc::EPERM, "").contains("seccomp"));
        assert!(line(libc::ENOSYS, "").contains("5.8"));
        assert!(line(libc::ENOMEM, "0").contains("ulimit -l"));
    }

    #[test]
    fn a_privileged_port_names_its_cure() {
        let error = io::Error::from_raw_os_error(libc::EACCES);
        let line = bind_failure(SocketAddr::from(([127, 0, 0, 1], 80)), &error).0;
        assert!(line.contains("cap_net_bind_service") && !line.contains('\n'), "{line}");
    }
}
