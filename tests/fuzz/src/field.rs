//! A good message but for one field: the values that are read eagerly, as the naive scanner reads them.

use crate::agreement::assert_agreement;
use crate::input::Input;

const LINES: [&str; 6] = [
    "Via: SIP/2.0/UDP h;branch=b",
    "From: <sip:a>;tag=f",
    "To: <sip:b>;tag=t",
    "Call-ID: call",
    "CSeq: 1 INVITE",
    "Max-Forwards: 70",
];

const STARTS: [&str; 3] = ["INVITE sip:b@c SIP/2.0", "SIP/2.0 200 OK", "OPTIONS sip:b SIP/2.0"];

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let start = input.pick(&STARTS);
    let which = input.below(LINES.len() + 3);
    let rest = input.rest();
    let (value, body) = rest.split_at(rest.iter().rposition(|byte| *byte == 0).unwrap_or(rest.len()));
    let mut message = match which {
        0 => value.to_vec(),
        _ => start.as_bytes().to_vec(),
    };
    message.extend_from_slice(b"\r\n");
    for (number, line) in LINES.iter().enumerate() {
        let name = line.split_inclusive(": ").next().unwrap_or_default();
        let is_it = number + 1 == which;
        message.extend_from_slice(if is_it { name } else { line }.as_bytes());
        message.extend_from_slice(if is_it { value } else { b"" });
        message.extend_from_slice(b"\r\n");
    }
    match which {
        7 => message.extend_from_slice(&[b"l:", value, b"\r\n"].concat()),
        // A whole line.
        8 => message.extend_from_slice(&[value, b"\r\n"].concat()),
        _ => {}
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(body);
    assert_agreement(&message);
}
