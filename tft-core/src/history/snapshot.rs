//! How the fleet was at one moment, in one flat row.

use serde::{Deserialize, Serialize};

use super::entry::HistoryEntry;
use super::query::Query;
use super::row::sealed::Stored;
use super::row::{Cell, Cells, Column, HistoryRow, Table};
use crate::alert::{Alert, AlertState};
use crate::risk::{FleetHealth, FleetSummary, RiskLevel};
use crate::time::Timestamp;

/// How the fleet was at one moment; a row of the table `environment`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FleetSnapshot {
    /// Its place in the history, from 1 on; 0 until it is appended.
    #[serde(skip)]
    pub sequence: u64,
    /// The moment.
    pub at: Timestamp,
    /// How many servers.
    pub total_servers: u64,
    /// How many of them are on each rung of the ladder, in the order of [`RiskLevel::ALL`].
    pub level_counts: [u64; 7],
    /// [`FleetSummary::prob_30m`].
    pub prob_30m: Option<f64>,
    /// [`FleetSummary::prob_8h`].
    pub prob_8h: Option<f64>,
    /// [`FleetSummary::expected_breaches_30m`].
    pub expected_breaches_30m: Option<f64>,
    /// [`FleetSummary::expected_breaches_8h`].
    pub expected_breaches_8h: Option<f64>,
    /// [`FleetSummary::p_any_breach_30m`].
    pub p_any_breach_30m: Option<f64>,
    /// [`FleetSummary::p_any_breach_8h`].
    pub p_any_breach_8h: Option<f64>,
    /// The mean risk score, 0 to 100.
    pub avg_risk_score: Option<f64>,
    /// The highest risk score, 0 to 100.
    pub max_risk_score: Option<f64>,
    /// The servers with the highest scores, the highest first.
    pub top_risks: Vec<RiskOf>,
    /// What the fleet's scores mean.
    pub fleet_health: Option<FleetHealth>,
    /// How many alerts are pending.
    pub alerts_pending: u64,
    /// How many are firing.
    pub alerts_firing: u64,
    /// How many are without data.
    pub alerts_no_data: u64,
}

/// A server and its risk score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RiskOf {
    /// The server's name.
    pub server: String,
    /// Its risk score, 0 to 100.
    pub score: f64,
}

impl FleetSnapshot {
    /// Takes over a fleet's figures, and counts its alerts.
    pub fn new(summary: &FleetSummary, alerts: &[Alert], at: Timestamp) -> Self {
        let count_at = |level| {
            let found = summary.levels.iter().find(|(known, _)| *known == level);
            found.map_or(0, |(_, count)| *count as u64)
        };
        let count_in = |state| alerts.iter().filter(|alert| alert.state == state).count() as u64;
        let top_risks = summary.top_risks.iter().filter(|risk| risk.score.is_finite());
        Self {
            sequence: 0,
            at,
            total_servers: summary.servers as u64,
            level_counts: RiskLevel::ALL.map(count_at),
            prob_30m: Some(summary.prob_30m),
            prob_8h: Some(summary.prob_8h),
            expected_breaches_30m: Some(summary.expected_breaches_30m),
            expected_breaches_8h: Some(summary.expected_breaches_8h),
            p_any_breach_30m: Some(summary.p_any_breach_30m),
            p_any_breach_8h: Some(summary.p_any_breach_8h),
            avg_risk_score: Some(summary.avg_risk_score),
            max_risk_score: Some(summary.max_risk_score),
            top_risks: top_risks
                .map(|risk| RiskOf { server: risk.server.to_string(), score: risk.score })
                .collect(),
            fleet_health: Some(summary.fleet_health),
            alerts_pending: count_in(AlertState::Pending),
            alerts_firing: count_in(AlertState::Firing),
            alerts_no_data: count_in(AlertState::NoData),
        }
    }
}

impl Default for FleetSnapshot {
    fn default() -> Self {
        Self {
            sequence: 0,
            at: Timestamp::from_millis(0),
            total_servers: 0,
            level_counts: [0; 7],
            prob_30m: None,
            prob_8h: None,
            expected_breaches_30m: None,
            expected_breaches_8h: None,
            p_any_breach_30m: None,
            p_any_breach_8h: None,
            avg_risk_score: None,
            max_risk_score: None,
            top_risks: Vec::new(),
            fleet_health: None,
            alerts_pending: 0,
            alerts_firing: 0,
            alerts_no_data: 0,
        }
    }
}

