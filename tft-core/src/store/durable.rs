//! A window whose every acknowledged feed is kept.
//!
//! Owns the order of things: a feed is appended to the log before the window takes it, and acknowledged when
//! the log's promise holds; a checkpoint begins a new segment, saves a clone of the window, and then removes
//! the segments that it covers. Starts no thread and reads no clock: who calls decides when.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::config::{StoreConfig, SyncMode, rest_after};
use super::error::StoreError;
use super::log::error::LogError;
use super::log::frame::HEAD_BYTES;
use super::log::recover::{self, Covered, Recovered};
use super::log::{FRAME_BYTES_MAX, batch, segment};
use super::open_log::{Log, Place, is_removed, lock_files};
use super::report::{CheckpointReport, RecoveryReport, SetAside};
use super::sealing::{self, Keyring};
use super::storage::{FileSystem, Storage, directory_of, name_of};
use super::{FILE_BYTES_MAX, SaveReport, document, file, read, write};
use crate::error::Error;
use crate::time::Timestamp;
use crate::window::{Feed, IngestReport, Record, RollingWindow};

/// A window whose every acknowledged feed is kept, in a checkpoint and a log beside it.
///
/// A feed is taken in two steps, so that many can wait for the disk together: [`append_feed`](Self::append_feed)
/// writes it to the log and gives it to the window, and [`commit`](Self::commit) waits until the promise of
/// the configured [`SyncMode`] holds. Only then may its sender be told that it was taken.
///
/// [`checkpoint`](Self::checkpoint) is for a thread of its own: feeds go on meanwhile. Without checkpoints the
/// log grows to [`log_bytes_max`](StoreConfig::log_bytes_max), and feeds are refused from there on.
///
/// # Failures
/// A feed that cannot be appended, for want of space for instance, is refused and the window does not have
/// it; the next one may succeed. After a failed sync the operating system may have dropped what it could not
/// write. The feeds that waited are refused then, although the window has them, and every further one, until
/// a checkpoint, which holds all of them, is durable: what the window shows and what the disk holds are the
/// same again. Sending a refused feed again is harmless.
///
/// # Examples
/// ```
/// use tft_core::schema::Schema;
/// use tft_core::store::{Store, StoreConfig};
/// use tft_core::time::Timestamp;
/// use tft_core::{Record, RollingWindow, WindowConfig};
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("window.parquet");
/// let schema = Schema::server_metrics();
/// let now = Timestamp::parse("2026-01-05T12:00:00Z")?;
/// let open = || {
///     let window = RollingWindow::new(schema.clone(), WindowConfig::default())?;
///     Store::open(&path, window, StoreConfig::default(), now)
/// };
///
/// let (store, _) = open()?;
/// let record = Record::new(&schema, "ppdb001", now)?.with("cpu_user_pct", 25.3)?;
/// let (report, ticket) = store.append(&[record], now)?;
/// store.commit(ticket)?;
/// assert_eq!(report.accepted, 1);
/// drop(store); // as the end of the process would
///
/// let (store, recovery) = open()?;
/// assert_eq!(recovery.frames_replayed, 1);
/// assert_eq!(store.window().server_count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Store {
    held: Mutex<Held>,
    /// Where it is kept; nowhere if none.
    pub(super) place: Option<Place>,
    /// Held while a checkpoint is saved.
    pub(super) checkpointing: Mutex<()>,
    /// Held while a document is read or saved.
    pub(super) documents: Mutex<()>,
}

/// A place in the log; what [`Store::commit`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a feed is kept when its ticket is committed"]
pub struct Ticket(u64);

/// The window of a [`Store`], locked for reading: feeds wait while it is held.
#[derive(Debug)]
pub struct WindowGuard<'s>(MutexGuard<'s, Held>);

#[derive(Debug)]
struct Held {
    window: RollingWindow,
    log: Option<Log>,
}

/// What a checkpoint saves, and what it makes superfluous.
struct Cut {
    window: RollingWindow,
    sequence: u64,
    older: Vec<(PathBuf, u64)>,
    damaged: Vec<PathBuf>,
}

