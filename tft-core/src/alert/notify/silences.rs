//! All silences, in bounds, and which of them cover an alert.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::error::NotifyError;
use super::matcher::{MatchOp, Matcher};
use super::silence::{Silence, SilenceState};
use crate::alert::Alert;
use crate::error::Error;
use crate::time::{StepLength, Timestamp};

/// The silences that there are, those that are over for a while included.
///
/// Pure: ids count up, and time comes in.
#[derive(Debug, Clone, PartialEq)]
pub struct Silences {
    config: SilenceConfig,
    by_id: BTreeMap<String, Silence>,
    /// How many ids were given.
    given_count: u64,
}

/// The limits of [`Silences`].
///
/// # Defaults
/// 1,000 silences with 1,000 patterns, kept for five days after their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SilenceConfig {
    /// Most silences; 1 to 10,000. When there are as many, those that are over make room.
    pub silences_max: usize,
    /// Most patterns of all silences together, each of at most [`Matcher::PATTERN_BYTES_MAX`] compiled; 0 to 10,000.
    pub patterns_max: usize,
    /// For how long a silence stays listed after its end, in milliseconds; 0 to [`Silence::DURATION_MS_MAX`].
    pub retention_ms: i64,
}

/// The active silences, by a label that each demands where it demands one.
pub(super) struct SilenceIndex<'a> {
    names: BTreeSet<&'a str>,
    by_label: HashMap<(&'a str, &'a str), Vec<&'a Silence>>,
    others: Vec<&'a Silence>,
}

impl Silences {
    /// Builds an empty collection.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) naming the field and its value.
    pub fn new(config: SilenceConfig) -> Result<Self, Error> {
        config.validate().map_err(NotifyError::in_config)?;
        Ok(Self { config, by_id: BTreeMap::new(), given_count: 0 })
    }

    /// Adds a silence whose id is empty, or replaces the one with its id, and returns it as it is kept.
    ///
    /// A new silence cannot begin in the past, and neither can the beginning of one that is active be moved: it begins
    /// now, or when it did.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if a field is not acceptable, it would be over already, or there is no silence with
    /// its id or that has expired; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) if there are too many.
    pub fn set(&mut self, silence: Silence, now: Timestamp) -> Result<&Silence, Error> {
        self.prune(now);
        let mut silence = silence;
        let known = self.by_id.get(&silence.id);
        if known.is_none() && !silence.id.is_empty() {
            return Err(NotifyError::UnknownSilence { id: crate::time::abbreviate(&silence.id) }.into());
        }
        match known.map(|known| (known.state(now), known.starts_at)) {
            Some((SilenceState::Expired, _)) => return Err(NotifyError::Expired { id: silence.id }.into()),
            Some((SilenceState::Active, starts_at)) => silence.starts_at = starts_at,
            Some((SilenceState::Pending, _)) | None => silence.starts_at = silence.starts_at.max(now),
        }
        silence.validate()?;
        if silence.state(now) == SilenceState::Expired {
            let allowed = format!("instants after {now}");
            return Err(NotifyError::field("silence", "ends_at", silence.ends_at, allowed).into());
        }
        self.make_room(&silence, now)?;
        if silence.id.is_empty() {
            self.given_count += 1;
            silence.id = format!("s{:08}", self.given_count);
        }
        let id = silence.id.clone();
        Ok(self.by_id.entry(id).insert_entry(silence).into_mut())
    }

    /// Ends a silence now, and returns it; none if there is none with this id. One that is over stays as it is.
    pub fn expire(&mut self, id: &str, now: Timestamp) -> Option<&Silence> {
        let silence = self.by_id.get_mut(id)?;
        if silence.state(now) != SilenceState::Expired {
            silence.ends_at = now;
            silence.starts_at = silence.starts_at.min(now);
        }
        Some(silence)
    }

    /// Returns all silences by id.
    pub fn list(&self) -> impl Iterator<Item = &Silence> {
        self.by_id.values()
    }

    /// Returns a silence by its id.
    pub fn get(&self, id: &str) -> Option<&Silence> {
        self.by_id.get(id)
    }

    /// Drops the silences that have been over for longer than they are kept.
    pub fn prune(&mut self, now: Timestamp) {
        let retention_ms = self.config.retention_ms;
        self.by_id.retain(|_, silence| silence.ends_at.plus_millis(retention_ms) > now);
    }

    /// Drops the silences that can only be about this server.
    pub(super) fn forget(&mut self, server_name: &str) {
        self.by_id.retain(|_, silence| !silence.is_of_server(server_name));
    }

