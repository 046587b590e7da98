//! The phones' messages: templates that are rendered by copying, and pieces of the peer's message put back
//! where RFC 3261 wants them.

use crate::call::{ID_LENGTH, Id};
use crate::numbers::Number;
use crate::plan::{Codec, Plan, Rtp};
use crate::template::{Mark, Template};
use ringway::sip::name_addr::split_list;
use ringway::sip::write::Writer;
use ringway::sip::{HeaderName, Message, NameAddr, Uri};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// The caller's CSeq number for INVITE, ACK and CANCEL; its BYE takes the next one.
const CALLER_CSEQ: &str = "39";
const CALLER_BYE_CSEQ: &str = "40";
/// A called party counts its requests from here.
const CALLEE_BYE_CSEQ: &str = "223";
const DEFAULT_PORT: u16 = 5060;

/// What begins every branch (RFC 3261 §8.1.1.7).
const COOKIE: &[u8] = b"z9hG4bK";
/// The attribute of our offers that says which call they belong to. A server that passes attributes on shows
/// the called parties whose call theirs is.
const MARK: &str = "a=x-call:";

/// Which transaction of a call a branch belongs to; it stands behind the [`Id`].
const INVITE_BRANCH: u8 = b'0';
const ACK_BRANCH: u8 = b'1';
const BYE_BRANCH: u8 = b'2';

const ALLOW: &str =
    "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, REFER, REGISTER, MESSAGE, INFO, SUBSCRIBE\r\n";

const EMPTY_BODY: &[u8] = b"Content-Length: 0\r\n\r\n";

/// Where an RTP port stands; the command line takes none of fewer digits.
const PORT_MARK: Mark<'static> = ("{port}", 5);

/// What the holes of a caller's messages are: its call's [`Id`], its own number, the called one, its RTP
/// port.
fn marks(plan: &Plan) -> [Mark<'static>; 4] {
    [("{id}", ID_LENGTH), ("{caller}", plan.callers.length()), ("{callee}", plan.callees.length()), PORT_MARK]
}

/// What fills them.
struct Fillings {
    id: [u8; ID_LENGTH],
    caller: Number,
    callee: Number,
    port: [u8; 5],
}

impl Fillings {
    #[inline]
    fn parts(&self) -> [&[u8]; 4] {
        [&self.id, self.caller.as_bytes(), self.callee.as_bytes(), &self.port]
    }
}

/// A port in five digits.
fn digits(port: u16) -> [u8; 5] {
    [10_000, 1_000, 100, 10, 1].map(|place| b'0' + (port / place % 10) as u8)
}

/// A caller's offer up to the mark's value: what a phone of the lab offers, or what `rtp` can be heard and
/// sent with.
fn offer(ip: Ipv4Addr, rtp: Option<&Rtp>) -> String {
    match rtp {
        None => format!(
            "v=0\r\no=ZED3 5525 5525 IN IP4 {ip}\r\ns=ZED3\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio 6510 RTP/AVP 4 18 8 0 3 101\r\na=rtpmap:4 G723/8000\r\na=rtpmap:18 G729/8000\r\n\
             a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:3 GSM/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n{MARK}"
        ),
        Some(rtp) => format!("{}{MARK}", sound(ip, rtp.codec)),
    }
}

/// A called party's answer.
fn answer(ip: Ipv4Addr, rtp: Option<&Rtp>) -> String {
    match rtp {
        None => format!(
            "v=0\r\no=ZED3 5605 5605 IN IP4 {ip}\r\ns=ZED3\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio 33440 RTP/AVP 18 101\r\na=rtpmap:18 G729/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
        ),
        Some(rtp) => sound(ip, rtp.codec),
    }
}

/// Of a description whose port is filled in.
fn length(sdp: &str) -> usize {
    let holes = sdp.matches(PORT_MARK.0).count();
    sdp.len() - holes * PORT_MARK.0.len() + holes * PORT_MARK.1
}

/// G.711 at a port of our own.
fn sound(ip: Ipv4Addr, codec: Codec) -> String {
    let (port, name, payload_type) = (PORT_MARK.0, codec.name(), codec.payload_type());
    format!(
        "v=0\r\no=ZED3 5525 5525 IN IP4 {ip}\r\ns=ZED3\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {payload_type} 101\r\na=rtpmap:{payload_type} {name}/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
    )
}

