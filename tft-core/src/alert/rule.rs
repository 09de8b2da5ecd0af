//! Rules: what must not happen, how soon it matters, and to which servers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Condition, Selector, Severity};
use crate::risk::Threshold;
use crate::schema::BadSide;
use crate::time::DurationMs;

/// One rule, as plain data; [`AlertEngine::new`](super::AlertEngine::new) checks it.
///
/// # Defaults
/// For the fields that a file may leave out: above, meeting a threshold counts, no waiting, no keeping, recovery at
/// the least threshold, all servers, no labels, no texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A name that no other rule has, 1 to [`Rule::NAME_LENGTH_MAX`] bytes.
    pub name: String,
    /// What is measured; `when` in files.
    #[serde(rename = "when")]
    pub condition: Condition,
    /// Which way the metric is bad. Scores, probabilities, shares and times are bad upwards in any case.
    #[serde(default)]
    pub direction: Direction,
    /// The thresholds by severity, at least one; a more severe one no nearer to the good side.
    pub thresholds: BTreeMap<Severity, Threshold>,
    /// Whether only what lies beyond a threshold counts, and not what meets it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
    /// The threshold past which the value must return; none means the least threshold. That of each severity lies
    /// as far before its threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Threshold>,
    /// For how long the rule must be broken before the alert fires; `for` in files.
    #[serde(rename = "for", default)]
    pub pending_for: DurationMs,
    /// For how long the alert keeps firing after the value has recovered.
    #[serde(default)]
    pub keep_firing_for: DurationMs,
    /// Whether a server that falls silent raises an alert in the state
    /// [`NoData`](super::AlertState::NoData) though nothing was wrong before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub alerts_on_no_data: bool,
    /// Which servers the rule is for.
    #[serde(default)]
    pub selector: Selector,
    /// What the application attaches to the alert, beside the server's own labels, over which these win; part of the
    /// alert's fingerprint.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// One line for people, with placeholders such as `{server}` and `{value}`; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// What to know and to do, with placeholders; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// Which way is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// High values are.
    #[default]
    Above,
    /// Low values are.
    Below,
}

impl Rule {
    /// Most bytes of a rule's name, of a label and of a pattern.
    pub const NAME_LENGTH_MAX: usize = 128;

    /// Longest waiting and keeping.
    pub const DURATION_MAX: DurationMs = DurationMs::from_minutes(30 * 24 * 60);

    /// Most labels of a rule and of a server, and most labels and patterns of a selector.
    pub const LABELS_MAX: usize = 64;

    /// Most bytes of a summary and of a description.
    pub const TEXT_LENGTH_MAX: usize = 1024;

    /// Builds a rule with the defaults of every field that a file may leave out.
    pub fn new(
        name: impl Into<String>,
        condition: Condition,
        thresholds: impl IntoIterator<Item = (Severity, Threshold)>,
    ) -> Self {
        Self {
            name: name.into(),
            condition,
            direction: Direction::Above,
            thresholds: thresholds.into_iter().collect(),
            strict: false,
            recovery: None,
            pending_for: DurationMs::ZERO,
            keep_firing_for: DurationMs::ZERO,
            alerts_on_no_data: false,
            selector: Selector::default(),
            labels: BTreeMap::new(),
            summary: String::new(),
            description: String::new(),
        }
    }

    /// Returns the side to which the compared value is bad: that of the metric where it is compared itself.
    pub(super) fn side(&self) -> BadSide {
        if self.condition.is_of_values() { self.direction.bad_side() } else { BadSide::High }
    }
}

impl Direction {
    pub(super) fn bad_side(self) -> BadSide {
        match self {
            Self::Above => BadSide::High,
            Self::Below => BadSide::Low,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}
