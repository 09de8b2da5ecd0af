//! The real columns of a window, encoded.

use super::window::Window;
use super::{FillValue, Frame};
use crate::error::Error;
use crate::model::encoding::normalizer::{EncoderFit, Layout, Normalizer};
use crate::model::encoding::rows::Numbers;
use crate::problems::Problems;

/// A real column and what its values are made of.
pub(super) struct RealColumn<'a> {
    name: &'a str,
    kind: RealKind<'a>,
}

enum RealKind<'a> {
    /// Steps from the first decoder step, relative to the longest encoder.
    RelativeTimeIdx,
    /// The encoder length, from −1 to 1.
    EncoderLength,
    /// A constant that scales a target.
    TargetConstant { target: usize, is_center: bool, scaler: Option<&'a Normalizer> },
    /// A column of the rows.
    Variable(Variable<'a>),
}

struct Variable<'a> {
    numbers: Numbers<'a>,
    lag: usize,
    is_single: bool,
    normalizer: Option<&'a Normalizer>,
    /// What stands in the steps of a gap, scaled; raw for a normaliser of the window's own.
    fill: Option<f64>,
    /// What stands there in the variable without its lag, raw.
    base_fill: Option<f64>,
    is_time_idx: bool,
    is_target: bool,
}

impl<'a> Frame<'a> {
    pub(super) fn prepare_real(&self, name: &'a str) -> Result<RealColumn<'a>, Error> {
        let encoding = self.encoding;
        let kind = if encoding.add_relative_time_idx && name == "relative_time_idx" {
            RealKind::RelativeTimeIdx
        } else if encoding.add_encoder_length && name == "encoder_length" {
            RealKind::EncoderLength
        } else if let Some((target, is_center)) = encoding.target_constant(name) {
            RealKind::TargetConstant { target, is_center, scaler: self.scaler(name) }
        } else {
            RealKind::Variable(self.variable(name)?)
        };
        Ok(RealColumn { name, kind })
    }

    /// The values of a column, by step.
    pub(super) fn real_column(
        &self,
        window: &Window,
        column: &RealColumn<'_>,
        problems: &mut Problems,
    ) -> Vec<f32> {
        let (steps, longest) = (window.steps(), self.encoding.max_encoder_length as f64);
        let encoder_length = window.encoder_length as f64;
        let values = match &column.kind {
            RealKind::RelativeTimeIdx => {
                (0..steps).map(|step| ((step as f64 - encoder_length) / longest) as f32).collect()
            }
            RealKind::EncoderLength => {
                vec![((encoder_length - longest / 2.0) / longest * 2.0) as f32; steps]
            }
            RealKind::TargetConstant { target, is_center, scaler } => {
                self.target_constants(window, *target, *is_center, *scaler)
            }
            RealKind::Variable(variable) => self.variable_values(window, variable),
        };
        if let Some(step) = values.iter().position(|value| !value.is_finite()) {
            problems.push(not_finite(window, column, step));
        }
        values
    }

    /// The raw values of a target, by step.
    pub(super) fn raw_target(&self, window: &Window, target: usize) -> Vec<f32> {
        let name = &self.encoding.targets[target];
        let Ok(numbers) = self.rows.numbers(name) else { return vec![f32::NAN; window.steps()] };
        let fill = self.encoding.constant_fill_strategy.get(name).and_then(FillValue::number);
        raw_values(window, numbers, 0, fill)
    }

    fn variable(&self, name: &'a str) -> Result<Variable<'a>, Error> {
        let encoding = self.encoding;
        let (base, lag) = encoding.base(name);
        let target = encoding.targets.iter().position(|target| target == base);
        let normalizer = match target {
            Some(target) => Some(&encoding.normalizers()[target]),
            None => self.scaler(base),
        };
        let numbers = self.rows.numbers(base)?;
        let is_single = match target {
            Some(_) if lag == 0 => self.targets_are_single,
            _ => numbers.are_single(),
        };
        let raw_fill = |name: &str| encoding.constant_fill_strategy.get(name).and_then(FillValue::number);
        let fill = raw_fill(name).map(|value| match normalizer {
            Some(normalizer) if normalizer.encoder_fit().is_none() => self.scaled_fill(normalizer, value),
            _ => value,
        });
        Ok(Variable {
            numbers,
            lag,
            is_single,
            normalizer,
            fill,
            base_fill: raw_fill(base),
            is_time_idx: name == encoding.time_idx,
            is_target: target.is_some(),
        })
    }

    fn scaler(&self, name: &str) -> Option<&'a Normalizer> {
        self.encoding.scalers.get(name).and_then(Option::as_ref)
    }

    /// The reference scales a constant with the constants of its first row, whatever the group.
    fn scaled_fill(&self, normalizer: &Normalizer, value: f64) -> f64 {
        let constants = self.visible_constants(normalizer, self.first_row());
        normalizer.scaled(constants, value, false)
    }

    fn variable_values(&self, window: &Window, variable: &Variable<'_>) -> Vec<f32> {
        let mut values = match variable.normalizer {
            None => raw_values(window, variable.numbers, variable.lag, None),
            Some(normalizer) => match normalizer.encoder_fit() {
                Some(fit) => return self.fitted_values(window, variable, fit),
                None => self.scaled_values(window, variable, normalizer),
            },
        };
        if variable.is_time_idx && window.has_gaps() {
            even_out(&mut values);
        }
        if let Some(fill) = variable.fill {
            let filled = values.iter_mut().zip(&window.is_filled).filter(|(_, is_filled)| **is_filled);
            filled.for_each(|(value, _)| *value = fill as f32);
        }
        values
    }

    fn scaled_values(&self, window: &Window, variable: &Variable<'_>, normalizer: &Normalizer) -> Vec<f32> {
        let groups = self.groups_of(normalizer);
        let mut constants = self.visible_constants(normalizer, window.row(0, 0));
        let value = |step: usize| {
            if step > 0 && !are_same(&groups, window.row(step, 0), window.row(step - 1, 0)) {
                constants = self.visible_constants(normalizer, window.row(step, 0));
            }
            let raw = variable.numbers.at(window.row(step, variable.lag));
            normalizer.scaled(constants, raw, variable.is_single) as f32
        };
        (0..window.steps()).map(value).collect()
    }

    /// Scales by the constants of the variable's own encoder part, which has no lag.
    fn fitted_values(&self, window: &Window, variable: &Variable<'_>, fit: &EncoderFit) -> Vec<f32> {
        let mut own = raw_values(window, variable.numbers, 0, variable.base_fill);
        if variable.is_time_idx && window.has_gaps() {
            even_out(&mut own);
        }
        // Pandas hands its columns over one after the other; repeating rows puts the table in row order.
        let is_in_rows = window.has_gaps() && !variable.is_target && self.reals.len() > 1;
        let layout = if is_in_rows { Layout::Strided } else { Layout::Adjacent };
        let constants = fit.fit(&own[..window.encoder_length], layout);
        let values = match variable.lag {
            0 => own,
            lag => raw_values(window, variable.numbers, lag, variable.fill),
        };
        values.into_iter().map(|value| fit.apply(constants, value)).collect()
    }

    fn target_constants(
        &self,
        window: &Window,
        target: usize,
        is_center: bool,
        scaler: Option<&Normalizer>,
    ) -> Vec<f32> {
        let normalizer = &self.encoding.normalizers()[target];
        if let Some(fit) = normalizer.encoder_fit() {
            let constants = self.window_constants(window, target, fit);
            let value = if is_center { constants.center } else { constants.scale };
            let constant = scaler.map_or(value, |scaler| scaler.scaled(scaler.fitted(&[]), value, true));
            return vec![constant as f32; window.steps()];
        }
        let of_row = |row: usize| {
            let constants = self.visible_constants(normalizer, row);
            let is_single = self.targets_are_single && constants.are_single();
            let value = if is_center { constants.center } else { constants.scale };
            let scale =
                |scaler: &Normalizer| scaler.scaled(self.visible_constants(scaler, row), value, is_single);
            scaler.map_or(value, scale) as f32
        };
        let mut groups = self.groups_of(normalizer);
        groups.extend(scaler.into_iter().flat_map(|scaler| self.groups_of(scaler)));
        let mut value = of_row(window.row(0, 0));
        let at_step = |step: usize| {
            if step > 0 && !are_same(&groups, window.row(step, 0), window.row(step - 1, 0)) {
                value = of_row(window.row(step, 0));
            }
            value
        };
        (0..window.steps()).map(at_step).collect()
    }

    fn first_row(&self) -> usize {
        let labels: Vec<_> =
            self.encoding.group_ids.iter().filter_map(|name| self.labels.get(name.as_str())).collect();
        let by_group_and_time = |&a: &usize, &b: &usize| {
            let by_group = labels.iter().map(|labels| labels.compare(a, b)).find(|order| order.is_ne());
            by_group.unwrap_or_else(|| self.time[a].cmp(&self.time[b]))
        };
        (0..self.rows.len()).min_by(by_group_and_time).unwrap_or(0)
    }
}

impl FillValue {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Flag(value) => Some(f64::from(u8::from(*value))),
            Self::Label(_) => None,
        }
    }

    pub(super) fn label(&self) -> Option<&str> {
        match self {
            Self::Label(label) => Some(label),
            _ => None,
        }
    }
}

