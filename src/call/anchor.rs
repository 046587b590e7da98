//! What one side of a call has of the server's own media ports, and what it was told of them.

use crate::context::Context;
use crate::limits::{DATAGRAM_BYTES_MAX, STREAMS_ANCHORED_MAX, STREAMS_MAX};
use crate::media::{Family, Figures, G711, Tone};
use crate::sdp::{self, Description, Stream, Told};
use crate::slab::Handle;
use std::net::IpAddr;

/// The streams of one side.
#[derive(Debug, Default)]
pub(super) struct Anchor {
    /// Of its ports and of what it is told; `None`: nothing was said yet.
    family: Option<Family>,
    told: Told,
    /// One for each stream of the session; `None`: refused, or not spoken of yet.
    streams: Vec<Option<Handle>>,
    /// In what a tone can be played in each of them.
    voices: Vec<Voice>,
    /// Those that the side refuses, by the description that counts, and by the one that was heard since.
    refused: u32,
    refused_next: Option<u32>,
    /// What has been heard and does not count yet: to which exchange it belongs.
    pending: Option<Round>,
    /// A later offer is open: the streams that have got ports since it began, one bit for each.
    later: Option<u32>,
    /// What the side goes by: the first description that it was told in answer to its INVITE (RFC 3261
    /// §13.2.1), or what the last later offer settled.
    believed: Told,
    /// Where its signalling came from last; `None`: from where it did at first.
    pub host: Option<IpAddr>,
    /// What went through ports that were given back.
    closed: Figures,
}

const _: () = assert!(STREAMS_MAX <= u32::BITS as usize);

/// An exchange of descriptions: an offer and what it leads to. What one has brought is never settled by the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// That of the first INVITE, with everything that answers it; callees may answer it in turn.
    Invite,
    /// A later one, by UPDATE, PRACK or re-INVITE: in a dialog one is open at most (RFC 3311 §5.1).
    Later,
}

/// G.711 in a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Voice {
    /// What the side has described last, what it prefers first.
    described: [Option<G711>; 2],
    /// What it was told since is the answer, and what that has taken of it.
    agreed: Option<Agreed>,
}

/// The first G.711 of an answer, by the offerer's payload type; `None`: it has none.
#[derive(Clone, Copy, Debug)]
struct Agreed(Option<G711>);

impl Voice {
    /// The side is told of the other one's stream.
    fn tell(&mut self, stream: &Stream) {
        // Who was told an offer describes later, of that offer, what it takes.
        if self.described != [None; 2] {
            let own = |told: G711| self.described.into_iter().flatten().find(|own| own.law == told.law);
            let told = [stream.g711, stream.g711_second].into_iter().flatten();
            self.agreed = Some(Agreed(told.filter_map(own).next()));
        }
    }
}

/// Why a description is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// No media port is free.
    NoPorts,
    /// It is no session description, or one that cannot be read.
    Unreadable,
    /// No datagram can hold it once it is told in the server's name.
    TooLong,
}

/// What becomes of a stream that no port is free for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Nothing is said at all.
    Fails,
    /// It is refused: what is said cannot be taken back any more.
    Refuses,
}

/// A body and its Content-Type.
#[derive(Clone, Copy)]
pub(super) struct Content<'a> {
    pub kind: &'a [u8],
    pub body: &'a [u8],
}

impl Anchor {
    /// Whether the side was told anything of its ports.
    pub fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// What the side was told last.
    pub const fn told(&self) -> Told {
        self.told
    }

    /// As if it had never been told what it was told since: it was not sent.
    pub fn unsay(&mut self, told: Told) {
        self.told = told;
    }

    /// What the side goes by.
    pub const fn believed(&self) -> Told {
        self.believed
    }

    /// The side has got what it was told last in answer to its INVITE; the first one stays.
    pub fn believe_first(&mut self) {
        if !self.believed.is_some() {
            self.believed = self.told;
        }
    }

    /// A later offer begins, of this side or to it.
    pub fn begin(&mut self, context: &mut Context) {
        self.disagree(context);
        self.later = Some(0);
    }

