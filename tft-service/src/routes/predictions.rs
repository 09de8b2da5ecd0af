//! `GET /predictions/current`: the newest snapshot, whole or in part, as JSON or an Arrow stream.

use hyper::StatusCode;
use hyper::header;

use crate::http::{ARROW_STREAM, Query, Refusal, Reply, Request, arrow_stream, json};
use crate::state::ServiceState;
use crate::wire::{Selection, predictions_table, render_predictions};

pub(super) fn current(state: &ServiceState, request: &Request) -> Result<Reply, Refusal> {
    let snapshot = state.snapshot();
    let query = Query::parse(request.uri().query())?;
    let is_arrow = match query.value("format") {
        None => accepts_arrow(request),
        Some("json") => false,
        Some("arrow") => true,
        Some(_) => return Err(Refusal::NotAcceptable { offered: "`format=json` and `format=arrow`" }),
    };
    let selection = Selection::parse(&query, &snapshot.view)?;
    if is_arrow {
        let stream = if selection.is_everything() {
            snapshot.predictions_arrow()
        } else {
            predictions_table(&snapshot.view, &selection)
        };
        return Ok(arrow_stream(stream.ok_or(Refusal::Internal)?));
    }
    if selection.is_everything() {
        return Ok(json(StatusCode::OK, snapshot.predictions_json.clone()));
    }
    Ok(json(StatusCode::OK, render_predictions(&snapshot.view, &selection)))
}

/// Returns whether the client names the type; `*/*` means what there always was.
fn accepts_arrow(request: &Request) -> bool {
    let values = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = values.flat_map(|value| value.split(',')).filter_map(|entry| entry.split(';').next());
    types.any(|name| name.trim().eq_ignore_ascii_case(ARROW_STREAM))
}
