//! The figures of one metric, horizon and method: sums over blocks, and what they say.

use super::config::DriftConfig;
use super::report::{DriftVerdict, HorizonDrift};
use crate::quality::pinball_loss;

/// The sums of values that have come.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    values: f64,
    inside: f64,
    below: f64,
    above: f64,
    losses: [f64; 3],
    reference: f64,
}

/// The sums of products of a block's sums, of which standard errors are made.
#[derive(Debug, Clone, Copy, Default)]
struct Products {
    inside_inside: f64,
    inside_values: f64,
    values_values: f64,
    loss_loss: f64,
    loss_reference: f64,
    reference_reference: f64,
}

/// One metric, horizon and method.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    block: i64,
    current: Sums,
    sums: Sums,
    products: Products,
    weight: f64,
    weight_of_squares: f64,
    values: u64,
}

/// A forecast that met its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// P10, P50 and P90.
    pub(super) predicted: [f64; 3],
    /// The newest value when the forecast was made.
    pub(super) newest: f64,
    pub(super) realised: f64,
}

impl Outcome {
    /// Returns whether a constant was forecast and stayed constant.
    pub(super) fn is_constant(&self) -> bool {
        let [low, _, high] = self.predicted;
        low >= high && low.to_bits() == self.realised.to_bits()
    }

    fn sums(&self) -> Sums {
        let Self { predicted: [low, median, high], newest, realised } = *self;
        let loss = |level, predicted| pinball_loss(level, predicted, realised);
        let share = |is_so: bool| f64::from(u8::from(is_so));
        Sums {
            values: 1.0,
            inside: share((low..=high).contains(&realised)),
            below: share(realised < low),
            above: share(realised > high),
            losses: [loss(0.1, low), loss(0.5, median), loss(0.9, high)],
            reference: loss(0.1, newest) + loss(0.5, newest) + loss(0.9, newest),
        }
    }
}

impl Cell {
    /// Counts an outcome into the current block.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.current.add(&outcome.sums());
        self.values = self.values.saturating_add(1);
    }

    /// Begins the block of this number, if it is a later one, and closes the one before; `keep` is the share of its
    /// weight that a block keeps from one to the next.
    pub(super) fn advance_to(&mut self, block: i64, keep: f64) {
        let passed = block.saturating_sub(self.block).clamp(0, i64::from(i32::MAX)) as i32;
        if passed == 0 {
            return;
        }
        self.block = block;
        if self.values == 0 {
            return;
        }
        let closed = std::mem::take(&mut self.current);
        self.fade(keep);
        if closed.values > 0.0 {
            self.sums.add(&closed);
            self.products.add(&closed);
            self.weight += 1.0;
            self.weight_of_squares += 1.0;
        }
        self.fade(keep.powi(passed - 1));
    }

    /// Returns how many values have come, ever.
    pub(super) fn values(&self) -> u64 {
        self.values
    }

    /// Returns what the closed blocks say.
    pub(super) fn horizon(&self, steps: usize, expected_coverage: f64, config: &DriftConfig) -> HorizonDrift {
        let Sums { values, inside, below, above, losses, reference } = self.sums;
        let share = |part: f64| (values > 0.0).then(|| part / values);
        let coverage = share(inside);
        let relative_loss = (reference > 0.0).then(|| losses.iter().sum::<f64>() / reference);
        let mut horizon = HorizonDrift {
            steps,
            verdict: DriftVerdict::Unknown,
            values: self.values,
            expected_coverage,
            coverage,
            coverage_error: coverage.map(|coverage| self.coverage_error(coverage)),
            below_p10: share(below),
            above_p90: share(above),
            pinball_losses: (values > 0.0).then(|| losses.map(|loss| loss / values)),
            relative_loss,
            relative_loss_error: relative_loss.map(|ratio| self.relative_loss_error(ratio)),
        };
        if values >= config.values_min as f64 && self.blocks() >= config.blocks_min as f64 - BLOCKS_ROUNDING {
            horizon.verdict = judge(&horizon, config);
        }
        horizon
    }

    /// Returns the sums of values, of those inside, of losses and of the reference's losses.
    pub(super) fn totals(&self) -> [f64; 4] {
        let Sums { values, inside, losses, reference, .. } = self.sums;
        [values, inside, losses.iter().sum(), reference]
    }

    /// Effective number of blocks.
    fn blocks(&self) -> f64 {
        if self.weight_of_squares > 0.0 { self.weight * self.weight / self.weight_of_squares } else { 0.0 }
    }

    fn coverage_error(&self, coverage: f64) -> f64 {
        let Products { inside_inside, inside_values, values_values, .. } = self.products;
        let squares = inside_inside - 2.0 * coverage * inside_values + coverage * coverage * values_values;
        let clustered = self.few_blocks() * squares.max(0.0).sqrt() / self.sums.values;
        let binomial = (coverage * (1.0 - coverage) / self.sums.values).max(0.0).sqrt();
        clustered.max(binomial)
    }

    fn relative_loss_error(&self, ratio: f64) -> f64 {
        let Products { loss_loss, loss_reference, reference_reference, .. } = self.products;
        let squares = loss_loss - 2.0 * ratio * loss_reference + ratio * ratio * reference_reference;
        self.few_blocks() * squares.max(0.0).sqrt() / self.sums.reference
    }

    /// The correction for few blocks.
    fn few_blocks(&self) -> f64 {
        let blocks = self.blocks();
        if blocks > 1.0 { (blocks / (blocks - 1.0)).sqrt() } else { 1.0 }
    }

    fn fade(&mut self, keep: f64) {
        self.sums.scale(keep);
        self.products.scale(keep * keep);
        self.weight *= keep;
        self.weight_of_squares *= keep * keep;
    }
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.values += other.values;
        self.inside += other.inside;
        self.below += other.below;
        self.above += other.above;
        self.losses.iter_mut().zip(other.losses).for_each(|(sum, loss)| *sum += loss);
        self.reference += other.reference;
    }

    fn scale(&mut self, factor: f64) {
        let Self { values, inside, below, above, losses, reference } = self;
        for sum in [values, inside, below, above, reference].into_iter().chain(losses) {
            *sum *= factor;
        }
    }
}