/// A caller's messages; one per socket, whose address stands in them.
pub struct CallerTexts {
    plan: Arc<Plan>,
    invite: Template,
    cancel: Template,
    /// `INVITE`'s Request-URI.
    request_uri: Template,
    /// Via up to the branch.
    via: Vec<u8>,
    from: Template,
    call_id_host: Vec<u8>,
    contact: Template,
}

impl CallerTexts {
    pub fn new(plan: &Arc<Plan>, local: SocketAddrV4) -> CallerTexts {
        let (server, ip) = (plan.server, local.ip());
        let request_uri = format!("sip:{{callee}}@{server};transport=udp");
        let sdp = offer(*ip, plan.rtp.as_ref());
        let sdp_bytes = length(&sdp) + ID_LENGTH + 2;
        let cookie = String::from_utf8_lossy(COOKIE);
        let branch = char::from(INVITE_BRANCH);
        let via = format!("Via: SIP/2.0/UDP {local};rport;branch={cookie}");
        let from = format!("From: \"{{caller}}\" <sip:{{caller}}@{server};user=phone>;tag={{id}}\r\n");
        let contact = format!("Contact: <sip:{{caller}}@{local}>\r\n");
        let dialog =
            format!("{via}{{id}}{branch}\r\n{from}To: <sip:{{callee}}@{server}>\r\nCall-ID: {{id}}@{ip}\r\n");
        let invite = format!(
            "INVITE {request_uri} SIP/2.0\r\n{dialog}CSeq: {CALLER_CSEQ} INVITE\r\n{contact}\
             Max-Forwards: 30\r\n{ALLOW}Content-Type: application/sdp\r\nContent-Length: {sdp_bytes}\r\n\r\n\
             {sdp}{{id}}\r\n"
        );
        let cancel = format!(
            "CANCEL {request_uri} SIP/2.0\r\n{dialog}CSeq: {CALLER_CSEQ} CANCEL\r\nMax-Forwards: 30\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let template = |text: &str| Template::new(text, &marks(plan));
        CallerTexts {
            invite: template(&invite),
            cancel: template(&cancel),
            request_uri: template(&request_uri),
            via: via.into_bytes(),
            from: template(&from),
            call_id_host: format!("@{ip}\r\n").into_bytes(),
            contact: template(&contact),
            plan: plan.clone(),
        }
    }

    #[inline]
    fn fillings(&self, id: Id) -> Fillings {
        let (caller, callee) = (self.plan.caller_of(id), self.plan.callee_of(id));
        Fillings { id: id.hex(), caller, callee, port: digits(0) }
    }

    /// `port` is the caller's RTP port, where it has one of its own.
    pub fn invite(&self, out: &mut Vec<u8>, id: Id, port: u16) {
        self.invite.render(out, &Fillings { port: digits(port), ..self.fillings(id) }.parts());
    }

    pub fn cancel(&self, out: &mut Vec<u8>, id: Id) {
        self.cancel.render(out, &self.fillings(id).parts());
    }

    /// ACK for a response other than 2xx: part of the INVITE's transaction (RFC 3261 §17.1.1.3).
    pub fn ack_rejection(&self, out: &mut Vec<u8>, id: Id, response: &Message<'_>) {
        self.request(out, "ACK", id, INVITE_BRANCH, CALLER_CSEQ, response, false);
    }

    /// ACK for a 2xx: a request of the dialog (RFC 3261 §13.2.2.4).
    pub fn ack_answer(&self, out: &mut Vec<u8>, id: Id, response: &Message<'_>) {
        self.request(out, "ACK", id, ACK_BRANCH, CALLER_CSEQ, response, true);
    }

    /// BYE in the dialog that the 2xx `response` made.
    pub fn bye(&self, out: &mut Vec<u8>, id: Id, response: &Message<'_>) {
        self.request(out, "BYE", id, BYE_BRANCH, CALLER_BYE_CSEQ, response, true);
    }

    #[expect(clippy::too_many_arguments, reason = "they are the message's own parts, in their order")]
    fn request(
        &self,
        out: &mut Vec<u8>,
        method: &str,
        id: Id,
        branch: u8,
        cseq: &str,
        response: &Message<'_>,
        in_dialog: bool,
    ) {
        let fillings = self.fillings(id);
        let (parts, hex) = (fillings.parts(), &fillings.id);
        Writer::new(out).raw(method.as_bytes()).raw(b" ");
        match contact_uri(response).filter(|_| in_dialog) {
            Some(uri) => out.extend_from_slice(uri),
            None => self.request_uri.render(out, &parts),
        }
        let mut writer = Writer::new(out);
        writer.raw(b" SIP/2.0\r\n").raw(&self.via).raw(hex).raw(&[branch]).raw(b"\r\n");
        if in_dialog && response.has(HeaderName::RecordRoute) {
            // The caller's route set is the Record-Route turned round (RFC 3261 §12.1.2).
            let routes = RouteSet::of(response);
            for route in routes.as_slice().iter().rev() {
                writer.header(HeaderName::Route, route);
            }
        }
        self.from.render(out, &parts);
        let mut writer = Writer::new(out);
        writer.header(HeaderName::To, response.header(HeaderName::To).unwrap_or_default());
        writer.raw(b"Call-ID: ").raw(hex).raw(&self.call_id_host);
        writer.raw(b"CSeq: ").raw(cseq.as_bytes()).raw(b" ").raw(method.as_bytes()).raw(b"\r\n");
        self.contact.render(out, &parts);
        Writer::new(out).raw(b"Max-Forwards: 30\r\n").raw(EMPTY_BODY);
    }
}

/// Where an in-dialog request of the caller goes: its first Route, else the peer's Contact.
pub fn caller_next_hop(response: &Message<'_>) -> Option<SocketAddrV4> {
    if response.has(HeaderName::RecordRoute) {
        return RouteSet::of(response).as_slice().last().and_then(|route| address_of(route));
    }
    uri_address(contact_uri(response)?)
}

/// A called party's messages; one per socket.
pub struct CalleeTexts {
    via: Vec<u8>,
    /// Contact from behind the number on.
    contact_host: Vec<u8>,
    /// Content-Type to the end of the answer's SDP.
    answer: Template,
}

impl CalleeTexts {
    pub fn new(plan: &Plan, local: SocketAddrV4) -> CalleeTexts {
        let sdp = answer(*local.ip(), plan.rtp.as_ref());
        let answer =
            format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", length(&sdp));
        let cookie = String::from_utf8_lossy(COOKIE);
        CalleeTexts {
            via: format!("Via: SIP/2.0/UDP {local};rport;branch={cookie}").into_bytes(),
            contact_host: format!("@{local}>\r\n").into_bytes(),
            answer: Template::new(&answer, &[PORT_MARK]),
        }
    }

