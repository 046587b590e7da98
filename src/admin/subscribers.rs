//! Subscribers and their bindings.

use super::backend::{Backend, now};
use super::document::{BindingDocument, SubscriberDocument, SubscriberInput, read};
use super::problem::Problem;
use super::segment;
use crate::directory::{Entry, Subscriber};
use crate::store::keeper::{Expected, Refused, Request};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// Places of the directory that are looked at before other requests get their turn.
const PLACES_AT_A_TIME: usize = 10_000;

pub type Body = Result<Bytes, BytesRejection>;
pub type Number = Result<Path<String>, PathRejection>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    limit: Option<usize>,
    after: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    uri: Option<String>,
}

/// Subscribers page by page, in no order that means anything.
pub async fn list(
    State(backend): State<Backend>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(page) = page?;
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is a number from 1 to {LIMIT_MAX}")));
    }
    let now = now();
    let mut subscribers = Vec::new();
    let mut next = Some(page.after.unwrap_or(0));
    while let Some(from) = next
        && subscribers.len() < limit
    {
        // A place holds one entry at most, so these do not give more than there is room for.
        let places = (limit - subscribers.len()).min(PLACES_AT_A_TIME);
        next = backend.directory().read().walk(from, places, |entry| {
            subscribers.push(SubscriberDocument::new(entry, now));
        });
        tokio::task::yield_now().await;
    }
    Ok(Json(json!({
        "subscribers": subscribers,
        "total": backend.directory().len(),
        "next": next.map(|place| place.to_string()),
    })))
}

/// One subscriber.
pub async fn show(
    State(backend): State<Backend>,
    number: Number,
) -> Result<Json<SubscriberDocument>, Problem> {
    document(&backend, &number?.0).map(Json)
}

/// Adds a subscriber.
pub async fn add(
    State(backend): State<Backend>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let input: SubscriberInput = read(&headers, &body?)?;
    let Some(number) = input.number.clone() else {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "number: it is missing"));
    };
    let wanted = input.check(&number, &backend.realm)?;
    let subscriber = wanted.subscriber(&number);
    backend.change(Request::Put { subscriber, expected: Expected::Absent }).await?;
    created(&backend, &number)
}

/// Makes a subscriber what the body says, whether there was one or not.
pub async fn put(
    State(backend): State<Backend>,
    number: Number,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path(number) = number?;
    let input: SubscriberInput = read(&headers, &body?)?;
    let wanted = input.check(&number, &backend.realm)?.whole();
    let change = wanted.clone();
    match edit(&backend, &number, move |subscriber| change.apply(subscriber)).await {
        Err(Refused::NoSubscriber) => {}
        outcome => {
            outcome?;
            return Ok(Json(document(&backend, &number)?).into_response());
        }
    }
    // Should another client add it meanwhile, theirs is replaced: both wanted it as a whole.
    let subscriber = wanted.subscriber(&number);
    let done = backend.change(Request::Put { subscriber, expected: Expected::Anything }).await?;
    match done.is_new {
        true => created(&backend, &number),
        false => Ok(Json(document(&backend, &number)?).into_response()),
    }
}

/// Changes what the body names (RFC 7396).
pub async fn change(
    State(backend): State<Backend>,
    number: Number,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SubscriberDocument>, Problem> {
    let Path(number) = number?;
    let input: SubscriberInput = read(&headers, &body?)?;
    let wanted = input.check(&number, &backend.realm)?;
    edit(&backend, &number, move |subscriber| wanted.apply(subscriber)).await?;
    document(&backend, &number).map(Json)
}

/// Takes a subscriber away, with its bindings.
pub async fn remove(State(backend): State<Backend>, number: Number) -> Result<StatusCode, Problem> {
    let number = number?.0.into();
    backend.change(Request::Remove { number }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a subscriber is registered.
pub async fn bindings(State(backend): State<Backend>, number: Number) -> Result<Json<Value>, Problem> {
    let now = now();
    let bindings: Vec<BindingDocument> = look(&backend, &number?.0, |entry| {
        let live = entry.bindings.iter().filter(|binding| now < binding.expires_at);
        live.map(|binding| BindingDocument::new(binding, &backend.listeners, now)).collect()
    })?;
    Ok(Json(json!({ "bindings": bindings })))
}

/// Ends registrations: all of a number's, or those of one contact.
pub async fn unbind(
    State(backend): State<Backend>,
    number: Number,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let (Path(number), Query(which)) = (number?, which?);
    let (number, uri) = (number.into(), which.uri.map(String::into_boxed_str));
    let done = backend.change(Request::Unbind { number, uri }).await?;
    Ok(Json(json!({ "removed": done.unbound })))
}

/// Changes a subscriber that is there.
pub async fn edit(
    backend: &Backend,
    number: &str,
    edit: impl Fn(&mut Subscriber) + Send + 'static,
) -> Result<(), Refused> {
    backend.change(Request::Change { number: number.into(), edit: Box::new(edit) }).await.map(|_| ())
}

/// 201 with what was made and where it is.
fn created(backend: &Backend, number: &str) -> Result<Response, Problem> {
    let location = format!("/v1/subscribers/{}", segment(number));
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(document(backend, number)?)).into_response())
}

fn document(backend: &Backend, number: &str) -> Result<SubscriberDocument, Problem> {
    look(backend, number, |entry| SubscriberDocument::new(entry, now()))
}

/// What is seen of a number's entry.
pub fn look<T>(backend: &Backend, number: &str, see: impl FnOnce(&Entry) -> T) -> Result<T, Problem> {
    let view = backend.directory().read();
    view.get(number.as_bytes()).map(see).ok_or_else(|| Problem::from(Refused::NoSubscriber))
}
