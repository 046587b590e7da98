//! Plain counters, one set per shard; the reader adds them up.

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {
        /// What a shard counted since it was started.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Metrics { $($(#[doc = $doc])* pub $name: u64,)* }

        impl Metrics {
            /// The counters' names, in the order of [`Metrics::values`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// What each of them counts, in one line that begins with a blank.
            pub const HELP: &'static [&'static str] = &[$(concat!($($doc),*)),*];

            /// How many counters there are.
            pub const COUNT: usize = Self::NAMES.len();

            #[must_use]
            pub fn values(&self) -> [u64; Self::COUNT] {
                [$(self.$name),*]
            }

            /// The inverse of [`Metrics::values`].
            #[must_use]
            pub fn from_values(values: [u64; Self::COUNT]) -> Metrics {
                let [$($name),*] = values;
                Metrics { $($name),* }
            }

            /// Adds another shard's counters.
            pub fn add(&mut self, other: &Metrics) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Datagrams handed to the core.
    datagrams_received;
    /// Datagrams put into the outbox.
    datagrams_sent;
    /// Datagrams that the kernel dropped because a socket's receive buffer was full (counted by `net`, as
    /// the next six).
    receive_buffer_overflows;
    /// Received datagrams longer than `limits::DATAGRAM_BYTES_MAX` or without a sender, dropped.
    receives_refused;
    /// Errors of a socket while receiving.
    receive_errors;
    /// Datagrams that the kernel refused to send (no route, not permitted, too long).
    sends_refused;
    /// Datagrams dropped because the socket stayed full and its queue was full too.
    sends_dropped;
    /// Datagrams for this shard dropped because its inbox was full.
    inbox_overflows;
    /// Letters to the services that nobody took, because too many waited (counted by `net`).
    letters_refused;
    /// Times that the shard did nothing for 20 ms though its timer was due: it wanted for CPU.
    stalls;
    /// Keep-alives (CRLF, NUL) dropped.
    keepalives;
    /// Datagrams that are not SIP, dropped.
    not_sip;
    /// Bad requests answered statelessly (400, 414, 505, …).
    bad_requests_answered;
    /// Bad messages that could not be answered, dropped.
    bad_messages_dropped;
    /// Requests refused before a call was made (403, 404, 405, 416, 420, 481, 482, 483).
    requests_refused;
    /// OPTIONS to the server answered.
    options_answered;
    /// Requests refused with 503 because a table was full.
    refused_full;
    /// Requests refused with 503 because the server is stopping.
    refused_draining;
    /// Requests absorbed or answered again by a server transaction.
    request_retransmissions;
    /// Responses absorbed by a client transaction that had them already.
    response_retransmissions;
    /// Messages retransmitted by our own timers.
    retransmissions_sent;
    /// Responses that match no client transaction, dropped.
    stray_responses;
    /// ACKs that match nothing, dropped.
    stray_acks;
    /// CANCELs that match no INVITE.
    stray_cancels;
    /// Client transactions that timed out (Timers B and F).
    transactions_timed_out;
    /// Transactions dropped because the table was full (the message was still sent once).
    transactions_not_kept;
    /// Events that no state of ours can explain: our bug.
    impossible_events;
    /// Calls accepted: an INVITE that got a 100 from us.
    calls_started;
    /// Calls that were answered: a 200 went to the caller.
    calls_answered;
    /// Calls that ended with a final response other than 2xx.
    calls_failed;
    /// Calls that the caller cancelled.
    calls_cancelled;
    /// Calls whose record is gone; `calls_started` less this is what lives.
    calls_ended;
    /// Forwards without any condition.
    forwarded_unconditional;
    /// Forwards on busy.
    forwarded_busy;
    /// Forwards on no answer.
    forwarded_no_answer;
    /// Forwards because the number had no phone.
    forwarded_not_registered;
    /// Forwards because the phone did not answer to SIP at all.
    forwarded_not_reachable;
    /// Forwards that the callee asked for by a 302.
    forwarded_deflection;
    /// Forwards not made: the cap, a loop, an emergency number, a target that nothing leads to.
    forwards_refused;
    /// Those of them that would have gone in a loop.
    forwards_in_loop;
    /// No-answer timers that expired.
    no_answer_timeouts;
    /// Feature codes that were dialled and done.
    feature_codes_done;
    /// Feature codes that were dialled and refused, those that the store could not keep among them.
    feature_codes_refused;
    /// Answers that came after our CANCEL and were ACKed and BYEd.
    late_answers;
    /// Calls ended because the caller never sent ACK.
    acks_missing;
    /// Calls ended because they lasted as long as a call may.
    calls_too_long;
    /// Calls ended by the operator.
    calls_hung_up;
    /// Calls ended because nothing was to be heard for too long.
    calls_silent;
    /// New calls refused with 503, and offers within calls refused with 488, because no media port was free.
    media_ports_missing;
    /// Bodies that went on unchanged though media is anchored: no session description, or one that cannot be
    /// read.
    media_bodies_passed;
    /// Descriptions that no media engine took, or not in time.
    media_engine_failures;
    /// RTP and RTCP packets relayed.
    media_packets_relayed;
    /// Packets of tones sent.
    media_packets_played;
    /// Packets that did not come from where the party sends, dropped.
    media_dropped_source;
    /// Packets that are no RTP or RTCP, dropped.
    media_dropped_malformed;
    /// STUN packets, ignored.
    media_dropped_stun;
    /// Packets with nobody on the other side yet or any more, dropped.
    media_dropped_nowhere;
    /// Packets that came to a port that no call had, dropped.
    media_dropped_stray;
    /// Packets that the kernel did not take, or dropped for want of room (counted by `net`).
    media_dropped_socket;
    /// Pairs of media ports that could not be bound, because something else has them.
    media_ports_taken;
    /// Calls ended because nobody refreshed a session.
    sessions_expired;
    /// Reliable provisional responses that the caller never acknowledged: its INVITE got a 504.
    pracks_missing;
    /// Requests in a dialog passed on to the other side, re-INVITEs among them.
    requests_relayed;
    /// Requests answered 401 with a challenge.
    auth_challenges;
    /// Those of them whose nonce was too old, another shard's, another address's, or used that far before.
    auth_stale_nonces;
    /// Wrong passwords, those for unknown numbers among them.
    auth_failures;
    /// Credentials not looked at, because their source had failed too often: 503.
    auth_throttled;
    /// Requests of a subscriber in another's name, or for another's bindings: 403.
    auth_forbidden;
    /// REGISTERs that changed bindings, answered 200.
    registrations;
    /// REGISTERs that only asked for the bindings, answered 200.
    registrations_fetched;
    /// REGISTERs refused for what they ask (400, 403, 404, 420, 423, 439, 500).
    registrations_refused;
    /// REGISTERs refused with 503 because the store could not keep the change, or did not say in time.
    registrations_unavailable;
    /// Mail from the services that came after what it belongs to was given up, dropped.
    late_mail;
    /// Datagrams handed over to another shard.
    handed_over;
}

impl Metrics {
    /// Diversions of ours, of all kinds.
    #[must_use]
    pub fn forwards(&self) -> u64 {
        self.forwarded_unconditional
            + self.forwarded_busy
            + self.forwarded_no_answer
            + self.forwarded_not_registered
            + self.forwarded_not_reachable
            + self.forwarded_deflection
    }
}
