//! `DELETE /admin/set-aside`: the end of files that could not be read, and of pickles that were taken over.

use std::sync::Arc;

use hyper::StatusCode;

use super::Context;
use crate::admin::AdminError;
use crate::http::{Refusal, Reply, json_of};
use crate::layers::Outcome;
use crate::openapi::Operation;
use crate::wire::DiscardReply;

/// Removes the files that were set aside, and says which they were.
///
/// # Cancel safety
/// The removal goes on to its end even if the client goes away.
pub(super) async fn discard(context: &Context) -> Result<Reply, Refusal> {
    let admin = Arc::clone(&context.admin);
    let discarded = tokio::task::spawn_blocking(move || admin.discard_set_aside());
    let discarded = discarded.await.map_err(|_| Refusal::Internal)?;
    let files = discarded.map_err(|error| refusal_of(&error))?;
    let reason = Some(format!("{} files that were set aside deleted", files.len()));
    let mut reply = json_of(StatusCode::OK, &DiscardReply::new(files));
    reply.extensions_mut().insert(Outcome { reason, ..Outcome::default() });
    Ok(reply)
}

pub(super) fn describe(operation: Operation<'_>) -> Operation<'_> {
    operation
        .replies::<DiscardReply>(200, "No file that was set aside is left beside the checkpoint.")
        .refuses(&[409])
}

fn refusal_of(error: &AdminError) -> Refusal {
    if matches!(error, AdminError::Changing) {
        return Refusal::Conflict(error.message());
    }
    tracing::error!(error = error.message(), "files that were set aside could not be removed");
    Refusal::Busy
}
