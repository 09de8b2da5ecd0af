//! Which files of a store are encrypted, and with which of its keys.
//!
//! Owns what builds with and without the feature `encryption` have in common: `sealed` and `modular` hold the
//! ciphers of the log and of the checkpoint, `absent` stands for both where there are none. Before anything of a store
//! is changed, [`is_as_configured`] finds out that every file of it can be opened.

#[cfg(not(feature = "encryption"))]
mod absent;
#[cfg(feature = "encryption")]
mod modular;
#[cfg(feature = "encryption")]
mod sealed;

use std::path::Path;

#[cfg(not(feature = "encryption"))]
pub(crate) use absent::Keyring;
#[cfg(not(feature = "encryption"))]
pub(super) use absent::{Seal, SegmentKey, is_sealed};
#[cfg(feature = "encryption")]
pub(super) use modular::is_sealed;
#[cfg(feature = "encryption")]
pub(crate) use sealed::Keyring;
#[cfg(feature = "encryption")]
pub(super) use sealed::{Seal, SegmentKey};

use bytes::Bytes;

use super::document;
use super::log::error::LogError;
use super::log::frame::{FrameReader, Opened};
use super::log::header::BadHeader;
use super::log::segment;
use super::storage::Storage;
use crate::error::{Error, ErrorKind};

/// Why a file cannot be opened, or not be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    #[cfg(not(feature = "encryption"))]
    #[error("is encrypted, which this build does not read: it lacks the feature `encryption`")]
    Unsupported,
    #[cfg(feature = "encryption")]
    #[error("is encrypted, and no key was given")]
    NoKey,
    #[cfg(feature = "encryption")]
    #[error("is encrypted with another key than those given")]
    OtherKey,
    #[cfg(feature = "encryption")]
    #[error("is encrypted, and none of the keys given opens it: it is another one, or the file is damaged")]
    KeyOrDamage,
    #[cfg(feature = "encryption")]
    #[error("cannot be encrypted: the system gave no random numbers")]
    Random,
}

impl SealError {
    pub(super) fn kind(self) -> ErrorKind {
        match self {
            #[cfg(not(feature = "encryption"))]
            Self::Unsupported => ErrorKind::Encrypted,
            #[cfg(feature = "encryption")]
            Self::NoKey | Self::OtherKey | Self::KeyOrDamage => ErrorKind::Encrypted,
            #[cfg(feature = "encryption")]
            Self::Random => ErrorKind::Io,
        }
    }
}

/// The first and last bytes of a Parquet file with an encrypted footer.
pub(super) const MODULAR_MAGIC: &[u8; 4] = b"PARE";

/// Returns whether bytes are what an encrypted Parquet file, whole or damaged, looks like.
pub(super) fn is_modular(bytes: &[u8]) -> bool {
    bytes.starts_with(MODULAR_MAGIC) || bytes.ends_with(MODULAR_MAGIC)
}

/// Returns whether all that a store has is encrypted with its present key, or plain if it has none.
///
/// Damaged files are none of it: what becomes of them is decided where they are read.
///
/// # Errors
/// [`ErrorKind::Encrypted`](crate::ErrorKind::Encrypted) if a file cannot be opened with the keys given;
/// [`Io`](crate::ErrorKind::Io) if a segment cannot be read.
pub(super) fn is_as_configured(
    storage: &dyn Storage,
    path: &Path,
    checkpoint: Option<&Bytes>,
    keyring: &Keyring,
) -> Result<bool, Error> {
    let mut is_as_configured = match checkpoint {
        None => true,
        Some(bytes) => keyring.is_file_current(bytes).map_err(|error| error.at(path))?,
    };
    is_as_configured &= document::are_as_configured(storage, path, keyring)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LogError::io(path, "reading it", source)
    };
    let listed = segment::list(storage, path)
        .map_err(|source| LogError::io(path, "listing the segments of its log", source))?;
    for (_, segment) in listed {
        let (input, bytes) = storage.read(&segment).map_err(failed(&segment))?;
        match FrameReader::open(input, bytes, keyring).map_err(failed(&segment))? {
            Opened::Bad(BadHeader::Sealed(problem)) => {
                return Err(LogError::Seal { path: segment, problem }.into());
            }
            Opened::Bad(_) => {}
            Opened::Segment(_, frames) => is_as_configured &= keyring.is_current(frames.key()),
        }
    }
    Ok(is_as_configured)
}
