//! One simulated call: its caller, its callees, what the network does to it, and the last that was said.

use super::callee::Callee;
use super::caller::Caller;
use super::locations::Phone;
use super::rng::Rng;
use super::rounds::{Rounds, Rules};
use super::setup::{HOPS_MAX, PHONES_MAX, Setup, hop_of, numbered};
use super::trace::Ring;
use ringway::directory::HistoryForm;
use ringway::settings::LateAnswer;
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

/// What the INVITE of a leg has to tell.
#[derive(Clone, Copy)]
pub struct Manner {
    pub history: HistoryForm,
    /// The last number of the chain is reached by a route.
    pub ends_outside: bool,
}

pub struct Call {
    pub index: u32,
    pub hops: u8,
    /// Draws what the network does; the scripts are drawn at the start.
    pub rng: Rng,
    pub caller: Caller,
    /// By their places: one for each hop, or each hop's phones.
    pub callees: Vec<Callee>,
    /// What is known of the numbers' locations, and what must follow.
    pub rounds: Box<Rounds>,
    /// What the INVITEs of its legs have to look like.
    pub manner: Manner,
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
        let forked = setup.forked;
        let places = if forked { (HOPS_MAX * PHONES_MAX) as u8 } else { hops };
        let mut draw = |place| {
            let hop = hop_of(place);
            Callee::draw(&mut rng, setup.patience(hops, hop), (forked, hop + 1 < hops))
        };
        let callees: Vec<Callee> = (0..places).map(&mut draw).collect();
        let rounds = Box::new(Call::rounds(setup, hops));
        let history = setup.settings.forwarding.history;
        let manner = Manner { history, ends_outside: setup.is_outside(hops, hops - 1) };
        let diverted_ms = callees[0].script.ring_ms.unwrap_or(0) + callees[0].patience.ring_ms;
        let caller = Caller::draw(&mut rng, diverted_ms);
        Call { index, hops, rng, caller, callees, rounds, manner, cut, trace: Ring::default() }
    }

    fn rounds(setup: &Setup, hops: u8) -> Rounds {
        let settings = &setup.settings;
        let rules = Rules {
            max_diversions: settings.max_diversions,
            unreachable_408: settings.unreachable_408,
            deflection: settings.forwarding.deflection,
            keeps_late: settings.late_answer == LateAnswer::Keep,
            has_room: !setup.scarce,
            plain: true,
        };
        let patience = (0..hops).map(|hop| setup.patience(hops, hop));
        let waits: Vec<_> = patience.map(|patience| (patience.ring_ms, patience.trying_ms)).collect();
        let phones = (0..hops).flat_map(|hop| setup.phones(hops, hop));
        let plans = (0..hops).map(|hop| setup.plans[numbered(hops, hop)]);
        Rounds::new(rules, &waits, plans.collect(), phones.map(Phone::location).collect())
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
