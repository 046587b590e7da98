//! A server that cannot start says why in one line, with the cure.

#![cfg(feature = "server")]

use ringway::net::{self, NetSettings, Server};
use ringway::settings::{Listener, Settings};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Set in the process that a test starts: the soft and the hard memlock limit to start under, in bytes.
const MEMLOCK: &str = "RINGWAY_TEST_MEMLOCK";

fn net_settings() -> NetSettings {
    NetSettings {
        cpus: vec![net::allowed_cpus().expect("CPUs")[0]],
        batch: 64,
        receive_buffer_bytes: 65_536,
        send_buffer_bytes: 65_536,
        inbox_datagrams: 64,
        drain_timeout: Duration::from_secs(1),
        secret: 1,
        rtp: None,
    }
}

/// Why a server on `addresses` does not start: one line.
fn refusal(addresses: &[SocketAddr], net: NetSettings) -> String {
    let listener = |&address: &SocketAddr| Listener { address, sent_by: address.to_string() };
    let listeners = addresses.iter().map(listener).collect();
    let settings = Arc::new(Settings { listeners, ..Settings::default() });
    let line = Server::start(settings, Arc::default(), net, Arc::default())
        .expect_err("it must not start")
        .to_string();
    assert!(!line.contains('\n'), "more than one line: {line}");
    line
}

fn assert_names(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is missing in: {line}");
    }
}

fn free() -> SocketAddr {
    net::udp::free_address(Ipv4Addr::LOCALHOST.into()).expect("a free port")
}

#[test]
fn a_port_in_use() {
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = other.local_addr().unwrap();
    let line = refusal(&[free(), address], net_settings());
    assert_names(&line, &[&address.to_string(), "in use", "ss -lunp", "--listen"]);
}

#[test]
fn a_port_in_use_by_a_socket_that_shares_it() {
    let other = net::udp::bind_shared((Ipv4Addr::LOCALHOST, 0).into(), 65_536, 65_536).unwrap();
    let address = net::udp::local_address(&other).unwrap();
    assert_names(&refusal(&[address], net_settings()), &[&address.to_string(), "in use"]);
}

#[test]
fn an_address_that_is_not_ours() {
    let line = refusal(&["192.0.2.1:5060".parse().unwrap()], net_settings());
    assert_names(&line, &["192.0.2.1", "not an address of this machine", "--listen", "advertise"]);
}

#[test]
fn port_0_and_other_settings_that_make_no_sense() {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    assert_names(&refusal(&[any_port], net_settings()), &["port 0", "name the port"]);
    assert_names(&refusal(&[], net_settings()), &["nothing to listen on", "127.0.0.1:5060"]);
    let twice = free();
    assert_names(&refusal(&[twice, twice], net_settings()), &["twice"]);
    for batch in [0, 1025] {
        let line = refusal(&[free()], NetSettings { batch, ..net_settings() });
        assert_names(&line, &["1 to 1024"]);
    }
    for cpus in [vec![], vec![0; 256]] {
        let line = refusal(&[free()], NetSettings { cpus, ..net_settings() });
        assert_names(&line, &["1 to 255"]);
    }
}

#[test]
fn a_cpu_that_the_process_may_not_use() {
    let line = refusal(&[free()], NetSettings { cpus: vec![1000], ..net_settings() });
    assert_names(&line, &["CPU 1000", "taskset", "CPUAffinity="]);
}

/// What the other half says under the given limits; it runs in a process of its own.
fn refusal_under(soft: u64, hard: u64) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_half_of_the_memlock_tests", "--nocapture"])
        .env(MEMLOCK, format!("{soft} {hard}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn other_half_of_the_memlock_tests() {
    let Ok(limits) = std::env::var(MEMLOCK) else { return };
    let limits: Vec<u64> = limits.split(' ').map(|limit| limit.parse().unwrap()).collect();
    let limit = libc::rlimit { rlim_cur: limits[0], rlim_max: limits[1] };
    // SAFETY: the kernel reads one `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) }, 0);
    // The address is checked after the limit, so one of the two is the refusal.
    println!("{}", refusal(&["192.0.2.1:5060".parse().unwrap()], net_settings()));
}

#[test]
fn a_memlock_limit_that_is_too_low() {
    let line = refusal_under(64 * 1024, 64 * 1024);
    assert_names(
        &line,
        &["locked memory is 64 KiB", "512 KiB", "ulimit -l", "LimitMEMLOCK=", "--ulimit memlock="],
    );
}

#[test]
fn a_soft_memlock_limit_is_raised_to_the_hard_one() {
    assert_names(&refusal_under(64 * 1024, 1024 * 1024), &["192.0.2.1"]);
}
