//! Whether alerts came before incidents, next to how often they were on anyway.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tft_core::alert::AlertState;
use tft_core::schema::ServerName;
use tft_core::{FleetAssessment, Transition};

use super::excerpt::Row;

/// Counts incidents and the alerts before them.
#[derive(Debug, Default)]
pub(super) struct IncidentTally {
    /// Servers with an alert firing when the fleet was judged last.
    alerted: BTreeSet<ServerName>,
    /// Whether each server was in an incident at its newest sample.
    in_incident: BTreeMap<ServerName, bool>,
    is_counting: bool,
    counts: IncidentCounts,
}

/// How many incidents had an alert before them.
///
/// An alert counts as before an incident if it was firing, on the same server, when the fleet was judged the
/// last time before the incident's first sample.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct IncidentCounts {
    /// Alerts that began to fire.
    pub(super) alerts_fired: usize,
    /// Runs of samples that the recording calls an incident, since forecasts began.
    pub(super) incidents: usize,
    /// Those with an alert before them.
    pub(super) incidents_alerted_before: usize,
    /// Samples outside of incidents, since forecasts began.
    pub(super) quiet_samples: usize,
    /// Those with an alert firing at the time: what chance alone would give.
    pub(super) quiet_samples_alerted: usize,
}

impl IncidentTally {
    /// Takes a sample that the newest judgement does not know yet.
    pub(super) fn sample(&mut self, row: &Row) {
        let before = self.in_incident.insert(row.server.clone(), row.is_incident).unwrap_or(false);
        if !self.is_counting {
            return;
        }
        let is_alerted = usize::from(self.alerted.contains(&row.server));
        if !row.is_incident {
            self.counts.quiet_samples += 1;
            self.counts.quiet_samples_alerted += is_alerted;
        } else if !before {
            self.counts.incidents += 1;
            self.counts.incidents_alerted_before += is_alerted;
        }
    }

    /// Takes a judgement.
    pub(super) fn judged(&mut self, assessment: &FleetAssessment) {
        let firing = assessment.alerts.iter().filter(|alert| alert.state == AlertState::Firing);
        self.alerted = firing.map(|alert| alert.server.clone()).collect();
        let began = |transition: &&Transition| {
            transition.alert.state == AlertState::Firing && transition.from != Some(AlertState::Firing)
        };
        self.counts.alerts_fired += assessment.transitions.iter().filter(began).count();
        self.is_counting = true;
    }

    pub(super) fn counts(&self) -> IncidentCounts {
        self.counts.clone()
    }
}
