//! The history between two instants in figures.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::archive::History;
use super::event::{AlertEvent, EventKind};
use super::life::LifeKey;
use super::snapshot::FleetSnapshot;
use crate::alert::{AlertState, Severity};
use crate::error::Error;
use crate::time::Timestamp;

/// The history between two instants in figures. What happened before or after is not looked at.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct HistorySummary {
    /// Events of all kinds.
    pub events: u64,
    /// Alerts that fired, each life once, at most [`ALERTS_MAX`](Self::ALERTS_MAX).
    pub alerts: u64,
    /// The same by the worst severity that they had.
    pub alerts_by_severity: BTreeMap<Severity, u64>,
    /// How many of them were resolved.
    pub resolved: u64,
    /// The mean time from when they were first seen until they were resolved, in milliseconds.
    pub resolution_ms_mean: Option<f64>,
    /// How many were taken over by somebody.
    pub acknowledged: u64,
    /// Notes.
    pub notes: u64,
    /// Servers with alerts that fired.
    pub servers_affected: u64,
    /// Snapshots of the fleet.
    pub snapshots: u64,
    /// The mean of the fleet's mean risk scores.
    pub avg_risk_score: Option<f64>,
    /// The highest risk score.
    pub max_risk_score: Option<f64>,
    /// The mean probability that any metric of any server passes its critical threshold within 8 hours.
    pub p_any_breach_8h_mean: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Tally {
    severity: Severity,
    resolved_at: Option<Timestamp>,
    is_acknowledged: bool,
}

#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl HistorySummary {
    /// Most alerts that are told apart; further ones are not counted.
    pub const ALERTS_MAX: usize = 1_000_000;
}

impl History {
    /// Returns figures of the time from `from` until before `to`.
    ///
    /// # Errors
    /// As [`alerts`](Self::alerts).
    pub fn summary(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<HistorySummary, Error> {
        let mut summary = HistorySummary::default();
        self.sum_alerts((from, to), &mut summary)?;
        self.sum_snapshots((from, to), &mut summary)?;
        Ok(summary)
    }

    fn sum_alerts(
        &self,
        times: (Option<Timestamp>, Option<Timestamp>),
        summary: &mut HistorySummary,
    ) -> Result<(), Error> {
        let mut lives: HashMap<LifeKey, Tally> = HashMap::new();
        let mut servers = BTreeSet::new();
        self.visit_rows(times, &ALERT_COLUMNS, |event: AlertEvent| {
            summary.events += 1;
            summary.notes += u64::from(event.kind == EventKind::Note);
            let Some(key) = event.life() else { return };
            let fires = event.kind == EventKind::Transition && event.state == Some(AlertState::Firing);
            if fires && (lives.len() < HistorySummary::ALERTS_MAX || lives.contains_key(&key)) {
                let severity = event.severity.unwrap_or(Severity::Warning);
                let tally = Tally { severity, resolved_at: None, is_acknowledged: false };
                let tally = lives.entry(key).or_insert(tally);
                tally.severity = tally.severity.max(severity);
                servers.insert(event.server);
            } else if let Some(tally) = lives.get_mut(&key) {
                match event.kind {
                    EventKind::Acknowledged => tally.is_acknowledged = true,
                    EventKind::Transition if event.state == Some(AlertState::Resolved) => {
                        tally.resolved_at = Some(event.at);
                    }
                    _ => {}
                }
            }
        })?;
        let mut resolution = Mean::default();
        for (key, tally) in &lives {
            *summary.alerts_by_severity.entry(tally.severity).or_default() += 1;
            summary.acknowledged += u64::from(tally.is_acknowledged);
            if let Some(at) = tally.resolved_at {
                summary.resolved += 1;
                resolution.add(Some(at.as_millis().saturating_sub(key.first_seen.as_millis()).max(0) as f64));
            }
        }
        summary.alerts = lives.len() as u64;
        summary.servers_affected = servers.len() as u64;
        summary.resolution_ms_mean = resolution.value();
        Ok(())
    }

    fn sum_snapshots(
        &self,
        times: (Option<Timestamp>, Option<Timestamp>),
        summary: &mut HistorySummary,
    ) -> Result<(), Error> {
        let (mut risk, mut breach) = (Mean::default(), Mean::default());
        self.visit_rows(times, &SNAPSHOT_COLUMNS, |snapshot: FleetSnapshot| {
            summary.snapshots += 1;
            risk.add(snapshot.avg_risk_score);
            breach.add(snapshot.p_any_breach_8h);
            let highest = summary.max_risk_score.into_iter().chain(snapshot.max_risk_score);
            summary.max_risk_score = highest.reduce(f64::max);
        })?;
        (summary.avg_risk_score, summary.p_any_breach_8h_mean) = (risk.value(), breach.value());
        Ok(())
    }
}

const ALERT_COLUMNS: [&str; 8] =
    ["sequence", "timestamp", "kind", "server_name", "severity", "state", "first_seen", "fingerprint"];
const SNAPSHOT_COLUMNS: [&str; 5] =
    ["sequence", "timestamp", "avg_risk_score", "max_risk_score", "p_any_breach_8h"];
