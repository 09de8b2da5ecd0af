//! The crate's one error type.
//!
//! Owns the opaque [`Error`] and its [`ErrorKind`]. What went wrong in detail is a private enum of the
//! module that found it; callers match on the kind and print the message.

use std::error::Error as StdError;
use std::fmt;

/// A failure of this crate, with a message for people and a [kind](Error::kind) for programs.
///
/// The message is lower-case, names the field and the value at fault, and describes this level only;
/// the cause, where there is one, is in [`source`](StdError::source).
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    inner: Box<dyn StdError + Send + Sync>,
}

/// What sort of failure an [`Error`] is, and so who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A record, row or argument is not acceptable; the sender can mend it.
    InvalidInput,
    /// Text could not be parsed at all; the sender can mend it.
    Malformed,
    /// A configuration value is not acceptable; the operator can mend it.
    InvalidConfig,
    /// A model directory is incomplete, inconsistent or not supported.
    InvalidModel,
    /// A file that this crate wrote, or should be able to read, is damaged.
    Corrupt,
    /// A file is encrypted, and no key that was given opens it; the operator can mend it.
    Encrypted,
    /// A stated limit would be exceeded.
    LimitExceeded,
    /// The operating system refused a file operation.
    Io,
    /// Data cannot be taken at the moment; the sender can try again later.
    Unavailable,
    /// An assumption inside this crate did not hold.
    Internal,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, inner: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, inner: inner.into() }
    }

    /// Returns what sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns whether the caller's data was refused.
    pub fn is_invalid_input(&self) -> bool {
        self.kind == ErrorKind::InvalidInput
    }

    /// Returns whether the caller's text could not be parsed at all.
    pub fn is_malformed(&self) -> bool {
        self.kind == ErrorKind::Malformed
    }

    /// Returns whether a model directory was refused.
    pub fn is_invalid_model(&self) -> bool {
        self.kind == ErrorKind::InvalidModel
    }

    /// Returns whether a file is damaged.
    pub fn is_corrupt(&self) -> bool {
        self.kind == ErrorKind::Corrupt
    }

    /// Returns whether a file is encrypted and the key for it is missing.
    pub fn is_encrypted(&self) -> bool {
        self.kind == ErrorKind::Encrypted
    }

    /// Returns whether a stated limit would be exceeded.
    pub fn is_limit_exceeded(&self) -> bool {
        self.kind == ErrorKind::LimitExceeded
    }

    /// Returns whether the same data may be taken later.
    pub fn is_unavailable(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }

    /// Returns whether the operating system refused a file operation.
    pub fn is_io(&self) -> bool {
        self.kind == ErrorKind::Io
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source()
    }
}
