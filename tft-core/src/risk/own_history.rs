//! The distribution of a server's own past values, metric by metric.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::schema::BadSide;
use crate::time::Step;
use crate::window::ServerView;

/// What a server's metrics were up to a step; a metric's history is sorted when it is first asked for.
///
/// Knows nothing of a metric with less than a day of values: the largest of a few is no extreme.
#[derive(Debug)]
pub(crate) struct OwnHistory<'a> {
    view: ServerView<'a>,
    until: Step,
    steps_min: usize,
    sorted: RefCell<HashMap<usize, Vec<f32>>>,
}

impl<'a> OwnHistory<'a> {
    pub(crate) fn new(view: ServerView<'a>, until: Step, steps_per_day: usize) -> Self {
        Self { view, until, steps_min: steps_per_day, sorted: RefCell::default() }
    }

    /// Returns the value that a share of the history lies below, in the metric's unit.
    pub(crate) fn quantile(&self, metric: usize, level: f64) -> Option<f64> {
        self.with_sorted(metric, |values| at_level(values, level))?
    }

    /// Returns the value from which on another one is beyond a quantile: the quantile, moved outwards by a hundredth of
    /// what the history spans. Where nearly all values are equal every quantile is that value, and what a forecast adds to
    /// it in its last digits is nothing unusual.
    pub(crate) fn limit(&self, metric: usize, level: f64) -> Option<f64> {
        self.with_sorted(metric, |values| {
            let margin = LIMIT_MARGIN * (at_level(values, 1.0)? - at_level(values, 0.0)?);
            let quantile = at_level(values, level)?;
            Some(if level < 0.5 { quantile - margin } else { quantile + margin })
        })?
    }

    /// Returns the share of the history that is at `value` or further to the given side, `value` itself counted in;
    /// more than 0 and at most 1.
    pub(crate) fn share_beyond(&self, metric: usize, value: f32, side: BadSide) -> Option<f64> {
        self.with_sorted(metric, |values| {
            let beyond = match side {
                BadSide::High => values.len() - values.partition_point(|&known| known < value),
                BadSide::Low => values.partition_point(|&known| known <= value),
            };
            (beyond + 1) as f64 / (values.len() + 1) as f64
        })
    }

    /// Returns how many values of a metric are known.
    pub(crate) fn count(&self, metric: usize) -> usize {
        self.with_sorted(metric, <[f32]>::len).unwrap_or(0)
    }

    /// None if too few values are known.
    fn with_sorted<T>(&self, metric: usize, read: impl FnOnce(&[f32]) -> T) -> Option<T> {
        let mut sorted = self.sorted.borrow_mut();
        let values = sorted.entry(metric).or_insert_with(|| sorted_history(self.view, metric, self.until));
        (!values.is_empty() && values.len() >= self.steps_min).then(|| read(values))
    }
}

/// Of the history's span.
const LIMIT_MARGIN: f64 = 0.01;

/// Returns the value that a share of ascending values lies below; none if there are none.
fn at_level(values: &[f32], level: f64) -> Option<f64> {
    let rank = level.clamp(0.0, 1.0) * values.len().checked_sub(1)? as f64;
    values.get(rank.round() as usize).copied().map(f64::from)
}

fn sorted_history(view: ServerView<'_>, metric: usize, until: Step) -> Vec<f32> {
    let (older, newer) = view.history(metric);
    let later = view.newest_step().since(until).max(0) as usize;
    let count = (older.len() + newer.len()).saturating_sub(later);
    let values = older.iter().chain(newer).copied().take(count);
    let mut values: Vec<f32> = values.filter(|value| !value.is_nan()).collect();
    values.sort_unstable_by(f32::total_cmp);
    values
}
