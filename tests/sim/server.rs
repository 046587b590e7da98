//! What a peer was told by the server, as it left the server: what the audit compares with, and what the
//! peer needs to write its answers.

use super::call::Text;
use ringway::sip::Method;

/// A request of the server's.
#[derive(Clone, Copy)]
pub struct Asked {
    pub branch: Text<40>,
    pub cseq: u32,
    /// Of the whole message: a repetition is the same byte for byte.
    pub hash: u64,
    pub sent: u32,
    pub delivered: u32,
}

impl Asked {
    const NEVER: Asked = Asked { branch: Text::EMPTY, cseq: 0, hash: 0, sent: 0, delivered: 0 };

    /// Every copy of it was lost: the peer cannot know.
    pub fn is_lost(&self) -> bool {
        self.sent > 0 && self.delivered == 0
    }
}

/// The server as one peer has seen it.
#[derive(Clone, Copy)]
pub struct Server {
    /// The server's tag in the dialog with this peer.
    pub tag: Text<32>,
    /// Only towards callees, where the server makes it.
    pub call_id: Text<48>,
    pub invite: Asked,
    pub cancel: Asked,
    pub ack: Asked,
    pub bye: Asked,
    /// Any other request in the dialog; the last one.
    pub other: Asked,
}

impl Server {
    pub const UNSEEN: Server = Server {
        tag: Text::EMPTY,
        call_id: Text::EMPTY,
        invite: Asked::NEVER,
        cancel: Asked::NEVER,
        ack: Asked::NEVER,
        bye: Asked::NEVER,
        other: Asked::NEVER,
    };

    pub fn request(&self, method: Method) -> &Asked {
        match method {
            Method::Invite => &self.invite,
            Method::Cancel => &self.cancel,
            Method::Ack => &self.ack,
            Method::Bye => &self.bye,
            _ => &self.other,
        }
    }

    pub fn request_mut(&mut self, method: Method) -> &mut Asked {
        match method {
            Method::Invite => &mut self.invite,
            Method::Cancel => &mut self.cancel,
            Method::Ack => &mut self.ack,
            Method::Bye => &mut self.bye,
            _ => &mut self.other,
        }
    }
}
