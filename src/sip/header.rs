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
        let _ = name;
        unimplemented!()
    }

    /// Whether the field's value may be a comma-separated list, equal to several fields (RFC 3261 §7.3.1).
    #[must_use]
    pub const fn is_list(self) -> bool {
        unimplemented!()
    }

    /// Whether a second field of this name makes the message bad (SIP_RULES 27).
    #[must_use]
    pub const fn is_once_only(self) -> bool {
        unimplemented!()
    }
}
