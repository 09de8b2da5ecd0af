//! One server within the predictions.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tft_core::forecast::{Forecast, Method, MetricForecast, QuantileLevels};
use tft_core::risk::WireLevel;
use tft_core::schema::Schema;
use tft_core::time::StepLength;

use super::display::DisplayMetrics;
use super::selection::Selection;

/// One server: an object with an entry per metric, and what follows from the metrics.
pub(super) struct ServerEntry<'a> {
    pub(super) schema: &'a Schema,
    pub(super) step_length: StepLength,
    pub(super) levels: &'a QuantileLevels,
    pub(super) quantile_indices: &'a [usize],
    pub(super) selection: &'a Selection,
    pub(super) forecast: &'a Forecast,
    pub(super) risk_score: f64,
}

/// The risk level as old clients know it.
#[derive(Serialize)]
struct AlertEntry {
    level: &'static str,
    score: f64,
    color: &'static str,
    emoji: &'static str,
    label: &'static str,
}

struct MetricEntry<'a> {
    forecast: &'a MetricForecast,
    levels: &'a QuantileLevels,
    quantile_indices: &'a [usize],
    horizon_steps: usize,
    steps_per_hour: usize,
}

/// The path of one quantile.
struct Path<'a> {
    forecast: &'a MetricForecast,
    quantile_index: usize,
    horizon_steps: usize,
}

impl ServerEntry<'_> {
    fn metric<'a>(&'a self, forecast: &'a MetricForecast) -> MetricEntry<'a> {
        MetricEntry {
            forecast,
            levels: self.levels,
            quantile_indices: self.quantile_indices,
            horizon_steps: self.selection.horizon_steps(forecast.horizon()),
            steps_per_hour: (HOUR_MS / self.step_length.as_millis()).max(1) as usize,
        }
    }
}

impl Serialize for ServerEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let selected = |forecast: &&MetricForecast| self.selection.has_metric(forecast.metric);
        for forecast in self.forecast.metrics.iter().filter(selected) {
            let name = &self.schema.metrics()[forecast.metric].name;
            map.serialize_entry(name, &self.metric(forecast))?;
        }
        map.serialize_entry("risk_score", &self.risk_score)?;
        map.serialize_entry("profile", self.forecast.profile.as_str())?;
        map.serialize_entry("alert", &AlertEntry::of(self.risk_score))?;
        let display = DisplayMetrics { schema: self.schema, levels: self.levels, forecast: self.forecast };
        map.serialize_entry("display_metrics", &display)?;
        map.end()
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
        let median = self.forecast.path(self.levels.nearest(tft_core::forecast::Quantile::MEDIAN));
        let steps = self.steps_per_hour.min(median.len());
        if steps < 2 {
            return 0.0;
        }
        (median[steps - 1] - median[0]) / (steps - 1) as f32
    }
}

impl Serialize for MetricEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for &quantile_index in self.quantile_indices {
            let label = self.levels.as_slice()[quantile_index].label();
            let (forecast, horizon_steps) = (self.forecast, self.horizon_steps);
            map.serialize_entry(&label, &Path { forecast, quantile_index, horizon_steps })?;
        }
        map.serialize_entry("current", &self.forecast.current)?;
        map.serialize_entry("trend", &self.trend())?;
        if self.forecast.method == Method::Fallback {
            map.serialize_entry("method", self.forecast.method.as_str())?;
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
