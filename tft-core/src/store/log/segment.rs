//! The segment that frames are appended to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::LogError;
use super::header::Header;
use super::recover::Tail;
use crate::store::sealing::{Keyring, SegmentKey};
use crate::store::storage::{Storage, StorageFile, append_all, beside, directory_of, name_of};

/// The segment that frames are appended to.
#[derive(Debug)]
pub(in crate::store) struct Segment {
    path: PathBuf,
    first_sequence: u64,
    file: Arc<dyn StorageFile>,
    /// Bytes up to the end of the last good frame.
    length: u64,
    /// What frames are encrypted with.
    key: Option<SegmentKey>,
}

/// Why a frame was not appended, or a segment not begun.
#[derive(Debug)]
pub(in crate::store) struct Failure {
    pub(in crate::store) error: LogError,
    /// Whether everything is as it was before, also after a crash, so that frames may follow.
    pub(in crate::store) is_undone: bool,
}

impl Segment {
    /// Creates a segment whose first frame will be `header.first_sequence`.
    ///
    /// A file of this name is what a failed attempt left: a frame that is kept has a smaller sequence.
    pub(in crate::store) fn create(
        storage: &dyn Storage,
        checkpoint: &Path,
        header: &Header,
        keyring: &Keyring,
    ) -> Result<Self, Failure> {
        let path = path_of(checkpoint, header.first_sequence);
        let (bytes, key) = header.encode(keyring).map_err(|error| Failure { error, is_undone: true })?;
        let failure =
            |action, source, is_undone| Failure { error: LogError::io(&path, action, source), is_undone };
        let file = match storage.create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let removed = storage.remove(&path);
                removed.map_err(|source| failure("removing a left-over of it", source, false))?;
                storage.create(&path)
            }
            created => created,
        };
        let file = file.map_err(|source| failure("creating it", source, true))?;
        // Once there is a frame, a header that cannot be read is damage and not the rest of a start.
        if let Err(source) = append_all(&*file, &bytes).and_then(|()| file.sync()) {
            // The segment before goes on, which it could not if this one came back after a crash.
            let removed = storage.remove(&path);
            let removed = removed.and_then(|()| storage.sync_directory(directory_of(&path)));
            return Err(failure("writing it", source, removed.is_ok()));
        }
        let first_sequence = header.first_sequence;
        Ok(Self { path, first_sequence, file: file.into(), length: bytes.len() as u64, key })
    }

    /// Goes on with a segment after its last good frame.
    pub(in crate::store) fn resume(
        storage: &dyn Storage,
        Tail { path, header, length, key, .. }: Tail,
    ) -> Result<Self, LogError> {
        let lies_at = &path;
        let failed = |action| move |source| LogError::io(lies_at, action, source);
        let file = storage.open(&path).map_err(failed("opening it"))?;
        file.truncate(length).map_err(failed("cutting it after the last good frame"))?;
        Ok(Self { file: file.into(), path, first_sequence: header.first_sequence, length, key })
    }

    /// Appends a whole frame or, as far as possible, nothing of it.
    pub(in crate::store) fn append(&mut self, frame: &[u8]) -> Result<(), Failure> {
        let appended = append_all(&*self.file, frame);
        if let Err(source) = appended {
            let is_undone = self.file.truncate(self.length).is_ok();
            return Err(Failure { error: LogError::io(&self.path, "writing it", source), is_undone });
        }
        self.length += frame.len() as u64;
        Ok(())
    }

    pub(in crate::store) fn key(&self) -> Option<&SegmentKey> {
        self.key.as_ref()
    }

    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::store) fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    pub(in crate::store) fn length(&self) -> u64 {
        self.length
    }

    pub(in crate::store) fn file(&self) -> Arc<dyn StorageFile> {
        Arc::clone(&self.file)
    }
}

/// Returns where the segment that starts with a sequence lies.
fn path_of(checkpoint: &Path, first_sequence: u64) -> PathBuf {
    beside(checkpoint, |name| format!("{name}{INFIX}{first_sequence:0DIGITS$}"))
}

/// Returns the segments of a checkpoint with their first sequences, ascending.
pub(in crate::store) fn list(storage: &dyn Storage, checkpoint: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let prefix = format!("{}{INFIX}", name_of(checkpoint));
    let sequence_of = |name: &str| {
        let digits = name.strip_prefix(&prefix)?;
        let is_number = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|&sequence| is_number && (1..SEQUENCE_END).contains(&sequence))
    };
    let names = storage.list(directory_of(checkpoint))?;
    let segments =
        names.iter().filter_map(|name| Some((sequence_of(name)?, checkpoint.with_file_name(name))));
    let mut segments: Vec<_> = segments.collect();
    segments.sort_unstable();
    Ok(segments)
}

/// Stands between the name of a checkpoint and the first sequence of a segment.
pub(in crate::store) const INFIX: &str = ".log-";
/// A 64-bit number in decimal.
const DIGITS: usize = 20;
/// More frames than can ever be written; a name beyond is none of ours.
const SEQUENCE_END: u64 = 1 << 62;
