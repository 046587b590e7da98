//! A call from A to C that was answered, with a stream of audio.

use super::rtp::assert_talk;
use super::{Dialog, Line, Message, Phone, Scene, sdp};
use std::net::SocketAddr;

pub struct Call {
    /// Each side's dialog with the server.
    pub a: Dialog,
    pub c: Dialog,
    pub a_line: Line,
    pub c_line: Line,
    /// Where each was told to send.
    pub a_told: SocketAddr,
    pub c_told: SocketAddr,
    /// The INVITE that C got and the 200 that A got.
    pub invite: Message,
    pub response: Message,
}

impl Call {
    /// Each offers and answers one stream of audio.
    #[track_caller]
    pub fn new(scene: &Scene) -> Call {
        let (a_line, c_line) = (Line::new(scene.a.host()), Line::new(scene.c.host()));
        let offer = sdp::of(scene.a.host(), 1, &[sdp::audio(a_line.port())]);
        let answer = sdp::of(scene.c.host(), 1, &[sdp::audio(c_line.port())]);
        Call::with(scene, (a_line, &offer), (c_line, &answer))
    }

    /// With these descriptions.
    #[track_caller]
    pub fn with(scene: &Scene, (a_line, offer): (Line, &str), (c_line, answer): (Line, &str)) -> Call {
        let mut a = scene.a.dial("1005", offer);
        let invite = scene.c.request("INVITE");
        let c = Dialog::called(&invite);
        scene.c.respond(&invite, "200 OK", answer);
        let response = scene.a.answered(&mut a);
        scene.c.request_in(&c, "ACK");
        let c_told = sdp::places(invite.body())[0];
        let a_told = sdp::places(response.body())[0];
        Call { a, c, a_line, c_line, a_told, c_told, invite, response }
    }

    /// Both hear each other.
    #[track_caller]
    pub fn assert_talk(&self) {
        assert_talk((&self.a_line, self.a_told), (&self.c_line, self.c_told));
    }

    /// A offers anew, C answers; the bodies as C and A get them.
    #[track_caller]
    pub fn offer_anew(&mut self, scene: &Scene, offer: &str, answer: &str) -> [String; 2] {
        renew((&scene.a, &mut self.a), (&scene.c, &self.c), offer, answer)
    }

    /// A hangs up.
    #[track_caller]
    pub fn end(&self, scene: &Scene) {
        scene.a.send_in(&self.a, "BYE", "");
        scene.c.hung_up(&self.c);
        scene.a.response(&self.a, "BYE", 200);
    }
}

/// A re-INVITE of one side that the other takes; the bodies as the other and the one get them.
#[track_caller]
pub fn renew(
    (one, one_dialog): (&Phone, &mut Dialog),
    (other, other_dialog): (&Phone, &Dialog),
    offer: &str,
    answer: &str,
) -> [String; 2] {
    one.send_in(one_dialog, "INVITE", offer);
    let invite = other.request_in(other_dialog, "INVITE");
    other.respond(&invite, "200 OK", answer);
    let response = one.answered(one_dialog);
    other.request_in(other_dialog, "ACK");
    [invite.body().to_owned(), response.body().to_owned()]
}
