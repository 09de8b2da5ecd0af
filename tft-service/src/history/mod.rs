//! The history of a running service: opening it at start, and a thread that writes to it.
//!
//! Owns what of each forecast is kept, and when; how is `tft_core::history`. The inference thread hands rows over and
//! never waits for the disk: what does not fit into the queue is counted and lost.

mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tft_core::history::{AlertEvent, FleetSnapshot, History, HistoryEntry};
use tft_core::store::Store;

use self::writer::Message;
pub(crate) use self::writer::{HistoryHandle, HistoryWriter};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::ServiceError;
use crate::metrics::{Counter, Family, Kind, Metrics};
use crate::snapshot::FleetView;

/// What did not become history.
#[derive(Debug, Default)]
pub(crate) struct HistoryCounters {
    /// Attempts to write that failed.
    pub(crate) failures: Counter,
    /// Rows that were lost: the queue was full, or they could not be written before the service stopped.
    pub(crate) lost: Counter,
}

/// The inference thread's end of the queue.
#[derive(Debug)]
pub(crate) struct HistoryFeed {
    queue: SyncSender<Message>,
    counters: Arc<HistoryCounters>,
    snapshot_interval: Duration,
    /// By the monotonic clock, when the fleet was last looked at.
    last_snapshot: Option<Duration>,
}

/// A history that is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) history: Arc<History>,
    pub(crate) writer: HistoryWriter,
    pub(crate) feed: HistoryFeed,
}

/// Opens the history of a store and begins to write to it, if it is to be kept.
///
/// # Errors
/// [`ServiceError::History`] if a file cannot be read or written, or another process has it open; what is corrupt is
/// moved aside, never deleted. [`ServiceError::Thread`] if the operating system refuses a thread.
pub(crate) fn start(
    config: &Config,
    store: &Store,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<Option<Kept>, ServiceError> {
    let Some(history) = open(config, store, &**clock)? else { return Ok(None) };
    let counters = Arc::new(HistoryCounters::default());
    register(metrics, &history, &counters);
    let writer = HistoryWriter::start(Arc::clone(&history), Arc::clone(clock), Arc::clone(&counters))?;
    let (queue, snapshot_interval) = (writer.queue(), config.history.snapshot_interval);
    let feed = HistoryFeed { queue, counters, snapshot_interval, last_snapshot: None };
    Ok(Some(Kept { history, writer, feed }))
}

fn open(config: &Config, store: &Store, clock: &dyn Clock) -> Result<Option<Arc<History>>, ServiceError> {
    let Some(directory) = config.history.place.directory(store.path()) else { return Ok(None) };
    // What is encrypted in one file must not be plain in another.
    let keys = store.config().unwrap_or(&config.store);
    let bounds = config.history.bounds.clone().with_keys_of(keys);
    let opened = History::open(&directory, bounds, clock.now());
    let (history, recovery) =
        opened.map_err(|source| ServiceError::History { path: directory.clone(), source })?;
    tracing::info!(
        rows = recovery.rows,
        replayed = recovery.rows_replayed,
        path = %directory.display(),
        "opened the history"
    );
    for aside in &recovery.set_aside {
        tracing::error!(path = %aside.path.display(), reason = aside.reason, "a corrupt file was moved aside");
    }
    if recovery.rows_lost > 0 {
        tracing::error!(rows = recovery.rows_lost, "rows of the history are lost: its log was damaged");
    }
    Ok(Some(Arc::new(history)))
}

/// Registers what is known of the history.
fn register(metrics: &Metrics, history: &Arc<History>, counters: &Arc<HistoryCounters>) {
    let of_rows = Arc::clone(history);
    let help = "Rows of the history.";
    metrics.gauge("tft_history_rows", help, move || Some(of_rows.stats().rows as f64));
    let of_bytes = Arc::clone(history);
    let help = "Bytes of the history's files.";
    metrics.gauge("tft_history_bytes", help, move || Some(of_bytes.stats().bytes as f64));
    let of_asides = Arc::clone(history);
    let help = "Files of the history that were found corrupt and moved aside.";
    metrics
        .gauge("tft_history_files_set_aside", help, move || Some(of_asides.stats().files_set_aside as f64));
    let (history, counters) = (Arc::clone(history), Arc::clone(counters));
    let (name, help) = ("tft_history_rows_dropped_total", "Rows that are not in the history, by why.");
    let (of_drops, of_failures) = (Arc::clone(&counters), counters);
    metrics.register(Family { kind: Kind::Counter, name, help }, move |samples| {
        let stats = history.stats();
        samples.add(&[("reason", "lost")], of_drops.lost.get() as f64);
        samples.add(&[("reason", "refused")], stats.rows_refused as f64);
        samples.add(&[("reason", "expired")], stats.rows_expired as f64);
    });
    let (name, help) = ("tft_history_failures_total", "Attempts to write history that failed.");
    metrics.register(Family { kind: Kind::Counter, name, help }, move |samples| {
        samples.add(&[], of_failures.failures.get() as f64);
    });
}

impl HistoryFeed {
    /// Hands over what changed, and from time to time how the fleet is.
    pub(crate) fn take(&mut self, view: &FleetView, monotonic: Duration) {
        let mut rows = transitions(view);
        let is_due =
            self.last_snapshot.is_none_or(|last| monotonic.saturating_sub(last) >= self.snapshot_interval);
        let assessment = &view.assessment;
        if is_due && assessment.summary.servers > 0 {
            self.last_snapshot = Some(monotonic);
            let snapshot = FleetSnapshot::new(&assessment.summary, &assessment.alerts, assessment.at);
            rows.push(snapshot.into());
        }
        let count = rows.len() as u64;
        if count > 0 && self.queue.try_send(Message::Rows(rows)).is_err() {
            self.counters.lost.add(count);
        }
    }
}

fn transitions(view: &FleetView) -> Vec<HistoryEntry> {
    let assessment = &view.assessment;
    if assessment.transitions.is_empty() {
        return Vec::new();
    }
    let servers = assessment.forecast.servers.iter().map(|forecast| forecast.server.as_str());
    let scores = assessment.servers.iter().map(|server| server.risk.score);
    let scores: HashMap<_, _> = servers.zip(scores).collect();
    let events = assessment.transitions.iter().map(|transition| {
        let score = scores.get(transition.alert.server.as_str()).copied();
        AlertEvent::transition(transition, assessment.at, score).into()
    });
    events.collect()
}
