//! The running deliveries: a thread with a runtime, a queue and a worker per receiver, and what fills the queues.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tft_core::alert::{DeliveryOutcome, Notification};
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::config::NotifyConfig;
use super::planned::Planned;
use super::queue::{Added, Queue};
use super::tally::{Counted, Tally, register};
use super::worker::Worker;
use crate::clock::Clock;
use crate::error::ServiceError;
use crate::metrics::Metrics;

/// Takes messages that are due to their receivers until it is stopped.
#[derive(Debug)]
pub(crate) struct Deliveries {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Hands messages to the receivers' queues.
struct Dispatcher {
    lanes: BTreeMap<String, Lane>,
    planned: Planned,
    clock: Arc<dyn Clock>,
}

/// What waits for one receiver, and what is counted of it.
#[derive(Debug)]
struct Lane {
    queue: Arc<Queue>,
    tally: Arc<Tally>,
}

impl Deliveries {
    /// Starts a worker for each receiver; none if there is no receiver.
    ///
    /// # Errors
    /// [`ServiceError::Thread`] if the operating system refuses the thread.
    pub(crate) fn start(
        config: &NotifyConfig,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
        planned: Planned,
    ) -> Result<Option<Self>, ServiceError> {
        if config.is_empty() {
            return Ok(None);
        }
        let failed = |source| ServiceError::Thread { source };
        let (stop, stopping) = watch::channel(false);
        let mut dispatcher = Dispatcher { lanes: BTreeMap::new(), planned, clock: Arc::clone(clock) };
        let mut workers = Vec::new();
        let mut counted = Vec::new();
        for receiver in &config.receivers {
            let lane = Lane { queue: Arc::new(Queue::new(receiver.queue_max)), tally: Arc::default() };
            let (queue, tally) = (Arc::clone(&lane.queue), Arc::clone(&lane.tally));
            counted.push(Counted { receiver: receiver.name.clone(), tally, queue });
            workers.push(Worker {
                receiver: Arc::clone(receiver),
                queue: Arc::clone(&lane.queue),
                tally: Arc::clone(&lane.tally),
                clock: Arc::clone(clock),
                public_url: config.public_url.clone(),
                outcomes: Arc::clone(&dispatcher.planned.outcomes),
                stopping: stopping.clone(),
            });
            dispatcher.lanes.insert(receiver.name.clone(), lane);
        }
        register(metrics, &counted);
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let run = move || {
            runtime.block_on(run(dispatcher, workers, stopping));
            // A look-up of a name may hang for longer than anybody wants to wait.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("notify".into()).spawn(run).map_err(failed)?;
        Ok(Some(Self { stop, thread }))
    }

    /// Lets what waits be tried once more, within [`DRAIN`].
    pub(crate) fn stop(self) {
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the thread that delivers messages has panicked");
        }
    }
}

impl Dispatcher {
    async fn run(mut self) {
        loop {
            for notification in (self.planned.due)() {
                self.submit(notification);
            }
            sleep(TICK).await;
        }
    }

    fn submit(&self, notification: Notification) {
        let Some(lane) = self.lanes.get(&notification.receiver) else {
            let receiver = notification.receiver;
            tracing::error!(receiver, "a message is for a receiver that does not exist");
            return;
        };
        match lane.queue.add(notification) {
            Added::Waiting => {}
            Added::InPlace => lane.tally.superseded.add(1),
            Added::Dropped(notification) => {
                let (receiver, group) = (notification.receiver.as_str(), notification.group_key.as_str());
                tracing::error!(receiver, group, "too many messages wait for a receiver, and one is dropped");
                let retry_at = self.clock.now().plus_millis(DROPPED_PAUSE_MS);
                (self.planned.outcomes)(&notification, DeliveryOutcome::Failed { retry_at });
                lane.tally.dropped.add(1);
            }
        }
    }
}

async fn run(dispatcher: Dispatcher, workers: Vec<Worker>, mut stopping: watch::Receiver<bool>) {
    let dispatching = tokio::spawn(dispatcher.run());
    let mut running = JoinSet::new();
    for worker in workers {
        running.spawn(worker.run());
    }
    // An error says that whoever could stop it is gone.
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
    dispatching.abort();
    let ended = async { while running.join_next().await.is_some() {} };
    if timeout(DRAIN, ended).await.is_err() {
        tracing::warn!("messages about alerts were given up because their receivers took too long");
    }
}

/// How often it is looked at what is due.
const TICK: Duration = Duration::from_millis(250);

/// How long messages may take when the service stops.
const DRAIN: Duration = Duration::from_secs(3);

/// After how long a message is made anew for which there was no room.
const DROPPED_PAUSE_MS: i64 = 60_000;
