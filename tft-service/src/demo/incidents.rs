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
    /// The incident in which each server is, and whether an alert was firing during it.
    open: BTreeMap<ServerName, bool>,
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
    /// Those with an alert at any of their samples.
    pub(super) incidents_alerted_during: usize,
    /// Samples outside of incidents, since forecasts began.
    pub(super) quiet_samples: usize,
    /// Those with an alert firing at the time: what chance alone would give.
    pub(super) quiet_samples_alerted: usize,
}

impl IncidentTally {
    /// Takes a sample that the newest judgement does not know yet.
    pub(super) fn sample(&mut self, row: &Row) {
        let is_alerted = self.alerted.contains(&row.server);
        if !row.is_incident {
            self.open.remove(&row.server);
            self.counts.quiet_samples += usize::from(self.is_counting);
            self.counts.quiet_samples_alerted += usize::from(is_alerted);
            return;
        }
        let began = !self.open.contains_key(&row.server);
        let was_alerted = self.open.insert(row.server.clone(), is_alerted).unwrap_or(false);
        if began {
            self.counts.incidents += usize::from(self.is_counting);
            self.counts.incidents_alerted_before += usize::from(is_alerted);
        }
        self.open.insert(row.server.clone(), was_alerted || is_alerted);
        self.counts.incidents_alerted_during += usize::from(is_alerted && !was_alerted);
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

#[cfg(test)]
mod tests {
    use tft_core::time::Timestamp;

    use super::*;

    #[test]
    fn an_incident_counts_once_before_and_once_during() {
        let mut tally = IncidentTally { is_counting: true, ..IncidentTally::default() };
        let server = ServerName::new("svc01").unwrap();
        let mut sample = |is_incident: bool, is_alerted: bool| {
            tally.alerted = if is_alerted { BTreeSet::from([server.clone()]) } else { BTreeSet::new() };
            let at = Timestamp::from_millis(0);
            tally.sample(&Row { at, server: server.clone(), values: Vec::new(), is_incident });
            tally.counts()
        };
        for (is_incident, is_alerted) in [
            (false, false),
            (true, false),
            (true, true),
            (true, true),
            (false, true),
            (true, true),
            (true, true),
        ] {
            sample(is_incident, is_alerted);
        }
        let counts = sample(false, false);
        assert_eq!((counts.incidents, counts.incidents_alerted_before), (2, 1));
        assert_eq!(counts.incidents_alerted_during, 2);
        assert_eq!((counts.quiet_samples, counts.quiet_samples_alerted), (3, 1));
    }
}
