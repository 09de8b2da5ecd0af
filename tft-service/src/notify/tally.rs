//! What is counted about the messages to one receiver.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tft_core::time::Timestamp;

use super::queue::Queue;
use crate::metrics::{Counter, Family, Kind, Metrics};

/// Counts of one receiver.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Messages that the receiver took.
    pub(crate) sent: Counter,
    /// Messages that it refused for good, or did not take in time.
    pub(crate) failed: Counter,
    /// Messages for which there was no room.
    pub(crate) dropped: Counter,
    /// Messages that a newer one of their group made outdated before they were taken.
    pub(crate) superseded: Counter,
    /// Attempts that failed, whatever became of the message.
    pub(crate) failures: Counter,
    /// Unix milliseconds; 0 before the first success.
    last_success_ms: AtomicI64,
}

/// A receiver as metrics show it.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(crate) receiver: String,
    pub(crate) tally: Arc<Tally>,
    pub(crate) queue: Arc<Queue>,
}

impl Tally {
    /// Notes that the receiver took a message.
    pub(crate) fn succeeded(&self, at: Timestamp) {
        self.sent.add(1);
        self.last_success_ms.store(at.as_millis(), Ordering::Relaxed);
    }

    fn last_success_s(&self) -> Option<f64> {
        let millis = self.last_success_ms.load(Ordering::Relaxed);
        (millis != 0).then_some(millis as f64 / 1000.0)
    }
}

/// Registers what is counted about receivers. Their names are the configuration's.
pub(crate) fn register(metrics: &Metrics, receivers: &[Counted]) {
    let counter = |name, help| Family { kind: Kind::Counter, name, help };
    let gauge = |name, help| Family { kind: Kind::Gauge, name, help };
    let all = receivers.to_vec();
    let help = "Messages about alerts, by receiver and what became of them.";
    metrics.register(counter("tft_notifications_total", help), move |samples| {
        for Counted { receiver, tally, .. } in &all {
            for (result, count) in [
                ("sent", &tally.sent),
                ("failed", &tally.failed),
                ("dropped", &tally.dropped),
                ("superseded", &tally.superseded),
            ] {
                samples.add(&[("receiver", receiver), ("result", result)], count.get() as f64);
            }
        }
    });
    let all = receivers.to_vec();
    let help = "Attempts to deliver a message that failed.";
    metrics.register(counter("tft_notification_failures_total", help), move |samples| {
        for Counted { receiver, tally, .. } in &all {
            samples.add(&[("receiver", receiver)], tally.failures.get() as f64);
        }
    });
    let all = receivers.to_vec();
    let help = "Messages that wait for a receiver.";
    metrics.register(gauge("tft_notification_queue_length", help), move |samples| {
        for Counted { receiver, queue, .. } in &all {
            samples.add(&[("receiver", receiver)], queue.len() as f64);
        }
    });
    let all = receivers.to_vec();
    let help = "When a receiver last took a message, in Unix seconds; absent before the first.";
    metrics.register(gauge("tft_notification_last_success_timestamp_seconds", help), move |samples| {
        for Counted { receiver, tally, .. } in &all {
            if let Some(at) = tally.last_success_s() {
                samples.add(&[("receiver", receiver)], at);
            }
        }
    });
}
