//! A fleet in figures.

use serde::{Deserialize, Serialize};

use super::RiskLevel;
use crate::schema::ServerName;

/// A fleet in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FleetSummary {
    /// How many servers.
    pub servers: usize,
    /// A score, 0 to 1, and not a probability: mean points of the servers over 30 minutes. Kept for old
    /// clients.
    pub prob_30m: f64,
    /// The same over 8 hours.
    pub prob_8h: f64,
    /// The expected number of metrics, over all servers, that pass their critical threshold within 30
    /// minutes.
    pub expected_breaches_30m: f64,
    /// The same within 8 hours.
    pub expected_breaches_8h: f64,
    /// The probability that any metric of any server passes its critical threshold within 30 minutes.
    pub p_any_breach_30m: f64,
    /// The same within 8 hours.
    pub p_any_breach_8h: f64,
    /// What the worse of the two scores means.
    pub fleet_health: FleetHealth,
    /// How many servers are on each rung of the ladder, the most urgent first.
    pub levels: Vec<(RiskLevel, usize)>,
    /// The mean risk score; 0 for an empty fleet.
    pub avg_risk_score: f64,
    /// The highest risk score; 0 for an empty fleet.
    pub max_risk_score: f64,
    /// The servers with the highest scores, at most [`FleetPolicy::TOP_RISKS_MAX`](super::FleetPolicy::TOP_RISKS_MAX), the highest first.
    pub top_risks: Vec<TopRisk>,
}

/// How a fleet is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetHealth {
    /// A score of at most 0.3.
    Healthy,
    /// Above 0.3.
    Warning,
    /// Above 0.6.
    Critical,
}

/// One of the servers with the highest risk.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TopRisk {
    /// The server.
    pub server: ServerName,
    /// Its score, 0 to 100.
    pub score: f64,
    /// Its level.
    pub level: RiskLevel,
}

impl FleetHealth {
    /// Returns what a score from 0 to 1 means.
    pub fn of(score: f64) -> Self {
        if score > 0.6 {
            Self::Critical
        } else if score > 0.3 {
            Self::Warning
        } else {
            Self::Healthy
        }
    }

    /// Returns the name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}
