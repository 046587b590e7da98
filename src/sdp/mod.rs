//! Session descriptions (RFC 4566, RFC 8866, RFC 3264): read, told again in the server's own name, or made.
//!
//! Of the reading: [`Description::read`] says where a party wants its streams, [`Stream::remote`] what the
//! relay makes of it, [`rewrite`] what the other side is told, [`find`] and [`splice`] do so inside of bodies
//! of several parts. Nothing here negotiates: codecs, their order and all that nobody here understands stay
//! as the party wrote them.

mod lines;
mod multipart;
mod own;
mod read;
mod rewrite;

pub use lines::Direction;
pub use multipart::{find, is_description, splice};
pub use own::{Origin, Unusable, answer_inactive, answer_tone, offer_inactive, offer_tone};
pub use read::{Description, Stream};
pub use rewrite::{Told, rewrite};
