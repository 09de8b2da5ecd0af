//! `/admin/…`: which model is used, and changing it.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Body;
use serde::Deserialize;
use serde_json::json;

use super::Context;
use crate::admin::{AdminError, ModelError, ModelName};
use crate::config::Limits;
use crate::http::{Refusal, Reply, Request, json_of, read_json};
use crate::layers::Outcome;
use crate::openapi::Operation;
use crate::wire::{ModelInfoReply, ModelsReply, ReloadReply, shorten};

/// The body of `POST /admin/reload-model`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ReloadRequest {
    model_dir: Option<String>,
}

/// Answers with the models that can be changed to.
pub(super) async fn list(context: &Context) -> Result<Reply, Refusal> {
    let admin = Arc::clone(&context.admin);
    let listed = tokio::task::spawn_blocking(move || {
        let models = admin.models();
        models.names().map(|names| ModelsReply::new(&models.current(), &names))
    });
    let listed = listed.await.map_err(|_| Refusal::Internal)?;
    Ok(json_of(StatusCode::OK, &listed.map_err(|error| refusal_of(&error.into()))?))
}

pub(super) fn describe_list(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<ModelsReply>(200, "The models of the configured directory.")
}

/// Answers with the model that is used, in figures.
pub(super) fn info(context: &Context) -> Result<Reply, Refusal> {
    let snapshot = context.state.snapshot();
    let no_model = || Refusal::NotFound("there is no model, the fallback forecasts".into());
    let card = snapshot.view.facts.card.as_deref().ok_or_else(no_model)?;
    Ok(json_of(StatusCode::OK, &ModelInfoReply::new(&context.admin.models().current(), card)))
}

pub(super) fn describe_info(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<ModelInfoReply<'_>>(200, "The model that made the newest forecasts.").refuses(&[404])
}

/// Loads and checks a model, and forecasts with it from then on.
///
/// # Cancel safety
/// Once the body is read, the model is changed even if the client goes away.
pub(super) async fn reload(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let ReloadRequest { model_dir } = read_request(request, &context.shared.limits).await?;
    let name = model_dir.as_deref().map(|text| {
        let unknown = || ModelError::Unknown(shorten(text)).into();
        ModelName::new(text).ok_or_else(|| refusal_of(&unknown()))
    });
    let (name, admin) = (name.transpose()?, Arc::clone(&context.admin));
    let reloaded = tokio::task::spawn_blocking(move || admin.reload_model(name));
    let reloaded = reloaded.await.map_err(|_| Refusal::Internal)?;
    let reloaded = reloaded.map_err(|error| refusal_of(&error))?;
    let reason = Some(format!("model `{}` in use", reloaded.facts.model_id));
    let mut reply = json_of(StatusCode::OK, &ReloadReply::from(reloaded));
    reply.extensions_mut().insert(Outcome { reason, ..Outcome::default() });
    Ok(reply)
}

pub(super) fn describe_reload(operation: Operation<'_>) -> Operation<'_> {
    let description =
        "A directory among the models; the model that the service started with, read anew, if left out.";
    let body = json!({
        "type": "object",
        "properties": { "model_dir": { "type": ["string", "null"], "description": description } },
        "additionalProperties": false,
    });
    operation
        .body(false, body)
        .replies::<ReloadReply>(200, "Forecasts are made with the model from now on.")
        .refuses(&[404, 409, 422])
}

async fn read_request(request: &mut Request, limits: &Limits) -> Result<ReloadRequest, Refusal> {
    if request.body().is_end_stream() {
        return Ok(ReloadRequest::default());
    }
    read_json(request, limits, BODY_BYTES_MAX).await
}

fn refusal_of(error: &AdminError) -> Refusal {
    match error {
        AdminError::Model(ModelError::Unknown(_)) => Refusal::NotFound(error.message()),
        AdminError::Model(ModelError::Unusable(_) | ModelError::NoRoom { .. }) => {
            tracing::error!(error = error.message(), "a model was refused, the old one stays");
            Refusal::Unprocessable(error.message())
        }
        AdminError::Changing => Refusal::Conflict(error.message()),
        _ => {
            tracing::error!(error = error.message(), "a model could not be changed or listed");
            Refusal::Busy
        }
    }
}

/// A name and some white space.
const BODY_BYTES_MAX: usize = 4096;
