//! Evaluates all rules for a fleet, step by step, and keeps the alerts between steps.

use std::sync::Arc;

use super::check::check;
use super::checked::{CheckedRule, Scope, Scratch, Subject};
use super::life::{Alert, AlertState, Entry, Signal, Transition, Watch};
use super::roster::{Roster, ServerAlerts};
use super::{AlertConfig, Preset, ServerObservation};
use crate::error::{Error, ErrorKind};
use crate::forecast::FleetForecast;
use crate::problems::Problems;
use crate::schema::Schema;
use crate::time::Timestamp;

/// Keeps one alert per server and rule, and moves each on as values, forecasts and time come in.
///
/// Pure and deterministic: the same calls give the same alerts, in whatever order a call lists its servers.
///
/// # Performance
/// Names are resolved when the engine is built, and a server's labels and rules when it is first observed. A rule that
/// a server does not break, and has no alert of, allocates nothing.
#[derive(Debug, Clone)]
pub struct AlertEngine {
    pub(super) rules: Vec<CheckedRule>,
    config: AlertConfig,
    pub(super) roster: Roster,
    pub(super) count: usize,
    overflow_count: u64,
    scratch: Scratch,
}

/// One evaluation of all servers.
struct Pass<'a> {
    rules: &'a [CheckedRule],
    scopes: Vec<Scope>,
    config: &'a AlertConfig,
    fleet: &'a FleetForecast,
    now: Timestamp,
    count: &'a mut usize,
    overflow_count: &'a mut u64,
    scratch: &'a mut Scratch,
    transitions: Vec<Transition>,
}

impl AlertEngine {
    /// Most rules of an engine.
    pub const RULES_MAX: usize = 1000;

    /// Checks rules against a schema and builds an engine without alerts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming every rule, field and value at fault.
    pub fn new(config: AlertConfig, schema: &Schema) -> Result<Self, Error> {
        let mut problems = Problems::default();
        check(&config, schema, &mut problems);
        problems.into_result(ErrorKind::InvalidConfig, "alert rules")?;
        let rules = config.rules.iter().map(|rule| CheckedRule::new(rule.clone(), schema)).collect();
        let (roster, scratch) = (Roster::default(), Scratch::default());
        Ok(Self { rules, config, roster, count: 0, overflow_count: 0, scratch })
    }

    /// Builds an engine with the rules of the preset `tft`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the schema has more metrics than an engine may have rules.
    pub fn preset(schema: &Schema) -> Result<Self, Error> {
        let config = AlertConfig { rules: Preset::Tft.rules(schema), ..AlertConfig::default() };
        Self::new(config, schema)
    }

    /// Evaluates every rule for every server and returns what changed, by server and rule name.
    ///
    /// Call it once per step with all servers. A server that is not among them counts as silent; one that is
    /// there twice counts once, the first time. Each rule looks at the current value (step 0) and the
    /// forecast's next steps.
    pub fn evaluate<'a>(
        &mut self,
        observations: impl IntoIterator<Item = ServerObservation<'a>>,
        fleet: &FleetForecast,
        now: Timestamp,
    ) -> Vec<Transition> {
        let observed = in_order(observations.into_iter().collect());
        self.roster.admit(&observed, &self.rules, &self.config.server_labels);
        let scope = |rule: &CheckedRule| rule.scope(fleet.step_length, &fleet.quantiles);
        let mut pass = Pass {
            rules: &self.rules,
            scopes: self.rules.iter().map(scope).collect(),
            config: &self.config,
            fleet,
            now,
            count: &mut self.count,
            overflow_count: &mut self.overflow_count,
            scratch: &mut self.scratch,
            transitions: Vec::new(),
        };
        // Servers, observations and forecasts are all in the order of names.
        let mut observations = observed.iter().peekable();
        let mut forecasts = fleet.servers.iter().peekable();
        for server in self.roster.servers_mut() {
            let Some(observation) = observations.next_if(|observation| *observation.server == server.name)
            else {
                pass.lose(server);
                continue;
            };
            while forecasts.next_if(|forecast| forecast.server < server.name).is_some() {}
            let forecast = forecasts.next_if(|forecast| forecast.server == server.name);
            pass.evaluate(server, &Subject { observation, forecast, fleet, now });
        }
        let mut transitions = pass.transitions;
        self.roster.release(&observed);
        transitions.sort_by(|a, b| (&a.alert.server, &a.alert.rule).cmp(&(&b.alert.server, &b.alert.rule)));
        transitions
    }

    /// Drops the alerts of a server without a transition, because what is known of it is to be forgotten; returns
    /// whether there were any.
    pub fn forget(&mut self, server_name: &str) -> bool {
        let count = self.roster.remove(server_name);
        self.count -= count;
        count > 0
    }

    /// Returns the alerts that are pending, firing or without data: the most severe first, then by server
    /// and rule name.
    pub fn active(&self) -> impl Iterator<Item = &Alert> {
        let mut alerts: Vec<_> = self.roster.entries().map(|(_, entry)| &entry.alert).collect();
        alerts.sort_by(|a, b| {
            b.severity.cmp(&a.severity).then_with(|| (&a.server, &a.rule).cmp(&(&b.server, &b.rule)))
        });
        alerts.into_iter()
    }

    /// Returns how often an alert could not begin because there were
    /// [`alerts_max`](AlertConfig::alerts_max) already.
    pub fn overflow_count(&self) -> u64 {
        self.overflow_count
    }

    /// Returns the rules and limits.
    pub fn config(&self) -> &AlertConfig {
        &self.config
    }
}

