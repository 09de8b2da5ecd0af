//! A log of frames that are no feeds: one file whose frames have a checksum each, and are encrypted if there is a key.
//!
//! Owns the file, its frames and what a failure leaves of it; header and frames are those of the window's log. What a
//! frame means, and when a journal is over, is decided by who keeps something in it.

use std::io;
use std::path::{Path, PathBuf};

use super::log::frame::{FrameReader, HEAD_BYTES, Next, Opened, seal};
use super::log::header::{BadHeader, Header};
use super::sealing::{Keyring, SealError, SegmentKey};
use super::storage::{Storage, StorageFile, append_all, directory_of};
use crate::error::{Error, ErrorKind};

/// A file that frames are appended to.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Box<dyn StorageFile>,
    /// Bytes up to the end of the last good frame.
    length: u64,
    /// The sequence of the next frame.
    next: u64,
    key: Option<SegmentKey>,
    /// After a failure that could not be undone nothing may follow.
    is_broken: bool,
}

/// What a file held.
#[derive(Debug)]
pub(crate) enum Found {
    Journal(Replay),
    /// What a creation that was cut off left: nothing was ever appended.
    Unfinished,
    Damaged(&'static str),
}

/// The frames of a file.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Sequences and contents, ascending.
    pub(crate) frames: Vec<(u64, Vec<u8>)>,
    /// Bytes that are no frame, before good ones.
    pub(crate) bytes_skipped: u64,
    /// Bytes after the last good frame.
    pub(crate) bytes_dropped: u64,
    /// Whether something was a whole frame once and is none any more.
    pub(crate) is_damaged: bool,
    /// Whether it is encrypted as a new one would be.
    pub(crate) is_current: bool,
    length: u64,
    key: Option<SegmentKey>,
}

#[derive(Debug, thiserror::Error)]
enum JournalError {
    #[error("log `{path}`: {action} failed")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("log `{path}`: {problem}")]
    Seal { path: PathBuf, problem: SealError },
    #[error("log `{path}`: has format version {version}, which is newer than this program")]
    Version { path: PathBuf, version: u32 },
    #[error("log `{path}`: has {bytes} bytes, allowed are at most {}", Journal::BYTES_MAX)]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("log `{path}` is not written to after a failure")]
    Broken { path: PathBuf },
}

impl Journal {
    /// Most bytes of a file that is read: its frames are held together.
    pub(crate) const BYTES_MAX: u64 = 256 << 20;

