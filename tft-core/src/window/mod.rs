//! The rolling window: the recent history of every server in fixed steps.
//!
//! Owns how samples become steps: which are accepted, how those of one step are aggregated, what is kept,
//! and how much of it can be used. Reads no clock; the caller says what time it is. Knows nothing of files
//! or models.
//!
//! A sample belongs to the step of its own timestamp. The newest step of a server and the
//! [`grace_steps`](WindowConfig::grace_steps) before it take samples in any order and any number of times;
//! older ones are closed. That is measured in the server's own time, so that a replay of old data behaves
//! as it did live.

#[cfg(feature = "arrow")]
mod arrow;
#[cfg(feature = "arrow")]
mod closed;
mod config;
mod fault;
mod feed;
mod fleet;
mod open_step;
mod readiness;
mod record;
mod report;
mod ring;
#[cfg(feature = "parquet")]
mod rows;
mod server;
#[cfg(feature = "parquet")]
mod stored;
#[cfg(test)]
mod tests;
mod view;

#[cfg(feature = "parquet")]
pub(crate) use arrow::fields;
#[cfg(feature = "arrow")]
pub(crate) use closed::StoredSample;
pub use config::WindowConfig;
pub use feed::{Feed, FeedLimits};
pub use readiness::{Readiness, ReadinessState};
pub use record::Record;
pub use report::{Expired, IngestReport, Rejection};
#[cfg(feature = "parquet")]
pub(crate) use rows::StoredRows;
pub use view::ServerView;

use fault::{Fault, Reason};
use fleet::Fleet;
use open_step::{Placement, Sample};
use ring::Mark;
use server::Rules;

use crate::error::{Error, ErrorKind};
use crate::schema::Schema;
use crate::time::{Step, Timestamp};

/// The recent history of every server, in fixed steps.
///
/// # Performance
/// A sample in time order costs O(metrics); one out of order folds its step again. Once a server is known
/// and has seen as many samples in a step as it sends, a sample allocates nothing.
///
/// A clone costs a pointer per server and shares their histories. The first sample of a server after that
/// copies its history, if the clone is still there: what is done with a clone never stops the feed.
///
/// # Examples
/// ```
/// use tft_core::schema::Schema;
/// use tft_core::time::Timestamp;
/// use tft_core::window::{Record, RollingWindow, WindowConfig};
///
/// let schema = Schema::server_metrics();
/// let mut window = RollingWindow::new(schema.clone(), WindowConfig::default())?;
/// let now = Timestamp::parse("2026-01-05T12:00:00Z")?;
/// let record = Record::new(&schema, "ppdb001", now)?.with("cpu_user_pct", 25.3)?;
/// let report = window.ingest(&[record], now)?;
/// assert_eq!((report.accepted, report.rejected), (1, 0));
/// assert_eq!(window.server("ppdb001").map(|server| server.profile().as_str()), Some("database"));
/// # Ok::<(), tft_core::Error>(())
/// ```
#[derive(Clone)]
pub struct RollingWindow {
    schema: Schema,
    rules: Rules,
    fleet: Fleet,
    tick_count: u64,
    generation: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("batch has {count} records, allowed are at most {max}")]
struct BatchTooLarge {
    count: usize,
    max: usize,
}

impl RollingWindow {
    /// Builds an empty window.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the first key that is out of range.
    pub fn new(schema: Schema, config: WindowConfig) -> Result<Self, Error> {
        config.validate()?;
        let aggregations = schema.metrics().iter().map(|metric| metric.aggregation).collect();
        let rules = Rules { config, aggregations };
        Ok(Self { schema, rules, fleet: Fleet::new(), tick_count: 0, generation: 0 })
    }

    /// Takes the good records of a batch, in their order, and reports the others.
    ///
    /// A record is refused if it was made for another schema, has neither a metric value nor a status, lies
    /// more than [`future_tolerance_ms`](WindowConfig::future_tolerance_ms) after `now`, is late, has a
    /// timestamp too many for its step, or names a server too many.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] if there are more than [`records_max`](WindowConfig::records_max)
    /// records; none is taken then.
    pub fn ingest(&mut self, records: &[Record], now: Timestamp) -> Result<IngestReport, Error> {
        self.ingest_at(records.iter().enumerate(), now)
    }

