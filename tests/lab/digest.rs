//! A phone's side of digest authentication, by the letter of RFC 7616 and without the product's code.

use super::Lab;
use super::caller::{Caller, Invite};
use super::peer::{Peer, Setup};
use super::sip::Sip;
use md5::Md5;
use sha2::{Digest, Sha256};

/// The realm where no other is set.
pub const REALM: &str = "ringway";

/// A password that tells its number.
pub fn password(peer: Peer) -> String {
    format!("secret of {}", peer.number)
}

/// Gives a peer its password.
pub fn set_password(setup: &mut Setup, peer: Peer) {
    let ha1 = |algorithm| hash(algorithm, &format!("{}:{REALM}:{}", peer.number, password(peer)));
    let credentials = ringway::directory::Credentials {
        sha256: bytes(&ha1("SHA-256")).try_into().expect("32 bytes"),
        md5: bytes(&ha1("MD5")).try_into().expect("16 bytes"),
    };
    setup.subscriber(peer).credentials = Some(Box::new(credentials));
}

/// A laboratory in which everyone must authenticate and each of these has its password.
pub fn guarded(peers: &[Peer], change: impl FnOnce(&mut Setup)) -> Lab {
    Lab::with(|setup| {
        setup.settings.auth.required = true;
        peers.iter().for_each(|&peer| set_password(setup, peer));
        change(setup);
    })
}

/// One WWW-Authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub realm: String,
    pub nonce: String,
    pub algorithm: String,
    pub qop: String,
    pub stale: bool,
}

impl Challenge {
    /// The challenges of a 401 in their order.
    pub fn all(response: &Sip) -> Vec<Challenge> {
        response.all("WWW-Authenticate").into_iter().map(Challenge::read).collect()
    }

    /// The first of them.
    #[track_caller]
    pub fn first(response: &Sip) -> Challenge {
        Challenge::all(response).into_iter().next().expect("a challenge")
    }

    fn read(value: &str) -> Challenge {
        let parameters = value.strip_prefix("Digest ").expect("a digest challenge");
        let find = |name: &str| {
            let value = parameters.split(", ").find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default().trim_matches('"').to_owned()
        };
        Challenge {
            realm: find("realm"),
            nonce: find("nonce"),
            algorithm: find("algorithm"),
            qop: find("qop"),
            stale: find("stale") == "true",
        }
    }
}

/// What a phone answers a challenge with; each part may be made wrong.
#[derive(Clone, Debug)]
pub struct Answer {
    pub challenge: Challenge,
    pub username: String,
    pub password: String,
    pub method: String,
    pub uri: String,
    pub nc: u32,
}

impl Answer {
    /// The right one, for a request of a peer's.
    pub fn new(challenge: &Challenge, peer: Peer, request: &Invite) -> Answer {
        Answer {
            challenge: challenge.clone(),
            username: peer.number.into(),
            password: password(peer),
            method: request.method.clone(),
            uri: request.request_uri.clone(),
            nc: 1,
        }
    }

    pub fn nc(mut self, nc: u32) -> Answer {
        self.nc = nc;
        self
    }

    pub fn password(mut self, password: &str) -> Answer {
        self.password = password.into();
        self
    }

    pub fn username(mut self, username: &str) -> Answer {
        self.username = username.into();
        self
    }

    /// The whole header line.
    pub fn line(&self) -> String {
        let Challenge { realm, nonce, algorithm, .. } = &self.challenge;
        let Answer { username, password, method, uri, nc, .. } = self;
        let hash = |text: String| hash(algorithm, &text);
        let (ha1, ha2) = (hash(format!("{username}:{realm}:{password}")), hash(format!("{method}:{uri}")));
        let response = hash(format!("{ha1}:{nonce}:{nc:08x}:0a4f113b:auth:{ha2}"));
        format!(
            "Authorization: Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"{uri}\", response=\"{response}\", algorithm={algorithm}, cnonce=\"0a4f113b\", qop=auth, \
             nc={nc:08x}"
        )
    }
}

/// Sends a request, takes the 401 and acknowledges it where it must be.
#[track_caller]
pub fn challenged(lab: &mut Lab, request: &Invite) -> Challenge {
    Challenge::first(&refused(lab, request, 401))
}

/// Sends a request, takes the refusal and acknowledges it where it must be.
#[track_caller]
pub fn refused(lab: &mut Lab, request: &Invite, status: u16) -> Sip {
    let caller = request.clone().send(lab);
    if request.method == "INVITE" {
        return caller.refused(lab, status);
    }
    lab.expect(request.peer, &format!("{status} {}", request.method))
}

/// The same request again with an answer: the next CSeq, a new branch (RFC 3261 §22.2).
pub fn again(lab: &mut Lab, request: &Invite, line: &str) -> Invite {
    let serial = lab.serial();
    let mut again = request.clone();
    again.cseq += 1;
    again.via = format!("SIP/2.0/UDP {};rport;branch=z9hG4bKagain{serial}", request.peer.address);
    again.lines.retain(|line| !line.starts_with("Authorization:"));
    again.line(line)
}

/// Sends an INVITE, answers the challenge and becomes the caller; the 100 is what comes next.
#[track_caller]
pub fn authenticated(lab: &mut Lab, invite: Invite) -> Caller {
    let challenge = challenged(lab, &invite);
    let line = Answer::new(&challenge, invite.peer, &invite).line();
    again(lab, &invite, &line).send(lab)
}

fn hash(algorithm: &str, text: &str) -> String {
    match algorithm {
        "SHA-256" => digits(&Sha256::digest(text)),
        "MD5" => digits(&Md5::digest(text)),
        other => panic!("no phone knows {other}"),
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect()
}
