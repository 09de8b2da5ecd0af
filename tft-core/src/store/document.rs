//! Documents: what is kept beside the window, each in a file of its own that is replaced as a whole.
//!
//! Owns the files; what a document says, and when it is saved, is its writer's business. A file is written as a segment
//! of the log, with the document's name where a segment has its metrics, so that checksums and encryption are those of
//! the log. The content fills frames; a frame that is full is never the last, so that none can be missing behind it.

use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::durable::Store;
use super::error::StoreError;
use super::file;
use super::log::FRAME_BYTES_MAX;
use super::log::error::LogError;
use super::log::frame::{self, FrameReader, HEAD_BYTES, Next, Opened};
use super::log::header::{BadHeader, Header};
use super::sealing::Keyring;
use super::storage::{Storage, beside, directory_of, name_of};
use crate::error::{Error, ErrorKind};
use crate::time::Timestamp;

#[derive(Debug, thiserror::Error)]
#[error("document name `{name}` must be 1 to {} characters of [a-z]", Store::DOCUMENT_NAME_LENGTH_MAX)]
struct NameError {
    name: String,
}

impl Store {
    /// Most characters of a document's name.
    pub const DOCUMENT_NAME_LENGTH_MAX: usize = 32;

    /// Most bytes of a document: 1 GiB.
    pub const DOCUMENT_BYTES_MAX: usize = 1 << 30;

    /// Keeps a document beside the checkpoint in place of the one of this name before; when this returns, it survives a
    /// loss of power. A store in memory keeps none.
    ///
    /// [`remove_server`](Self::remove_server) changes no document: who writes one that names servers saves it again.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the name is not 1 to [`DOCUMENT_NAME_LENGTH_MAX`](Self::DOCUMENT_NAME_LENGTH_MAX)
    /// characters of `[a-z]`; [`LimitExceeded`](ErrorKind::LimitExceeded) if it has more than
    /// [`DOCUMENT_BYTES_MAX`](Self::DOCUMENT_BYTES_MAX); [`Io`](ErrorKind::Io) if it cannot be written: the one before
    /// is kept then.
    pub fn save_document(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        check_name(name)?;
        let Some(place) = &self.place else { return Ok(()) };
        let _one_at_a_time = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path_of(&place.path, name);
        save(&*place.storage, &path, (name, content), &place.keyring).map_err(|error| error.at(&path))
    }

    /// Returns the document of a name; none if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is damaged: it is moved aside, and there is none the next time;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a name that cannot be; [`Io`](ErrorKind::Io) if it cannot be read.
    pub fn load_document(&self, name: &str, now: Timestamp) -> Result<Option<Vec<u8>>, Error> {
        check_name(name)?;
        let Some(place) = &self.place else { return Ok(None) };
        let _one_at_a_time = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path_of(&place.path, name);
        match load(&*place.storage, &path, name, &place.keyring) {
            Ok((content, _)) => Ok(Some(content)),
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let error = error.at(&path);
                if error.is_corrupt() {
                    file::move_aside(&*place.storage, &path, now).map_err(|error| error.at(&path))?;
                }
                Err(error)
            }
        }
    }

    /// Moves a document aside whose content cannot be used, so that nothing is written over it; returns where to, or
    /// none if there is no such document.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that cannot be; [`Io`](ErrorKind::Io) if it cannot be moved.
    pub fn set_document_aside(&self, name: &str, now: Timestamp) -> Result<Option<PathBuf>, Error> {
        check_name(name)?;
        let Some(place) = &self.place else { return Ok(None) };
        let _one_at_a_time = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path_of(&place.path, name);
        let listed = list(&*place.storage, &place.path).map_err(|error| error.at(&path))?;
        if !listed.iter().any(|(other, _)| other == name) {
            return Ok(None);
        }
        file::move_aside(&*place.storage, &path, now).map(Some).map_err(|error| error.at(&path))
    }
}

/// Returns whether every document of a store is encrypted with its present key, or plain if it has none.
///
/// # Errors
/// [`ErrorKind::Encrypted`] if one cannot be opened with the keys given; [`Io`](ErrorKind::Io) if one cannot be read.
pub(super) fn are_as_configured(
    storage: &dyn Storage,
    checkpoint: &Path,
    keyring: &Keyring,
) -> Result<bool, Error> {
    let mut are_as_configured = true;
    for (name, path) in list(storage, checkpoint).map_err(|error| error.at(checkpoint))? {
        are_as_configured &= match load(storage, &path, &name, keyring) {
            Ok((_, is_current)) => is_current,
            Err(error) => {
                let error = error.at(&path);
                // What becomes of a damaged one is decided where it is read.
                if !error.is_corrupt() {
                    return Err(error);
                }
                true
            }
        };
    }
    Ok(are_as_configured)
}

/// Writes every document that can be read anew, with the present key.
pub(super) fn rewrite(storage: &dyn Storage, checkpoint: &Path, keyring: &Keyring) -> Result<(), Error> {
    for (name, path) in list(storage, checkpoint).map_err(|error| error.at(checkpoint))? {
        if let Ok((content, false)) = load(storage, &path, &name, keyring) {
            save(storage, &path, (&name, &content), keyring).map_err(|error| error.at(&path))?;
        }
    }
    Ok(())
}

