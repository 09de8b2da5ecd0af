//! The replay of a log into the window that its checkpoint made.
//!
//! Sequences decide what belongs together, not the order of files or their ends: a segment counts up to where
//! the next one begins, frames that the checkpoint covers are skipped, and what is missing between two frames
//! is told. Bytes after the last frame that a segment owes are what a refused or interrupted feed left. Damage
//! before a good frame costs the frames that it lies in and no others; its segment is kept until a checkpoint
//! holds what was read, and is moved aside then.

use std::io;
use std::path::{Path, PathBuf};

use super::batch::{self, Batch};
use super::error::LogError;
use super::frame::{FrameReader, Next, Opened, Skipped};
use super::header::{BadHeader, Header};
use super::segment;
use crate::error::Error;
use crate::store::error::StoreError;
use crate::store::file;
use crate::store::report::{LogDamage, RecoveryReport, SetAside};
use crate::store::sealing::{Keyring, SegmentKey};
use crate::store::storage::Storage;
use crate::time::Timestamp;
use crate::window::RollingWindow;

/// What is known of the checkpoint before the log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Covered {
    /// It holds the log up to this sequence; zero if there is none.
    UpTo(u64),
    /// It was lost, or written by another program: the log is taken from its first frame.
    Unknown,
}

/// What the log leaves to go on with.
#[derive(Debug)]
pub(in crate::store) struct Recovered {
    /// The newest sequence that was ever used.
    pub(in crate::store) newest: u64,
    /// The last segment, if frames can be appended to it.
    pub(in crate::store) last: Option<Tail>,
    /// Segments that the next checkpoint makes superfluous, with their bytes.
    pub(in crate::store) older: Vec<(PathBuf, u64)>,
    /// Damaged segments; the next checkpoint moves them aside.
    pub(in crate::store) damaged: Vec<PathBuf>,
    /// Whether a segment was read that is not encrypted as it would be now.
    pub(in crate::store) has_other_key: bool,
}

/// A segment that frames can be appended to.
#[derive(Debug)]
pub(in crate::store) struct Tail {
    pub(in crate::store) path: PathBuf,
    pub(in crate::store) header: Header,
    /// Bytes up to the end of the last good frame.
    pub(in crate::store) length: u64,
    /// The sequence that the next frame must have.
    pub(in crate::store) next: u64,
    /// What its frames are encrypted with.
    pub(in crate::store) key: Option<SegmentKey>,
}

struct Replay<'a> {
    storage: &'a dyn Storage,
    keyring: &'a Keyring,
    window: &'a mut RollingWindow,
    report: &'a mut RecoveryReport,
    now: Timestamp,
    /// The sequence that comes next; none until the first frame if the checkpoint does not say.
    expected: Option<u64>,
    recovered: Recovered,
}

/// One segment, and the sequence at which the next one takes over.
struct Span {
    path: PathBuf,
    first: u64,
    end: Option<u64>,
}

/// Where the good frames of a segment end, and what stands there if it is not the end of the file.
struct End {
    at: u64,
    next: u64,
    bad: Option<&'static str>,
    /// What is damaged is not only what stands at the end.
    is_damaged: bool,
}

/// Replays the segments of a checkpoint into its window.
pub(in crate::store) fn recover(
    (storage, keyring): (&dyn Storage, &Keyring),
    checkpoint: &Path,
    covered: Covered,
    (window, report): (&mut RollingWindow, &mut RecoveryReport),
    now: Timestamp,
) -> Result<Recovered, Error> {
    let listed = segment::list(storage, checkpoint)
        .map_err(|source| LogError::io(checkpoint, "listing its segments", source))?;
    let ends: Vec<_> = listed.iter().skip(1).map(|&(first, _)| Some(first)).chain([None]).collect();
    let (newest, expected) = match covered {
        Covered::UpTo(sequence) => (sequence, Some(sequence.saturating_add(1))),
        Covered::Unknown => (0, None),
    };
    let recovered = Recovered { newest, ..Recovered::nothing() };
    let mut replay = Replay { storage, keyring, window, report, now, expected, recovered };
    replay.report.segments = listed.len();
    for ((first, path), end) in listed.into_iter().zip(ends) {
        replay.take_segment(Span { path, first, end })?;
    }
    Ok(replay.recovered)
}

impl Recovered {
    /// What the log of a new store leaves.
    pub(in crate::store) fn nothing() -> Self {
        Self { newest: 0, last: None, older: Vec::new(), damaged: Vec::new(), has_other_key: false }
    }
}

impl Tail {
    /// Returns whether the frame that would follow the header may follow here instead.
    pub(in crate::store) fn can_take(&self, header: &Header, keyring: &Keyring) -> bool {
        let is_current = keyring.is_current(self.key.as_ref());
        is_current && self.header.has_schema_of(header) && self.next == header.first_sequence
    }
}