    /// What every response to `invite` holds between its status line and its body (RFC 3261 §8.2.6.2,
    /// §12.1.1).
    pub fn head(&self, out: &mut Vec<u8>, id: Id, invite: &Message<'_>) {
        let mut writer = Writer::new(out);
        writer.splice_headers(invite, |name| {
            matches!(
                name,
                HeaderName::Via
                    | HeaderName::From
                    | HeaderName::CallId
                    | HeaderName::CSeq
                    | HeaderName::RecordRoute
            )
        });
        let to = invite.header(HeaderName::To).unwrap_or_default();
        writer.raw(b"To: ").raw(to).raw(b";tag=").raw(&id.hex()).raw(b"\r\n");
        self.contact(&mut writer, invite);
    }

    /// Whoever is called answers by the number that was called.
    fn contact(&self, writer: &mut Writer<'_>, invite: &Message<'_>) {
        let number = Uri::parse(invite.request_uri()).map_or(&b""[..], |uri| uri.user);
        writer.raw(b"Contact: <sip:").raw(number).raw(&self.contact_host);
    }

    /// A response to INVITE; `head` is what [`CalleeTexts::head`] wrote. A 200 carries the answer, with the
    /// party's RTP port where it has one of its own.
    pub fn respond(&self, out: &mut Vec<u8>, status: u16, head: &[u8], port: u16) {
        Writer::new(out).raw(status_line(status)).raw(head);
        if status == 200 {
            self.answer.render(out, &[&digits(port)]);
        } else {
            out.extend_from_slice(EMPTY_BODY);
        }
    }

