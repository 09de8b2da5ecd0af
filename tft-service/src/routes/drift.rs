//! `/drift`: whether forecasts come true as often as they say, as of the newest snapshot.

use hyper::StatusCode;

use crate::http::{Reply, json, json_of};
use crate::openapi::Operation;
use crate::state::ServiceState;
use crate::wire::{DriftReportReply, DriftStatusReply};

pub(super) fn status(state: &ServiceState) -> Reply {
    json_of(StatusCode::OK, &DriftStatusReply::new(&state.snapshot().view))
}

pub(super) fn report(state: &ServiceState) -> Reply {
    json(StatusCode::OK, state.snapshot().drift_json())
}

pub(super) fn describe_status(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<DriftStatusReply<'_>>(200, "The verdict.")
}

pub(super) fn describe_report(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<DriftReportReply<'_>>(200, "The figures behind the verdict.")
}
