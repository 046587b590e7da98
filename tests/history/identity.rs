//! Whose identity a carrier is told: that of the number of ours that forwarded the call (`--peer
//! identity=diverting`).

use crate::lab::peer::{B, C, Setup};
use crate::own::route_to;
use crate::{forwarded, know, passed_on, trust};
use ringway::directory::Condition;
use ringway::service::{AssertedParty, NumberRule};

const ASSERTED: &str = "P-Asserted-Identity: <sip:1003@carrier.example>";

fn diverting(setup: &mut Setup) {
    know(setup, C, None, AssertedParty::Diverting);
    trust(setup, crate::lab::peer::A);
    trust(setup, C);
}

#[test]
fn the_diverting_numbers_identity_goes_instead_of_the_callers() {
    let c = forwarded(diverting, &[ASSERTED, "Remote-Party-ID: <sip:1003@x>"]);
    assert_eq!(c.all("P-Asserted-Identity"), ["<sip:1004@127.0.0.60:5060>"]);
    assert!(!c.has("Remote-Party-ID") && !c.has("Privacy"), "{}", c.text());
}

#[test]
fn a_leg_that_is_not_forwarded_has_the_callers() {
    let change = |setup: &mut Setup| {
        diverting(setup);
        know(setup, B, None, AssertedParty::Diverting);
        trust(setup, B);
    };
    let b = passed_on(change, &[ASSERTED]);
    assert_eq!(b.all("P-Asserted-Identity"), ["<sip:1003@carrier.example>"]);
}

#[test]
fn a_private_numbers_identity_goes_with_privacy_id_and_not_twice() {
    let private = |setup: &mut Setup| {
        diverting(setup);
        setup.subscriber(B).is_private = true;
    };
    for (came, goes) in [
        ("Subject: none came", "id"),
        ("Privacy: id", "id"),
        ("Privacy: user; ID", "id;user"),
        ("Privacy: none", "id"),
        ("Privacy: header;history", "id;header;history"),
    ] {
        let c = forwarded(private, &[came, ASSERTED]);
        assert_eq!(c.all("P-Asserted-Identity"), ["<sip:1004@127.0.0.60:5060>"], "{came}");
        assert_eq!(c.all("Privacy"), [goes], "{came}");
    }
}

#[test]
fn to_a_route_it_is_written_as_others_read_it() {
    let c = forwarded(
        |setup| {
            diverting(setup);
            route_to(setup, C);
            let rule = NumberRule { prefix: "1".into(), replacement: "+4930".into() };
            setup.settings.forwarding.number_rules = vec![rule];
            setup.forward_on(Condition::NoAnswer, B, "0891234");
        },
        &[],
    );
    assert_eq!(c.all("P-Asserted-Identity"), ["<sip:+4930004@127.0.0.60:5060>"]);
}
