//! The history as clients read it: the fields that old clients know, and those that the history has beside them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tft_core::alert::{AlertState, Severity};
use tft_core::history::{
    AlertEvent, AlertLife, EventKind, FleetSnapshot, HistorySummary, LifeKey, Page, RiskOf,
};
use tft_core::time::Timestamp;

use super::alerts::utc;

/// Which time a reply is about.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[allow(clippy::struct_field_names, reason = "the names are those that clients know")]
pub(crate) struct TimeRange {
    /// As it was asked for; `custom` for given instants.
    pub(crate) time_range: String,
    /// The earliest instant.
    pub(crate) from: String,
    /// The instant before which everything is.
    pub(crate) to: String,
}

/// The reply of `GET /historical/summary`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HistorySummaryReply {
    success: bool,
    #[serde(flatten)]
    range: TimeRange,
    /// Alerts that fired, each once.
    total_alerts: u64,
    critical_alerts: u64,
    warning_alerts: u64,
    alerts_by_level: BTreeMap<&'static str, u64>,
    /// Those of them that were resolved within the time.
    resolved_count: u64,
    unresolved_count: u64,
    /// Mean minutes from when an alert was first seen until it was resolved; 0 if none was.
    avg_resolution_minutes: f64,
    /// The same.
    avg_resolution_time_minutes: f64,
    /// Per cent of the alerts that were resolved; 100 if there was none.
    resolution_rate: f64,
    servers_affected: u64,
    acknowledged_count: u64,
    /// Events of every kind.
    events: u64,
    notes: u64,
    snapshots: u64,
    avg_risk_score: Option<f64>,
    max_risk_score: Option<f64>,
    /// Mean probability of any breach within 8 hours.
    p_any_breach_8h: Option<f64>,
}

/// The reply of `GET /historical/alerts`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AlertHistoryReply {
    success: bool,
    #[serde(flatten)]
    range: TimeRange,
    count: usize,
    /// The newest first.
    alerts: Vec<AlertHistoryEntry>,
    /// What `before` must be to get the next page; none on the last one.
    next: Option<u64>,
}

/// The reply of `GET /historical/server/{name}`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServerHistoryReply {
    success: bool,
    server_name: String,
    #[serde(flatten)]
    range: TimeRange,
    /// The newest first.
    events: Vec<AlertHistoryEntry>,
    /// What `before` must be to get the next page; none on the last one.
    next: Option<u64>,
    stats: ServerHistoryStats,
}

/// Figures of the events of a page.
#[derive(Debug, Serialize, JsonSchema)]
struct ServerHistoryStats {
    total_events: usize,
    critical_count: usize,
    resolved_count: usize,
    /// Mean minutes of the alerts that were resolved.
    avg_resolution: Option<f64>,
}

/// The reply of `GET /historical/environment`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EnvironmentReply {
    success: bool,
    #[serde(flatten)]
    range: TimeRange,
    count: usize,
    /// In the order of time; the first page has the newest.
    snapshots: Vec<EnvironmentEntry>,
    /// What `before` must be to get the page before in time; none on the last one.
    next: Option<u64>,
}

/// The reply of `POST /alerts/{fingerprint}/notes`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NoteReply {
    status: &'static str,
    fingerprint: String,
    /// The note's place in the history.
    id: u64,
    timestamp: String,
    actor: String,
}

