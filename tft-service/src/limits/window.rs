//! Exact sliding windows of many clients.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::config::WindowLimit;
use super::{Bucket, Counted, Verdict};
use crate::auth::Client;

/// The recent calls of many clients. When it is full, the clients with the fewest calls are forgotten first.
#[derive(Debug)]
pub(super) struct WindowTable {
    entries_max: usize,
    calls: Mutex<CallTable>,
}

/// The recent calls of one client.
#[derive(Debug, Default)]
struct Calls {
    at: VecDeque<Duration>,
    /// How long a call counts.
    window: Duration,
}

type CallTable = HashMap<(Bucket, Client), Calls>;

impl WindowTable {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries_max, calls: Mutex::default() }
    }

    /// Counts one call in all windows if it fits in each, otherwise in none; returns the strictest verdict.
    pub(super) fn count(&self, windows: &[Counted], client: &Client, now: Duration) -> Verdict {
        let mut table = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let is_allowed =
            windows.iter().all(|window| self.calls_of(&mut table, window, client, now).fits(window.limit));
        let verdicts = windows.iter().map(|window| {
            let calls = self.calls_of(&mut table, window, client, now);
            let fits = calls.fits(window.limit);
            if is_allowed {
                calls.at.push_back(now);
            }
            calls.verdict(window.limit, is_allowed || fits, now)
        });
        verdicts.reduce(Verdict::stricter).unwrap_or(UNLIMITED)
    }

    fn calls_of<'a>(
        &self,
        table: &'a mut CallTable,
        window: &Counted,
        client: &Client,
        now: Duration,
    ) -> &'a mut Calls {
        let key = (window.bucket, client.clone());
        if table.len() >= self.entries_max && !table.contains_key(&key) {
            forget_idle(table, now, self.entries_max);
        }
        let calls = table.entry(key).or_default();
        calls.window = window.limit.window();
        calls.forget_old(now);
        calls
    }
}

impl Calls {
    fn fits(&self, limit: WindowLimit) -> bool {
        self.at.len() < limit.calls() as usize
    }

    fn forget_old(&mut self, now: Duration) {
        while self.at.front().is_some_and(|&call| now.saturating_sub(call) >= self.window) {
            self.at.pop_front();
        }
    }

    fn verdict(&self, limit: WindowLimit, is_allowed: bool, now: Duration) -> Verdict {
        let oldest = self.at.front().copied().unwrap_or(now);
        Verdict {
            is_allowed,
            limit: limit.calls(),
            remaining: limit.calls().saturating_sub(self.at.len() as u32),
            window: self.window,
            reset_after: (oldest + self.window).saturating_sub(now),
        }
    }

    fn newest(&self) -> Duration {
        self.at.back().copied().unwrap_or_default()
    }
}

/// Drops clients whose calls have all left the window, and then those with the fewest calls until a tenth
/// of the table is free: a crowd of newcomers cannot make the limiter forget who is at its limit.
fn forget_idle(table: &mut CallTable, now: Duration, entries_max: usize) {
    table.retain(|_, calls| now.saturating_sub(calls.newest()) < calls.window);
    let excess = table.len().saturating_sub(entries_max - entries_max.div_ceil(10));
    if excess == 0 {
        return;
    }
    let mut by_use: Vec<_> =
        table.iter().map(|(key, calls)| (calls.at.len(), calls.newest(), key.clone())).collect();
    by_use.select_nth_unstable_by_key(excess - 1, |&(count, newest, _)| (count, newest));
    for (_, _, key) in &by_use[..excess] {
        table.remove(key);
    }
}

