//! `POST /feed/data`: samples in, as JSON or an Arrow stream, and a word about each one refused.

use std::sync::Arc;

use hyper::StatusCode;
use tft_core::{Error, ErrorKind};

use super::Context;
use crate::http::{Refusal, Reply, Request, json_of, read_body};
use crate::wire::{FeedReply, IgnoredFeed};

/// # Cancel safety
/// Once the body is read, its records are taken even if the client goes away. The reply that acknowledges
/// them is sent when the store's promise holds.
pub(super) async fn feed(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let headers = request.headers().clone();
    let room = context.intake.room_for(&headers, &context.shared.limits)?;
    let (body_type, body) = read_body(&headers, request.body_mut(), &context.shared.limits).await?;
    let turn = context.intake.turn()?;
    let worker = Arc::clone(&context.state);
    // Parsing megabytes takes tens of milliseconds; other connections go on meanwhile.
    let taken = tokio::task::spawn_blocking(move || {
        let _held = (room, turn);
        worker.ingest((body_type, &body))
    });
    let taken = taken.await;
    let taken = taken.map_err(|_| Refusal::Internal)?.map_err(|error| refusal_of(&error))?;
    let Some((report, progress)) = taken else {
        return Ok(json_of(StatusCode::OK, &IgnoredFeed::default()));
    };
    let status = if report.accepted > 0 { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(json_of(status, &FeedReply::new(report, &progress)))
}

/// Tells the client what is wrong with the whole body; single records are in the report.
fn refusal_of(error: &Error) -> Refusal {
    let message = || match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    match error.kind() {
        ErrorKind::Malformed => Refusal::BadRequest(message()),
        ErrorKind::LimitExceeded => Refusal::TooLarge(message()),
        ErrorKind::Io | ErrorKind::Unavailable => {
            tracing::error!(error = message(), "a feed could not be kept and was refused");
            Refusal::NotKept
        }
        _ => {
            tracing::error!(error = message(), "a feed could not be taken");
            Refusal::Internal
        }
    }
}
