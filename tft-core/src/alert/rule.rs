//! Rules: what must not happen, how soon it matters, and to which servers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::risk::{ProfileSelector, Threshold};
use crate::schema::{BadSide, Schema};

/// One rule, as plain data; [`AlertEngine::new`](super::AlertEngine::new) checks it.
///
/// # Defaults
/// For the fields that a file may leave out: above, P50, 12 steps ahead, 1 step long, no waiting, no
/// keeping, recovery at the lowest band, all servers, no labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A name that no other rule has, 1 to [`Rule::NAME_LENGTH_MAX`] bytes.
    pub name: String,
    /// What is watched.
    pub subject: Subject,
    /// Which way is bad.
    #[serde(default)]
    pub direction: Direction,
    /// The thresholds, at most one per severity, critical no nearer to the good side than warning.
    pub bands: Vec<Band>,
    /// Which quantile of the forecast is compared, between 0 and 1; the nearest that there is counts.
    #[serde(default = "median")]
    pub quantile: f64,
    /// How many steps of the forecast count; 0 to [`Rule::LOOK_AHEAD_STEPS_MAX`]. The current value always
    /// counts, as step 0.
    #[serde(default = "default_look_ahead_steps")]
    pub look_ahead_steps: usize,
    /// How many steps in a row must be beyond a threshold; 1 to `look_ahead_steps` + 1.
    #[serde(default = "one")]
    pub min_steps: usize,
    /// For how long the rule must be broken before the alert fires, in milliseconds.
    #[serde(default)]
    pub for_ms: i64,
    /// For how long the alert keeps firing after the value has recovered, in milliseconds.
    #[serde(default)]
    pub keep_firing_for_ms: i64,
    /// The threshold past which the value must return; none means the lowest band.
    #[serde(default)]
    pub recovery: Option<Threshold>,
    /// Whether a server that falls silent raises an alert in the state
    /// [`NoData`](super::AlertState::NoData) though nothing was wrong before.
    #[serde(default)]
    pub alerts_on_no_data: bool,
    /// Which servers the rule is for.
    #[serde(default)]
    pub selector: Selector,
    /// What the application attaches to the alert; part of its fingerprint.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What a rule watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Subject {
    /// A metric by name, now and in its forecast.
    Metric(String),
    /// The risk score, 0 to 100, which looks ahead by itself.
    Risk,
}

/// Which way is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// High values are.
    #[default]
    Above,
    /// Low values are.
    Below,
}

/// How bad it is; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Deserves a look.
    Warning,
    /// Deserves a person now.
    Critical,
}

/// A threshold and what it means to reach it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// How bad that is.
    pub severity: Severity,
    /// What must be reached.
    pub threshold: Threshold,
}

