//! The tracker: forecasts in, values from the window, figures out.

use std::sync::Arc;

use super::cell::{Cell, Outcome};
use super::config::{DriftConfig, block_steps};
use super::expectation::CoverageExpectation;
use super::report::{DriftReport, DriftVerdict, HorizonDrift, MethodDrift, MetricDrift, ProfileDrift};
use super::track::{Track, hash_of};
use crate::error::Error;
use crate::forecast::{FleetForecast, Forecast, Method, Quantile, QuantileLevels};
use crate::schema::{Profile, Schema};
use crate::time::Step;
use crate::window::{RollingWindow, ServerView};

/// Remembers forecasts and compares them with the values that come.
///
/// # Performance
/// A step costs O(servers × metrics). Memory is bounded by [`DriftConfig::series_max`], and the figures by the numbers of
/// metrics, horizons and profiles.
#[derive(Debug, Clone)]
pub struct DriftTracker {
    config: Arc<DriftConfig>,
    schema: Schema,
    expectation: CoverageExpectation,
    /// In the order of their names.
    tracks: Vec<Track>,
    /// The figures of all servers, then those of each profile.
    groups: Vec<Group>,
    newest: Option<Step>,
    values: u64,
    values_missing: u64,
    values_constant: u64,
    report: Arc<DriftReport>,
}

/// The figures of a group of servers.
#[derive(Debug, Clone)]
struct Group {
    /// None for all servers.
    profile: Option<Profile>,
    /// `[method][metric][horizon]`.
    cells: Vec<Cell>,
}

impl DriftTracker {
    /// Most profiles with figures of their own; servers of further ones count among all servers only.
    pub const PROFILES_MAX: usize = 32;

    const METHODS: [Method; 2] = [Method::Tft, Method::Fallback];

    /// Checks a configuration and builds a tracker that knows nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) naming the key and the value at fault.
    pub fn new(
        config: DriftConfig,
        schema: &Schema,
        expectation: CoverageExpectation,
    ) -> Result<Self, Error> {
        config.validate()?;
        let config = Arc::new(config);
        let mut tracker = Self {
            report: Arc::new(DriftReport { config: Arc::clone(&config), ..DriftReport::default() }),
            config,
            schema: schema.clone(),
            expectation,
            tracks: Vec::new(),
            groups: Vec::new(),
            newest: None,
            values: 0,
            values_missing: 0,
            values_constant: 0,
        };
        tracker.groups.push(tracker.group(None));
        Ok(tracker)
    }

    /// Takes the values up to the forecasts' origin from the window, then the forecasts, and returns what is known
    /// then.
    ///
    /// Call it with each new forecast, and the window that it was made from. Forecasts of an origin that was seen before
    /// change nothing: what was published first counts. An origin that lies more than the longest horizon before the
    /// newest is another time, and everything begins anew. A value is taken once: what comes late is not compared.
    pub fn advance(&mut self, window: &RollingWindow, fleet: &FleetForecast) -> Arc<DriftReport> {
        let origin = fleet.origin;
        let longest = self.config.horizons_steps.last().map_or(0, |&steps| steps as i64);
        if self.newest.is_some_and(|newest| newest.since(origin) > longest) {
            self.start_anew(self.expectation.clone());
        }
        if self.newest.is_none_or(|newest| origin > newest) {
            self.advance_blocks(origin);
            let sampled = self.sample(fleet);
            self.align(&sampled, origin);
            self.realise(window, origin);
            self.take(&sampled, &fleet.quantiles, origin);
            self.newest = Some(origin);
            self.report = Arc::new(self.figures(fleet.servers.len(), origin));
        }
        Arc::clone(&self.report)
    }

    /// Forgets all forecasts and figures, because other forecasts come from now on.
    pub fn start_anew(&mut self, expectation: CoverageExpectation) {
        self.expectation = expectation;
        self.tracks.clear();
        self.groups = vec![self.group(None)];
        self.newest = None;
        (self.values, self.values_missing, self.values_constant) = (0, 0, 0);
        self.report = Arc::new(DriftReport { config: Arc::clone(&self.config), ..DriftReport::default() });
    }

    /// Forgets a server's forecasts; returns whether there were any. Figures name no server, and stay.
    pub fn forget(&mut self, server_name: &str) -> bool {
        let found = self.tracks.binary_search_by(|track| track.name.as_str().cmp(server_name));
        found.map(|at| self.tracks.remove(at)).is_ok()
    }

