//! `/health`: whether the process runs, and whether it is ready for readers.

use hyper::StatusCode;

use crate::http::{Reply, json};
use crate::state::ServiceState;

pub(super) fn health() -> Reply {
    json(StatusCode::OK, r#"{"status":"healthy","service":"tft_inference_daemon","running":true}"#)
}

pub(super) fn live() -> Reply {
    json(StatusCode::OK, r#"{"status":"alive"}"#)
}

/// Ready is a latch: once forecasts were published, old ones are still answered with.
pub(super) fn ready(state: &ServiceState) -> Reply {
    if state.has_forecast() {
        json(StatusCode::OK, r#"{"status":"ready"}"#)
    } else {
        json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"starting"}"#)
    }
}
