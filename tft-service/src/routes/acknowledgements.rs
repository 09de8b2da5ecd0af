//! `/alerts/{fingerprint}/acknowledge`: somebody knows of an alert.

use hyper::StatusCode;
use hyper::body::Body;
use serde::Deserialize;
use serde_json::json;
use tft_core::alert::Acknowledgement;
use tft_core::history::EventKind;

use super::silences::{change, key_id};
use super::{Context, history};
use crate::error::in_one_line;
use crate::http::{Refusal, Reply, Request, json_of, read_json};
use crate::layers::{Call, Outcome};
use crate::openapi::{Operation, text};
use crate::wire::{AcknowledgedReply, shorten};

/// The body of `POST /alerts/{fingerprint}/acknowledge`, which may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AcknowledgeRequest {
    by: Option<String>,
    comment: String,
}

/// Notes who knows of an alert.
pub(super) async fn set(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let (who, fingerprint) = (key_id(request), fingerprint_of(request));
    let body = if request.body().is_end_stream() {
        AcknowledgeRequest::default()
    } else {
        read_json(request, &context.shared.limits, BODY_BYTES_MAX).await?
    };
    let by = body.by.unwrap_or(who);
    let now = context.shared.clock.now();
    let alert = fingerprint.clone();
    let noted = change(context, move |notifier| {
        let noted = notifier.acknowledge(&alert, (&by, &body.comment), now);
        let noted = noted.map_err(|error| Refusal::Unprocessable(in_one_line(&error)))?;
        noted.ok_or_else(|| unknown(&alert))
    });
    let noted = noted.await?;
    let said = (noted.by.as_str(), noted.comment.as_str());
    history::record_about(context, &fingerprint, EventKind::Acknowledged, said).await;
    let reason = format!("alert `{fingerprint}` acknowledged");
    Ok(told(&AcknowledgedReply::new(fingerprint, Some(&noted)), reason))
}

pub(super) fn describe_set(operation: Operation<'_>) -> Operation<'_> {
    let body = json!({
        "type": "object",
        "properties": {
            "by": { "type": ["string", "null"], "minLength": 1, "maxLength": Acknowledgement::NAME_LENGTH_MAX, "description": "Who; the key's id if left out." },
            "comment": { "type": "string", "maxLength": Acknowledgement::COMMENT_LENGTH_MAX, "description": "What there is to say." },
        },
        "additionalProperties": false,
    });
    operation
        .path("fingerprint", "The alert's fingerprint.", text())
        .body(false, body)
        .replies::<AcknowledgedReply>(200, "The alert is not told again until it resolves or gets worse.")
        .refuses(&[422])
}

/// Takes an acknowledgement back.
pub(super) async fn remove(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let fingerprint = fingerprint_of(request);
    let (alert, now) = (fingerprint.clone(), context.shared.clock.now());
    let taken = change(context, move |notifier| {
        notifier
            .unacknowledge(&alert, now)
            .ok_or_else(|| Refusal::NotFound(format!("there is no acknowledged alert `{}`", shorten(&alert))))
    });
    taken.await?;
    let who = key_id(request);
    history::record_about(context, &fingerprint, EventKind::Unacknowledged, (&who, "")).await;
    let reason = format!("alert `{fingerprint}` not acknowledged any more");
    Ok(told(&AcknowledgedReply::new(fingerprint, None), reason))
}

pub(super) fn describe_removal(operation: Operation<'_>) -> Operation<'_> {
    operation
        .path("fingerprint", "The alert's fingerprint.", text())
        .replies::<AcknowledgedReply>(200, "The alert is told as if nobody had acknowledged it.")
}

fn fingerprint_of(request: &Request) -> String {
    Call::of(request).parameter.unwrap_or_default()
}

fn told(reply: &AcknowledgedReply, reason: String) -> Reply {
    let mut reply = json_of(StatusCode::OK, reply);
    reply.extensions_mut().insert(Outcome { reason: Some(reason), ..Outcome::default() });
    reply
}

fn unknown(fingerprint: &str) -> Refusal {
    Refusal::NotFound(format!("there is no active alert `{}`", shorten(fingerprint)))
}

/// A name and a comment.
const BODY_BYTES_MAX: usize = 8192;
