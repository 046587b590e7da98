//! What one side of a call has of the server's own media ports, and what it was told of them.

use crate::context::Context;
use crate::limits::STREAMS_MAX;
use crate::media::{Family, Figures, Tone};
use crate::sdp::{self, Description, Told};
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
    /// One bit for each stream: those that both sides have agreed on.
    agreed: u32,
    /// Those that the side refuses, by the description that counts, and by the one that was heard since.
    refused: u32,
    refused_next: Option<u32>,
    /// Where its signalling came from last; `None`: from where it did at first.
    pub host: Option<IpAddr>,
    /// What went through ports that were given back.
    closed: Figures,
}

const _: () = assert!(STREAMS_MAX <= u32::BITS as usize);

/// Why a description is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// No media port is free.
    NoPorts,
    /// It is no session description, or one that cannot be read.
    Unreadable,
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

    /// As if it had never been told what it was told since.
    pub fn unsay(&mut self, told: Told) {
        self.told = told;
    }

    /// Takes the side's own description, which counts once both sides have agreed. `host`: where its
    /// signalling comes from.
    ///
    /// # Errors
    /// [`NotTaken`]; then nothing has changed.
    pub fn hear(
        &mut self,
        context: &mut Context,
        host: IpAddr,
        content: Content<'_>,
    ) -> Result<(), NotTaken> {
        let description = read(content).ok_or(NotTaken::Unreadable)?.1;
        let named = description.streams().iter().find_map(|stream| stream.address);
        self.choose_family(context, named.unwrap_or(host));
        let places = wanted(&description);
        self.open(context, places).ok_or(NotTaken::NoPorts)?;
        for (place, stream) in description.streams().iter().enumerate() {
            if let Some(endpoint) = self.stream(place).filter(|_| places & 1 << place != 0) {
                context.media.describe(endpoint, stream.remote(host));
            }
        }
        // Streams that it does not speak of any more are none of its (RFC 3264 §8).
        self.refused_next = Some(!places);
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
        if !self.told.has_id() {
            // As NTP timestamps are, and within what every phone can read.
            self.told = Told::new(1 + (context.mint.random() >> 34));
        }
        let mut text = Vec::with_capacity(content.body.len() + 128);
        sdp::splice(&mut text, content.body, part, |out| {
            sdp::rewrite(out, &description, &mut self.told, (own, &places));
        });
        Ok(text)
    }

    /// Both sides have described their streams: from now on each hears the other. `is_final`: streams that
    /// either refuses give their ports back.
    pub fn agree(context: &mut Context, sides: [&mut Anchor; 2], is_final: bool) {
        let [one, other] = sides;
        let refused = one.refuses() | other.refuses();
        let now = context.now;
        for place in 0..one.streams.len().max(other.streams.len()) {
            let bit = 1 << place;
            let pair = one.stream(place).zip(other.stream(place)).filter(|_| refused & bit == 0);
            match pair {
                Some((here, there)) => {
                    let changes = [here, there].map(|endpoint| context.media.settle(now, endpoint));
                    if changes.contains(&true) {
                        // Neither had to send before: silence counts from now on.
                        [here, there].into_iter().for_each(|endpoint| context.media.wake(now, endpoint));
                    }
                    context.media.join(here, there);
                    one.agreed |= bit;
                    other.agreed |= bit;
                }
                None if is_final => {
                    one.close_stream(context, place);
                    other.close_stream(context, place);
                }
                None => {}
            }
        }
    }

    /// An offer of either side's came to nothing: what was agreed before counts on (RFC 3264 §8). `is_final`:
    /// what was never agreed on gives its ports back; before, another callee may agree.
    pub fn disagree(&mut self, context: &mut Context, is_final: bool) {
        for place in 0..self.streams.len() {
            match self.stream(place) {
                Some(endpoint) if self.agreed & (1 << place) != 0 => context.media.forget(endpoint),
                _ if is_final => self.close_stream(context, place),
                _ => {}
            }
        }
        self.refused_next = None;
    }

    /// The streams that it refuses; what it described last counts.
    fn refuses(&mut self) -> u32 {
        self.refused = self.refused_next.take().unwrap_or(self.refused);
        self.refused
    }

    /// What the side describes counts, though there is nobody on the other side.
    pub fn settle(&mut self, context: &mut Context) {
        let now = context.now;
        for &endpoint in self.streams.iter().flatten() {
            context.media.settle(now, endpoint);
        }
    }

    /// Nobody hears the side, and it hears nobody.
    pub fn part(&self, context: &mut Context) {
        self.streams.iter().flatten().for_each(|&endpoint| context.media.part(endpoint));
    }

    /// Plays a tone in the first stream that has a codec for it; `false`: none has.
    pub fn play(&self, context: &mut Context, tone: Tone) -> bool {
        let now = context.now;
        self.streams.iter().flatten().any(|&endpoint| context.media.play(now, endpoint, tone))
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

    fn endpoint(&mut self, context: &mut Context, place: usize) -> Option<Handle> {
        if let Some(endpoint) = self.stream(place) {
            return Some(endpoint);
        }
        let endpoint = context.media.open(context.now, self.family?)?;
        if self.streams.len() <= place {
            self.streams.resize(place + 1, None);
        }
        self.streams[place] = Some(endpoint);
        Some(endpoint)
    }

    fn close_stream(&mut self, context: &mut Context, place: usize) {
        if let Some(endpoint) = self.streams.get_mut(place).and_then(Option::take) {
            self.closed = self.closed + context.media.close(context.now, endpoint);
            self.agreed &= !(1 << place);
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
    let streams = description.streams().iter().enumerate().take(STREAMS_MAX);
    let wanted = streams.filter(|(_, stream)| stream.port > 0 && stream.is_udp);
    wanted.fold(0, |places, (place, _)| places | 1 << place)
}

/// What descriptions name as the server.
fn own_address(context: &Context, family: Option<Family>) -> IpAddr {
    let addresses = &context.settings.media.addresses;
    let own = addresses.iter().find(|address| Some(Family::of_ip(**address)) == family);
    own.copied().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}
