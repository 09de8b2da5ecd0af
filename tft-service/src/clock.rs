//! Time, as the service sees it.
//!
//! The one place that reads the system clock; everything else is given a [`Clock`], so that tests and the
//! demo decide what time it is.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tft_core::time::Timestamp;

/// Tells the time of day and measures intervals.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the time of day.
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed moment; never goes back, whatever happens to the time of day.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

/// Shows one time of day for ever, and measures intervals like the system; for serving a replay.
#[derive(Debug)]
pub struct StoppedClock {
    now: Timestamp,
    intervals: SystemClock,
}

/// A clock that stands still until it is moved; for tests.
#[derive(Debug)]
pub struct ManualClock {
    time: Mutex<(Timestamp, Duration)>,
}

impl SystemClock {
    /// Starts measuring intervals now.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

impl StoppedClock {
    /// Builds a clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now, intervals: SystemClock::new() }
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn monotonic(&self) -> Duration {
        self.intervals.monotonic()
    }
}

impl ManualClock {
    /// Builds a clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { time: Mutex::new((now, Duration::ZERO)) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let mut time = self.time.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        *time = (time.0.plus_millis(by_ms), time.1.saturating_add(by));
    }

    fn read(&self) -> (Timestamp, Duration) {
        *self.time.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.read().0
    }

    fn monotonic(&self) -> Duration {
        self.read().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_still_measures_intervals() {
        let clock = StoppedClock::new(Timestamp::from_millis(7));
        let before = clock.monotonic();
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.monotonic() > before);
        assert_eq!(clock.now(), Timestamp::from_millis(7));
    }
}
