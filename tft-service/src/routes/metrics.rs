//! `GET /metrics`: what Prometheus reads.

use hyper::StatusCode;

use super::Context;
use crate::http::{Reply, bytes};
use crate::metrics::CONTENT_TYPE;
use crate::openapi::{Operation, text};

pub(super) fn metrics(context: &Context) -> Reply {
    bytes(StatusCode::OK, CONTENT_TYPE, context.shared.metrics.render())
}

pub(super) fn describe(operation: Operation<'_>) -> Operation<'_> {
    operation.replies_with(200, "text/plain", "Prometheus's text format, version 0.0.4.", text())
}
