//! What holds for any description that is told again, seen by the plainest eyes. The fuzz target `sdp` asks
//! the same.

use ringway::sdp::{Description, Stream, Told, find, rewrite, splice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A text's lines with their ends.
fn lines(text: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let mut end = start;
        while end < text.len() && text[end] != b'\r' && text[end] != b'\n' {
            end += 1;
        }
        let behind = &text[end..];
        let length = if behind.starts_with(b"\r\n") { 2 } else { behind.len().min(1) };
        found.push((&text[start..end], &behind[..length]));
        start = end + length;
    }
    found
}

/// The small letters of an attribute's name and the colon behind it; empty for other lines.
fn attribute(line: &[u8]) -> Vec<u8> {
    let Some(text) = line.strip_prefix(b"a=") else { return Vec::new() };
    let text = text.trim_ascii().to_ascii_lowercase();
    let length = text.iter().position(|byte| *byte == b':').map_or(text.len(), |colon| colon + 1);
    text[..length].to_vec()
}

fn is_rtcp(line: &[u8]) -> bool {
    matches!(&attribute(line)[..], b"rtcp:" | b"rtcp")
}

/// A line of ICE, or one that bundles.
fn is_ice(line: &[u8]) -> bool {
    let name = attribute(line);
    let name = name.strip_suffix(b":").unwrap_or(&name);
    let value = line.iter().position(|byte| *byte == b':').map_or(&[][..], |colon| &line[colon + 1..]);
    let bundle = value.split(|byte| b" \t".contains(byte)).find(|word| !word.is_empty());
    let names: [&[u8]; 4] = [b"candidate", b"remote-candidates", b"end-of-candidates", b"bundle-only"];
    names.contains(&name)
        || name.starts_with(b"ice-")
        || name == b"group" && bundle.is_some_and(|word| word.trim_ascii().eq_ignore_ascii_case(b"bundle"))
}

/// The lines that are not about addresses; of `m=` lines what is not their port.
fn kept(text: &[u8]) -> Vec<Vec<u8>> {
    let is_kept =
        |line: &[u8]| !line.starts_with(b"c=") && !line.starts_with(b"o=") && !is_rtcp(line) && !is_ice(line);
    let mut all: Vec<Vec<u8>> = Vec::new();
    let lines = lines(text);
    for (number, (line, end)) in lines.iter().enumerate().filter(|(_, (line, _))| is_kept(line)) {
        let mut line = line.to_vec();
        if line.starts_with(b"m=") {
            let is_blank = |byte: &u8| b" \t".contains(byte);
            let media = 2 + line[2..].iter().position(|byte| !is_blank(byte)).expect("media");
            let blank = media + line[media..].iter().position(is_blank).expect("a blank");
            let port = blank + line[blank..].iter().position(|byte| !is_blank(byte)).expect("a port");
            let end = port + line[port..].iter().position(is_blank).expect("a blank");
            line.drain(port..end);
        }
        // A line may have come behind the last one.
        let is_last = number + 1 == lines.len() || end.is_empty();
        line.extend_from_slice(if is_last { b"" } else { end });
        all.push(line);
    }
    all
}

fn without_last_end(mut lines: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if let Some(last) = lines.last_mut() {
        last.truncate(last.iter().position(|byte| b"\r\n".contains(byte)).unwrap_or(last.len()));
    }
    lines
}

