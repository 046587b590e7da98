//! Whether the server lives and is of use.

use super::backend::{Backend, now};
use super::problem::Problem;
use crate::store::keeper::Health;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

/// The process answers.
pub async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Calls may be sent here: it is not stopping, and the store takes writes.
pub async fn ready(State(backend): State<Backend>) -> Result<Json<Value>, Problem> {
    backend.readiness()?;
    Ok(Json(json!({ "status": "ready" })))
}

/// What the server is and does, in a few figures.
pub async fn status(State(backend): State<Backend>) -> Json<Value> {
    let metrics = backend.vitals.metrics();
    let (store, why) = match backend.keeper.health() {
        Health::Up => ("up", None),
        Health::Down(why) => ("down", Some(why)),
    };
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": if backend.vitals.is_draining() { "draining" } else { "running" },
        "started_at": backend.started.0,
        "uptime_s": now().0.saturating_sub(backend.started.0),
        "shards": backend.desk.shards(),
        "subscribers": backend.directory().len(),
        "calls": backend.vitals.calls(),
        "calls_started": metrics.calls_started,
        "calls_answered": metrics.calls_answered,
        "calls_failed": metrics.calls_failed,
        "store": store,
        "store_error": why,
    }))
}
