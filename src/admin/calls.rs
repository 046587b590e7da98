//! Calls that live.

use super::backend::Backend;
use super::document::CallDocument;
use super::problem::Problem;
use crate::limits::CALLS_PER_LETTER_MAX;
use crate::mail::{Letter, LiveCall, Mail};
use crate::slab::Handle;
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    limit: Option<usize>,
    after: Option<String>,
}

/// The calls of all shards, page by page.
pub async fn list(
    State(backend): State<Backend>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(page) = page?;
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is a number from 1 to {LIMIT_MAX}")));
    }
    let mut at = match page.after.as_deref() {
        None => Some((0, 0)),
        Some(after) => Some(place(after).ok_or_else(|| {
            Problem::bad_request("after is what the page before said of next, for instance 0-100")
        })?),
    };
    let mut calls = Vec::new();
    while let Some((shard, from)) = at.filter(|(shard, _)| *shard < backend.desk.shards())
        && calls.len() < limit
    {
        let room = (limit - calls.len()).min(usize::from(CALLS_PER_LETTER_MAX)) as u16;
        let letter = backend.desk.ask(shard, |ticket| Mail::Calls { ticket, from, limit: room }).await?;
        let Letter::Calls { calls: some, next, .. } = letter else { return Err(wrong_answer()) };
        calls.extend(some.iter().map(|call| CallDocument::new(shard, call)));
        at = Some(next.map_or((shard + 1, 0), |place| (shard, place)));
    }
    let next = at.filter(|(shard, _)| *shard < backend.desk.shards());
    let next = next.map(|(shard, place)| format!("{shard}-{place}"));
    Ok(Json(json!({ "calls": calls, "next": next })))
}

/// One call.
pub async fn show(
    State(backend): State<Backend>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<CallDocument>, Problem> {
    let (shard, call) = find(&backend, &id?.0)?;
    let described = describe(&backend, shard, call).await?;
    Ok(Json(CallDocument::new(shard, &described)))
}

/// Ends a call.
pub async fn hang_up(
    State(backend): State<Backend>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let (shard, call) = find(&backend, &id?.0)?;
    match backend.desk.ask(shard, |ticket| Mail::HangUp { ticket, call }).await? {
        Letter::HungUp { found: true, .. } => Ok(StatusCode::NO_CONTENT),
        Letter::HungUp { found: false, .. } => Err(no_call()),
        _ => Err(wrong_answer()),
    }
}

async fn describe(backend: &Backend, shard: u16, call: Handle) -> Result<LiveCall, Problem> {
    match backend.desk.ask(shard, |ticket| Mail::Call { ticket, call }).await? {
        Letter::Call { call: Some(call), .. } => Ok(*call),
        Letter::Call { call: None, .. } => Err(no_call()),
        _ => Err(wrong_answer()),
    }
}

/// The shard and the handle that an id names: `0-17-3`.
fn find(backend: &Backend, id: &str) -> Result<(u16, Handle), Problem> {
    let mut parts = id.split('-');
    let mut number = || parts.next()?.parse::<u32>().ok();
    let (shard, index, generation) = (number(), number(), number());
    match (shard.and_then(|shard| u16::try_from(shard).ok()), index, generation, parts.next()) {
        (Some(shard), Some(index), Some(generation), None) if shard < backend.desk.shards() => {
            Ok((shard, Handle { index, generation }))
        }
        _ => Err(no_call()),
    }
}

/// A shard and a place in its table: `0-100`.
fn place(after: &str) -> Option<(u16, u32)> {
    let (shard, place) = after.split_once('-')?;
    Some((shard.parse().ok()?, place.parse().ok()?))
}

fn no_call() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such call, or it is ending")
}

fn wrong_answer() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a shard answered another question")
}
