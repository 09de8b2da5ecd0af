//! A silence: who does not want to hear of which alerts, for how long and why.

use serde::{Deserialize, Serialize};

use super::error::{NotifyError, check_length};
use super::matcher::{MatchOp, Matcher};
use crate::alert::Alert;
use crate::time::Timestamp;

/// Keeps alerts from being told for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Its name; empty for one that is to get one from [`Silences::set`](super::Silences::set).
    #[serde(default)]
    pub id: String,
    /// What an alert must satisfy, all of it; 1 to [`Matcher::COUNT_MAX`], not all of which are satisfied by a
    /// missing label.
    pub matchers: Vec<Matcher>,
    /// When it begins.
    pub starts_at: Timestamp,
    /// When it ends; at most [`Silence::DURATION_MS_MAX`] later.
    pub ends_at: Timestamp,
    /// Who set it; 1 to [`Silence::NAME_LENGTH_MAX`] bytes.
    pub created_by: String,
    /// Why; at most [`Silence::COMMENT_LENGTH_MAX`] bytes.
    #[serde(default)]
    pub comment: String,
}

/// Where in its life a silence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceState {
    /// It has not begun.
    Pending,
    /// It silences.
    Active,
    /// It is over.
    Expired,
}

impl Silence {
    /// Longest silence, in milliseconds: 366 days.
    pub const DURATION_MS_MAX: i64 = 366 * 86_400_000;

    /// Most bytes of an id and of who set it.
    pub const NAME_LENGTH_MAX: usize = 128;

    /// Most bytes of a comment.
    pub const COMMENT_LENGTH_MAX: usize = 1024;

    /// Returns where in its life it is; at `ends_at` it is over.
    pub fn state(&self, now: Timestamp) -> SilenceState {
        if now >= self.ends_at {
            SilenceState::Expired
        } else if now < self.starts_at {
            SilenceState::Pending
        } else {
            SilenceState::Active
        }
    }

    /// Returns whether it silences an alert while it is active.
    pub fn covers(&self, alert: &Alert) -> bool {
        Matcher::all_match(&self.matchers, alert)
    }

    /// Returns whether it can only be about this server.
    pub(super) fn is_of_server(&self, server_name: &str) -> bool {
        let names = |matcher: &Matcher| matcher.name() == "server" && matcher.value() == server_name;
        self.matchers.iter().any(|matcher| matcher.op() == MatchOp::Equal && names(matcher))
    }

    pub(super) fn pattern_count(&self) -> usize {
        self.matchers.iter().filter(|matcher| matcher.op().has_pattern()).count()
    }

    pub(super) fn validate(&self) -> Result<(), NotifyError> {
        let owner = if self.id.is_empty() { "silence".to_owned() } else { format!("silence `{}`", self.id) };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if self.id.len() > Self::NAME_LENGTH_MAX || !self.id.bytes().all(is_plain) {
            let value = format!("`{}`", crate::time::abbreviate(&self.id));
            return Err(NotifyError::field("silence", "id", value, "128 characters of [A-Za-z0-9_-]"));
        }
        Matcher::check_all(&owner, "matchers", &self.matchers)?;
        let length_ms = self.ends_at.as_millis().saturating_sub(self.starts_at.as_millis());
        if !(1..=Self::DURATION_MS_MAX).contains(&length_ms) {
            let allowed =
                format!("1 ms to {} ms after `starts_at` {}", Self::DURATION_MS_MAX, self.starts_at);
            return Err(NotifyError::field(owner, "ends_at", self.ends_at, allowed));
        }
        check_length(&owner, "created_by", &self.created_by, 1..=Self::NAME_LENGTH_MAX)?;
        check_length(&owner, "comment", &self.comment, 0..=Self::COMMENT_LENGTH_MAX)
    }
}

impl SilenceState {
    /// Returns the name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Expired => "expired",
        }
    }
}