    /// Takes the good records of a parsed feed; the report also lists what the parser refused.
    ///
    /// # Errors
    /// As [`ingest`](Self::ingest).
    pub fn ingest_feed(&mut self, feed: Feed, now: Timestamp) -> Result<IngestReport, Error> {
        let mut report = self.ingest_at(feed.indexed_records(), now)?;
        report.unknown_fields = feed.unknown_fields();
        report.merge(feed.rejected(), feed.into_errors());
        Ok(report)
    }

    /// Forgets a server; returns whether there was one of this name.
    pub fn remove(&mut self, server_name: &str) -> bool {
        let removed = self.fleet.remove(server_name);
        self.generation += u64::from(removed);
        removed
    }

    /// Forgets what is too old: servers that are silent for longer than
    /// [`steps_per_server`](WindowConfig::steps_per_server) steps while others go on, and, with
    /// [`retention_ms`](WindowConfig::retention_ms), every step that ended longer before `now`, with the servers that
    /// have no other.
    ///
    /// A fleet that is silent as a whole, or a replay of old data, loses nothing by the first rule. A
    /// `store::Store` calls this at each checkpoint; others call it when it suits them. A full window
    /// makes room for a new server by the first rule itself.
    pub fn expire(&mut self, now: Timestamp) -> Expired {
        let config = &self.rules.config;
        let oldest = config.retention_ms.map(|millis| config.step.step_at(now.plus_millis(-millis)));
        let (servers, steps) = self.fleet.expire(config.steps_per_server, oldest);
        self.generation += u64::from(steps > 0);
        Expired { servers, steps }
    }

    /// Returns a window in which a metric of one server had other values; none if there is no such server or metric.
    ///
    /// `change` is asked for every known value of `first..=last`, with its step. Missing values stay missing, samples
    /// that come later fold into their steps as if nothing had been changed, and the histories of all other servers are shared with this window.
    pub(crate) fn with_changed(
        &self,
        server: &str,
        metric: usize,
        (first, last): (Step, Step),
        change: impl Fn(Step, f32) -> f32,
    ) -> Option<Self> {
        self.schema.metrics().get(metric)?;
        let mut changed = self.clone();
        changed.fleet.change(server, |server| server.change(metric, (first, last), change))?;
        changed.generation += 1;
        Some(changed)
    }

    /// Returns what is measured.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the configuration.
    pub fn config(&self) -> &WindowConfig {
        &self.rules.config
    }

