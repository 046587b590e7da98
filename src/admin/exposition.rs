//! Figures as Prometheus reads them (text format 0.0.4): base units, `_total` on counters, no label that
//! names a number.

use super::backend::{Backend, now};
use crate::metrics::Metrics;
use crate::store::keeper::{Figures, Health};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use std::fmt::Write;

const CONTENT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Places of the directory that are looked at before other requests get their turn.
const PLACES_AT_A_TIME: usize = 20_000;

/// `GET /metrics`.
pub async fn metrics(State(backend): State<Backend>) -> impl IntoResponse {
    let mut text = String::with_capacity(16 * 1024);
    let (names, values) = (Metrics::NAMES, backend.vitals.metrics().values());
    for ((name, help), value) in names.iter().zip(Metrics::HELP).zip(values) {
        counter(&mut text, name, help, value);
    }
    let (names, values) = (Figures::NAMES, backend.keeper.figures().values());
    for ((name, help), value) in names.iter().zip(Figures::HELP).zip(values) {
        counter(&mut text, name, help, value);
    }
    let help = "Mail to shards that was dropped because too much waited there.";
    counter(&mut text, "mail_undelivered", help, backend.desk.undelivered());
    let (records, engines) = (backend.desk.records(), backend.desk.engines());
    for (name, help, value) in [
        ("media_engine_requests", "What rtpengines were asked for, pings aside.", engines.requests),
        ("media_engine_retransmissions", "Requests to rtpengines sent once more.", engines.retransmissions),
        ("media_engine_timeouts", "Requests that an rtpengine did not answer.", engines.timeouts),
        ("media_engine_refusals", "Requests that an rtpengine refused.", engines.refused),
        ("media_engine_moves", "Offers that went on to another rtpengine.", engines.moved),
        ("cdr_written", "Call detail records in a file.", records.written()),
        ("cdr_lost", "Call detail records that there was no room for.", records.lost()),
        ("cdr_errors", "Times that a file of records could not be written or turned over.", records.errors()),
    ] {
        counter(&mut text, name, help, value);
    }
    let bindings = bindings(&backend).await;
    let is_up = backend.keeper.health() == Health::Up;
    let gauges: [(&str, &str, u64); 10] = [
        ("calls", "Calls that live.", backend.vitals.calls() as u64),
        ("subscribers", "Numbers that are served.", backend.directory().len() as u64),
        ("bindings", "Contacts that are registered and have not expired.", bindings),
        ("shards", "Executors that calls are spread over.", backend.desk.shards().into()),
        ("draining", "1 while the server stops and takes no new calls.", backend.vitals.is_draining().into()),
        ("media_engines", "The rtpengines that anchor media.", engines.nodes),
        ("media_engines_up", "Those of them that answer.", engines.nodes_up),
        ("store_up", "1 while the store takes writes.", is_up.into()),
        ("start_time_seconds", "When the server was started, since 1970 in UTC.", backend.started.0),
        ("uptime_seconds", "How long the server has run.", now().0.saturating_sub(backend.started.0)),
    ];
    for (name, help, value) in gauges {
        head(&mut text, name, help, "gauge");
        let _ = writeln!(text, "ringway_{name} {value}");
    }
    head(&mut text, "build_info", "What runs.", "gauge");
    let _ = writeln!(text, "ringway_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    ([(CONTENT_TYPE, CONTENT)], text)
}

fn counter(text: &mut String, name: &str, help: &str, value: u64) {
    let name = format!("{name}_total");
    head(text, &name, help, "counter");
    let _ = writeln!(text, "ringway_{name} {value}");
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    // What the format escapes in a help text.
    let help = help.trim().replace('\\', "\\\\").replace('`', "");
    let _ = writeln!(text, "# HELP ringway_{name} {help}\n# TYPE ringway_{name} {kind}");
}

/// Bindings that have not expired. A million subscribers take a tenth of a second, in pieces.
async fn bindings(backend: &Backend) -> u64 {
    let now = now();
    let (mut count, mut from) = (0, Some(0));
    while let Some(place) = from {
        from = backend.directory().read().walk(place, PLACES_AT_A_TIME, |entry| {
            count += entry.bindings.iter().filter(|binding| now < binding.expires_at).count() as u64;
        });
        tokio::task::yield_now().await;
    }
    count
}
