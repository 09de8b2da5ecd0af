//! The states that a server can report, and the words that records use for them.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// The code of a state: its position in [`StatusWords::states`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub(crate) u8);

/// The states that a server can report, and other words for them.
///
/// # Defaults
/// The eight states of the server-metrics preset with their usual synonyms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusWords {
    /// The states in order; at most [`StatusWords::STATES_MAX`].
    pub states: Vec<String>,
    /// Synonym (compared without regard to case) to state.
    pub words: Vec<(String, String)>,
    /// The states in which a server's alerts are silenced.
    pub maintenance: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error("schema has {count} states, allowed are at most {}", StatusWords::STATES_MAX)]
    TooMany { count: usize },
    #[error("status word `{word}` points to `{state}`, which is not a state")]
    UnknownState { word: String, state: String },
}

impl StatusWords {
    /// Most states that a schema may have.
    pub const STATES_MAX: usize = 254;

    /// Returns the state that a record's word means, compared without regard to case.
    pub fn parse(&self, word: &str) -> Option<Status> {
        let state = self.words.iter().find(|(synonym, _)| synonym.eq_ignore_ascii_case(word));
        let state = state.map_or(word, |(_, state)| state);
        let code = self.states.iter().position(|known| known.eq_ignore_ascii_case(state))?;
        Some(Status(code as u8))
    }

    /// Returns the name of a state.
    pub fn name(&self, status: Status) -> &str {
        self.states.get(usize::from(status.0)).map_or("unknown", String::as_str)
    }

    /// Returns whether a server in this state is under maintenance.
    pub fn is_maintenance(&self, status: Status) -> bool {
        self.maintenance.iter().any(|state| state == self.name(status))
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let count = self.states.len();
        if count > Self::STATES_MAX {
            return Err(Error::new(ErrorKind::InvalidConfig, StatusError::TooMany { count }));
        }
        let silencing = self.maintenance.iter().map(|state| ("maintenance", state.as_str()));
        let words = self.words.iter().map(|(word, state)| (word.as_str(), state.as_str()));
        for (word, state) in words.chain(silencing) {
            if !self.states.iter().any(|known| known == state) {
                let error = StatusError::UnknownState { word: word.to_owned(), state: state.to_owned() };
                return Err(Error::new(ErrorKind::InvalidConfig, error));
            }
        }
        Ok(())
    }
}

impl Default for StatusWords {
    fn default() -> Self {
        let words = SYNONYMS.iter().map(|&(word, state)| (word.to_owned(), state.to_owned()));
        Self {
            states: STATES.map(str::to_owned).to_vec(),
            words: words.collect(),
            maintenance: vec!["maintenance".to_owned()],
        }
    }
}

const STATES: [&str; 8] = [
    "critical_issue",
    "healthy",
    "heavy_load",
    "idle",
    "maintenance",
    "morning_spike",
    "offline",
    "recovery",
];

const SYNONYMS: [(&str, &str); 18] = [
    ("OK", "healthy"),
    ("GOOD", "healthy"),
    ("UP", "healthy"),
    ("NORMAL", "healthy"),
    ("WARNING", "heavy_load"),
    ("WARN", "heavy_load"),
    ("HIGH_LOAD", "heavy_load"),
    ("CRITICAL", "critical_issue"),
    ("ERROR", "critical_issue"),
    ("ALERT", "critical_issue"),
    ("DOWN", "offline"),
    ("UNREACHABLE", "offline"),
    ("MAINT", "maintenance"),
    ("MAINTENANCE_MODE", "maintenance"),
    ("LOW", "idle"),
    ("RECOVERING", "recovery"),
    ("STARTING", "recovery"),
    ("PEAK", "morning_spike"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case() {
        let statuses = StatusWords::default();
        for (word, state) in [("ok", "healthy"), ("Peak", "morning_spike"), ("OFFLINE", "offline")] {
            assert_eq!(statuses.name(statuses.parse(word).unwrap()), state);
        }
        assert_eq!(statuses.parse("asleep"), None);
        assert!(statuses.is_maintenance(statuses.parse("MAINT").unwrap()));
    }
}
