//! The API's thread: its routes, its start and its end.

use super::backend::Backend;
use super::listener::Door;
use super::problem::Problem;
use super::{OPENAPI, Settings, calls, exposition, forwarding, guard, health, subscribers};
use crate::net::ServerError;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, serve};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;

/// A subscriber has a dozen texts; none is longer than a few hundred bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a request may take, the reading of its body and the store's commit included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long requests may go on after a stop was asked for.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The API while it runs. Dropped, it ends.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Binds the address and starts the thread.
    ///
    /// # Errors
    /// The address cannot be had, or no thread started: one line.
    pub fn start(settings: Settings, mut backend: Backend) -> Result<Admin, ServerError> {
        let refused = |error: &dyn std::fmt::Display| {
            let address = settings.address;
            ServerError(format!(
                "the admin API cannot be had at {address}: {error}; give another --admin ADDRESS:PORT, or off"
            ))
        };
        let listener = bind(settings.address).map_err(|error| refused(&error))?;
        let address = listener.local_addr().map_err(|error| refused(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| refused(&error))?;
        backend.token.clone_from(&settings.token);
        let stop = Arc::new(Notify::new());
        let until = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                if let Err(error) = runtime.block_on(run(listener, backend, until)) {
                    tracing::error!("the admin API ended: {error}");
                }
            })
            .map_err(|error| refused(&error))?;
        Ok(Admin { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // What ended it was logged.
            let _ = thread.join();
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn run(listener: TcpListener, backend: Backend, stop: Arc<Notify>) -> io::Result<()> {
    let door = Door::new(tokio::net::TcpListener::from_std(listener)?);
    let desk = Arc::clone(&backend.desk);
    tokio::spawn(async move { desk.hand_out().await });
    let stopped = Arc::new(Notify::new());
    let ends = Arc::clone(&stopped);
    let server = serve(door, routes(backend)).with_graceful_shutdown(async move { ends.notified().await });
    let server = tokio::spawn(server.into_future());
    stop.notified().await;
    stopped.notify_one();
    // Requests that last longer are cut off with the runtime.
    let _ = tokio::time::timeout(STOP_TIMEOUT, server).await;
    Ok(())
}

fn routes(backend: Backend) -> Router {
    use subscribers as s;
    Router::new()
        .route("/v1/subscribers", get(s::list).post(s::add))
        .route("/v1/subscribers/{number}", get(s::show).put(s::put).patch(s::change).delete(s::remove))
        .route("/v1/subscribers/{number}/bindings", get(s::bindings).delete(s::unbind))
        .route("/v1/subscribers/{number}/forwarding", get(forwarding::show).patch(forwarding::change))
        .route("/v1/calls", get(calls::list))
        .route("/v1/calls/{id}", get(calls::show).delete(calls::hang_up))
        .route("/v1/status", get(health::status))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(exposition::metrics))
        .route("/openapi.json", get(async || ([(CONTENT_TYPE, "application/json")], OPENAPI)))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is no such path; see /openapi.json"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the path does not take this method")
        })
        .layer(from_fn_with_state(backend.clone(), guard::admit))
        .layer(from_fn(in_time))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(backend)
}

/// Ends a request that takes too long, and logs one that may change something.
async fn in_time(request: Request, next: Next) -> Response {
    let changes = !request.method().is_safe();
    // Whatever a client puts into a path is escaped there, so it cannot forge a line.
    let asked = changes.then(|| format!("{} {}", request.method(), request.uri().path()));
    let response = match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("the request took too long").into_response(),
    };
    if let Some(asked) = asked {
        tracing::info!("admin API: {asked}: {}", response.status().as_u16());
    }
    response
}