impl Pass<'_> {
    fn evaluate(&mut self, server: &mut ServerAlerts, subject: &Subject<'_>) {
        let rules = self.rules;
        if subject.observation.is_in_maintenance {
            for (index, entry) in std::mem::take(&mut server.entries) {
                self.advance(server, index, Some(entry), Signal::Excluded, rules[index].current(subject));
            }
            return;
        }
        let selected = Arc::clone(&server.selected);
        if server.entries.is_empty() {
            // What most servers are; moving alerts about that are not there would cost as much as the rules.
            for &index in selected.iter() {
                let signal = rules[index].signal(&self.scopes[index], subject, false, self.scratch);
                if let Some(signal) = signal {
                    self.advance(server, index, None, signal, rules[index].current(subject));
                }
            }
            return;
        }
        let mut before = std::mem::take(&mut server.entries).into_iter().peekable();
        for &index in selected.iter() {
            while let Some((other, entry)) = before.next_if(|(other, _)| *other < index) {
                self.advance(server, other, Some(entry), Signal::Excluded, rules[other].current(subject));
            }
            let entry = before.next_if(|(other, _)| *other == index).map(|(_, entry)| entry);
            let (rule, scope) = (&rules[index], &self.scopes[index]);
            if let Some(signal) = rule.signal(scope, subject, entry.is_some(), self.scratch) {
                self.advance(server, index, entry, signal, rule.current(subject));
            }
        }
        for (index, entry) in before {
            self.advance(server, index, Some(entry), Signal::Excluded, rules[index].current(subject));
        }
    }

    /// Moves on the alerts of a server that was not observed.
    fn lose(&mut self, server: &mut ServerAlerts) {
        let retention_ms = self.config.absent_retention.as_millis();
        for (index, entry) in std::mem::take(&mut server.entries) {
            let silent_ms = self.now.as_millis().saturating_sub(entry.alert.since.as_millis());
            let is_old = entry.alert.state == AlertState::NoData && silent_ms >= retention_ms;
            let signal = if is_old { Signal::Forgotten } else { Signal::NoData };
            self.advance(server, index, Some(entry), signal, None);
        }
    }

    /// Moves one alert, or its absence, on; alerts come in the order of their rules.
    fn advance(
        &mut self,
        server: &mut ServerAlerts,
        index: usize,
        before: Option<Entry>,
        signal: Signal,
        current: Option<f64>,
    ) {
        let was_there = before.is_some();
        let watch = Watch {
            checked: &self.rules[index],
            scope: self.scopes[index],
            server: &server.name,
            profile: &server.profile,
            labels: &server.labels,
            step_length: self.fleet.step_length,
            current,
            now: self.now,
        };
        let outcome = watch.advance(before, signal);
        if !was_there && outcome.entry.is_some() && *self.count >= self.config.alerts_max {
            *self.overflow_count += 1;
            return;
        }
        *self.count -= usize::from(was_there);
        *self.count += usize::from(outcome.entry.is_some());
        self.transitions.extend(outcome.transition);
        server.entries.extend(outcome.entry.map(|entry| (index, entry)));
    }
}

/// Sorts by name, and keeps the first of several for one server.
fn in_order(mut observed: Vec<ServerObservation<'_>>) -> Vec<ServerObservation<'_>> {
    if !observed.is_sorted_by(|a, b| a.server < b.server) {
        observed.sort_by(|a, b| a.server.cmp(b.server));
        observed.dedup_by(|later, first| later.server == first.server);
    }
    observed
}
