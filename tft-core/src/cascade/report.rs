//! What a detector knows after a step.

use std::sync::Arc;

use super::config::CascadeConfig;
use super::event::{CascadeEvent, CascadeSeverity};
use crate::time::Step;

/// What is known of cascades after one step.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct CascadeReport {
    /// The step; none before the first.
    pub step: Option<Step>,
    /// Servers that the window knows.
    pub servers: usize,
    /// Servers with a judged value of any metric.
    pub servers_judged: usize,
    /// Servers with any metric beyond the threshold.
    pub servers_beyond: usize,
    /// How much the servers move together, 0 to 1: the mean over metrics.
    pub correlation: f64,
    /// Each watched metric, in the configuration's order.
    pub metrics: Vec<MetricCascade>,
    /// The events that go on, at most one per metric.
    pub active: Vec<CascadeEvent>,
    /// The events that are over, oldest first; at most [`events_max`](super::CascadeConfig::events_max).
    pub recent: Vec<Arc<CascadeEvent>>,
    /// Events ever begun, those that were dropped included.
    pub event_count: u64,
    /// What is watched, and what counts.
    pub config: Arc<CascadeConfig>,
}

/// What is true of one metric in one step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MetricCascade {
    /// The metric's name.
    pub metric: String,
    /// Servers with a value in this step and a baseline to judge it by.
    pub servers_judged: usize,
    /// Those beyond the threshold.
    pub servers_beyond: usize,
    /// Those as a share of the judged ones, 0 to 1.
    pub share: f64,
    /// What the share usually was before this step, outside of cascades; at least 0.05.
    pub usual_share: f64,
    /// An upper bound of the probability that the share is this large by coincidence.
    pub chance: f64,
    /// How much the servers move together, 0 to 1.
    pub correlation: f64,
    /// The severity if the step is one of a cascade.
    pub severity: Option<CascadeSeverity>,
}

/// How likely servers are to fail together, by their correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CascadeRisk {
    /// A correlation up to 0.5.
    Low,
    /// Above 0.5, up to 0.7.
    Medium,
    /// Above 0.7.
    High,
}

/// The condition of a fleet, by its health score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FleetCondition {
    /// 80 or more.
    Healthy,
    /// 60 or more.
    Degraded,
    /// 40 or more.
    Warning,
    /// Less than 40.
    Critical,
}

impl CascadeReport {
    /// Returns the share of the judged servers with any metric beyond the threshold, 0 to 1.
    pub fn beyond_share(&self) -> f64 {
        self.servers_beyond as f64 / self.servers_judged.max(1) as f64
    }

    /// Returns the health score of the original system, 0 to 100: `100·(1 − correlation/2)·(1 − share)` with the
    /// [share](Self::beyond_share) of servers beyond the threshold. A score, not a probability.
    pub fn health_score(&self) -> f64 {
        (100.0 * (1.0 - self.correlation / 2.0) * (1.0 - self.beyond_share())).clamp(0.0, 100.0)
    }

    /// Returns what the health score is called.
    pub fn condition(&self) -> FleetCondition {
        match self.health_score() {
            score if score >= 80.0 => FleetCondition::Healthy,
            score if score >= 60.0 => FleetCondition::Degraded,
            score if score >= 40.0 => FleetCondition::Warning,
            _ => FleetCondition::Critical,
        }
    }

    /// Returns what the correlation means.
    pub fn risk(&self) -> CascadeRisk {
        match self.correlation {
            correlation if correlation > 0.7 => CascadeRisk::High,
            correlation if correlation > 0.5 => CascadeRisk::Medium,
            _ => CascadeRisk::Low,
        }
    }
}

impl CascadeRisk {
    /// Returns the name on the wire: `low`, `medium` or `high`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl FleetCondition {
    /// Returns the name on the wire: `healthy`, `degraded`, `warning` or `critical`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}
