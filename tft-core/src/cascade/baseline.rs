//! What is usual for one metric of one server, and since when it is not.

use serde::{Deserialize, Serialize};

use crate::time::Step;

/// One metric of one server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Series {
    pub(super) baseline: Baseline,
    pub(super) streak: Option<Streak>,
    pub(super) joined: Option<Joined>,
}

/// The rolling mean and variance of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    mean: f64,
    variance: f64,
    count: u32,
}

/// Steps beyond the threshold, with short breaks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Streak {
    pub(super) since: Step,
    pub(super) last: Step,
}

/// The event that a series has joined, and its place in the event's list if it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Joined {
    pub(super) event: u64,
    pub(super) place: Option<usize>,
}

/// The numbers of a configuration that baselines need.
#[derive(Debug, Clone, Copy)]
pub(super) struct BaselineRule {
    /// The least weight of a new value.
    pub(super) weight_min: f64,
    pub(super) count_min: u32,
}

impl Baseline {
    /// Returns how many deviations `value` lies above what was usual, if enough values were seen.
    pub(super) fn z(&self, value: f64, std_min: f64, rule: BaselineRule) -> Option<f64> {
        let std = self.variance.sqrt().max(std_min);
        (self.count >= rule.count_min).then(|| (value - self.mean) / std)
    }

    /// Makes a value part of what is usual.
    pub(super) fn absorb(&mut self, value: f64, rule: BaselineRule) {
        self.count = self.count.saturating_add(1);
        let weight = (1.0 / f64::from(self.count)).max(rule.weight_min);
        let distance = value - self.mean;
        self.mean += weight * distance;
        self.variance = (1.0 - weight) * (self.variance + weight * distance * distance);
    }

    pub(super) fn is_valid(&self) -> bool {
        self.mean.is_finite() && self.variance.is_finite() && self.variance >= 0.0
    }
}

impl Series {
    /// Notes that the series is beyond the threshold in `step`, and returns since when it has been, breaks of at most
    /// `break_steps` aside.
    pub(super) fn mark(&mut self, step: Step, break_steps: usize) -> Step {
        let goes_on = |streak: &Streak| step.since(streak.last) <= break_steps as i64 + 1;
        let since = self.streak.filter(goes_on).map_or(step, |streak| streak.since);
        self.streak = Some(Streak { since, last: step });
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: BaselineRule = BaselineRule { weight_min: 0.0, count_min: 2 };

    fn of(values: &[f64], rule: BaselineRule) -> Baseline {
        let mut baseline = Baseline::default();
        for &value in values {
            baseline.absorb(value, rule);
        }
        baseline
    }

    #[test]
    fn without_forgetting_it_is_the_plain_mean_and_variance() {
        let baseline = of(&[2.0, 4.0, 9.0], RULE);
        assert!((baseline.mean - 5.0).abs() < 1e-12);
        assert!((baseline.variance - 26.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn far_from_zero_nothing_cancels() {
        let values: Vec<f64> = (0..1000).map(|at| 1e9 + f64::from(at % 2)).collect();
        let baseline = of(&values, RULE);
        assert!((baseline.variance - 0.25).abs() < 1e-6, "{baseline:?}");
    }

    #[test]
    fn a_constant_is_measured_by_the_floor() {
        let baseline = of(&[3.0; 5], RULE);
        assert_eq!(baseline.z(5.0, 1.0, RULE), Some(2.0));
        assert_eq!(of(&[3.0], RULE).z(5.0, 1.0, RULE), None);
    }

    #[test]
    fn short_breaks_do_not_end_a_streak() {
        let mut series = Series::default();
        assert_eq!(series.mark(Step(5), 1), Step(5));
        assert_eq!(series.mark(Step(7), 1), Step(5));
        assert_eq!(series.mark(Step(10), 1), Step(10));
    }
}
