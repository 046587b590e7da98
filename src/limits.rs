//! Every maximum in one place, each with the sum that made it.

use crate::settings::{MediaMode, Settings};

/// The largest UDP payload over IPv4: 65,535 − 20 (IP) − 8 (UDP). RFC 3261 §18.1.1 asks that a message of
/// any datagram's size be handled. It also bounds a [`crate::sip::Span`] (u16).
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Zero bytes behind a datagram, so that the scanner may read whole vectors past its end.
pub const SCAN_PADDING: usize = 64;

/// Header fields in one message. The RFC flows' largest has 34; a chain of 70 hops (Max-Forwards) adds as
/// many Vias.
pub const HEADERS_MAX: usize = 128;

/// A Request-URI: RFC 3261 names no maximum; carriers' session border controllers cut at 512 to 2,048.
pub const REQUEST_URI_BYTES_MAX: usize = 2_048;

/// A subscriber's number: E.164 has 15 digits; names and extensions have room. A Request-URI whose number is
/// longer with its escapes decoded is nobody's.
pub const NUMBER_BYTES_MAX: usize = 64;

/// What every response to an INVITE repeats of it (Via, Record-Route, From, To, Call-ID, CSeq), with our
/// Contact: 70 hops of 200 bytes are 14,000. Beyond it the call is refused with 513, so that no response of
/// ours can grow past a datagram.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 16_384;

/// Bindings that one number may have (`--max-contacts` is at most this).
pub const CONTACTS_MAX: usize = 16;

/// Legs that ring at once: a number's bindings and its static contact.
pub const FORKS_MAX: usize = CONTACTS_MAX + 1;

/// Datagrams that one input may cause. The end of a search causes the most: a CANCEL to every leg, INVITEs
/// to the target's, refusals of what the caller asked of them, and a 181 for every target that is nowhere
/// (`--max-diversions` ≤ 10); a 200 that loses a race gets ACK + BYE besides.
pub const EFFECTS_PER_INPUT_MAX: usize = 16 + 2 * FORKS_MAX + RELAYS_PER_CALL_MAX;

/// Diversions of ours that one call may see (`--max-diversions` is at most this).
pub const DIVERSIONS_MAX: usize = 10;

/// Entries of Diversion, and of History-Info, that are made of each other; what is longer passes as it is. A
/// call goes through five diversions (`--max-diversions`), and through a hop or two between each.
pub const HISTORY_ENTRIES_MAX: usize = 32;

/// An index of History-Info that ours may continue: 32 levels of one digit.
pub const HISTORY_INDEX_BYTES_MAX: usize = 64;

/// What a leg is told of diversions besides what passes as it came: 32 entries, each of 120 bytes and an
/// index and an `mp` that are 32 levels deep, or of 256 bytes.
pub const HISTORY_BYTES_MAX: usize = HISTORY_ENTRIES_MAX * 256;

/// Bytes of output that one input may cause: two messages of a full datagram (an INVITE relayed, its
/// response relayed) and small ones besides; or a BYE, an ACK and a refusal at the end of a call, each with
/// a route set as long as they come; an INVITE to every location of a number, a CANCEL to every one of the
/// number before, and what every response repeats, for each request of the caller's that is refused.
/// What is found to be too long for a datagram is taken back, but stands there once: a message as long as
/// one that came, with what a leg is told of diversions and what anchoring writes into a description.
pub const OUTPUT_BYTES_PER_INPUT_MAX: usize = (4 + FORKS_MAX) * (DATAGRAM_BYTES_MAX + 2_048)
    + 2 * HISTORY_BYTES_MAX
    + DATAGRAM_BYTES_MAX
    + DESCRIPTION_GROWTH_BYTES_MAX
    + (FORKS_MAX + RELAYS_PER_CALL_MAX + 16) * RESPONSE_HEAD_BYTES_MAX;

/// The outbox's arena: a batch of 64 datagrams of 2 KiB each way twice over, and room for one full input.
pub const OUTBOX_BYTES: usize = 512 * 1024 + OUTPUT_BYTES_PER_INPUT_MAX;

/// Datagrams in the outbox: a batch of 64 that cause four each, twice over, and room for one full input.
pub const OUTBOX_DATAGRAMS: usize = 512 + EFFECTS_PER_INPUT_MAX;

/// Timers that one `handle_timeout` fires before it lets the caller flush: each sends one datagram at most
/// twice.
pub const TIMERS_PER_STEP_MAX: usize = 128;

/// Requests that may be on their way through one call at once: INFOs of a key that is held down, and a
/// re-INVITE. Each keeps two transactions and what it takes to answer it.
pub const RELAYS_PER_CALL_MAX: usize = 8;

/// Messages of one call that may wait for a media engine at once: each phone that rings has its early media.
pub const PARKED_PER_CALL_MAX: usize = FORKS_MAX + RELAYS_PER_CALL_MAX;

/// Messages of all calls together that may, for each call that there is room for.
pub const PARKED_SHARE: u32 = 2;

/// Contacts in one REGISTER, for each binding that the number may have: a phone that moved takes the old
/// address out and puts the new one in.
pub const CONTACTS_PER_BINDING: usize = 2;

/// A Contact's URI; phones write 30 to 120 bytes.
pub const CONTACT_BYTES_MAX: usize = 512;

