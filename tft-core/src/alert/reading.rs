//! Compares one server with one rule, at one moment.

use super::rule::{Band, Rule, Severity};
use crate::risk::{OwnQuantiles, Threshold};
use crate::schema::BadSide;

/// What a rule sees of a server now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    /// The worst threshold that is reached, if any.
    pub(super) reached: Option<Hit>,
    /// Each threshold that, moved by the distance of recovery, is still reached; by severity.
    held: [Option<Hit>; 2],
    /// The worst value from now to the end of the look-ahead.
    pub(super) worst: f64,
}

/// A threshold that is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hit {
    pub(super) severity: Severity,
    /// The band's threshold, in the metric's unit.
    pub(super) threshold: f64,
    /// The value past which the threshold is recovered from, in the metric's unit.
    pub(super) recovery: f64,
    /// The first step of enough in a row; 0 is now.
    pub(super) steps_ahead: usize,
}

/// A threshold in the metric's unit.
#[derive(Debug, Clone, Copy)]
struct Limit {
    value: f64,
    /// Whether meeting it exactly counts; so it does for values, but not for own quantiles.
    is_inclusive: bool,
    side: BadSide,
}

impl Reading {
    /// Reads a path: step 0 is now, NaN is missing. `None` if all of it is.
    pub(super) fn new(rule: &Rule, metric: usize, path: &[f64], own: OwnQuantiles<'_>) -> Option<Self> {
        let side = rule.direction.bad_side();
        let known = path.iter().copied().filter(|value| value.is_finite());
        let worst = match side {
            BadSide::High => known.reduce(f64::max),
            BadSide::Low => known.reduce(f64::min),
        }?;
        let limit = |at| Limit::of(at, side, metric, own);
        let mut bands: Vec<_> =
            rule.bands.iter().filter_map(|band| Some((band, limit(band.threshold)?))).collect();
        bands.sort_by_key(|(band, _)| band.severity);
        let recovery = rule.recovery.and_then(limit);
        let distance =
            recovery.zip(bands.first()).map_or(0.0, |(recovery, (_, lowest))| recovery.value - lowest.value);
        let mut held = [None; 2];
        for (held, (band, limit)) in held.iter_mut().zip(&bands) {
            *held = limit.shifted(distance).hit(band, limit, path, rule.min_steps);
        }
        let reached = bands.iter().rev().find_map(|(band, limit)| {
            let hit = limit.hit(band, limit, path, rule.min_steps)?;
            Some(Hit { recovery: limit.shifted(distance).value, ..hit })
        });
        Some(Self { reached, held, worst })
    }

    /// The worst threshold, no more severe than `severity`, that has not been recovered from.
    pub(super) fn held_up_to(&self, severity: Severity) -> Option<Hit> {
        self.held.iter().rev().flatten().find(|hit| hit.severity <= severity).copied()
    }
}

impl Limit {
    fn of(threshold: Threshold, side: BadSide, metric: usize, own: OwnQuantiles<'_>) -> Option<Self> {
        let is_inclusive = matches!(threshold, Threshold::Value(_));
        threshold.resolve(metric, own).map(|value| Self { value, is_inclusive, side })
    }

    /// Moves towards the good side; never the other way, where own quantiles are out of order.
    fn shifted(self, by: f64) -> Self {
        let by = match self.side {
            BadSide::High => by.min(0.0),
            BadSide::Low => by.max(0.0),
        };
        Self { value: self.value + by, ..self }
    }

    /// Finds the first run of steps beyond this limit, which is that of a band or its recovery.
    fn hit(self, band: &Band, of_band: &Self, path: &[f64], min_steps: usize) -> Option<Hit> {
        let steps_ahead = first_run(path, min_steps, |value| self.is_reached_by(value))?;
        let (severity, threshold) = (band.severity, of_band.value);
        Some(Hit { severity, threshold, recovery: self.value, steps_ahead })
    }

    fn is_reached_by(self, value: f64) -> bool {
        match (self.side, self.is_inclusive) {
            (BadSide::High, true) => value >= self.value,
            (BadSide::High, false) => value > self.value,
            (BadSide::Low, true) => value <= self.value,
            (BadSide::Low, false) => value < self.value,
        }
    }
}

/// The start of the first run of at least `length` values that satisfy a condition.
fn first_run(values: &[f64], length: usize, condition: impl Fn(f64) -> bool) -> Option<usize> {
    let mut run = 0;
    for (index, &value) in values.iter().enumerate() {
        run = if condition(value) { run + 1 } else { 0 };
        if run == length {
            return Some(index + 1 - length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        let band = |severity, value| Band { severity, threshold: Threshold::Value(value) };
        let bands = vec![band(Severity::Critical, 95.0), band(Severity::Warning, 85.0)];
        Rule { recovery: Some(Threshold::Value(80.0)), ..Rule::new("cpu", "cpu_user_pct", bands) }
    }

    fn read(rule: &Rule, path: &[f64]) -> Reading {
        Reading::new(rule, 0, path, OwnQuantiles::NONE).unwrap()
    }

    #[test]
    fn the_worst_band_wins_with_its_first_crossing() {
        let reading = read(&rule(), &[50.0, 86.0, 90.0, 95.0, 99.0]);
        let hit = Hit { severity: Severity::Critical, threshold: 95.0, recovery: 90.0, steps_ahead: 3 };
        assert_eq!((reading.reached, reading.worst), (Some(hit), 99.0));
    }

    #[test]
    fn each_band_is_held_until_its_own_recovery() {
        let reading = read(&rule(), &[91.0]);
        assert_eq!(reading.reached.map(|hit| hit.severity), Some(Severity::Warning));
        let held = |reading: &Reading| {
            reading.held_up_to(Severity::Critical).map(|hit| (hit.severity, hit.recovery))
        };
        assert_eq!(held(&reading), Some((Severity::Critical, 90.0)));
        assert_eq!(reading.held_up_to(Severity::Warning).map(|hit| hit.threshold), Some(85.0));
        let easing = read(&rule(), &[81.0]);
        assert_eq!((easing.reached, held(&easing)), (None, Some((Severity::Warning, 80.0))));
        assert_eq!(held(&read(&rule(), &[79.9])), None);
    }

    #[test]
    fn a_run_must_be_long_enough() {
        let rule = Rule { min_steps: 3, ..rule() };
        assert_eq!(read(&rule, &[90.0, 90.0, 10.0, 90.0, 90.0]).reached, None);
        let hit = read(&rule, &[90.0, f64::NAN, 90.0, 90.0, 90.0]).reached.unwrap();
        assert_eq!(hit.steps_ahead, 2);
    }

    #[test]
    fn own_quantiles_need_a_history() {
        let bands = vec![Band { severity: Severity::Warning, threshold: Threshold::OwnQuantile(0.99) }];
        let rule = Rule { bands, recovery: None, ..rule() };
        assert_eq!(read(&rule, &[99.0]).reached, None);
        let own = |_: usize, _: f64| Some(7.0);
        let at = |value| Reading::new(&rule, 0, &[value], OwnQuantiles::new(&own)).unwrap().reached;
        assert!(at(7.0).is_none() && at(7.1).is_some());
        assert!(Reading::new(&rule, 0, &[f64::NAN], OwnQuantiles::NONE).is_none());
    }
}