fn not_finite(window: &Window, column: &RealColumn<'_>, step: usize) -> String {
    let (name, group) = (column.name, &window.group);
    let time_idx = window.first_idx.saturating_add(step as i64);
    match &column.kind {
        RealKind::Variable(variable) => {
            let value = variable.numbers.at(window.row(step, variable.lag));
            format!("`{name}` of group {group:?} is {value} at time index {time_idx}, which cannot be scaled")
        }
        _ => format!("`{name}` of group {group:?} is not finite, since its target is not"),
    }
}

/// Whether two rows have the same labels.
fn are_same(groups: &[&[u32]], a: usize, b: usize) -> bool {
    a == b || groups.iter().all(|labels| labels[a] == labels[b])
}

fn raw_values(window: &Window, numbers: Numbers<'_>, lag: usize, fill: Option<f64>) -> Vec<f32> {
    let value = |step: usize| match fill.filter(|_| window.is_filled[step]) {
        Some(fill) => fill as f32,
        None => numbers.at(window.row(step, lag)) as f32,
    };
    (0..window.steps()).map(value).collect()
}

/// Replaces values by even steps from the first to the last, as `torch.linspace` rounds them.
fn even_out(values: &mut [f32]) {
    let [first, .., last] = *values else { return };
    let count = values.len();
    let step = (last - first) / (count - 1) as f32;
    for (index, value) in values.iter_mut().enumerate() {
        *value = if index < count / 2 {
            first + step * index as f32
        } else {
            last - step * (count - 1 - index) as f32
        };
    }
}
