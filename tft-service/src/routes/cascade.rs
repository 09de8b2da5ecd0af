//! `/cascade`: metrics that leave their usual range on several servers at once, as of the newest snapshot.

use hyper::StatusCode;

use crate::http::{Reply, json, json_of};
use crate::openapi::Operation;
use crate::state::ServiceState;
use crate::wire::{CascadeHealthReply, CascadeStatusReply};

pub(super) fn status(state: &ServiceState) -> Reply {
    json(StatusCode::OK, state.snapshot().cascade_json())
}

pub(super) fn health(state: &ServiceState) -> Reply {
    json_of(StatusCode::OK, &CascadeHealthReply::new(&state.snapshot().view))
}

pub(super) fn describe_status(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<CascadeStatusReply<'_>>(200, "What goes on, and what has ended.")
}

pub(super) fn describe_health(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<CascadeHealthReply>(200, "The fleet's health as one score.")
}
