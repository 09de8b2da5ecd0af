//! The figures of a rule: how often it fired, and how that met the incidents.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Incident;
use super::episode::Episode;
use crate::alert::Severity;
use crate::schema::ServerName;
use crate::time::{StepLength, Timestamp};

/// What a rule would have done.
///
/// An episode lasts from when an alert fires until it is resolved.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RuleFigures {
    /// The rule.
    pub rule: String,
    /// Episodes.
    pub episodes: usize,
    /// Those that were critical at some time.
    pub critical_episodes: usize,
    /// Those that were not over at the end.
    pub unresolved: usize,
    /// Servers with an episode.
    pub servers: usize,
    /// How long alerts fired, in hours, over all servers.
    pub alert_hours: f64,
    /// How long the episodes that were resolved took, in minutes.
    pub minutes_to_resolve: Option<Quartiles>,
    /// How the episodes met the incidents; none if nobody said what was one.
    pub incidents: Option<IncidentFigures>,
}

/// How the episodes of a rule met the incidents.
///
/// An episode is true if it was on at some time from the early window before an incident of its server to the
/// incident's end; an incident is detected if it has a true episode.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct IncidentFigures {
    /// Episodes that are true.
    pub true_episodes: usize,
    /// Their share of all episodes; none without any.
    pub precision: Option<f64>,
    /// Incidents that were detected.
    pub detected: usize,
    /// Their share of all incidents; none without any.
    pub recall: Option<f64>,
    /// The share of incidents that were detected before they started.
    pub early_recall: Option<f64>,
    /// From the first firing to the start of each detected incident, in minutes; negative after it, and at most the
    /// early window.
    pub lead_minutes: Option<Quartiles>,
    /// Episodes that are not true, per server and day.
    pub false_per_server_day: f64,
    /// The share of the time outside of incidents and their early windows during which the rule fired: what chance
    /// would give.
    pub quiet_share: Option<f64>,
}

/// The distribution of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Quartiles {
    /// The least.
    pub min: f64,
    /// A quarter is not above it.
    pub p25: f64,
    /// The median.
    pub p50: f64,
    /// Three quarters are not above it.
    pub p75: f64,
    /// Nine tenths are not above it.
    pub p90: f64,
    /// The most.
    pub max: f64,
}

/// What the figures of all rules are made from.
#[derive(Debug)]
pub(super) struct Scope<'i> {
    /// When judging ended.
    pub(super) end: Timestamp,
    /// Servers times the days for which they were judged.
    pub(super) server_days: f64,
    pub(super) early_window_ms: i64,
    /// Those that began while rules were judged; none if nobody said.
    pub(super) incidents: Option<Vec<&'i Incident>>,
    pub(super) step_length: StepLength,
    /// Of all incidents.
    pub(super) reaches: &'i Reaches,
    /// How long servers were judged outside of all reaches, in milliseconds.
    pub(super) quiet_ms: i64,
}

/// When alerts count for incidents: from the early window before each to its end. By server, disjoint and ascending, in
/// milliseconds.
#[derive(Debug, Default)]
pub(super) struct Reaches(BTreeMap<ServerName, Vec<(i64, i64)>>);

impl Reaches {
    pub(super) fn new(incidents: &[Incident], early_window_ms: i64, step_length: StepLength) -> Self {
        let mut reaches: BTreeMap<ServerName, Vec<(i64, i64)>> = BTreeMap::new();
        for incident in incidents {
            let from = incident.start.as_millis().saturating_sub(early_window_ms);
            let until = step_length.end_of(step_length.step_at(incident.end)).as_millis();
            reaches.entry(incident.server.clone()).or_default().push((from, until));
        }
        for of_server in reaches.values_mut() {
            of_server.sort_unstable();
            of_server.dedup_by(|later, earlier| {
                let overlaps = later.0 <= earlier.1;
                earlier.1 = if overlaps { earlier.1.max(later.1) } else { earlier.1 };
                overlaps
            });
        }
        Self(reaches)
    }

    pub(super) fn contains(&self, server: &ServerName, at: Timestamp) -> bool {
        self.of(server).iter().any(|&(from, until)| (from..until).contains(&at.as_millis()))
    }

    /// How long a span lies within the reaches of a server; none if it meets no reach.
    fn overlap_ms(&self, server: &ServerName, (from, to): (i64, i64)) -> Option<i64> {
        let reaches = self.of(server).iter();
        let met = reaches.filter(|reach| is_met((from, to), **reach));
        met.map(|reach| to.min(reach.1) - from.max(reach.0)).reduce(|a, b| a + b)
    }

