//! What of a [`Notifier`] outlives the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::acknowledgement::Acknowledgement;
use super::audience::Audience;
use super::config::NotifierConfig;
use super::error::{NotifyError, check_length};
use super::group::{ByFingerprint, Group, Told};
use super::matcher::Matcher;
use super::notifier::Notifier;
use super::silence::Silence;
use crate::alert::{Alert, Severity};
use crate::error::Error;
use crate::time::Timestamp;

/// Silences, acknowledgements, and what was told when; plain data to be saved.
///
/// Messages on their way are not in it: they are made again, so that none is lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifierState {
    /// The version of this form.
    version: u32,
    silences: Vec<Silence>,
    /// How many silences there ever were, so that no id is given twice.
    silence_count: u64,
    /// By fingerprint.
    acknowledgements: BTreeMap<String, Acknowledgement>,
    groups: Vec<GroupState>,
}

/// A group of a receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupState {
    receiver: String,
    labels: BTreeMap<String, String>,
    waiting_since: Option<Timestamp>,
    told_at: Option<Timestamp>,
    told: Vec<ToldState>,
    /// The alerts whose ends are to be told.
    ended: Vec<ToldState>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldState {
    alert: Alert,
    severity: Severity,
}

impl NotifierState {
    /// The version that is written, and the only one that is read.
    pub const VERSION: u32 = 1;

    /// Reads what serde wrote as JSON; a notifier checks it once more.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if it is damaged, cut off, or of another form.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(text).map_err(|source| NotifyError::Json { source }.in_state())
    }

    /// Most acknowledgements, and most alerts that a receiver was told of.
    pub const ALERTS_MAX: usize = 1_000_000;

    /// Most labels of a group.
    const LABELS_MAX: usize = 1000;
}

impl Notifier {
    /// Returns what is to be saved.
    pub fn state(&self) -> NotifierState {
        NotifierState {
            version: NotifierState::VERSION,
            silences: self.silences.list().cloned().collect(),
            silence_count: self.silences.given_count(),
            acknowledgements: self.acknowledgements.clone(),
            groups: self.audiences.iter().flat_map(Audience::state).collect(),
        }
    }

    /// Builds a notifier that goes on where another one was saved. What the state has of receivers that the configuration
    /// lacks is dropped.
    ///
    /// It tells nothing before it has observed alerts, and then the end of those that are not there any more.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) as [`new`](Self::new), and
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the state is not one that a notifier with these limits can have.
    pub fn restore(config: NotifierConfig, state: NotifierState, now: Timestamp) -> Result<Self, Error> {
        let mut notifier = Self::new(config)?;
        notifier.take_state(state).map_err(NotifyError::in_state)?;
        notifier.refresh(now);
        Ok(notifier)
    }

    fn take_state(&mut self, state: NotifierState) -> Result<(), NotifyError> {
        let (version, known) = (state.version, NotifierState::VERSION);
        if version != known {
            return Err(NotifyError::Version { version, known });
        }
        self.silences.restore(state.silences, state.silence_count)?;
        check_count("acknowledgements", state.acknowledgements.len())?;
        for (fingerprint, acknowledgement) in &state.acknowledgements {
            check_fingerprint(fingerprint)?;
            acknowledgement.validate()?;
        }
        self.acknowledgements = state.acknowledgements;
        for group in state.groups {
            group.validate()?;
            let mut audiences = self.audiences.iter_mut();
            if let Some(audience) = audiences.find(|audience| audience.receiver.name == group.receiver) {
                audience.take_group(group)?;
            }
        }
        Ok(())
    }
}

impl Audience {
    fn state(&self) -> Vec<GroupState> {
        let mut told: BTreeMap<&str, Vec<ToldState>> = BTreeMap::new();
        for entry in self.told.values() {
            told.entry(&entry.group).or_default().push(ToldState::of(entry));
        }
        let groups = self.groups.iter().map(|(key, group)| GroupState {
            receiver: self.receiver.name.clone(),
            labels: group.labels.clone(),
            waiting_since: group.waiting_since,
            told_at: group.told_at,
            told: told.remove(key.as_str()).unwrap_or_default(),
            ended: group.ended.values().map(ToldState::of).collect(),
        });
        groups.collect()
    }

    fn take_group(&mut self, state: GroupState) -> Result<(), NotifyError> {
        let name = self.receiver.named(state.labels);
        let key = name.key.clone();
        let count = self.groups.len();
        if count > super::Receiver::GROUPS_MAX {
            return Err(NotifyError::field(
                "state",
                "groups",
                count,
                format!("0 to {}", super::Receiver::GROUPS_MAX),
            ));
        }
        let mut group = Group::new(name);
        (group.waiting_since, group.told_at) = (state.waiting_since, state.told_at);
        let told = |told: ToldState| {
            let entry = Told { alert: Arc::new(told.alert), severity: told.severity, group: key.clone() };
            (entry.alert.fingerprint.clone(), entry)
        };
        state.told.into_iter().map(told).try_for_each(|entry| insert_new(&mut self.told, entry))?;
        state.ended.into_iter().map(told).try_for_each(|entry| insert_new(&mut group.ended, entry))?;
        check_count("told", self.told.len())?;
        match self.groups.insert(key.clone(), group) {
            Some(_) => Err(NotifyError::Duplicate { what: "group", name: crate::time::abbreviate(&key) }),
            None => Ok(()),
        }
    }
}

impl GroupState {
    fn validate(&self) -> Result<(), NotifyError> {
        let count = self.labels.len();
        if count > NotifierState::LABELS_MAX {
            return Err(NotifyError::field(
                "state",
                "labels",
                count,
                format!("0 to {}", NotifierState::LABELS_MAX),
            ));
        }
        for (name, value) in &self.labels {
            check_length("state", "labels", name, 1..=Matcher::NAME_LENGTH_MAX)?;
            check_length("state", "labels", value, 0..=Matcher::VALUE_LENGTH_MAX)?;
        }
        check_count("told", self.told.len())?;
        check_count("ended", self.ended.len())?;
        let alerts = self.told.iter().chain(&self.ended);
        alerts.map(|told| &told.alert).try_for_each(|alert| check_fingerprint(&alert.fingerprint))
    }
}

impl ToldState {
    fn of(told: &Told) -> Self {
        Self { alert: Alert::clone(&told.alert), severity: told.severity }
    }
}

fn insert_new(map: &mut ByFingerprint<Told>, (name, told): (String, Told)) -> Result<(), NotifyError> {
    if map.contains_key(&name) {
        return Err(NotifyError::Duplicate { what: "alert", name });
    }
    map.insert(name, told);
    Ok(())
}

fn check_count(field: &'static str, count: usize) -> Result<(), NotifyError> {
    if count <= NotifierState::ALERTS_MAX {
        return Ok(());
    }
    Err(NotifyError::field("state", field, count, format!("0 to {}", NotifierState::ALERTS_MAX)))
}

fn check_fingerprint(fingerprint: &str) -> Result<(), NotifyError> {
    check_length("state", "fingerprint", fingerprint, 1..=64)
}
