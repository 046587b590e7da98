//! Silence ends calls; and what is counted is told.

use crate::lab::Lab;
use crate::lab::media::described;
use crate::lab::party::both_byed_and_finish;
use crate::lab::peer::{A, B, C};
use crate::{A_PORT, C_PORT, Talk, anchored, calling};
use ringway::mail::Cause;
use ringway::settings::Silence;

const REASON: &str = "Q.850;cause=102;text=\"Media timeout\"";

/// A call that silence of 10 s ends.
#[track_caller]
fn talk(silence: Silence) -> Talk {
    Talk::in_lab(anchored(|setup| {
        setup.settings.media.timeout_ms = 10_000;
        setup.settings.media.silence = silence;
    }))
}

impl Talk {
    fn a_sends(&mut self) {
        assert!(self.lab.rtp(self.a_end.own, self.a_end.told).is_ok());
    }

    fn c_sends(&mut self) {
        assert!(self.lab.rtp(self.c_end.own, self.c_end.told).is_ok());
    }

    /// Both are hung up within so many milliseconds, and not long before.
    #[track_caller]
    fn ends_after(mut self, ms: u64) {
        self.lab.advance(ms - 100);
        self.lab.expect_nothing();
        self.lab.advance(200);
        for party in [&self.a, &self.c] {
            assert_eq!(self.lab.last_to(party.peer).one("Reason"), REASON);
        }
        assert_eq!(self.lab.metrics().calls_silent, 1);
        let Talk { mut lab, a, c, .. } = self;
        a.hung_up(&mut lab);
        c.hung_up(&mut lab);
        assert_eq!(lab.records.len(), 2);
        assert!(lab.records.iter().all(|record| record.leg.cause == Cause::MediaTimeout));
        lab.finish();
    }

    #[track_caller]
    fn lasts(&mut self, ms: u64) {
        self.lab.advance(ms);
        self.lab.expect_nothing();
    }
}

#[test]
fn a_call_in_which_nobody_is_ever_heard_ends() {
    for silence in [Silence::Both, Silence::One] {
        talk(silence).ends_after(10_000);
    }
}

#[test]
fn the_last_packet_of_either_side_counts() {
    let mut talk = talk(Silence::Both);
    for _ in 0..4 {
        talk.lasts(9_000);
        talk.a_sends();
    }
    talk.lasts(9_000);
    talk.c_sends();
    talk.ends_after(10_000);
}

#[test]
fn one_silent_side_is_enough_where_that_is_asked_for() {
    let mut talk = talk(Silence::One);
    for _ in 0..3 {
        talk.lasts(5_000);
        talk.a_sends();
        talk.c_sends();
    }
    talk.lasts(6_000);
    talk.a_sends();
    talk.ends_after(4_000);
}

#[test]
fn packets_of_strangers_are_no_life() {
    let mut talk = talk(Silence::Both);
    talk.lasts(9_000);
    assert!(talk.lab.rtp(crate::lab::media::at(B, A_PORT), talk.a_end.told).is_err());
    talk.ends_after(1_000);
}

#[test]
fn a_held_call_is_not_ended_and_resuming_begins_anew() {
    for silence in [Silence::Both, Silence::One] {
        for (held, answer) in [("a=sendonly\r\n", "a=recvonly\r\n"), ("a=inactive\r\n", ""), ("zero", "")] {
            let mut talk = talk(silence);
            let (mine, theirs) = (described(A, A_PORT), described(C, C_PORT));
            let offer = match held {
                "zero" => mine.replace("c=IN IP4 127.0.0.137", "c=IN IP4 0.0.0.0"),
                line => mine.clone() + line,
            };
            // Some do not say that they do not send; they do not all the same.
            talk.offer(&offer, &(theirs.clone() + answer));
            talk.lasts(60_000);
            talk.offer(&mine, &theirs);
            talk.lasts(9_000);
            talk.a_sends();
            talk.c_sends();
            talk.ends_after(10_000);
        }
    }
}

