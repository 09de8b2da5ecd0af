//! Compares one server with one rule's thresholds, at one moment.

use super::Severity;
use crate::risk::{OwnQuantiles, Threshold};
use crate::schema::BadSide;

/// What a rule sees of a server now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    /// The worst threshold that is reached, if any.
    pub(super) reached: Option<Hit>,
    /// Each threshold that, moved by the distance of recovery, is still reached; by severity.
    held: [Option<Hit>; SEVERITIES],
    /// The worst value from now to the end of the look-ahead.
    pub(super) worst: f64,
}

/// A threshold that is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hit {
    pub(super) severity: Severity,
    /// The threshold, in the compared unit.
    pub(super) threshold: f64,
    /// The value past which the threshold is recovered from.
    pub(super) recovery: f64,
    /// The first step of enough in a row; 0 is now.
    pub(super) steps_ahead: usize,
}

/// A rule's thresholds, as they are compared.
#[derive(Debug, Clone)]
pub(super) struct Ladder {
    /// The least severe first.
    pub(super) rungs: Vec<(Severity, Threshold)>,
    pub(super) recovery: Option<Threshold>,
    pub(super) side: BadSide,
    /// Whether a value that meets a threshold does not count.
    pub(super) is_strict: bool,
    /// The position of the metric whose quantiles thresholds may be.
    pub(super) metric: usize,
}

/// A threshold in the compared unit.
#[derive(Debug, Clone, Copy)]
struct Limit {
    value: f64,
    /// Whether meeting it exactly counts; it never does for own quantiles.
    is_inclusive: bool,
    side: BadSide,
}

const SEVERITIES: usize = Severity::ALL.len();

impl Reading {
    /// Reads a path: step 0 is now, NaN is missing. `None` if all of it is.
    pub(super) fn new(
        ladder: &Ladder,
        min_steps: usize,
        path: &[f64],
        own: OwnQuantiles<'_>,
    ) -> Option<Self> {
        let worst = worst_of(path.iter().copied(), ladder.side)?;
        let limits = ladder.limits(own);
        let distance = ladder.recovery_distance(&limits, own);
        let mut held = [None; SEVERITIES];
        let mut reached = None;
        for (held, (severity, limit)) in held.iter_mut().zip(limits.iter().flatten()) {
            let eased = limit.shifted(distance);
            let hit = |steps_ahead| Hit {
                severity: *severity,
                threshold: limit.value,
                recovery: eased.value,
                steps_ahead,
            };
            *held = eased.first_run(path, min_steps).map(hit);
            reached = limit.first_run(path, min_steps).map(hit).or(reached);
        }
        Some(Self { reached, held, worst })
    }

    /// The worst threshold, no more severe than `severity`, that has not been recovered from.
    pub(super) fn held_up_to(&self, severity: Severity) -> Option<Hit> {
        self.held.iter().rev().flatten().find(|hit| hit.severity <= severity).copied()
    }
}

impl Ladder {
    /// Returns whether a value reaches any threshold: without this, a path whose worst value it is reaches none.
    pub(super) fn is_reached_by(&self, worst: f64, own: OwnQuantiles<'_>) -> bool {
        let mut rungs = self.rungs.iter();
        rungs.any(|&(_, at)| self.limit(at, own).is_some_and(|limit| limit.is_reached_by(worst)))
    }

    fn limit(&self, at: Threshold, own: OwnQuantiles<'_>) -> Option<Limit> {
        let is_inclusive = !self.is_strict && matches!(at, Threshold::Value(_));
        at.resolve(self.metric, own).map(|value| Limit { value, is_inclusive, side: self.side })
    }

    /// The known limits in ascending order of severity; there are no more rungs than severities.
    fn limits(&self, own: OwnQuantiles<'_>) -> [Option<(Severity, Limit)>; SEVERITIES] {
        let mut limits = [None; SEVERITIES];
        let known = self.rungs.iter().filter_map(|&(severity, at)| Some((severity, self.limit(at, own)?)));
        limits.iter_mut().zip(known).for_each(|(slot, known)| *slot = Some(known));
        limits
    }

    fn recovery_distance(&self, limits: &[Option<(Severity, Limit)>], own: OwnQuantiles<'_>) -> f64 {
        let recovery = self.recovery.and_then(|at| self.limit(at, own));
        let lowest = limits.iter().flatten().next();
        recovery.zip(lowest).map_or(0.0, |(recovery, (_, lowest))| recovery.value - lowest.value)
    }
}

