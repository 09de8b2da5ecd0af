//! `GET /alerts/active`: the alerts of the newest snapshot.

use hyper::StatusCode;

use crate::http::{Reply, json};
use crate::openapi::Operation;
use crate::state::ServiceState;
use crate::wire::AlertsReply;

pub(super) fn active(state: &ServiceState) -> Reply {
    json(StatusCode::OK, state.snapshot().alerts_json.clone())
}

pub(super) fn describe(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<AlertsReply<'_>>(200, "The alerts that are pending, firing or without data.")
}
