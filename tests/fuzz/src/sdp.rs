//! Session descriptions: whatever they say, what is told of them is ours, and the rest is as it was.

use crate::input::Input;
use crate::told::hold;
use ringway::sdp::{Origin, answer_tone, find, splice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub fn run(data: &[u8]) {
    // Which address, which streams are refused, then a Content-Type up to a zero byte, a body.
    let mut input = Input::new(data);
    let own = match input.byte() % 2 {
        0 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        _ => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    };
    let refused = input.wide();
    let rest = input.rest();
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (kind, body) = rest.split_at(end);
    let body = body.strip_prefix(b"\0").unwrap_or(body);
    let places: Vec<Option<SocketAddr>> = (0..32u16)
        .map(|number| (refused & 1 << number == 0).then(|| SocketAddr::new(own, 30_000 + 2 * number)))
        .collect();
    hold(body, own, &places);
    if let Some(place) = find(kind, body) {
        hold(&body[place.clone()], own, &places);
        let mut out = Vec::new();
        splice(&mut out, body, place.clone(), |out| out.extend_from_slice(&body[place.clone()]));
        assert!(out.len() <= body.len() && out.ends_with(&body[place.start..]));
    }
    let origin = Origin { host: "192.0.2.1", is_ipv6: false, id: 1 };
    let rtp = SocketAddr::new(own, 30_000);
    let mut answer = Vec::new();
    match answer_tone(&mut answer, body, origin, rtp) {
        Err(_) => assert!(answer.is_empty()),
        Ok(tone) => {
            // A line of the offer's may have it in its midst and be said again.
            let lines = answer.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end());
            let tones = lines.filter(|line| line == b"a=sendonly").count();
            assert_eq!(tones, usize::from(tone.is_some()), "{}", crate::shown(&answer));
            // Nobody is listening to one who sends only.
            assert_eq!(answer_tone(&mut Vec::new(), &answer, origin, rtp), Ok(None));
        }
    }
}
