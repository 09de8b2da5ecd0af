//! How often a client may call.
//!
//! Owns the [`RateLimiter`]: exact sliding windows per class of route and client, an optional window over all of a
//! client's calls, and token buckets for keys that name a tier. Tables are bounded. Reads no clock. With the feature
//! `redis` and [`RateLimits::redis`], what is counted is shared by several instances; see `shared`.

mod bucket;
mod config;
#[cfg(feature = "redis")]
mod shared;
mod window;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use config::{RateLimits, RedisLimits, Tier, WindowLimit};

use crate::auth::{Client, Principal};
use bucket::BucketTable;
use window::WindowTable;

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

/// What is counted by windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bucket {
    Route(RouteClass),
    /// All calls of a client together.
    All,
    AuthenticationFailures,
}

/// Counts calls and says which are too many.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    limits: RateLimits,
    calls: WindowTable,
    /// Apart from the calls: whoever guesses keys cannot push out what is known of callers.
    failures: WindowTable,
    buckets: BucketTable,
    refused_count: AtomicU64,
    #[cfg(feature = "redis")]
    shared: Option<shared::SharedLimits>,
}

/// Whether a call may pass, and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) is_allowed: bool,
    /// Calls per window.
    pub(crate) limit: u32,
    /// Calls that may follow at once.
    pub(crate) remaining: u32,
    pub(crate) window: Duration,
    /// Until the oldest counted call leaves the window; for a tier, until a call can pass or the bucket is full.
    pub(crate) reset_after: Duration,
}

/// One window that a call must fit in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    bucket: Bucket,
    limit: WindowLimit,
}

impl RateLimiter {
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self {
            calls: WindowTable::new(ENTRIES_MAX),
            failures: WindowTable::new(ENTRIES_MAX),
            buckets: BucketTable::new(ENTRIES_MAX),
            refused_count: AtomicU64::new(0),
            #[cfg(feature = "redis")]
            shared: limits.redis.as_ref().map(shared::SharedLimits::new),
            limits,
        }
    }

    /// Counts one call at `now` of a monotonic clock; none if the class is not limited. A refused call does not
    /// count.
    ///
    /// # Cancel safety
    /// A call that was counted stays counted.
    pub(crate) async fn count(
        &self,
        class: RouteClass,
        principal: &Principal,
        address: IpAddr,
        now: Duration,
    ) -> Option<Verdict> {
        let windows = self.windows_of(class)?;
        let client = principal.client(address);
        let tier = principal.tier().and_then(|name| self.limits.tier(name));
        let verdict = match tier {
            Some(tier) => self.count_tier(tier, &client, now).await,
            None => self.count_windows(&self.calls, &windows, &client, now).await,
        };
        Some(self.noted(verdict))
    }

    /// Counts one failed authentication at `now` of a monotonic clock.
    pub(crate) async fn count_failure(&self, address: IpAddr, now: Duration) -> Verdict {
        let limit = WindowLimit::per_minute(self.limits.authentication_failures);
        let failure = [Counted { bucket: Bucket::AuthenticationFailures, limit }];
        let client = Client::of_address(address);
        self.noted(self.count_windows(&self.failures, &failure, &client, now).await)
    }

    /// Returns how many calls were refused.
    #[allow(dead_code, reason = "for the metrics")]
    pub(crate) fn refused_count(&self) -> u64 {
        self.refused_count.load(Ordering::Relaxed)
    }

    /// Returns how many calls were counted by this instance alone because Redis could not be used.
    #[allow(dead_code, reason = "for the metrics")]
    #[cfg(feature = "redis")]
    pub(crate) fn fallback_count(&self) -> u64 {
        self.shared.as_ref().map_or(0, shared::SharedLimits::fallback_count)
    }

    async fn count_tier(&self, tier: Tier, client: &Client, now: Duration) -> Verdict {
        #[cfg(feature = "redis")]
        if let Some(shared) = &self.shared
            && let Some(verdict) = shared.count_tier(tier, client, now).await
        {
            // Counted here too, so that the limits go on from there without Redis.
            self.buckets.count(client, tier, now);
            return verdict;
        }
        std::future::ready(self.buckets.count(client, tier, now)).await
    }

    async fn count_windows(
        &self,
        table: &WindowTable,
        windows: &[Counted],
        client: &Client,
        now: Duration,
    ) -> Verdict {
        #[cfg(feature = "redis")]
        if let Some(shared) = &self.shared
            && let Some(verdict) = shared.count_windows(windows, client, now).await
        {
            if verdict.is_allowed {
                table.count(windows, client, now);
            }
            return verdict;
        }
        std::future::ready(table.count(windows, client, now)).await
    }

    fn windows_of(&self, class: RouteClass) -> Option<Vec<Counted>> {
        let per_minute = match class {
            RouteClass::Feed => self.limits.feed,
            RouteClass::Predictions => self.limits.predictions,
            RouteClass::Alerts => self.limits.alerts,
            RouteClass::Other => self.limits.other,
            RouteClass::Exempt => return None,
        };
        let own = Counted { bucket: Bucket::Route(class), limit: WindowLimit::per_minute(per_minute) };
        let all = self.limits.all.map(|limit| Counted { bucket: Bucket::All, limit });
        Some(std::iter::once(own).chain(all).collect())
    }

    fn noted(&self, verdict: Verdict) -> Verdict {
        if !verdict.is_allowed {
            self.refused_count.fetch_add(1, Ordering::Relaxed);
        }
        verdict
    }
}