/// Which servers a rule is for: those of the names and of the profiles.
///
/// # Defaults
/// All.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Selector {
    /// Patterns of names, where `*` stands for any run of characters and `?` for one; none means all.
    pub servers: Vec<String>,
    /// The profiles.
    pub profiles: ProfileSelector,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum RuleError {
    #[error("alert configuration has {count} rules, allowed are at most {max}")]
    RuleCount { count: usize, max: usize },
    #[error("alert rule {index} has a name of {length} bytes, allowed are 1 to {}", Rule::NAME_LENGTH_MAX)]
    NameLength { index: usize, length: usize },
    #[error("alert rule `{rule}` appears twice")]
    Duplicate { rule: String },
    #[error("alert rule `{rule}` watches metric `{metric}`, which the schema lacks")]
    UnknownMetric { rule: String, metric: String },
    #[error("alert rule `{rule}` has {count} bands, allowed are 1 to 2 of different severity")]
    Bands { rule: String, count: usize },
    #[error(
        "alert rule `{rule}` has the {field} threshold {at}, which is not a finite value or a quantile of a metric"
    )]
    Threshold { rule: String, field: &'static str, at: Threshold },
    #[error("alert rule `{rule}` has `{field}` {value}, which lies {side} the {other} threshold {at}")]
    Order { rule: String, field: &'static str, value: f64, side: &'static str, other: &'static str, at: f64 },
    #[error("alert rule `{rule}` has `{field}` {value}, allowed are {allowed}")]
    Field { rule: String, field: &'static str, value: String, allowed: String },
    #[error("alert configuration has `{field}` {value}, the least is 1")]
    Limit { field: &'static str, value: i64 },
}

impl Rule {
    /// Most bytes of a rule's name, of a label and of a pattern.
    pub const NAME_LENGTH_MAX: usize = 128;

    /// Most steps of the forecast that may count.
    pub const LOOK_AHEAD_STEPS_MAX: usize = 1024;

    /// Longest waiting and keeping, in milliseconds: 30 days.
    pub const DURATION_MS_MAX: i64 = 30 * 86_400_000;

    /// Most labels of a rule, and most patterns of its selector.
    pub const LABELS_MAX: usize = 64;

    /// Builds a rule for a metric with the defaults of every field that a file may leave out.
    pub fn new(name: impl Into<String>, metric: impl Into<String>, bands: Vec<Band>) -> Self {
        Self {
            name: name.into(),
            subject: Subject::Metric(metric.into()),
            direction: Direction::Above,
            bands,
            quantile: median(),
            look_ahead_steps: default_look_ahead_steps(),
            min_steps: one(),
            for_ms: 0,
            keep_firing_for_ms: 0,
            recovery: None,
            alerts_on_no_data: false,
            selector: Selector::default(),
            labels: BTreeMap::new(),
        }
    }

    pub(super) fn validate(&self, index: usize, schema: &Schema) -> Result<(), RuleError> {
        let length = self.name.len();
        if !(1..=Self::NAME_LENGTH_MAX).contains(&length) {
            return Err(RuleError::NameLength { index, length });
        }
        if let Subject::Metric(metric) = &self.subject
            && schema.metric_index(metric).is_none()
        {
            return Err(RuleError::UnknownMetric { rule: self.name.clone(), metric: metric.clone() });
        }
        self.validate_bands()?;
        self.validate_order()?;
        self.validate_numbers()?;
        self.validate_texts()
    }

    fn validate_bands(&self) -> Result<(), RuleError> {
        let rule = || self.name.clone();
        let count = self.bands.len();
        if !(1..=2).contains(&count) || (count == 2 && self.bands[0].severity == self.bands[1].severity) {
            return Err(RuleError::Bands { rule: rule(), count });
        }
        let bands = self.bands.iter().map(|band| (band.severity.as_str(), band.threshold));
        for (field, at) in bands.chain(self.recovery.map(|at| ("recovery", at))) {
            let has_history = self.subject != Subject::Risk || matches!(at, Threshold::Value(_));
            if !at.is_valid() || !has_history {
                return Err(RuleError::Threshold { rule: rule(), field, at });
            }
        }
        Ok(())
    }

    /// Recovery, warning and critical must lie in this order towards the bad side.
    fn validate_order(&self) -> Result<(), RuleError> {
        let band = |severity: Severity| {
            let found = self.bands.iter().find(|band| band.severity == severity);
            found.map(|band| (severity.as_str(), band.threshold))
        };
        let ordered =
            [self.recovery.map(|at| ("recovery", at)), band(Severity::Warning), band(Severity::Critical)];
        let ordered: Vec<_> = ordered.into_iter().flatten().collect();
        for pair in ordered.windows(2) {
            let Some((better, worse)) = comparable(pair[0].1, pair[1].1) else { continue };
            let (is_wrong, side) = match self.direction {
                Direction::Above => (better > worse, "above"),
                Direction::Below => (better < worse, "below"),
            };
            if is_wrong {
                let (field, other) = (pair[0].0, pair[1].0);
                let rule = self.name.clone();
                return Err(RuleError::Order { rule, field, value: better, side, other, at: worse });
            }
        }
        Ok(())
    }

    fn validate_numbers(&self) -> Result<(), RuleError> {
        let refuse = |field, value: String, allowed: String| {
            Err(RuleError::Field { rule: self.name.clone(), field, value, allowed })
        };
        if !(self.quantile > 0.0 && self.quantile < 1.0) {
            return refuse("quantile", self.quantile.to_string(), "numbers between 0 and 1".to_owned());
        }
        if self.look_ahead_steps > Self::LOOK_AHEAD_STEPS_MAX {
            let allowed = format!("0 to {}", Self::LOOK_AHEAD_STEPS_MAX);
            return refuse("look_ahead_steps", self.look_ahead_steps.to_string(), allowed);
        }
        let steps_max = if self.subject == Subject::Risk { 1 } else { self.look_ahead_steps + 1 };
        if !(1..=steps_max).contains(&self.min_steps) {
            return refuse("min_steps", self.min_steps.to_string(), format!("1 to {steps_max}"));
        }
        for (field, value) in [("for_ms", self.for_ms), ("keep_firing_for_ms", self.keep_firing_for_ms)] {
            if !(0..=Self::DURATION_MS_MAX).contains(&value) {
                return refuse(field, value.to_string(), format!("0 to {}", Self::DURATION_MS_MAX));
            }
        }
        Ok(())
    }

    fn validate_texts(&self) -> Result<(), RuleError> {
        let refuse = |field, value: usize, max: usize| {
            let (rule, value, allowed) = (self.name.clone(), value.to_string(), format!("at most {max}"));
            Err(RuleError::Field { rule, field, value, allowed })
        };
        for (field, count) in [("labels", self.labels.len()), ("servers", self.selector.servers.len())] {
            if count > Self::LABELS_MAX {
                return refuse(field, count, Self::LABELS_MAX);
            }
        }
        let texts = self.labels.iter().flat_map(|(key, value)| [key, value]).chain(&self.selector.servers);
        match texts.map(String::len).max() {
            Some(longest) if longest > Self::NAME_LENGTH_MAX => {
                refuse("label or server pattern length", longest, Self::NAME_LENGTH_MAX)
            }
            _ => Ok(()),
        }
    }
}

impl Selector {
    /// Returns whether a server of this name and profile is meant.
    pub fn selects(&self, server: &str, profile: &crate::schema::Profile) -> bool {
        let by_name = self.servers.is_empty()
            || self.servers.iter().any(|pattern| matches_glob(pattern.as_bytes(), server.as_bytes()));
        by_name && self.profiles.selects(profile)
    }
}

impl Direction {
    pub(super) fn bad_side(self) -> BadSide {
        match self {
            Self::Above => BadSide::High,
            Self::Below => BadSide::Low,
        }
    }
}

impl Severity {
    /// Returns the name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl From<RuleError> for Error {
    fn from(error: RuleError) -> Self {
        Self::new(ErrorKind::InvalidConfig, error)
    }
}

/// Two thresholds as numbers, if they are of one kind.
fn comparable(a: Threshold, b: Threshold) -> Option<(f64, f64)> {
    match (a, b) {
        (Threshold::Value(a), Threshold::Value(b))
        | (Threshold::OwnQuantile(a), Threshold::OwnQuantile(b)) => Some((a, b)),
        _ => None,
    }
}

/// Matches `*` and `?` in time proportional to the product of the lengths at worst: on a mismatch only the
/// last `*` takes one more character.
fn matches_glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut last_star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            last_star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|&byte| byte == b'?' || byte == text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((star, from)) = last_star {
            last_star = Some((star, from + 1));
            (p, t) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

const fn median() -> f64 {
    0.5
}

const fn default_look_ahead_steps() -> usize {
    12
}

const fn one() -> usize {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(warning: f64, critical: f64) -> Rule {
        let band = |severity, value| Band { severity, threshold: Threshold::Value(value) };
        let bands = vec![band(Severity::Warning, warning), band(Severity::Critical, critical)];
        Rule::new("memory", "mem_used_pct", bands)
    }

    fn error_of(rule: &Rule) -> String {
        rule.validate(0, &Schema::server_metrics()).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_rule_the_field_and_the_value() {
        insta::assert_snapshot!(error_of(&rule(98.0, 90.0)), @"alert rule `memory` has `warning` 98, which lies above the critical threshold 90");
        let wrong = Rule { recovery: Some(Threshold::Value(92.0)), ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error_of(&wrong), @"alert rule `memory` has `recovery` 92, which lies above the warning threshold 90");
        let wrong = Rule { min_steps: 14, ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error_of(&wrong), @"alert rule `memory` has `min_steps` 14, allowed are 1 to 13");
        let wrong = Rule { subject: Subject::Metric("mem".into()), ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error_of(&wrong), @"alert rule `memory` watches metric `mem`, which the schema lacks");
        let wrong = Rule { bands: vec![], ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error_of(&wrong), @"alert rule `memory` has 0 bands, allowed are 1 to 2 of different severity");
        let wrong = Rule { for_ms: -1, ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error_of(&wrong), @"alert rule `memory` has `for_ms` -1, allowed are 0 to 2592000000");
        let recovery = Some(Threshold::OwnQuantile(0.5));
        let wrong = Rule { subject: Subject::Risk, recovery, ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error_of(&wrong), @"alert rule `memory` has the recovery threshold own quantile 0.5, which is not a finite value or a quantile of a metric");
    }

    #[test]
    fn a_rule_reads_from_json_with_its_defaults() {
        let text = r#"{"name":"memory","subject":{"metric":"mem_used_pct"},"bands":[
            {"severity":"warning","threshold":{"value":90.0}},
            {"severity":"critical","threshold":{"value":98.0}}]}"#;
        assert_eq!(serde_json::from_str::<Rule>(text).unwrap(), rule(90.0, 98.0));
        assert!(serde_json::from_str::<Rule>(r#"{"name":"x","treshold":1}"#).is_err());
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("*", "db-7", true),
            ("db-*", "db-7", true),
            ("db-?", "db-77", false),
            ("*-7", "db-7-7", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("", "x", false),
            ("db", "db-7", false),
        ] {
            assert_eq!(matches_glob(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
