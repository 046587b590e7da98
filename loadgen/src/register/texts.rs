//! What a phone that registers sends: one template per socket, behind it the credentials.

use crate::call::{ID_LENGTH, Id};
use crate::digest::{self, Algorithm, Hash};
use crate::plan::Plan;
use crate::slab::Handle;
use crate::template::Template;
use ringway::sip::write::Writer;
use std::net::SocketAddrV4;

/// What all credentials for one realm and algorithm of the server have in common.
pub struct Account {
    realm: Vec<u8>,
    algorithm: Algorithm,
    ha2: Hash,
}

impl Account {
    pub fn new(plan: &Plan, realm: &[u8], algorithm: Algorithm) -> Account {
        let ha2 = digest::ha2(algorithm, request_uri(plan).as_bytes());
        Account { realm: realm.to_vec(), algorithm, ha2 }
    }

    pub fn is_of(&self, realm: &[u8], algorithm: Algorithm) -> bool {
        self.realm == realm && self.algorithm == algorithm
    }
}

/// One request's credentials.
pub struct Authorization<'a> {
    pub account: &'a Account,
    pub ha1: &'a Hash,
    pub nonce: &'a [u8],
    /// Empty: none.
    pub opaque: &'a [u8],
    /// How often the nonce was used, this time included.
    pub nc: u32,
}

/// REGISTER; one per socket, whose address stands in it.
pub struct RegisterTexts {
    request_uri: String,
    /// To CSeq's number.
    head: Template,
    /// From behind it on, to the credentials.
    tail: Template,
    contact: Template,
}

impl RegisterTexts {
    pub fn new(plan: &Plan, local: SocketAddrV4) -> RegisterTexts {
        let (server, ip, expires_s) = (plan.server, local.ip(), plan.expires_s);
        let request_uri = request_uri(plan);
        let contact = format!("sip:{{number}}@{}", plan.callee);
        let head = format!(
            "REGISTER {request_uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK{{id}}0\r\n\
             From: <sip:{{number}}@{server}>;tag={{phone}}\r\nTo: <sip:{{number}}@{server}>\r\n\
             Call-ID: {{phone}}@{ip}\r\nCSeq: "
        );
        let tail = format!(
            " REGISTER\r\nContact: <{contact}>\r\nExpires: {expires_s}\r\nMax-Forwards: 70\r\n\
             User-Agent: loadgen\r\n"
        );
        let marks = [("{id}", ID_LENGTH), ("{phone}", ID_LENGTH), ("{number}", plan.numbers.length())];
        RegisterTexts {
            request_uri,
            head: Template::new(&head, &marks),
            tail: Template::new(&tail, &marks),
            contact: Template::new(&contact, &marks),
        }
    }

    /// The REGISTER that `id` names: its slot is the phone, which keeps one Call-ID (RFC 3261 §10.2).
    pub fn register(
        &self,
        out: &mut Vec<u8>,
        id: Id,
        number: &[u8],
        cseq: u32,
        authorization: Option<&Authorization<'_>>,
    ) {
        let phone = Id { handle: Handle::from_bits(id.handle.bits() & u64::from(u32::MAX)), ..id }.hex();
        let fillings: [&[u8]; 3] = [&id.hex(), &phone, number];
        self.head.render(out, &fillings);
        Writer::new(out).number(u64::from(cseq));
        self.tail.render(out, &fillings);
        if let Some(authorization) = authorization {
            self.authorization(out, number, &phone, authorization);
        }
        Writer::new(out).raw(b"Content-Length: 0\r\n\r\n");
    }

    /// RFC 7616 §3.4 with the quotes of RFC 3261 §25.1. The phone's name serves as its cnonce: what keeps the
    /// responses apart is the count.
    fn authorization(&self, out: &mut Vec<u8>, number: &[u8], cnonce: &[u8], answer: &Authorization<'_>) {
        let Authorization { account, ha1, nonce, opaque, nc } = answer;
        let nc = digest::nonce_count(*nc);
        let response = digest::response(account.algorithm, ha1, nonce, &nc, cnonce, &account.ha2);
        let mut writer = Writer::new(out);
        writer.raw(b"Authorization: Digest username=\"").raw(number);
        writer.raw(b"\", realm=\"").raw(&account.realm).raw(b"\", nonce=\"").raw(nonce);
        writer.raw(b"\", uri=\"").raw(self.request_uri.as_bytes());
        writer.raw(b"\", response=\"").raw(response.as_bytes());
        writer.raw(b"\", algorithm=").raw(account.algorithm.name().as_bytes());
        writer.raw(b", cnonce=\"").raw(cnonce).raw(b"\", qop=auth, nc=").raw(&nc);
        if !opaque.is_empty() {
            writer.raw(b", opaque=\"").raw(opaque).raw(b"\"");
        }
        writer.end_line();
    }

    /// The URI that a phone's number is bound to.
    pub fn contact(&self, number: &[u8]) -> Vec<u8> {
        let mut uri = Vec::with_capacity(64);
        self.contact.render(&mut uri, &[&[0; ID_LENGTH], &[0; ID_LENGTH], number]);
        uri
    }
}

/// The registrar's (RFC 3261 §10.2: no user part).
fn request_uri(plan: &Plan) -> String {
    format!("sip:{}", plan.server)
}
