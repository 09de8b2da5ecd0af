//! The encoding of the built-in model: one metric of one server, scaled by its own history.
//!
//! Works on any metric without training, since every input is relative to the window. With `y` the history,
//! `t` the origin and `day` the steps of a day:
//!
//! - profile `p(i)`: mean of `y(i − day)`, `y(i − 2·day)`, `y(i − 3·day)` as far as known; where none is, the
//!   mean of the last day;
//! - baseline `b(t+h) = p(t+h) + (y(t) − p(t))·exp(−h/decay)`: the last value decays to the profile;
//! - scale `s`: mean of the mean absolute difference from the step before, from the day before, and from the
//!   profile over the encoder, with a floor relative to the largest value;
//! - prediction: `b(t+h) + s·network(h, q)`.

use ndarray::{Array2, Array3, ArrayView1, s};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::model::architecture::Architecture;
use crate::model::batch::{NetworkOutput, TensorBatch};
use crate::model::calibration::Calibration;
use crate::problems::Problems;
use crate::quantile::QuantileLevels;
use crate::schema::MetricKind;
use crate::time::{StepLength, Timestamp};

/// The constants of the univariate encoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnivariateEncoding {
    /// Encoder length L, in steps.
    pub encoder_length: usize,
    /// Decoder length D, in steps.
    pub prediction_length: usize,
    /// Days that the profile averages.
    pub profile_days: usize,
    /// Steps in a day.
    pub steps_per_day: usize,
    /// Time constant of the baseline, in steps.
    pub decay_steps: f64,
    /// Fewest steps of history with which the model is used.
    pub history_steps_min: usize,
}

/// The history of one metric of one server.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// The last [`UnivariateEncoding::history_steps`] steps ending at the origin, oldest first; NaN where
    /// missing. The last `encoder_length` must be known.
    pub values: &'a [f32],
    /// The first instant of the origin step.
    pub origin: Timestamp,
    /// What sort of number the metric is.
    pub kind: MetricKind,
}

/// Encoded histories: a batch, and what turns its outputs into predictions.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EncodedHistories {
    /// The tensors, one window per history.
    pub batch: TensorBatch,
    /// The scale s of each window, in the metric's unit.
    pub scale: Vec<f64>,
    /// The baseline of each window, `[windows, D]`, in the metric's unit.
    pub baseline: Array2<f64>,
}

#[derive(Debug, thiserror::Error)]
enum UnivariateError {
    #[error("encoding.{field} is {value}, allowed are {min} to {max}")]
    OutOfRange { field: &'static str, value: f64, min: f64, max: f64 },
    #[error("architecture.{field} are {found:?}, the univariate encoding makes {expected:?}")]
    Variables { field: &'static str, found: Vec<String>, expected: Vec<&'static str> },
    #[error("history {window} has {found} steps, expected {expected}")]
    HistoryLength { window: usize, found: usize, expected: usize },
    #[error("history {window} holds {value} at step {step} of {steps}; the last {known} must be known")]
    Unknown { window: usize, step: usize, steps: usize, value: f64, known: usize },
    #[error("output has shape {found:?}, expected {expected:?} windows and steps")]
    Output { found: Vec<usize>, expected: [usize; 2] },
}

/// Columns of the real inputs.
const REALS: [&str; 16] = [
    "roughness",
    "roughness_recent",
    "deviation",
    "unchanged",
    "room_below",
    "room_above",
    "level",
    "profile",
    "lag_1d",
    "lag_2d",
    "days",
    "time_of_day_sin",
    "time_of_day_cos",
    "is_weekend",
    "relative_time_idx",
    "residual",
];
const STATIC_REALS: usize = 6;

impl UnivariateEncoding {
    /// Returns how many steps of history a window takes: the encoder and the days of the profile.
    pub fn history_steps(&self) -> usize {
        self.encoder_length + self.profile_days * self.steps_per_day
    }

