//! Episodes: from when an alert fires until it is resolved.

use std::collections::BTreeMap;

use crate::alert::{AlertState, Severity, Transition};
use crate::error::{Error, ErrorKind};
use crate::schema::ServerName;
use crate::time::Timestamp;

/// One alert from when it fires until it is resolved; without data in between it goes on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Episode {
    pub(super) server: ServerName,
    pub(super) start: Timestamp,
    /// When it was resolved; none if it still was not at the end.
    pub(super) end: Option<Timestamp>,
    pub(super) severity: Severity,
}

/// The episodes of each rule.
#[derive(Debug, Default)]
pub(super) struct Episodes {
    open: BTreeMap<(String, ServerName), Episode>,
    /// By rule, in the order in which they ended.
    closed: BTreeMap<String, Vec<Episode>>,
    count: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("rules fire more than {} times", Episodes::COUNT_MAX)]
struct TooMany;

impl Episodes {
    /// Most episodes of a backtest.
    const COUNT_MAX: usize = 1_000_000;

    /// Takes what changed at a moment.
    pub(super) fn take(&mut self, transitions: &[Transition], now: Timestamp) -> Result<(), Error> {
        for Transition { alert, .. } in transitions {
            let key = (alert.rule.clone(), alert.server.clone());
            match alert.state {
                AlertState::Firing => {
                    let new = || Episode {
                        server: alert.server.clone(),
                        start: now,
                        end: None,
                        severity: alert.severity,
                    };
                    let before = self.open.len();
                    let episode = self.open.entry(key).or_insert_with(new);
                    episode.severity = episode.severity.max(alert.severity);
                    self.count += self.open.len() - before;
                }
                AlertState::Resolved | AlertState::Pending => self.close(&key, now),
                AlertState::NoData => {}
            }
        }
        if self.count > Self::COUNT_MAX {
            return Err(Error::new(ErrorKind::LimitExceeded, TooMany));
        }
        Ok(())
    }

    /// Returns the episodes by rule, by server and time.
    pub(super) fn finish(mut self) -> BTreeMap<String, Vec<Episode>> {
        for ((rule, _), episode) in self.open {
            self.closed.entry(rule).or_default().push(episode);
        }
        for episodes in self.closed.values_mut() {
            episodes.sort_by(|a, b| (&a.server, a.start).cmp(&(&b.server, b.start)));
        }
        self.closed
    }

    fn close(&mut self, key: &(String, ServerName), now: Timestamp) {
        if let Some(mut episode) = self.open.remove(key) {
            episode.end = Some(now);
            self.closed.entry(key.0.clone()).or_default().push(episode);
        }
    }
}

/// Joins episodes of several rules that overlap on a server, or follow each other without a pause.
pub(super) fn merged<'e>(episodes: impl IntoIterator<Item = &'e Episode>) -> Vec<Episode> {
    let mut all: Vec<_> = episodes.into_iter().cloned().collect();
    all.sort_by(|a, b| (&a.server, a.start).cmp(&(&b.server, b.start)));
    let mut merged: Vec<Episode> = Vec::new();
    for episode in all {
        match merged.last_mut() {
            Some(last)
                if last.server == episode.server && last.end.is_none_or(|end| episode.start <= end) =>
            {
                last.end = last.end.zip(episode.end).map(|(a, b)| a.max(b));
                last.severity = last.severity.max(episode.severity);
            }
            _ => merged.push(episode),
        }
    }
    merged
}