    /// BYE in the dialog that `invite` and our 200 made.
    pub fn bye(&self, out: &mut Vec<u8>, id: Id, invite: &Message<'_>) {
        let hex = id.hex();
        let mut writer = Writer::new(out);
        writer.raw(b"BYE ").raw(contact_uri(invite).unwrap_or_default()).raw(b" SIP/2.0\r\n");
        writer.raw(&self.via).raw(&hex).raw(&[BYE_BRANCH]).raw(b"\r\n");
        for value in invite.values(HeaderName::RecordRoute) {
            writer.header(HeaderName::Route, value);
        }
        let to = invite.header(HeaderName::To).unwrap_or_default();
        writer.raw(b"From: ").raw(to).raw(b";tag=").raw(&hex).raw(b"\r\n");
        writer.header(HeaderName::To, invite.header(HeaderName::From).unwrap_or_default());
        writer.header(HeaderName::CallId, invite.call_id());
        writer.raw(b"CSeq: ").raw(CALLEE_BYE_CSEQ.as_bytes()).raw(b" BYE\r\n");
        self.contact(&mut writer, invite);
        writer.raw(b"Max-Forwards: 30\r\n").raw(EMPTY_BODY);
    }
}

/// Where a called party's in-dialog request goes: its first Route, else the peer's Contact.
pub fn callee_next_hop(invite: &Message<'_>) -> Option<SocketAddrV4> {
    match invite.header(HeaderName::RecordRoute) {
        Some(routes) => address_of(split_list(routes).next()?),
        None => uri_address(contact_uri(invite)?),
    }
}

/// A response without a body to any request; `to_tag` is added where To has none.
pub fn respond(out: &mut Vec<u8>, status: u16, request: &Message<'_>, to_tag: Option<Id>) {
    let tag = to_tag.filter(|_| request.to_tag().is_empty());
    let mut writer = Writer::new(out);
    writer.raw(status_line(status));
    writer.splice_headers(request, |name| {
        let copied = matches!(name, HeaderName::Via | HeaderName::From | HeaderName::CallId);
        copied || name == HeaderName::CSeq || (name == HeaderName::To && tag.is_none())
    });
    if let Some(tag) = tag {
        let to = request.header(HeaderName::To).unwrap_or_default();
        writer.raw(b"To: ").raw(to).raw(b";tag=").raw(&tag.hex()).raw(b"\r\n");
    }
    writer.raw(EMPTY_BODY);
}

fn status_line(status: u16) -> &'static [u8] {
    match status {
        100 => b"SIP/2.0 100 Trying\r\n",
        180 => b"SIP/2.0 180 Ringing\r\n",
        200 => b"SIP/2.0 200 OK\r\n",
        408 => b"SIP/2.0 408 Request Timeout\r\n",
        481 => b"SIP/2.0 481 Call/Transaction Does Not Exist\r\n",
        486 => b"SIP/2.0 486 Busy Here\r\n",
        487 => b"SIP/2.0 487 Request Terminated\r\n",
        _ => b"SIP/2.0 405 Method Not Allowed\r\n",
    }
}

/// The [`Id`] in a branch of ours.
#[inline]
pub fn branch_id(message: &Message<'_>) -> Option<Id> {
    Id::parse(message.top_via()?.branch.strip_prefix(COOKIE)?)
}

/// The [`Id`] of the call that an offer of ours belongs to.
pub fn marked_call(body: &[u8]) -> Option<Id> {
    let tail = body.len().checked_sub(MARK.len() + ID_LENGTH + 2)?;
    // Our mark is the last line of our offer; a server may have added lines behind it.
    let marked = match body[tail..].strip_prefix(MARK.as_bytes()) {
        Some(marked) => marked,
        None => {
            let found = body.windows(MARK.len()).position(|window| window == MARK.as_bytes())?;
            &body[found + MARK.len()..]
        }
    };
    Id::parse(marked)
}

/// The URI of the first Contact.
fn contact_uri<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    let contact = split_list(message.header(HeaderName::Contact)?).next()?;
    NameAddr::parse(contact).ok().map(|address| address.uri)
}

fn address_of(name_addr: &[u8]) -> Option<SocketAddrV4> {
    uri_address(NameAddr::parse(name_addr).ok()?.uri)
}

fn uri_address(uri: &[u8]) -> Option<SocketAddrV4> {
    let uri = Uri::parse(uri).ok()?;
    match uri.ip()? {
        IpAddr::V4(ip) => Some(SocketAddrV4::new(ip, uri.port.unwrap_or(DEFAULT_PORT))),
        IpAddr::V6(_) => None,
    }
}

/// Record-Route's addresses in the order of the message; a chain of more proxies than this is cut.
struct RouteSet<'a> {
    routes: [&'a [u8]; 16],
    count: usize,
}

impl<'a> RouteSet<'a> {
    fn of(message: &Message<'a>) -> RouteSet<'a> {
        let mut set = RouteSet { routes: [b""; 16], count: 0 };
        let values = message.values(HeaderName::RecordRoute).flat_map(split_list);
        for (place, route) in set.routes.iter_mut().zip(values) {
            *place = route;
            set.count += 1;
        }
        set
    }

    fn as_slice(&self) -> &[&'a [u8]] {
        &self.routes[..self.count]
    }
}
