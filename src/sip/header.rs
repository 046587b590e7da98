//! Header field names: full, compact and in any case, classified in this one place.

macro_rules! header_names {
    ($($variant:ident $full:literal $($compact:literal)?;)*) => {
        /// A header field's name (RFC 3261 §20 and extensions). `Other` is any name not listed here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum HeaderName { $($variant,)* Other }

        impl HeaderName {
            /// Every known name, in declaration order; `Other` is not among them.
            pub const ALL: &'static [HeaderName] = &[$(HeaderName::$variant),*];

            /// The name as it is written; `Other` has none.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(HeaderName::$variant => $full,)* HeaderName::Other => "" }
            }

            /// The compact form (RFC 3261 §7.3.3), where one is registered.
            #[must_use]
            pub const fn compact(self) -> Option<u8> {
                match self { $($(HeaderName::$variant => Some($compact),)?)* _ => None }
            }
        }
    };
}

header_names! {
    Via "Via" b'v';
    From "From" b'f';
    To "To" b't';
    CallId "Call-ID" b'i';
    CSeq "CSeq";
    Contact "Contact" b'm';
    MaxForwards "Max-Forwards";
    ContentLength "Content-Length" b'l';
    ContentType "Content-Type" b'c';
    ContentEncoding "Content-Encoding" b'e';
    ContentDisposition "Content-Disposition";
    ContentLanguage "Content-Language";
    Route "Route";
    RecordRoute "Record-Route";
    Allow "Allow";
    AllowEvents "Allow-Events" b'u';
    Supported "Supported" b'k';
    Require "Require";
    ProxyRequire "Proxy-Require";
    Unsupported "Unsupported";
    Expires "Expires";
    MinExpires "Min-Expires";
    SessionExpires "Session-Expires" b'x';
    MinSe "Min-SE";
    Diversion "Diversion";
    HistoryInfo "History-Info";
    RecordId "Record-ID";
    AlertInfo "Alert-Info";
    Reason "Reason";
    ReferTo "Refer-To" b'r';
    ReferredBy "Referred-By" b'b';
    Replaces "Replaces";
    Join "Join";
    Event "Event" b'o';
    SubscriptionState "Subscription-State";
    Subject "Subject" b's';
    Authorization "Authorization";
    ProxyAuthorization "Proxy-Authorization";
    WwwAuthenticate "WWW-Authenticate";
    ProxyAuthenticate "Proxy-Authenticate";
    AuthenticationInfo "Authentication-Info";
    PAssertedIdentity "P-Asserted-Identity";
    PPreferredIdentity "P-Preferred-Identity";
    Privacy "Privacy";
    RemotePartyId "Remote-Party-ID";
    Path "Path";
    ServiceRoute "Service-Route";
    RSeq "RSeq";
    RAck "RAck";
    RetryAfter "Retry-After";
    UserAgent "User-Agent";
    Server "Server";
    Warning "Warning";
    Date "Date";
    Timestamp "Timestamp";
    Organization "Organization";
    MimeVersion "MIME-Version";
    Accept "Accept";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    AcceptContact "Accept-Contact" b'a';
    RejectContact "Reject-Contact" b'j';
    RequestDisposition "Request-Disposition" b'd';
    Identity "Identity" b'y';
    ErrorInfo "Error-Info";
    CallInfo "Call-Info";
    InReplyTo "In-Reply-To";
    Priority "Priority";
    UserToUser "User-to-User";
    SipETag "SIP-ETag";
    SipIfMatch "SIP-If-Match";
}

impl HeaderName {
    /// How many known names there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Classifies a header field's name as it stands in the message: any case, full or compact.
    #[must_use]
    pub fn classify(name: &[u8]) -> HeaderName {
        let mut words = [0u8; 8 * NAME_WORDS];
        match words.get_mut(..name.len()) {
            Some(room) => room.copy_from_slice(name),
            None => return HeaderName::Other,
        }
        HeaderName::classify_at(&words, 0, name.len())
    }

    /// Classifies `buffer[start..start + length]`; quickest where the buffer goes on for 24 bytes and more.
    #[inline]
    pub(super) fn classify_at(buffer: &[u8], start: usize, length: usize) -> HeaderName {
        let Some(name) = buffer.get(start..start + length) else { return HeaderName::Other };
        let (Some(&first), Some(&last)) = (name.first(), name.last()) else { return HeaderName::Other };
        if length == 1 {
            return COMPACT[usize::from(first)];
        }
        let Some(entry) = NAMES.get(usize::from(SLOTS[slot(first, last, length)])) else {
            return HeaderName::Other;
        };
        if usize::from(entry.length) == length && entry.matches(buffer, start) {
            entry.name
        } else {
            HeaderName::Other
        }
    }

    /// Whether the field's value may be a comma-separated list, equal to several fields (RFC 3261 §7.3.1).
    #[must_use]
    pub const fn is_list(self) -> bool {
        use HeaderName::*;
        matches!(
            self,
            Via | Contact
                | ContentEncoding
                | ContentLanguage
                | Route
                | RecordRoute
                | Allow
                | AllowEvents
                | Supported
                | Require
                | ProxyRequire
                | Unsupported
                | Diversion
                | HistoryInfo
                | AlertInfo
                | Reason
                | PAssertedIdentity
                | PPreferredIdentity
                | RemotePartyId
                | Path
                | ServiceRoute
                | Warning
                | Accept
                | AcceptEncoding
                | AcceptLanguage
                | AcceptContact
                | RejectContact
                | RequestDisposition
                | ErrorInfo
                | CallInfo
                | InReplyTo
                | UserToUser
        )
    }

