//! Statistics of a metric over all servers, step by step.

use crate::model::FleetStatistic;
use crate::time::Step;
use crate::window::RollingWindow;

/// Statistics over all servers of the steps up to an origin.
#[derive(Debug)]
pub(super) struct FleetHistory {
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    metric: usize,
    statistic: FleetStatistic,
    values: Vec<f64>,
}

/// A statistic while values come in one by one.
#[derive(Debug, Clone)]
struct Accumulator {
    statistic: FleetStatistic,
    count: u32,
    mean: f64,
    /// Sum of squared distances from the mean (Welford 1962).
    squares: f64,
    extreme: f64,
    above: u32,
}

impl FleetHistory {
    /// Reads every server once for each metric and statistic that is asked for.
    pub(super) fn new(
        window: &RollingWindow,
        origin: Step,
        steps: usize,
        wanted: impl Iterator<Item = (usize, FleetStatistic)>,
    ) -> Self {
        let mut history = Self { series: Vec::new() };
        for (metric, statistic) in wanted {
            if history.values(metric, statistic).is_none() {
                let values = statistic_by_step(window, origin, steps, metric, statistic);
                history.series.push(Series { metric, statistic, values });
            }
        }
        history
    }

    /// Returns the statistic of each step, oldest first; NaN where no server has a value.
    pub(super) fn values(&self, metric: usize, statistic: FleetStatistic) -> Option<&[f64]> {
        let is_wanted = |series: &&Series| series.metric == metric && series.statistic == statistic;
        self.series.iter().find(is_wanted).map(|series| series.values.as_slice())
    }
}

impl Accumulator {
    fn new(statistic: FleetStatistic) -> Self {
        Self { statistic, count: 0, mean: 0.0, squares: 0.0, extreme: f64::NAN, above: 0 }
    }

    fn add(&mut self, value: f64) {
        self.count += 1;
        let distance = value - self.mean;
        self.mean += distance / f64::from(self.count);
        self.squares += distance * (value - self.mean);
        match self.statistic {
            FleetStatistic::Max => self.extreme = self.extreme.max(value),
            FleetStatistic::Min => self.extreme = self.extreme.min(value),
            FleetStatistic::ShareAbove(limit) => self.above += u32::from(value > limit),
            FleetStatistic::Mean | FleetStatistic::Std => {}
        }
    }

    /// Returns the statistic; NaN if there were no values.
    fn value(&self) -> f64 {
        let count = f64::from(self.count);
        match self.statistic {
            _ if self.count == 0 => f64::NAN,
            FleetStatistic::Mean => self.mean,
            FleetStatistic::Std if self.count == 1 => 0.0,
            FleetStatistic::Std => (self.squares / (count - 1.0)).sqrt(),
            FleetStatistic::Max | FleetStatistic::Min => self.extreme,
            FleetStatistic::ShareAbove(_) => f64::from(self.above) / count,
        }
    }
}

fn statistic_by_step(
    window: &RollingWindow,
    origin: Step,
    steps: usize,
    metric: usize,
    statistic: FleetStatistic,
) -> Vec<f64> {
    let mut accumulators = vec![Accumulator::new(statistic); steps];
    let mut history = vec![f32::NAN; steps];
    for view in window.servers() {
        view.copy_filled_history(metric, origin, &mut history);
        for (accumulator, value) in accumulators.iter_mut().zip(&history) {
            if !value.is_nan() {
                accumulator.add(f64::from(*value));
            }
        }
    }
    accumulators.iter().map(Accumulator::value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_a_fleet() {
        let of = |statistic, values: &[f64]| {
            let mut accumulator = Accumulator::new(statistic);
            for &value in values {
                accumulator.add(value);
            }
            accumulator.value()
        };
        let values = [1.0, 2.0, 6.0];
        assert!((of(FleetStatistic::Std, &values) - 7.0f64.sqrt()).abs() < 1e-12);
        assert!((of(FleetStatistic::ShareAbove(1.5), &values) - 2.0 / 3.0).abs() < 1e-12);
        assert!((of(FleetStatistic::Min, &values) - 1.0).abs() < 1e-12);
        assert!(of(FleetStatistic::Max, &[]).is_nan());
    }
}
