//! Who begins something on a thread: callers, or phones that register.

use crate::call::{Context, LegReport};
use crate::caller::Caller;
use crate::register::Registrants;
use ringway::sip::Message;
use std::net::SocketAddrV4;

pub enum Originator {
    Caller(Caller),
    Registrants(Registrants),
}

impl Originator {
    /// What has begun and is not over.
    pub fn live(&self) -> usize {
        match self {
            Originator::Caller(caller) => caller.live(),
            Originator::Registrants(phones) => phones.live(),
        }
    }

    /// When [`Originator::handle_timeout`] is wanted next.
    pub fn next_ns(&self) -> Option<u64> {
        match self {
            Originator::Caller(caller) => caller.next_ns(),
            Originator::Registrants(phones) => phones.next_ns(),
        }
    }

    /// Does what must be done before the first call; whether that is over.
    pub fn prepare(&mut self, ctx: &mut Context<'_>) -> bool {
        match self {
            Originator::Caller(_) => true,
            Originator::Registrants(phones) => phones.register_all(ctx),
        }
    }

    /// Begins nothing more of that.
    pub fn end_preparation(&mut self) {
        if let Originator::Registrants(phones) = self {
            phones.end_first_pass();
        }
    }

    /// Begins a call, or a registration, that was meant to begin at `intended_ns`.
    pub fn start(&mut self, ctx: &mut Context<'_>, intended_ns: u64) {
        match self {
            Originator::Caller(caller) => caller.start(ctx, intended_ns),
            Originator::Registrants(phones) => phones.start(ctx, intended_ns),
        }
    }

    /// The calls that were due are started.
    pub fn turn(&mut self) {
        if let Originator::Caller(caller) = self {
            caller.turn();
        }
    }

    /// A message that came in by the socket `socket`.
    pub fn handle_message(
        &mut self,
        ctx: &mut Context<'_>,
        socket: usize,
        source: SocketAddrV4,
        message: &Message<'_>,
    ) {
        match self {
            Originator::Caller(caller) => caller.handle_message(ctx, socket, source, message),
            Originator::Registrants(phones) => phones.handle_message(ctx, socket, source, message),
        }
    }

    /// What a called party tells about its leg of one of our calls.
    pub fn handle_report(&mut self, ctx: &mut Context<'_>, report: LegReport) {
        if let Originator::Caller(caller) = self {
            caller.handle_report(ctx, report);
        }
    }

    /// Legs come without their call's mark.
    pub fn expect_no_reports(&mut self, ctx: &mut Context<'_>) {
        if let Originator::Caller(caller) = self {
            caller.expect_no_reports(ctx);
        }
    }

    pub fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        match self {
            Originator::Caller(caller) => caller.handle_timeout(ctx),
            Originator::Registrants(phones) => phones.handle_timeout(ctx),
        }
    }

    /// The run ends: what lives has failed.
    pub fn abandon(&mut self, ctx: &mut Context<'_>) {
        match self {
            Originator::Caller(caller) => caller.abandon(ctx),
            Originator::Registrants(phones) => phones.abandon(ctx),
        }
    }
}