impl Products {
    fn add(&mut self, block: &Sums) {
        let loss: f64 = block.losses.iter().sum();
        self.inside_inside += block.inside * block.inside;
        self.inside_values += block.inside * block.values;
        self.values_values += block.values * block.values;
        self.loss_loss += loss * loss;
        self.loss_reference += loss * block.reference;
        self.reference_reference += block.reference * block.reference;
    }

    fn scale(&mut self, factor: f64) {
        let Self {
            inside_inside,
            inside_values,
            values_values,
            loss_loss,
            loss_reference,
            reference_reference,
        } = self;
        for sum in
            [inside_inside, inside_values, values_values, loss_loss, loss_reference, reference_reference]
        {
            *sum *= factor;
        }
    }
}

/// Judges figures that rest on enough values.
fn judge(horizon: &HorizonDrift, config: &DriftConfig) -> DriftVerdict {
    let with_error = |value: Option<f64>, error: Option<f64>, sign: f64| {
        value.zip(error).map(|(value, error)| value + sign * config.sigmas * error)
    };
    let coverage_at_best = with_error(horizon.coverage, horizon.coverage_error, 1.0);
    let loss_at_best = with_error(horizon.relative_loss, horizon.relative_loss_error, -1.0);
    let coverage_min = horizon.expected_coverage - config.coverage_tolerance;
    let is_too_narrow = coverage_at_best.is_some_and(|coverage| coverage < coverage_min);
    let is_too_bad = loss_at_best.is_some_and(|loss| loss > config.relative_loss_max);
    if is_too_narrow || is_too_bad { DriftVerdict::Drifting } else { DriftVerdict::Ok }
}

/// The effective number of blocks approaches the window's from below.
const BLOCKS_ROUNDING: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(newest: f64, realised: f64) -> Outcome {
        Outcome { predicted: [1.0, 2.0, 3.0], newest, realised }
    }

    #[test]
    fn figures_of_equal_weights_are_plain_means() {
        let mut cell = Cell::default();
        for (block, realised) in [2.5, 3.5, 0.0, 2.0].into_iter().enumerate() {
            cell.advance_to(block as i64, 1.0);
            cell.add(&outcome(2.0, realised));
        }
        cell.advance_to(4, 1.0);
        let horizon = cell.horizon(1, 0.8, &DriftConfig::default());
        assert_eq!(
            (horizon.coverage, horizon.below_p10, horizon.above_p90),
            (Some(0.5), Some(0.25), Some(0.25))
        );
        // |realised − newest| is 0.5, 1.5, 2 and 0; the three losses of a point sum to 1.5 of it.
        let losses = horizon.pinball_losses.unwrap().iter().sum::<f64>();
        assert!((horizon.relative_loss.unwrap() * (1.5 * 4.0 / 4.0) - losses).abs() < 1e-12);
        // Four blocks of one value: the clustered error is that of four draws, with n − 1.
        assert!((horizon.coverage_error.unwrap() - (0.25_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(horizon.verdict, DriftVerdict::Unknown);
    }

    #[test]
    fn old_blocks_fade_and_empty_ones_count_for_nothing() {
        let mut cell = Cell::default();
        cell.advance_to(7, 0.5);
        cell.add(&outcome(2.0, 9.0));
        cell.advance_to(9, 0.5);
        cell.add(&outcome(2.0, 2.0));
        cell.advance_to(10, 0.5);
        let horizon = cell.horizon(1, 0.8, &DriftConfig::default());
        assert!((horizon.coverage.unwrap() - 1.0 / 1.25).abs() < 1e-12);
        assert!((cell.blocks() - 1.25_f64.powi(2) / (1.0 + 0.0625)).abs() < 1e-12);
    }
}
