//! `/explain/{server}`: why a server's forecast is what it is, and what would change it.

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::json as value;
use tft_core::explain::WhatIf;
use tft_core::schema::ServerName;

use super::Context;
use crate::config::Limits;
use crate::error::in_one_line;
use crate::explain::AskError;
use crate::http::{BodyType, Refusal, Reply, Request, json, read_body};
use crate::layers::Call;
use crate::openapi::{Operation, text};
use crate::wire::{ExplanationReply, WhatIfReply, shorten};

/// Answers with the explanation of a server's newest forecasts.
pub(super) async fn explain(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let name = name_of(request);
    let explained = context.explanations.explain(&name).await;
    reply_of(explained, &name)
}

pub(super) fn describe_explain(operation: Operation<'_>) -> Operation<'_> {
    operation.path("server", "The server's name.", text()).replies::<ExplanationReply<'_>>(
        200,
        "Which metrics stand out and why, what the model looked at, and what would change the forecast.",
    )
}

/// Answers with what would be forecast if a metric had been different.
///
/// # Cancel safety
/// Once the body is read, the question keeps its place in the queue even if the client goes away, and is then dropped
/// without being answered.
pub(super) async fn what_if(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let name = name_of(request);
    let question = read_question(request, &context.shared.limits).await?;
    let answered = context.explanations.what_if(&name, question).await;
    reply_of(answered, &name)
}

pub(super) fn describe_what_if(operation: Operation<'_>) -> Operation<'_> {
    let metrics: Vec<_> = operation.schema().metrics().iter().map(|metric| metric.name.clone()).collect();
    let number = |description: &str| value!({ "type": "number", "description": description });
    let change = value!({
        "description": "How its values would have been different.",
        "anyOf": [
            { "enum": ["hold", "day_before"] },
            {
                "type": "object", "required": ["scale"], "additionalProperties": false,
                "properties": { "scale": number("This many times as much, 0 to 1000.") },
            },
            {
                "type": "object", "required": ["offset"], "additionalProperties": false,
                "properties": { "offset": number("More by this, in the metric's unit.") },
            },
        ],
    });
    let steps = value!({
        "type": "integer", "minimum": 1,
        "description": "For how many steps up to the newest one; at most as many as are kept.",
    });
    let body = value!({
        "type": "object",
        "properties": { "metric": { "enum": metrics }, "change": change, "last_steps": steps },
        "required": ["metric", "change", "last_steps"],
        "additionalProperties": false,
    });
    operation
        .path("server", "The server's name.", text())
        .body(true, body)
        .replies::<WhatIfReply<'_>>(200, "What the model forecasts after that past.")
        .refuses(&[422])
}

async fn read_question(request: &mut Request, limits: &Limits) -> Result<WhatIf, Refusal> {
    let headers = request.headers().clone();
    let limits = Limits { body_bytes_max: BODY_BYTES_MAX.min(limits.body_bytes_max), ..*limits };
    let (body_type, body) = read_body(&headers, request.body_mut(), &limits).await?;
    if body_type != BodyType::Json {
        return Err(Refusal::UnsupportedMediaType);
    }
    let question: WhatIf = serde_json::from_slice(&body)
        .map_err(|error| Refusal::BadRequest(format!("the body is not usable: {error}")))?;
    // A refusal repeats the name.
    Ok(WhatIf { metric: shorten(&question.metric), ..question })
}

fn reply_of(answered: Result<Option<Bytes>, AskError>, name: &str) -> Result<Reply, Refusal> {
    match answered {
        Ok(Some(answer)) => Ok(json(StatusCode::OK, answer)),
        Ok(None) => Err(Refusal::NotFound(format!("there is no server `{name}`"))),
        Err(AskError::Busy) => Err(Refusal::Busy),
        Err(AskError::Failed(error)) if error.is_invalid_input() => {
            Err(Refusal::Unprocessable(error.to_string()))
        }
        Err(AskError::Failed(error)) => {
            tracing::error!(error = in_one_line(&error), server = name, "a server could not be explained");
            Err(Refusal::Internal)
        }
    }
}

/// Text that can be no name stands for a server that is not known.
fn name_of(request: &Request) -> String {
    let name = Call::of(request).parameter.unwrap_or_default();
    if ServerName::new(&name).is_ok() { name } else { shorten(&name) }
}

/// A metric, a change and some white space.
const BODY_BYTES_MAX: usize = 4096;