impl Verdict {
    /// Returns whole seconds until a call can pass again, at least one.
    pub(crate) fn retry_after_s(&self) -> u64 {
        self.reset_after.as_millis().div_ceil(1000).max(1) as u64
    }

    /// Returns the one of two that a client should know of: the refusal that lasts longer, or where less is left.
    fn stricter(self, other: Self) -> Self {
        let rank = |verdict: &Self| {
            let within = if verdict.is_allowed {
                u128::from(verdict.remaining)
            } else {
                u128::MAX - verdict.reset_after.as_nanos()
            };
            (verdict.is_allowed, within)
        };
        if rank(&other) < rank(&self) { other } else { self }
    }
}

/// Most clients remembered by each table.
const ENTRIES_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::{AuthConfig, KeyRing, KeySources};
    use crate::clock::ManualClock;
    use crate::config::Config;
    use tft_core::time::Timestamp;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const A: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    const B: &str = "7c6b5a4938271605f4e3d2c1b0a99887";

    fn principal(entry: &str, secret: &str) -> Principal {
        let keys = KeySources { api_keys: Some(entry.into()), ..KeySources::default() };
        let auth = AuthConfig { keys, ..AuthConfig::default() };
        let tiers = RateLimits::parse_tiers("gold=1/s:1,slow=1/s:1").unwrap();
        let rate_limits = RateLimits { tiers, ..RateLimits::default() };
        let config = Config { auth, rate_limits, ..Config::default() };
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        KeyRing::load(&config, clock).unwrap().authenticate_key(secret).unwrap()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn count(limiter: &RateLimiter, class: RouteClass, who: &Principal, now: Duration) -> Verdict {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(limiter.count(class, who, ADDRESS, now)).unwrap()
    }

    fn passed(limiter: &RateLimiter, class: RouteClass, who: &Principal, calls: usize) -> usize {
        (0..calls).filter(|_| count(limiter, class, who, at(0)).is_allowed).count()
    }

    #[test]
    fn each_class_passes_its_limit_and_not_one_more() {
        let limiter = RateLimiter::new(RateLimits::default());
        let who = principal(A, A);
        for (class, limit) in [
            (RouteClass::Feed, 60),
            (RouteClass::Predictions, 30),
            (RouteClass::Alerts, 30),
            (RouteClass::Other, 60),
        ] {
            assert_eq!(passed(&limiter, class, &who, limit + 1), limit, "{class:?}");
        }
        assert_eq!(limiter.refused_count(), 4);
        assert_eq!(limiter.windows_of(RouteClass::Exempt), None);
    }

    #[test]
    fn clients_do_not_share() {
        let limiter = RateLimiter::new(RateLimits::default());
        let (a, b) = (principal(A, A), principal(B, B));
        assert_eq!(passed(&limiter, RouteClass::Alerts, &a, 31), 30);
        assert_eq!(passed(&limiter, RouteClass::Alerts, &b, 31), 30);
    }

    #[test]
    fn the_window_over_all_calls_holds_across_classes_and_refusals_cost_nothing() {
        let all = Some(WindowLimit::new(50, at(10)).unwrap());
        let limiter = RateLimiter::new(RateLimits { all, ..RateLimits::default() });
        let who = principal(A, A);
        assert_eq!(passed(&limiter, RouteClass::Predictions, &who, 40), 30);
        assert_eq!(passed(&limiter, RouteClass::Alerts, &who, 40), 20);
        let refused = count(&limiter, RouteClass::Feed, &who, at(0));
        assert_eq!(
            (refused.is_allowed, refused.limit, refused.window, refused.retry_after_s()),
            (false, 50, at(10), 10)
        );
        assert!(count(&limiter, RouteClass::Alerts, &who, at(10)).is_allowed);
        let refused = count(&limiter, RouteClass::Predictions, &who, at(10));
        assert_eq!((refused.is_allowed, refused.limit, refused.retry_after_s()), (false, 30, 50));
    }

    #[test]
    fn a_tier_replaces_the_windows_of_its_keys() {
        let tiers = RateLimits::parse_tiers("gold=1000/s:1000,slow=2/m:3").unwrap();
        let limiter = RateLimiter::new(RateLimits { tiers, ..RateLimits::default() });
        let gold = principal(&format!("a:{A}:read:gold"), A);
        assert_eq!(passed(&limiter, RouteClass::Predictions, &gold, 2000), 1000);
        let slow = principal(&format!("b:{B}:read:slow"), B);
        assert_eq!(passed(&limiter, RouteClass::Predictions, &slow, 2), 2);
        assert_eq!(passed(&limiter, RouteClass::Alerts, &slow, 5), 1);
        let refused = count(&limiter, RouteClass::Alerts, &slow, at(29));
        assert_eq!((refused.is_allowed, refused.limit, refused.retry_after_s()), (false, 3, 1));
        assert!(count(&limiter, RouteClass::Alerts, &slow, at(30)).is_allowed);
        assert!(!count(&limiter, RouteClass::Alerts, &slow, at(30)).is_allowed);
    }

    #[test]
    fn failures_are_counted_by_address_and_apart_from_calls() {
        let limiter = RateLimiter::new(RateLimits::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let fail = || runtime.block_on(limiter.count_failure(ADDRESS, at(0)));
        assert_eq!((0..31).filter(|_| fail().is_allowed).count(), 30);
        assert_eq!(passed(&limiter, RouteClass::Alerts, &principal(A, A), 1), 1);
        let other = "2001:db8::1".parse().unwrap();
        assert!(runtime.block_on(limiter.count_failure(other, at(0))).is_allowed);
    }
}
