//! A SIP message as text.

/// A message that came, or that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(pub String);

impl Message {
    /// The method of a request.
    pub fn method(&self) -> Option<&str> {
        self.0.split(' ').next().filter(|word| *word != "SIP/2.0")
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        self.0.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The first header field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The first header field of this name, which must be there.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.field(name).unwrap_or_else(|| panic!("no {name} in\n{}", self.0))
    }

    /// The lines of the header.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.split("\r\n").skip(1).take_while(|line| !line.is_empty())
    }

    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The number and the method of its CSeq.
    #[track_caller]
    pub fn cseq(&self) -> (u32, &str) {
        let (number, method) = self.header("CSeq").split_once(' ').expect("two words");
        (number.parse().expect("a number"), method)
    }

    /// What stands between the angle brackets of its Contact.
    #[track_caller]
    pub fn contact(&self) -> &str {
        let contact = self.header("Contact");
        contact.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(contact, |(uri, _)| uri)
    }
}
