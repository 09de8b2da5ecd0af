//! Which values give how many points: the rows of a [`RiskPolicy`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{RiskLevel, Threshold};
use crate::error::{Error, ErrorKind};
use crate::schema::{BadSide, Metric, Profile, Schema};
use crate::time::DurationMs;

/// A checked table of points; see [`RiskPolicy::assess`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RiskPolicy {
    pub(super) config: RiskPolicyConfig,
}

/// The plain form of a [`RiskPolicy`].
///
/// # Defaults
/// The table of the server-metrics preset: 70 % current values, 30 % the mean of
/// the first 6 steps of the forecast; the levels of [`RiskLevel`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RiskPolicyConfig {
    /// The rows; at most [`RiskPolicy::ROWS_MAX`].
    pub rows: Vec<RiskRow>,
    /// The weight of current points, 0 to 1.
    pub current_weight: f64,
    /// The weight of predicted points, 0 to 1.
    pub predicted_weight: f64,
    /// How many first steps of the forecast are averaged; 1 to [`RiskPolicy::LOOK_AHEAD_STEPS_MAX`].
    pub look_ahead_steps: usize,
    /// From which score each level counts, ascending with the level; below all of them is
    /// [`Healthy`](RiskLevel::Healthy), and a level that is left out does not occur.
    pub levels: BTreeMap<RiskLevel, RiskLevelRow>,
}

/// When a level begins, and what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskLevelRow {
    /// The least score, 0 to 100.
    pub from: f64,
    /// Within what time somebody should respond, if anybody should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond_within: Option<DurationMs>,
}

/// The points that one quantity can give.
///
/// Of several rows with one name that select the same profile, the one with the most points counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskRow {
    /// What the contribution is called; not empty.
    pub name: String,
    /// What is looked at.
    pub subject: RiskSubject,
    /// Which side is bad.
    #[serde(default)]
    pub side: BadSide,
    /// For which servers.
    #[serde(default)]
    pub profiles: ProfileSelector,
    /// Points for the current value; the most that are reached count.
    #[serde(default)]
    pub current: Vec<RiskPoints>,
    /// Points for the predicted value; the most that are reached count.
    #[serde(default)]
    pub predicted: Vec<RiskPoints>,
}

/// The quantity that a row looks at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum RiskSubject {
    /// A metric by name.
    Metric(String),
    /// 100 minus a metric such as idle CPU; where that is missing, the sum of others, at most 100.
    ///
    /// Its high quantiles are 100 minus the metric's low ones. Those of the sum are the sums of the
    /// others' high ones, which is their upper bound.
    Complement {
        /// The metric to subtract from 100.
        of: String,
        /// The metrics to add up where that one is missing; one that is missing itself counts as 0.
        #[serde(default)]
        or_sum_of: Vec<String>,
    },
}

/// The profiles for which a row counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ProfileSelector {
    /// Every profile.
    #[default]
    All,
    /// These alone.
    Only(Vec<Profile>),
    /// All but these.
    Except(Vec<Profile>),
}

/// Points for reaching a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskPoints {
    /// What must be reached.
    pub at: Threshold,
    /// What that gives, 0 to 100.
    pub points: f64,
}

#[derive(Debug, thiserror::Error)]
enum PolicyError {
    #[error("risk policy has {count} rows, allowed are at most {}", RiskPolicy::ROWS_MAX)]
    RowCount { count: usize },
    #[error("risk policy field `{field}` is {value}, allowed are {min} to {max}")]
    Field { field: &'static str, value: f64, min: f64, max: f64 },
    #[error("risk level `{level}` begins at {from}, allowed are {least} to 100")]
    Level { level: RiskLevel, from: f64, least: f64 },
    #[error("risk level `healthy` has a row, but is what lies below all others")]
    Healthy,
    #[error("risk row {index} has an empty name")]
    EmptyName { index: usize },
    #[error("risk row `{row}` has {count} thresholds, allowed are at most {}", RiskPolicy::THRESHOLDS_MAX)]
    ThresholdCount { row: String, count: usize },
    #[error("risk row `{row}` has the threshold {at}; a value must be finite, a quantile between 0 and 1")]
    Threshold { row: String, at: Threshold },
    #[error("risk row `{row}` gives {points} points at {at}, allowed are 0 to 100")]
    Points { row: String, at: Threshold, points: f64 },
}

impl RiskPolicy {
    /// Most rows of a policy.
    pub const ROWS_MAX: usize = 1024;

    /// Most thresholds of one row, current and predicted together.
    pub const THRESHOLDS_MAX: usize = 32;

