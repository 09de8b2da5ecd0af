//! The handful of numbers that a dashboard shows per server.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema as JsonType, SchemaGenerator};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tft_core::forecast::{Forecast, MetricForecast, Quantile, QuantileLevels};
use tft_core::schema::Schema;

/// An object with an entry per quantity that the schema has and that a forecast exists for.
pub(super) struct DisplayMetrics<'a> {
    pub(super) schema: &'a Schema,
    pub(super) levels: &'a QuantileLevels,
    pub(super) forecast: &'a Forecast,
}

#[derive(Serialize, JsonSchema)]
struct DisplayEntry<'a> {
    current: f32,
    predicted: f32,
    delta: f32,
    unit: &'a str,
    trend: &'static str,
}

/// A quantity for display: its name, the metric it is read from, and whether it is 100 minus that.
struct Source {
    name: &'static str,
    metric: &'static str,
    is_complement: bool,
}

impl DisplayMetrics<'_> {
    fn entry(&self, source: &Source) -> Option<DisplayEntry<'_>> {
        let metric = self.schema.metric_index(source.metric)?;
        let forecast = self.forecast.metric(metric)?;
        let shown = |value: f32| if source.is_complement { 100.0 - value } else { value };
        let (current, predicted) = (shown(forecast.current), shown(self.mean_of_first_steps(forecast)));
        let delta = predicted - current;
        let unit = &self.schema.metrics()[metric].unit;
        Some(DisplayEntry { current, predicted, delta, unit, trend: trend(current, delta) })
    }

    fn mean_of_first_steps(&self, forecast: &MetricForecast) -> f32 {
        let median = forecast.path(self.levels.nearest(Quantile::MEDIAN));
        let count = median.len().min(LOOK_AHEAD_STEPS);
        median.iter().take(count).sum::<f32>() / count as f32
    }
}

impl Serialize for DisplayMetrics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for source in &SOURCES {
            if let Some(entry) = self.entry(source) {
                map.serialize_entry(source.name, &entry)?;
            }
        }
        map.end()
    }
}

impl JsonSchema for DisplayMetrics<'_> {
    fn schema_name() -> Cow<'static, str> {
        "DisplayMetrics".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> JsonType {
        BTreeMap::<String, DisplayEntry<'_>>::json_schema(schemas)
    }
}

/// Names a change: less than two per cent of the value, or of one unit, is none.
fn trend(current: f32, delta: f32) -> &'static str {
    let noticeable = 0.02 * current.abs().max(1.0);
    match delta {
        _ if delta > noticeable => "increasing",
        _ if delta < -noticeable => "decreasing",
        _ => "stable",
    }
}

/// Half an hour of five-minute steps.
const LOOK_AHEAD_STEPS: usize = 6;

const SOURCES: [Source; 7] = [
    Source { name: "cpu", metric: "cpu_idle_pct", is_complement: true },
    Source { name: "memory", metric: "mem_used_pct", is_complement: false },
    Source { name: "iowait", metric: "cpu_iowait_pct", is_complement: false },
    Source { name: "swap", metric: "swap_used_pct", is_complement: false },
    Source { name: "disk", metric: "disk_usage_pct", is_complement: false },
    Source { name: "load", metric: "load_average", is_complement: false },
    Source { name: "network_in", metric: "net_in_mb_s", is_complement: false },
];
