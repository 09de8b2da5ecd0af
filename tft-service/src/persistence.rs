//! The checkpoint: loading it at start, saving it while the service runs and when it stops.
//!
//! Owns when; how is `tft_core::store`. An acknowledged feed that no checkpoint holds yet is lost if the
//! process is killed or the machine loses power: at most [`Intervals::checkpoint`] of data.
//!
//! [`Intervals::checkpoint`]: crate::config::Intervals::checkpoint

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tft_core::schema::Schema;
use tft_core::store::{self, LoadReport};
use tft_core::time::Timestamp;
use tft_core::window::{RollingWindow, WindowConfig};

use crate::clock::Clock;
use crate::error::{ServiceError, in_one_line};
use crate::migrate;
use crate::state::ServiceState;

/// Saves the window of a running service, if it is to be kept.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    path: Option<PathBuf>,
    state: Arc<ServiceState>,
    clock: Arc<dyn Clock>,
    saved_generation: u64,
}

/// Loads the checkpoint; without one takes over the original system's pickle, or starts with an empty window.
///
/// A corrupt checkpoint is moved aside and never deleted, and nothing is read in its place.
///
/// # Errors
/// [`ServiceError::Persistence`] if the file cannot be read or no file can be written beside it.
pub(crate) fn open(
    path: &Path,
    schema: &Schema,
    config: &WindowConfig,
    now: Timestamp,
) -> Result<RollingWindow, ServiceError> {
    check_writable(path).map_err(|source| unusable(path, source))?;
    let fresh =
        || RollingWindow::new(schema.clone(), config.clone()).map_err(|source| unusable(path, source));
    if !path.try_exists().map_err(|source| unusable(path, source))? {
        if let Some(window) = migrate::at_start(path, schema, config, now)? {
            return Ok(window);
        }
        tracing::info!(path = %path.display(), "no checkpoint found, starting fresh");
        return fresh();
    }
    match store::load(path, schema.clone(), config.clone()) {
        Ok((window, report)) => {
            tell_loaded(&window, &report);
            migrate::tell_unused(path);
            Ok(window)
        }
        Err(error) if error.is_corrupt() => {
            let moved = store::quarantine(path, now).map_err(|source| unusable(path, source))?;
            let (error, moved) = (in_one_line(&error), moved.display());
            tracing::error!(%error, moved_to = %moved, "the checkpoint is corrupt, starting without it");
            fresh()
        }
        Err(error) => Err(unusable(path, error)),
    }
}

impl Checkpointer {
    pub(crate) fn new(path: Option<PathBuf>, state: Arc<ServiceState>, clock: Arc<dyn Clock>) -> Self {
        // What was just loaded, or is empty, need not be saved again.
        let saved_generation = state.lock_window().generation();
        Self { path, state, clock, saved_generation }
    }

    /// Saves every `interval` until the other end of `stop` is dropped, and once more then.
    ///
    /// # Errors
    /// That of the last save; earlier ones are logged and tried again.
    pub(crate) fn run(mut self, stop: &Receiver<()>, interval: Duration) -> Result<(), ServiceError> {
        while stop.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            if let Err(error) = self.save_if_changed() {
                tracing::error!(error = in_one_line(&error), "the checkpoint could not be saved");
            }
        }
        self.save_if_changed()
    }

    /// Saves a copy of the window, so that feeds do not wait for the disk.
    fn save_if_changed(&mut self) -> Result<(), ServiceError> {
        let Some(path) = &self.path else { return Ok(()) };
        let window = self.state.lock_window();
        let generation = window.generation();
        if generation == self.saved_generation {
            return Ok(());
        }
        let copy = window.clone();
        drop(window);
        store::save(&copy, path, self.clock.now()).map_err(|source| unusable(path, source))?;
        self.saved_generation = generation;
        tracing::info!(steps = copy.step_count(), path = %path.display(), "saved the checkpoint");
        Ok(())
    }
}

fn tell_loaded(window: &RollingWindow, report: &LoadReport) {
    let (servers, steps, rows) = (window.server_count(), window.step_count(), report.rows);
    tracing::info!(servers, steps, rows, "loaded the checkpoint");
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

/// Finds out at start, rather than at the first checkpoint, that nothing can be saved.
fn check_writable(path: &Path) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let probe = path.with_file_name(format!(".{name}.probe-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    std::fs::remove_file(&probe)
}

fn unusable(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ServiceError {
    ServiceError::Persistence { path: path.to_owned(), source: source.into() }
}