impl Store {
    /// Opens the checkpoint at `path` and the log beside it, or creates them, and fills an empty window with
    /// what they hold.
    ///
    /// A corrupt checkpoint or segment is moved aside and reported, never deleted: the store opens with what
    /// can be read, and the [`RecoveryReport`] says what could not. If a file is not encrypted as the configuration
    /// says, a checkpoint is saved at once and what it makes superfluous removed; then no such file is left.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if another process has it open;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the window is not empty, or a file is of a newer
    /// format or of no format that this crate reads; [`InvalidConfig`](crate::ErrorKind::InvalidConfig);
    /// [`Encrypted`](crate::ErrorKind::Encrypted) if no key given opens a file, before any is changed;
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) if the checkpoint is larger than the window allows;
    /// [`Io`](crate::ErrorKind::Io) if a file cannot be read or written.
    pub fn open(
        path: &Path,
        window: RollingWindow,
        config: StoreConfig,
        now: Timestamp,
    ) -> Result<(Self, RecoveryReport), Error> {
        Self::open_on(Arc::new(FileSystem), path, window, config, now)
    }

    /// Opens a store whose files lie somewhere else than in the operating system's file system.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(
        storage: Arc<dyn Storage>,
        path: &Path,
        mut window: RollingWindow,
        config: StoreConfig,
        now: Timestamp,
    ) -> Result<(Self, RecoveryReport), Error> {
        config.validate()?;
        if window.server_count() > 0 {
            return Err(LogError::WindowNotEmpty { servers: window.server_count() }.into());
        }
        let keyring = Keyring::of(&config);
        let lock = lock_files(&*storage, path)?;
        let checkpoint = read_checkpoint(&*storage, path)?;
        let is_as_configured = sealing::is_as_configured(&*storage, path, checkpoint.as_ref(), &keyring)?;
        let mut report = RecoveryReport {
            temporary_files_removed: file::sweep(&*storage, path)
                .map_err(|source| LogError::io(path, "removing temporary files beside it", source))?,
            ..RecoveryReport::default()
        };
        let files = (&*storage, &keyring);
        let covered = load_checkpoint(files, path, checkpoint, (&mut window, &mut report), now)?;
        let recovered = recover::recover(files, path, covered, (&mut window, &mut report), now)?;
        // Also a segment that could only be read as if its header were whole.
        let is_as_configured = is_as_configured && !recovered.has_other_key;
        let log = Log::go_on(files, path, &window, (covered, report.checkpoint_bytes, recovered))?;
        let place = Place::new((storage, lock), path, config, &log);
        let store = Self::of(window, log, place);
        if !is_as_configured {
            report.rewritten = store.rewrite(now, |_| true)?;
            store.rewrite_documents()?;
        }
        Ok((store, report))
    }

    /// Keeps a window at `path`, where there is no store yet: when this returns, its checkpoint is durable and its
    /// log empty.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if there is a checkpoint or a log, which are left
    /// as they are; otherwise as [`open`](Self::open).
    pub fn create(
        path: &Path,
        window: RollingWindow,
        config: StoreConfig,
        now: Timestamp,
    ) -> Result<(Self, SaveReport), Error> {
        Self::create_on(Arc::new(FileSystem), path, window, config, now)
    }

    /// Creates a store whose files lie somewhere else than in the operating system's file system.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_on(
        storage: Arc<dyn Storage>,
        path: &Path,
        window: RollingWindow,
        config: StoreConfig,
        now: Timestamp,
    ) -> Result<(Self, SaveReport), Error> {
        config.validate()?;
        let keyring = Keyring::of(&config);
        let lock = lock_files(&*storage, path)?;
        if is_kept(&*storage, path)? {
            return Err(LogError::Exists { path: path.to_owned() }.into());
        }
        let saved =
            file::replace(&*storage, path, |file| write::write(&window, (now, Some(0)), &keyring, file))
                .map_err(|error| error.at(path))?;
        let files = (&*storage, &keyring);
        let log = Log::go_on(files, path, &window, (Covered::UpTo(0), saved.bytes, Recovered::nothing()))?;
        let place = Place::new((storage, lock), path, config, &log);
        Ok((Self::of(window, log, place), saved))
    }

    /// Returns whether there is a checkpoint at `path`, or a log beside it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the directory cannot be listed.
    pub fn exists(path: &Path) -> Result<bool, Error> {
        is_kept(&FileSystem, path)
    }

    /// Holds a window that is kept nowhere: every promise is that of memory.
    pub fn in_memory(window: RollingWindow) -> Self {
        let held = Mutex::new(Held { window, log: None });
        Self { held, place: None, checkpointing: Mutex::new(()), documents: Mutex::new(()) }
    }

    /// Writes a batch to the log and gives it to the window.
    ///
    /// # Errors
    /// Those of [`RollingWindow::ingest`]; [`ErrorKind::Io`](crate::ErrorKind::Io) if the log cannot be
    /// written to; [`Unavailable`](crate::ErrorKind::Unavailable) if it is full, or a failure before this one
    /// needs a checkpoint first. The window does not have the batch then.
    pub fn append(&self, records: &[Record], now: Timestamp) -> Result<(IngestReport, Ticket), Error> {
        self.append_with(records, now, |window| window.ingest(records, now))
    }

    /// Writes a parsed feed to the log and gives it to the window.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_feed(&self, feed: Feed, now: Timestamp) -> Result<(IngestReport, Ticket), Error> {
        let mut frame = Vec::new();
        self.encode(feed.records(), now, &mut frame)?;
        self.append_frame(frame, feed.records().len(), |window| window.ingest_feed(feed, now))
    }

    /// Waits until a batch is kept as the [`SyncMode`] promises.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the log could not be made durable: the batch must not be
    /// acknowledged.
    pub fn commit(&self, ticket: Ticket) -> Result<(), Error> {
        match &self.place {
            Some(place) if place.config.sync == SyncMode::Always => Ok(place.commit.wait_for(ticket.0)?),
            _ => Ok(()),
        }
    }

    /// Makes everything that was appended so far durable; what [`SyncMode::Interval`] needs at an interval.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be made durable; a checkpoint is needed then.
    pub fn sync(&self) -> Result<(), Error> {
        self.place.as_ref().map_or(Ok(()), |place| Ok(place.commit.sync()?))
    }

    /// Saves a checkpoint, if there is anything new, and removes the part of the log that it holds.
    ///
    /// What is too old is forgotten before, as [`RollingWindow::expire`] does it: it is in no file afterwards but in
    /// those that were set aside.
    ///
    /// Feeds go on meanwhile, but for the moment that it takes to sync what is left to sync, begin a segment
    /// and clone the window. Returns none if there is nothing to save, or no place for it.
    ///
    /// # Performance
    /// O(rows) in time and bytes, and a copy of the histories that are fed meanwhile in memory.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) naming what failed; the checkpoint before and the log hold
    /// everything then.
    pub fn checkpoint(&self, now: Timestamp) -> Result<Option<CheckpointReport>, Error> {
        self.checkpoint_after(now, |_| false)
    }

    /// Returns the path of the checkpoint; none if the window is kept nowhere.
    pub fn path(&self) -> Option<&Path> {
        self.place.as_ref().map(|place| &*place.path)
    }

    /// Returns how its files are kept; none if the window is kept nowhere.
    pub fn config(&self) -> Option<&StoreConfig> {
        self.place.as_ref().map(|place| &place.config)
    }

    /// Returns the window, locked: feeds wait while it is held. For longer work, clone it.
    pub fn window(&self) -> WindowGuard<'_> {
        WindowGuard(self.lock())
    }

    /// Returns whether feeds are refused until a checkpoint is saved.
    pub fn needs_checkpoint(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.commit.is_suspended())
    }

    /// Returns whether it is time for a checkpoint: feeds are refused until there is one, or the log has grown to
    /// half of the last checkpoint, or `rested`, the time since the last call of [`checkpoint`](Self::checkpoint),
    /// exceeds both `interval` and what the checkpoint's size allows. There may be nothing to save then, or only what
    /// has become too old.
    ///
    /// The size of the log counts from [`checkpoint_log_bytes_min`](StoreConfig::checkpoint_log_bytes_min) on, and at
    /// [`replay_bytes_max`](StoreConfig::replay_bytes_max), or half of
    /// [`log_bytes_max`](StoreConfig::log_bytes_max), a checkpoint is due whatever it costs. Time counts with
    /// 100 kB of checkpoint per second.
    ///
    /// # Performance
    /// Whoever asks this writes, for each byte of log, at most two bytes of checkpoint, and 360 MB in an hour for the
    /// sake of time. Beyond a checkpoint of twice `replay_bytes_max` it is the checkpoint's size over
    /// `replay_bytes_max` for each byte: the price of a start that takes no longer.
    pub fn is_checkpoint_due(&self, rested: Duration, interval: Duration) -> bool {
        let held = self.lock();
        let (Some(place), Some(log)) = (&self.place, &held.log) else { return rested >= interval };
        place.commit.is_suspended()
            || rested >= interval.max(rest_after(log.checkpoint_bytes))
            || log.bytes() >= place.config.log_bytes_due(log.checkpoint_bytes)
    }

    /// Returns the size of the log, which is what the next start has to read again.
    ///
    /// # Units
    /// Bytes.
    pub fn log_bytes(&self) -> u64 {
        self.lock().log.as_ref().map_or(0, Log::bytes)
    }

    fn rewrite_documents(&self) -> Result<(), Error> {
        let Some(place) = &self.place else { return Ok(()) };
        document::rewrite(&*place.storage, &place.path, &place.keyring)
    }

    fn of(window: RollingWindow, log: Log, place: Place) -> Self {
        let held = Held { window, log: Some(log) };
        Self {
            held: Mutex::new(held),
            place: Some(place),
            checkpointing: Mutex::new(()),
            documents: Mutex::new(()),
        }
    }

    fn append_with(
        &self,
        records: &[Record],
        now: Timestamp,
        ingest: impl FnOnce(&mut RollingWindow) -> Result<IngestReport, Error>,
    ) -> Result<(IngestReport, Ticket), Error> {
        let mut frame = Vec::new();
        self.encode(records, now, &mut frame)?;
        self.append_frame(frame, records.len(), ingest)
    }

    /// Writes the batch of a frame; without the window's lock, so that feeds do this side by side.
    fn encode(&self, records: &[Record], now: Timestamp, frame: &mut Vec<u8>) -> Result<(), LogError> {
        if self.place.is_some() && !records.is_empty() {
            frame.resize(HEAD_BYTES, 0);
            batch::encode(records, now, frame);
            let bytes = frame.len() - HEAD_BYTES;
            if bytes > FRAME_BYTES_MAX {
                return Err(LogError::FeedTooLarge { bytes });
            }
        }
        Ok(())
    }

    /// Appends a frame, if it has any content, and gives its records to the window.
    fn append_frame(
        &self,
        mut frame: Vec<u8>,
        records: usize,
        ingest: impl FnOnce(&mut RollingWindow) -> Result<IngestReport, Error>,
    ) -> Result<(IngestReport, Ticket), Error> {
        let mut held = self.lock();
        let Held { window, log } = &mut *held;
        // The window refuses such a batch as a whole, before it takes any of it.
        let is_taken = records <= window.config().records_max;
        let mut ticket = Ticket(0);
        if let (Some(place), Some(log), true) = (&self.place, log, is_taken && !frame.is_empty()) {
            ticket = log.append(place, &mut frame)?;
        }
        Ok((ingest(window)?, ticket))
    }

    /// Changes the window and saves it. `change` returns whether to save even if no feed came since the last
    /// checkpoint.
    pub(super) fn checkpoint_after(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut RollingWindow) -> bool,
    ) -> Result<Option<CheckpointReport>, Error> {
        let _one_at_a_time = self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = &self.place else {
            let window = &mut self.lock().window;
            change(window);
            window.expire(now);
            return Ok(None);
        };
        // Most of what is to be synced is synced before feeds have to wait. A failure suspends the log, which
        // is what this checkpoint mends.
        let _ = place.commit.sync();
        let change = |window: &mut RollingWindow| change(window) | (window.expire(now).steps > 0);
        let Some(cut) = self.cut(place, change)? else { return Ok(None) };
        let saved = file::replace(&*place.storage, &place.path, |file| {
            write::write(&cut.window, (now, Some(cut.sequence)), &place.keyring, file)
        })
        .map_err(|error| error.at(&place.path))?;
        let (segments_removed, segments_left) = self.covered(place, &cut, saved.bytes, now)?;
        Ok(Some(CheckpointReport {
            rows: saved.rows,
            bytes: saved.bytes,
            steps: cut.window.step_count(),
            log_sequence: cut.sequence,
            segments_removed,
            segments_left,
        }))
    }

    /// Clones the window at the border of two segments.
    fn cut(
        &self,
        place: &Place,
        change: impl FnOnce(&mut RollingWindow) -> bool,
    ) -> Result<Option<Cut>, Error> {
        let mut held = self.lock();
        let Held { window, log } = &mut *held;
        let must_save = change(window);
        let Some(log) = log else { return Ok(None) };
        if !log.has_news() && !must_save && !place.commit.is_suspended() {
            return Ok(None);
        }
        // A segment must be durable before the next one holds a feed, or a loss of power could take a feed
        // from the midst of the log. If it cannot be, the log waits for this checkpoint.
        if place.commit.sync().is_ok() && log.segment.first_sequence() <= log.newest {
            log.begin_segment(place, window)?;
        }
        let (older, damaged) = (log.older.clone(), log.damaged.clone());
        Ok(Some(Cut { window: window.clone(), sequence: log.newest, older, damaged }))
    }

    /// Removes what a durable checkpoint made superfluous, and takes feeds again if they were refused.
    /// Returns how many segments were removed and how many are left.
    fn covered(
        &self,
        place: &Place,
        cut: &Cut,
        checkpoint_bytes: u64,
        now: Timestamp,
    ) -> Result<(usize, usize), Error> {
        let removed: Vec<_> =
            cut.older.iter().filter(|(path, _)| is_removed(&*place.storage, path)).collect();
        let is_moved = |path: &&PathBuf| file::move_aside(&*place.storage, path, now).is_ok();
        let moved: Vec<_> = cut.damaged.iter().filter(is_moved).collect();
        let mut held = self.lock();
        let Held { window, log: Some(log) } = &mut *held else { return Ok((0, 0)) };
        log.covered = cut.sequence;
        log.checkpoint_bytes = checkpoint_bytes;
        log.older.retain(|segment| !removed.contains(&segment));
        log.damaged.retain(|path| !moved.contains(&path));
        place.commit.covered(cut.sequence);
        if place.commit.is_suspended() {
            // Feeds were refused since the cut: the checkpoint holds all that were ever appended.
            log.begin_segment(place, window)?;
            let older = std::mem::take(&mut log.older);
            let removed = |(path, _): &(PathBuf, u64)| is_removed(&*place.storage, path);
            log.older = older.into_iter().filter(|segment| !removed(segment)).collect();
        }
        Ok((removed.len(), log.older.len() + log.damaged.len()))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // A panic while it was locked leaves the window valid, if perhaps short of one batch.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The place of a frame.
    pub(super) fn of(sequence: u64) -> Self {
        Self(sequence)
    }
}