    /// Returns when the next silence begins or ends.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let instants = self.by_id.values().flat_map(|silence| [silence.starts_at, silence.ends_at]);
        instants.filter(|&at| at > now).min()
    }

    pub(super) fn index(&self, now: Timestamp) -> SilenceIndex<'_> {
        let mut index = SilenceIndex { names: BTreeSet::new(), by_label: HashMap::new(), others: Vec::new() };
        for silence in self.by_id.values().filter(|silence| silence.state(now) == SilenceState::Active) {
            index.add(silence);
        }
        index
    }

    pub(super) fn given_count(&self) -> u64 {
        self.given_count
    }

    /// Takes up silences that were saved.
    pub(super) fn restore(&mut self, silences: Vec<Silence>, given_count: u64) -> Result<(), NotifyError> {
        let (count, max) = (silences.len(), self.config.silences_max);
        if count > max {
            return Err(NotifyError::field("state", "silences", count, format!("0 to {max}")));
        }
        let mut by_id = BTreeMap::new();
        for silence in silences {
            let is_ended_early = silence.starts_at == silence.ends_at;
            // A silence that was ended before it began has no length.
            let checked = Silence { ends_at: silence.ends_at.plus_millis(1), ..silence.clone() };
            (if is_ended_early { &checked } else { &silence }).validate()?;
            let id = silence.id.clone();
            if id.is_empty() || by_id.insert(id.clone(), silence).is_some() {
                return Err(NotifyError::Duplicate { what: "silence", name: id });
            }
        }
        let count = by_id.values().map(Silence::pattern_count).sum();
        if count > self.config.patterns_max {
            return Err(NotifyError::PatternsFull { count, max: self.config.patterns_max });
        }
        // An id that is known must not be given again.
        let given = by_id.keys().filter_map(|id| id.strip_prefix('s')?.parse().ok()).max().unwrap_or(0);
        self.given_count = given_count.max(given).min(u64::MAX >> 1);
        self.by_id = by_id;
        Ok(())
    }

    /// Drops silences that are over, the oldest first, where the new one has no room otherwise.
    fn make_room(&mut self, new: &Silence, now: Timestamp) -> Result<(), NotifyError> {
        loop {
            let others = self.by_id.values().filter(|silence| silence.id != new.id);
            let (mut count, mut patterns) = (1, new.pattern_count());
            for other in others {
                (count, patterns) = (count + 1, patterns + other.pattern_count());
            }
            let (count_max, patterns_max) = (self.config.silences_max, self.config.patterns_max);
            if count <= count_max && patterns <= patterns_max {
                return Ok(());
            }
            let over = self.by_id.values().filter(|silence| silence.state(now) == SilenceState::Expired);
            let oldest = over.min_by_key(|silence| (silence.ends_at, &silence.id)).map(|s| s.id.clone());
            match oldest {
                Some(id) => drop(self.by_id.remove(&id)),
                None if count > count_max => return Err(NotifyError::SilencesFull { count: count_max }),
                None => return Err(NotifyError::PatternsFull { count: patterns, max: patterns_max }),
            }
        }
    }
}

impl<'a> SilenceIndex<'a> {
    fn add(&mut self, silence: &'a Silence) {
        let is_key = |matcher: &&Matcher| matcher.op() == MatchOp::Equal && !matcher.value().is_empty();
        match silence.matchers.iter().find(is_key) {
            Some(key) => {
                self.names.insert(key.name());
                self.by_label.entry((key.name(), key.value())).or_default().push(silence);
            }
            None => self.others.push(silence),
        }
    }

    /// Returns the ids of the silences that cover an alert, at most `max` of them.
    pub(super) fn covering(&self, alert: &Alert, max: usize) -> Vec<String> {
        let keyed = self.names.iter().filter_map(|name| self.by_label.get(&(*name, alert.label(name)?)));
        let candidates = keyed.flatten().chain(&self.others);
        let mut ids: Vec<_> = candidates.filter(|silence| silence.covers(alert)).map(|s| &s.id).collect();
        ids.sort_unstable();
        ids.into_iter().take(max).cloned().collect()
    }
}

impl SilenceConfig {
    fn validate(&self) -> Result<(), NotifyError> {
        let refuse = |field, value: i64, allowed: String| {
            Err(NotifyError::field("silence configuration", field, value, allowed))
        };
        if !(1..=SILENCES_MAX).contains(&self.silences_max) {
            return refuse("silences_max", self.silences_max as i64, format!("1 to {SILENCES_MAX}"));
        }
        if self.patterns_max > SILENCES_MAX {
            return refuse("patterns_max", self.patterns_max as i64, format!("0 to {SILENCES_MAX}"));
        }
        if !(0..=Silence::DURATION_MS_MAX).contains(&self.retention_ms) {
            return refuse("retention_ms", self.retention_ms, format!("0 to {}", Silence::DURATION_MS_MAX));
        }
        Ok(())
    }
}

impl Default for SilenceConfig {
    fn default() -> Self {
        Self { silences_max: 1000, patterns_max: 1000, retention_ms: 5 * StepLength::DAY_MS }
    }
}

const SILENCES_MAX: usize = 10_000;
