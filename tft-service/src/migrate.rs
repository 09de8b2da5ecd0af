//! From the original system's pickle to the checkpoint: once, at start or by command.
//!
//! Owns when a pickle is read, what becomes of its file, and what is told about it. How it is read, and that
//! nothing in it is ever executed, is `tft_core::store::pickle`.
//!
//! A pickle is read only where there is neither a checkpoint nor a log, and never in place of one that was found
//! corrupt: an old window under a new name would pass for the newest.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tft_core::schema::Schema;
use tft_core::store::{LoadReport, Store, StoreConfig, pickle};
use tft_core::time::Timestamp;
use tft_core::window::RollingWindow;

use crate::clock::{Clock, SystemClock};
use crate::config::args::MigrateArgs;
use crate::engine::Engine;
use crate::error::{ServiceError, in_one_line};

/// Where a window comes from and where it goes.
struct Migration<'a> {
    pickle: &'a Path,
    checkpoint: &'a Path,
}

/// Takes over the pickle beside a store that does not exist; returns nothing if there is none to take.
///
/// A pickle that cannot be taken is renamed and told, and the service starts without it.
///
/// # Errors
/// [`ServiceError::Persistence`] if the operating system refuses a file. The pickle is then where it was, so that
/// the next start can try again.
pub(crate) fn at_start(
    checkpoint: &Path,
    empty: &RollingWindow,
    config: &StoreConfig,
    now: Timestamp,
) -> Result<Option<Store>, ServiceError> {
    let pickle = beside(checkpoint);
    if !pickle.try_exists().map_err(|source| unusable(&pickle, source))? {
        return Ok(None);
    }
    if has_quarantined(checkpoint) {
        tracing::warn!(
            file = %pickle.display(),
            "[MIGRATION] a legacy pickle is not read because a corrupt checkpoint lies beside it; \
             `tft-service migrate --to` another file reads it"
        );
        return Ok(None);
    }
    let migration = Migration { pickle: &pickle, checkpoint };
    match migration.run(empty, config, now) {
        Ok(store) => Ok(Some(store)),
        Err(error) if error.is_io() => Err(unusable(&pickle, error)),
        Err(error) => {
            let error = in_one_line(&error);
            let moved = migration.set_aside()?;
            tracing::error!(%error, moved_to = %moved.display(), "[MIGRATION] failed, starting without it");
            Ok(None)
        }
    }
}

/// Tells that a pickle lies beside a checkpoint that was loaded.
pub(crate) fn tell_unused(checkpoint: &Path) {
    let pickle = beside(checkpoint);
    if pickle.exists() {
        tracing::info!(file = %pickle.display(), "a legacy pickle lies beside the checkpoint and is not read");
    }
}

/// Runs `tft-service migrate`.
///
/// # Errors
/// [`ServiceError`] if there is a checkpoint already, or the pickle cannot be taken; in the second case it is
/// renamed, unless the operating system refused a file.
pub(crate) fn by_command(args: MigrateArgs) -> Result<(), ServiceError> {
    let (from, to, model_dir) = args.into_paths();
    let pickle = from.unwrap_or_else(|| beside(&to));
    if Store::exists(&to).map_err(|source| unusable(&to, source))? {
        return Err(unusable(&to, "it or a log of it exists already and is not overwritten"));
    }
    let empty = Engine::load(model_dir.as_deref(), &Schema::server_metrics())?.empty_window()?;
    let migration = Migration { pickle: &pickle, checkpoint: &to };
    let now = SystemClock::new().now();
    let Err(error) = migration.run(&empty, &StoreConfig::default(), now) else {
        return Ok(());
    };
    if !error.is_io() {
        let moved = migration.set_aside()?;
        tracing::error!(moved_to = %moved.display(), "[MIGRATION] failed");
    }
    Err(ServiceError::Migration { path: pickle, source: error })
}

impl Migration<'_> {
    fn run(
        &self,
        empty: &RollingWindow,
        config: &StoreConfig,
        now: Timestamp,
    ) -> Result<Store, tft_core::Error> {
        tracing::info!(file = %self.pickle.display(), "[MIGRATION] reading the legacy pickle as data");
        let (window, report) = pickle::load(self.pickle, empty.schema().clone(), empty.config().clone())?;
        tell_loaded(&window, &report);
        let (store, saved) = Store::create(self.checkpoint, window, config.clone(), now)?;
        let (path, rows, bytes) = (self.checkpoint.display(), saved.rows, saved.bytes);
        tracing::info!(%path, rows, bytes, "[MIGRATION] wrote the checkpoint");
        // Last: whatever happens before, the pickle is still there for another try.
        match pickle::mark_migrated(self.pickle) {
            Ok(moved) => tracing::info!(moved_to = %moved.display(), "[MIGRATION] done"),
            Err(error) => {
                let error = in_one_line(&error);
                tracing::warn!(%error, "[MIGRATION] done, but the legacy pickle could not be renamed");
            }
        }
        Ok(store)
    }

    fn set_aside(&self) -> Result<PathBuf, ServiceError> {
        pickle::set_aside(self.pickle).map_err(|source| unusable(self.pickle, source))
    }
}

fn tell_loaded(window: &RollingWindow, report: &LoadReport) {
    let (servers, steps, rows) = (window.server_count(), window.step_count(), report.rows);
    tracing::info!(servers, steps, rows, "[MIGRATION] read the legacy pickle");
    let lost = (report.rows_dropped, report.values_out_of_range, report.statuses_unknown);
    if lost != (0, 0, 0) {
        tracing::warn!(
            rows_dropped = report.rows_dropped,
            values_out_of_range = report.values_out_of_range,
            statuses_unknown = report.statuses_unknown,
            "[MIGRATION] not everything in the legacy pickle could be used"
        );
    }
}

/// Returns where the original system keeps its pickle: beside the checkpoint, under the same name.
fn beside(checkpoint: &Path) -> PathBuf {
    checkpoint.with_extension("pkl")
}

/// Returns whether a corrupt checkpoint was moved aside here.
fn has_quarantined(checkpoint: &Path) -> bool {
    let parent = checkpoint.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Ok(entries) = std::fs::read_dir(parent.unwrap_or(Path::new("."))) else { return false };
    let prefix = format!("{}.corrupt-", checkpoint.file_name().unwrap_or(OsStr::new("")).to_string_lossy());
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
}

fn unusable(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ServiceError {
    ServiceError::Persistence { path: path.to_owned(), source: source.into() }
}
