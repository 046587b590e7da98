//! A message as a test looks at it: owned, read once, header fields by their full names.

use ringway::limits::SCAN_PADDING;
use ringway::sip::{Fault, HeaderName, Index, NameAddr, scan};

/// One SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    pub bytes: Vec<u8>,
    pub method: String,
    /// Empty for a response.
    pub request_uri: String,
    pub status: Option<u16>,
    pub reason: String,
    pub branch: String,
    pub call_id: String,
    pub from_tag: String,
    pub to_tag: String,
    pub cseq: u32,
    pub body: String,
    headers: Vec<(String, String)>,
}

impl Sip {
    /// Reads a message with the product's own scanner.
    pub fn read(bytes: &[u8]) -> Result<Sip, Fault> {
        let mut buffer = [bytes, &[0; SCAN_PADDING]].concat();
        let mut index = Index::new();
        scan(&mut buffer, bytes.len(), &mut index)?;
        let message = index.message(&buffer[..bytes.len()]);
        let headers = message.headers().iter().enumerate().map(|(number, header)| {
            let line = text(message.lines(number, number + 1));
            let written = line.split(':').next().unwrap_or_default().trim().to_string();
            let name =
                if header.name == HeaderName::Other { written } else { header.name.text().to_string() };
            (name, text(message.text(header.value)))
        });
        Ok(Sip {
            bytes: bytes.to_vec(),
            method: text(message.method_text()),
            request_uri: text(message.request_uri()),
            status: message.status().map(|status| status.code()),
            reason: text(message.reason()),
            branch: message.top_via().map_or(String::new(), |via| text(via.branch)),
            call_id: text(message.call_id()),
            from_tag: text(message.from_tag()),
            to_tag: text(message.to_tag()),
            cseq: message.cseq().map_or(0, |cseq| cseq.number),
            body: text(message.body()),
            headers: headers.collect(),
        })
    }

    pub fn is_request(&self) -> bool {
        self.status.is_none()
    }

    /// `BYE` for a request, `180 INVITE` for a response.
    pub fn summary(&self) -> String {
        match self.status {
            None => self.method.clone(),
            Some(status) => format!("{status} {}", self.method),
        }
    }

    /// The names of the header fields in their order.
    pub fn names(&self) -> Vec<&str> {
        self.headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The values of all fields of a name, one item per field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the one field of this name.
    #[track_caller]
    pub fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} in\n{}", self.text());
        all[0]
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// The URI of Contact.
    #[track_caller]
    pub fn contact(&self) -> &str {
        uri_of(self.one("Contact"))
    }

    /// The values of a header field that is a list, in their order, whatever lines they stand on.
    pub fn list(&self, name: &str) -> Vec<String> {
        let items = |value: &&str| split(value);
        self.all(name).iter().flat_map(items).collect()
    }

    pub fn text(&self) -> String {
        text(&self.bytes)
    }
}

/// The URI of an address, with angle brackets or without (RFC 3261 §20.10).
#[track_caller]
pub fn uri_of(address: &str) -> &str {
    let first = NameAddr::parse(address.as_bytes()).expect("an address").uri;
    std::str::from_utf8(first).expect("a URI in ASCII")
}

fn split(value: &str) -> Vec<String> {
    ringway::sip::name_addr::split_list(value.as_bytes()).map(text).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
