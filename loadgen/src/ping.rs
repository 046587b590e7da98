//! Is anybody there? One OPTIONS before the first call (RFC 3261 §11).

use crate::plan::Plan;
use std::io::ErrorKind;
use std::net::{SocketAddrV4, UdpSocket};
use std::time::Duration;

/// How long each try waits.
const PATIENCE: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(600), Duration::from_millis(1200)];

/// Asks the server for any sign of life. Whatever it answers will do.
///
/// # Errors
/// A line that says that nothing answers, and the cure.
pub fn ping(plan: &Plan) -> Result<(), String> {
    // Calls to a phone of our own have no server to ask.
    if plan.server == plan.callee || plan.server == plan.target {
        return Ok(());
    }
    let address = SocketAddrV4::new(*plan.caller.ip(), 0);
    let socket = UdpSocket::bind(address)
        .and_then(|socket| socket.connect(plan.server).map(|()| socket))
        .map_err(|error| {
            format!(
                "{} cannot be reached from {}: {error}; see --target, --caller-address",
                plan.server,
                address.ip()
            )
        })?;
    let local = socket.local_addr().map_err(|error| error.to_string())?;
    let options = format!(
        "OPTIONS sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bKping{tag}\r\n\
         From: <sip:{number}@{server}>;tag={tag}\r\nTo: <sip:{server}>\r\nCall-ID: ping{tag}@{ip}\r\n\
         CSeq: 1 OPTIONS\r\nContact: <sip:{number}@{local}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        server = plan.server,
        number = plan.callers.nth(0),
        tag = format_args!("{:x}{:x}", std::process::id(), local.port()),
        ip = address.ip(),
    );
    let mut answer = [0; 2048];
    for patience in PATIENCE {
        let heard = socket
            .set_read_timeout(Some(patience))
            .and_then(|()| socket.send(options.as_bytes()))
            .and_then(|_| socket.recv(&mut answer));
        match heard {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
            Err(_) => {}
        }
    }
    Err(format!(
        "nothing answers at {}; start a server with `cargo run --release`, or name another with --target",
        plan.server
    ))
}
