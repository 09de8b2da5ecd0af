//! The detector: from a window's closed steps to cascades.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::baseline::{BaselineRule, Series};
use super::config::{CascadeConfig, Watched};
use super::event::CascadeEvent;
use super::report::{CascadeReport, MetricCascade};
use super::watch::{Beyond, Moment, Servers, Tally, Watch};
use crate::error::Error;
use crate::schema::{Schema, ServerName};
use crate::time::Step;
use crate::window::{RollingWindow, ServerView};

/// Judges every step of a fleet once, and keeps what is usual for each server.
///
/// Deterministic: the same steps give the same events, whether judged one by one or several at a time.
///
/// # Performance
/// A step costs O(servers × metrics); memory is about 100 bytes per server and metric, and the events.
///
/// # Examples
/// ```
/// use tft_core::cascade::{CascadeConfig, CascadeDetector};
/// use tft_core::schema::Schema;
/// use tft_core::time::Timestamp;
/// use tft_core::{Record, RollingWindow, WindowConfig};
///
/// let schema = Schema::server_metrics();
/// let mut window = RollingWindow::new(schema.clone(), WindowConfig::default())?;
/// let mut detector = CascadeDetector::new(CascadeConfig::for_schema(&schema), &schema)?;
/// let mut now = Timestamp::parse("2026-01-05T00:00:00Z")?;
/// for step in 0..50 {
///     let cpu = if step < 48 { 20.0 } else { 90.0 };
///     for server in ["ppdb001", "ppdb002", "ppweb001"] {
///         window.ingest(&[Record::new(&schema, server, now)?.with("cpu_user_pct", cpu)?], now)?;
///     }
///     now = now.plus_millis(300_000);
/// }
/// let origin = window.origin(now).expect("there is data");
/// let report = detector.advance(&window, origin);
/// assert_eq!(report.active[0].metric, "cpu_user_pct");
/// assert_eq!(report.active[0].affected_count, 3);
/// # Ok::<(), tft_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CascadeDetector {
    pub(super) config: Arc<CascadeConfig>,
    pub(super) watched: Vec<Watched>,
    rule: BaselineRule,
    /// In the order of their names.
    pub(super) servers: Vec<ServerTrack>,
    /// One per watched metric.
    pub(super) watches: Vec<Watch>,
    pub(super) judged_to: Option<Step>,
    pub(super) recent: VecDeque<Arc<CascadeEvent>>,
    pub(super) event_count: u64,
    report: Arc<CascadeReport>,
    /// One per watched metric; kept so that a step allocates little.
    tallies: Vec<Tally>,
}

/// What is kept of one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerTrack {
    pub(super) name: ServerName,
    /// One per watched metric.
    pub(super) series: Vec<Series>,
}

/// The servers as seen by one metric.
struct OfMetric<'a> {
    servers: &'a mut [ServerTrack],
    index: usize,
}

impl CascadeDetector {
    /// Checks a configuration against a schema and builds a detector that knows nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) naming the key and the value at fault.
    pub fn new(config: CascadeConfig, schema: &Schema) -> Result<Self, Error> {
        let watched = config.resolve(schema)?;
        let config = Arc::new(config);
        Ok(Self {
            rule: config.baseline_rule(),
            servers: Vec::new(),
            watches: watched.iter().map(|_| Watch::new()).collect(),
            judged_to: None,
            recent: VecDeque::new(),
            event_count: 0,
            report: Arc::new(CascadeReport { config: Arc::clone(&config), ..Default::default() }),
            tallies: watched.iter().map(|_| Tally::default()).collect(),
            config,
            watched,
        })
    }