    /// Encodes a batch of histories.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a history has another length or an unknown step in its encoder.
    pub fn encode(&self, histories: &[History<'_>], step: StepLength) -> Result<EncodedHistories, Error> {
        let windows = histories.len();
        let (encoder_length, prediction_length) = (self.encoder_length, self.prediction_length);
        let mut encoded = EncodedHistories {
            batch: TensorBatch {
                encoder_reals: Array3::zeros((windows, encoder_length, REALS.len())),
                encoder_categoricals: Array3::zeros((windows, encoder_length, 1)),
                decoder_reals: Array3::zeros((windows, prediction_length, REALS.len())),
                decoder_categoricals: Array3::zeros((windows, prediction_length, 1)),
                encoder_lengths: vec![encoder_length; windows],
                decoder_lengths: vec![prediction_length; windows],
            },
            scale: Vec::with_capacity(windows),
            baseline: Array2::zeros((windows, prediction_length)),
        };
        for (window, history) in histories.iter().enumerate() {
            self.check_history(window, history)?;
            let measured = Measured::of(history, self);
            measured.write(window, history, self, step, &mut encoded);
        }
        Ok(encoded)
    }

    /// Collects what is wrong with an encoding for a network whose own shape is in order.
    pub(super) fn check(&self, architecture: &Architecture, problems: &mut Problems) {
        let history_max = self.history_steps() as f64;
        let ranges = [
            ("encoder_length", self.encoder_length as f64, 2.0, architecture.max_encoder_length as f64),
            ("prediction_length", self.prediction_length as f64, 1.0, Architecture::LENGTH_MAX as f64),
            ("profile_days", self.profile_days as f64, 2.0, 366.0),
            ("steps_per_day", self.steps_per_day as f64, self.prediction_length as f64, 86_400.0),
            ("decay_steps", self.decay_steps, f64::MIN_POSITIVE, f64::MAX),
            ("history_steps_min", self.history_steps_min as f64, self.encoder_length as f64, history_max),
        ];
        for (field, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                problems.push(UnivariateError::OutOfRange { field, value, min, max });
            }
        }
        check_variables("x_reals", &architecture.x_reals, &REALS, problems);
        check_variables("x_categoricals", &architecture.x_categoricals, &["kind"], problems);
        if let Err(error) = QuantileLevels::new(&architecture.quantiles[0]) {
            problems.push(error);
        }
        let classes_of = architecture.column_classes();
        if let Some(&classes) = classes_of.get("kind").filter(|&&classes| classes < 3) {
            let value = classes as f64;
            problems.push(UnivariateError::OutOfRange { field: "kind", value, min: 3.0, max: f64::MAX });
        }
    }

