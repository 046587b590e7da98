//! Inputs to start from, made of public SIP messages. They are looked for under `SIP_CORPORA`; where
//! there are none, a target starts from what it has of its own.

use std::fs;
use std::path::{Path, PathBuf};

/// Larger files are no single messages.
const MESSAGE_BYTES_MAX: u64 = 8_192;

/// Directories under the corpora that hold messages, and one that holds URIs.
const MESSAGES: [&str; 5] = [
    "rfc4475/messages",
    "rfc5118/messages",
    "rfc-flows",
    "pjproject-fuzz-seeds/unzipped/fuzz-sip",
    "pjproject-fuzz-seeds/unzipped/fuzz-sip-dialog",
];
const URIS: [&str; 2] = ["pjproject-fuzz-seeds/unzipped/fuzz-uri", "pjproject-fuzz-seeds/unzipped/fuzz-url"];

/// Fills the directory that `RINGWAY_SEEDS` names, if it does, before the corpus is read.
pub fn plant(target: &str) {
    let Some(directory) = std::env::var_os("RINGWAY_SEEDS").map(PathBuf::from) else { return };
    let seeds = seeds(target);
    for (number, seed) in seeds.iter().enumerate() {
        let written = fs::write(directory.join(format!("seed-{number:05}")), seed);
        written.expect("a directory that can be written to");
    }
    println!("{target}: {} seeds", seeds.len());
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = own(target);
    let Some(corpora) = std::env::var_os("SIP_CORPORA").map(PathBuf::from) else {
        println!("{target}: SIP_CORPORA is not set, public messages skipped");
        return seeds;
    };
    for name in MESSAGES.iter().chain(&URIS) {
        let files = files(&corpora.join(name));
        if files.is_empty() {
            println!("{target}: no {name} here, skipped");
        }
        for text in files {
            seeds.extend(inputs(target, URIS.contains(name), &text));
        }
    }
    seeds
}

fn files(directory: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else if fs::metadata(&entry).is_ok_and(|metadata| metadata.len() <= MESSAGE_BYTES_MAX) {
            found.extend(fs::read(&entry));
        }
    }
    found
}

/// A message, or a URI, as inputs of a target.
fn inputs(target: &str, is_uri: bool, text: &[u8]) -> Vec<Vec<u8>> {
    let length = u16::try_from(text.len().min(2_047)).unwrap_or_default().to_le_bytes();
    let values = |names: &[&str]| -> Vec<Vec<u8>> {
        let lines = text.split(|byte| *byte == b'\n').map(|line| line.trim_ascii());
        let value = |line: &[u8]| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let is_it =
                names.iter().any(|name| line[..colon].trim_ascii().eq_ignore_ascii_case(name.as_bytes()));
            is_it.then(|| line[colon + 1..].trim_ascii().to_vec())
        };
        lines.filter_map(value).collect()
    };
    match (target, is_uri) {
        ("uri", true) => vec![text.to_vec()],
        ("uri", false) => text.split(|byte| b" <>".contains(byte)).map(<[u8]>::to_vec).take(3).collect(),
        (_, true) => Vec::new(),
        ("scan", _) => vec![text.to_vec()],
        ("field", _) => (1..=6)
            .zip([
                &["Via", "v"][..],
                &["From", "f"],
                &["To", "t"],
                &["Call-ID"],
                &["CSeq"],
                &["Max-Forwards"],
            ])
            .flat_map(|(which, names)| {
                values(names).into_iter().map(move |value| [&[0, which], &value[..]].concat())
            })
            .collect(),
        ("address", _) => {
            values(&["From", "To", "Contact", "f", "t", "m", "Route", "Record-Route", "Diversion"])
        }
        ("list", _) => {
            values(&["Contact", "Record-Route", "Diversion", "History-Info", "Supported", "Allow", "Via"])
        }
        // Four bytes of settings and no diversion of ours, then the values of each header field by turns.
        ("history", _) => {
            let diversion = values(&["Diversion"]).concat();
            let entries = values(&["History-Info"]).concat();
            vec![[&[2, 1, 1, 0][..], &diversion, &[0], &entries].concat()]
        }
        ("authorization", _) => values(&["Authorization", "Proxy-Authorization"]),
        ("via", _) => values(&["Via", "v"]),
        // Five bytes of settings, no Content-Type, and the body.
        ("sdp", _) => {
            let body = text.windows(4).position(|window| window == b"\r\n\r\n").map(|at| &text[at + 4..]);
            body.filter(|body| !body.is_empty()).map(|body| [&[0; 6], body].concat()).into_iter().collect()
        }
        ("write", _) => vec![[&[0; 5], text].concat()],
        ("reply", _) => vec![[&[0, 1, 2, 100, 0][..], text].concat()],
        ("transaction", _) => vec![[&[0][..], &length, text].concat()],
        // Three bytes of settings, then: this datagram from the first source.
        ("register", _) => vec![[&[0, 0, 0, 2][..], &length, text, &[0]].concat()],
        // Three bytes of settings, then: this datagram, from the first peer, to the first shard.
        ("shard" | "shards", _) => vec![[&[1, 6, 0, 0, 0][..], &length, text, &[0, 3, 3, 3]].concat()],
        _ => Vec::new(),
    }
}

