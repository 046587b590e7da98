//! Responses of peers to what the shards asked.

use crate::choices::{CONTACTS, PROVISIONAL, STATUSES, TELLING};
use crate::input::Input;
use crate::peers::{Said, body, extras, peer_number, pick_sent, session};
use crate::sip::Sip;
use crate::world::World;
use std::fmt::Write;

/// Any response to any request.
pub fn any(world: &mut World, input: &mut Input<'_>) -> Said {
    let place = pick_sent(world, input, |sip| sip.is_request() && sip.method != "ACK")?;
    let is_invite = world.sent[place].sip.method == "INVITE";
    let status = match input.below(8) {
        0 | 1 if is_invite => input.pick(&PROVISIONAL),
        0..=4 => "200 OK",
        5 | 6 => input.pick(&TELLING),
        _ => input.pick(&STATUSES),
    };
    response(world, input, (place, status), "")
}

/// A reliable provisional response: most often the next one, else one that came before or comes too early.
pub fn reliable(world: &mut World, input: &mut Input<'_>) -> Said {
    let place = pick_sent(world, input, |sip| sip.is_request() && sip.method == "INVITE")?;
    let last = world.last_rseq(&world.sent[place].sip.branch);
    let rseq = match input.below(8) {
        0 => last,
        1 => last.saturating_add(2),
        2 => input.pick(&[0, 1, u32::MAX, 0x7fff_ffff]),
        _ => last.saturating_add(1),
    };
    let status = if input.one_in(2) { "183 Session Progress" } else { "180 Ringing" };
    response(world, input, (place, status), &format!("Require: 100rel\r\nRSeq: {rseq}\r\n"))
}

/// 200 to an INVITE.
pub fn accepting(world: &mut World, input: &mut Input<'_>) -> Said {
    let place = pick_sent(world, input, |sip| sip.is_request() && sip.method == "INVITE")?;
    response(world, input, (place, "200 OK"), "")
}

/// What an obliging peer answers to a message, with these lines of a session timer.
pub fn obliging(world: &World, place: usize, lines: &str) -> Said {
    let sip = &world.sent[place].sip;
    match sip.is_request() && sip.method != "ACK" {
        true => response(world, &mut Input::new(&[]), (place, "200 OK"), lines),
        false => None,
    }
}

fn response(world: &World, input: &mut Input<'_>, of: (usize, &str), lines: &str) -> Said {
    let (place, status) = of;
    let request: &Sip = &world.sent[place].sip;
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From"] {
        let _ = write!(text, "{name}: {}\r\n", request.one(name));
    }
    let tag = match request.to_tag.is_empty() {
        true => input.pick(&[";tag=t0", ";tag=t0", ";tag=t0", ";tag=t1", ";tag=t1", ";tag=t2", ""]),
        false => "",
    };
    let _ = write!(text, "To: {}{tag}\r\n", request.one("To"));
    for name in ["Call-ID", "CSeq"] {
        let _ = write!(text, "{name}: {}\r\n", request.one(name));
    }
    if !input.one_in(8) {
        let _ = write!(text, "Contact: {}\r\n", input.pick(&CONTACTS));
    }
    text.push_str(lines);
    session(&mut text, input);
    extras(&mut text, input);
    body(&mut text, input);
    Some((peer_number(world, place), text))
}
