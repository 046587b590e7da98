//! Forwarding under every condition, at every stage of a call, to every sort of target (SIP_RULES 1–8).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

#[path = "forwarding/chains.rs"]
mod chains;
#[path = "forwarding/deflection.rs"]
mod deflection;
#[path = "forwarding/failing.rs"]
mod failing;
#[path = "forwarding/kinds.rs"]
mod kinds;
#[path = "forwarding/outside.rs"]
mod outside;
#[path = "forwarding/stages.rs"]
mod stages;
