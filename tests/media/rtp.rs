//! A phone's media: a pair of sockets, and packets as they stand on the wire (RFC 3550 §5.1).

use super::{PATIENCE, QUIET};
use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// A-law, as phones offer it first.
pub const PCMA: u8 = 8;
/// DTMF events.
pub const EVENTS: u8 = 101;
pub const HEADER_LENGTH: usize = 12;
/// Samples in 20 ms of G.711: as many bytes.
pub const SAMPLES: usize = 160;

/// One stream of a phone's.
pub struct Line {
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
    pub ssrc: u32,
    sequence: Cell<u16>,
}

impl Line {
    /// An even port and the next one.
    pub fn new(host: IpAddr) -> Line {
        for _ in 0..100 {
            let rtp = UdpSocket::bind((host, 0)).expect("a socket");
            let port = rtp.local_addr().expect("bound").port();
            if port.is_multiple_of(2)
                && let Ok(rtcp) = UdpSocket::bind((host, port + 1))
            {
                // Two streams of a call must not look alike.
                let ssrc = 0xABCD_0000 | u32::from(port);
                return Line { rtp, rtcp, ssrc, sequence: Cell::new(port) };
            }
        }
        panic!("no pair of ports is free on {host}")
    }

    pub fn port(&self) -> u16 {
        self.rtp.local_addr().expect("bound").port()
    }

    /// The next packet of its stream.
    pub fn packet(&self) -> Vec<u8> {
        self.packet_of(PCMA, &[self.sequence.get() as u8; SAMPLES])
    }

    /// The next packet of its stream, with this payload.
    pub fn packet_of(&self, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        packet(payload_type, sequence, self.ssrc, payload)
    }

    /// Leaves out sequence numbers, as if their packets had been lost on the way.
    pub fn lose(&self, count: u16) {
        self.sequence.set(self.sequence.get().wrapping_add(count));
    }

    pub fn send(&self, to: SocketAddr) -> Vec<u8> {
        let packet = self.packet();
        self.rtp.send_to(&packet, to).expect("sent");
        packet
    }

    /// Sends as many packets, 20 ms each.
    pub fn talk(&self, to: SocketAddr, count: usize) {
        for _ in 0..count {
            self.send(to);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The next packet and where it comes from.
    #[track_caller]
    pub fn receive(&self) -> (Vec<u8>, SocketAddr) {
        receive(&self.rtp, PATIENCE).expect("a packet")
    }

    /// Nothing comes.
    #[track_caller]
    pub fn is_quiet(&self) {
        let packet = receive(&self.rtp, QUIET);
        assert!(packet.is_none(), "it hears {packet:?}");
    }

    /// Everything that has come or comes until it is quiet.
    pub fn drain(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| receive(&self.rtp, QUIET)).map(|(packet, _)| packet).collect()
    }
}

/// The next packet on a socket, if one comes in time.
pub fn receive(socket: &UdpSocket, patience: Duration) -> Option<(Vec<u8>, SocketAddr)> {
    socket.set_read_timeout(Some(patience)).expect("a timeout");
    let mut buffer = [0; 2048];
    match socket.recv_from(&mut buffer) {
        Ok((length, source)) => Some((buffer[..length].to_vec(), source)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(error) => panic!("{error}"),
    }
}

/// A packet of RTP without extensions; its timestamp goes with its sequence number.
pub fn packet(payload_type: u8, sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * SAMPLES as u32).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A sender report without report blocks (RFC 3550 §6.4.1).
pub fn sender_report(ssrc: u32) -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6];
    report.extend(ssrc.to_be_bytes());
    report.extend([7; 20]);
    report
}

/// A receiver report with one block (RFC 3550 §6.4.2): what `ssrc` says of the stream `of`.
pub fn receiver_report(ssrc: u32, of: u32, lost: u32, jitter: u32) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7];
    // Fraction and count of what was lost; highest sequence number; jitter; the last sender report's times.
    for word in [ssrc, of, lost, 0, jitter, 0, 0] {
        report.extend(word.to_be_bytes());
    }
    report
}

/// What one sends to the place that it was told comes to the other, byte for byte and in order, from the
/// place that the other was told.
#[track_caller]
pub fn assert_hears(other: (&Line, SocketAddr), one: (&Line, SocketAddr)) {
    for _ in 0..5 {
        let sent = one.0.send(one.1);
        assert_eq!(other.0.receive(), (sent, other.1));
    }
}

/// Both hear each other.
#[track_caller]
pub fn assert_talk(one: (&Line, SocketAddr), other: (&Line, SocketAddr)) {
    assert_hears(other, one);
    assert_hears(one, other);
}
