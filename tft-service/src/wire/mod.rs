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
mod summary;

pub(crate) use alerts::render_alerts;
pub(crate) use predictions::render_predictions;
pub(crate) use selection::Selection;
pub(crate) use status::{FeedReply, IgnoredFeed, StatusReply};

/// Renders a value as JSON text.
///
/// # Panics
/// Never for the types of this crate: their keys are strings.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("invariant: wire types have string keys")
}