    /// Judges the steps up to `origin` that were not judged yet, and returns what is known then.
    ///
    /// A detector that knows nothing, or that is far behind, judges at most
    /// [`baseline_steps`](CascadeConfig::baseline_steps) of them, from what the window still holds: so a restart
    /// learns the baselines from a window that was kept, and a new server that brings its past has one. A step is judged once:
    /// a sample of a known server that comes for it later is in the window, but neither judged nor part of a baseline. An origin that was judged before changes nothing; one that
    /// lies more than the baseline's length before the newest judged one is another time, and everything begins
    /// anew. Servers that the window no longer has are dropped, the events that name them stay.
    ///
    /// The window's schema must be that of the detector.
    pub fn advance(&mut self, window: &RollingWindow, origin: Step) -> Arc<CascadeReport> {
        let length = self.config.baseline_steps as i64;
        if self.judged_to.is_some_and(|judged| judged.since(origin) > length) {
            self.start_anew();
        }
        let is_new = self.judged_to.is_none_or(|judged| origin > judged);
        if is_new {
            self.align(window);
            let views: Vec<_> = window.servers().collect();
            let first = self.first_step(&views, origin);
            for step in first.0..=origin.0 {
                self.judge(Step(step), &views, window.schema());
            }
            self.judged_to = Some(origin);
            self.renew_report(origin);
        }
        Arc::clone(&self.report)
    }

    /// Forgets a server and its part in all events; returns whether anything was known of it.
    pub fn forget(&mut self, server_name: &str) -> bool {
        let found = self.servers.binary_search_by(|track| track.name.as_str().cmp(server_name));
        let track = found.ok().map(|at| self.servers.remove(at));
        let mut was_listed = false;
        for index in 0..self.watches.len() {
            was_listed |= self.forget_in_ongoing(index, server_name);
        }
        for event in &mut self.recent {
            if event.affected.iter().any(|affected| affected.server.as_str() == server_name) {
                was_listed |= Arc::make_mut(event).forget(server_name).is_some();
            }
        }
        if track.is_some() || was_listed {
            let report = Arc::make_mut(&mut self.report);
            report.active = self.watches.iter().filter_map(in_order).collect();
            report.recent = self.recent.iter().cloned().collect();
        }
        track.is_some() || was_listed
    }

    /// Returns what is known after the newest judged step.
    pub fn report(&self) -> Arc<CascadeReport> {
        Arc::clone(&self.report)
    }

    /// Returns what is watched and what counts.
    pub fn config(&self) -> &CascadeConfig {
        &self.config
    }

    /// Says that nothing is known of any step.
    pub(super) fn clear_report(&mut self) {
        self.report = Arc::new(CascadeReport { config: Arc::clone(&self.config), ..Default::default() });
    }

    fn start_anew(&mut self) {
        self.servers.clear();
        self.watches.iter_mut().for_each(|watch| *watch = Watch::new());
        self.judged_to = None;
        self.recent.clear();
        self.clear_report();
    }

    /// Makes the servers those of the window, in the same order.
    fn align(&mut self, window: &RollingWindow) {
        let is_aligned = self.servers.len() == window.server_count()
            && self.servers.iter().zip(window.servers()).all(|(track, view)| track.name == *view.name());
        if is_aligned {
            return;
        }
        let mut known = std::mem::take(&mut self.servers).into_iter().peekable();
        for view in window.servers() {
            while known.next_if(|track| track.name < *view.name()).is_some() {}
            let same = known.next_if(|track| track.name == *view.name());
            let track = same.unwrap_or_else(|| self.learn(view));
            self.servers.push(track);
        }
    }

    /// Begins with a server; what it was fed of the judged steps becomes its baseline.
    fn learn(&self, view: ServerView<'_>) -> ServerTrack {
        let mut series = vec![Series::default(); self.watched.len()];
        if let Some(judged) = self.judged_to {
            let first = judged.plus(1 - self.config.baseline_steps as i64).max(view.oldest_step());
            for step in (first.0..=judged.0.min(view.newest_step().0)).map(Step) {
                for (series, watched) in series.iter_mut().zip(&self.watched) {
                    if let Some(value) = view.value(watched.metric, step) {
                        series.baseline.absorb(f64::from(value), self.rule);
                    }
                }
            }
        }
        ServerTrack { name: view.name().clone(), series }
    }