/// Takes the part of a file's name off that makes it a document of a checkpoint; none if it is not one.
pub(super) fn strip_infix(behind_checkpoint: &str) -> Option<(&str, &str)> {
    let rest = behind_checkpoint.strip_prefix(INFIX)?;
    let end = rest.find(|character: char| !character.is_ascii_lowercase()).unwrap_or(rest.len());
    (1..=Store::DOCUMENT_NAME_LENGTH_MAX).contains(&end).then(|| rest.split_at(end))
}

fn save(
    storage: &dyn Storage,
    path: &Path,
    (name, content): (&str, &[u8]),
    keyring: &Keyring,
) -> Result<(), StoreError> {
    let (count, max) = (content.len() as u64, Store::DOCUMENT_BYTES_MAX as u64);
    if count > max {
        return Err(StoreError::TooMany { what: "bytes", count, max });
    }
    let encode = |error| match error {
        LogError::Unsealable(problem) => StoreError::Seal(problem),
        error => StoreError::Io { action: "encoding it", source: io::Error::other(error) },
    };
    let (header, key) = Header::named(name, FIRST_SEQUENCE).encode(keyring).map_err(encode)?;
    let written = |source| StoreError::Io { action: "writing it", source };
    file::replace(storage, path, |file| {
        file.write_all(&header).map_err(written)?;
        for (sequence, part) in (FIRST_SEQUENCE..).zip(parts(content)) {
            let mut frame = [&[0; HEAD_BYTES], part].concat();
            frame::seal(&mut frame, sequence, key.as_ref())?;
            file.write_all(&frame).map_err(written)?;
        }
        Ok(())
    })
}

/// Cuts a content into those of frames, of which only the last is not full.
fn parts(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_last_full = content.len().is_multiple_of(FRAME_BYTES_MAX);
    content.chunks(FRAME_BYTES_MAX).chain(is_last_full.then_some(&[][..]))
}

/// Reads a document, and whether it is encrypted as it would be written now.
fn load(
    storage: &dyn Storage,
    path: &Path,
    name: &str,
    keyring: &Keyring,
) -> Result<(Vec<u8>, bool), StoreError> {
    let bytes = file::read(storage, path, FILE_BYTES_MAX)?;
    let length = bytes.len() as u64;
    let damaged = |reason| StoreError::Damaged { at: 0, reason };
    let failed = |source| StoreError::Io { action: "reading it", source };
    let (header, mut frames) =
        match FrameReader::open(Box::new(Cursor::new(bytes)), length, keyring).map_err(failed)? {
            Opened::Segment(header, frames) => (header, frames),
            Opened::Bad(BadHeader::Damaged(reason)) => return Err(damaged(reason)),
            Opened::Bad(BadHeader::Version(version)) => {
                return Err(StoreError::Version { version: version.to_string() });
            }
            Opened::Bad(BadHeader::Sealed(problem)) => return Err(problem.into()),
        };
    if header != Header::named(name, FIRST_SEQUENCE) {
        return Err(damaged("it is another document than its name says"));
    }
    let is_current = keyring.is_current(frames.key());
    let mut content = Vec::new();
    for expected in FIRST_SEQUENCE.. {
        let part = match frames.next().map_err(failed)? {
            Next::Frame { batch, sequence, skipped: None, .. } if sequence == expected => batch,
            Next::Frame { .. } | Next::Bad { .. } | Next::End => {
                return Err(damaged("it has no whole content"));
            }
        };
        content.extend_from_slice(part);
        if part.len() < FRAME_BYTES_MAX {
            break;
        }
    }
    match frames.next().map_err(failed)? {
        Next::End => Ok((content, is_current)),
        Next::Frame { .. } | Next::Bad { .. } => Err(damaged("there is more behind its content")),
    }
}

/// Returns the documents of a checkpoint by name.
fn list(storage: &dyn Storage, checkpoint: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let names = storage.list(directory_of(checkpoint));
    let names = names.map_err(|source| StoreError::Io { action: "listing files beside it", source })?;
    let of = name_of(checkpoint);
    let document = |name: &String| {
        let (document, rest) = strip_infix(name.strip_prefix(&*of)?)?;
        rest.is_empty().then(|| (document.to_owned(), checkpoint.with_file_name(name)))
    };
    Ok(names.iter().filter_map(document).collect())
}

fn path_of(checkpoint: &Path, name: &str) -> PathBuf {
    beside(checkpoint, |checkpoint| format!("{checkpoint}{INFIX}{name}"))
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_allowed = (1..=Store::DOCUMENT_NAME_LENGTH_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase());
    let name = || crate::time::abbreviate(name);
    if is_allowed { Ok(()) } else { Err(Error::new(ErrorKind::InvalidInput, NameError { name: name() })) }
}

/// Stands between the name of the checkpoint and that of the document.
const INFIX: &str = ".doc-";
/// The sequence of the first frame.
const FIRST_SEQUENCE: u64 = 1;
/// Most bytes of a document's file.
const FILE_BYTES_MAX: u64 = Store::DOCUMENT_BYTES_MAX as u64 + (1 << 20);
