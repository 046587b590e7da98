//! What the API has to do with: the keeper, the directory, the shards.

use super::desk::Desk;
use super::guard::Token;
use super::problem::Problem;
use crate::clock::UnixSeconds;
use crate::directory::Directory;
use crate::net::post::Post;
use crate::net::{Server, Vitals};
use crate::store::keeper::{Done, Handle, Refused, Request};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Everything behind the API; cheap to clone.
#[derive(Clone, Debug)]
pub struct Backend {
    pub(super) keeper: Handle,
    pub(super) vitals: Vitals,
    pub(super) desk: Arc<Desk>,
    /// What credentials are made for.
    pub(super) realm: Arc<str>,
    /// Where the server receives SIP.
    pub(super) listeners: Arc<[SocketAddr]>,
    pub(super) token: Option<Token>,
    pub(super) started: UnixSeconds,
}

impl Backend {
    /// `post` is the one that the server was started with, `realm` that of its challenges.
    #[must_use]
    pub fn new(keeper: Handle, server: &Server, post: Arc<Post>, realm: &str) -> Backend {
        Backend {
            keeper,
            vitals: server.vitals(),
            desk: Arc::new(Desk::new(post)),
            realm: realm.into(),
            listeners: server.addresses().into(),
            token: None,
            started: now(),
        }
    }

    pub(super) fn directory(&self) -> &Directory {
        self.keeper.directory()
    }

    /// Asks the keeper for a change and waits until it is durable.
    pub(super) async fn change(&self, request: Request) -> Result<Done, Refused> {
        let (sender, outcome) = oneshot::channel();
        // Whoever asked may have gone.
        self.keeper.ask(request, Box::new(move |outcome| drop(sender.send(outcome))));
        outcome.await.unwrap_or(Err(Refused::Unavailable))
    }

    /// Whether the server takes calls and the store writes; else why not.
    pub(super) fn readiness(&self) -> Result<(), Problem> {
        if self.vitals.is_draining() {
            return Err(Problem::unavailable("the server is stopping: it takes no new calls"));
        }
        match self.keeper.health() {
            crate::store::keeper::Health::Up => Ok(()),
            // Why is for those who may ask for the status: nobody needs a token here.
            crate::store::keeper::Health::Down(_) => {
                Err(Problem::unavailable("the store takes no writes; /v1/status says why"))
            }
        }
    }
}

/// The calendar's time.
pub fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixSeconds(since.map_or(0, |since| since.as_secs()))
}
