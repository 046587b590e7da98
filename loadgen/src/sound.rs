//! The sockets of the calls' sound: bound before anything starts, one for each side of a call, so that a
//! server meets as many sources as with real phones. They stay unconnected, for a connected socket would hide
//! what comes from the wrong place.

use crate::call::Origin;
use crate::media::{GRACE_NS, Media};
use crate::os;
use crate::plan::{Party, Plan, Rtp};
use crate::proc;
use crate::rtp::{INTERVAL_NS, PACKET_BYTES};
use crate::rtp_account::Account;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

/// Descriptors besides those of the sound.
const OTHER_DESCRIPTORS: u64 = 64;

/// The sockets of both kinds of sides.
#[derive(Default)]
pub struct Pools {
    pub callers: Vec<UdpSocket>,
    pub called: Vec<UdpSocket>,
}

impl Pools {
    /// As many for who answers as for the callers, whose ports come first. None without sound.
    ///
    /// # Errors
    /// A line that says what is missing, and the cure.
    pub fn bind(plan: &Plan) -> Result<Pools, String> {
        let Some(rtp) = &plan.rtp else { return Ok(Pools::default()) };
        let answerer = match plan.flow.answerer() {
            Some(Party::Callee) => *plan.callee.ip(),
            Some(Party::Target) => *plan.target.ip(),
            None => return Err(format!("nobody answers in --flow {}: no --rtp", plan.flow.name())),
        };
        if plan.hold_ns < INTERVAL_NS {
            return Err("a packet holds 20 ms: --rtp needs calls that are held so long, see --hold".into());
        }
        let needed = u64::from(rtp.ports) * 2 + u64::from(plan.caller_sockets) + OTHER_DESCRIPTORS;
        os::raise_descriptor_limit(needed).map_err(|limit| {
            format!(
                "{} RTP ports for either side need {needed} descriptors, and this process may have {limit}; \
                 raise the hard limit (ulimit -Hn) or ask for fewer with --rtp-ports",
                rtp.ports
            )
        })?;
        Ok(Pools { callers: bind(*plan.caller.ip(), rtp, 0)?, called: bind(answerer, rtp, rtp.ports)? })
    }
}

/// One pool: every second port from the base on, those that are `skipped` left out.
fn bind(ip: Ipv4Addr, rtp: &Rtp, skipped: u16) -> Result<Vec<UdpSocket>, String> {
    let socket = |n: u16| {
        let port = u16::try_from(u32::from(rtp.base) + 2 * (u32::from(skipped) + u32::from(n)))
            .map_err(|_| "the RTP ports end beyond 65535: see --rtp-base and --rtp-ports".to_owned())?;
        let address = SocketAddrV4::new(ip, port);
        os::bind(address).map_err(|error| {
            format!("cannot bind an RTP socket to {address}: {error}; choose other ports with --rtp-base")
        })
    };
    (0..rtp.ports).map(socket).collect()
}

/// How many ports each side needs at least for the calls that the plan has at once, with some to spare.
pub fn ports_for(plan: &Plan) -> u16 {
    const MOST: f64 = 13_000.0;
    let spare_ns = GRACE_NS + 1_000_000_000;
    let call_ns = plan.ring_ns + plan.target_ring_ns + plan.talk_ns() + spare_ns;
    let at_once = plan.rate * call_ns as f64 / 1e9 * 1.1 + 16.0;
    at_once.min(plan.calls as f64).min(MOST) as u16
}

/// The sound of one thread's calls.
pub struct Sound {
    sockets: Vec<UdpSocket>,
    pub media: Media,
}

impl Sound {
    pub fn new(plan: &Plan, origin: Origin, pools: Pools) -> io::Result<Sound> {
        let ports = |sockets: &[UdpSocket]| -> io::Result<Vec<u16>> {
            sockets.iter().map(|socket| Ok(socket.local_addr()?.port())).collect()
        };
        let media = Media::new(plan, origin, &ports(&pools.callers)?, &ports(&pools.called)?);
        let sockets = pools.callers.into_iter().chain(pools.called).collect();
        Ok(Sound { sockets, media })
    }

    pub fn sockets(&self) -> &[UdpSocket] {
        &self.sockets
    }

    /// Sends what is due.
    pub fn handle_timeout(&mut self, now_ns: u64, clock: impl Fn() -> u64) {
        let Sound { sockets, media } = self;
        media.handle_timeout(now_ns, clock, |place, far, packet| sockets[place].send_to(packet, far).is_ok());
    }

    /// Receives one packet from the socket at `place`: if there are more, the next look shows it.
    ///
    /// # Errors
    /// What the kernel says, save for what an earlier packet left (ICMP) and for nothing being there.
    pub fn receive(&mut self, place: usize, clock: impl Fn() -> u64) -> io::Result<()> {
        // One byte more, so that a packet that is too long shows as one.
        let mut buffer = [0; PACKET_BYTES + 1];
        match self.sockets[place].recv_from(&mut buffer) {
            Ok((length, SocketAddr::V4(source))) => {
                self.media.handle_packet(clock(), place, source, &buffer[..length]);
                Ok(())
            }
            Ok((_, SocketAddr::V6(_))) => Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => {
                    Ok(())
                }
                _ => Err(error),
            },
        }
    }

    /// What was counted.
    pub fn into_account(self) -> Option<Box<Account>> {
        let addresses: Vec<SocketAddrV4> = self
            .sockets
            .iter()
            .filter_map(|socket| match socket.local_addr() {
                Ok(SocketAddr::V4(address)) => Some(address),
                _ => None,
            })
            .collect();
        let mut account = self.media.into_account()?;
        account.dropped = proc::datagrams_dropped(&addresses);
        Some(account)
    }
}
