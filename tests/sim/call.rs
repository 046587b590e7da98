//! One simulated call: its caller, its callees, what the network does to it, and the last that was said.

use super::callee::Callee;
use super::caller::Caller;
use super::rng::Rng;
use super::setup::Setup;
use super::trace::Ring;
use ringway::sip::Method;

/// The caller's place; callees count from 0.
pub const CALLER: u8 = 255;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request(Method),
    Response(u16, Method),
}

/// A message on its way, and whose it is: all that peers need, and all it takes to write it.
#[derive(Clone, Copy, Debug)]
pub struct Parcel {
    pub call: u32,
    /// The peer that sent it or gets it.
    pub who: u8,
    pub kind: Kind,
}

/// What wakes a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    InviteAgain,
    InviteGiveUp,
    CancelAgain,
    ByeAgain,
    /// A final response without its ACK.
    FinalAgain,
    /// Steps of the script.
    Cancel,
    EarlyBye,
    HangUp,
    Trying,
    Ring,
    Final,
}

/// A request of the peer's own, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    None,
    Sent,
    Done,
}

/// Text of at most `N` bytes.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> Text<N> {
    pub const EMPTY: Text<N> = Text { bytes: [0; N], length: 0 };

    /// `None`: it is too long.
    pub fn new(text: &[u8]) -> Option<Text<N>> {
        let mut bytes = [0; N];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Text { bytes, length: text.len() as u8 })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// A link that is cut for a while.
#[derive(Clone, Copy)]
pub struct Cut {
    pub who: u8,
    pub from_ms: u64,
    pub to_ms: u64,
}

pub struct Call {
    pub index: u32,
    pub hops: u8,
    /// Draws what the network does; the scripts are drawn at the start.
    pub rng: Rng,
    pub caller: Caller,
    /// One for each hop.
    pub callees: Vec<Callee>,
    pub cut: Option<Cut>,
    pub trace: Ring,
}

impl Call {
    pub fn draw(setup: &Setup, seed: u64, index: u32, now_ms: u64) -> Call {
        let mut rng = Rng::new(seed, u64::from(index));
        let hops = 1 + rng.pick(&[0, 1, 1, 1, 1, 2, 2, 3, 4, 5]);
        let cut = rng.percent(setup.network.cut_percent).then(|| {
            let who = if rng.percent(50) { CALLER } else { rng.below(u32::from(hops)) as u8 };
            let from_ms = now_ms + u64::from(rng.below(20_000));
            Cut { who, from_ms, to_ms: from_ms + u64::from(rng.between(500, 60_000)) }
        });
        let after_ms = &setup.after_ms[usize::from(hops) - 1];
        let drawn = (0..usize::from(hops)).map(|hop| Callee::draw(&mut rng, after_ms[hop]));
        let callees: Vec<Callee> = drawn.collect();
        let diverted_ms = callees[0].script.ring_ms.unwrap_or(0) + after_ms[0];
        let caller = Caller::draw(&mut rng, diverted_ms);
        Call { index, hops, rng, caller, callees, cut, trace: Ring::default() }
    }

    pub fn is_cut(&self, who: u8, now_ms: u64) -> bool {
        self.cut.is_some_and(|cut| cut.who == who && (cut.from_ms..cut.to_ms).contains(&now_ms))
    }
}

/// When a request other than INVITE, or a final response to INVITE, is sent for the next time; `None`:
/// 64·T1 are over (RFC 3261 §17.1.2.2, §17.2.1, §13.3.1.4).
pub fn again_ms(attempt: u8) -> Option<u32> {
    match attempt {
        0..3 => Some(500 << attempt),
        3..10 => Some(4_000),
        10 => Some(500),
        _ => None,
    }
}