impl Deref for WindowGuard<'_> {
    type Target = RollingWindow;

    fn deref(&self) -> &RollingWindow {
        &self.0.window
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("place", &self.place.as_ref().map(|place| &place.path))
            .finish_non_exhaustive()
    }
}

/// Returns whether there is a checkpoint at `path`, or a log beside it.
fn is_kept(storage: &dyn Storage, path: &Path) -> Result<bool, Error> {
    let failed = |source| LogError::io(path, "listing files beside it", source);
    let has_checkpoint =
        storage.list(directory_of(path)).map_err(failed)?.iter().any(|name| *name == name_of(path));
    Ok(has_checkpoint || !segment::list(storage, path).map_err(failed)?.is_empty())
}

/// Returns the bytes of the checkpoint, if there is one.
fn read_checkpoint(storage: &dyn Storage, path: &Path) -> Result<Option<Bytes>, Error> {
    match file::read(storage, path, FILE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(Bytes::from(bytes))),
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.at(path)),
    }
}

/// Fills the window from the checkpoint, if there is one.
fn load_checkpoint(
    (storage, keyring): (&dyn Storage, &Keyring),
    path: &Path,
    checkpoint: Option<Bytes>,
    (window, report): (&mut RollingWindow, &mut RecoveryReport),
    now: Timestamp,
) -> Result<Covered, Error> {
    let Some(bytes) = checkpoint else { return Ok(Covered::UpTo(0)) };
    report.checkpoint_bytes = bytes.len() as u64;
    match read::read(bytes, window.clone(), keyring).map_err(|error| error.at(path)) {
        Ok((loaded, loading)) => {
            *window = loaded;
            let covered = loading.log_sequence.map_or(Covered::Unknown, Covered::UpTo);
            report.checkpoint = Some(loading);
            Ok(covered)
        }
        Err(error) if error.is_corrupt() => {
            let aside = file::move_aside(storage, path, now).map_err(|error| error.at(path))?;
            report.set_aside.push(SetAside { path: aside, reason: error.to_string() });
            Ok(Covered::Unknown)
        }
        Err(error) => Err(error),
    }
}
