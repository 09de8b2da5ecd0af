//! `/status`: how much data there is, without names, paths or versions.

use hyper::StatusCode;

use crate::http::{Reply, json_of};
use crate::state::ServiceState;
use crate::wire::StatusReply;

pub(super) fn status(state: &ServiceState) -> Reply {
    json_of(StatusCode::OK, &StatusReply::new(&state.progress()))
}
