//! What peers do: they send messages, good but for what the input damages, and time passes.

use crate::choices::{ABILITIES, BODIES, EXTRAS, INTERVALS, LEASTS, PIECES};
use crate::input::Input;
use crate::requests;
use crate::responses;
use crate::sip::Sip;
use crate::world::{World, peer};
use std::fmt::Write;

/// Steps of one script at most.
const OPERATIONS_MAX: usize = 120;

const HOUR_MS: u64 = 3_600_000;

/// A peer and what it says; `None`: there is nothing to say it to.
pub type Said = Option<(usize, String)>;

/// Lets the input play all peers, and the clock.
pub fn play(world: &mut World, input: &mut Input<'_>) {
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            return;
        }
        let said = match input.below(24) {
            0 => {
                let source = peer(input.below(4));
                let bytes = input.text().to_vec();
                world.receive(input.below(256), source, &bytes);
                continue;
            }
            1 => {
                let by_ms = u64::from(input.number());
                world.advance(by_ms * u64::from(input.pick(&[1u8, 1, 8, 60])));
                continue;
            }
            2 => {
                (0..=input.below(32)).for_each(|_| world.advance_to_wake());
                continue;
            }
            3 => {
                world.advance_to_wake();
                continue;
            }
            4 => Some(requests::invite(world, input, "")),
            5 => {
                establish(world, input);
                continue;
            }
            6..=11 => responses::any(world, input),
            12..=16 => requests::in_dialog(world, input),
            17 => requests::acknowledgement(world, input),
            18 => requests::cancel(world, input),
            19 => requests::provisional_acknowledgement(world, input),
            20 => responses::reliable(world, input),
            21 => responses::accepting(world, input),
            22 => {
                repeat(world, input);
                continue;
            }
            _ => {
                rest(world, input);
                continue;
            }
        };
        send(world, input, said);
    }
}

/// What happens seldom.
fn rest(world: &mut World, input: &mut Input<'_>) {
    match input.below(32) {
        31 => world.drain(),
        30 => world.advance(HOUR_MS),
        0..8 => ring_reliably(world, input),
        8..16 => live(world, input),
        _ => {}
    }
}

/// A call that rings reliably on both sides, with what the input puts into it.
fn ring_reliably(world: &mut World, input: &mut Input<'_>) {
    let wish = input.pick(&["Supported: 100rel\r\n", "Require: 100rel\r\n"]);
    let invite = requests::invite(world, input, wish);
    send(world, input, Some(invite));
    let ringing = responses::reliable(world, input);
    send(world, input, ringing);
    let prack = requests::provisional_acknowledgement(world, input);
    send(world, input, prack);
}

/// Time passes, and whatever the shards ask meanwhile is answered as a peer should.
fn live(world: &mut World, input: &mut Input<'_>) {
    let line = format!("{}\r\n", input.pick(&INTERVALS));
    for _ in 0..=input.below(64) {
        let start = world.sent.len();
        world.advance_to_wake();
        for place in start..world.sent.len() {
            if let Some((from, text)) = responses::obliging(world, place, &line) {
                world.receive(0, peer(from), text.as_bytes());
            }
        }
    }
}

/// A call, its answer and its ACK, with what the input puts into them.
fn establish(world: &mut World, input: &mut Input<'_>) {
    let invite = requests::invite(world, input, "");
    send(world, input, Some(invite));
    let answer = responses::accepting(world, input);
    send(world, input, answer);
    let ack = requests::acknowledgement(world, input);
    send(world, input, ack);
}

/// Sends a message as one of the peers, damaged one time in sixteen.
fn send(world: &mut World, input: &mut Input<'_>, said: Said) {
    let Some((from, text)) = said else { return };
    let mut bytes = text.into_bytes();
    if input.one_in(16) {
        for _ in 0..=input.below(4) {
            damage(&mut bytes, input);
        }
    }
    world.receive(input.below(256), peer(from), &bytes);
}

fn damage(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    let at = usize::from(input.number()) % (bytes.len() + 1);
    let end = |length: usize| (at + length).min(bytes.len());
    match input.below(5) {
        0 => drop(bytes.splice(at..end(1), [input.byte()])),
        1 => drop(bytes.drain(at..end(1 + input.below(32)))),
        2 => bytes.truncate(at),
        3 => drop(bytes.splice(at..at, input.pick(&PIECES).iter().copied())),
        _ => {
            // A whole line once more, somewhere else.
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let (from, to) = (input.below(lines.len().max(1)), input.below(lines.len().max(1)));
            if let Some(line) = lines.get(from).copied() {
                lines.insert(to, line);
            }
            *bytes = lines.concat();
        }
    }
}

/// Something that was received before, from the same peer or another one.
fn repeat(world: &mut World, input: &mut Input<'_>) {
    let count = world.received.len();
    if count == 0 {
        return;
    }
    let back = if input.one_in(2) { input.below(8) } else { input.below(count) };
    let (source, bytes) = world.received[count - 1 - back.min(count - 1)].clone();
    let source = if input.one_in(8) { peer(input.below(4)) } else { source };
    world.receive(input.below(256), source, &bytes);
}

/// One of the messages that shards sent and that `is_fit` takes: the newest for 0, and so on.
pub fn pick_sent(world: &World, input: &mut Input<'_>, is_fit: impl Fn(&Sip) -> bool) -> Option<usize> {
    let back = if input.one_in(2) { input.below(4) } else { input.below(256) };
    let places = (0..world.sent.len()).rev().filter(|place| is_fit(&world.sent[*place].sip));
    let places: Vec<usize> = places.collect();
    (!places.is_empty()).then(|| places[back % places.len()])
}

/// Who got a message.
pub fn peer_number(world: &World, place: usize) -> usize {
    let to = world.sent[place].to;
    (0..4).find(|number| peer(*number) == to).unwrap_or_default()
}

pub fn extras(text: &mut String, input: &mut Input<'_>) {
    let choice = input.below(16);
    for _ in 0..[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 3][choice] {
        let _ = write!(text, "{}\r\n", input.pick(&EXTRAS));
    }
}

/// What a message says of session timers and of what its sender can do.
pub fn session(text: &mut String, input: &mut Input<'_>) {
    let choice = input.byte();
    let lists: [&[&str]; 3] = [&INTERVALS, &LEASTS, &ABILITIES];
    for (list, bits) in lists.iter().zip([1, 6, 8]) {
        if choice & bits == bits {
            let _ = write!(text, "{}\r\n", input.pick(list));
        }
    }
}

pub fn body(text: &mut String, input: &mut Input<'_>) {
    let body = input.pick(&BODIES);
    if !body.is_empty() && !text.contains("Content-Type") {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = match input.one_in(8) {
        true => write!(text, "\r\n{body}"),
        false => write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()),
    };
}
