//! What can go wrong with a pickle, in words that name the byte, key or row.

use crate::error::ErrorKind;

#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum PickleError {
    #[error("is damaged at byte {at}: {reason}")]
    Damaged { at: usize, reason: &'static str },
    #[error("is pickled with protocol {version}, readable are 0 to 5")]
    Protocol { version: u8 },
    #[error(
        "names `{name}` at byte {at}, which is not on the list of plain data; nothing in a pickle is ever called"
    )]
    Global { name: String, at: usize },
    #[error("asks at byte {at} for {what}, which is no plain data; nothing in a pickle is ever called")]
    Refused { what: &'static str, at: usize },
    #[error("has `{name}` at byte {at} with arguments that Python does not write")]
    Arguments { name: &'static str, at: usize },
    #[error("has a local time at byte {at} whose zone is only named, and there is no time zone database")]
    NamedZone { at: usize },
    #[error("has more than {max} {what}")]
    TooMany { what: &'static str, max: usize },
    #[error("is {found}, expected is a dict with `rolling_window`")]
    NotADict { found: String },
    #[error("has no key `{key}`")]
    MissingKey { key: &'static str },
    #[error("key `{key}` has {found}, expected is {expected}")]
    Key { key: &'static str, found: String, expected: &'static str },
    #[error("row {row} is {found}, expected is a dict")]
    Row { row: u64, found: String },
}

impl PickleError {
    pub(in crate::store) fn kind(&self) -> ErrorKind {
        match self {
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::TooMany { .. } => ErrorKind::LimitExceeded,
            Self::Protocol { .. }
            | Self::Global { .. }
            | Self::Refused { .. }
            | Self::Arguments { .. }
            | Self::NamedZone { .. }
            | Self::NotADict { .. }
            | Self::MissingKey { .. }
            | Self::Key { .. }
            | Self::Row { .. } => ErrorKind::InvalidInput,
        }
    }
}
