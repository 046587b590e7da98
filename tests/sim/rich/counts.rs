//! What was exercised: how often each of the things that peers may do was done.

macro_rules! counts {
    ($($name:ident $text:literal;)*) => {
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts { $(pub $name: u64,)* }

        impl Counts {
            pub fn add(&mut self, other: &Counts) {
                $(self.$name += other.$name;)*
            }

            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$(($text, self.$name),)*]
            }
        }
    };
}

counts! {
    calls "calls";
    answered "answered";
    prack "PRACK";
    prack_offers "PRACK with an offer";
    reliable_to_caller "reliable 18x to the caller";
    early_requests "requests in an early dialog";
    updates "UPDATE with an offer";
    empty_updates "UPDATE without";
    reinvites "re-INVITE with an offer";
    empty_reinvites "re-INVITE without";
    reinvites_cancelled "re-INVITE cancelled";
    infos "INFO";
    messages "MESSAGE";
    options "OPTIONS";
    unknown_methods "unknown method";
    refers "REFER";
    notifies "NOTIFY";
    glare_491 "491";
    glare_500 "500 for an open offer";
    retries "retried behind 491";
    late_offers "late offer";
    forks "forked";
    fork_winners_many "more than one 2xx of a fork";
    record_routes "Record-Route";
    strict_routes "strict route";
    ipv6 "IPv6";
    mixed_families "both families";
    refreshes_by_server "session refresh by the server";
    refreshes_by_peer "session refresh by a peer";
    too_small_422 "422";
    forgotten "dialog forgotten";
    dead "peer gone silent";
    target_refreshes "target refresh";
    hang_ups_in_between "hung up in the middle";
}
