//! Faults that a server might have, planted in what the server says: proof that the audit would find them.

/// What the server does wrong from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Messages that begin like this are not sent.
    Swallow(&'static str),
    /// Every message that begins like this has the first text replaced by the second.
    Replace(&'static str, &'static str, &'static str),
    /// The same for every second message: what is said again differs.
    Waver(&'static str, &'static str, &'static str),
}

impl Fault {
    /// `BYE`: swallowed; `BYE|CSeq: 2|CSeq: 1`: replaced; `BYE|To|From|again`: in every second.
    pub fn read(text: &'static str) -> Option<Fault> {
        let parts: Vec<&str> = text.split('|').collect();
        match parts[..] {
            [start] => Some(Fault::Swallow(start)),
            [start, from, to] => Some(Fault::Replace(start, from, to)),
            [start, from, to, "again"] => Some(Fault::Waver(start, from, to)),
            _ => None,
        }
    }
}

/// The fault at work.
#[derive(Clone, Copy)]
pub struct Saboteur {
    fault: Option<Fault>,
    seen: u32,
}

impl Saboteur {
    pub fn new(fault: Option<Fault>) -> Saboteur {
        Saboteur { fault, seen: 0 }
    }

    /// What the server says instead; `None`: nothing.
    pub fn spoil(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let Some(fault) = self.fault else { return Some(bytes.to_vec()) };
        let (Fault::Swallow(start) | Fault::Replace(start, ..) | Fault::Waver(start, ..)) = fault;
        if !bytes.starts_with(start.as_bytes()) {
            return Some(bytes.to_vec());
        }
        self.seen += 1;
        match fault {
            Fault::Swallow(_) => None,
            Fault::Waver(..) if self.seen % 2 == 1 => Some(bytes.to_vec()),
            Fault::Replace(_, from, to) | Fault::Waver(_, from, to) => {
                Some(String::from_utf8_lossy(bytes).replacen(from, to, 1).into_bytes())
            }
        }
    }
}