    /// Takes the side's own description, which counts once both sides have agreed in this round. `host`:
    /// where its signalling comes from.
    ///
    /// # Errors
    /// [`NotTaken`]; then nothing has changed.
    pub fn hear(
        &mut self,
        context: &mut Context,
        host: IpAddr,
        (content, round, lack): (Content<'_>, Round, Lack),
    ) -> Result<(), NotTaken> {
        let description = read(content).ok_or(NotTaken::Unreadable)?.1;
        // An answer to the INVITE that is said again takes nothing from a later offer.
        if round == Round::Invite && self.pending == Some(Round::Later) {
            return Ok(());
        }
        let named = description.streams().iter().find_map(|stream| stream.address);
        self.choose_family(context, named.unwrap_or(host));
        let places = wanted(&description);
        if self.open(context, places).is_none() && lack == Lack::Fails {
            return Err(NotTaken::NoPorts);
        }
        for (place, stream) in description.streams().iter().enumerate() {
            if let Some(endpoint) = self.stream(place).filter(|_| places & 1 << place != 0) {
                context.media.describe(endpoint, stream.remote(host));
                self.voice(place).described = [stream.g711, stream.g711_second];
            }
        }
        // Streams that it does not speak of any more are none of its (RFC 3264 §8).
        self.refused_next = Some(!places);
        self.pending = Some(round);
        Ok(())
    }

    /// One stream of our own, for a side that has not described any.
    ///
    /// # Errors
    /// No port is free.
    pub fn offer(&mut self, context: &mut Context, host: IpAddr) -> Option<()> {
        self.choose_family(context, host);
        self.endpoint(context, 0).map(drop)
    }

    /// The other side's description as this side is told it: with ports of its own, and in the server's name.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn speak(
        &mut self,
        context: &mut Context,
        host: IpAddr,
        (content, lack): (Content<'_>, Lack),
    ) -> Result<Vec<u8>, NotTaken> {
        let (part, description) = read(content).ok_or(NotTaken::Unreadable)?;
        self.choose_family(context, host);
        let own = own_address(context, self.family);
        let asked = wanted(&description);
        if self.open(context, asked).is_none() && lack == Lack::Fails {
            return Err(NotTaken::NoPorts);
        }
        let mut places = [None; STREAMS_MAX];
        for (number, place) in places.iter_mut().enumerate().filter(|(number, _)| asked & 1 << number != 0) {
            *place = self.stream(number).and_then(|endpoint| context.media.local(endpoint));
        }
        let told = self.told;
        if !self.told.has_id() {
            // As NTP timestamps are, and within what every phone can read.
            self.told = Told::new(1 + (context.mint.random() >> 34));
        }
        let mut text = Vec::with_capacity(content.body.len() + 128);
        sdp::splice(&mut text, content.body, part, |out| {
            sdp::rewrite(out, &description, &mut self.told, (own, &places));
        });
        // Where it cannot be refused, the message that it stands in cannot be sent.
        if lack == Lack::Fails && text.len() > DATAGRAM_BYTES_MAX {
            self.told = told;
            return Err(NotTaken::TooLong);
        }
        for (place, stream) in description.streams().iter().enumerate() {
            self.voice(place).tell(stream);
        }
        Ok(text)
    }

    /// Both sides have described their streams in this round, or had before: from now on each hears the
    /// other, in no other streams. `is_final`: streams that either refuses give their ports back.
    pub fn agree(context: &mut Context, sides: [&mut Anchor; 2], (round, is_final): (Round, bool)) {
        let [one, other] = sides;
        let changes = one.settle(context, round) | other.settle(context, round);
        let refused = one.refused | other.refused;
        // What a later offer has opened is its own.
        let offered = one.later.unwrap_or_default() | other.later.unwrap_or_default();
        let now = context.now;
        for place in 0..one.streams.len().max(other.streams.len()) {
            let bit = 1 << place;
            let both = [one.stream(place), other.stream(place)];
            match both {
                [Some(here), Some(there)] if refused & bit == 0 => {
                    if changes & bit != 0 {
                        // Neither had to send before: silence counts from now on.
                        [here, there].into_iter().for_each(|endpoint| context.media.wake(now, endpoint));
                    }
                    [here, there].into_iter().for_each(|endpoint| context.media.reopen(now, endpoint));
                    context.media.join(here, there);
                }
                _ if is_final && offered & bit == 0 => {
                    one.close_stream(context, place);
                    other.close_stream(context, place);
                }
                _ => both.into_iter().flatten().for_each(|endpoint| context.media.part(endpoint)),
            }
        }
    }

    /// The later offer that is open came to nothing: what was agreed before counts on (RFC 3264 §8), and the
    /// ports that were opened for it are given back. Without one nothing changes.
    pub fn disagree(&mut self, context: &mut Context) {
        let Some(opened) = self.later.take() else { return };
        let opened = (0..STREAMS_MAX).filter(|place| opened & 1 << place != 0);
        opened.for_each(|place| self.close_stream(context, place));
        if self.pending == Some(Round::Later) {
            self.pending = None;
            self.refused_next = None;
            self.streams.iter().flatten().for_each(|&endpoint| context.media.forget(endpoint));
        }
    }

    /// What the side has described in this round counts. One bit for each stream that it is a change of.
    pub fn settle(&mut self, context: &mut Context, round: Round) -> u32 {
        if round == Round::Later && self.later.take().is_some() {
            self.believed = self.told;
        }
        if self.pending != Some(round) {
            return 0;
        }
        self.pending = None;
        self.refused = self.refused_next.take().unwrap_or(self.refused);
        let now = context.now;
        let streams = self.streams.iter().enumerate();
        let endpoints = streams.filter_map(|(place, endpoint)| Some((place, (*endpoint)?)));
        let changed = endpoints.filter(|&(_, endpoint)| context.media.settle(now, endpoint));
        changed.fold(0, |changes, (place, _)| changes | 1 << place)
    }

    /// Nobody hears the side, and it hears nobody, and no tone.
    pub fn part(&self, context: &mut Context) {
        for &endpoint in self.streams.iter().flatten() {
            context.media.part(endpoint);
            context.media.stop(endpoint);
        }
    }

    /// Plays a tone in the first stream that has a codec for it: the one that was agreed on, else what the
    /// side has described. `false`: none has.
    pub fn play(&self, context: &mut Context, tone: Tone) -> bool {
        let (now, media) = (context.now, &mut context.media);
        let voices = self.voices.iter().copied().chain(std::iter::repeat(Voice::default()));
        self.streams.iter().zip(voices).any(|(endpoint, voice)| match (*endpoint, voice.agreed) {
            (None, _) | (_, Some(Agreed(None))) => false,
            (Some(endpoint), None) => media.play(now, endpoint, tone),
            (Some(endpoint), Some(Agreed(Some(g711)))) => media.play_in(now, endpoint, (tone, g711)),
        })
    }

    /// Gives all ports back.
    pub fn close(&mut self, context: &mut Context) {
        (0..self.streams.len()).for_each(|place| self.close_stream(context, place));
    }

    /// What went through its ports; `None`: it never had any.
    pub fn figures(&self, context: &Context) -> Option<Figures> {
        let open = self.streams.iter().flatten().map(|&endpoint| context.media.figures(endpoint));
        (!self.streams.is_empty()).then(|| open.fold(self.closed, |sum, figures| sum + figures))
    }

    /// The side's port of a stream.
    pub fn stream(&self, place: usize) -> Option<Handle> {
        self.streams.get(place).copied().flatten()
    }

    /// How many streams there are or were.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Ports for these streams, one bit for each, where there are none yet; `None`: there are not enough, and
    /// then no more are taken than before.
    fn open(&mut self, context: &mut Context, places: u32) -> Option<()> {
        let mut opened = Vec::new();
        for place in (0..STREAMS_MAX).filter(|place| places & 1 << place != 0) {
            let is_new = self.stream(place).is_none();
            if self.endpoint(context, place).is_none() {
                opened.into_iter().for_each(|place| self.close_stream(context, place));
                return None;
            }
            opened.extend(is_new.then_some(place));
        }
        Some(())
    }

    fn voice(&mut self, place: usize) -> &mut Voice {
        if self.voices.len() <= place {
            self.voices.resize(place + 1, Voice::default());
        }
        &mut self.voices[place]
    }

    fn endpoint(&mut self, context: &mut Context, place: usize) -> Option<Handle> {
        if let Some(endpoint) = self.stream(place) {
            return Some(endpoint);
        }
        let endpoint = context.media.open(context.now, self.family?)?;
        if self.streams.len() <= place {
            self.streams.resize(place + 1, None);
        }
        self.streams[place] = Some(endpoint);
        self.later = self.later.map(|opened| opened | 1 << place);
        Some(endpoint)
    }

    fn close_stream(&mut self, context: &mut Context, place: usize) {
        if let Some(endpoint) = self.streams.get_mut(place).and_then(Option::take) {
            self.closed = self.closed + context.media.close(context.now, endpoint);
        }
    }

    /// That of an address, if the server has ports of that family, else that which it has.
    fn choose_family(&mut self, context: &Context, like: IpAddr) {
        let addresses = &context.settings.media.addresses;
        let wanted = Family::of_ip(like);
        let has_wanted = addresses.iter().any(|address| Family::of_ip(*address) == wanted);
        let chosen = if has_wanted { Some(wanted) } else { addresses.first().map(|any| Family::of_ip(*any)) };
        self.family = self.family.or(chosen);
    }
}

/// The session description in a body, and where it stands there.
fn read(content: Content<'_>) -> Option<(std::ops::Range<usize>, Description<'_>)> {
    let part = sdp::find(content.kind, content.body)?;
    let description = Description::read(&content.body[part.clone()]).ok()?;
    Some((part, description))
}

/// The streams of a description that want ports and get them, one bit for each.
fn wanted(description: &Description<'_>) -> u32 {
    let streams = description.streams().iter().enumerate().take(STREAMS_ANCHORED_MAX);
    let wanted = streams.filter(|(_, stream)| stream.port > 0 && stream.is_udp);
    wanted.fold(0, |places, (place, _)| places | 1 << place)
}

/// What descriptions name as the server.
fn own_address(context: &Context, family: Option<Family>) -> IpAddr {
    let addresses = &context.settings.media.addresses;
    let own = addresses.iter().find(|address| Some(Family::of_ip(**address)) == family);
    own.copied().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}
