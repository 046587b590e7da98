//! Whatever came, put together at random of what such header fields are made of, keeps the fuzz target's
//! promises (`tests/fuzz/src/history.rs`).

use crate::promises;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Pieces of Diversion, History-Info and Privacy; a NUL goes on to the next of the three.
const PIECES: [&str; 40] = [
    "<sip:1001@x>",
    "<sip:1004@h>",
    "<sip:1004@h;cause=486>",
    "<sip:2@x;cause=302>",
    "<tel:+49301>",
    "<urn:x>",
    "sip:3@x",
    "<sip:anonymous@anonymous.invalid>",
    "<sip:unknown@unknown.invalid;cause=404>",
    "<sip:5@x?Privacy=history>",
    "<sip:5@x;cause=408?Reason=SIP%3Bcause%3D486&Privacy=id>",
    "\"A, b\" ",
    "\"open",
    "<",
    ">",
    ";reason=user-busy",
    ";reason=\"no-answer\"",
    ";reason=away",
    ";counter=1",
    ";counter=7",
    ";counter=99999999999999999999",
    ";privacy=full",
    ";privacy=off",
    ";privacy=\"uri\"",
    ";index=1",
    ";index=1.1",
    ";index=1.1.1",
    ";index=x",
    ";index",
    ";mp=1",
    ";mp=1.1",
    ";mp=9",
    ";rc=1",
    ", ",
    ", ",
    ",",
    "\0",
    "\0",
    "history",
    "header;id",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_came_what_is_told_is_readable_bounded_and_hides(
        settings in vec(any::<u8>(), 4..24),
        pieces in vec(select(PIECES.to_vec()), 0..60),
    ) {
        promises::run(&[&settings, pieces.concat().as_bytes()].concat());
    }
}

#[test]
fn good_histories_keep_the_promises() {
    for form in 0..4 {
        for trusted in 0..2 {
            let entries = "<sip:1@x?Privacy=history>;index=1, <sip:1004@h;cause=302>;index=1.1;mp=1";
            let rest = format!("<sip:3@x>;reason=away;counter=3;privacy=full\0{entries}\0history");
            let settings = [form, trusted, 0, 2, 0, 0, 0, 1, 0, 1];
            promises::run(&[&settings, rest.as_bytes()].concat());
        }
    }
}
