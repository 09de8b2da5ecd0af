//! What is wrong with a matcher, a silence, a configuration or a saved state.

use crate::error::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub(super) enum NotifyError {
    #[error("matcher `{text}` {fault}")]
    Matcher { text: String, fault: &'static str },
    #[error("matcher `{text}` has a pattern that cannot be used: {reason}")]
    Pattern { text: String, reason: String },
    #[error("{owner} has `{field}` {value}, allowed are {allowed}")]
    Field { owner: String, field: &'static str, value: String, allowed: String },
    #[error("{owner} has matchers that all match an empty label, and would match every alert that lacks it")]
    MatchesAnything { owner: String },
    #[error("silence `{id}` has expired and cannot be changed")]
    Expired { id: String },
    #[error("there is no silence `{id}`")]
    UnknownSilence { id: String },
    #[error("there are {count} silences already, allowed are {count}")]
    SilencesFull { count: usize },
    #[error("silences would have {count} patterns, allowed are {max}")]
    PatternsFull { count: usize, max: usize },
    #[error("{what} `{name}` appears twice")]
    Duplicate { what: &'static str, name: String },
    #[error("state has version {version}, known is {known}")]
    Version { version: u32, known: u32 },
    #[error("state is damaged")]
    Json { source: serde_json::Error },
}

impl NotifyError {
    /// Names a field whose value is not allowed.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "most callers have a number that is worked out for this"
    )]
    pub(super) fn field(
        owner: impl Into<String>,
        field: &'static str,
        value: impl ToString,
        allowed: impl Into<String>,
    ) -> Self {
        let (owner, value, allowed) = (owner.into(), value.to_string(), allowed.into());
        Self::Field { owner, field, value, allowed }
    }

    /// The error of an operator's file.
    pub(super) fn in_config(self) -> Error {
        Error::new(ErrorKind::InvalidConfig, self)
    }

    /// The error of a state that was saved, or of something that pretends to be one.
    pub(super) fn in_state(self) -> Error {
        Error::new(ErrorKind::Corrupt, self)
    }
}

/// The error of a caller's data.
impl From<NotifyError> for Error {
    fn from(error: NotifyError) -> Self {
        let is_full = matches!(error, NotifyError::SilencesFull { .. } | NotifyError::PatternsFull { .. });
        Self::new(if is_full { ErrorKind::LimitExceeded } else { ErrorKind::InvalidInput }, error)
    }
}

/// Checks the length of a text.
pub(super) fn check_length(
    owner: &str,
    field: &'static str,
    text: &str,
    lengths: std::ops::RangeInclusive<usize>,
) -> Result<(), NotifyError> {
    if lengths.contains(&text.len()) {
        return Ok(());
    }
    let (value, allowed) =
        (format!("of {} bytes", text.len()), format!("{} to {}", lengths.start(), lengths.end()));
    Err(NotifyError::field(owner, field, value, allowed))
}