/// Parameters of a Contact's URI: two URIs are compared by trying each with each.
pub const CONTACT_PARAMS_MAX: usize = 16;

/// `+sip.instance`: a UUID's URN has 45 bytes, an IMEI's 40.
pub const INSTANCE_BYTES_MAX: usize = 128;

/// The Path of a REGISTER: five edge proxies of 200 bytes.
pub const PATH_BYTES_MAX: usize = 1_024;

/// REGISTERs that wait for the store: 32,000 a second for as long as the store may take by default (2 s).
pub const REGISTRATIONS_PENDING_MAX: u32 = 65_536;

/// Calls that one letter names, and places of the table that are looked at for it: a few hundred
/// microseconds at most, in which no datagram is handled.
pub const CALLS_PER_LETTER_MAX: u16 = 200;
pub const PLACES_PER_LETTER_MAX: u32 = 2_000;

/// Shards in one process: the owner's number must fit a byte with room for the largest machines.
pub const SHARDS_MAX: usize = 255;

/// Listeners in one process.
pub const LISTENERS_MAX: usize = 64;

const _: () = assert!(DATAGRAM_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(HEADERS_MAX <= u8::MAX as usize);
const _: () = assert!(TIMERS_PER_STEP_MAX * 2 + EFFECTS_PER_INPUT_MAX <= OUTBOX_DATAGRAMS);

// The longest 200 to a REGISTER: what it repeats of the request, its Path, and a line for each binding with
// its URI, its instance and 64 bytes of names and numbers.
const _: () = assert!(
    RESPONSE_HEAD_BYTES_MAX + PATH_BYTES_MAX + CONTACTS_MAX * (CONTACT_BYTES_MAX + INSTANCE_BYTES_MAX + 64)
        < DATAGRAM_BYTES_MAX / 2
);

/// REGISTERs of one shard that may wait for the store.
#[must_use]
pub fn registrations_pending_max(settings: &Settings, shards: u16) -> u32 {
    (settings.registration.pending_max / u32::from(shards.max(1))).max(1)
}

/// Timers of one shard: one per transaction, one per REGISTER that waits for the store, one per call, one for
/// its search, one for its re-INVITE, one for silence in it, one for each message that may wait for a media
/// engine, and one per leg, of which there is room for one and one for every diversion.
#[must_use]
pub fn timers_max(settings: &Settings, shards: u16) -> usize {
    let shards = usize::from(shards.max(1));
    let engine = if settings.media.mode == MediaMode::Engine { PARKED_SHARE as usize } else { 0 };
    let per_call = usize::from(settings.max_diversions) + 5 + engine;
    let registrations = settings.registration.pending_max as usize;
    (settings.max_transactions as usize + registrations + per_call * settings.max_calls as usize) / shards
        + 64
}

/// Bytes that one shard may keep: 1 KiB for a REGISTER that waits for the store, 4 KiB for a call that is
/// being set up (its INVITE, the head of its responses, the leg's INVITE, two dialogs), 512 B for a
/// transaction that lingers with its ACK or response, and room for two datagrams of the largest size.
#[must_use]
pub fn kept_bytes_max(settings: &Settings, shards: u16) -> usize {
    let shards = usize::from(shards.max(1));
    let bytes = settings.max_calls as usize * 4_096
        + settings.max_transactions as usize * 512
        + settings.registration.pending_max as usize * 1_024;
    bytes / shards + (4 << 20)
}

/// Streams of one description; one with more cannot be used.
pub const STREAMS_MAX: usize = 32;

/// Streams of one description that are anchored; those behind them are refused. Audio, video, a second
/// picture and text or fax, each offered with and without keys (RFC 3264 §6 knows no other way to offer
/// both): 4 × 2.
/// With a pair for the caller and one for each phone that rings an INVITE takes 8 × (1 + 17) = 144 pairs at
/// most, of 15,000.
pub const STREAMS_ANCHORED_MAX: usize = 8;

/// By how much a description may grow when it is told in the server's own name: in each section `c=`, or one
/// where there is none, and `a=rtcp` name an IPv6 address (39 characters) where nothing may have stood, and
/// `m=` a port of five digits; `o=` has two numbers of 20 digits besides.
pub const DESCRIPTION_GROWTH_BYTES_MAX: usize = (STREAMS_MAX + 1) * (2 * 64) + 128;

/// Streams of one shard, each side's counted: two for the caller and two for each leg that there is room for
/// (audio and video), where media is anchored.
#[must_use]
pub fn endpoints_max(settings: &Settings, shards: u16) -> u32 {
    if settings.media.mode != MediaMode::Anchor {
        return 0;
    }
    let calls = (settings.max_calls / u32::from(shards.max(1))).max(1);
    calls.saturating_mul(2 * (u32::from(settings.max_diversions) + 2))
}

/// Nonces whose use one shard remembers. One lives for minutes and stands for a phone that registers or
/// calls, so a sixteenth of the transactions is more than are in use at once; at most 4 MiB of 16 bytes each.
#[must_use]
pub fn nonces_max(settings: &Settings, shards: u16) -> usize {
    (settings.max_transactions as usize / 16 / usize::from(shards.max(1))).clamp(64, 1 << 18)
}
