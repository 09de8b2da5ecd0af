//! The fleet in figures, under the names that old clients know.

use schemars::JsonSchema;
use serde::Serialize;
use tft_core::risk::{FleetSummary, RiskLevel, TopRisk};

use super::names;

/// The outlook of the whole fleet.
///
/// `prob_30m` and `prob_8h` are scores, kept for old clients; the probabilities are the `p_any_breach`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Environment {
    prob_30m: f64,
    prob_8h: f64,
    incident_probability_30m: f64,
    incident_probability_8h: f64,
    expected_breaches_30m: f64,
    expected_breaches_8h: f64,
    p_any_breach_30m: f64,
    p_any_breach_8h: f64,
    high_risk_servers: usize,
    total_servers: usize,
    fleet_health: &'static str,
}

/// How many servers are on which rung, and the worst of them.
#[derive(Serialize, JsonSchema)]
pub(super) struct Summary<'a> {
    total_servers: usize,
    critical_count: usize,
    warning_count: usize,
    degrading_count: usize,
    watch_count: usize,
    healthy_count: usize,
    avg_risk_score: f64,
    max_risk_score: f64,
    #[schemars(schema_with = "names::top_risks")]
    top_5_risks: &'a [TopRisk],
}

impl Environment {
    pub(super) fn new(summary: &FleetSummary) -> Self {
        Self {
            prob_30m: summary.prob_30m,
            prob_8h: summary.prob_8h,
            incident_probability_30m: summary.prob_30m,
            incident_probability_8h: summary.prob_8h,
            expected_breaches_30m: summary.expected_breaches_30m,
            expected_breaches_8h: summary.expected_breaches_8h,
            p_any_breach_30m: summary.p_any_breach_30m,
            p_any_breach_8h: summary.p_any_breach_8h,
            high_risk_servers: count(summary, |level| level >= RiskLevel::Danger),
            total_servers: summary.servers,
            fleet_health: summary.fleet_health.as_str(),
        }
    }
}

impl<'a> Summary<'a> {
    pub(super) fn new(summary: &'a FleetSummary) -> Self {
        Self {
            total_servers: summary.servers,
            critical_count: count(summary, |level| level >= RiskLevel::Danger),
            warning_count: count(summary, |level| level == RiskLevel::Warning),
            degrading_count: count(summary, |level| level == RiskLevel::Degrading),
            watch_count: count(summary, |level| level == RiskLevel::Watch),
            healthy_count: count(summary, |level| level == RiskLevel::Healthy),
            avg_risk_score: summary.avg_risk_score,
            max_risk_score: summary.max_risk_score,
            top_5_risks: &summary.top_risks,
        }
    }
}

fn count(summary: &FleetSummary, is_counted: impl Fn(RiskLevel) -> bool) -> usize {
    summary.levels.iter().filter(|&&(level, _)| is_counted(level)).map(|&(_, count)| count).sum()
}
