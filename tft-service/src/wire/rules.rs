//! The rules as clients read them.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use tft_core::alert::{Alert, AlertState, Rule};

use super::alerts::utc;
use crate::self_watch;
use crate::snapshot::FleetView;

/// The reply of `GET /alerts/rules`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RulesReply<'a> {
    timestamp: String,
    count: usize,
    /// The rules by which servers are judged.
    rules: Vec<RuleEntry<'a>>,
    /// The rules by which the service judges itself.
    service_rules: Vec<RuleEntry<'a>>,
}

/// One rule, and how many alerts it has.
#[derive(Serialize, JsonSchema)]
struct RuleEntry<'a> {
    name: &'a str,
    /// Alerts in each state.
    alerts: StateCounts,
    /// All of it, as a rule file has it.
    #[schemars(schema_with = "rule")]
    rule: &'a Rule,
}

#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
struct StateCounts {
    pending: usize,
    firing: usize,
    no_data: usize,
}

impl<'a> RulesReply<'a> {
    pub(crate) fn new(view: &'a FleetView) -> Self {
        let alerts = &view.assessment.alerts;
        let (own, fleet): (Vec<_>, Vec<_>) = alerts.iter().partition(|alert| self_watch::is_own(alert));
        Self {
            timestamp: utc(view.assessment.at),
            count: view.facts.rules.len(),
            rules: entries(&view.facts.rules, &fleet),
            service_rules: entries(self_watch::rules(), &own),
        }
    }
}

fn entries<'a>(rules: &'a [Rule], alerts: &[&Alert]) -> Vec<RuleEntry<'a>> {
    let mut counts: BTreeMap<&str, StateCounts> = BTreeMap::new();
    for alert in alerts {
        let counts = counts.entry(&alert.rule).or_default();
        match alert.state {
            AlertState::Pending => counts.pending += 1,
            AlertState::Firing => counts.firing += 1,
            AlertState::NoData => counts.no_data += 1,
            _ => {}
        }
    }
    let entry = |rule: &'a Rule| {
        let alerts = counts.get(rule.name.as_str()).copied().unwrap_or_default();
        RuleEntry { name: &rule.name, alerts, rule }
    };
    rules.iter().map(entry).collect()
}

fn rule(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } })
}
