//! Who the caller is, as others are told: identities that are asserted among trusted peers alone (RFC 3325),
//! and what a caller wants kept from others (RFC 3323).

use crate::auth::credentials::{Authorization, Found, is_for_realm};
use crate::auth::{self, Caller};
use crate::limits::NUMBER_BYTES_MAX;
use crate::service as forwarding;
use crate::sip::message::Header;
use crate::sip::write::Writer;
use crate::sip::{HeaderName, Message, NameAddr, Status};
use std::net::SocketAddr;

use super::write::user_of;

/// What is known of a call's caller, and what it wants of it to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    origin: Origin,
    privacy: Privacy,
}

/// How the caller came by its name; [`Caller`] without the number, which stands in the INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Trusted,
    Subscriber,
    Unchecked,
}

/// What a Privacy header field asks for, of those things that are not so anyway: our Via, Contact and
/// Record-Route show nothing of anyone else's (`header`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Privacy {
    /// No asserted identity beyond trusted peers (RFC 3325 §9.3).
    id: bool,
    /// Nothing that the user wrote of itself either (RFC 3323 §5.3).
    user: bool,
}

/// The way of a message from one side to the other: which header fields pass, and under what name.
#[derive(Clone, Copy)]
pub(super) struct Passage<'c> {
    settings: &'c auth::Settings,
    identity: Identity,
    to_trusted: bool,
    diverting: Option<Diverting<'c>>,
}

/// The number of ours that diverted the call last, where its identity is asserted instead of the caller's.
#[derive(Clone, Copy)]
pub(super) struct Diverting<'c> {
    /// The user of its URI.
    pub user: &'c [u8],
    pub is_private: bool,
    pub rules: &'c forwarding::Settings,
    /// The target is none of our numbers: ours are written as others read them.
    pub is_outside: bool,
}

/// The user of those that are not to be told (RFC 3323 §4.1.1.3).
const ANONYMOUS: &[u8] = b"anonymous";

impl Privacy {
    /// # Errors
    /// 500 when the caller would rather have no call than one without what we cannot give (RFC 3323 §5).
    fn of(request: &Message<'_>) -> Result<Privacy, Status> {
        let mut privacy = Privacy::default();
        let (mut is_critical, mut is_given, mut is_none) = (false, true, false);
        let values =
            request.values(HeaderName::Privacy).flat_map(|value| value.split(|&b| b == b';' || b == b','));
        for value in values.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty()) {
            let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
            privacy.id |= is(b"id");
            privacy.user |= is(b"user");
            is_none |= is(b"none");
            is_critical |= is(b"critical");
            is_given &= [&b"id"[..], b"user", b"header", b"none", b"critical"].into_iter().any(is);
        }
        match (is_critical && !is_given, is_none) {
            (true, _) => Err(Status::SERVER_INTERNAL_ERROR),
            (false, true) => Ok(Privacy::default()),
            (false, false) => Ok(privacy),
        }
    }

    const fn hides(self) -> bool {
        self.id || self.user
    }
}

impl Identity {
    /// The identity of the sender of an INVITE.
    ///
    /// # Errors
    /// The status to refuse it with: it asks for privacy that we cannot give.
    pub fn of(caller: Caller<'_>, invite: &Message<'_>) -> Result<Identity, Status> {
        let origin = match caller {
            Caller::Trusted => Origin::Trusted,
            Caller::Subscriber(_) => Origin::Subscriber,
            Caller::Unchecked => Origin::Unchecked,
        };
        Ok(Identity { origin, privacy: Privacy::of(invite)? })
    }

    /// The caller's name in what others get to see of the call as a whole, of those that its From says.
    pub fn name_of(self, user: &[u8]) -> &[u8] {
        if self.privacy.hides() { ANONYMOUS } else { user }
    }

    /// The way of the call's INVITE to a callee.
    pub fn towards(self, settings: &auth::Settings, destination: SocketAddr) -> Passage<'_> {
        let to_trusted = settings.is_trusted(destination.ip());
        Passage { settings, identity: self, to_trusted, diverting: None }
    }
}