    /// Returns the first step to judge: after the judged ones, no farther back than the baseline or the window reaches.
    fn first_step(&self, views: &[ServerView<'_>], origin: Step) -> Step {
        let oldest = views.iter().map(ServerView::oldest_step).min().unwrap_or(origin);
        let farthest = origin.plus(1 - self.config.baseline_steps as i64).max(oldest);
        self.judged_to.map_or(farthest, |judged| judged.plus(1).max(farthest))
    }

    fn judge(&mut self, step: Step, views: &[ServerView<'_>], schema: &Schema) {
        self.tallies.iter_mut().for_each(Tally::clear);
        let (mut servers_judged, mut servers_beyond) = (0, 0);
        for (server, view) in views.iter().enumerate() {
            let is_in_maintenance =
                || view.status_at(step).is_some_and(|status| schema.statuses().is_maintenance(status));
            if step > view.newest_step() || is_in_maintenance() {
                continue;
            }
            let (is_judged, is_beyond) = self.judge_server(server, step, view);
            servers_judged += usize::from(is_judged);
            servers_beyond += usize::from(is_beyond);
        }
        let metrics = self.judge_metrics(step);
        self.report = Arc::new(CascadeReport {
            servers: views.len(),
            servers_judged,
            servers_beyond,
            metrics,
            config: Arc::clone(&self.config),
            ..CascadeReport::default()
        });
    }

    /// Counts a server's values into the tallies; returns whether any was judged, and whether any was beyond the
    /// threshold.
    fn judge_server(&mut self, server: usize, step: Step, view: &ServerView<'_>) -> (bool, bool) {
        let (mut is_judged, mut is_beyond) = (false, false);
        let series = self.servers[server].series.iter_mut();
        for ((series, watched), tally) in series.zip(&self.watched).zip(&mut self.tallies) {
            let Some(value) = view.value(watched.metric, step).map(f64::from) else { continue };
            let z = series.baseline.z(value, watched.std_min, self.rule);
            series.baseline.absorb(value, self.rule);
            let Some(z) = z else { continue };
            is_judged = true;
            tally.add(z);
            if z.abs() > self.config.z_min {
                is_beyond = true;
                tally.beyond.push(Beyond { server, z, since: series.mark(step, self.config.break_steps) });
            }
        }
        (is_judged, is_beyond)
    }

    fn judge_metrics(&mut self, step: Step) -> Vec<MetricCascade> {
        let mut metrics = Vec::with_capacity(self.watched.len());
        let mut over = Vec::new();
        for (index, (watch, tally)) in self.watches.iter_mut().zip(&mut self.tallies).enumerate() {
            let metric = self.watched[index].name.as_str();
            let event_count = &mut self.event_count;
            let mut moment = Moment { step, config: &self.config, metric, event_count };
            let mut servers = OfMetric { servers: &mut self.servers, index };
            let (judged, ended) = watch.judge(tally, &mut servers, &mut moment);
            metrics.push(judged);
            over.extend(ended);
        }
        for event in over {
            self.keep(event);
        }
        metrics
    }

    fn keep(&mut self, event: CascadeEvent) {
        self.recent.push_back(Arc::new(event));
        while self.recent.len() > self.config.events_max {
            self.recent.pop_front();
        }
    }

    /// Completes the report of the newest step.
    fn renew_report(&mut self, origin: Step) {
        let correlations = self.watches.iter().map(|watch| watch.correlation.value());
        let correlation = correlations.sum::<f64>() / self.watches.len().max(1) as f64;
        let report = Arc::make_mut(&mut self.report);
        report.step = Some(origin);
        report.correlation = correlation;
        report.active = self.watches.iter().filter_map(in_order).collect();
        report.recent = self.recent.iter().cloned().collect();
        report.event_count = self.event_count;
    }

    /// Takes a server out of the event that goes on; returns whether it was listed there.
    fn forget_in_ongoing(&mut self, index: usize, server_name: &str) -> bool {
        let Some(event) = &mut self.watches[index].ongoing else { return false };
        let Some(removed) = event.forget(server_name) else { return false };
        for track in &mut self.servers {
            let joined = track.series[index].joined.as_mut().filter(|joined| joined.event == event.id);
            if let Some(place) =
                joined.and_then(|joined| joined.place.as_mut()).filter(|place| **place > removed)
            {
                *place -= 1;
            }
        }
        true
    }
}

impl Servers for OfMetric<'_> {
    fn name(&self, server: usize) -> &ServerName {
        &self.servers[server].name
    }

    fn series(&mut self, server: usize) -> &mut Series {
        &mut self.servers[server].series[self.index]
    }
}

/// Returns the event that goes on, its servers in the order in which they were affected.
fn in_order(watch: &Watch) -> Option<CascadeEvent> {
    let mut event = watch.ongoing.clone()?;
    event.sort();
    Some(event)
}
