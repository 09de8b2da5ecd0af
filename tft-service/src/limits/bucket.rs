//! Token buckets, as one moment per client.
//!
//! A bucket is kept as the time at which it is full again (the generic cell rate algorithm): each call moves it one
//! interval ahead, and a call passes while it stays within the burst. Times are exact.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Verdict;
use super::config::Tier;
use crate::auth::Client;

/// The buckets of many clients.
#[derive(Debug)]
pub(super) struct BucketTable {
    entries_max: usize,
    full_at: Mutex<HashMap<Client, Duration>>,
}

impl BucketTable {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries_max, full_at: Mutex::default() }
    }

    /// Takes one token at `now`, if there is one.
    pub(super) fn count(&self, client: &Client, tier: Tier, now: Duration) -> Verdict {
        let mut table = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= self.entries_max && !table.contains_key(client) {
            // Only keys have buckets, and there are fewer keys than entries: what is full is of keys that are gone.
            table.retain(|_, full_at| *full_at > now);
        }
        let full_at = table.entry(client.clone()).or_insert(now);
        let (next, verdict) = take(tier, *full_at, now);
        *full_at = next;
        verdict
    }
}

/// Returns when the bucket is full after the call, and the verdict.
pub(super) fn take(tier: Tier, full_at: Duration, now: Duration) -> (Duration, Verdict) {
    let (interval, refill) = (tier.interval(), tier.refill());
    let ahead = (full_at.max(now) + interval).saturating_sub(now);
    let is_allowed = ahead <= refill;
    let used = if is_allowed { ahead } else { ahead.saturating_sub(interval) };
    let remaining = ((refill.saturating_sub(used)).as_nanos() / interval.as_nanos().max(1)) as u32;
    let reset_after = if is_allowed { used } else { ahead.saturating_sub(refill) };
    let verdict = Verdict { is_allowed, limit: tier.burst(), remaining, window: refill, reset_after };
    (now + used, verdict)
}

#[cfg(test)]
mod tests {
    use super::super::RateLimits;
    use super::*;

    fn tier(text: &str) -> Tier {
        RateLimits::parse_tiers(&format!("t={text}")).unwrap()["t"]
    }

    fn client(name: &str) -> Client {
        Client::Key(name.into())
    }

    #[test]
    fn a_burst_passes_and_then_the_steady_rate() {
        let (table, tier) = (BucketTable::new(10), tier("10/s:3"));
        let at = |ms| table.count(&client("a"), tier, Duration::from_millis(ms));
        assert_eq!((0..5).filter(|_| at(0).is_allowed).count(), 3);
        assert_eq!((at(99).is_allowed, at(99).reset_after), (false, Duration::from_millis(1)));
        assert_eq!((at(100).is_allowed, at(100).is_allowed), (true, false));
        let verdict = at(1000);
        assert_eq!((verdict.is_allowed, verdict.remaining, verdict.reset_after.as_millis()), (true, 2, 100));
        assert!(table.count(&client("b"), tier, Duration::ZERO).is_allowed);
    }

    #[test]
    fn the_table_is_bounded() {
        let (table, tier) = (BucketTable::new(100), tier("10/s:3"));
        for number in 0..1000 {
            table.count(&client(&number.to_string()), tier, Duration::from_secs(number));
        }
        assert!(table.full_at.lock().unwrap().len() <= 101);
    }
}
