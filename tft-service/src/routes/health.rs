//! `/health`: whether the process runs, and whether it is ready for readers.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::http::{self, Reply};
use crate::openapi::Operation;
use crate::state::ServiceState;

pub(super) fn health() -> Reply {
    http::json(StatusCode::OK, r#"{"status":"healthy","service":"tft_inference_daemon","running":true}"#)
}

pub(super) fn live() -> Reply {
    http::json(StatusCode::OK, r#"{"status":"alive"}"#)
}

/// Ready is a latch: once forecasts were published, old ones are still answered with.
pub(super) fn ready(state: &ServiceState) -> Reply {
    if state.has_forecast() {
        http::json(StatusCode::OK, r#"{"status":"ready"}"#)
    } else {
        http::json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"starting"}"#)
    }
}

pub(super) fn describe_health(operation: Operation<'_>) -> Operation<'_> {
    let properties = json!({
        "status": { "const": "healthy" }, "service": { "type": "string" }, "running": { "const": true },
    });
    let schema = object(&properties, &["status", "service", "running"]);
    operation.replies_with(200, "application/json", "The process runs.", schema)
}

pub(super) fn describe_live(operation: Operation<'_>) -> Operation<'_> {
    let schema = object(&json!({ "status": { "const": "alive" } }), &["status"]);
    operation.replies_with(200, "application/json", "The process runs.", schema)
}

pub(super) fn describe_ready(operation: Operation<'_>) -> Operation<'_> {
    let ready = object(&json!({ "status": { "const": "ready" } }), &["status"]);
    let starting = object(&json!({ "status": { "const": "starting" } }), &["status"]);
    operation.replies_with(200, "application/json", "There are forecasts.", ready).replies_or_refuses(
        503,
        "There are no forecasts yet, or the service is busy.",
        starting,
    )
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}
