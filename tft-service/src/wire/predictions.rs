//! The reply of `/predictions/current`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::alerts::{self, AlertEntry, utc};
use super::selection::Selection;
use super::server::{Part, ServerEntry};
use super::summary::{Environment, Summary};
use crate::snapshot::FleetView;

/// The reply of `GET /predictions/current`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct PredictionsReply<'a> {
    predictions: BTreeMap<&'a str, ServerEntry<'a>>,
    alerts: Vec<AlertEntry<'a>>,
    environment: Environment,
    summary: Summary<'a>,
    metadata: Metadata<'a>,
    timestamp: String,
}

#[derive(Serialize, JsonSchema)]
struct Metadata<'a> {
    model_type: &'static str,
    model_id: &'a str,
    prediction_time: String,
    /// The start of the first step that is forecast; none before there is data.
    forecast_start: Option<String>,
    step_seconds: i64,
    horizon_steps: usize,
    quantiles: Vec<f64>,
    input_points: usize,
    method: BTreeMap<&'a str, &'static str>,
}

/// Renders the selected part of a view; figures of the fleet are always those of the whole fleet.
pub(crate) fn render_predictions(view: &FleetView, selection: &Selection) -> Vec<u8> {
    let part = Part::new(view, selection);
    super::to_json(&PredictionsReply {
        predictions: predictions(view, &part),
        alerts: alerts::entries(view, selection),
        environment: Environment::new(&view.assessment.summary),
        summary: Summary::new(&view.assessment.summary),
        metadata: Metadata::new(view, &part),
        timestamp: utc(view.assessment.at),
    })
}

/// The forecasts of the selected servers.
pub(super) fn predictions<'a>(view: &'a FleetView, part: &'a Part<'a>) -> BTreeMap<&'a str, ServerEntry<'a>> {
    let servers = view.assessment.forecast.servers.iter().zip(&view.assessment.servers);
    let selected = servers.filter(|(forecast, _)| part.selection.has_server(forecast.server.as_str()));
    let entry = |(forecast, assessment)| ServerEntry { part, forecast, assessment };
    selected.map(|server| (server.0.server.as_str(), entry(server))).collect()
}

impl<'a> Metadata<'a> {
    fn new(view: &'a FleetView, part: &Part<'_>) -> Self {
        let forecast = &view.assessment.forecast;
        let start = forecast.step_length.end_of(forecast.origin);
        let methods =
            forecast.servers.iter().map(|server| (server.server.as_str(), server.method().as_str()));
        let levels = forecast.quantiles.as_slice();
        Self {
            model_type: "TFT",
            model_id: &view.facts.model_id,
            prediction_time: utc(view.assessment.at),
            forecast_start: (!forecast.servers.is_empty()).then(|| utc(start)),
            step_seconds: forecast.step_length.as_millis() / 1000,
            horizon_steps: part.selection.horizon_steps(view.facts.horizon_steps),
            quantiles: part.quantile_indices.iter().map(|&index| levels[index].level()).collect(),
            input_points: view.input_points,
            method: methods.filter(|(name, _)| part.selection.has_server(name)).collect(),
        }
    }
}