impl Limit {
    /// Moves towards the good side; never the other way, where own quantiles are out of order.
    fn shifted(self, by: f64) -> Self {
        let by = match self.side {
            BadSide::High => by.min(0.0),
            BadSide::Low => by.max(0.0),
        };
        Self { value: self.value + by, ..self }
    }

    /// The start of the first run of at least `length` values beyond this limit.
    fn first_run(self, path: &[f64], length: usize) -> Option<usize> {
        let mut run = 0;
        for (index, &value) in path.iter().enumerate() {
            run = if self.is_reached_by(value) { run + 1 } else { 0 };
            if run == length {
                return Some(index + 1 - length);
            }
        }
        None
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

/// The value furthest to the bad side; none if all are missing.
pub(super) fn worst_of(values: impl Iterator<Item = f64>, side: BadSide) -> Option<f64> {
    // The extremes of two numbers pass over NaN.
    let worst = match side {
        BadSide::High => values.fold(f64::NAN, f64::max),
        BadSide::Low => values.fold(f64::NAN, f64::min),
    };
    worst.is_finite().then_some(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder() -> Ladder {
        Ladder {
            rungs: vec![
                (Severity::Warning, Threshold::Value(85.0)),
                (Severity::Critical, Threshold::Value(95.0)),
            ],
            recovery: Some(Threshold::Value(80.0)),
            side: BadSide::High,
            is_strict: false,
            metric: 0,
        }
    }

    fn read(ladder: &Ladder, path: &[f64]) -> Reading {
        Reading::new(ladder, 1, path, OwnQuantiles::NONE).unwrap()
    }

    #[test]
    fn the_worst_rung_wins_with_its_first_crossing() {
        let reading = read(&ladder(), &[50.0, 86.0, 90.0, 95.0, 99.0]);
        let hit = Hit { severity: Severity::Critical, threshold: 95.0, recovery: 90.0, steps_ahead: 3 };
        assert_eq!((reading.reached, reading.worst), (Some(hit), 99.0));
    }

    #[test]
    fn each_rung_is_held_until_its_own_recovery() {
        let reading = read(&ladder(), &[91.0]);
        assert_eq!(reading.reached.map(|hit| hit.severity), Some(Severity::Warning));
        let held = |reading: &Reading| {
            reading.held_up_to(Severity::Critical).map(|hit| (hit.severity, hit.recovery))
        };
        assert_eq!(held(&reading), Some((Severity::Critical, 90.0)));
        assert_eq!(reading.held_up_to(Severity::Warning).map(|hit| hit.threshold), Some(85.0));
        let easing = read(&ladder(), &[81.0]);
        assert_eq!((easing.reached, held(&easing)), (None, Some((Severity::Warning, 80.0))));
        assert_eq!(held(&read(&ladder(), &[79.9])), None);
    }

    #[test]
    fn a_run_must_be_long_enough() {
        let three = |path: &[f64]| Reading::new(&ladder(), 3, path, OwnQuantiles::NONE).unwrap().reached;
        assert_eq!(three(&[90.0, 90.0, 10.0, 90.0, 90.0]), None);
        assert_eq!(three(&[90.0, f64::NAN, 90.0, 90.0, 90.0]).unwrap().steps_ahead, 2);
    }

    #[test]
    fn strict_thresholds_must_be_passed() {
        let strict = Ladder { is_strict: true, ..ladder() };
        assert_eq!(
            (read(&strict, &[85.0]).reached, strict.is_reached_by(85.0, OwnQuantiles::NONE)),
            (None, false)
        );
        assert!(read(&strict, &[85.1]).reached.is_some() && read(&ladder(), &[85.0]).reached.is_some());
    }

    #[test]
    fn own_quantiles_need_a_history() {
        let rungs = vec![(Severity::Warning, Threshold::OwnQuantile(0.99))];
        let ladder = Ladder { rungs, recovery: None, ..ladder() };
        assert_eq!(read(&ladder, &[99.0]).reached, None);
        let own = |_: usize, _: f64| Some(7.0);
        let at = |value| Reading::new(&ladder, 1, &[value], OwnQuantiles::new(&own)).unwrap().reached;
        assert!(at(7.0).is_none() && at(7.1).is_some());
        assert!(Reading::new(&ladder, 1, &[f64::NAN], OwnQuantiles::NONE).is_none());
    }
}
