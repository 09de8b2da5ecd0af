//! What is measured: metrics, states, profiles and the names by which records may call them.
//!
//! Owns the [`Schema`], which is data and not code: the built-in [`Schema::server_metrics`] is one value of
//! it. Knows nothing of samples or models.

mod metric;
mod preset;
mod profile;
mod server_name;
mod status;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use metric::{Aggregation, BadSide, Metric, MetricKind};
pub use profile::{Profile, ProfileRule, ProfileRules};
pub use server_name::ServerName;
pub use status::{Status, StatusWords};

use crate::error::{Error, ErrorKind};

/// The metrics, states and profiles of a fleet; cheap to clone and to compare.
///
/// Metrics have a fixed order, and every value array in this crate follows it.
#[derive(Debug, Clone)]
pub struct Schema(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SchemaConfig,
    index_by_name: HashMap<String, usize>,
    server_name_aliases: Vec<String>,
}

/// The plain form of a [`Schema`], for files and for building one in code.
///
/// # Defaults
/// No metrics, the states and profiles of [`Schema::server_metrics`], no aliases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct SchemaConfig {
    /// The metrics in order; 1 to [`Schema::METRICS_MAX`].
    pub metrics: Vec<Metric>,
    /// The states that a server can report, and the words for them.
    pub statuses: StatusWords,
    /// How a server's profile follows from its name.
    pub profiles: ProfileRules,
    /// Other names that incoming records may use: alias to metric name, or to `server_name`.
    pub aliases: Vec<(String, String)>,
}

#[derive(Debug, thiserror::Error)]
enum SchemaError {
    #[error("schema has {count} metrics, allowed are 1 to {}", Schema::METRICS_MAX)]
    MetricCount { count: usize },
    #[error("metric `{name}` appears twice in the schema")]
    DuplicateMetric { name: String },
    #[error("alias `{alias}` points to `{target}`, which is neither a metric nor `server_name`")]
    AliasTarget { alias: String, target: String },
    #[error("alias `{alias}` is already the name of a metric, a record field or another alias")]
    AliasTaken { alias: String },
    #[error("schema has no metric `{name}`")]
    UnknownMetric { name: String },
}

impl Schema {
    /// Most metrics that one schema may have.
    pub const METRICS_MAX: usize = 256;

    /// The record fields that no metric and no alias may be called.
    const RECORD_FIELDS: [&str; 7] =
        ["timestamp", "server_name", "profile", "status", "state", "problem_child", "notes"];

    /// Checks a configuration and builds the schema.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the first metric, state, profile rule or alias at fault.
    pub fn new(config: SchemaConfig) -> Result<Self, Error> {
        let count = config.metrics.len();
        if !(1..=Self::METRICS_MAX).contains(&count) {
            return Err(SchemaError::MetricCount { count }.into());
        }
        config.statuses.validate()?;
        config.profiles.validate()?;
        let mut index_by_name = index_metrics(&config.metrics)?;
        let server_name_aliases = index_aliases(&config.aliases, &mut index_by_name)?;
        Ok(Self(Arc::new(Inner { config, index_by_name, server_name_aliases })))
    }

    /// Returns the metrics in order.
    pub fn metrics(&self) -> &[Metric] {
        &self.0.config.metrics
    }

    /// Returns the position of a metric by its name or an alias of it.
    pub fn metric_index(&self, name: &str) -> Option<usize> {
        self.0.index_by_name.get(name).copied()
    }

    /// Returns the position of a metric by its name or an alias of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if there is no such metric.
    pub fn require_metric(&self, name: &str) -> Result<usize, Error> {
        self.metric_index(name).ok_or_else(|| SchemaError::UnknownMetric { name: name.to_owned() }.into())
    }

    /// Returns whether a record field of this name holds the server's name.
    pub fn is_server_name_field(&self, field: &str) -> bool {
        field == "server_name" || self.0.server_name_aliases.iter().any(|alias| alias == field)
    }

    /// Returns the states and the words for them.
    pub fn statuses(&self) -> &StatusWords {
        &self.0.config.statuses
    }

    /// Returns how profiles follow from names.
    pub fn profiles(&self) -> &ProfileRules {
        &self.0.config.profiles
    }

    /// Returns the plain form.
    pub fn config(&self) -> &SchemaConfig {
        &self.0.config
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.config == other.0.config
    }
}

impl From<SchemaError> for Error {
    fn from(error: SchemaError) -> Self {
        let kind = match error {
            SchemaError::UnknownMetric { .. } => ErrorKind::InvalidInput,
            _ => ErrorKind::InvalidConfig,
        };
        Self::new(kind, error)
    }
}

fn index_metrics(metrics: &[Metric]) -> Result<HashMap<String, usize>, Error> {
    let mut index_by_name = HashMap::with_capacity(metrics.len());
    for (index, metric) in metrics.iter().enumerate() {
        metric.validate()?;
        let is_taken = Schema::RECORD_FIELDS.contains(&metric.name.as_str());
        if is_taken || index_by_name.insert(metric.name.clone(), index).is_some() {
            return Err(SchemaError::DuplicateMetric { name: metric.name.clone() }.into());
        }
    }
    Ok(index_by_name)
}

fn index_aliases(
    aliases: &[(String, String)],
    index_by_name: &mut HashMap<String, usize>,
) -> Result<Vec<String>, Error> {
    let mut server_name_aliases = Vec::new();
    for (alias, target) in aliases {
        let is_taken = Schema::RECORD_FIELDS.contains(&alias.as_str())
            || index_by_name.contains_key(alias)
            || server_name_aliases.contains(alias);
        if is_taken {
            return Err(SchemaError::AliasTaken { alias: alias.clone() }.into());
        }
        if target == "server_name" {
            server_name_aliases.push(alias.clone());
        } else if let Some(&index) = index_by_name.get(target) {
            index_by_name.insert(alias.clone(), index);
        } else {
            return Err(SchemaError::AliasTarget { alias: alias.clone(), target: target.clone() }.into());
        }
    }
    Ok(server_name_aliases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preset_is_valid_and_ordered() {
        let schema = Schema::server_metrics();
        assert_eq!(schema.metrics().len(), 15);
        assert_eq!(schema.metric_index("cpu_user_pct"), Some(0));
        assert_eq!(schema.metric_index("load_1min"), schema.metric_index("load_average"));
        assert!(schema.is_server_name_field("hostname"));
        assert!(!schema.is_server_name_field("load"));
    }

    #[test]
    fn a_schema_survives_json() {
        let schema = Schema::server_metrics();
        let text = serde_json::to_string(schema.config()).unwrap();
        let back = Schema::new(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(schema, back);
    }

    #[test]
    fn contradictions_are_refused() {
        let metric = Metric::new("queue_depth", MetricKind::Count);
        let twice = SchemaConfig { metrics: vec![metric.clone(), metric.clone()], ..Default::default() };
        assert_eq!(
            Schema::new(twice).unwrap_err().to_string(),
            "metric `queue_depth` appears twice in the schema"
        );
        let dangling = SchemaConfig {
            metrics: vec![metric],
            aliases: vec![("q".into(), "queue".into())],
            ..Default::default()
        };
        assert!(Schema::new(dangling).is_err());
        assert!(Schema::new(SchemaConfig::default()).is_err());
    }
}
