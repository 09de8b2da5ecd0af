//! The store of a running service: opening it at start, syncing its log, saving checkpoints.
//!
//! Owns when; how is `tft_core::store`, and so is what an acknowledged feed survives: the end of the process
//! in every mode of [`SyncMode`], a loss of power as the mode says.
//!
//! [`SyncMode`]: tft_core::store::SyncMode

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tft_core::store::{LoadReport, RecoveryReport, Store, StoreConfig};
use tft_core::time::Timestamp;
use tft_core::window::RollingWindow;

use crate::clock::Clock;
use crate::error::{ServiceError, in_one_line};
use crate::metrics::Metrics;
use crate::migrate;
use crate::state::ServiceState;

/// Saves checkpoints of a running service, if its window is to be kept.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    path: Option<PathBuf>,
    state: Arc<ServiceState>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// How long the last checkpoint took, by the clock that waiting goes by.
    cost: Duration,
}

/// Opens the checkpoint and the log beside it, and fills an empty window from them. Where there is neither, takes
/// over the original system's pickle, or begins them with the empty window.
///
/// # Errors
/// [`ServiceError::Persistence`] if a file cannot be read or written, or another process has it open. What is
/// corrupt is moved aside, never deleted.
pub(crate) fn open(
    path: &Path,
    empty: RollingWindow,
    config: StoreConfig,
    now: Timestamp,
) -> Result<Store, ServiceError> {
    let is_new = !Store::exists(path).map_err(|source| unusable(path, source))?;
    if is_new && let Some(store) = migrate::at_start(path, &empty, &config, now)? {
        return Ok(store);
    }
    let (store, report) = Store::open(path, empty, config, now).map_err(|source| unusable(path, source))?;
    tell_recovered(path, &store.window(), &report);
    if !is_new {
        migrate::tell_unused(path);
    }
    Ok(store)
}

impl Checkpointer {
    pub(crate) fn new(
        path: Option<PathBuf>,
        state: Arc<ServiceState>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { path, state, clock, metrics, cost: Duration::ZERO }
    }

    /// Saves until the other end of `stop` is dropped whenever the store says that it is time, and once more then.
    ///
    /// # Errors
    /// That of the last save; earlier ones are logged and tried again.
    pub(crate) fn run(mut self, stop: &Receiver<()>, interval: Duration) -> Result<(), ServiceError> {
        let look_every = interval.min(LOOK_EVERY);
        let mut rested = Duration::ZERO;
        while stop.recv_timeout(look_every) == Err(RecvTimeoutError::Timeout) {
            rested += look_every;
            // What cannot be saved, or is outdated at once, leaves half of the time to others.
            if rested < self.cost || !self.state.store().is_checkpoint_due(rested, interval) {
                continue;
            }
            rested = Duration::ZERO;
            if let Err(error) = self.save_if_changed() {
                tracing::error!(error = in_one_line(&error), "the checkpoint could not be saved");
            }
        }
        self.save_if_changed()
    }

    /// Saves while feeds go on.
    fn save_if_changed(&mut self) -> Result<(), ServiceError> {
        let (started, begun) = (Instant::now(), self.clock.monotonic());
        let saved = self.state.store().checkpoint(self.clock.now());
        self.cost = started.elapsed();
        match &saved {
            Ok(_) => self.metrics.checkpoints.is_whole(begun),
            Err(_) => self.metrics.checkpoints.failed(),
        }
        let Some(path) = &self.path else { return Ok(()) };
        let Some(saved) = saved.map_err(|source| unusable(path, source))? else { return Ok(()) };
        let (steps, bytes, feeds) = (saved.steps, saved.bytes, saved.log_sequence);
        let cost_ms = self.cost.as_millis() as u64;
        tracing::info!(steps, bytes, feeds, cost_ms, path = %path.display(), "saved the checkpoint");
        if saved.segments_left > 0 {
            tracing::warn!(segments = saved.segments_left, "old segments of the log could not be removed");
        }
        Ok(())
    }
}

/// Syncs the log every `interval` until the other end of `stop` is dropped.
pub(crate) fn sync_log(state: &ServiceState, stop: &Receiver<()>, interval: Duration) {
    let mut has_failed = false;
    while stop.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        let synced = state.store().sync();
        // A failure lasts until a checkpoint is saved; saying so once is enough.
        if let Err(error) = &synced
            && !has_failed
        {
            tracing::error!(error = in_one_line(error), "the log could not be synced, feeds are refused");
        }
        has_failed = synced.is_err();
    }
}

fn tell_recovered(path: &Path, window: &RollingWindow, report: &RecoveryReport) {
    for aside in &report.set_aside {
        let moved_to = aside.path.display();
        tracing::error!(reason = aside.reason, %moved_to, "a corrupt file was moved aside");
    }
    if let Some(loss) = report.loss() {
        let (feeds, bytes_skipped) = (report.feeds_lost, report.bytes_skipped);
        tracing::error!(feeds, bytes_skipped, loss, "the log is damaged");
    }
    if report.checkpoint.is_none() && report.segments == 0 && report.set_aside.is_empty() {
        tracing::info!(path = %path.display(), "no checkpoint found, starting fresh");
        return;
    }
    let (servers, steps) = (window.server_count(), window.step_count());
    tracing::info!(
        servers,
        steps,
        rows = report.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.rows),
        log_segments = report.segments,
        feeds_replayed = report.frames_replayed,
        feeds_skipped = report.frames_skipped,
        bytes_dropped = report.bytes_dropped,
        headers_mended = report.headers_mended,
        temporary_files_removed = report.temporary_files_removed,
        "recovered the window"
    );
    if let Some(rewritten) = &report.rewritten {
        tracing::info!(
            bytes = rewritten.bytes,
            "rewrote the store's files, which were not encrypted as configured"
        );
    }
    if report.values_dropped > 0 || !report.unknown_metrics.is_empty() {
        tracing::warn!(
            values_dropped = report.values_dropped,
            unknown_metrics = report.unknown_metrics.join(","),
            "not everything in the log could be used"
        );
    }
    if let Some(checkpoint) = &report.checkpoint {
        tell_unused(checkpoint);
    }
}

fn tell_unused(report: &LoadReport) {
    let lost = (report.rows_dropped, report.values_out_of_range, report.statuses_unknown);
    if lost != (0, 0, 0) || !report.missing_metrics.is_empty() {
        tracing::warn!(
            rows_dropped = report.rows_dropped,
            values_out_of_range = report.values_out_of_range,
            statuses_unknown = report.statuses_unknown,
            missing_metrics = report.missing_metrics.join(","),
            "not everything in the checkpoint could be used"
        );
    }
}

fn unusable(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ServiceError {
    ServiceError::Persistence { path: path.to_owned(), source: source.into() }
}

/// How often it is looked at whether a checkpoint is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