    /// Whether a second field of this name makes the message bad (SIP_RULES 27): those that steer a
    /// transaction, a dialog or the reading of the body. What only informs (Subject, User-Agent, Date, …)
    /// may repeat: no call fails for it.
    #[must_use]
    pub const fn is_once_only(self) -> bool {
        use HeaderName::*;
        matches!(
            self,
            From | To
                | CallId
                | CSeq
                | MaxForwards
                | ContentLength
                | ContentType
                | ContentDisposition
                | Expires
                | MinExpires
                | SessionExpires
                | MinSe
                | ReferTo
                | ReferredBy
                | Replaces
                | Join
                | Event
                | SubscriptionState
                | RSeq
                | RAck
                | RetryAfter
                | SipETag
                | SipIfMatch
        )
    }
}

/// Words that hold the longest name.
const NAME_WORDS: usize = 3;

/// Slots of the table that leads from a hash of first letter, last letter and length to a name.
const SLOT_COUNT: usize = 256;

/// No known name's number: its slot is empty.
const EMPTY_SLOT: u8 = u8::MAX;

/// A known name, ready to be compared a word at a time without case.
#[derive(Clone, Copy)]
struct Entry {
    name: HeaderName,
    length: u8,
    /// The name in small letters, zeros behind it.
    text: [u64; NAME_WORDS],
    /// 0x20 over each letter: makes it small and leaves every other byte as it is.
    fold: [u64; NAME_WORDS],
    /// Ones over the name's bytes.
    keep: [u64; NAME_WORDS],
}

static NAMES: [Entry; HeaderName::COUNT] = entries();
static SLOTS: [u8; SLOT_COUNT] = slots();
static COMPACT: [HeaderName; 256] = compact_names();

const _: () = assert!(HeaderName::COUNT < EMPTY_SLOT as usize);

impl Entry {
    #[inline]
    fn matches(&self, buffer: &[u8], start: usize) -> bool {
        let words = usize::from(self.length).div_ceil(8);
        for number in 0..words {
            let word = word_at(buffer, start + 8 * number) & self.keep[number] | self.fold[number];
            if word != self.text[number] {
                return false;
            }
        }
        true
    }
}

/// The eight bytes at a position; zeros where the buffer has ended.
#[inline]
fn word_at(buffer: &[u8], at: usize) -> u64 {
    match buffer.get(at..).and_then(<[u8]>::first_chunk) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            for (to, from) in bytes.iter_mut().zip(buffer.iter().skip(at)) {
                *to = *from;
            }
            u64::from_le_bytes(bytes)
        }
    }
}

/// The factors were searched for: no two known names share a slot, and the build fails should that change.
#[inline]
const fn slot(first: u8, last: u8, length: usize) -> usize {
    ((first | 0x20) as usize * 41 + (last | 0x20) as usize * 21 + length * 3) % SLOT_COUNT
}

const fn entries() -> [Entry; HeaderName::COUNT] {
    let zero = [0; NAME_WORDS];
    let empty = Entry { name: HeaderName::Other, length: 0, text: zero, fold: zero, keep: zero };
    let mut entries = [empty; HeaderName::COUNT];
    let mut number = 0;
    while number < HeaderName::COUNT {
        let name = HeaderName::ALL[number];
        let text = name.text().as_bytes();
        let entry = &mut entries[number];
        entry.name = name;
        entry.length = text.len() as u8;
        let mut at = 0;
        while at < text.len() {
            let shift = at % 8 * 8;
            let is_letter = text[at].is_ascii_alphabetic();
            entry.text[at / 8] |= (text[at].to_ascii_lowercase() as u64) << shift;
            entry.fold[at / 8] |= (if is_letter { 0x20 } else { 0 }) << shift;
            entry.keep[at / 8] |= 0xff << shift;
            at += 1;
        }
        number += 1;
    }
    entries
}

const fn slots() -> [u8; SLOT_COUNT] {
    let mut slots = [EMPTY_SLOT; SLOT_COUNT];
    let mut number = 0;
    while number < HeaderName::COUNT {
        let text = HeaderName::ALL[number].text().as_bytes();
        let slot = slot(text[0], text[text.len() - 1], text.len());
        assert!(slots[slot] == EMPTY_SLOT, "two names share a slot: search for other factors");
        slots[slot] = number as u8;
        number += 1;
    }
    slots
}

const fn compact_names() -> [HeaderName; 256] {
    let mut names = [HeaderName::Other; 256];
    let mut number = 0;
    while number < HeaderName::COUNT {
        let name = HeaderName::ALL[number];
        if let Some(letter) = name.compact() {
            names[letter as usize] = name;
            names[letter.to_ascii_uppercase() as usize] = name;
        }
        number += 1;
    }
    names
}