    /// Returns the servers in the order of their names.
    pub fn servers(&self) -> impl ExactSizeIterator<Item = ServerView<'_>> {
        self.fleet.in_name_order().map(|server| ServerView { window: self, server })
    }

    /// Returns a server by name.
    pub fn server(&self, name: &str) -> Option<ServerView<'_>> {
        self.fleet.find(name).map(|server| ServerView { window: self, server })
    }

    /// Returns the newest closed step of the fleet, from which forecasts start; none without data.
    ///
    /// A step counts as closed when its end and the grace time have passed by `now`, or when every server
    /// that keeps up has sent a later one; it is never newer than the newest data. So a dead feed does not
    /// move the origin, and a replay of old data has one although the clock is far ahead. A server keeps up
    /// if it is at most [`gap_fill_steps_max`](WindowConfig::gap_fill_steps_max) steps behind the newest.
    pub fn origin(&self, now: Timestamp) -> Option<Step> {
        let fleet_newest = self.fleet.newest()?;
        let config = &self.rules.config;
        let grace_ms = config.grace_steps as i64 * config.step.as_millis();
        let closed_by_clock = config.step.step_at(now.plus_millis(-grace_ms)).plus(-1);
        let keeps_up = |step: &Step| fleet_newest.since(*step) <= config.gap_fill_steps_max as i64;
        let newest_steps = self.fleet.servers().map(|server| server.ring().newest());
        let slowest = newest_steps.filter(keeps_up).min().unwrap_or(fleet_newest);
        Some(closed_by_clock.max(slowest.plus(-1)).min(fleet_newest))
    }

    /// Returns the number of steps with samples over all servers.
    pub fn step_count(&self) -> usize {
        self.fleet.step_count()
    }

    /// Returns the number of servers.
    pub fn server_count(&self) -> usize {
        self.fleet.len()
    }

    /// Returns how many batches were ever taken, at least in part; a checkpoint keeps the count.
    pub fn tick_count(&self) -> u64 {
        self.tick_count
    }

    /// Returns a number that changes whenever the window's content does; it starts again with the process.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns how much memory the window holds.
    ///
    /// At most 1.1 × servers × steps × metrics × 4 bytes (from three metrics on) and a constant of about a
    /// kilobyte per server, plus the raw samples of the steps that still take more: per server at most
    /// (`grace_steps` + 1) × `samples_per_step_max` × (metrics × 4 + 9) bytes, and twice that at most while
    /// buffers grow. Servers that were fed since a clone was made are held twice while it lives.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.fleet.memory_bytes()
    }

    fn ingest_at<'r>(
        &mut self,
        records: impl ExactSizeIterator<Item = (usize, &'r Record)>,
        now: Timestamp,
    ) -> Result<IngestReport, Error> {
        let (count, max) = (records.len(), self.rules.config.records_max);
        if count > max {
            return Err(Error::new(ErrorKind::LimitExceeded, BatchTooLarge { count, max }));
        }
        Ok(self.take_all(records, now))
    }

    fn take_all<'r>(
        &mut self,
        records: impl Iterator<Item = (usize, &'r Record)>,
        now: Timestamp,
    ) -> IngestReport {
        let mut report = IngestReport::default();
        for (index, record) in records {
            match self.take(record, now) {
                Ok(placement) => {
                    report.accepted += 1;
                    report.duplicates += usize::from(placement == Placement::Replaced);
                }
                Err(fault) => {
                    report.late += usize::from(matches!(fault.reason, Reason::Late { .. }));
                    report.reject(index, &fault);
                }
            }
        }
        self.tick_count = self.tick_count.saturating_add(u64::from(report.accepted > 0));
        report
    }

    fn take(&mut self, record: &Record, now: Timestamp) -> Result<Placement, Fault> {
        if *record.schema() != self.schema {
            return Err(Fault::new("record", "", Reason::OtherSchema));
        }
        if record.is_empty() {
            return Err(Fault::new("record", "", Reason::Empty));
        }
        let tolerance_ms = self.rules.config.future_tolerance_ms;
        if record.timestamp() > now.plus_millis(tolerance_ms) {
            return Err(fault_of_time(record, Reason::Future { tolerance_ms, now }));
        }
        self.place(record).map_err(|reason| match reason {
            Reason::FleetFull { .. } => Fault::new("server_name", record.server().as_str(), reason),
            _ => fault_of_time(record, reason),
        })
    }

    fn place(&mut self, record: &Record) -> Result<Placement, Reason> {
        let mark = Mark::of(record.status());
        let sample = Sample { at: record.timestamp(), mark, values: record.values() };
        let infer = || self.schema.profiles().infer(record.server().as_str()).clone();
        let (server, placement) = self.fleet.add(record.server(), infer, sample, &self.rules)?;
        server.tell_profile(record.profile());
        self.generation += 1;
        Ok(placement)
    }
}

impl std::fmt::Debug for RollingWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RollingWindow")
            .field("config", self.config())
            .field("servers", &self.server_count())
            .field("steps", &self.step_count())
            .finish_non_exhaustive()
    }
}

fn fault_of_time(record: &Record, reason: Reason) -> Fault {
    Fault::new("timestamp", &record.timestamp().to_string(), reason)
}
