//! How often a client may call: an exact sliding window per class of route and principal.
//!
//! Owns the table of recent calls, which is bounded: the principal with the fewest calls is forgotten first. Reads
//! no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::auth::Principal;
use crate::config::RateLimits;

/// What a route counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RouteClass {
    /// Taking in samples.
    Feed,
    /// Reading forecasts.
    Predictions,
    /// Reading alerts.
    Alerts,
    /// Everything else that is limited.
    Other,
    /// Not limited: probes of health and status.
    Exempt,
}

/// What is counted: calls of a class of route, or failed authentications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bucket {
    Route(RouteClass),
    AuthenticationFailures,
}

/// Counts calls and says which are too many.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    limits: RateLimits,
    entries_max: usize,
    calls: Mutex<CallTable>,
}

/// Whether a call may pass, and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) is_allowed: bool,
    /// Calls per [`RateLimiter::WINDOW`].
    pub(crate) limit: u32,
    /// Calls that may follow at once.
    pub(crate) remaining: u32,
    /// When the oldest counted call leaves the window.
    pub(crate) reset_after: Duration,
}

impl RateLimiter {
    /// The length of the sliding window.
    pub(crate) const WINDOW: Duration = Duration::from_mins(1);

    pub(crate) fn new(limits: RateLimits) -> Self {
        Self { limits, entries_max: ENTRIES_MAX, calls: Mutex::default() }
    }

    /// Counts one call at `now` of a monotonic clock; none if the bucket is not limited. A refused call does
    /// not count.
    pub(crate) fn count(&self, bucket: Bucket, principal: Principal, now: Duration) -> Option<Verdict> {
        let limit = self.limit(bucket)?;
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= self.entries_max && !calls.contains_key(&(bucket, principal)) {
            forget_idle(&mut calls, now, self.entries_max);
        }
        Some(count_call(calls.entry((bucket, principal)).or_default(), limit, now))
    }

    fn limit(&self, bucket: Bucket) -> Option<u32> {
        match bucket {
            Bucket::Route(RouteClass::Feed) => Some(self.limits.feed),
            Bucket::Route(RouteClass::Predictions) => Some(self.limits.predictions),
            Bucket::Route(RouteClass::Alerts) => Some(self.limits.alerts),
            Bucket::Route(RouteClass::Other) => Some(self.limits.other),
            Bucket::Route(RouteClass::Exempt) => None,
            Bucket::AuthenticationFailures => Some(self.limits.authentication_failures),
        }
    }
}

impl Verdict {
    /// Returns whole seconds until a call can pass again, at least one.
    pub(crate) fn retry_after_s(&self) -> u64 {
        self.reset_after.as_millis().div_ceil(1000).max(1) as u64
    }
}

fn count_call(calls: &mut VecDeque<Duration>, limit: u32, now: Duration) -> Verdict {
    while calls.front().is_some_and(|&call| now.saturating_sub(call) >= RateLimiter::WINDOW) {
        calls.pop_front();
    }
    let is_allowed = calls.len() < limit as usize;
    if is_allowed {
        calls.push_back(now);
    }
    let oldest = calls.front().copied().unwrap_or(now);
    Verdict {
        is_allowed,
        limit,
        remaining: limit.saturating_sub(calls.len() as u32),
        reset_after: (oldest + RateLimiter::WINDOW).saturating_sub(now),
    }
}

/// Drops principals whose calls have all left the window, and then those with the fewest calls until a tenth
/// of the table is free: a crowd of newcomers cannot make the limiter forget who is at its limit.
fn forget_idle(calls: &mut CallTable, now: Duration, entries_max: usize) {
    let newest = |calls: &VecDeque<Duration>| calls.back().copied().unwrap_or_default();
    calls.retain(|_, calls| now.saturating_sub(newest(calls)) < RateLimiter::WINDOW);
    let excess = calls.len().saturating_sub(entries_max - entries_max.div_ceil(10));
    if excess == 0 {
        return;
    }
    let mut by_use: Vec<_> = calls.iter().map(|(key, calls)| (calls.len(), newest(calls), *key)).collect();
    by_use.select_nth_unstable_by_key(excess - 1, |&(count, newest, _)| (count, newest));
    for (_, _, key) in &by_use[..excess] {
        calls.remove(key);
    }
}

type CallTable = HashMap<(Bucket, Principal), VecDeque<Duration>>;

/// Most principals remembered, over all buckets.
const ENTRIES_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    const PREDICTIONS: Bucket = Bucket::Route(RouteClass::Predictions);

    fn limiter() -> RateLimiter {
        RateLimiter::new(RateLimits::default())
    }

    fn passed(limiter: &RateLimiter, at_ms: u64, calls: usize) -> usize {
        let count = || limiter.count(PREDICTIONS, Principal::Key(0), Duration::from_millis(at_ms)).unwrap();
        (0..calls).filter(|_| count().is_allowed).count()
    }

    #[test]
    fn exactly_thirty_of_a_burst_pass_in_any_sixty_seconds() {
        let limiter = limiter();
        assert_eq!(passed(&limiter, 0, 10), 10);
        assert_eq!(passed(&limiter, 30_000, 90), 20);
        assert_eq!(passed(&limiter, 59_999, 100), 0);
        assert_eq!(passed(&limiter, 60_000, 100), 10);
        assert_eq!(passed(&limiter, 90_000, 100), 20);
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let limiter = limiter();
        passed(&limiter, 0, 30);
        let at = Duration::from_millis(14_500);
        let verdict = limiter.count(PREDICTIONS, Principal::Key(0), at).unwrap();
        assert_eq!((verdict.is_allowed, verdict.remaining, verdict.retry_after_s()), (false, 0, 46));
    }

    #[test]
    fn principals_and_buckets_do_not_share() {
        let limiter = limiter();
        passed(&limiter, 0, 31);
        assert!(limiter.count(PREDICTIONS, Principal::Key(1), Duration::ZERO).unwrap().is_allowed);
        let alerts = Bucket::Route(RouteClass::Alerts);
        assert!(limiter.count(alerts, Principal::Key(0), Duration::ZERO).unwrap().is_allowed);
        assert_eq!(limiter.count(Bucket::Route(RouteClass::Exempt), Principal::Key(0), Duration::ZERO), None);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_busy() {
        let limiter = RateLimiter { entries_max: 100, ..limiter() };
        for host in 0..1000_u32 {
            let address = std::net::Ipv4Addr::from_bits(host).into();
            let now = Duration::from_millis(u64::from(host));
            limiter.count(PREDICTIONS, Principal::Network(address), now).unwrap();
            limiter.count(PREDICTIONS, Principal::Key(0), now).unwrap();
        }
        assert!(limiter.calls.lock().unwrap().len() <= 100);
        assert_eq!(passed(&limiter, 1000, 1), 0);
    }
}
