//! What `apply` promises, whatever REGISTERs come: never more bindings than allowed, all of a change or none
//! of it, no binding twice, a refresh that adds nothing.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ringway::clock::UnixSeconds;
use ringway::directory::{Binding, Extras};
use ringway::outbox::ListenerId;
use ringway::registrar::{Change, Contacts, Limits, Refusal, apply, is_same};

const LIMITS: Limits = Limits { contacts_max: 3 };

/// A Contact of few kinds, so that they meet: equivalent URIs, instances with and without flows.
fn contact() -> impl Strategy<Value = (String, Option<Extras>, u64)> {
    let uri =
        select(vec!["sip:a@192.0.2.1", "sip:%61@192.0.2.1;x", "sip:b@192.0.2.1", "sip:c@192.0.2.1:5070"]);
    let instance = select(vec!["", "<urn:1>", "<urn:2>"]);
    (uri, instance, 0..3_u32, select(vec![0_u64, 60, 100, 7_200])).prop_map(
        |(uri, instance, reg_id, lifetime_s)| {
            let extras = (!instance.is_empty()).then(|| Extras {
                instance: instance.into(),
                reg_id,
                ..Extras::default()
            });
            (uri.to_string(), extras, lifetime_s)
        },
    )
}

/// A URI, what else is bound, and for how many seconds.
type Contact = (String, Option<Extras>, u64);

/// A REGISTER: when it comes, of which call, with which CSeq, and what it asks for.
fn register() -> impl Strategy<Value = (u64, u64, u32, Option<Vec<Contact>>)> {
    (0..90_u64, 0..3_u64, 1..6_u32, prop_oneof![1 => Just(None), 8 => vec(contact(), 1..5).prop_map(Some)])
}

fn change(
    now: u64,
    (call_id, cseq): (u64, u32),
    contacts: Option<Vec<(String, Option<Extras>, u64)>>,
) -> Change {
    let binding = |(uri, extras, lifetime_s): (String, Option<Extras>, u64)| Binding {
        uri: uri.into(),
        destination: std::net::SocketAddr::from(([192, 0, 2, 1], 5060)).into(),
        listener: ListenerId(0),
        q: 1_000,
        expires_at: UnixSeconds(if lifetime_s == 0 { 0 } else { now + lifetime_s }),
        call_id,
        cseq,
        extras: extras.map(Box::new),
    };
    let contacts = match contacts {
        None => Contacts::RemoveAll,
        Some(contacts) => Contacts::Update(contacts.into_iter().map(binding).collect()),
    };
    Change { call_id, cseq, contacts }
}

/// Those of the bindings that the change is about.
fn touched<'b>(bindings: &'b [Binding], change: &'b Change, now: UnixSeconds) -> Vec<&'b Binding> {
    let is_touched = |binding: &&Binding| match &change.contacts {
        Contacts::RemoveAll => true,
        Contacts::Update(contacts) => contacts.iter().any(|contact| is_same(contact, binding)),
    };
    bindings.iter().filter(|binding| now < binding.expires_at).filter(is_touched).collect()
}

proptest! {
    #[test]
    fn bindings_stay_sound_whatever_comes(registers in vec(register(), 1..40)) {
        let mut bindings: Box<[Binding]> = Box::default();
        let mut seconds = 1_000;
        for (later, call_id, cseq, contacts) in registers {
            seconds += later;
            let now = UnixSeconds(seconds);
            let change = change(seconds, (call_id, cseq), contacts);
            let touched = touched(&bindings, &change, now);
            let is_stale = touched.iter().any(|old| old.call_id == call_id && cseq <= old.cseq);
            let result = apply(&bindings, &change, LIMITS, now);
            prop_assert_eq!(result == Err(Refusal::OutOfOrder), is_stale);
            let Ok(new) = result else { continue };
            prop_assert!(new.len() <= LIMITS.contacts_max);
            prop_assert!(new.iter().all(|binding| now < binding.expires_at));
            for (place, one) in new.iter().enumerate() {
                prop_assert!(!new[..place].iter().any(|other| is_same(one, other)), "twice: {one:?}");
            }
            // What the change is not about is as it was; what it is about has its Call-ID and CSeq.
            for old in bindings.iter().filter(|old| now < old.expires_at) {
                prop_assert_eq!(new.contains(old), !touched.contains(&old));
            }
            for one in new.iter().filter(|one| !bindings.contains(one)) {
                prop_assert_eq!((one.call_id, one.cseq), (call_id, cseq));
            }
            bindings = new;
        }
    }

    #[test]
    fn a_refresh_adds_nothing_and_again_changes_nothing(
        first in vec(contact(), 1..4), later in 0..59_u64
    ) {
        let now = UnixSeconds(1_000);
        let Ok(bound) = apply(&[], &change(1_000, (7, 1), Some(first.clone())), LIMITS, now) else {
            return Ok(());
        };
        let now = UnixSeconds(1_000 + later);
        let refresh = change(now.0, (7, 2), Some(first));
        let refreshed = apply(&bound, &refresh, LIMITS, now).unwrap();
        let uris = |bindings: &[Binding]| bindings.iter().map(|one| one.uri.clone()).collect::<Vec<_>>();
        prop_assert_eq!(uris(&refreshed), uris(&bound));
        // The same REGISTER by another way is refused, unless it took back all that it named.
        let again = apply(&refreshed, &refresh, LIMITS, now);
        prop_assert!(again == Err(Refusal::OutOfOrder) || again == Ok(refreshed));
    }

    #[test]
    fn is_same_is_symmetric_and_holds_for_itself(one in contact(), other in contact()) {
        let bindings = change(1, (1, 1), Some(vec![one, other])).contacts;
        let Contacts::Update(bindings) = bindings else { unreachable!() };
        prop_assert!(is_same(&bindings[0], &bindings[0]));
        prop_assert_eq!(is_same(&bindings[0], &bindings[1]), is_same(&bindings[1], &bindings[0]));
    }

    #[test]
    fn one_more_than_allowed_is_refused(ports in 1..6_u16) {
        let contact = |port| (format!("sip:a@192.0.2.1:{}", 5_060 + port), None, 60);
        let contacts = (0..ports).map(contact).collect();
        let result = apply(&[], &change(1, (1, 1), Some(contacts)), LIMITS, UnixSeconds(1));
        match usize::from(ports) <= LIMITS.contacts_max {
            true => prop_assert_eq!(result.map(|bindings| bindings.len()), Ok(ports.into())),
            false => prop_assert_eq!(result, Err(Refusal::TooMany)),
        }
    }
}
