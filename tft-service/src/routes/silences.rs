//! `/alerts/silences`: what nobody wants to be told for a while.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tft_core::alert::{Matcher, Notifier, Silence, SilenceState};
use tft_core::history::EventKind;
use tft_core::time::Timestamp;

use super::{Context, history};
use crate::error::in_one_line;
use crate::http::{Refusal, Reply, Request, json_of, read_json};
use crate::layers::{Call, Outcome};
use crate::openapi::{Operation, text};
use crate::wire::{SilenceEntry, SilencesReply, shorten};

/// The body of `POST /alerts/silences`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SilenceRequest {
    #[serde(default)]
    id: String,
    matchers: Vec<String>,
    starts_at: Option<String>,
    ends_at: String,
    created_by: Option<String>,
    #[serde(default)]
    comment: String,
}

/// Answers with all silences, those included that have not begun and those that are over.
pub(super) fn list(context: &Context) -> Reply {
    let now = context.shared.clock.now();
    let mut notifier = context.state.notifier().lock();
    notifier.advance(now);
    json_of(StatusCode::OK, &SilencesReply::new(notifier.silences(), now))
}

pub(super) fn describe_list(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<SilencesReply>(200, "The silences that are pending, active, or expired for a while.")
}

/// Makes a silence, or changes the one with the id in the body.
pub(super) async fn set(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let who = key_id(request);
    let body: SilenceRequest = read_json(request, &context.shared.limits, BODY_BYTES_MAX).await?;
    let now = context.shared.clock.now();
    let kept = change(context, move |notifier| {
        let silence = body.into_silence(&who, now)?;
        set_in(notifier, silence, now)
    });
    let kept = kept.await?;
    history::record_silence(context, &kept, EventKind::SilenceSet, &kept.created_by).await;
    Ok(told(&kept, now, "set"))
}

pub(super) fn describe_set(operation: Operation<'_>) -> Operation<'_> {
    let matchers =
        "Texts like `severity=\"critical\"` or `server=~\"db-.*\"`, all of which an alert must satisfy.";
    let body = json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "description": "The silence to change; a new one if left out." },
            "matchers": {
                "type": "array", "items": { "type": "string", "pattern": MATCHER }, "minItems": 1, "maxItems": Matcher::COUNT_MAX,
                "description": matchers,
            },
            "starts_at": { "type": ["string", "null"], "format": "date-time", "description": "RFC 3339; now if left out." },
            "ends_at": { "type": "string", "format": "date-time", "description": "RFC 3339." },
            "created_by": { "type": ["string", "null"], "description": "Who; the key's id if left out." },
            "comment": { "type": "string", "description": "Why." },
        },
        "required": ["matchers", "ends_at"],
        "additionalProperties": false,
    });
    operation
        .body(true, body)
        .replies::<SilenceEntry>(200, "The silence as it is kept.")
        .refuses(&[404, 409, 422])
}

/// Ends a silence now.
pub(super) async fn expire(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let id = Call::of(request).parameter.unwrap_or_default();
    let now = context.shared.clock.now();
    let ended =
        change(context, move |notifier| notifier.expire_silence(&id, now).ok_or_else(|| unknown(&id)));
    let ended = ended.await?;
    history::record_silence(context, &ended, EventKind::SilenceExpired, &key_id(request)).await;
    Ok(told(&ended, now, "ended"))
}

pub(super) fn describe_expire(operation: Operation<'_>) -> Operation<'_> {
    operation
        .path("id", "The silence's id.", text())
        .replies::<SilenceEntry>(200, "The silence, which is over.")
}

/// Returns the name of who is calling.
pub(super) fn key_id(request: &Request) -> String {
    Call::of(request).principal.map_or_else(|| "none".to_owned(), |principal| principal.key_id())
}

/// Changes what people are told; when this returns, the change survives a restart.
pub(super) async fn change<T: Send + 'static>(
    context: &Context,
    change: impl FnOnce(&mut Notifier) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let state = Arc::clone(&context.state);
    // Compiling patterns takes a while, and so does the disk.
    let changing = tokio::task::spawn_blocking(move || {
        let changed = state.notifier().change(change)?;
        state.keep_notifier().map(|()| changed).map_err(|error| {
            tracing::error!(error = in_one_line(&error), "a change of notifications could not be saved");
            Refusal::NotKept
        })
    });
    changing.await.map_err(|_| Refusal::Internal)?
}

impl SilenceRequest {
    fn into_silence(self, who: &str, now: Timestamp) -> Result<Silence, Refusal> {
        let unusable = |error: tft_core::Error| Refusal::Unprocessable(in_one_line(&error));
        // One too many is enough for the refusal.
        let texts = self.matchers.iter().take(Matcher::COUNT_MAX + 1);
        let matchers = texts.map(|text| Matcher::parse(text)).collect::<Result<_, _>>().map_err(unusable)?;
        let starts_at = self.starts_at.map(|text| Timestamp::parse(&text)).transpose().map_err(unusable)?;
        Ok(Silence {
            id: self.id,
            matchers,
            starts_at: starts_at.unwrap_or(now),
            ends_at: Timestamp::parse(&self.ends_at).map_err(unusable)?,
            created_by: self.created_by.unwrap_or_else(|| who.to_owned()),
            comment: self.comment,
        })
    }
}

fn set_in(notifier: &mut Notifier, silence: Silence, now: Timestamp) -> Result<Silence, Refusal> {
    if !silence.id.is_empty() {
        let known = notifier.silences().get(&silence.id).ok_or_else(|| unknown(&silence.id))?;
        if known.state(now) == SilenceState::Expired {
            return Err(Refusal::Conflict(format!("silence `{}` has expired: make a new one", known.id)));
        }
    }
    notifier.set_silence(silence, now).map_err(|error| {
        let message = in_one_line(&error);
        if error.is_limit_exceeded() { Refusal::Conflict(message) } else { Refusal::Unprocessable(message) }
    })
}

fn told(silence: &Silence, now: Timestamp, what: &str) -> Reply {
    let mut reply = json_of(StatusCode::OK, &SilenceEntry::new(silence, now));
    let reason = Some(format!("silence `{}` {what}", silence.id));
    reply.extensions_mut().insert(Outcome { reason, ..Outcome::default() });
    reply
}

fn unknown(id: &str) -> Refusal {
    Refusal::NotFound(format!("there is no silence `{}`", shorten(id)))
}

/// As many matchers as there may be, as long as they may be, and a comment.
const BODY_BYTES_MAX: usize = 128 * 1024;
/// The beginning of every matcher: a label, which may be quoted, and how it is compared.
const MATCHER: &str = r#"^\s*("[^"\\]+"|[^\s"=!~,{}\\]+)\s*(=~|!~|!=|=)"#;