impl<'c> Passage<'c> {
    /// The way of a request in a dialog from one side to the other.
    pub fn in_dialog(
        settings: &'c auth::Settings,
        request: &Message<'_>,
        (from, to): (SocketAddr, SocketAddr),
    ) -> Passage<'c> {
        let origin = if settings.is_trusted(from.ip()) { Origin::Trusted } else { Origin::Unchecked };
        // It is not refused any more; what is not understood is taken for the most that it may mean.
        let privacy = Privacy::of(request).unwrap_or(Privacy { id: true, user: true });
        Identity { origin, privacy }.towards(settings, to)
    }

    /// The same where the leg goes to a server that wants a number of ours that diverted the call to answer
    /// for it: carriers know their customers alone.
    pub fn with_diverting(self, diverting: Option<Diverting<'c>>) -> Passage<'c> {
        // RFC 3325 §7: who wants privacy is named among trusted peers alone.
        let diverting = diverting.filter(|diverting| self.to_trusted || !diverting.is_private);
        Passage { diverting, ..self }
    }

    /// Whether a header field of the sender's may pass.
    pub fn passes(&self, message: &Message<'_>, header: &Header) -> bool {
        use HeaderName as H;
        match header.name {
            // Whoever has the answer to our challenge may try passwords on it.
            H::Authorization | H::ProxyAuthorization => {
                !is_for_realm(message.text(header.value), &self.settings.realm)
            }
            H::PPreferredIdentity => false,
            // Remote-Party-ID is what P-Asserted-Identity was before its RFC.
            H::PAssertedIdentity | H::RemotePartyId => {
                self.identity.origin == Origin::Trusted
                    && (self.to_trusted || !self.identity.privacy.hides())
                    && self.diverting.is_none()
            }
            H::Subject | H::CallInfo | H::Organization | H::UserAgent | H::InReplyTo => !self.is_anonymous(),
            H::Other if self.is_anonymous() => !is_reply_to(message, header),
            _ => true,
        }
    }

    /// Writes the address of From.
    pub fn write_from(&self, writer: &mut Writer<'_>, from: &[u8]) {
        if self.is_anonymous() {
            writer.raw(b"\"Anonymous\" <sip:anonymous@anonymous.invalid>");
        } else if let Ok(address) = NameAddr::parse(from) {
            if !address.display.is_empty() {
                writer.raw(address.display).raw(b" ");
            }
            writer.raw(b"<").raw(address.uri).raw(b">");
        }
    }

    /// The user of our Contact.
    pub fn contact_user<'u>(&self, from: &'u [u8]) -> &'u [u8] {
        if self.is_anonymous() { ANONYMOUS } else { user_of(from) }
    }

    /// Asserts the identity that we know the caller by, to those who take our word (RFC 3325 §5); or that of
    /// who diverted the call, to those who want it.
    pub fn write_asserted(&self, writer: &mut Writer<'_>, invite: &Message<'_>, sent_by: &str) {
        if let Some(diverting) = &self.diverting {
            let mut room = [0; 3 * NUMBER_BYTES_MAX];
            let user = match diverting.is_outside {
                true => diverting.rules.normalized(diverting.user, &mut room),
                false => diverting.user,
            };
            writer.name(HeaderName::PAssertedIdentity).raw(b"<sip:").raw(user);
            writer.raw(b"@").raw(sent_by.as_bytes()).raw(b">").end_line();
            return;
        }
        if !self.to_trusted || self.identity.origin != Origin::Subscriber {
            return;
        }
        let found = Authorization::find(invite, &self.settings.realm, &self.settings.algorithms);
        if let Found::Ours(Authorization { username, .. }) = found {
            writer.name(HeaderName::PAssertedIdentity).raw(b"<sip:").raw(username);
            writer.raw(b"@").raw(sent_by.as_bytes()).raw(b">").end_line();
        }
    }

    /// Whether the Privacy of the sender's does not pass as it came. `drops_history`: what it says of
    /// `history` was done (RFC 7044 §10.1.2).
    pub fn rewrites_privacy(&self, drops_history: bool) -> bool {
        drops_history || self.asks_for_id()
    }

    /// Writes the Privacy that goes out instead.
    pub fn write_privacy(&self, writer: &mut Writer<'_>, invite: &Message<'_>, drops_history: bool) {
        if !self.rewrites_privacy(drops_history) {
            return;
        }
        let values =
            invite.values(HeaderName::Privacy).flat_map(|value| value.split(|byte| b";,".contains(byte)));
        let is = |value: &[u8], word: &[u8]| value.eq_ignore_ascii_case(word);
        let is_kept = |value: &&[u8]| {
            let is_done = drops_history && is(value, b"history");
            // With id it would say both and nothing.
            let is_overruled = self.asks_for_id() && (is(value, b"none") || is(value, b"id"));
            !value.is_empty() && !is_done && !is_overruled
        };
        let id = self.asks_for_id().then_some(&b"id"[..]);
        let kept = values.map(<[u8]>::trim_ascii).filter(is_kept);
        let mut is_open = false;
        for value in id.into_iter().chain(kept) {
            if std::mem::replace(&mut is_open, true) {
                writer.raw(b";");
            } else {
                writer.name(HeaderName::Privacy);
            }
            writer.raw(value);
        }
        if is_open {
            writer.end_line();
        }
    }

    /// Whether the identity that is asserted is not to be shown (RFC 3325 §9.3).
    fn asks_for_id(&self) -> bool {
        self.diverting.is_some_and(|diverting| diverting.is_private)
    }

    /// Whether the other side is not to know the user.
    const fn is_anonymous(&self) -> bool {
        self.identity.privacy.user && !self.to_trusted
    }
}

/// Whether a field that the scanner has no name for is a Reply-To.
fn is_reply_to(message: &Message<'_>, header: &Header) -> bool {
    const NAME: &[u8] = b"Reply-To";
    let line = crate::sip::Span { start: header.line_start, length: NAME.len() as u16 };
    message.text(line).eq_ignore_ascii_case(NAME)
}