    fn check_history(&self, window: usize, history: &History<'_>) -> Result<(), Error> {
        let (found, expected) = (history.values.len(), self.history_steps());
        if found != expected {
            return Err(UnivariateError::HistoryLength { window, found, expected }.into());
        }
        let is_usable = |(step, value): (usize, &f32)| {
            value.is_finite() || (value.is_nan() && step < found - self.encoder_length)
        };
        match history.values.iter().enumerate().find(|&(step, value)| !is_usable((step, value))) {
            Some((step, &value)) => {
                let (value, known) = (f64::from(value), self.encoder_length);
                Err(UnivariateError::Unknown { window, step, steps: found, value, known }.into())
            }
            None => Ok(()),
        }
    }
}

impl EncodedHistories {
    /// Turns a network's outputs into quantiles in each metric's unit, calibrated and sorted.
    ///
    /// # Shapes
    /// `[windows, D, quantiles]`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the output is not that of this batch.
    pub fn predictions(
        &self,
        output: &NetworkOutput,
        calibration: Option<&Calibration>,
    ) -> Result<Array3<f64>, Error> {
        let expected = [self.baseline.nrows(), self.baseline.ncols()];
        let fits = output.targets.len() == 1 && output.targets[0].shape()[..2] == expected;
        if !fits {
            let found = output.targets.first().map_or(Vec::new(), |target| target.shape().to_vec());
            return Err(UnivariateError::Output { found, expected }.into());
        }
        let mut quantiles = output.targets[0].mapv(f64::from);
        for (window, &scale) in self.scale.iter().enumerate() {
            let mut of_window = quantiles.slice_mut(s![window, .., ..]);
            for (mut row, &base) in of_window.rows_mut().into_iter().zip(self.baseline.row(window)) {
                row.mapv_inplace(|value| base + scale * value);
            }
            if let Some(calibration) = calibration {
                calibration.apply(of_window.view_mut());
            }
            for mut row in of_window.rows_mut() {
                if let Some(row) = row.as_slice_mut() {
                    row.sort_unstable_by(f64::total_cmp);
                }
            }
        }
        Ok(quantiles)
    }
}

/// What is measured on one history before it is scaled.
struct Measured {
    values: Vec<f64>,
    /// p(i) over encoder and decoder steps.
    profile: Vec<f64>,
    /// How many days each p(i) averages.
    days: Vec<usize>,
    /// b(t+h) over decoder steps.
    baseline: Vec<f64>,
    scale: f64,
    /// The static inputs, in the order of the columns.
    statics: [f64; STATIC_REALS],
}

impl Measured {
    fn of(history: &History<'_>, encoding: &UnivariateEncoding) -> Self {
        let values: Vec<f64> = history.values.iter().map(|&value| f64::from(value)).collect();
        let (profile, days) = profile(&values, encoding);
        let baseline = baseline(&values, &profile, encoding);
        let recent = &values[values.len() - encoding.encoder_length..];
        let roughness = differences(&values, 1);
        let roughness_recent = differences(recent, 1).mean.unwrap_or(0.0);
        let deviation = mean_absolute(recent.iter().zip(&profile).map(|(y, p)| y - p)).unwrap_or(0.0);
        let scale = scale(
            &values,
            [roughness.mean, differences(&values, encoding.steps_per_day).mean, Some(deviation)],
        );
        let (lowest, highest) = extremes(&values);
        let last = values[values.len() - 1];
        let statics = [
            logarithm(roughness.mean.unwrap_or(0.0) / scale),
            logarithm(roughness_recent / scale),
            logarithm(deviation / scale),
            roughness.unchanged,
            ((last - lowest) / scale).asinh(),
            ((highest - last) / scale).asinh(),
        ];
        Self { values, profile, days, baseline, scale, statics }
    }

    fn write(
        &self,
        window: usize,
        history: &History<'_>,
        encoding: &UnivariateEncoding,
        step: StepLength,
        encoded: &mut EncodedHistories,
    ) {
        let (encoder_length, prediction_length) = (encoding.encoder_length, encoding.prediction_length);
        encoded.scale.push(self.scale);
        encoded.baseline.row_mut(window).assign(&ArrayView1::from(&self.baseline));
        let code = kind_code(history.kind);
        encoded.batch.encoder_categoricals.slice_mut(s![window, .., ..]).fill(code);
        encoded.batch.decoder_categoricals.slice_mut(s![window, .., ..]).fill(code);
        for at in 0..encoder_length + prediction_length {
            let inputs = self.inputs(at, history.origin, encoding, step);
            let mut row = match at.checked_sub(encoder_length) {
                None => encoded.batch.encoder_reals.slice_mut(s![window, at, ..]),
                Some(ahead) => encoded.batch.decoder_reals.slice_mut(s![window, ahead, ..]),
            };
            row.iter_mut().zip(inputs).for_each(|(slot, input)| *slot = input as f32);
        }
    }

