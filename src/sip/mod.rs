//! Bytes to meaning and back. No state, no allocation, no knowledge of transactions or calls.
//!
//! [`mod@scan`] walks a datagram once and fills an [`Index`] of spans; a [`Message`] is the datagram and
//! its index together; the views ([`via`], [`name_addr`], [`uri`], [`cseq`], [`rack`], [`number`]) parse a
//! header's value on request; [`mod@write`] makes messages by splicing.

pub mod cseq;
pub mod error;
pub mod header;
mod lines;
pub mod message;
pub mod method;
pub mod name_addr;
pub mod number;
mod param;
pub mod rack;
mod same_uri;
pub mod scan;
mod start_line;
pub mod status;
mod text;
pub mod uri;
pub mod via;
pub mod write;

pub use cseq::CSeq;
pub use error::{Fault, Malformed};
pub use header::HeaderName;
pub use message::{Index, Message, Span};
pub use method::Method;
pub use name_addr::NameAddr;
pub use rack::RAck;
pub use same_uri::{count_params, is_same_uri};
pub use scan::scan;
pub use status::Status;
pub use uri::Uri;
pub use via::Via;