#[test]
fn it_can_be_off() {
    let mut talk = Talk::new();
    talk.lasts(3_600_000);
    talk.finish();
}

#[test]
fn ringing_is_no_silence() {
    let mut lab = anchored(|setup| setup.settings.media.timeout_ms = 10_000);
    let (mut caller, c) = calling(&mut lab, C, &[]);
    c.respond_with(&mut lab, "183 Session Progress", &[], &described(C, C_PORT));
    lab.expect(A, "183 INVITE");
    lab.advance(60_000);
    c.respond_with(&mut lab, "200 OK", &[], &described(C, C_PORT));
    let answer = caller.answered_and_acked(&mut lab);
    lab.expect(C, "ACK");
    lab.advance(9_900);
    lab.expect_nothing();
    lab.advance(200);
    let (a, c) = (crate::lab::party::Party::caller(&caller, &answer), crate::lab::party::Party::callee(&c));
    both_byed_and_finish(lab, &a, &c);
}

/// Packets received and sent, and drops.
fn counted(figures: Option<ringway::media::Figures>) -> (u64, u64, u64) {
    let figures = figures.expect("anchored media");
    (figures.received.packets, figures.sent.packets, figures.dropped)
}

#[test]
fn what_passed_is_told_to_the_operator_and_recorded() {
    let mut talk = Talk::new();
    for _ in 0..7 {
        talk.a_sends();
    }
    for _ in 0..3 {
        talk.c_sends();
    }
    assert!(talk.lab.rtp(crate::lab::media::at(B, 1), talk.c_end.told).is_err());
    let calls = talk.lab.live_calls();
    let [call] = &calls[..] else { panic!("{calls:?}") };
    let [leg] = &call.legs[..] else { panic!("{call:?}") };
    assert_eq!((counted(call.media), counted(leg.media)), ((7, 3, 0), (3, 7, 1)));
    let Talk { mut lab, mut a, c, .. } = talk;
    let bye = a.request(&mut lab, "BYE", &[], "");
    a.expect_response(&mut lab, &bye, 200);
    c.hung_up(&mut lab);
    let figures: Vec<_> =
        lab.records.iter().map(|record| (record.leg.leg, counted(record.leg.media))).collect();
    assert_eq!(figures, [(1, (3, 7, 1)), (0, (7, 3, 0))]);
    let received = lab.records[0].leg.media.expect("figures").received;
    assert_eq!(received.bytes, 3 * 172);
    lab.finish();
}

#[test]
fn figures_of_streams_that_went_count_on() {
    let mut talk = Talk::new();
    let video = |body: String, port: u16| body + &format!("m=video {port} RTP/AVP 96\r\n");
    talk.a_sends();
    let (to_c, to_a) = talk.offer(&video(described(A, A_PORT), 6_000), &video(described(C, C_PORT), 6_600));
    let (to_c, to_a) = (crate::lab::media::places(&to_c)[1], crate::lab::media::places(&to_a)[1]);
    assert!(talk.lab.rtp(crate::lab::media::at(A, 6_000), to_a).is_ok());
    assert!(talk.lab.rtp(crate::lab::media::at(C, 6_600), to_c).is_ok());
    talk.offer(&video(described(A, A_PORT), 0), &video(described(C, C_PORT), 0));
    talk.c_sends();
    let calls = talk.lab.live_calls();
    assert_eq!((counted(calls[0].media), counted(calls[0].legs[0].media)), ((2, 2, 0), (2, 2, 0)));
    talk.finish();
}

#[test]
fn calls_without_anchored_media_have_no_figures() {
    let mut lab = Lab::new();
    let (caller, c) = crate::lab::scene::talking(&mut lab);
    assert_eq!(lab.live_calls()[0].media, None);
    crate::lab::scene::hang_up_and_finish(lab, caller, &c);
}
