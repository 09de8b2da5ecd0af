//! `GET /predictions/current`: the newest snapshot, whole or in part.

use hyper::StatusCode;

use crate::http::{Query, Refusal, Reply, json};
use crate::state::ServiceState;
use crate::wire::{Selection, render_predictions};

pub(super) fn current(state: &ServiceState, query: Option<&str>) -> Result<Reply, Refusal> {
    let snapshot = state.snapshot();
    let query = Query::parse(query)?;
    if query.value("format").is_some_and(|format| format != "json") {
        return Err(Refusal::NotAcceptable { offered: "`format=json`" });
    }
    let selection = Selection::parse(&query, &snapshot.view)?;
    if selection.is_everything() {
        return Ok(json(StatusCode::OK, snapshot.predictions_json.clone()));
    }
    Ok(json(StatusCode::OK, render_predictions(&snapshot.view, &selection)))
}
