//! Delivers what waits for one receiver, one message after the other.
//!
//! A receiver has a worker of its own, so that one that stalls holds up nobody else. A message that fails goes behind
//! the others: one that a receiver cannot take does not keep the rest from it.

use std::sync::Arc;
use std::time::Duration;

use tft_core::alert::{DeliveryOutcome, Notification};
use tokio::sync::watch;
use tokio::time::Instant;

use super::channel::{Reply, Sending};
use super::failure::{Failure, Outlook};
use super::message::Message;
use super::queue::{Item, Queue};
use super::receiver::Receiver;
use super::tally::Tally;
use crate::clock::Clock;

/// Is told what became of every message.
pub(crate) type Outcomes = Arc<dyn Fn(&Notification, DeliveryOutcome) + Send + Sync>;

/// The worker of one receiver.
pub(crate) struct Worker {
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) public_url: Option<String>,
    pub(crate) outcomes: Outcomes,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Worker {
    /// Delivers until the service stops, and then makes one attempt for each message that still waits.
    pub(crate) async fn run(mut self) {
        // In a row; they say how long to wait before the next attempt.
        let mut failures = 0;
        while let Some(item) = self.next().await {
            match self.attempt(&item.notification).await {
                Ok(reply) => {
                    failures = 0;
                    self.succeeded(&item.notification, &reply);
                }
                Err(failure) => {
                    failures += 1;
                    self.tally.failures.add(1);
                    let pause = self.failed(item, &failure, failures);
                    self.rest(pause).await;
                }
            }
        }
    }

    /// Waits for a message; none if the service stops and none waits.
    async fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.queue.take() {
                return Some(item);
            }
            if *self.stopping.borrow() {
                return None;
            }
            tokio::select! {
                () = self.queue.added() => {}
                _ = self.stopping.wait_for(|is_stopping| *is_stopping) => {}
            }
        }
    }

    async fn attempt(&self, notification: &Notification) -> Result<Reply, Failure> {
        let message = Message { notification, public_url: self.public_url.as_deref() };
        self.receiver.channel.send(&message, &Sending { at: self.clock.now() }).await
    }

    fn succeeded(&self, notification: &Notification, reply: &Reply) {
        (self.outcomes)(notification, DeliveryOutcome::Delivered);
        self.tally.succeeded(self.clock.now());
        let receiver = self.receiver.name.as_str();
        let (group, said) = (notification.group_key.as_str(), reply.said.as_str());
        tracing::info!(receiver, group, said, "told a receiver of alerts");
        if let Some(refused) = &reply.refused {
            tracing::error!(receiver, group, refused, "not everybody was told");
        }
    }

    /// Keeps a message for later if that may help, and returns how long to wait.
    fn failed(&self, item: Item, failure: &Failure, failures: u32) -> Duration {
        let Receiver { name, retry, retry_for, .. } = &*self.receiver;
        let group = item.notification.group_key.clone();
        let retry_after = match failure.outlook() {
            Outlook::Temporary { retry_after } => retry_after,
            Outlook::Permanent => {
                tracing::error!(receiver = name, group, %failure, "a receiver refuses a message");
                self.give_up(&item, REFUSED_PAUSE);
                return Duration::ZERO;
            }
        };
        let pause = retry.pause(name, failures, retry_after);
        if *self.stopping.borrow() || item.since.elapsed() + pause > *retry_for {
            tracing::error!(receiver = name, group, %failure, "a message could not be delivered and is given up");
            self.give_up(&item, pause);
            return pause;
        }
        let pause_ms = pause.as_millis() as u64;
        tracing::warn!(receiver = name, group, %failure, pause_ms, "a message could not be delivered yet");
        if !self.queue.put_back(item) {
            self.tally.superseded.add(1);
        }
        pause
    }

    /// Has the message made anew, after a pause, from what is the case then.
    fn give_up(&self, item: &Item, pause: Duration) {
        let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        let retry_at = self.clock.now().plus_millis(pause_ms);
        (self.outcomes)(&item.notification, DeliveryOutcome::Failed { retry_at });
        self.tally.failed.add(1);
    }

    /// Waits, unless the service stops.
    async fn rest(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            _ = self.stopping.wait_for(|is_stopping| *is_stopping) => {}
        }
    }
}

/// After how long a group is told anew of which a message was refused: somebody has to change something meanwhile.
const REFUSED_PAUSE: Duration = Duration::from_hours(1);