/// 0.0.0.0 or `::` for a zero address, else `own`.
fn told_for(theirs: Option<IpAddr>, own: IpAddr) -> IpAddr {
    let is_held = theirs.is_some_and(|address| address.to_canonical().is_unspecified());
    match own {
        _ if !is_held => own,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A stream as it is told: the same but for where it is.
fn assert_told(before: &Stream, after: &Stream, own: IpAddr, place: Option<SocketAddr>) {
    let port = place.filter(|_| before.port != 0 && before.is_udp).map_or(0, |place| place.port());
    assert_eq!(after.port, port);
    let same = Stream { port: after.port, address: after.address, rtcp: after.rtcp, ..*before };
    assert_eq!(*after, same);
    let address = told_for(before.address, own);
    if port == 0 {
        assert_eq!(after.rtcp, None);
        assert!(after.address.is_none_or(|told| told == address));
    } else {
        assert_eq!(after.address, Some(address));
        assert!(before.rtcp.is_none() || after.rtcp.is_some());
        if let Some((rtcp, address)) = after.rtcp {
            assert_eq!(rtcp, port.saturating_add(1));
            assert!(address.is_some_and(|address| address == own || address == told_for(Some(zero()), own)));
        }
    }
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (before, after) = (before.remote(host), after.remote(host));
    assert!(after.rtp.is_none_or(|rtp| rtp == SocketAddr::new(own, port)));
    assert_eq!((before.is_rtp, before.has_mux, before.is_held), (after.is_rtp, after.has_mux, after.is_held));
}

fn zero() -> IpAddr {
    Ipv4Addr::UNSPECIFIED.into()
}

/// No line says where the party is.
fn assert_hidden(out: &[u8], told: &Told, own: IpAddr) {
    let family = if own.is_ipv4() { "IP4" } else { "IP6" };
    let [ours, held] = [own, told_for(Some(zero()), own)].map(|address| format!("IN {family} {address}"));
    let origin = format!("o=- {} {} {ours}", told.id, told.version);
    let mut origins = 0;
    for (line, _) in lines(out) {
        let text = String::from_utf8_lossy(line);
        if line.starts_with(b"c=") {
            assert!([&ours, &held].iter().any(|own| text[2..] == own[..]), "{text}");
        } else if line.starts_with(b"o=") {
            assert_eq!(text, origin);
            origins += 1;
        } else if is_rtcp(line) {
            assert!([&ours, &held].iter().any(|own| text.ends_with(&format!(" {own}"))), "{text}");
        } else {
            assert!(!is_ice(line), "{text}");
        }
    }
    assert_eq!(origins, 1);
}

/// Whether these bytes are a description; if so it is told again, and everything that was promised of that
/// is looked at. Places that are missing are none.
pub fn hold(text: &[u8], own: IpAddr, places: &[Option<SocketAddr>]) -> bool {
    let Ok(before) = Description::read(text) else { return false };
    assert!(before.streams().len() <= 32);
    let mut told = Told::new(9);
    let mut out = Vec::new();
    rewrite(&mut out, &before, &mut told, (own, places));
    assert_eq!((told.id, told.version), (9, 9));
    assert_hidden(&out, &told, own);
    // Between a line that ends with CR and an empty one that is LF alone a line may have gone.
    let [after, as_before] = [&out[..], text].map(|text| without_last_end(kept(text)).concat());
    assert_eq!(after, as_before, "{}", out.escape_ascii());

    let after = Description::read(&out).expect("what is told can be read");
    assert_eq!(after.streams().len(), before.streams().len(), "{}", out.escape_ascii());
    for (number, (before, after)) in before.streams().iter().zip(after.streams()).enumerate() {
        assert_told(before, after, own, places.get(number).copied().flatten());
    }
    // Told again it is the same, also of what was told.
    for description in [&before, &after] {
        let mut again = Vec::new();
        rewrite(&mut again, description, &mut told, (own, places));
        assert_eq!((&again, told.version), (&out, 9));
    }
    // Something else is a new version, once.
    let other = [text, b"\na=other\n"].concat();
    let other = Description::read(&other).expect("a line more does no harm");
    for _ in 0..2 {
        rewrite(&mut Vec::new(), &other, &mut told, (own, places));
        assert_eq!(told.version, 10);
    }
    assert_parted(text, &out);
    true
}

/// As a part of a body it is found, and another one takes its place.
fn assert_parted(text: &[u8], other: &[u8]) {
    let head =
        b"--sdp-part\r\nContent-Type: text/plain\r\n\r\n\r\n--sdp-part\r\nContent-Type: application/sdp\r\n";
    let tail = b"\r\n--sdp-part--\r\n";
    let body = [&head[..], b"Content-Length: 1\r\n\r\n", text, tail].concat();
    if text.windows(10).any(|window| window == b"--sdp-part") {
        return;
    }
    let place = find(b"multipart/mixed; boundary=\"sdp-part\"", &body).expect("a part");
    assert_eq!(&body[place.clone()], text);
    let mut out = Vec::new();
    splice(&mut out, &body, place, |out| out.extend_from_slice(other));
    assert_eq!(out, [&head[..], b"\r\n", other, tail].concat());
}
