//! A shard's inbox: datagrams that reached another shard's socket, handed over whole, and the services' mail.
//!
//! Many threads push, the owner alone drains. Nothing waits: a full inbox drops and counts.

use crate::limits::SCAN_PADDING;
use crate::mail::Mail;
use crate::outbox::ListenerId;
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

/// A new buffer's room: most SIP messages over UDP fit.
const BUFFER_BYTES: usize = 2 * 1024;

/// A buffer that grew beyond this is freed, not kept: a flood of large datagrams must not leave an inbox
/// full of 64-KiB buffers.
const BUFFER_KEPT_BYTES_MAX: usize = 4 * 1024;

/// Mail that may wait for one shard: an answer to each letter that may wait (`post::LETTERS_MAX`).
const MAIL_MAX: usize = super::post::LETTERS_MAX;

/// A datagram on its way from the shard that received it to the shard that owns it.
#[derive(Debug)]
pub struct Handover {
    pub source: SocketAddr,
    pub listener: ListenerId,
    /// The bytes, and `limits::SCAN_PADDING` zero bytes behind them.
    buffer: Vec<u8>,
}

impl Handover {
    /// How many bytes the datagram has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.buffer.len() - SCAN_PADDING
    }

    /// The bytes, and `limits::SCAN_PADDING` zero bytes behind them.
    pub fn buffer(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

/// Bounded queues of datagrams and of mail for one shard; the datagrams' buffers go round.
#[derive(Debug)]
pub struct Inbox {
    datagrams: ArrayQueue<Handover>,
    mail: ArrayQueue<Mail>,
    empties: ArrayQueue<Vec<u8>>,
    /// The owner sleeps, or is about to: whoever turns this to false wakes it.
    parked: CachePadded<AtomicBool>,
    /// Locked once per sleep on either side, not per datagram, so it is never contended for long.
    waker: Mutex<Option<Waker>>,
    /// The owner naps in a system call that watches `bell`.
    naps: CachePadded<AtomicBool>,
    bell: OwnedFd,
    dropped: AtomicU64,
}

impl Inbox {
    /// An inbox for at most `capacity` datagrams (at least 1). Buffers are made as they are first needed.
    ///
    /// # Errors
    /// No file descriptor left.
    pub fn new(capacity: usize) -> io::Result<Inbox> {
        let capacity = capacity.max(1);
        Ok(Inbox {
            datagrams: ArrayQueue::new(capacity),
            mail: ArrayQueue::new(MAIL_MAX),
            empties: ArrayQueue::new(capacity),
            parked: CachePadded::new(AtomicBool::new(false)),
            waker: Mutex::new(None),
            naps: CachePadded::new(AtomicBool::new(false)),
            bell: bell()?,
            dropped: AtomicU64::new(0),
        })
    }

    /// Copies a datagram in and wakes the owner if it sleeps. Returns whether there was room; else the
    /// datagram is dropped and counted.
    pub fn push(&self, source: SocketAddr, listener: ListenerId, bytes: &[u8]) -> bool {
        // Before the copy: under overload most pushes end here.
        if self.datagrams.is_full() {
            self.dropped.fetch_add(1, Relaxed);
            return false;
        }
        let mut buffer = self.empties.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES));
        buffer.clear();
        buffer.reserve(bytes.len() + SCAN_PADDING);
        buffer.extend_from_slice(bytes);
        buffer.extend_from_slice(&[0; SCAN_PADDING]);
        if let Err(refused) = self.datagrams.push(Handover { source, listener, buffer }) {
            self.recycle(refused);
            self.dropped.fetch_add(1, Relaxed);
            return false;
        }
        self.wake();
        true
    }

    /// The datagram that came first, if any. Give it back to [`Inbox::recycle`].
    pub fn pop(&self) -> Option<Handover> {
        self.datagrams.pop()
    }

    /// Puts mail in and wakes the owner if it sleeps. Returns whether there was room; else it is dropped.
    pub fn push_mail(&self, mail: Mail) -> bool {
        let has_room = self.mail.push(mail).is_ok();
        self.wake();
        has_room
    }

    /// The mail that came first, if any.
    pub fn pop_mail(&self) -> Option<Mail> {
        self.mail.pop()
    }

    fn is_empty(&self) -> bool {
        self.datagrams.is_empty() && self.mail.is_empty()
    }

    /// Takes back a datagram's buffer.
    pub fn recycle(&self, handover: Handover) {
        if handover.buffer.capacity() <= BUFFER_KEPT_BYTES_MAX {
            // More buffers than the queue has places cannot be; if so the surplus is freed.
            drop(self.empties.push(handover.buffer));
        }
    }

    /// Wakes the owner if it sleeps.
    pub fn wake(&self) {
        if self.naps.load(SeqCst) && self.naps.swap(false, SeqCst) {
            ring(&self.bell);
            // The owner looks into its inbox when it gets up: its executor needs no waking besides.
            return;
        }
        // The swap comes after the push (SeqCst), the owner's last look at the queue after its `parked`:
        // one of the two sees the other.
        if self.parked.load(SeqCst) && self.parked.swap(false, SeqCst) {
            // By reference: a clone could outlive the task's executor here.
            if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
                waker.wake_by_ref();
            }
        }
    }

    /// Waits until there is something to pop, or `ended` says that the wait has no more point (see
    /// [`Inbox::wake`]). The owner's one task calls it.
    pub async fn ready(&self, ended: impl Fn() -> bool) {
        poll_fn(|context| {
            if !self.is_empty() || ended() {
                return Poll::Ready(());
            }
            {
                let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
                match waker.as_mut() {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
            }
            self.parked.store(true, SeqCst);
            if self.is_empty() && !ended() {
                return Poll::Pending;
            }
            self.parked.store(false, SeqCst);
            Poll::Ready(())
        })
        .await;
    }

    /// What the owner's nap watches: readable when something was pushed while it lay down.
    #[must_use]
    pub fn bell(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    /// The owner is about to nap; `false`: something waits already, so it must not.
    #[must_use]
    pub fn lie_down(&self) -> bool {
        self.naps.store(true, SeqCst);
        if self.is_empty() {
            return true;
        }
        self.get_up(false);
        false
    }

    /// The owner's nap is over; `rung`: it saw the bell. Returns whether something was pushed meanwhile.
    pub fn get_up(&self, rung: bool) -> bool {
        // Whoever took the flag has rung or is about to. One who rings only after this wakes the next nap,
        // which sees the bell and silences it.
        let pushed = !self.naps.swap(false, SeqCst);
        if pushed || rung {
            silence(&self.bell);
        }
        pushed
    }

    /// Forgets the owner's task. The owner calls it from its own thread before it ends: a task is not to be
    /// released from another one.
    pub fn close(&self) {
        self.parked.store(false, SeqCst);
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Datagrams dropped because the inbox was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

fn bell() -> io::Result<OwnedFd> {
    // SAFETY: the call has no memory to do with.
    let descriptor = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open and owned by nothing else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn ring(bell: &OwnedFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: the kernel reads eight bytes. A full counter is a rung bell, so the result does not matter.
    unsafe { libc::write(bell.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

fn silence(bell: &OwnedFd) {
    let mut count = [0u8; 8];
    // SAFETY: the kernel writes eight bytes. A silent bell is EAGAIN, which is as good.
    unsafe { libc::read(bell.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}
