//! What requests and the inference thread share: the window and the newest snapshot.
//!
//! The window is in its store, which locks it for as long as a batch takes to add or a clone to make. The snapshot
//! is immutable and in the hub, which hands it on to live streams; its lock is held for a change of pointers only,
//! so that readers never wait for a forecast.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tft_core::alert::{AlertEngineState, Notifier};
use tft_core::schema::Schema;
use tft_core::store::Store;
use tft_core::time::Step;
use tft_core::window::{Feed, FeedLimits, IngestReport, ReadinessState, RollingWindow};

use crate::clock::Clock;
use crate::http::BodyType;
use crate::hub::Hub;
use crate::kept::{Document, Kept};
use crate::snapshot::Snapshot;
use crate::suppression::SharedNotifier;
use crate::wire;

/// The shared state of the service.
#[derive(Debug)]
pub(crate) struct ServiceState {
    schema: Schema,
    history_steps_needed: AtomicUsize,
    clock: Arc<dyn Clock>,
    store: Store,
    warm_up: Mutex<WarmUp>,
    hub: Hub,
    notifier: SharedNotifier,
    kept: Kept,
    has_forecast: AtomicBool,
    wake: SyncSender<()>,
}

/// How far the window has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Progress {
    pub(crate) tick_count: u64,
    pub(crate) window_size: usize,
    pub(crate) servers_tracked: usize,
    pub(crate) warm_up: WarmUp,
}

/// How many servers have the history that the model needs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct WarmUp {
    pub(crate) servers_ready: usize,
    /// Steps of history that the model needs.
    pub(crate) needed_steps: usize,
    /// Steps of history that a server has, at most those needed; the mean over servers.
    pub(crate) history_steps: f64,
    /// Set once [`WarmUp::READY_SHARE`] of the servers are ready, and until none is: a new server does not
    /// take readiness from the fleet.
    pub(crate) is_complete: bool,
    seen: Option<Seen>,
}

/// The state of the window for which readiness was counted.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    generation: u64,
    origin: Option<Step>,
    at: Duration,
}

impl ServiceState {
    pub(crate) fn new(
        store: Store,
        history_steps_needed: usize,
        clock: Arc<dyn Clock>,
        (hub, notifier): (Hub, Notifier),
        wake: SyncSender<()>,
    ) -> Self {
        let schema = store.window().schema().clone();
        Self {
            schema,
            history_steps_needed: AtomicUsize::new(history_steps_needed),
            clock,
            store,
            warm_up: Mutex::default(),
            hub,
            notifier: SharedNotifier::new(notifier),
            kept: Kept::default(),
            has_forecast: AtomicBool::new(false),
            wake,
        }
    }

    /// Takes the records of a feed's body; none if it has none. When it returns, the feed may be acknowledged.
    ///
    /// # Errors
    /// The parser's, and those of the store: the feed must not be acknowledged then.
    pub(crate) fn ingest(
        &self,
        (body_type, body): (BodyType, &[u8]),
    ) -> Result<Option<(IngestReport, Progress)>, tft_core::Error> {
        let limits = FeedLimits::default();
        let feed = match body_type {
            BodyType::Json => Feed::from_json(body, &self.schema, &limits)?,
            BodyType::ArrowStream => Feed::from_arrow_stream(body, &self.schema, &limits)?,
        };
        if feed.is_empty() {
            return Ok(None);
        }
        let (report, ticket) = self.store.append_feed(feed, self.clock.now())?;
        self.wake();
        self.store.commit(ticket)?;
        Ok(Some((report, self.progress())))
    }

    /// Returns how far the window has come.
    pub(crate) fn progress(&self) -> Progress {
        self.progress_of(&self.store.window())
    }

    /// Returns the newest forecasts and what follows from them.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.hub.snapshot()
    }

    /// Replaces the snapshot, and tells live streams.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.hub.publish(Arc::new(snapshot));
        self.has_forecast.store(true, Ordering::Release);
    }

    /// Wakes the inference thread.
    pub(crate) fn wake(&self) {
        // A full channel means that the thread has been woken already.
        let _ = self.wake.try_send(());
    }

    /// Says how many steps of history the model needs from now on.
    pub(crate) fn set_history_steps_needed(&self, steps: usize) {
        self.history_steps_needed.store(steps, Ordering::Release);
    }

    /// Returns where snapshots are published.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Returns what decides which alerts are told, and when.
    pub(crate) fn notifier(&self) -> &SharedNotifier {
        &self.notifier
    }

    /// Makes what is silenced, acknowledged and told survive a restart.
    ///
    /// # Errors
    /// Those of [`Store::save_document`].
    pub(crate) fn keep_notifier(&self) -> Result<(), tft_core::Error> {
        let content = || Ok(wire::to_json(&self.notifier.lock().state()));
        self.kept.save(&self.store, Document::Notifier, content)
    }

    /// Makes the alerts survive a restart.
    ///
    /// # Errors
    /// Those of [`Store::save_document`].
    pub(crate) fn keep_alerts(&self, alerts: &AlertEngineState) -> Result<(), tft_core::Error> {
        self.kept.save(&self.store, Document::Alerts, || alerts.to_json())
    }

    /// Returns whether the inference thread has ever published.
    pub(crate) fn has_forecast(&self) -> bool {
        self.has_forecast.load(Ordering::Acquire)
    }

    /// Returns the window and what keeps it.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    fn progress_of(&self, window: &RollingWindow) -> Progress {
        let mut warm_up = self.warm_up.lock().unwrap_or_else(PoisonError::into_inner);
        warm_up.update(window, self.history_steps_needed.load(Ordering::Acquire), &*self.clock);
        Progress {
            tick_count: window.tick_count(),
            window_size: window.step_count(),
            servers_tracked: window.server_count(),
            warm_up: *warm_up,
        }
    }
}

impl WarmUp {
    /// The share of servers that must be ready for the fleet to count as warmed up.
    const READY_SHARE: f64 = 0.9;

    /// Counts again where the window has changed. With many servers and the same origin the count may be
    /// a little old, so that frequent small feeds do not spend their time on it.
    fn update(&mut self, window: &RollingWindow, needed_steps: usize, clock: &dyn Clock) {
        let pause = Duration::from_millis(window.server_count() as u64 / 100);
        let (generation, at) = (window.generation(), clock.monotonic());
        let origin = window.origin(clock.now());
        let is_fresh = self.seen.is_some_and(|seen| {
            let is_recent = at.saturating_sub(seen.at) < pause;
            seen.origin == origin
                && self.needed_steps == needed_steps
                && (seen.generation == generation || is_recent)
        });
        if is_fresh {
            return;
        }
        self.count(window, origin, needed_steps);
        self.seen = Some(Seen { generation, origin, at });
    }

    fn count(&mut self, window: &RollingWindow, origin: Option<Step>, needed_steps: usize) {
        let (mut ready, mut history_steps) = (0, 0);
        for server in window.servers() {
            let Some(origin) = origin else { break };
            let readiness = server.readiness(origin, needed_steps);
            ready += usize::from(readiness.state == ReadinessState::Ready);
            history_steps += readiness.history_steps.min(needed_steps);
        }
        let tracked = window.server_count();
        let is_enough = tracked > 0 && ready as f64 >= Self::READY_SHARE * tracked as f64;
        self.is_complete = ready > 0 && (self.is_complete || is_enough);
        self.servers_ready = ready;
        self.needed_steps = needed_steps;
        self.history_steps = history_steps as f64 / tracked.max(1) as f64;
    }
}