/// One thing that happened to an alert or a silence.
#[derive(Debug, Serialize, JsonSchema)]
struct AlertHistoryEntry {
    /// Its place in the history.
    id: u64,
    timestamp: String,
    server_name: String,
    /// `new_alert`, `escalation`, `de-escalation`, `resolved`, `no_data`, `data_returned`, or what else happened.
    event_type: &'static str,
    /// `critical`, `warning` or `healthy`.
    previous_level: Option<&'static str>,
    /// `critical`, `warning` or `healthy`.
    new_level: Option<&'static str>,
    risk_score: Option<f64>,
    /// When the alert was resolved, if it was since.
    resolved_at: Option<String>,
    /// From when it was first seen.
    resolution_duration_minutes: Option<f64>,
    /// Everything that was written about the alert.
    notes: Vec<NoteEntry>,
    /// `transition`, `acknowledged`, `unacknowledged`, `note`, `silence_set` or `silence_expired`.
    kind: &'static str,
    profile: String,
    rule: String,
    metric: String,
    severity: Option<&'static str>,
    state: Option<&'static str>,
    previous_state: Option<&'static str>,
    since: Option<String>,
    first_seen: Option<String>,
    fired_at: Option<String>,
    acknowledged_at: Option<String>,
    acknowledged_by: Option<String>,
    threshold: Option<f64>,
    current_value: Option<f64>,
    predicted_value: Option<f64>,
    quantile: Option<f64>,
    steps_ahead: Option<u64>,
    minutes_ahead: Option<f64>,
    message: String,
    labels: BTreeMap<String, String>,
    fingerprint: String,
    /// Who did it; empty for a transition.
    actor: String,
    /// What they wrote.
    note: String,
    expires_at: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct NoteEntry {
    timestamp: String,
    actor: String,
    text: String,
}

/// How the fleet was at one moment.
#[derive(Debug, Serialize, JsonSchema)]
struct EnvironmentEntry {
    id: u64,
    timestamp: String,
    total_servers: u64,
    imminent_failure_count: u64,
    critical_count: u64,
    danger_count: u64,
    warning_count: u64,
    degrading_count: u64,
    /// The same.
    degraded_count: u64,
    watch_count: u64,
    healthy_count: u64,
    prob_30m: Option<f64>,
    prob_8h: Option<f64>,
    expected_breaches_30m: Option<f64>,
    expected_breaches_8h: Option<f64>,
    p_any_breach_30m: Option<f64>,
    p_any_breach_8h: Option<f64>,
    avg_risk_score: Option<f64>,
    max_risk_score: Option<f64>,
    /// Empty for an empty fleet.
    top_risk_server: String,
    top_risks: Vec<RiskEntry>,
    /// `healthy`, `warning`, `critical` or `unknown`.
    fleet_health: &'static str,
    alerts_pending: u64,
    alerts_firing: u64,
    alerts_no_data: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RiskEntry {
    server: String,
    score: f64,
}

impl HistorySummaryReply {
    pub(crate) fn new(range: TimeRange, summary: &HistorySummary) -> Self {
        let count = |severity| summary.alerts_by_severity.get(&severity).copied().unwrap_or(0);
        let (critical, warning) = (count(Severity::Critical), count(Severity::Warning));
        let minutes = summary.resolution_ms_mean.map_or(0.0, |millis| millis / MINUTE_MS);
        let resolved = summary.resolved as f64;
        Self {
            success: true,
            range,
            total_alerts: summary.alerts,
            critical_alerts: critical,
            warning_alerts: warning,
            alerts_by_level: BTreeMap::from([("critical", critical), ("warning", warning)]),
            resolved_count: summary.resolved,
            unresolved_count: summary.alerts - summary.resolved,
            avg_resolution_minutes: minutes,
            avg_resolution_time_minutes: minutes,
            resolution_rate: if summary.alerts == 0 {
                100.0
            } else {
                100.0 * resolved / summary.alerts as f64
            },
            servers_affected: summary.servers_affected,
            acknowledged_count: summary.acknowledged,
            events: summary.events,
            notes: summary.notes,
            snapshots: summary.snapshots,
            avg_risk_score: summary.avg_risk_score,
            max_risk_score: summary.max_risk_score,
            p_any_breach_8h: summary.p_any_breach_8h_mean,
        }
    }
}

/// Events with what became of the alerts that they are about.
pub(crate) type Lives = BTreeMap<LifeKey, AlertLife>;

impl AlertHistoryReply {
    pub(crate) fn new(range: TimeRange, page: Page<AlertEvent>, lives: &Lives) -> Self {
        let alerts = entries(page.rows, lives);
        Self { success: true, range, count: alerts.len(), alerts, next: page.next }
    }
}

impl ServerHistoryReply {
    pub(crate) fn new(
        (server_name, range): (String, TimeRange),
        page: Page<AlertEvent>,
        lives: &Lives,
    ) -> Self {
        let durations: Vec<_> = lives.iter().filter_map(|(key, life)| life.duration_ms(key)).collect();
        let sum: f64 = durations.iter().map(|&millis| millis as f64 / MINUTE_MS).sum();
        let events = entries(page.rows, lives);
        let stats = ServerHistoryStats {
            total_events: events.len(),
            critical_count: events.iter().filter(|event| event.new_level == Some("critical")).count(),
            resolved_count: durations.len(),
            avg_resolution: (!durations.is_empty()).then(|| sum / durations.len() as f64),
        };
        Self { success: true, server_name, range, events, next: page.next, stats }
    }
}

impl EnvironmentReply {
    pub(crate) fn new(range: TimeRange, page: Page<FleetSnapshot>) -> Self {
        let snapshots: Vec<_> = page.rows.into_iter().rev().map(EnvironmentEntry::new).collect();
        Self { success: true, range, count: snapshots.len(), snapshots, next: page.next }
    }
}

impl NoteReply {
    pub(crate) fn new(note: &AlertEvent, id: u64) -> Self {
        let (fingerprint, actor) = (note.fingerprint.clone(), note.actor.clone());
        Self { status: "noted", fingerprint, id, timestamp: utc(note.at), actor }
    }
}

fn entries(events: Vec<AlertEvent>, lives: &Lives) -> Vec<AlertHistoryEntry> {
    let none = AlertLife::default();
    let entry = |event: AlertEvent| {
        let key = event.life();
        let life = key.as_ref().and_then(|key| lives.get(key)).unwrap_or(&none);
        let duration_ms = key.and_then(|key| life.duration_ms(&key));
        AlertHistoryEntry::new(event, life, duration_ms)
    };
    events.into_iter().map(entry).collect()
}

impl AlertHistoryEntry {
    fn new(event: AlertEvent, life: &AlertLife, duration_ms: Option<i64>) -> Self {
        let (previous_level, new_level) = levels(&event);
        let acknowledged = life.acknowledged.as_ref();
        Self {
            id: event.sequence,
            timestamp: utc(event.at),
            event_type: event_type(&event),
            previous_level,
            new_level,
            risk_score: event.risk_score,
            resolved_at: life.resolved_at.map(utc),
            resolution_duration_minutes: duration_ms.map(|millis| millis as f64 / MINUTE_MS),
            notes: life.notes.iter().map(NoteEntry::new).collect(),
            kind: event.kind.as_str(),
            severity: event.severity.map(Severity::as_str),
            state: event.state.map(AlertState::as_str),
            previous_state: event.previous_state.map(AlertState::as_str),
            since: event.since.map(utc),
            first_seen: event.first_seen.map(utc),
            fired_at: life.fired_at.map(utc),
            acknowledged_at: acknowledged.map(|(at, _)| utc(*at)),
            acknowledged_by: acknowledged.map(|(_, actor)| actor.clone()),
            threshold: event.threshold,
            current_value: event.current_value,
            predicted_value: event.predicted_value,
            quantile: event.quantile,
            steps_ahead: event.steps_ahead,
            minutes_ahead: event.minutes_ahead,
            expires_at: event.expires_at.map(utc),
            server_name: event.server,
            profile: event.profile,
            rule: event.rule,
            metric: event.metric,
            message: event.message,
            labels: event.labels,
            fingerprint: event.fingerprint,
            actor: event.actor,
            note: event.note,
        }
    }
}

/// Returns what old clients call an event.
fn event_type(event: &AlertEvent) -> &'static str {
    use AlertState::{Firing, NoData, Pending, Resolved};
    if event.kind != EventKind::Transition {
        return event.kind.as_str();
    }
    match (event.previous_state, event.state) {
        (None, _) => "new_alert",
        (_, Some(Resolved)) => "resolved",
        (_, Some(NoData)) => "no_data",
        (Some(NoData), _) => "data_returned",
        (Some(Pending), Some(Firing)) => "escalation",
        _ if event.severity == Some(Severity::Warning) => "de-escalation",
        _ => "escalation",
    }
}

/// Returns the levels before and after an event, as old clients call them.
fn levels(event: &AlertEvent) -> (Option<&'static str>, Option<&'static str>) {
    let Some(severity) = event.severity else { return (None, None) };
    let level = Some(severity.as_str());
    if event.kind != EventKind::Transition {
        return (level, level);
    }
    let new = if event.state == Some(AlertState::Resolved) { Some("healthy") } else { level };
    let previous = match event.previous_state {
        None => None,
        // Only the severity changed; most rules have these two.
        before if before == event.state => match severity {
            Severity::Critical => Some(Severity::Warning.as_str()),
            Severity::Warning => Some(Severity::Critical.as_str()),
            _ => None,
        },
        Some(_) => level,
    };
    (previous, new)
}

impl NoteEntry {
    fn new(note: &tft_core::history::AlertNote) -> Self {
        Self { timestamp: utc(note.at), actor: note.actor.clone(), text: note.text.clone() }
    }
}

impl EnvironmentEntry {
    fn new(snapshot: FleetSnapshot) -> Self {
        let [imminent_failure, critical, danger, warning, degrading, watch, healthy] = snapshot.level_counts;
        Self {
            id: snapshot.sequence,
            timestamp: utc(snapshot.at),
            total_servers: snapshot.total_servers,
            imminent_failure_count: imminent_failure,
            critical_count: critical,
            danger_count: danger,
            warning_count: warning,
            degrading_count: degrading,
            degraded_count: degrading,
            watch_count: watch,
            healthy_count: healthy,
            prob_30m: snapshot.prob_30m,
            prob_8h: snapshot.prob_8h,
            expected_breaches_30m: snapshot.expected_breaches_30m,
            expected_breaches_8h: snapshot.expected_breaches_8h,
            p_any_breach_30m: snapshot.p_any_breach_30m,
            p_any_breach_8h: snapshot.p_any_breach_8h,
            avg_risk_score: snapshot.avg_risk_score,
            max_risk_score: snapshot.max_risk_score,
            top_risk_server: snapshot.top_risks.first().map(|risk| risk.server.clone()).unwrap_or_default(),
            top_risks: snapshot.top_risks.into_iter().map(RiskEntry::new).collect(),
            fleet_health: snapshot.fleet_health.map_or("unknown", tft_core::risk::FleetHealth::as_str),
            alerts_pending: snapshot.alerts_pending,
            alerts_firing: snapshot.alerts_firing,
            alerts_no_data: snapshot.alerts_no_data,
        }
    }
}

impl RiskEntry {
    fn new(RiskOf { server, score }: RiskOf) -> Self {
        Self { server, score }
    }
}

impl TimeRange {
    pub(crate) fn new(name: &str, from: Timestamp, to: Timestamp) -> Self {
        Self { time_range: name.to_owned(), from: utc(from), to: utc(to) }
    }
}

const MINUTE_MS: f64 = 60_000.0;
