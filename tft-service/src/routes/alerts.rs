//! `/alerts/…`: the alerts of the newest snapshot, and the rules that made them.

use hyper::StatusCode;

use crate::http::{Reply, json, json_of};
use crate::openapi::Operation;
use crate::state::ServiceState;
use crate::wire::{AlertsReply, RulesReply};

pub(super) fn active(state: &ServiceState) -> Reply {
    json(StatusCode::OK, state.snapshot().alerts_json.clone())
}

pub(super) fn describe(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<AlertsReply<'_>>(200, "The alerts that are pending, firing or without data.")
}

pub(super) fn rules(state: &ServiceState) -> Reply {
    json_of(StatusCode::OK, &RulesReply::new(&state.snapshot().view))
}

pub(super) fn describe_rules(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<RulesReply<'_>>(200, "The rules of the fleet and of the service itself.")
}
