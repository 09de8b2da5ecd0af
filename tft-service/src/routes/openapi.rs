//! `GET /openapi.json`: what the service answers, for programs.

use hyper::StatusCode;
use serde_json::json;

use super::Context;
use crate::http::{Reply, json as json_text};
use crate::openapi::Operation;

pub(super) fn document(context: &Context) -> Reply {
    json_text(StatusCode::OK, context.openapi.clone())
}

pub(super) fn describe(operation: Operation<'_>) -> Operation<'_> {
    operation.replies_with(200, "application/json", "An OpenAPI 3.1 document.", json!({ "type": "object" }))
}
