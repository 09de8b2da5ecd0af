//! `GET /predictions/current`: the newest snapshot, whole or in part, as JSON or an Arrow stream.

use hyper::StatusCode;
use hyper::header;
use serde_json::json;

use crate::http::{self, ARROW_STREAM, Query, Refusal, Reply, Request, arrow_stream};
use crate::openapi::{Operation, integer, one_of, text};
use crate::state::ServiceState;
use crate::wire::{PredictionsReply, Selection, predictions_table, render_predictions};

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
        return Ok(http::json(StatusCode::OK, snapshot.predictions_json.clone()));
    }
    Ok(http::json(StatusCode::OK, render_predictions(&snapshot.view, &selection)))
}

pub(super) fn describe(operation: Operation<'_>) -> Operation<'_> {
    operation
        .query("server", "Names of servers, separated by commas; all if left out.", text())
        .query("metrics", "Names of metrics, separated by commas; all if left out.", text())
        .query(
            "horizon",
            "Steps ahead; as far as the model forecasts if left out.",
            integer(1, HORIZON_STEPS_MAX),
        )
        .query(
            "quantiles",
            "Levels like `0.9` or `p90`, separated by commas; P10, P50 and P90 if left out.",
            text(),
        )
        .query("format", "The reply's format; as `Accept` says if left out.", one_of(&["json", "arrow"]))
        .replies::<PredictionsReply<'_>>(200, "The newest forecasts and what follows from them.")
        .replies_with(200, ARROW_STREAM, "", json!({}))
        .refuses(&[404, 406])
}

/// Any model forecasts less.
const HORIZON_STEPS_MAX: usize = 1_000_000;

/// Returns whether the client names the type; `*/*` means what there always was.
fn accepts_arrow(request: &Request) -> bool {
    let values = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = values.flat_map(|value| value.split(',')).filter_map(|entry| entry.split(';').next());
    types.any(|name| name.trim().eq_ignore_ascii_case(ARROW_STREAM))
}
