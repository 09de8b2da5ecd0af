//! Receivers: who is told of which alerts, in which groups and how often.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::{NotifyError, check_length};
use super::matcher::Matcher;
use super::matcher_text::Quoted;
use crate::alert::Alert;

/// Who is told of which alerts; an alert goes to every receiver whose matchers it satisfies.
///
/// # Defaults
/// All alerts, grouped by `alertname`; a message half a minute after something happened, five minutes apart, again
/// after four hours, also about what has resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// A name that no other receiver has; 1 to [`Receiver::NAME_LENGTH_MAX`] bytes.
    pub name: String,
    /// What an alert must satisfy; at most [`Matcher::COUNT_MAX`].
    #[serde(default)]
    pub matchers: Vec<Matcher>,
    /// The labels by which alerts are put together, at most [`Receiver::GROUP_BY_MAX`]; `...` alone means all labels, and
    /// none that all alerts are one group.
    #[serde(default = "default_group_by")]
    pub group_by: Vec<String>,
    /// For how long what happens first in a group waits for company, in milliseconds.
    #[serde(default = "default_group_wait_ms")]
    pub group_wait_ms: i64,
    /// The least time between two messages about a group, in milliseconds.
    #[serde(default = "default_group_interval_ms")]
    pub group_interval_ms: i64,
    /// After which time a group is told again though nothing has changed, in milliseconds; at least
    /// `group_interval_ms`.
    #[serde(default = "default_repeat_interval_ms")]
    pub repeat_interval_ms: i64,
    /// Whether the end of an alert is told.
    #[serde(default = "yes")]
    pub send_resolved: bool,
}

/// The labels of a group, and the key that follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupName {
    pub(super) key: String,
    pub(super) labels: BTreeMap<String, String>,
}

impl Receiver {
    /// Most receivers.
    pub const COUNT_MAX: usize = 64;

    /// Most bytes of a name.
    pub const NAME_LENGTH_MAX: usize = 128;

    /// Most labels of `group_by`.
    pub const GROUP_BY_MAX: usize = 16;

    /// Most groups at a time; alerts beyond them are put into one group without labels.
    pub const GROUPS_MAX: usize = 10_000;

    /// Longest wait and interval, in milliseconds: 30 days.
    pub const DURATION_MS_MAX: i64 = 30 * 86_400_000;

    /// Builds a receiver of all alerts.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            matchers: Vec::new(),
            group_by: default_group_by(),
            group_wait_ms: default_group_wait_ms(),
            group_interval_ms: default_group_interval_ms(),
            repeat_interval_ms: default_repeat_interval_ms(),
            send_resolved: yes(),
        }
    }

    /// Returns whether it is told of an alert.
    pub fn selects(&self, alert: &Alert) -> bool {
        Matcher::all_match(&self.matchers, alert)
    }

    pub(super) fn validate(&self, index: usize) -> Result<(), NotifyError> {
        check_length(&format!("receiver {index}"), "name", &self.name, 1..=Self::NAME_LENGTH_MAX)?;
        let owner = format!("receiver `{}`", self.name);
        let refuse = |field, value: i64, allowed| Err(NotifyError::field(&*owner, field, value, allowed));
        if self.matchers.len() > Matcher::COUNT_MAX {
            let allowed = format!("0 to {} matchers", Matcher::COUNT_MAX);
            return refuse("matchers", self.matchers.len() as i64, allowed);
        }
        if self.group_by.len() > Self::GROUP_BY_MAX {
            let allowed = format!("0 to {} labels", Self::GROUP_BY_MAX);
            return refuse("group_by", self.group_by.len() as i64, allowed);
        }
        for name in &self.group_by {
            check_length(&owner, "group_by", name, 1..=Matcher::NAME_LENGTH_MAX)?;
        }
        let at_least =
            [("group_wait_ms", self.group_wait_ms, 0), ("group_interval_ms", self.group_interval_ms, 1)];
        let repeat = ("repeat_interval_ms", self.repeat_interval_ms, self.group_interval_ms);
        for (field, value, least) in at_least.into_iter().chain([repeat]) {
            if !(least..=Self::DURATION_MS_MAX).contains(&value) {
                return refuse(field, value, format!("{least} to {}", Self::DURATION_MS_MAX));
            }
        }
        Ok(())
    }

    /// Returns the group that an alert belongs to.
    pub(super) fn group_of(&self, alert: &Alert) -> GroupName {
        let mut labels = BTreeMap::new();
        let mut add = |name: &str| labels.insert(name.to_owned(), alert.label(name).unwrap_or("").to_owned());
        if self.group_by.iter().any(|name| name == ALL_LABELS) {
            alert.labels.keys().map(String::as_str).chain(OWN_LABELS).for_each(|name| drop(add(name)));
        } else {
            self.group_by.iter().for_each(|name| drop(add(name)));
        }
        self.named(labels)
    }

    /// Returns the group with these labels.
    pub(super) fn named(&self, labels: BTreeMap<String, String>) -> GroupName {
        let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={}", Quoted(value))).collect();
        GroupName { key: format!("{}:{{{}}}", self.name, pairs.join(",")), labels }
    }
}

fn default_group_by() -> Vec<String> {
    vec!["alertname".to_owned()]
}

const fn default_group_wait_ms() -> i64 {
    30_000
}

const fn default_group_interval_ms() -> i64 {
    300_000
}

const fn default_repeat_interval_ms() -> i64 {
    4 * 3_600_000
}

const fn yes() -> bool {
    true
}

/// Stands for all labels.
const ALL_LABELS: &str = "...";

/// The labels that every alert has.
const OWN_LABELS: [&str; 5] = ["alertname", "server", "profile", "metric", "severity"];