/// The columns of [`FleetSnapshot::level_counts`].
const LEVEL_COLUMNS: [&str; 7] = [
    "imminent_failure_count",
    "critical_count",
    "danger_count",
    "warning_count",
    "degrading_count",
    "watch_count",
    "healthy_count",
];

impl HistoryRow for FleetSnapshot {
    const TABLE: Table = Table::Environment;
    const COLUMNS: &'static [Column] = &[
        Column::whole("sequence"),
        Column::time("timestamp"),
        Column::whole("total_servers"),
        Column::whole(LEVEL_COLUMNS[0]),
        Column::whole(LEVEL_COLUMNS[1]),
        Column::whole(LEVEL_COLUMNS[2]),
        Column::whole(LEVEL_COLUMNS[3]),
        Column::whole(LEVEL_COLUMNS[4]),
        Column::whole(LEVEL_COLUMNS[5]),
        Column::whole(LEVEL_COLUMNS[6]),
        Column::number("prob_30m"),
        Column::number("prob_8h"),
        Column::number("expected_breaches_30m"),
        Column::number("expected_breaches_8h"),
        Column::number("p_any_breach_30m"),
        Column::number("p_any_breach_8h"),
        Column::number("avg_risk_score"),
        Column::number("max_risk_score"),
        Column::text("top_risk_server"),
        Column::text("top_risks"),
        Column::text("fleet_health"),
        Column::whole("alerts_pending"),
        Column::whole("alerts_firing"),
        Column::whole("alerts_no_data"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let top_risks = if self.top_risks.is_empty() {
            Cell::Missing
        } else {
            Cell::Text(serde_json::to_string(&self.top_risks).unwrap_or_default())
        };
        let mut cells =
            vec![Cell::whole(self.sequence), Cell::Time(self.at), Cell::whole(self.total_servers)];
        cells.extend(self.level_counts.map(Cell::whole));
        cells.extend(
            [
                self.prob_30m,
                self.prob_8h,
                self.expected_breaches_30m,
                self.expected_breaches_8h,
                self.p_any_breach_30m,
                self.p_any_breach_8h,
                self.avg_risk_score,
                self.max_risk_score,
            ]
            .map(Cell::number),
        );
        cells.push(Cell::word(self.top_risks.first().map(|risk| risk.server.as_str())));
        cells.push(top_risks);
        cells.push(Cell::word(self.fleet_health.map(FleetHealth::as_str)));
        cells.extend([self.alerts_pending, self.alerts_firing, self.alerts_no_data].map(Cell::whole));
        cells
    }
}

impl Stored for FleetSnapshot {
    fn of_cells(cells: &mut Cells<'_>) -> Option<Self> {
        let count = |name| cells.whole(name).unwrap_or(0);
        Some(Self {
            sequence: cells.whole("sequence")?,
            at: cells.time("timestamp")?,
            total_servers: count("total_servers"),
            level_counts: LEVEL_COLUMNS.map(count),
            prob_30m: cells.number("prob_30m"),
            prob_8h: cells.number("prob_8h"),
            expected_breaches_30m: cells.number("expected_breaches_30m"),
            expected_breaches_8h: cells.number("expected_breaches_8h"),
            p_any_breach_30m: cells.number("p_any_breach_30m"),
            p_any_breach_8h: cells.number("p_any_breach_8h"),
            avg_risk_score: cells.number("avg_risk_score"),
            max_risk_score: cells.number("max_risk_score"),
            top_risks: cells.json("top_risks")?,
            fleet_health: cells.word("fleet_health")?,
            alerts_pending: count("alerts_pending"),
            alerts_firing: count("alerts_firing"),
            alerts_no_data: count("alerts_no_data"),
        })
    }

    fn of_entry(entry: &HistoryEntry) -> Option<&Self> {
        if let HistoryEntry::Snapshot(snapshot) = entry { Some(snapshot) } else { None }
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn is_asked_for(&self, _: &Query) -> bool {
        true
    }
}
