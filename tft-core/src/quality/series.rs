//! One series' forecasts that wait for values, and the sums of those that have met theirs.

use std::collections::VecDeque;

use super::scorer::{ScoredForecast, ScorerError};
use super::{LEVELS, SeasonalNaive, pinball_loss};
use crate::time::Step;

/// One server's metric: its reference, its forecasts that wait, and its sums.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// None if the series is left out of the averages.
    reference: Option<SeasonalNaive>,
    pending: VecDeque<Pending>,
    newest_origin: Option<Step>,
    pub(super) newest_realised: Option<Step>,
    pub(super) forecasts: u64,
    pub(super) crossings: u64,
    pub(super) sums: [Sums; HORIZONS.len()],
}

/// A forecast that waits for values: per step P10, P50, P90 and the reference's value.
#[derive(Debug, Clone)]
struct Pending {
    origin: Step,
    rows: Box<[[f32; 4]]>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) loss: f64,
    pub(super) reference_loss: f64,
    pub(super) inside: u64,
    pub(super) count: u64,
}

impl Series {
    pub(super) fn new(reference: Option<SeasonalNaive>) -> Self {
        Self {
            reference,
            pending: VecDeque::new(),
            newest_origin: None,
            newest_realised: None,
            forecasts: 0,
            crossings: 0,
            sums: [Sums::default(); HORIZONS.len()],
        }
    }

    /// Takes a forecast in and returns how many of its steps now wait.
    pub(super) fn keep(
        &mut self,
        scored: &ScoredForecast<'_>,
        columns: [usize; 3],
        steps: usize,
    ) -> Result<usize, ScorerError> {
        if let Some(newest) = self.newest_origin.filter(|&newest| scored.origin <= newest) {
            let (server, origin) = (scored.server.clone(), scored.origin.0);
            return Err(ScorerError::OriginOrder { server, origin, newest: newest.0 });
        }
        self.newest_origin = Some(scored.origin);
        self.forecasts += 1;
        let values = scored.forecast.values();
        let row = |step: usize| {
            let [low, median, high] = columns.map(|column| values[[step, column]]);
            [low, median, high, scored.seasonal_naive.get(step).copied().unwrap_or(f32::NAN)]
        };
        let rows: Box<[_]> = (0..steps).map(row).collect();
        self.crossings += rows.iter().filter(|row| row[0] > row[1] || row[1] > row[2]).count() as u64;
        if self.reference.is_none() {
            return Ok(0);
        }
        self.pending.push_back(Pending { origin: scored.origin, rows });
        Ok(steps)
    }

    /// Drops forecasts that were wholly about steps before `origin`, whose values never came, and returns
    /// how many of their steps wait no longer.
    pub(super) fn give_up(&mut self, origin: Step) -> usize {
        self.release(|forecast| origin.since(forecast.origin) > forecast.rows.len() as i64)
    }

    /// Scores one value and returns how many steps of forecasts wait no longer.
    pub(super) fn realise(&mut self, step: Step, value: f64) -> usize {
        self.newest_realised = Some(step);
        let Some(reference) = self.reference else { return 0 };
        for forecast in &self.pending {
            let ahead = step.since(forecast.origin);
            let row = usize::try_from(ahead - 1).ok().and_then(|index| forecast.rows.get(index));
            let Some(&row) = row.filter(|row| row[3].is_finite()) else { continue };
            let scored = Sums::of(row.map(f64::from), &reference, value);
            let reached = self.sums.iter_mut().zip(HORIZONS).filter(|(_, steps)| ahead <= *steps as i64);
            reached.for_each(|(sums, _)| sums.add(scored));
        }
        self.release(|forecast| step.since(forecast.origin) >= forecast.rows.len() as i64)
    }

    pub(super) fn is_counted(&self) -> bool {
        self.reference.is_some()
    }

    fn release(&mut self, is_done: impl Fn(&Pending) -> bool) -> usize {
        let mut released = 0;
        while let Some(done) = self.pending.pop_front_if(|forecast| is_done(forecast)) {
            released += done.rows.len();
        }
        released
    }
}

impl Sums {
    fn of([low, median, high, naive]: [f64; 4], reference: &SeasonalNaive, value: f64) -> Self {
        Self {
            loss: mean_pinball([low, median, high], value),
            reference_loss: mean_pinball(reference.quantiles(naive), value),
            inside: u64::from((low..=high).contains(&value)),
            count: 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.reference_loss += other.reference_loss;
        self.inside += other.inside;
        self.count += other.count;
    }
}

fn mean_pinball(predicted: [f64; 3], realised: f64) -> f64 {
    let losses = LEVELS.iter().zip(predicted).map(|(&level, value)| pinball_loss(level, value, realised));
    losses.sum::<f64>() / LEVELS.len() as f64
}

/// The numbers of first steps over which the figures are taken.
pub(super) const HORIZONS: [usize; 4] = [6, 12, 24, 96];

/// Steps after these are not scored.
pub(super) const HORIZON_MAX: usize = HORIZONS[3];
