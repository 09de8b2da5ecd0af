//! Inhibition: alerts that need not be told because of others that say more.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::error::{NotifyError, check_length};
use super::matcher::{MatchOp, Matcher};
use crate::alert::{Alert, AlertState};

/// While an alert of the source is active, alerts of the target are not told where the labels in `equal` agree.
///
/// An alert inhibits no alert that inhibits it by the same rule: one that is both source and target is only
/// inhibited by sources that are no targets, and never by itself.
///
/// # Defaults
/// Critical alerts inhibit less severe ones of the same server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InhibitRule {
    /// What an alert satisfies that inhibits others; 1 to [`Matcher::COUNT_MAX`].
    pub source: Vec<Matcher>,
    /// What an alert satisfies that is inhibited; 1 to [`Matcher::COUNT_MAX`].
    pub target: Vec<Matcher>,
    /// The labels that must be the same; a label that both lack is.
    #[serde(default)]
    pub equal: Vec<String>,
}

/// The sources among the active alerts, by rule and the labels that must agree.
pub(super) struct Inhibitor<'a> {
    rules: &'a [InhibitRule],
    /// By rule: what inhibits alerts with these labels.
    sources: Vec<HashMap<Vec<&'a str>, Sources<'a>>>,
}

/// Fingerprints, as many as are listed.
#[derive(Default)]
struct Sources<'a> {
    /// Those that are no targets of the same rule.
    pure: Vec<&'a str>,
    /// Those that are.
    also_targets: Vec<&'a str>,
}

impl InhibitRule {
    /// Most labels that must be the same.
    pub const EQUAL_MAX: usize = 16;

    /// Most rules.
    pub const COUNT_MAX: usize = 100;

    pub(super) fn validate(&self, index: usize) -> Result<(), NotifyError> {
        let owner = format!("inhibit rule {index}");
        Matcher::check_all(&owner, "source", &self.source)?;
        Matcher::check_all(&owner, "target", &self.target)?;
        if self.equal.len() > Self::EQUAL_MAX {
            let allowed = format!("0 to {} labels", Self::EQUAL_MAX);
            return Err(NotifyError::field(owner, "equal", self.equal.len(), allowed));
        }
        self.equal
            .iter()
            .try_for_each(|name| check_length(&owner, "equal", name, 1..=Matcher::NAME_LENGTH_MAX))
    }

    fn key<'a>(&self, alert: &'a Alert) -> Vec<&'a str> {
        self.equal.iter().map(|name| alert.label(name).unwrap_or("")).collect()
    }
}

impl<'a> Inhibitor<'a> {
    /// Collects the sources from alerts in the order of their fingerprints; each is looked at once per rule.
    pub(super) fn new(rules: &'a [InhibitRule], alerts: &(impl Iterator<Item = &'a Alert> + Clone)) -> Self {
        let sources = rules.iter().map(|rule| {
            let mut sources: HashMap<_, Sources<'_>> = HashMap::new();
            for alert in
                alerts.clone().filter(|alert| inhibits(alert) && Matcher::all_match(&rule.source, alert))
            {
                let found = sources.entry(rule.key(alert)).or_default();
                let is_target = Matcher::all_match(&rule.target, alert);
                let list = if is_target { &mut found.also_targets } else { &mut found.pure };
                if list.len() < LISTED_MAX {
                    list.push(&alert.fingerprint);
                }
            }
            sources
        });
        Self { rules, sources: sources.collect() }
    }

    /// Returns the fingerprints of alerts that inhibit an alert, in order, at most [`LISTED_MAX`].
    pub(super) fn inhibiting(&self, alert: &Alert) -> Vec<String> {
        let mut found: Vec<&str> = Vec::new();
        for (rule, sources) in self.rules.iter().zip(&self.sources) {
            if sources.is_empty() || !Matcher::all_match(&rule.target, alert) {
                continue;
            }
            let Some(sources) = sources.get(&rule.key(alert)) else { continue };
            found.extend(&sources.pure);
            if !Matcher::all_match(&rule.source, alert) {
                found.extend(&sources.also_targets);
            }
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().take(LISTED_MAX).map(str::to_owned).collect()
    }
}

impl Default for InhibitRule {
    fn default() -> Self {
        let severity = |op, value: &str| {
            Matcher::checked("severity", op, value)
                .expect("invariant: a short text, and a pattern without faults")
        };
        Self {
            source: vec![severity(MatchOp::Equal, "critical")],
            target: vec![severity(MatchOp::Matches, "high|warning|medium|low")],
            equal: vec!["server".to_owned()],
        }
    }
}

/// Whether an alert can inhibit others.
fn inhibits(alert: &Alert) -> bool {
    matches!(alert.state, AlertState::Firing | AlertState::NoData)
}

/// Most fingerprints that are listed of the alerts that inhibit one.
pub(super) const LISTED_MAX: usize = 10;
