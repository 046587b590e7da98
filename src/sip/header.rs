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
        let mut head = [0; NAME_ROOM];
        match head.get_mut(..name.len()) {
            Some(room) => room.copy_from_slice(name),
            None => return HeaderName::Other,
        }
        HeaderName::classify_head(&head, name.len())
    }

    /// Classifies the first `length` bytes of a line. Of what stands behind them nothing matters.
    #[inline]
    pub(super) fn classify_head(head: &[u8; NAME_ROOM], length: usize) -> HeaderName {
        if length == 1 {
            return COMPACT[usize::from(head[0])];
        }
        let entry = &NAMES[slot(head[0], last_of(head, length), length)];
        if entry.length == length && entry.matches(head) { entry.name } else { HeaderName::Other }
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

/// Bytes of a line that hold every known name, with the colon behind it.
pub(super) const NAME_ROOM: usize = 32;

/// The last of the first `length` bytes; any byte where those are none or too many, for no known name is.
#[inline]
pub(super) fn last_of(head: &[u8; NAME_ROOM], length: usize) -> u8 {
    head[length.wrapping_sub(1) % NAME_ROOM]
}

/// Words that hold the longest known name.
const NAME_WORDS: usize = 3;

/// Slots of the table that leads from a hash of first letter, last letter and length to a name.
const SLOT_COUNT: usize = 256;

static NAMES: [Entry; SLOT_COUNT] = entries();
static COMPACT: [HeaderName; 256] = compact_names();

/// A known name, ready to be compared without case, eight bytes at a time.
#[derive(Clone, Copy)]
struct Entry {
    words: [Word; NAME_WORDS],
    /// Zero in an empty slot.
    length: usize,
    name: HeaderName,
}

/// Eight bytes of a name.
#[derive(Clone, Copy)]
struct Word {
    /// In small letters; zeros behind the name.
    text: u64,
    /// 0x20 over each letter: makes it small and leaves every other byte as it is.
    fold: u64,
    /// Ones over the name's bytes.
    keep: u64,
}

impl Entry {
    #[inline]
    fn matches(&self, head: &[u8; NAME_ROOM]) -> bool {
        let (heads, _) = head.as_chunks();
        let is_same =
            |word: &Word, head: &[u8; 8]| u64::from_le_bytes(*head) & word.keep | word.fold == word.text;
        let [first, second, third] = &self.words;
        is_same(first, &heads[0])
            && (self.length <= 8
                || is_same(second, &heads[1]) && (self.length <= 16 || is_same(third, &heads[2])))
    }
}

/// The factors were searched for: no two known names share a slot, and the build fails should that change.
#[inline]
const fn slot(first: u8, last: u8, length: usize) -> usize {
    let (first, last) = ((first | 0x20) as usize, (last | 0x20) as usize);
    first.wrapping_mul(41).wrapping_add(last.wrapping_mul(21)).wrapping_add(length.wrapping_mul(3))
        % SLOT_COUNT
}

const fn entries() -> [Entry; SLOT_COUNT] {
    let empty = Word { text: 0, fold: 0, keep: 0 };
    let mut entries = [Entry { words: [empty; NAME_WORDS], length: 0, name: HeaderName::Other }; SLOT_COUNT];
    let mut number = 0;
    while number < HeaderName::COUNT {
        let name = HeaderName::ALL[number];
        let text = name.text().as_bytes();
        let entry = &mut entries[slot(text[0], text[text.len() - 1], text.len())];
        assert!(entry.length == 0, "two names share a slot: search for other factors");
        entry.name = name;
        entry.length = text.len();
        let mut at = 0;
        while at < text.len() {
            let word = &mut entry.words[at / 8];
            let shift = at % 8 * 8;
            word.text |= (text[at].to_ascii_lowercase() as u64) << shift;
            word.fold |= (text[at].is_ascii_alphabetic() as u64 * 0x20) << shift;
            word.keep |= 0xff << shift;
            at += 1;
        }
        number += 1;
    }
    entries
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