    /// Most steps of the forecast that may be averaged.
    pub const LOOK_AHEAD_STEPS_MAX: usize = 1024;

    /// Checks a configuration and builds the policy.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the row, the field and the value at fault.
    pub fn new(config: RiskPolicyConfig) -> Result<Self, Error> {
        if config.rows.len() > Self::ROWS_MAX {
            return Err(PolicyError::RowCount { count: config.rows.len() }.into());
        }
        let steps = config.look_ahead_steps as f64;
        check_range("current_weight", config.current_weight, 0.0, 1.0)?;
        check_range("predicted_weight", config.predicted_weight, 0.0, 1.0)?;
        check_range("look_ahead_steps", steps, 1.0, Self::LOOK_AHEAD_STEPS_MAX as f64)?;
        for (index, row) in config.rows.iter().enumerate() {
            row.validate(index)?;
        }
        config.validate_levels()?;
        Ok(Self { config })
    }

    /// Builds the default policy for a schema: the rows of the default table whose metrics it has, and a row
    /// with own-quantile thresholds for each metric that the server-metrics preset does not know.
    ///
    /// For those metrics nothing is known but their past: 20 points beyond what they reach in one step of a
    /// thousand, 10 in five of a thousand, and half as many where the forecast says so.
    pub fn for_schema(schema: &Schema) -> Self {
        Self { config: RiskPolicyConfig::default().fitted_to(schema) }
    }

    /// Returns the level of a score; NaN is healthy.
    pub fn level_of(&self, score: f64) -> RiskLevel {
        let reached = self.config.levels.iter().rev().find(|(_, row)| score >= row.from);
        reached.map_or(RiskLevel::Healthy, |(&level, _)| level)
    }

    /// Returns within what time somebody should respond to a level, if anybody should.
    pub fn respond_within(&self, level: RiskLevel) -> Option<DurationMs> {
        self.config.levels.get(&level).and_then(|row| row.respond_within)
    }

    /// Returns the plain form.
    pub fn config(&self) -> &RiskPolicyConfig {
        &self.config
    }
}

impl RiskPolicyConfig {
    /// Returns this configuration with, in place of the default rows, those of [`RiskPolicy::for_schema`]; rows of its own
    /// stay as they are.
    #[must_use]
    pub fn fitted_to(mut self, schema: &Schema) -> Self {
        if self.rows == default_rows() {
            let preset = Schema::server_metrics();
            self.rows.retain(|row| row.subject.exists_in(schema));
            let unknown =
                schema.metrics().iter().filter(|metric| preset.metric_index(&metric.name).is_none());
            self.rows.extend(unknown.map(RiskRow::from_own_history));
        }
        self
    }

    fn validate_levels(&self) -> Result<(), PolicyError> {
        if self.levels.contains_key(&RiskLevel::Healthy) {
            return Err(PolicyError::Healthy);
        }
        let mut least = 0.0;
        for (&level, &RiskLevelRow { from, .. }) in &self.levels {
            if !(least..=100.0).contains(&from) {
                return Err(PolicyError::Level { level, from, least });
            }
            least = from;
        }
        Ok(())
    }
}

impl RiskRow {
    /// A row whose thresholds are quantiles of the server's own history.
    fn from_own_history(metric: &Metric) -> Self {
        let at = |share: f64| match metric.bad_side {
            BadSide::High => Threshold::OwnQuantile(1.0 - share),
            BadSide::Low => Threshold::OwnQuantile(share),
        };
        let points = |share, points| RiskPoints { at: at(share), points };
        Self {
            name: metric.name.clone(),
            subject: RiskSubject::Metric(metric.name.clone()),
            side: metric.bad_side,
            profiles: ProfileSelector::All,
            current: vec![points(0.001, 20.0), points(0.005, 10.0)],
            predicted: vec![points(0.001, 10.0), points(0.005, 5.0)],
        }
    }

