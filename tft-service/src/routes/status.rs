//! `/status`: how much data there is, without names, paths or versions.

use hyper::StatusCode;

use crate::http::{Reply, json_of};
use crate::openapi::Operation;
use crate::state::ServiceState;
use crate::wire::StatusReply;

pub(super) fn status(state: &ServiceState) -> Reply {
    json_of(StatusCode::OK, &StatusReply::new(&state.progress()))
}

pub(super) fn describe(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<StatusReply>(200, "How much data there is.")
}