    /// Returns what is known.
    pub fn report(&self) -> Arc<DriftReport> {
        Arc::clone(&self.report)
    }

    /// Returns what is tracked and what counts.
    pub fn config(&self) -> &DriftConfig {
        &self.config
    }

    fn metrics(&self) -> usize {
        self.schema.metrics().len()
    }

    fn group(&self, profile: Option<Profile>) -> Group {
        let cells = Self::METHODS.len() * self.metrics() * self.config.horizons_steps.len();
        Group { profile, cells: vec![Cell::default(); cells] }
    }

    /// Chooses the servers that are tracked: all, or those with the smallest hashes.
    fn sample<'f>(&self, fleet: &'f FleetForecast) -> Vec<&'f Forecast> {
        let servers_max = (self.config.series_max / self.metrics()).max(1);
        if fleet.servers.len() <= servers_max {
            return fleet.servers.iter().collect();
        }
        let mut hashes: Vec<u64> = fleet.servers.iter().map(|forecast| hash_of(&forecast.server)).collect();
        let last = *hashes.select_nth_unstable(servers_max - 1).1;
        let sampled = fleet.servers.iter().filter(|forecast| hash_of(&forecast.server) <= last);
        sampled.take(servers_max).collect()
    }

    /// Makes the tracks those of the sampled servers, in the same order.
    fn align(&mut self, sampled: &[&Forecast], origin: Step) {
        let metrics = self.metrics();
        let mut known = std::mem::take(&mut self.tracks).into_iter().peekable();
        self.tracks.reserve_exact(sampled.len());
        for forecast in sampled {
            while known.next_if(|track| track.name < forecast.server).is_some() {}
            let same = known.next_if(|track| track.name == forecast.server);
            let new = || Track::new(forecast, origin, &self.config.horizons_steps, metrics);
            self.tracks.push(same.unwrap_or_else(new));
        }
    }

    /// Compares every forecast that is due with its value.
    fn realise(&mut self, window: &RollingWindow, origin: Step) {
        let mut tracks = std::mem::take(&mut self.tracks);
        for track in &mut tracks {
            let Some(view) = window.server(track.name.as_str()) else { continue };
            let group = self.group_of(&track.profile);
            for horizon in 0..track.waits.len() {
                let Some(due) = track.waits[horizon].due.filter(|due| *due <= origin) else { continue };
                track.waits[horizon].due = None;
                self.compare(track, (horizon, due), view, group);
            }
        }
        self.tracks = tracks;
    }

    fn compare(
        &mut self,
        track: &Track,
        (horizon, due): (usize, Step),
        view: ServerView<'_>,
        group: Option<usize>,
    ) {
        for (metric, is_of_model, values) in track.waiting(horizon) {
            let Some(realised) = view.value(metric, due) else {
                self.values_missing += 1;
                continue;
            };
            let [low, median, high, newest] = values.map(f64::from);
            let outcome = Outcome { predicted: [low, median, high], newest, realised: f64::from(realised) };
            if outcome.is_constant() {
                self.values_constant += 1;
                continue;
            }
            self.values += 1;
            let cell = self.cell(usize::from(!is_of_model), metric, horizon);
            self.groups[0].cells[cell].add(&outcome);
            if let Some(group) = group {
                self.groups[group].cells[cell].add(&outcome);
            }
        }
    }

    fn take(&mut self, sampled: &[&Forecast], levels: &QuantileLevels, origin: Step) {
        let Some(columns) = columns(levels) else { return };
        for (track, forecast) in self.tracks.iter_mut().zip(sampled) {
            if track.profile != forecast.profile {
                track.profile = forecast.profile.clone();
            }
            for horizon in self.config.horizons_steps.iter().copied().enumerate() {
                track.take(forecast, origin, horizon, columns);
            }
        }
    }

    fn advance_blocks(&mut self, origin: Step) {
        let horizons = &self.config.horizons_steps;
        for group in &mut self.groups {
            for (cell, &steps) in group.cells.iter_mut().zip(horizons.iter().cycle()) {
                let block = block_steps(steps);
                let blocks = self.config.window_steps as f64 / block as f64;
                cell.advance_to(origin.0.div_euclid(block as i64), 1.0 - 2.0 / (blocks + 1.0));
            }
        }
    }

    /// Returns the figures of a profile, which are made if there is room for them.
    fn group_of(&mut self, profile: &Profile) -> Option<usize> {
        let found = self.groups.iter().position(|group| group.profile.as_ref() == Some(profile));
        if found.is_none() && self.groups.len() <= Self::PROFILES_MAX {
            self.groups.push(self.group(Some(profile.clone())));
            return Some(self.groups.len() - 1);
        }
        found
    }

    fn cell(&self, method: usize, metric: usize, horizon: usize) -> usize {
        (method * self.metrics() + metric) * self.config.horizons_steps.len() + horizon
    }

    fn figures(&self, servers: usize, origin: Step) -> DriftReport {
        let methods: Vec<_> = (0..Self::METHODS.len()).filter_map(|method| self.method(method)).collect();
        DriftReport {
            origin: Some(origin),
            verdict: methods.first().map_or(DriftVerdict::Unknown, |method| method.verdict),
            servers,
            servers_tracked: self.tracks.len(),
            expectation: self.expectation.source().map(str::to_owned),
            values: self.values,
            values_missing: self.values_missing,
            values_constant: self.values_constant,
            methods,
            config: Arc::clone(&self.config),
        }
    }

    fn method(&self, method: usize) -> Option<MethodDrift> {
        let metrics: Vec<_> = (0..self.metrics()).filter_map(|metric| self.metric(method, metric)).collect();
        let count = |verdict| metrics.iter().filter(|metric| metric.verdict == verdict).count();
        let (drifting, ok) = (count(DriftVerdict::Drifting), count(DriftVerdict::Ok));
        let share = drifting as f64 / (drifting + ok).max(1) as f64;
        let verdict = match (drifting + ok, share >= self.config.drifting_share_min) {
            (0, _) => DriftVerdict::Unknown,
            (_, true) => DriftVerdict::Drifting,
            (_, false) => DriftVerdict::Ok,
        };
        (!metrics.is_empty()).then(|| MethodDrift { method: Self::METHODS[method], verdict, metrics })
    }

    fn metric(&self, method: usize, metric: usize) -> Option<MetricDrift> {
        let horizons = self.horizons(&self.groups[0], method, metric)?;
        let first = self.cell(method, metric, 0);
        let cells = &self.groups[0].cells[first..first + horizons.len()];
        let mut sums = [0.0; 4];
        for totals in cells.iter().map(Cell::totals) {
            sums.iter_mut().zip(totals).for_each(|(sum, total)| *sum += total);
        }
        let [values, inside, loss, reference] = sums;
        Some(MetricDrift {
            metric: self.schema.metrics()[metric].name.clone(),
            verdict: DriftVerdict::of(&horizons),
            coverage: (values > 0.0).then(|| inside / values),
            relative_loss: (reference > 0.0).then(|| loss / reference),
            horizons,
            profiles: self.profiles(method, metric),
        })
    }

    fn profiles(&self, method: usize, metric: usize) -> Vec<ProfileDrift> {
        let profile = |group: &Group| {
            let horizons = self.horizons(group, method, metric)?;
            let verdict = DriftVerdict::of(&horizons);
            Some(ProfileDrift { profile: group.profile.clone()?, verdict, horizons })
        };
        let mut profiles: Vec<_> = self.groups.iter().filter_map(profile).collect();
        profiles.sort_by(|a, b| a.profile.cmp(&b.profile));
        profiles
    }

    /// Returns the figures of each horizon; none if no value has come at any.
    fn horizons(&self, group: &Group, method: usize, metric: usize) -> Option<Vec<HorizonDrift>> {
        let first = self.cell(method, metric, 0);
        let cells = &group.cells[first..first + self.config.horizons_steps.len()];
        let expected = |steps| match Self::METHODS[method] {
            Method::Tft => self.expectation.at(steps),
            Method::Fallback => CoverageExpectation::NOMINAL,
        };
        let horizons = cells.iter().zip(&self.config.horizons_steps);
        let horizons = horizons.map(|(cell, &steps)| cell.horizon(steps, expected(steps), &self.config));
        cells.iter().any(|cell| cell.values() > 0).then(|| horizons.collect())
    }
}

/// The positions of P10, P50 and P90; none if a level is missing.
fn columns(levels: &QuantileLevels) -> Option<[usize; 3]> {
    const LEVEL_TOLERANCE: f64 = 1e-6;
    let column = |level: Quantile| {
        let nearest = levels.nearest(level);
        let distance = (levels.as_slice()[nearest].level() - level.level()).abs();
        (distance <= LEVEL_TOLERANCE).then_some(nearest)
    };
    Some([column(Quantile::P10)?, column(Quantile::MEDIAN)?, column(Quantile::P90)?])
}