impl Replay<'_> {
    fn take_segment(&mut self, span: Span) -> Result<(), Error> {
        let failed = |source| LogError::io(&span.path, "reading it", source);
        let (input, bytes) = self.storage.read(&span.path).map_err(failed)?;
        let is_covered = span.end.zip(self.expected).is_some_and(|(end, expected)| end <= expected);
        if is_covered {
            self.recovered.older.push((span.path, bytes));
            return Ok(());
        }
        match FrameReader::open(input, bytes, self.keyring).map_err(failed)? {
            Opened::Bad(BadHeader::Sealed(problem)) => {
                Err(LogError::Seal { path: span.path, problem }.into())
            }
            Opened::Bad(BadHeader::Version(version)) => {
                Err(LogError::Version { path: span.path, version }.into())
            }
            Opened::Bad(BadHeader::Damaged(reason)) => match self.open_despite_header(&span)? {
                Some((header, frames)) => {
                    self.report.headers_mended += 1;
                    self.take_readable(span, header, (frames, true), bytes)
                }
                None => self.pass_unreadable(&span, bytes, reason),
            },
            Opened::Segment(header, _) if header.first_sequence != span.first => {
                self.pass_unreadable(&span, bytes, "its name and its header disagree")
            }
            Opened::Segment(header, frames) => self.take_readable(span, header, (frames, false), bytes),
        }
    }

    /// Reads a segment whose header is damaged, if little of it differs from the one that today's schema makes
    /// and there is a frame behind it.
    fn open_despite_header(&self, span: &Span) -> Result<Option<(Header, FrameReader)>, Error> {
        let failed = |source| LogError::io(&span.path, "reading it", source);
        let header = Header::new(self.window.schema(), span.first);
        let open = || FrameReader::open_as(&header, self.keyring, self.storage.read(&span.path)?);
        let Some(mut frames) = open().map_err(failed)? else { return Ok(None) };
        let has_frame = matches!(frames.next().map_err(failed)?, Next::Frame { .. });
        let frames = if has_frame { open().map_err(failed)? } else { None };
        Ok(frames.map(|frames| (header, frames)))
    }

    fn take_readable(
        &mut self,
        span: Span,
        header: Header,
        (mut frames, is_damaged): (FrameReader, bool),
        bytes: u64,
    ) -> Result<(), Error> {
        self.recovered.has_other_key |= !self.keyring.is_current(frames.key());
        self.expect(&span, None, "there is a gap before it", span.first);
        let mut end = self.take_frames(&span, &header, (&mut frames, bytes))?;
        end.is_damaged |= is_damaged;
        self.finish(span, (header, frames.take_key()), &end, bytes);
        Ok(())
    }

    /// Replays the good frames, up to the last one or to where the next segment takes over.
    fn take_frames(
        &mut self,
        span: &Span,
        header: &Header,
        (frames, bytes): (&mut FrameReader, u64),
    ) -> Result<End, Error> {
        let mapping = header.mapping(self.window.schema());
        for name in &mapping.unknown_metrics {
            if !self.report.unknown_metrics.contains(name) {
                self.report.unknown_metrics.push(name.clone());
            }
        }
        let mut end = End { at: frames.at(), next: header.first_sequence, bad: None, is_damaged: false };
        loop {
            let next = frames.next().map_err(|source| LogError::io(&span.path, "reading it", source))?;
            let (at, sequence, content, skipped) = match next {
                Next::Frame { sequence, .. } if span.end.is_some_and(|end| sequence >= end) => {
                    return Ok(End { bad: Some("a refused feed"), ..end });
                }
                Next::Frame { at, sequence, batch, skipped } => (at, sequence, batch, skipped),
                Next::End => return Ok(end),
                Next::Bad { at, reason, is_torn } => {
                    if !is_torn {
                        end.is_damaged = true;
                        let damaged = (at, bytes.saturating_sub(at));
                        self.expect(span, Some(damaged), reason, end.next.saturating_add(1));
                    }
                    return Ok(End { bad: Some(reason), ..end });
                }
            };
            end.is_damaged |= self.pass_damage(span, (at, sequence), skipped);
            let length = content.len() as u64;
            if self.expected.is_some_and(|expected| sequence < expected) {
                self.report.frames_skipped += 1;
            } else if let Some(batch) = batch::decode(content, &mapping, self.window.schema()) {
                self.take_batch(sequence, &batch);
            } else {
                let reason = "a feed cannot be read";
                end.is_damaged = true;
                self.expect(span, Some((at, length)), reason, sequence.saturating_add(1));
            }
            end.at = frames.at();
            end.next = sequence.saturating_add(1);
        }
    }

    /// Notes what is missing before a frame. Returns whether anything is that the checkpoint does not hold.
    fn pass_damage(&mut self, span: &Span, (at, sequence): (u64, u64), skipped: Option<Skipped>) -> bool {
        let is_covered = self.expected.is_some_and(|expected| sequence < expected);
        if let Some(Skipped { at, bytes, reason }) = skipped {
            self.report.bytes_skipped += bytes;
            self.expect(span, Some((at, bytes)), reason, sequence);
            return !is_covered;
        }
        !is_covered && !self.expect(span, Some((at, 0)), "there is a gap before a frame", sequence)
    }

    fn take_batch(&mut self, sequence: u64, batch: &Batch) {
        self.window.replay(&batch.records, batch.taken_at);
        self.report.frames_replayed += 1;
        self.report.records_replayed += batch.records.len() as u64;
        self.report.values_dropped += batch.values_dropped;
        self.advance_to(sequence.saturating_add(1));
    }

    /// Files a segment away that was read to where its good frames end.
    fn finish(&mut self, span: Span, (header, key): (Header, Option<SegmentKey>), end: &End, bytes: u64) {
        let left = bytes.saturating_sub(end.at);
        let Some(next_first) = span.end else {
            self.report.bytes_dropped += left;
            if end.is_damaged {
                self.recovered.damaged.push(span.path);
            } else {
                self.recovered.last =
                    Some(Tail { path: span.path, header, length: end.at, next: end.next, key });
            }
            return;
        };
        let reason = end.bad.unwrap_or("it ends too soon");
        let is_whole = self.expect(&span, end.bad.map(|_| (end.at, left)), reason, next_first);
        if is_whole && !end.is_damaged {
            self.recovered.older.push((span.path, bytes));
        } else {
            self.recovered.damaged.push(span.path);
        }
    }

    /// Passes a segment without a readable header: the rest of an interrupted start, or damage.
    fn pass_unreadable(&mut self, span: &Span, bytes: u64, reason: &'static str) -> Result<(), Error> {
        let is_whole = match span.end {
            Some(end) => self.expect(span, Some((0, bytes)), reason, end),
            None => !self.has_content(&span.path)?,
        };
        if is_whole {
            self.report.bytes_dropped += bytes;
            let removed = self.storage.remove(&span.path);
            removed.map_err(|source| LogError::io(&span.path, "removing it", source))?;
            return Ok(());
        }
        if span.end.is_none() {
            let first_missing = self.expected.unwrap_or(span.first);
            self.note(span, Some((0, bytes)), reason, (first_missing, first_missing));
        }
        let path = file::move_aside(self.storage, &span.path, self.now)
            .map_err(|error: StoreError| error.at(&span.path))?;
        self.report.set_aside.push(SetAside { path, reason: reason.to_owned() });
        Ok(())
    }

    /// Returns whether a file without a readable header has more than zeros and the rest of a header: then
    /// there may have been feeds in it.
    fn has_content(&self, path: &Path) -> Result<bool, Error> {
        let failed = |source: io::Error| LogError::io(path, "reading it", source);
        let (mut input, _) = self.storage.read(path).map_err(failed)?;
        let (header, _) = Header::new(self.window.schema(), 1).encode(self.keyring)?;
        let mut start = vec![0; header.len()];
        let mut filled = 0;
        while filled < start.len() {
            match input.read(&mut start[filled..]).map_err(failed)? {
                0 => return Ok(false),
                count => filled += count,
            }
        }
        let mut byte = [0];
        Ok(input.read(&mut byte).map_err(failed)? > 0 && start.iter().any(|&byte| byte != 0))
    }

    /// Notes that the next sequence is `next`. Returns false and notes the damage if others should come
    /// before it. `at` is the place and the length in bytes of what is damaged.
    fn expect(&mut self, span: &Span, at: Option<(u64, u64)>, reason: &'static str, next: u64) -> bool {
        let missing = self.expected.filter(|&expected| expected < next);
        if let Some(first_missing) = missing {
            self.note(span, at, reason, (first_missing, next - 1));
        }
        self.advance_to(next);
        missing.is_none()
    }

    fn note(
        &mut self,
        span: &Span,
        at: Option<(u64, u64)>,
        reason: &'static str,
        (first_missing, last_missing): (u64, u64),
    ) {
        self.report.feeds_lost += last_missing - first_missing + 1;
        if self.report.damage.len() < RecoveryReport::DAMAGE_MAX {
            let (path, bytes) = (span.path.clone(), at.map_or(0, |(_, bytes)| bytes));
            let at = at.map(|(at, _)| at);
            self.report.damage.push(LogDamage { path, at, bytes, reason, first_missing, last_missing });
        }
    }

    fn advance_to(&mut self, next: u64) {
        let next = self.expected.map_or(next, |expected| expected.max(next));
        self.expected = Some(next);
        self.recovered.newest = self.recovered.newest.max(next.saturating_sub(1));
    }
}
