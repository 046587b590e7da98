//! Questions to the shards, and what they answer.

use super::problem::Problem;
use crate::mail::{Letter, Mail};
use crate::net::post::{EngineTally, Post, Records};
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a shard may take to answer: it looks into its inbox every few milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Questions that wait for their answers, by ticket.
#[derive(Debug, Default)]
pub struct Desk {
    post: Arc<Post>,
    tickets: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Letter>>>,
}

impl Desk {
    pub fn new(post: Arc<Post>) -> Desk {
        Desk { post, ..Desk::default() }
    }

    /// How many shards there are to ask.
    pub fn shards(&self) -> u16 {
        self.post.shards()
    }

    /// Mail of whatever service that no shard had room for.
    pub fn undelivered(&self) -> u64 {
        self.post.undelivered()
    }

    /// What has become of what rtpengines were asked.
    pub fn engines(&self) -> EngineTally {
        self.post.engines.tally()
    }

    /// What has become of the records of legs.
    pub fn records(&self) -> &Records {
        &self.post.records
    }

    /// Asks a shard. `mail` makes the question from its ticket.
    pub async fn ask(&self, shard: u16, mail: impl FnOnce(u64) -> Mail) -> Result<Letter, Problem> {
        let ticket = self.tickets.fetch_add(1, Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting().insert(ticket, sender);
        // However this ends, also when the client goes away, the ticket is not kept.
        let _kept = Kept { desk: self, ticket };
        self.post.deliver(shard, mail(ticket));
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(letter)) => Ok(letter),
            _ => Err(Problem::unavailable(format!("shard {shard} does not answer; try again later"))),
        }
    }

    /// Hands out what the shards answer, for ever.
    pub async fn hand_out(&self) {
        let answers = &self.post.answers;
        answers.open();
        loop {
            poll_fn(|context| match answers.wait(context.waker()) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            })
            .await;
            while let Some(envelope) = answers.take() {
                self.deliver(envelope.letter);
            }
        }
    }

    fn deliver(&self, letter: Letter) {
        let ticket = match letter {
            Letter::Calls { ticket, .. } | Letter::Call { ticket, .. } | Letter::HungUp { ticket, .. } => {
                ticket
            }
            // The keeper's, and the record writer's.
            Letter::Register { .. }
            | Letter::Forwarding { .. }
            | Letter::Ended(_)
            | Letter::Engine { .. }
            | Letter::EngineOver { .. } => return,
        };
        // Whoever asked may have gone.
        if let Some(sender) = self.waiting().remove(&ticket) {
            drop(sender.send(letter));
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Letter>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Kept<'d> {
    desk: &'d Desk,
    ticket: u64,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.desk.waiting().remove(&self.ticket);
    }
}
