//! `GET /alerts/active`: the alerts of the newest snapshot.

use hyper::StatusCode;

use crate::http::{Reply, json};
use crate::state::ServiceState;

pub(super) fn active(state: &ServiceState) -> Reply {
    json(StatusCode::OK, state.snapshot().alerts_json.clone())
}
