//! The reply of `/predictions/current`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::alerts::{self, AlertEntry, utc};
use super::selection::Selection;
use super::server::ServerEntry;
use super::summary::{Environment, Summary};
use crate::engine::Assessment;

/// The reply of `GET /predictions/current`.
#[derive(Serialize)]
struct PredictionsReply<'a> {
    predictions: BTreeMap<&'a str, ServerEntry<'a>>,
    alerts: Vec<AlertEntry>,
    environment: Environment,
    summary: Summary<'a>,
    metadata: Metadata<'a>,
    timestamp: String,
}

#[derive(Serialize)]
struct Metadata<'a> {
    model_type: &'static str,
    model_id: &'a str,
    prediction_time: String,
    /// The start of the first step that is forecast.
    forecast_start: Option<String>,
    step_seconds: i64,
    horizon_steps: usize,
    quantiles: Vec<f64>,
    input_points: usize,
    method: BTreeMap<&'a str, &'static str>,
}

/// Renders the selected part of an assessment.
pub(crate) fn render_predictions(assessment: &Assessment, selection: &Selection) -> Vec<u8> {
    let quantile_indices = selection.quantile_indices(&assessment.levels);
    super::to_json(&PredictionsReply {
        predictions: predictions(assessment, selection, &quantile_indices),
        alerts: alerts::entries(assessment),
        environment: Environment::new(&assessment.summary),
        summary: Summary::new(&assessment.summary),
        metadata: metadata(assessment, selection, &quantile_indices),
        timestamp: utc(assessment.at),
    })
}

fn predictions<'a>(
    assessment: &'a Assessment,
    selection: &'a Selection,
    quantile_indices: &'a [usize],
) -> BTreeMap<&'a str, ServerEntry<'a>> {
    let selected =
        assessment.servers().filter(|(forecast, _)| selection.has_server(forecast.server.as_str()));
    let entries = selected.map(|(forecast, risk)| {
        let entry = ServerEntry {
            schema: &assessment.schema,
            step_length: assessment.step_length,
            levels: &assessment.levels,
            quantile_indices,
            selection,
            forecast,
            risk_score: risk.score,
        };
        (forecast.server.as_str(), entry)
    });
    entries.collect()
}

fn metadata<'a>(
    assessment: &'a Assessment,
    selection: &Selection,
    quantile_indices: &[usize],
) -> Metadata<'a> {
    let levels = assessment.levels.as_slice();
    let step = assessment.step_length;
    let start = assessment.forecast.as_ref().map(|forecast| step.end_of(forecast.origin));
    let methods =
        assessment.servers().map(|(forecast, _)| (forecast.server.as_str(), forecast.method().as_str()));
    Metadata {
        model_type: "TFT",
        model_id: &assessment.model_id,
        prediction_time: utc(assessment.at),
        forecast_start: start.map(utc),
        step_seconds: step.as_millis() / 1000,
        horizon_steps: selection.horizon_steps(assessment.horizon_steps),
        quantiles: quantile_indices.iter().map(|&index| levels[index].level()).collect(),
        input_points: assessment.input_points,
        method: methods.filter(|(name, _)| selection.has_server(name)).collect(),
    }
}
