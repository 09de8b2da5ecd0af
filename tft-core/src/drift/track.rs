//! The forecasts of one server that wait for their values.

use crate::forecast::{Forecast, Method};
use crate::schema::{Profile, ServerName};
use crate::time::Step;

/// The forecasts of one server that wait for their values, one per metric and horizon.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) name: ServerName,
    pub(super) profile: Profile,
    hash: u64,
    /// One per horizon.
    pub(super) waits: Vec<Wait>,
    /// `[horizon][metric]`: P10, P50, P90 and the newest value; P10 is NaN where nothing waits.
    values: Vec<[f32; 4]>,
    /// As `values`: whether the model made the forecast.
    is_of_model: Vec<bool>,
    metrics: usize,
}

/// What waits at one horizon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    /// The step whose values are waited for.
    pub(super) due: Option<Step>,
    /// The turn, one per length of the horizon, in which a forecast was taken last.
    turn: i64,
}

impl Track {
    /// Begins without forecasts; each horizon's first is taken in the turn after `origin`'s, so that servers keep
    /// their distance.
    pub(super) fn new(forecast: &Forecast, origin: Step, horizons: &[usize], metrics: usize) -> Self {
        let hash = hash_of(&forecast.server);
        let wait = |&steps| Wait { due: None, turn: turn_of(origin, steps, hash) };
        Self {
            name: forecast.server.clone(),
            profile: forecast.profile.clone(),
            hash,
            waits: horizons.iter().map(wait).collect(),
            values: vec![[f32::NAN; 4]; horizons.len() * metrics],
            is_of_model: vec![false; horizons.len() * metrics],
            metrics,
        }
    }

    /// Takes what is forecast `steps` ahead, if it is this horizon's turn and nothing waits.
    ///
    /// # Shapes
    /// `columns`: the positions of P10, P50 and P90.
    pub(super) fn take(
        &mut self,
        forecast: &Forecast,
        origin: Step,
        horizon: (usize, usize),
        columns: [usize; 3],
    ) {
        let (index, steps) = horizon;
        let turn = turn_of(origin, steps, self.hash);
        let wait = &mut self.waits[index];
        if wait.due.is_some() || turn <= wait.turn {
            return;
        }
        *wait = Wait { due: Some(origin.plus(steps as i64)), turn };
        let row = index * self.metrics;
        self.values[row..row + self.metrics].fill([f32::NAN; 4]);
        for metric in &forecast.metrics {
            if metric.metric >= self.metrics || metric.horizon() < steps {
                continue;
            }
            let [low, median, high] = columns.map(|column| metric.values()[[steps - 1, column]]);
            self.values[row + metric.metric] = [low, median, high, metric.current];
            self.is_of_model[row + metric.metric] = metric.method == Method::Tft;
        }
    }

    /// Returns what waits at a horizon: the metric, whether the model made it, and the values.
    pub(super) fn waiting(&self, horizon: usize) -> impl Iterator<Item = (usize, bool, [f32; 4])> {
        let row = horizon * self.metrics;
        let values = self.values[row..row + self.metrics].iter().zip(&self.is_of_model[row..]);
        let known =
            values.enumerate().filter(|(_, (values, _))| values.iter().all(|value| value.is_finite()));
        known.map(|(metric, (values, is_of_model))| (metric, *is_of_model, *values))
    }
}

/// Returns the turn of a step: turns are as long as the horizon and begin where the hash says.
fn turn_of(step: Step, horizon_steps: usize, hash: u64) -> i64 {
    let length = horizon_steps as i64;
    let phase = (hash % horizon_steps as u64) as i64;
    step.0.saturating_sub(phase).div_euclid(length)
}

/// Returns a number that depends on the name only, the same on every machine: FNV-1a with 64 bits, its bits mixed once more
/// because similar names differ in few.
pub(super) fn hash_of(server: &ServerName) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash =
        server.as_str().bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    // The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
