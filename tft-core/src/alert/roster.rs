//! The servers that an engine knows: their labels, the rules that select them, and their alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checked::CheckedRule;
use super::life::Entry;
use super::{ServerLabels, ServerObservation};
use crate::schema::{Profile, ServerName};

/// Servers in the order of their names.
#[derive(Debug, Clone, Default)]
pub(super) struct Roster(Vec<ServerAlerts>);

/// One server.
#[derive(Debug, Clone)]
pub(super) struct ServerAlerts {
    pub(super) name: ServerName,
    /// Whether labels and rules have been chosen.
    is_chosen: bool,
    /// The profile for which labels and rules were chosen.
    pub(super) profile: Profile,
    pub(super) labels: Arc<BTreeMap<String, String>>,
    /// The positions of the rules that select it, ascending.
    pub(super) selected: Arc<[usize]>,
    /// Its alerts by the position of their rule, ascending.
    pub(super) entries: Vec<(usize, Entry)>,
}

impl Roster {
    /// Makes sure that every observed server is there, with the profile that it has now.
    pub(super) fn admit(
        &mut self,
        observed: &[ServerObservation<'_>],
        rules: &[CheckedRule],
        assignments: &[ServerLabels],
    ) {
        let mut known = std::mem::take(&mut self.0).into_iter().peekable();
        let mut servers = Vec::with_capacity(observed.len().max(known.len()));
        for observation in observed {
            while let Some(other) = known.next_if(|server| server.name < *observation.server) {
                servers.push(other);
            }
            let found = known.next_if(|server| server.name == *observation.server);
            let mut server =
                found.unwrap_or_else(|| ServerAlerts::new(observation.server, observation.profile));
            if server.profile != *observation.profile || !server.is_chosen {
                server.choose(observation.profile, rules, assignments);
            }
            servers.push(server);
        }
        servers.extend(known);
        self.0 = servers;
    }

    /// Forgets servers that were not observed and have no alerts.
    pub(super) fn release(&mut self, observed: &[ServerObservation<'_>]) {
        if self.0.len() > observed.len() {
            let mut observations = observed.iter().peekable();
            self.0.retain(|server| {
                let is_observed =
                    observations.next_if(|observation| *observation.server == server.name).is_some();
                is_observed || !server.entries.is_empty()
            });
        }
    }

    /// Takes a server with an alert that it had before; servers come in the order of their names.
    pub(super) fn restore(&mut self, index: usize, entry: Entry) {
        let name = &entry.alert.server;
        let at = self.0.binary_search_by(|server| server.name.cmp(name));
        let at = at.unwrap_or_else(|at| {
            self.0.insert(at, ServerAlerts::new(name, &entry.alert.profile));
            at
        });
        let entries = &mut self.0[at].entries;
        if let Err(place) = entries.binary_search_by_key(&index, |&(other, _)| other) {
            entries.insert(place, (index, entry));
        }
    }

    /// Forgets a server and returns how many alerts it had.
    pub(super) fn remove(&mut self, server_name: &str) -> usize {
        let found = self.0.binary_search_by(|server| server.name.as_str().cmp(server_name));
        found.map_or(0, |at| self.0.remove(at).entries.len())
    }

    pub(super) fn servers_mut(&mut self) -> impl Iterator<Item = &mut ServerAlerts> {
        self.0.iter_mut()
    }

    /// Returns all alerts with the positions of their rules, by server and rule.
    pub(super) fn entries(&self) -> impl Iterator<Item = &(usize, Entry)> {
        self.0.iter().flat_map(|server| &server.entries)
    }
}

impl ServerAlerts {
    fn new(name: &ServerName, profile: &Profile) -> Self {
        let (name, profile) = (name.clone(), profile.clone());
        let (labels, selected, entries) = (Arc::default(), Arc::default(), Vec::new());
        Self { name, is_chosen: false, profile, labels, selected, entries }
    }

    fn choose(&mut self, profile: &Profile, rules: &[CheckedRule], assignments: &[ServerLabels]) {
        let labels = ServerLabels::of(assignments, self.name.as_str(), profile);
        let selects = |rule: &CheckedRule| rule.rule.selector.selects(self.name.as_str(), profile, &labels);
        let selected = rules.iter().enumerate().filter(|(_, rule)| selects(rule)).map(|(index, _)| index);
        self.selected = selected.collect();
        self.labels = Arc::new(labels);
        self.profile = profile.clone();
        self.is_chosen = true;
    }
}
