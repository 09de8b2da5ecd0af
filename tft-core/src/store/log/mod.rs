//! The log: every feed since the last checkpoint, in segments beside it.
//!
//! Owns the bytes of segments and frames, and their replay. When a segment begins, what is made durable and
//! when, and what a failure means is decided in `store::durable`. `docs/format.md` writes the bytes down.

pub(super) mod batch;
pub(super) mod error;
pub(super) mod frame;
pub(super) mod header;
mod lookahead;
pub(super) mod recover;
pub(super) mod segment;

/// The version that is written.
const FORMAT_VERSION: u32 = 1;

/// Most bytes of a frame: a feed of 8 MiB of JSON takes a quarter of it.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 20;

/// Most bytes of a segment's header: 256 metrics and 254 states with names of a thousand characters.
const HEADER_BYTES_MAX: usize = 1 << 19;