    /// Creates a file, durable when this returns; one of this name is what a failed attempt left.
    pub(crate) fn create(
        storage: &dyn Storage,
        path: &Path,
        (name, first_sequence): (&str, u64),
        keyring: &Keyring,
    ) -> Result<Self, Error> {
        let failed = |action| move |source| JournalError::Io { path: path.to_owned(), action, source };
        let (header, key) = Header::named(name, first_sequence).encode(keyring)?;
        let file = match storage.create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                storage.remove(path).map_err(failed("removing a left-over of it"))?;
                storage.create(path)
            }
            created => created,
        };
        let file = file.map_err(failed("creating it"))?;
        append_all(&*file, &header).and_then(|()| file.sync()).map_err(failed("writing it"))?;
        storage.sync_directory(directory_of(path)).map_err(failed("syncing its directory"))?;
        let length = header.len() as u64;
        Ok(Self { path: path.to_owned(), file, length, next: first_sequence, key, is_broken: false })
    }

    /// Reads a file that was created with this name and sequence.
    pub(crate) fn read(
        storage: &dyn Storage,
        path: &Path,
        (name, first_sequence): (&str, u64),
        keyring: &Keyring,
    ) -> Result<Found, Error> {
        let failed = |source| JournalError::Io { path: path.to_owned(), action: "reading it", source };
        let (input, bytes) = storage.read(path).map_err(failed)?;
        if bytes > Self::BYTES_MAX {
            return Err(JournalError::TooLarge { path: path.to_owned(), bytes }.into());
        }
        let expected = Header::named(name, first_sequence);
        let reader = match FrameReader::open(input, bytes, keyring).map_err(failed)? {
            Opened::Segment(header, reader) if header == expected => Some(reader),
            Opened::Segment(..) => None,
            Opened::Bad(BadHeader::Version(version)) => {
                return Err(JournalError::Version { path: path.to_owned(), version }.into());
            }
            Opened::Bad(BadHeader::Sealed(problem)) => {
                return Err(JournalError::Seal { path: path.to_owned(), problem }.into());
            }
            Opened::Bad(BadHeader::Damaged(_)) if bytes <= expected.encode(keyring)?.0.len() as u64 => {
                return Ok(Found::Unfinished);
            }
            Opened::Bad(BadHeader::Damaged(_)) => {
                let again = storage.read(path).map_err(failed)?;
                FrameReader::open_as(&expected, keyring, again).map_err(failed)?
            }
        };
        let Some(reader) = reader else {
            return Ok(Found::Damaged("its header is not that of a history log"));
        };
        Ok(Found::Journal(replay(reader, bytes, keyring).map_err(failed)?))
    }

    /// Goes on after the last good frame of a file that was read.
    pub(crate) fn resume(
        storage: &dyn Storage,
        path: &Path,
        first_sequence: u64,
        replay: Replay,
    ) -> Result<Self, Error> {
        let failed = |action| move |source| JournalError::Io { path: path.to_owned(), action, source };
        let file = storage.open(path).map_err(failed("opening it"))?;
        file.truncate(replay.length).map_err(failed("cutting it after the last good frame"))?;
        // What was read may not be durable yet.
        file.sync().map_err(failed("syncing it"))?;
        storage.sync_directory(directory_of(path)).map_err(failed("syncing its directory"))?;
        let next = replay.frames.last().map_or(first_sequence, |(sequence, _)| sequence + 1);
        let Replay { length, key, .. } = replay;
        Ok(Self { path: path.to_owned(), file, length, next, key, is_broken: false })
    }

    /// Appends frames, durable when this returns: all of them or, as far as possible, none.
    pub(crate) fn append(&mut self, contents: &[Vec<u8>]) -> Result<(), Error> {
        if self.is_broken {
            return Err(JournalError::Broken { path: self.path.clone() }.into());
        }
        let mut bytes = Vec::new();
        for (sequence, content) in (self.next..).zip(contents) {
            let mut frame = Vec::with_capacity(HEAD_BYTES + content.len());
            frame.resize(HEAD_BYTES, 0);
            frame.extend_from_slice(content);
            let sealed = seal(&mut frame, sequence, self.key.as_ref());
            sealed.map_err(|problem| JournalError::Seal { path: self.path.clone(), problem })?;
            bytes.extend_from_slice(&frame);
        }
        if let Err(source) = append_all(&*self.file, &bytes) {
            self.is_broken = self.file.truncate(self.length).is_err();
            return Err(self.failed("writing it", source));
        }
        // After a failed sync nothing is known of the file, whatever a later one says.
        if let Err(source) = self.file.sync() {
            self.is_broken = true;
            return Err(self.failed("syncing it", source));
        }
        self.length += bytes.len() as u64;
        self.next += contents.len() as u64;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    fn failed(&self, action: &'static str, source: io::Error) -> Error {
        JournalError::Io { path: self.path.clone(), action, source }.into()
    }
}

fn replay(mut reader: FrameReader, file_bytes: u64, keyring: &Keyring) -> io::Result<Replay> {
    let is_current = keyring.is_current(reader.key());
    let (mut frames, mut bytes_skipped, mut is_damaged) = (Vec::new(), 0, false);
    // What is behind the last good frame was searched, so that the reader's place is no more than the end of the file.
    let length = loop {
        let at = reader.at();
        match reader.next()? {
            Next::Frame { sequence, batch, skipped, .. } => {
                bytes_skipped += skipped.map_or(0, |skipped| skipped.bytes);
                frames.push((sequence, batch.to_vec()));
            }
            Next::End => break at,
            Next::Bad { is_torn, .. } => {
                is_damaged = !is_torn;
                break at;
            }
        }
    };
    is_damaged |= bytes_skipped > 0;
    let bytes_dropped = file_bytes.saturating_sub(length);
    let key = reader.take_key();
    Ok(Replay { frames, bytes_skipped, bytes_dropped, is_damaged, is_current, length, key })
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        let kind = match &error {
            JournalError::Io { .. } => ErrorKind::Io,
            JournalError::Seal { problem, .. } => problem.kind(),
            JournalError::Version { .. } => ErrorKind::InvalidInput,
            JournalError::TooLarge { .. } => ErrorKind::LimitExceeded,
            JournalError::Broken { .. } => ErrorKind::Unavailable,
        };
        Self::new(kind, error)
    }
}