/// What a target starts from without any corpora.
fn own(target: &str) -> Vec<Vec<u8>> {
    let texts: &[&[u8]] = match target {
        "config" => &[
            b"\0listen = [\"udp:192.0.2.1:5060\", \"udp:[2001:db8::9]:5060\"]\nno-answer-timeout = 20\n\
              ack = \"relay\"\n[[subscriber]]\n\
              number = \"1004\"\ncontact = \"sip:1004@192.0.2.136:5060\"\nno-answer = \"1005\"\nafter = 20\n\
              [[subscriber]]\nnumber = \"1005\"\ncontact = \"sip:1005@[2001:db8::1]\"\n",
            b"\x01--listen\nudp:192.0.2.1:5060\n--max-calls=100\n--shards=2\n\
              --subscriber=number=1,contact=sip:1@192.0.2.7",
            b"\x02LISTEN=udp:192.0.2.1:5060\nSUBSCRIBER=number=1,contact=sip:1@192.0.2.7",
        ],
        "subscriber" => &[
            b"number=1004,contact=sip:1004@192.0.2.136:5060,no-answer=1005,after=20\n\
              number=1005,contact=sip:[2001:db8::1]:5070;transport=udp",
            b"number=+49-30;ext=1,contact=SIP:192.0.2.7",
        ],
        "authorization" => &[
            b"Digest username=\"1003\", realm=\"ringway\", nonce=\"84a4\", uri=\"sip:1004@[::1]\", \
              response=\"753927fa\", algorithm=SHA-256, cnonce=\"a,\\\"b\", qop=auth, nc=0000001f",
            b"digest username=1003,realm=a,nonce=b,uri=sip:c,response=d",
        ],
        "codes" => &[
            b"\0**61*1005*11*20#\0v=0\r\nt=0 0\r\nm=audio 1 RTP/AVP 97\r\na=rtpmap:97 iLBC/8000\r\n\
              m=video 0 RTP/SAVP 1",
            b"*9=register:all\0*91005#\0v=0\nm=audio 1/2 RTP/AVPF 0",
        ],
        "sdp" => &[
            b"\0\0\0\0\0\0v=0\r\no=a 1 1 IN IP4 10.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
              a=sendonly\r\nm=audio 4000/2 RTP/AVP 97 0\r\ni=x\r\nc=IN IP4 0.0.0.0\r\n\
              a=rtcp:4001 IN IP4 10.0.0.1\r\na=rtcp-mux\r\n\
              a=rtpmap:97 PCMA/8000\r\na=candidate:1\r\na=ice-pwd:x\r\nm=image 4 udptl t38",
            b"\x01\x01\0\0\0multipart/mixed;boundary=\"b\"\0--b\r\n\r\n--b\r\nContent-Length: 9\r\n\
              Content-Type: application/sdp\r\n\r\nv=0\nm=audio 1 RTP/SAVP 0\n\r\n--b--\r\n",
        ],
        "history" => &[
            b"\x02\x01\x01\0<sip:3@x>;reason=user-busy;counter=2, <tel:+49>;privacy=full\0",
            b"\x02\x01\x01\0\0<sip:1@x?Privacy=history>;index=1,<sip:2@x;cause=302>;index=1.1;mp=1\0history",
        ],
        "list" => &[b";tag=1;branch=\"a;b\\\"\";x", b"<a,b>, \"c,\\\"d\" <e>;f,, g"],
        "uri" => &[b"sip:%41lice:pw@[::1]:5060;lr;x=y?a=b\0Alice", b"tel:+1-2;phone-context=a"],
        _ => &[b"\0"],
    };
    texts.iter().map(|text| text.to_vec()).collect()
}
