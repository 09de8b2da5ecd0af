//! What live streams tell of the fleet.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tft_core::RollingWindow;
use tft_core::alert::{Alert, AlertState};
use tft_core::time::{Step, Timestamp};
use tft_core::window::ServerView;

use super::alerts::{self, AlertEntry, utc};
use super::interest::{Interest, StreamName};
use super::predictions;
use super::selection::Selection;
use super::server::{Part, ServerEntry, StateEntry};
use super::summary::{Environment, Summary};
use crate::snapshot::FleetView;

/// Which message tells a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LiveKind {
    /// Everything, alerts too.
    InitialData,
    /// What is not told by messages of its own.
    DataUpdate,
}

#[derive(Serialize)]
struct LiveState<'a> {
    #[serde(rename = "type")]
    kind: LiveKind,
    timestamp: String,
    tick: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers: Option<BTreeMap<&'a str, StateEntry<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predictions: Option<BTreeMap<&'a str, ServerEntry<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<Vec<AlertEntry<'a>>>,
}

#[derive(Serialize)]
struct AlertEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    tick: u64,
    previous_state: Option<AlertState>,
    alert: AlertEntry<'a>,
}

#[derive(Serialize)]
struct DataResponse<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    count: usize,
    rows: Vec<Row<'a>>,
}

/// A closed step of a server, under the names of a feed.
struct Row<'a> {
    window: &'a RollingWindow,
    server: ServerView<'a>,
    step: Step,
}

/// Renders the part of a state that somebody wants to know.
pub(crate) fn render_live(view: &FleetView, kind: LiveKind, interest: &Interest) -> Vec<u8> {
    let selection = Selection::of_servers(interest.servers());
    let part = Part::new(view, &selection);
    let summary = &view.assessment.summary;
    let has = |stream| interest.has(stream);
    super::to_json(&LiveState {
        kind,
        timestamp: utc(view.assessment.at),
        tick: view.tick,
        environment: has(StreamName::Summary).then(|| Environment::new(summary)),
        summary: has(StreamName::Summary).then(|| Summary::new(summary)),
        servers: has(StreamName::Servers).then(|| states(view, &part)),
        predictions: has(StreamName::Predictions).then(|| predictions::predictions(view, &part)),
        alerts: (kind == LiveKind::InitialData && has(StreamName::Alerts))
            .then(|| alerts::entries(view, &selection)),
    })
}

/// Renders what became of an alert.
pub(crate) fn render_alert_event(
    view: &FleetView,
    previous_state: Option<AlertState>,
    alert: &Alert,
) -> Vec<u8> {
    super::to_json(&AlertEvent {
        kind: "alert",
        timestamp: utc(view.assessment.at),
        tick: view.tick,
        previous_state,
        alert: AlertEntry::new(alert, &view.suppression),
    })
}

/// Renders the newest `limit` closed steps with samples over the servers that somebody wants to know of, the newest
/// steps first and servers by name within a step.
pub(crate) fn render_rows(
    window: &RollingWindow,
    interest: &Interest,
    limit: usize,
    now: Timestamp,
) -> Vec<u8> {
    let servers: Vec<_> =
        window.servers().filter(|server| interest.has_server(server.name().as_str())).collect();
    let newest = servers.iter().map(ServerView::newest_step).max();
    let oldest = servers.iter().map(ServerView::oldest_step).min();
    let mut rows = Vec::new();
    if let (Some(origin), Some(newest), Some(oldest)) = (window.origin(now), newest, oldest) {
        let steps = (oldest.0..=newest.0.min(origin.0)).rev().map(Step);
        let all = steps.flat_map(|step| servers.iter().map(move |&server| Row { window, server, step }));
        rows.extend(all.filter(Row::has_samples).take(limit));
    }
    super::to_json(&DataResponse { kind: "data_response", timestamp: utc(now), count: rows.len(), rows })
}

fn states<'a>(view: &'a FleetView, part: &'a Part<'a>) -> BTreeMap<&'a str, StateEntry<'a>> {
    let servers = view.assessment.forecast.servers.iter().zip(&view.assessment.servers);
    let selected = servers.filter(|(forecast, _)| part.selection.has_server(forecast.server.as_str()));
    let entry = |(forecast, assessment)| StateEntry { part, forecast, assessment };
    selected.map(|server| (server.0.server.as_str(), entry(server))).collect()
}

impl Row<'_> {
    fn has_samples(&self) -> bool {
        self.server.status_at(self.step).is_some() || self.values().next().is_some()
    }

    fn values(&self) -> impl Iterator<Item = (&str, f32)> {
        let metrics = self.window.schema().metrics().iter().enumerate();
        metrics.filter_map(|(index, metric)| {
            self.server.value(index, self.step).map(|value| (metric.name.as_str(), value))
        })
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &utc(self.window.config().step.start_of(self.step)))?;
        map.serialize_entry("server_name", self.server.name().as_str())?;
        if let Some(status) = self.server.status_at(self.step) {
            let statuses = self.window.schema().statuses();
            map.serialize_entry("status", statuses.name(status))?;
        }
        for (name, value) in self.values() {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}
