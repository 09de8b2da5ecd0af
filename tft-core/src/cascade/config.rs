//! What a detector watches, and what counts.

use serde::{Deserialize, Serialize};

use super::baseline::BaselineRule;
use crate::error::{Error, ErrorKind};
use crate::schema::Schema;

/// What a [`CascadeDetector`](super::CascadeDetector) watches, and what counts.
///
/// # Defaults
/// The metrics `cpu_user_pct`, `mem_used_pct`, `cpu_iowait_pct`, `load_average` and `swap_used_pct`; two deviations on three
/// servers; severity from shares of 0.1, 0.25 and 0.5; a baseline of 288 steps (a day of five minutes: a shorter one
/// takes each morning for an incident), used after 24; breaks of up to 3 steps; 100 events with 100 servers each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CascadeConfig {
    /// The metrics; at most [`CascadeConfig::METRICS_MAX`], each once. None means that nothing is detected.
    pub metrics: Vec<CascadeMetric>,
    /// Deviations from its baseline beyond which a server's value counts, upward or downward; above 0, at most 100.
    pub z_min: f64,
    /// Fewest servers of a cascade; 2 to 1,000,000.
    pub servers_min: usize,
    /// Length of the baseline, in steps; 2 to [`CascadeConfig::BASELINE_STEPS_MAX`].
    pub baseline_steps: usize,
    /// Values of a series before it is judged; 2 to `baseline_steps`. Of few values more lie beyond their own deviations: of
    /// independent normal values 7 % after 24, 5 % after 100.
    pub baseline_steps_min: usize,
    /// The share of servers with a value from which a cascade is of medium severity; above 0, at most 1.
    pub share_medium: f64,
    /// The same for high severity; not below `share_medium`.
    pub share_high: f64,
    /// The same for critical severity; not below `share_high`.
    pub share_critical: f64,
    /// The probability that a cascade of low severity is a coincidence, at most; 0 to 1. With 0 there are none of low
    /// severity, with 1 every one counts.
    pub low_chance_max: f64,
    /// Steps without a cascade that end neither an event nor a server's streak; at most 1,000.
    pub break_steps: usize,
    /// Ended events that are kept; at most [`CascadeConfig::EVENTS_MAX`].
    pub events_max: usize,
    /// Servers that an event lists, the first that joined; 1 to [`CascadeConfig::AFFECTED_MAX`]. All are counted.
    pub affected_max: usize,
}

/// A metric that is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CascadeMetric {
    /// Its name or an alias of it.
    pub metric: String,
    /// The least standard deviation by which values are judged, in the metric's unit; above 0. Default 1, which fits
    /// percentages and load: a metric of another scale needs its own.
    #[serde(default = "one")]
    pub std_min: f64,
}

#[derive(Debug, thiserror::Error)]
enum ConfigError {
    #[error("cascade.{key} is {value}, allowed are {allowed}")]
    Range { key: &'static str, value: String, allowed: String },
    #[error("cascade.metrics names `{metric}`, which the schema lacks")]
    UnknownMetric { metric: String },
    #[error("cascade.metrics names `{metric}` twice")]
    DuplicateMetric { metric: String },
    #[error("cascade.metrics has std_min {value} for `{metric}`, allowed are finite numbers above 0")]
    StdMin { metric: String, value: f64 },
}

/// A metric that fits the schema.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// Its position in the schema.
    pub(super) metric: usize,
    pub(super) name: String,
    pub(super) std_min: f64,
}

impl CascadeConfig {
    /// Most metrics that are watched.
    pub const METRICS_MAX: usize = 64;
    /// Longest baseline, in steps.
    pub const BASELINE_STEPS_MAX: usize = 100_000;
    /// Most ended events that are kept.
    pub const EVENTS_MAX: usize = 10_000;
    /// Most servers that an event lists.
    pub const AFFECTED_MAX: usize = 10_000;

    /// Returns the defaults with those of the default metrics that a schema has.
    pub fn for_schema(schema: &Schema) -> Self {
        let mut config = Self::default();
        config.metrics.retain(|watched| schema.metric_index(&watched.metric).is_some());
        config
    }

    pub(super) fn baseline_rule(&self) -> BaselineRule {
        BaselineRule {
            weight_min: 2.0 / (self.baseline_steps as f64 + 1.0),
            count_min: u32::try_from(self.baseline_steps_min).unwrap_or(u32::MAX),
        }
    }

    /// Checks all fields and finds the metrics in a schema.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the first key at fault.
    pub(super) fn resolve(&self, schema: &Schema) -> Result<Vec<Watched>, Error> {
        self.check_counts()?;
        self.check_shares()?;
        let mut watched: Vec<Watched> = Vec::new();
        for CascadeMetric { metric: name, std_min } in &self.metrics {
            let Some(metric) = schema.metric_index(name) else {
                return Err(ConfigError::UnknownMetric { metric: name.clone() }.into());
            };
            if watched.iter().any(|other| other.metric == metric) {
                return Err(ConfigError::DuplicateMetric { metric: name.clone() }.into());
            }
            if !(std_min.is_finite() && *std_min > 0.0) {
                return Err(ConfigError::StdMin { metric: name.clone(), value: *std_min }.into());
            }
            let name = schema.metrics()[metric].name.clone();
            watched.push(Watched { metric, name, std_min: *std_min });
        }
        Ok(watched)
    }

