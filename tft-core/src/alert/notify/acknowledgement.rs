//! Acknowledgements: somebody knows of an alert.

use serde::{Deserialize, Serialize};

use super::error::{NotifyError, check_length};
use crate::alert::{Alert, Severity};
use crate::schema::ServerName;
use crate::time::Timestamp;

/// Somebody knows of an alert, which is not told again until it resolves or gets worse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Acknowledgement {
    /// Who; 1 to [`Acknowledgement::NAME_LENGTH_MAX`] bytes.
    pub by: String,
    /// What there is to say; at most [`Acknowledgement::COMMENT_LENGTH_MAX`] bytes.
    #[serde(default)]
    pub comment: String,
    /// When.
    pub at: Timestamp,
    /// The alert's server.
    pub server: ServerName,
    /// How bad the alert was; one that gets worse is not acknowledged any more.
    pub severity: Severity,
}

impl Acknowledgement {
    /// Most bytes of a name.
    pub const NAME_LENGTH_MAX: usize = 128;

    /// Most bytes of a comment.
    pub const COMMENT_LENGTH_MAX: usize = 1024;

    pub(super) fn new(
        alert: &Alert,
        (by, comment): (&str, &str),
        at: Timestamp,
    ) -> Result<Self, NotifyError> {
        let (by, comment) = (by.to_owned(), comment.to_owned());
        let made = Self { by, comment, at, server: alert.server.clone(), severity: alert.severity };
        made.validate().map(|()| made)
    }

    pub(super) fn validate(&self) -> Result<(), NotifyError> {
        check_length("acknowledgement", "by", &self.by, 1..=Self::NAME_LENGTH_MAX)?;
        check_length("acknowledgement", "comment", &self.comment, 0..=Self::COMMENT_LENGTH_MAX)
    }

    /// Returns whether it still holds for an alert.
    pub(super) fn holds_for(&self, alert: &Alert) -> bool {
        alert.severity <= self.severity
    }
}