    fn validate(&self, index: usize) -> Result<(), PolicyError> {
        let row = || self.name.clone();
        if self.name.is_empty() {
            return Err(PolicyError::EmptyName { index });
        }
        let count = self.current.len() + self.predicted.len();
        if count > RiskPolicy::THRESHOLDS_MAX {
            return Err(PolicyError::ThresholdCount { row: row(), count });
        }
        for &RiskPoints { at, points } in self.current.iter().chain(&self.predicted) {
            if !at.is_valid() {
                return Err(PolicyError::Threshold { row: row(), at });
            }
            if !(0.0..=100.0).contains(&points) {
                return Err(PolicyError::Points { row: row(), at, points });
            }
        }
        Ok(())
    }
}

impl RiskSubject {
    /// Returns the metric that a value of this quantity is to be blamed on, by its position in the schema: the one
    /// that it is read from, or the largest of those that it adds up.
    ///
    /// `current` has the newest values in schema order, NaN where missing.
    pub(crate) fn leading_metric(&self, schema: &Schema, current: &[f32]) -> Option<usize> {
        let known = |name: &String| {
            let metric = schema.metric_index(name)?;
            current.get(metric).filter(|value| value.is_finite()).map(|&value| (metric, value))
        };
        match self {
            Self::Metric(name) => schema.metric_index(name),
            Self::Complement { of, or_sum_of } => known(of)
                .or_else(|| or_sum_of.iter().filter_map(known).max_by(|a, b| a.1.total_cmp(&b.1)))
                .map(|(metric, _)| metric),
        }
    }