const UNLIMITED: Verdict = Verdict {
    is_allowed: true,
    limit: u32::MAX,
    remaining: u32::MAX,
    window: Duration::ZERO,
    reset_after: Duration::ZERO,
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::RouteClass;
    use super::*;

    const PREDICTIONS: Bucket = Bucket::Route(RouteClass::Predictions);

    fn counted(bucket: Bucket, calls: u32, seconds: u64) -> Counted {
        Counted { bucket, limit: WindowLimit::new(calls, Duration::from_secs(seconds)).unwrap() }
    }

    fn client() -> Client {
        Client::Key("ops".into())
    }

    fn passed(table: &WindowTable, at_ms: u64, calls: usize) -> usize {
        let windows = [counted(PREDICTIONS, 30, 60)];
        let count = || table.count(&windows, &client(), Duration::from_millis(at_ms));
        (0..calls).filter(|_| count().is_allowed).count()
    }

    #[test]
    fn exactly_thirty_of_a_burst_pass_in_any_sixty_seconds() {
        let table = WindowTable::new(100);
        assert_eq!(passed(&table, 0, 10), 10);
        assert_eq!(passed(&table, 30_000, 90), 20);
        assert_eq!(passed(&table, 59_999, 100), 0);
        assert_eq!(passed(&table, 60_000, 100), 10);
        assert_eq!(passed(&table, 90_000, 100), 20);
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let table = WindowTable::new(100);
        passed(&table, 0, 30);
        let at = Duration::from_millis(14_500);
        let verdict = table.count(&[counted(PREDICTIONS, 30, 60)], &client(), at);
        assert_eq!((verdict.is_allowed, verdict.remaining, verdict.retry_after_s()), (false, 0, 46));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_busy() {
        let table = WindowTable::new(100);
        for host in 0..1000_u32 {
            let stranger = Client::of_address(std::net::Ipv4Addr::from_bits(host).into());
            let now = Duration::from_millis(u64::from(host));
            table.count(&[counted(PREDICTIONS, 30, 60)], &stranger, now);
            passed(&table, u64::from(host), 1);
        }
        assert!(table.calls.lock().unwrap().len() <= 100);
        assert_eq!(passed(&table, 1000, 1), 0);
    }

    proptest! {
        /// Against a model that remembers every call and looks through all of them.
        #[test]
        fn windows_agree_with_counting_all_calls(
            steps in proptest::collection::vec((0_u64..4000, any::<bool>()), 1..200),
            limits in (1_u32..6, 1_u32..12, 1_u64..5, 1_u64..9),
        ) {
            let (own, all) = (counted(PREDICTIONS, limits.0, limits.2), counted(Bucket::All, limits.1, limits.3));
            let alerts = counted(Bucket::Route(RouteClass::Alerts), limits.0, limits.2);
            let table = WindowTable::new(100);
            let (mut now, mut history) = (Duration::ZERO, Vec::new());
            for (pause_ms, is_alerts) in steps {
                now += Duration::from_millis(pause_ms);
                let class = if is_alerts { alerts } else { own };
                let recent = |window: Duration, of: Option<bool>| {
                    let counts = |(at, kind): &&(Duration, bool)| now.saturating_sub(*at) < window && of.is_none_or(|of| of == *kind);
                    history.iter().filter(counts).count()
                };
                let fits = recent(class.limit.window(), Some(is_alerts)) < limits.0 as usize
                    && recent(all.limit.window(), None) < limits.1 as usize;
                let verdict = table.count(&[class, all], &client(), now);
                prop_assert_eq!(verdict.is_allowed, fits);
                prop_assert!(verdict.reset_after <= verdict.window);
                if fits {
                    history.push((now, is_alerts));
                } else {
                    // It says when: not a moment before, and then at least this window has room.
                    let history: &Vec<(Duration, bool)> = &history;
                    let later = now + verdict.reset_after;
                    let is_all = verdict.window == all.limit.window() && verdict.limit == limits.1;
                    let room = |window: Duration, of: Option<bool>, limit: u32| {
                        history.iter().filter(|(at, kind)| later.saturating_sub(*at) < window && of.is_none_or(|of| of == *kind)).count() < limit as usize
                    };
                    prop_assert!(room(class.limit.window(), Some(is_alerts), limits.0) || (is_all && room(all.limit.window(), None, limits.1)));
                }
            }
        }
    }
}
