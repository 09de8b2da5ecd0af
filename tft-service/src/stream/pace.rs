//! How fast a client may send.

use tokio::time::{Duration, Instant};

/// Counts what comes within a second; cheap, and at worst lets twice as much pass across two seconds.
#[derive(Debug)]
pub(super) struct Pace {
    per_second_max: u64,
    second: Instant,
    count: u64,
}

impl Pace {
    pub(super) fn new(per_second_max: u64) -> Self {
        Self { per_second_max, second: Instant::now(), count: 0 }
    }

    /// Counts `amount`, and returns whether it is still within the limit.
    pub(super) fn allows(&mut self, amount: u64) -> bool {
        let now = Instant::now();
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(amount);
        self.count <= self.per_second_max
    }
}
