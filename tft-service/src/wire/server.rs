//! One server within the predictions.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema as JsonType, SchemaGenerator, json_schema};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tft_core::ServerAssessment;
use tft_core::forecast::{Forecast, Method, MetricForecast, Quantile, QuantileLevels};
use tft_core::risk::WireLevel;
use tft_core::schema::Schema;
use tft_core::time::StepLength;

use super::display::DisplayMetrics;
use super::names;
use super::selection::Selection;
use crate::snapshot::FleetView;

/// Which part of the forecasts a reply has, and what reading them takes.
pub(super) struct Part<'a> {
    pub(super) schema: &'a Schema,
    pub(super) step_length: StepLength,
    pub(super) levels: &'a QuantileLevels,
    pub(super) quantile_indices: Vec<usize>,
    pub(super) selection: &'a Selection,
}

/// One server: an object with an entry per metric, and what follows from the metrics.
pub(super) struct ServerEntry<'a> {
    pub(super) part: &'a Part<'a>,
    pub(super) forecast: &'a Forecast,
    pub(super) assessment: &'a ServerAssessment,
}

/// One server as it is at present: what [`ServerEntry`] has, without the forecasts.
pub(super) struct StateEntry<'a> {
    pub(super) part: &'a Part<'a>,
    pub(super) forecast: &'a Forecast,
    pub(super) assessment: &'a ServerAssessment,
}

/// The newest value of every metric.
struct CurrentValues<'a>(&'a StateEntry<'a>);

/// The risk level as old clients know it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ServerAlert")]
struct AlertEntry {
    level: &'static str,
    score: f64,
    color: &'static str,
    emoji: &'static str,
    label: &'static str,
}

struct MetricEntry<'a> {
    part: &'a Part<'a>,
    forecast: &'a MetricForecast,
}

/// The path of one quantile.
struct Path<'a> {
    forecast: &'a MetricForecast,
    quantile_index: usize,
    horizon_steps: usize,
}

impl<'a> Part<'a> {
    pub(super) fn new(view: &'a FleetView, selection: &'a Selection) -> Self {
        let forecast = &view.assessment.forecast;
        Self {
            schema: &view.facts.schema,
            step_length: forecast.step_length,
            levels: &forecast.quantiles,
            quantile_indices: selection.quantile_indices(&forecast.quantiles),
            selection,
        }
    }
}

impl Serialize for StateEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { part, forecast, assessment } = *self;
        let score = assessment.risk.score;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("profile", forecast.profile.as_str())?;
        map.serialize_entry("risk_score", &score)?;
        map.serialize_entry("risk_level", assessment.risk.level.as_str())?;
        map.serialize_entry("alert", &AlertEntry::of(score))?;
        map.serialize_entry("readiness", &assessment.readiness.state)?;
        map.serialize_entry("method", forecast.method().as_str())?;
        map.serialize_entry("current", &CurrentValues(self))?;
        let display = DisplayMetrics { schema: part.schema, levels: part.levels, forecast };
        map.serialize_entry("display_metrics", &display)?;
        map.end()
    }
}

impl Serialize for CurrentValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let StateEntry { part, forecast, .. } = self.0;
        let named =
            |forecast: &MetricForecast| (&part.schema.metrics()[forecast.metric].name, forecast.current);
        serializer.collect_map(forecast.metrics.iter().map(named))
    }
}

impl Serialize for ServerEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { part, forecast, assessment } = *self;
        let score = assessment.risk.score;
        let mut map = serializer.serialize_map(None)?;
        for forecast in forecast.metrics.iter().filter(|forecast| part.selection.has_metric(forecast.metric))
        {
            let name = &part.schema.metrics()[forecast.metric].name;
            map.serialize_entry(name, &MetricEntry { part, forecast })?;
        }
        map.serialize_entry("risk_score", &score)?;
        map.serialize_entry("profile", forecast.profile.as_str())?;
        map.serialize_entry("alert", &AlertEntry::of(score))?;
        map.serialize_entry("risk_level", assessment.risk.level.as_str())?;
        map.serialize_entry("readiness", &assessment.readiness.state)?;
        let display = DisplayMetrics { schema: part.schema, levels: part.levels, forecast };
        map.serialize_entry("display_metrics", &display)?;
        map.end()
    }
}

impl JsonSchema for ServerEntry<'_> {
    fn schema_name() -> Cow<'static, str> {
        "ServerEntry".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> JsonType {
        json_schema!({
            "type": "object",
            "description": "An entry per metric, and what follows from the metrics.",
            "properties": {
                "risk_score": { "type": "number" },
                "profile": { "type": "string" },
                "alert": schemas.subschema_for::<AlertEntry>(),
                "risk_level": { "type": "string" },
                "readiness": names::readiness(schemas),
                "display_metrics": schemas.subschema_for::<DisplayMetrics<'_>>(),
            },
            "required": ["risk_score", "profile", "alert", "risk_level", "readiness", "display_metrics"],
            "additionalProperties": schemas.subschema_for::<MetricEntry<'_>>(),
        })
    }
}

impl JsonSchema for MetricEntry<'_> {
    fn schema_name() -> Cow<'static, str> {
        "MetricEntry".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> JsonType {
        json_schema!({
            "type": "object",
            "description": "A path per quantile, like `p50`, in the metric's unit.",
            "properties": {
                "current": { "type": ["number", "null"], "description": "The newest value." },
                "trend": { "type": ["number", "null"], "description": "The median's change per step." },
                "method": { "const": Method::Fallback.as_str() },
            },
            "required": ["current", "trend"],
            "additionalProperties": { "type": "array", "items": { "type": ["number", "null"] } },
        })
    }
}

impl AlertEntry {
    fn of(score: f64) -> Self {
        let level = WireLevel::of(score);
        let (color, emoji, label) = (level.color(), level.emoji(), level.label());
        Self { level: level.as_str(), score, color, emoji, label }
    }
}

impl MetricEntry<'_> {
    /// The change of the median per step over the first hour, in the metric's unit.
    fn trend(&self) -> f32 {
        let median = self.forecast.path(self.part.levels.nearest(Quantile::MEDIAN));
        let steps_per_hour = HOUR_MS / self.part.step_length.as_millis();
        let steps = median.len().min(steps_per_hour.max(1) as usize);
        if steps < 2 {
            return 0.0;
        }
        (median[steps - 1] - median[0]) / (steps - 1) as f32
    }
}

impl Serialize for MetricEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { part, forecast } = *self;
        let horizon_steps = part.selection.horizon_steps(forecast.horizon());
        let mut map = serializer.serialize_map(None)?;
        for &quantile_index in &part.quantile_indices {
            let label = part.levels.as_slice()[quantile_index].label();
            map.serialize_entry(&label, &Path { forecast, quantile_index, horizon_steps })?;
        }
        map.serialize_entry("current", &forecast.current)?;
        map.serialize_entry("trend", &self.trend())?;
        if forecast.method == Method::Fallback {
            map.serialize_entry("method", forecast.method.as_str())?;
        }
        map.end()
    }
}

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.forecast.path(self.quantile_index).iter().take(self.horizon_steps))
    }
}

const HOUR_MS: i64 = 3_600_000;
