//! The JSON of replies.
//!
//! Owns the shapes that clients know; computes nothing but differences for display. Numbers that are not
//! finite become null.

mod alerts;
mod display;
mod predictions;
mod selection;
mod server;
mod status;

pub(crate) use alerts::render_alerts;
pub(crate) use predictions::render_predictions;
pub(crate) use selection::Selection;
pub(crate) use status::{FeedReply, IgnoredFeed, StatusReply};