    /// The real inputs of one step, in the order of the columns.
    fn inputs(
        &self,
        at: usize,
        origin: Timestamp,
        encoding: &UnivariateEncoding,
        step: StepLength,
    ) -> [f64; 16] {
        let encoder_length = encoding.encoder_length;
        let first = self.values.len() - encoder_length;
        let last = self.values[self.values.len() - 1];
        let profile = self.profile[at];
        let is_encoder = at < encoder_length;
        let level = if is_encoder { self.values[first + at] } else { self.baseline[at - encoder_length] };
        let lag = |days: usize| {
            let value = self.values[first + at - days * encoding.steps_per_day];
            if value.is_nan() { 0.0 } else { ((value - profile) / self.scale).asinh() }
        };
        let ahead = at as i64 + 1 - encoder_length as i64;
        let calendar = origin.plus_millis(ahead * step.as_millis()).calendar();
        let angle = std::f64::consts::TAU * f64::from(calendar.millis_of_day) / StepLength::DAY_MS as f64;
        let [roughness, roughness_recent, deviation, unchanged, room_below, room_above] = self.statics;
        [
            roughness,
            roughness_recent,
            deviation,
            unchanged,
            room_below,
            room_above,
            ((level - last) / self.scale).asinh(),
            ((profile - last) / self.scale).asinh(),
            lag(1),
            lag(2),
            self.days[at] as f64 / encoding.profile_days as f64,
            angle.sin(),
            angle.cos(),
            f64::from(u8::from(calendar.weekday >= 5)),
            (at as f64 - encoder_length as f64) / encoder_length as f64,
            if is_encoder { ((level - profile) / self.scale).asinh() } else { 0.0 },
        ]
    }
}

impl From<UnivariateError> for Error {
    fn from(error: UnivariateError) -> Self {
        let kind = match error {
            UnivariateError::OutOfRange { .. } | UnivariateError::Variables { .. } => ErrorKind::InvalidModel,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// The profile p(i) over encoder and decoder steps, and how many days each averages.
fn profile(values: &[f64], encoding: &UnivariateEncoding) -> (Vec<f64>, Vec<usize>) {
    let first = values.len() - encoding.encoder_length;
    let last_day = &values[values.len() - encoding.steps_per_day..];
    let fallback = mean(last_day.iter().copied()).unwrap_or(0.0);
    let steps = first..first + encoding.encoder_length + encoding.prediction_length;
    let at_step = |step: usize| {
        let known = (1..=encoding.profile_days).map(|days| values[step - days * encoding.steps_per_day]);
        let known = known.filter(|value| !value.is_nan());
        (mean(known.clone()).unwrap_or(fallback), known.count())
    };
    steps.map(at_step).unzip()
}

fn baseline(values: &[f64], profile: &[f64], encoding: &UnivariateEncoding) -> Vec<f64> {
    let origin = encoding.encoder_length - 1;
    let distance = values[values.len() - 1] - profile[origin];
    let ahead = profile[origin + 1..].iter().zip(1..);
    ahead.map(|(p, h)| p + distance * (-f64::from(h) / encoding.decay_steps).exp()).collect()
}

/// Mean of the known parts, at least a floor that keeps constant histories away from a division by 0.
fn scale(values: &[f64], parts: [Option<f64>; 3]) -> f64 {
    const RELATIVE_FLOOR: f64 = 1e-8;
    const ABSOLUTE_FLOOR: f64 = 1e-12;
    let largest = values.iter().map(|value| value.abs()).fold(0.0, f64::max);
    let floor = RELATIVE_FLOOR * largest + ABSOLUTE_FLOOR;
    mean(parts.into_iter().flatten()).unwrap_or(0.0).max(floor)
}

struct Differences {
    mean: Option<f64>,
    /// Share of the pairs that do not differ.
    unchanged: f64,
}

/// The absolute differences over `lag` steps, where both ends are known.
fn differences(values: &[f64], lag: usize) -> Differences {
    let pairs = values[lag.min(values.len())..].iter().zip(values);
    let known = pairs.map(|(later, earlier)| later - earlier).filter(|difference| !difference.is_nan());
    let (count, unchanged) = known.clone().fold((0usize, 0usize), |(count, unchanged), difference| {
        (count + 1, unchanged + usize::from(difference == 0.0))
    });
    Differences { mean: mean_absolute(known), unchanged: unchanged as f64 / count.max(1) as f64 }
}

fn mean_absolute(values: impl Iterator<Item = f64>) -> Option<f64> {
    mean(values.map(f64::abs))
}

/// The mean of the known values; none if there are none.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let known = values.filter(|value| !value.is_nan());
    let (sum, count) = known.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

fn extremes(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)))
}

/// The logarithm of a ratio, bounded below.
fn logarithm(ratio: f64) -> f64 {
    const FLOOR: f64 = 0.01;
    (FLOOR + ratio).ln()
}

fn kind_code(kind: MetricKind) -> u32 {
    match kind {
        MetricKind::Percentage => 0,
        MetricKind::Continuous => 1,
        MetricKind::Count => 2,
    }
}

fn check_variables(
    field: &'static str,
    found: &[String],
    expected: &[&'static str],
    problems: &mut Problems,
) {
    if found != expected {
        let (found, expected) = (found.to_vec(), expected.to_vec());
        problems.push(UnivariateError::Variables { field, found, expected });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENCODING: UnivariateEncoding = UnivariateEncoding {
        encoder_length: 48,
        prediction_length: 96,
        profile_days: 3,
        steps_per_day: 288,
        decay_steps: 24.0,
        history_steps_min: 150,
    };

    fn encode(values: &[f32]) -> EncodedHistories {
        let history = History { values, origin: Timestamp::from_millis(0), kind: MetricKind::Continuous };
        ENCODING.encode(&[history], StepLength::FIVE_MINUTES).unwrap()
    }

    fn wave() -> Vec<f32> {
        (0..ENCODING.history_steps())
            .map(|step| (step as f32 / 7.0).sin() * 3.0 + (step % 5) as f32)
            .collect()
    }

    #[test]
    fn inputs_do_not_depend_on_unit_or_offset() {
        let plain = encode(&wave());
        let moved = encode(&wave().iter().map(|value| value * 64.0 + 1024.0).collect::<Vec<_>>());
        let difference = (&plain.batch.decoder_reals - &moved.batch.decoder_reals).mapv(f32::abs);
        assert!(difference.iter().all(|&difference| difference < 1e-4));
        assert!((moved.scale[0] / plain.scale[0] - 64.0).abs() < 1e-3);
    }

    #[test]
    fn a_constant_history_stays_finite() {
        let encoded = encode(&vec![7.5; ENCODING.history_steps()]);
        assert!(encoded.batch.encoder_reals.iter().all(|value| value.is_finite()));
        assert!(encoded.baseline.iter().all(|&value| (value - 7.5).abs() < 1e-9));
    }

    #[test]
    fn a_short_history_uses_the_last_day_as_profile() {
        let mut values = wave();
        values[..762].fill(f32::NAN);
        let encoded = encode(&values);
        assert!(encoded.batch.decoder_reals.iter().all(|value| value.is_finite()));
        let days = REALS.iter().position(|name| *name == "days").unwrap();
        assert!(encoded.batch.decoder_reals.slice(s![.., .., days]).iter().all(|&days| days == 0.0));
    }

    #[test]
    fn unknown_steps_in_the_encoder_are_refused() {
        let mut values = wave();
        let last = values.len() - 1;
        values[last] = f32::NAN;
        let history = History { values: &values, origin: Timestamp::from_millis(0), kind: MetricKind::Count };
        let error = ENCODING.encode(&[history], StepLength::FIVE_MINUTES).unwrap_err();
        insta::assert_snapshot!(
            error,
            @"history 0 holds NaN at step 911 of 912; the last 48 must be known"
        );
    }
}