    fn exists_in(&self, schema: &Schema) -> bool {
        let exists = |name: &String| schema.metric_index(name).is_some();
        match self {
            Self::Metric(name) => exists(name),
            Self::Complement { of, or_sum_of } => exists(of) || or_sum_of.iter().any(exists),
        }
    }
}

impl ProfileSelector {
    /// Returns whether servers of this profile are meant.
    pub fn selects(&self, profile: &Profile) -> bool {
        match self {
            Self::All => true,
            Self::Only(profiles) => profiles.contains(profile),
            Self::Except(profiles) => !profiles.contains(profile),
        }
    }
}

impl Default for RiskPolicyConfig {
    fn default() -> Self {
        Self {
            rows: default_rows(),
            current_weight: 0.7,
            predicted_weight: 0.3,
            look_ahead_steps: 6,
            levels: default_levels(),
        }
    }
}

impl From<PolicyError> for Error {
    fn from(error: PolicyError) -> Self {
        Self::new(ErrorKind::InvalidConfig, error)
    }
}

fn default_levels() -> BTreeMap<RiskLevel, RiskLevelRow> {
    let above_healthy = RiskLevel::ALL.into_iter().filter(|&level| level != RiskLevel::Healthy);
    let row = |level: RiskLevel| RiskLevelRow {
        from: level.score_min(),
        respond_within: level.response_minutes().map(DurationMs::from_minutes),
    };
    above_healthy.map(|level| (level, row(level))).collect()
}

fn default_rows() -> Vec<RiskRow> {
    let database = || vec![Profile::new("database").expect("invariant: a valid name")];
    let only_database = ProfileSelector::Only(database());
    let no_database = ProfileSelector::Except(database());
    let parts = ["cpu_user_pct", "cpu_sys_pct", "cpu_iowait_pct"].map(str::to_owned).to_vec();
    let used = RiskSubject::Complement { of: "cpu_idle_pct".to_owned(), or_sum_of: parts };
    let metric = |name: &str| RiskSubject::Metric(name.to_owned());
    vec![
        row("cpu_used_pct", used, ProfileSelector::All, [&CPU_CURRENT, &CPU_PREDICTED]),
        row("mem_used_pct", metric("mem_used_pct"), only_database, [&DATABASE_MEMORY, &MEMORY_PREDICTED]),
        row("mem_used_pct", metric("mem_used_pct"), no_database, [&OTHER_MEMORY, &MEMORY_PREDICTED]),
        row("cpu_iowait_pct", metric("cpu_iowait_pct"), ProfileSelector::All, [&IOWAIT, &IOWAIT_PREDICTED]),
        row("swap_used_pct", metric("swap_used_pct"), ProfileSelector::All, [&SWAP, &[]]),
        row("load_average", metric("load_average"), ProfileSelector::All, [&LOAD, &[]]),
    ]
}

fn check_range(field: &'static str, value: f64, min: f64, max: f64) -> Result<(), PolicyError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(PolicyError::Field { field, value, min, max }) }
}

fn row(
    name: &str,
    subject: RiskSubject,
    profiles: ProfileSelector,
    [current, predicted]: [&[(f64, f64)]; 2],
) -> RiskRow {
    let points = |&(at, points): &(f64, f64)| RiskPoints { at: Threshold::Value(at), points };
    RiskRow {
        name: name.to_owned(),
        subject,
        side: BadSide::High,
        profiles,
        current: current.iter().map(points).collect(),
        predicted: predicted.iter().map(points).collect(),
    }
}

const CPU_CURRENT: [(f64, f64); 4] = [(98.0, 60.0), (95.0, 40.0), (90.0, 25.0), (80.0, 15.0)];
const CPU_PREDICTED: [(f64, f64); 3] = [(98.0, 40.0), (95.0, 25.0), (90.0, 15.0)];
const DATABASE_MEMORY: [(f64, f64); 3] = [(99.0, 50.0), (98.0, 30.0), (95.0, 15.0)];
const OTHER_MEMORY: [(f64, f64); 4] = [(98.0, 50.0), (95.0, 30.0), (90.0, 15.0), (85.0, 10.0)];
const MEMORY_PREDICTED: [(f64, f64); 2] = [(98.0, 30.0), (95.0, 20.0)];
const IOWAIT: [(f64, f64); 3] = [(30.0, 40.0), (20.0, 25.0), (10.0, 15.0)];
const IOWAIT_PREDICTED: [(f64, f64); 2] = [(30.0, 25.0), (20.0, 15.0)];
const SWAP: [(f64, f64); 3] = [(50.0, 30.0), (25.0, 20.0), (10.0, 10.0)];
const LOAD: [(f64, f64); 2] = [(12.0, 20.0), (8.0, 10.0)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{MetricKind, SchemaConfig};

    #[test]
    fn the_default_table_is_valid_and_survives_json() {
        let policy = RiskPolicy::new(RiskPolicyConfig::default()).unwrap();
        let text = serde_json::to_string(policy.config()).unwrap();
        assert_eq!(RiskPolicy::new(serde_json::from_str(&text).unwrap()).unwrap(), policy);
        assert!(serde_json::from_str::<RiskPolicyConfig>(r#"{"row":[]}"#).is_err());
    }

    #[test]
    fn a_schema_keeps_its_rows_and_gains_own_quantiles() {
        assert_eq!(RiskPolicy::for_schema(&Schema::server_metrics()), RiskPolicy::default());
        let mut free = Metric::new("free_slots", MetricKind::Count);
        free.bad_side = BadSide::Low;
        let metrics = vec![Metric::new("mem_used_pct", MetricKind::Percentage), free];
        let schema = Schema::new(SchemaConfig { metrics, ..SchemaConfig::default() }).unwrap();
        let policy = RiskPolicy::for_schema(&schema);
        let names: Vec<_> = policy.config().rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["mem_used_pct", "mem_used_pct", "free_slots"]);
        assert_eq!(policy.config().rows[2].current[0].at, Threshold::OwnQuantile(0.001));
        assert!(RiskPolicy::new(policy.config).is_ok());
    }

    #[test]
    fn levels_and_response_times_can_be_replaced() {
        let text = r#"{"levels":{"critical":{"from":90,"respond_within":"10m"},"watch":{"from":40}}}"#;
        let policy = RiskPolicy::new(serde_json::from_str(text).unwrap()).unwrap();
        let levels = [95.0, 89.0, 39.0, f64::NAN].map(|score| policy.level_of(score));
        assert_eq!(levels, [RiskLevel::Critical, RiskLevel::Watch, RiskLevel::Healthy, RiskLevel::Healthy]);
        assert_eq!(policy.respond_within(RiskLevel::Critical), Some(DurationMs::from_minutes(10)));
        let default = RiskPolicy::default();
        for score in 0..=100 {
            assert_eq!(default.level_of(f64::from(score)), RiskLevel::of(f64::from(score)));
        }
        let error = |text| RiskPolicy::new(serde_json::from_str(text).unwrap()).unwrap_err().to_string();
        insta::assert_snapshot!(error(r#"{"levels":{"danger":{"from":50},"critical":{"from":40}}}"#), @"risk level `critical` begins at 40, allowed are 50 to 100");
        insta::assert_snapshot!(error(r#"{"levels":{"healthy":{"from":0}}}"#), @"risk level `healthy` has a row, but is what lies below all others");
    }

    #[test]
    fn errors_name_the_row_and_the_value() {
        let mut config = RiskPolicyConfig::default();
        config.rows[3].current[0].points = 101.0;
        let error = RiskPolicy::new(config).unwrap_err();
        insta::assert_snapshot!(error, @"risk row `cpu_iowait_pct` gives 101 points at 30, allowed are 0 to 100");
        let mut config = RiskPolicyConfig::default();
        config.rows[4].current[0].at = Threshold::OwnQuantile(1.5);
        let error = RiskPolicy::new(config).unwrap_err();
        insta::assert_snapshot!(error, @"risk row `swap_used_pct` has the threshold own quantile 1.5; a value must be finite, a quantile between 0 and 1");
        let config = RiskPolicyConfig { look_ahead_steps: 0, ..RiskPolicyConfig::default() };
        let error = RiskPolicy::new(config).unwrap_err();
        insta::assert_snapshot!(error, @"risk policy field `look_ahead_steps` is 0, allowed are 1 to 1024");
    }
}
