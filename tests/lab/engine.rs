//! The media engine as the laboratory has it: it answers each letter before anything else happens, unless the
//! test holds it back or has it fail.

use ringway::mail::{Described, EngineFailed, Letter, Mail, Party, Role};

/// What the engine does with descriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Puts its own address in ([`anchored`]).
    Works,
    /// Gives them back as they are: the calls are as if media passed.
    Echoes,
    /// Lays letters aside.
    Holds,
    Fails(EngineFailed),
}

pub struct Engine {
    pub mood: Mood,
    /// Letters laid aside, each with the shard that wrote it.
    pub held: Vec<(usize, Letter)>,
    /// What was asked, in order: `offer of caller`, `over`.
    pub asked: Vec<String>,
    /// The sessions that are not over.
    pub sessions: Vec<String>,
}

impl Engine {
    pub fn new(mood: Mood) -> Engine {
        Engine { mood, held: Vec::new(), asked: Vec::new(), sessions: Vec::new() }
    }

    /// Takes a shard's letter; what comes is to go back to it now. Letters that are not for the engine come
    /// back.
    pub fn receive(&mut self, shard: usize, letter: Letter) -> Result<Option<Mail>, Letter> {
        match &letter {
            Letter::Engine { session, described, .. } => {
                self.asked.push(summary(described));
                if !self.sessions.iter().any(|other| **other == **session) {
                    self.sessions.push(session.to_string());
                }
            }
            Letter::EngineOver { session } => {
                self.asked.push("over".into());
                let place = self.sessions.iter().position(|other| **other == **session);
                self.sessions.remove(place.expect("a session that was asked for"));
                return Ok(None);
            }
            _ => return Err(letter),
        }
        if self.mood == Mood::Holds {
            self.held.push((shard, letter));
            return Ok(None);
        }
        Ok(self.answer(&letter))
    }

    /// What the engine says, whatever its mood is but holding.
    pub fn answer(&self, letter: &Letter) -> Option<Mail> {
        let Letter::Engine { ticket, described, .. } = letter else { return None };
        let outcome = match self.mood {
            Mood::Works | Mood::Holds => Ok(anchored(described.party, &described.sdp).into_bytes().into()),
            Mood::Echoes => Ok(described.sdp.clone()),
            Mood::Fails(failed) => Err(failed),
        };
        Some(Mail::Engine { ticket: *ticket, outcome })
    }
}

/// What the caller is told, and what the callees are.
const OWN: [&str; 2] = ["10.0.0.1", "10.0.0.2"];

/// What the other side is told of a party's description.
pub fn anchored(party: Party, sdp: &[u8]) -> String {
    let own = OWN[usize::from(party == Party::Caller)];
    let text = String::from_utf8_lossy(sdp);
    let lines = text.lines().map(|line| match line.strip_prefix("c=IN IP4 ") {
        Some(_) => format!("c=IN IP4 {own}\r\n"),
        None => format!("{line}\r\n"),
    });
    lines.collect()
}

/// Whether a body is told in the engine's name.
pub fn is_anchored(body: &str) -> bool {
    OWN.iter().any(|own| body.contains(&format!("c=IN IP4 {own}\r\n")))
}

fn summary(described: &Described) -> String {
    let role = if described.role == Role::Offer { "offer" } else { "answer" };
    let party = if described.party == Party::Caller { "caller" } else { "callee" };
    format!("{role} of {party}")
}
