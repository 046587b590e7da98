//! Pairs of sockets: RTP on an even port, RTCP on the next.

use crate::net::name::Name;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

/// The code point's place in the byte of IPv4's type of service and IPv6's traffic class.
const DSCP_SHIFT: u32 = 2;

/// Binds a pair, for nobody else to share. Buffers are as large as the kernel makes them (212,992 bytes as a
/// rule, some hundred packets of voice), and so is what it does with packets that are too long for a link.
///
/// # Errors
/// The kernel's: something else has one of the ports, the address is not ours, no descriptor is left.
pub fn bind_pair(local: IpAddr, rtp_port: u16, dscp: u8) -> io::Result<[Socket; 2]> {
    let rtcp_port = rtp_port.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
    Ok([bind(SocketAddr::new(local, rtp_port), dscp)?, bind(SocketAddr::new(local, rtcp_port), dscp)?])
}

fn bind(address: SocketAddr, dscp: u8) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
    let class = u32::from(dscp) << DSCP_SHIFT;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(class)?;
    } else {
        socket.set_tos_v4(class)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Sends a packet unless the socket is full. Returns whether the kernel took it.
pub fn send(socket: BorrowedFd<'_>, destination: SocketAddr, packet: &[u8]) -> bool {
    let mut name = Name::EMPTY;
    let length = name.set(destination);
    // SAFETY: the kernel reads `packet` and as much of `name` as is set.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            libc::MSG_DONTWAIT,
            (&raw const name).cast(),
            length,
        )
    };
    sent >= 0
}
