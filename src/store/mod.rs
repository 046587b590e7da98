//! Where subscribers and bindings are kept: what survives an end, however it comes.

pub mod keeper;