    fn of(&self, server: &ServerName) -> &[(i64, i64)] {
        self.0.get(server).map_or(&[], Vec::as_slice)
    }
}

/// Whether a span has a moment in common with a reach; one that began and ended at once has its own.
fn is_met((from, to): (i64, i64), reach: (i64, i64)) -> bool {
    from < reach.1 && to.max(from + 1) > reach.0
}

impl Scope<'_> {
    /// Returns the figures of one rule's episodes, which are in the order of servers and time.
    pub(super) fn figures(&self, rule: &str, episodes: &[Episode]) -> RuleFigures {
        let servers: BTreeSet<_> = episodes.iter().map(|episode| &episode.server).collect();
        let resolved = episodes.iter().filter_map(|episode| {
            let took_ms = episode.end?.as_millis() - episode.start.as_millis();
            Some(took_ms as f64 / MINUTE_MS)
        });
        let alert_ms: i64 =
            episodes.iter().map(|episode| self.span(episode)).map(|(from, to)| to - from).sum();
        RuleFigures {
            rule: rule.to_owned(),
            episodes: episodes.len(),
            critical_episodes: episodes
                .iter()
                .filter(|episode| episode.severity == Severity::Critical)
                .count(),
            unresolved: episodes.iter().filter(|episode| episode.end.is_none()).count(),
            servers: servers.len(),
            alert_hours: alert_ms as f64 / (60.0 * MINUTE_MS),
            minutes_to_resolve: Quartiles::of(resolved),
            incidents: self.incidents.as_ref().map(|incidents| self.incident_figures(episodes, incidents)),
        }
    }

    fn incident_figures(&self, episodes: &[Episode], incidents: &[&Incident]) -> IncidentFigures {
        let overlaps = episodes.iter().map(|episode| {
            let span = self.span(episode);
            (span.1 - span.0, self.reaches.overlap_ms(&episode.server, span))
        });
        let (mut true_episodes, mut loud_ms) = (0, 0);
        for (all_ms, overlap_ms) in overlaps {
            true_episodes += usize::from(overlap_ms.is_some());
            loud_ms += all_ms - overlap_ms.unwrap_or(0);
        }
        let leads: Vec<_> = incidents.iter().filter_map(|incident| self.lead(episodes, incident)).collect();
        let early = leads.iter().filter(|lead| **lead > 0.0).count();
        let false_episodes = (episodes.len() - true_episodes) as f64;
        IncidentFigures {
            true_episodes,
            precision: share(true_episodes, episodes.len()),
            detected: leads.len(),
            recall: share(leads.len(), incidents.len()),
            early_recall: share(early, incidents.len()),
            lead_minutes: Quartiles::of(leads),
            false_per_server_day: false_episodes / self.server_days.max(f64::MIN_POSITIVE),
            quiet_share: (self.quiet_ms > 0).then(|| loud_ms as f64 / self.quiet_ms as f64),
        }
    }

    /// From the first firing within an incident's own reach to its start, in minutes; none if it was not detected.
    fn lead(&self, episodes: &[Episode], incident: &Incident) -> Option<f64> {
        let start = incident.start.as_millis();
        let from = start.saturating_sub(self.early_window_ms);
        let until = self.step_length.end_of(self.step_length.step_at(incident.end)).as_millis();
        let first = episodes.partition_point(|episode| episode.server < incident.server);
        let of_server = episodes[first..].iter().take_while(|episode| episode.server == incident.server);
        let spans = of_server.map(|episode| self.span(episode));
        let earliest =
            spans.filter(|span| is_met(*span, (from, until))).map(|span| span.0.max(from)).min()?;
        Some((start - earliest) as f64 / MINUTE_MS)
    }

    fn span(&self, episode: &Episode) -> (i64, i64) {
        (episode.start.as_millis(), episode.end.unwrap_or(self.end).as_millis())
    }
}

impl Quartiles {
    /// Returns the distribution of values that are finite; none without any.
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let at =
            |share: f64| values.get((share * (values.len().max(1) - 1) as f64).round() as usize).copied();
        Some(Self {
            min: at(0.0)?,
            p25: at(0.25)?,
            p50: at(0.5)?,
            p75: at(0.75)?,
            p90: at(0.9)?,
            max: at(1.0)?,
        })
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

const MINUTE_MS: f64 = 60_000.0;
