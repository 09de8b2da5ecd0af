//! Where states of the fleet are published, and rendered once for all who want the same of them.

mod changes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hyper::body::Bytes;
use tokio::sync::{OnceCell, broadcast};

use crate::snapshot::Snapshot;
use crate::wire::{Interest, LiveKind, render_alert_event, render_live};

/// Hands every published state to every stream.
#[derive(Debug)]
pub(crate) struct Hub {
    newest: RwLock<Arc<Update>>,
    updates: broadcast::Sender<Arc<Update>>,
}

/// A published state of the fleet, and what changed with it.
#[derive(Debug)]
pub(crate) struct Update {
    snapshot: Arc<Snapshot>,
    /// Counts publications since the process began.
    sequence: u64,
    alerts: Vec<AlertEvent>,
    rendered: Mutex<Rendered>,
}

/// The messages of a state, each made by the first who needs it.
#[derive(Debug, Default)]
struct Rendered {
    by_selection: HashMap<(LiveKind, Arc<Interest>), Arc<OnceCell<Bytes>>>,
}

/// A rendered `alert` message.
#[derive(Debug)]
pub(crate) struct AlertEvent {
    pub(crate) server: String,
    pub(crate) text: Bytes,
}

impl Hub {
    /// Builds a hub with a state; at most `updates_queued_max` updates wait for a stream.
    pub(crate) fn new(snapshot: Arc<Snapshot>, updates_queued_max: usize) -> Self {
        let first = Update { snapshot, sequence: 0, alerts: Vec::new(), rendered: Mutex::default() };
        Self { newest: RwLock::new(Arc::new(first)), updates: broadcast::Sender::new(updates_queued_max) }
    }

    /// Publishes a state; waits for no stream.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        let before = self.newest();
        let update = Arc::new(Update::after(&before, snapshot, self.updates.receiver_count() > 0));
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        *newest = Arc::clone(&update);
        // Without streams nobody takes it; within the lock, so that who subscribes misses none and gets none twice.
        let _ = self.updates.send(update);
    }

    /// Returns the newest snapshot.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.newest().snapshot)
    }

    /// Returns the newest state, and those that follow it.
    pub(crate) fn subscribe(&self) -> (Arc<Update>, broadcast::Receiver<Arc<Update>>) {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&newest), self.updates.subscribe())
    }

    pub(crate) fn newest(&self) -> Arc<Update> {
        Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Update {
    fn after(before: &Self, snapshot: Arc<Snapshot>, has_streams: bool) -> Self {
        let mut alerts = Vec::new();
        if has_streams {
            let changes = changes::changes(&before.snapshot.view, &snapshot.view);
            alerts.extend(changes.into_iter().map(|change| AlertEvent {
                server: change.alert.server.as_str().to_owned(),
                text: render_alert_event(&snapshot.view, change.previous, &change.alert).into(),
            }));
        }
        Self { snapshot, sequence: before.sequence + 1, alerts, rendered: Mutex::default() }
    }

    /// Returns what tells this state from others, also those of a process before.
    pub(crate) fn id(&self) -> String {
        format!("{}.{}", self.tick(), self.sequence)
    }

    /// Returns the number of feeds that the state knows of.
    pub(crate) fn tick(&self) -> u64 {
        self.snapshot.view.tick
    }

    /// Returns whether the newest forecast has a server.
    pub(crate) fn has_server(&self, name: &str) -> bool {
        self.snapshot.view.assessment.forecast.server(name).is_some()
    }

    /// Returns the `alert` messages that somebody wants.
    pub(crate) fn alerts<'a>(&'a self, interest: &'a Interest) -> impl Iterator<Item = &'a AlertEvent> {
        self.alerts.iter().filter(|event| interest.has_alert_of(&event.server))
    }

    /// Returns the message that tells what somebody wants to know of this state; none if the process is ending.
    ///
    /// Rendering a large fleet takes a while: it happens once, beside the threads that serve others.
    pub(crate) async fn render(self: &Arc<Self>, kind: LiveKind, interest: &Arc<Interest>) -> Option<Bytes> {
        let cell = self.cell(kind, interest);
        let rendering = || async {
            let (update, interest) = (Arc::clone(self), Arc::clone(interest));
            let rendered =
                tokio::task::spawn_blocking(move || render_live(&update.snapshot.view, kind, &interest));
            rendered.await.map(Bytes::from)
        };
        cell.get_or_try_init(rendering).await.ok().cloned()
    }

    fn cell(&self, kind: LiveKind, interest: &Arc<Interest>) -> Arc<OnceCell<Bytes>> {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let rendered = &mut rendered.by_selection;
        if rendered.len() >= SELECTIONS_MAX && !rendered.contains_key(&(kind, Arc::clone(interest))) {
            return Arc::default();
        }
        Arc::clone(rendered.entry((kind, Arc::clone(interest))).or_default())
    }
}

/// Most selections whose rendered messages an update keeps; others are rendered for each stream.
const SELECTIONS_MAX: usize = 64;
