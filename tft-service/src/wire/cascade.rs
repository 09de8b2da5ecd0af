//! Cascades, under the names that old clients know.

use schemars::JsonSchema;
use serde::Serialize;
use tft_core::cascade::{AffectedServer, CascadeEvent, CascadeReport, CascadeSeverity};
use tft_core::time::{Step, StepLength};

use crate::snapshot::FleetView;

/// The reply of `GET /cascade/status`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CascadeStatusReply<'a> {
    current_status: CurrentStatus<'a>,
    tracking: Tracking<'a>,
    /// The newest events that are over, oldest first.
    recent_events: Vec<EventEntry<'a>>,
    /// Events ever begun.
    event_count: u64,
    thresholds: Thresholds,
}

/// The reply of `GET /cascade/health`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CascadeHealthReply {
    /// 0 to 100: what the correlation and the share of anomalous servers leave of 100; a score, not a probability.
    health_score: f64,
    status: &'static str,
    correlation_score: f64,
    anomaly_rate: f64,
    anomalous_servers: usize,
    total_servers: usize,
    cascade_risk: &'static str,
    cascade_detected: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CurrentStatus<'a> {
    cascade_detected: bool,
    /// The start of the newest step that was judged; null before the first.
    timestamp: Option<String>,
    total_servers: usize,
    servers_with_anomalies: usize,
    anomaly_rate: f64,
    correlation_score: f64,
    /// The highest severity of what goes on.
    severity: Option<&'static str>,
    cascades: Vec<EventEntry<'a>>,
    metrics: Vec<MetricEntry<'a>>,
}

/// One metric in the newest step.
#[derive(Debug, Serialize, JsonSchema)]
struct MetricEntry<'a> {
    metric: &'a str,
    servers_judged: usize,
    servers_beyond: usize,
    share: f64,
    usual_share: f64,
    /// An upper bound of the probability that so many servers are a coincidence.
    chance: f64,
    correlation: f64,
    severity: Option<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct EventEntry<'a> {
    id: u64,
    metric: &'a str,
    severity: &'static str,
    /// The start of the event's first step, once more, for old clients.
    timestamp: String,
    start: String,
    /// The end of its newest step.
    end: String,
    is_over: bool,
    server_count: usize,
    share_max: f64,
    /// The server that was anomalous first.
    lead_server: Option<&'a str>,
    /// The first that were anomalous, in that order.
    affected_servers: Vec<&'a str>,
    servers: Vec<AffectedEntry<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AffectedEntry<'a> {
    server: &'a str,
    since: String,
    joined: String,
    z: f64,
    z_peak: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Tracking<'a> {
    servers: usize,
    metrics_tracked: Vec<&'a str>,
    /// Steps of the baseline.
    window_size: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Thresholds {
    /// The correlation from which the risk is high.
    correlation: f64,
    cascade_servers: usize,
    anomaly_z_score: f64,
}

impl<'a> CascadeStatusReply<'a> {
    pub(crate) fn new(view: &'a FleetView) -> Self {
        let report = &*view.assessment.cascade;
        let step_length = view.assessment.forecast.step_length;
        let dropped = report.recent.len().saturating_sub(RECENT_EVENTS_MAX);
        let recent = report.recent.iter().skip(dropped);
        Self {
            current_status: CurrentStatus::new(report, step_length),
            tracking: Tracking {
                servers: report.servers,
                metrics_tracked: report.config.metrics.iter().map(|watched| &*watched.metric).collect(),
                window_size: report.config.baseline_steps,
            },
            recent_events: recent.map(|event| EventEntry::new(event, step_length)).collect(),
            event_count: report.event_count,
            thresholds: Thresholds {
                correlation: HIGH_RISK_CORRELATION,
                cascade_servers: report.config.servers_min,
                anomaly_z_score: report.config.z_min,
            },
        }
    }
}

impl CascadeHealthReply {
    pub(crate) fn new(view: &FleetView) -> Self {
        let report = &*view.assessment.cascade;
        Self {
            health_score: report.health_score(),
            status: report.condition().as_str(),
            correlation_score: report.correlation,
            anomaly_rate: report.beyond_share(),
            anomalous_servers: report.servers_beyond,
            total_servers: report.servers,
            cascade_risk: report.risk().as_str(),
            cascade_detected: !report.active.is_empty(),
        }
    }
}

impl<'a> CurrentStatus<'a> {
    fn new(report: &'a CascadeReport, step_length: StepLength) -> Self {
        let metrics = report.metrics.iter().map(|metric| MetricEntry {
            metric: &metric.metric,
            servers_judged: metric.servers_judged,
            servers_beyond: metric.servers_beyond,
            share: metric.share,
            usual_share: metric.usual_share,
            chance: metric.chance,
            correlation: metric.correlation,
            severity: metric.severity.map(CascadeSeverity::as_str),
        });
        Self {
            cascade_detected: !report.active.is_empty(),
            timestamp: report.step.map(|step| start_of(step, step_length)),
            total_servers: report.servers,
            servers_with_anomalies: report.servers_beyond,
            anomaly_rate: report.beyond_share(),
            correlation_score: report.correlation,
            severity: report.active.iter().map(|event| event.severity).max().map(CascadeSeverity::as_str),
            cascades: report.active.iter().map(|event| EventEntry::new(event, step_length)).collect(),
            metrics: metrics.collect(),
        }
    }
}

impl<'a> EventEntry<'a> {
    fn new(event: &'a CascadeEvent, step_length: StepLength) -> Self {
        let start = start_of(event.start, step_length);
        Self {
            id: event.id,
            metric: &event.metric,
            severity: event.severity.as_str(),
            timestamp: start.clone(),
            start,
            end: step_length.end_of(event.last).to_string(),
            is_over: event.is_over,
            server_count: event.affected_count,
            share_max: event.share_max,
            lead_server: event.lead_server().map(tft_core::schema::ServerName::as_str),
            affected_servers: event.affected.iter().map(|affected| affected.server.as_str()).collect(),
            servers: event
                .affected
                .iter()
                .map(|affected| AffectedEntry::new(affected, step_length))
                .collect(),
        }
    }
}

impl<'a> AffectedEntry<'a> {
    fn new(affected: &'a AffectedServer, step_length: StepLength) -> Self {
        Self {
            server: affected.server.as_str(),
            since: start_of(affected.since, step_length),
            joined: start_of(affected.joined, step_length),
            z: affected.z,
            z_peak: affected.z_peak,
        }
    }
}

fn start_of(step: Step, step_length: StepLength) -> String {
    step_length.start_of(step).to_string()
}

/// Events that are over in one reply.
const RECENT_EVENTS_MAX: usize = 20;

/// The correlation above which `CascadeRisk` is high.
const HIGH_RISK_CORRELATION: f64 = 0.7;