    fn check_counts(&self) -> Result<(), Error> {
        let count = |key, value: usize, min: usize, max: usize| {
            check(key, (min..=max).contains(&value), value, format!("{min} to {max}"))
        };
        count("metrics", self.metrics.len(), 0, Self::METRICS_MAX)?;
        count("servers_min", self.servers_min, 2, 1_000_000)?;
        count("baseline_steps", self.baseline_steps, 2, Self::BASELINE_STEPS_MAX)?;
        count("baseline_steps_min", self.baseline_steps_min, 2, self.baseline_steps)?;
        count("break_steps", self.break_steps, 0, 1_000)?;
        count("events_max", self.events_max, 0, Self::EVENTS_MAX)?;
        count("affected_max", self.affected_max, 1, Self::AFFECTED_MAX)
    }

    fn check_shares(&self) -> Result<(), Error> {
        let z_is_valid = self.z_min > 0.0 && self.z_min <= 100.0;
        check("z_min", z_is_valid, self.z_min, "above 0 to 100".to_owned())?;
        let above = |least: f64, share: f64| share >= least && share <= 1.0;
        let medium_is_valid = self.share_medium > 0.0 && self.share_medium <= 1.0;
        check("share_medium", medium_is_valid, self.share_medium, "above 0 to 1".to_owned())?;
        let (medium, high) = (self.share_medium, self.share_high);
        check("share_high", above(medium, high), high, format!("{medium} to 1"))?;
        check(
            "share_critical",
            above(high, self.share_critical),
            self.share_critical,
            format!("{high} to 1"),
        )?;
        check("low_chance_max", above(0.0, self.low_chance_max), self.low_chance_max, "0 to 1".to_owned())
    }
}

impl Default for CascadeConfig {
    fn default() -> Self {
        let metrics = ["cpu_user_pct", "mem_used_pct", "cpu_iowait_pct", "load_average", "swap_used_pct"];
        Self {
            metrics: metrics.map(CascadeMetric::new).to_vec(),
            z_min: 2.0,
            servers_min: 3,
            baseline_steps: 288,
            baseline_steps_min: 24,
            share_medium: 0.1,
            share_high: 0.25,
            share_critical: 0.5,
            low_chance_max: 0.001,
            break_steps: 3,
            events_max: 100,
            affected_max: 100,
        }
    }
}

impl CascadeMetric {
    /// Names a metric whose values are judged by a deviation of at least 1 in its unit.
    pub fn new(metric: impl Into<String>) -> Self {
        Self { metric: metric.into(), std_min: one() }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorKind::InvalidConfig, error)
    }
}

fn check(
    key: &'static str,
    is_valid: bool,
    value: impl std::fmt::Display,
    allowed: String,
) -> Result<(), Error> {
    if is_valid { Ok(()) } else { Err(ConfigError::Range { key, value: value.to_string(), allowed }.into()) }
}

const fn one() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(config: &CascadeConfig) -> String {
        config.resolve(&Schema::server_metrics()).unwrap_err().to_string()
    }

    #[test]
    fn the_default_is_valid_and_survives_json() {
        let config = CascadeConfig::default();
        assert_eq!(config.resolve(&Schema::server_metrics()).unwrap().len(), 5);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<CascadeConfig>(&text).unwrap(), config);
        let one: CascadeConfig = serde_json::from_str(r#"{"metrics":[{"metric":"load"}]}"#).unwrap();
        assert_eq!(one.metrics, [CascadeMetric::new("load")]);
        assert!(serde_json::from_str::<CascadeConfig>(r#"{"z":2}"#).is_err());
    }

    #[test]
    fn a_schema_without_the_default_metrics_has_nothing_to_watch() {
        let metric = crate::schema::Metric::new("queue_depth", crate::schema::MetricKind::Count);
        let config = crate::schema::SchemaConfig { metrics: vec![metric], ..Default::default() };
        let schema = Schema::new(config).unwrap();
        assert!(CascadeConfig::for_schema(&schema).metrics.is_empty());
    }

    #[test]
    fn errors_name_the_key_and_the_value() {
        let base = CascadeConfig::default;
        insta::assert_snapshot!(error_of(&CascadeConfig { z_min: 0.0, ..base() }), @"cascade.z_min is 0, allowed are above 0 to 100");
        insta::assert_snapshot!(error_of(&CascadeConfig { z_min: f64::NAN, ..base() }), @"cascade.z_min is NaN, allowed are above 0 to 100");
        insta::assert_snapshot!(error_of(&CascadeConfig { servers_min: 1, ..base() }), @"cascade.servers_min is 1, allowed are 2 to 1000000");
        insta::assert_snapshot!(error_of(&CascadeConfig { share_high: 0.05, ..base() }), @"cascade.share_high is 0.05, allowed are 0.1 to 1");
        let twice = vec![CascadeMetric::new("load"), CascadeMetric::new("load_average")];
        insta::assert_snapshot!(error_of(&CascadeConfig { metrics: twice, ..base() }), @"cascade.metrics names `load_average` twice");
        let unknown = vec![CascadeMetric::new("temperature")];
        insta::assert_snapshot!(error_of(&CascadeConfig { metrics: unknown, ..base() }), @"cascade.metrics names `temperature`, which the schema lacks");
        let flat = vec![CascadeMetric { std_min: 0.0, ..CascadeMetric::new("load") }];
        insta::assert_snapshot!(error_of(&CascadeConfig { metrics: flat, ..base() }), @"cascade.metrics has std_min 0 for `load`, allowed are finite numbers above 0");
    }
}
