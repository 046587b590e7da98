//! What peers choose from: pieces of messages, good ones, odd ones and bad ones.

/// What a message is damaged with.
pub const PIECES: [&[u8]; 24] = [
    b"\r\n",
    b"\r\n ",
    b" ",
    b"\t",
    b"\0",
    b";",
    b",",
    b"\"",
    b"<",
    b">",
    b"=",
    b":",
    b"@",
    b"%",
    b"\\",
    b"0",
    b"4294967296",
    b"z9hG4bK",
    b"SIP/2.0",
    b";tag=",
    b";rport",
    b"INVITE",
    b"\xff",
    b"\n",
];

pub const PROVISIONAL: [&str; 5] =
    ["180 Ringing", "183 Session Progress", "100 Trying", "199 Early Dialog Terminated", "182 Queued"];

/// Final responses that mean something to a dialog.
pub const TELLING: [&str; 8] = [
    "422 Session Interval Too Small",
    "491 Request Pending",
    "481 Call/Transaction Does Not Exist",
    "408 Request Timeout",
    "500 Server Internal Error",
    "487 Request Terminated",
    "488 Not Acceptable Here",
    "302 Moved Temporarily",
];

pub const STATUSES: [&str; 24] = [
    "100 Trying",
    "180 Ringing",
    "183 Session Progress",
    "199 Early Dialog Terminated",
    "200 OK",
    "202 Accepted",
    "299 ",
    "300 Multiple Choices",
    "302 Moved Temporarily",
    "400 Bad Request",
    "401 Unauthorized",
    "404 Not Found",
    "408 Request Timeout",
    "420 Bad Extension",
    "480 Temporarily Unavailable",
    "481 Call/Transaction Does Not Exist",
    "485 Ambiguous",
    "486 Busy Here",
    "487 Request Terminated",
    "491 Request Pending",
    "500 Server Internal Error",
    "503 Service Unavailable",
    "600 Busy Everywhere",
    "699 x",
];

/// Methods of requests in a dialog, the telling ones oftener.
pub const METHODS: [&str; 16] = [
    "INVITE",
    "UPDATE",
    "INVITE",
    "UPDATE",
    "BYE",
    "INFO",
    "REFER",
    "NOTIFY",
    "OPTIONS",
    "MESSAGE",
    "SUBSCRIBE",
    "UNKNOWN",
    "PRACK",
    "INVITE",
    "UPDATE",
    "BYE",
];

pub const INTERVALS: [&str; 16] = [
    "Session-Expires: 90;refresher=uac",
    "Session-Expires: 90;refresher=uas",
    "Session-Expires: 90",
    "Session-Expires: 90;refresher=uac",
    "Session-Expires: 1800;refresher=uas",
    "Session-Expires: 120;refresher=uac",
    "x: 3600;Refresher=UAC",
    "Session-Expires: 89",
    "Session-Expires: 30;refresher=uac",
    "Session-Expires: 0",
    "Session-Expires: 4294967296;refresher=uac",
    "Session-Expires: 100000;refresher=uas",
    "Session-Expires: ;refresher=uac",
    "Session-Expires: 90;refresher=\"uas\", 100",
    "Session-Expires: 1800;refresher=uac",
    "Session-Expires: 90;refresher=uas",
];

pub const LEASTS: [&str; 6] =
    ["Min-SE: 90", "Min-SE: 120", "Min-SE: 3600", "Min-SE: 86400", "Min-SE: 4294967295", "Min-SE: x"];

/// What a peer can do, or wants done.
pub const ABILITIES: [&str; 10] = [
    "Supported: timer",
    "Supported: 100rel, timer",
    "Supported: 100rel",
    "Require: 100rel",
    "Require: timer",
    "Supported: timer\r\nAllow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE",
    "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE",
    "Allow: INVITE, ACK",
    "Supported: 100rel\r\nAllow: UPDATE",
    "Require: 100rel, timer",
];

/// Other header fields.
pub const EXTRAS: [&str; 26] = [
    "Record-Route: <sip:192.0.2.9;lr>",
    "Record-Route: <sip:p1;lr>, <sip:p2;lr;x=\"a,b\">",
    "Record-Route: <sip:192.0.2.9>",
    "Record-Route: <sip:192.0.2.9:5070;x=y>, <sip:192.0.2.8;lr>",
    "Record-Route: <sip:192.0.2.8;lr>, <sip:192.0.2.9>, \"P\" <sip:192.0.2.7;lr=on>;x",
    "Record-Route: <sip:a;lr>,<sip:b;lr>,<sip:c;lr>,<sip:d;lr>,<sip:e;lr>,<sip:f;lr>,<sip:g;lr>,<sip:h;lr>,\
     <sip:i;lr>,<sip:j;lr>,<sip:k;lr>,<sip:l;lr>,<sip:m;lr>,<sip:n;lr>,<sip:o;lr>,<sip:p;lr>,<sip:q;lr>",
    "Record-Route: <sip:[2001:db8::9];lr>",
    "Route: <sip:192.0.2.8;lr>",
    "Diversion: <sip:1005@h>;reason=no-answer;counter=2",
    "Diversion: \"a,b\" <sip:1006@h>;counter=4294967296, <sip:1003@h>",
    "History-Info: <sip:1004@h>;index=1, <sip:1005@h;cause=408>;index=1.1",
    "Timestamp: 54 1",
    "Subject: a\r\n fold",
    "Reason: Q.850;cause=19",
    "Reason: SIP;cause=200;text=\"a\"\r\nReason: Q.850;cause=26",
    "Retry-After: 9",
    "RSeq: 1",
    "Alert-Info: <http://192.0.2.1/2>",
    "Expires: 5",
    "Content-Type: application/sdp",
    "X-Any: \"<,;",
    "Event: refer;id=1",
    "Require: foo",
    "Proxy-Require: foo",
    "Unsupported: 100rel",
    "Contact: <sip:z@192.0.2.2>",
];

pub const CONTACTS: [&str; 12] = [
    "<sip:x@192.0.2.2:5060>",
    "<sip:x@192.0.2.1:5060>",
    "<sip:y@192.0.2.3:5070>",
    "\"X\" <sip:x@192.0.2.2;transport=udp>;expires=5",
    "<sip:[2001:db8::4]:5060>",
    "sip:x@192.0.2.3;lr",
    "<sip:x>, <sip:y@h>;q=0.5",
    "<tel:+1-2>",
    "<sips:x@192.0.2.2>",
    "*",
    "<sip:x@unknown.invalid>",
    "<sip:%00@192.0.2.2?a=b>",
];

/// Bodies; most are descriptions.
pub const BODIES: [&str; 5] =
    ["", "v=0\r\ns=-\r\n", "v=0\r\ns=2\r\n", "", "v=0\r\no=- 1 2 IN IP4 h\r\ns=-\r\na=sendonly\r\n"];

pub const HOPS: [&str; 6] =
    ["Max-Forwards: 70\r\n", "Max-Forwards: 70\r\n", "", "Max-Forwards: 1\r\n", "Max-Forwards: 0\r\n", ""];
