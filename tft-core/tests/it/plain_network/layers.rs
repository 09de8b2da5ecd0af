//! The building blocks, one row at a time (arXiv 1912.09363, §4.1 and §4.2).

use std::collections::BTreeMap;

/// The tensors of a state dict by their own names.
#[derive(Debug, Clone, Default)]
pub(crate) struct StateTensors(pub(crate) BTreeMap<String, StateTensor>);

/// Row-major values and their shape.
#[derive(Debug, Clone)]
pub(crate) struct StateTensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

/// The layers of one network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layers<'a> {
    pub(crate) tensors: &'a StateTensors,
    /// What layer normalisation adds to the variance.
    pub(crate) epsilon: f64,
}

impl StateTensors {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn values(&self, name: &str) -> &[f64] {
        &self.0.get(name).unwrap_or_else(|| panic!("no tensor {name}")).values
    }

    /// One row of a matrix.
    pub(crate) fn row(&self, name: &str, row: usize) -> &[f64] {
        let width = self.0[name].shape[1];
        &self.values(name)[row * width..(row + 1) * width]
    }
}

impl Layers<'_> {
    /// `W·x + b`, where `b` may be absent.
    pub(crate) fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = format!("{name}.weight");
        let rows = self.tensors.0.get(&weight).unwrap_or_else(|| panic!("no tensor {weight}")).shape[0];
        let product: Vec<f64> = (0..rows).map(|row| dot(self.tensors.row(&weight, row), x)).collect();
        let bias = format!("{name}.bias");
        if self.tensors.has(&bias) { add(&product, self.tensors.values(&bias)) } else { product }
    }

    /// Layer normalisation with the biased variance, which is infinite where single precision cannot hold it.
    pub(crate) fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let count = x.len() as f64;
        let mean = x.iter().sum::<f64>() / count;
        let variance = x.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let variance = if variance > f64::from(f32::MAX) { f64::INFINITY } else { variance };
        let normal = x.iter().map(|value| (value - mean) / (variance + self.epsilon).sqrt());
        let weight = self.tensors.values(&format!("{name}.weight"));
        let bias = self.tensors.values(&format!("{name}.bias"));
        normal.zip(weight).zip(bias).map(|((value, weight), bias)| value * weight + bias).collect()
    }

    /// Stretches the features to the width of the mask, scales by twice its logistic, normalises.
    pub(crate) fn resample_norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mask = self.tensors.values(&format!("{name}.mask"));
        let stretched = interpolated(x, mask.len());
        let scaled: Vec<f64> =
            stretched.iter().zip(mask).map(|(x, mask)| x * 2.0 * logistic(*mask)).collect();
        self.norm(&format!("{name}.norm"), &scaled)
    }

    /// The gated linear unit of eq. 5: the first half of the features times the logistic of the second.
    pub(crate) fn gated_linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let features = self.linear(name, x);
        let (values, gates) = features.split_at(features.len() / 2);
        values.iter().zip(gates).map(|(value, gate)| value * logistic(*gate)).collect()
    }

    /// The gated skip connection of eq. 2: `LayerNorm(GLU(x) + skip)`.
    pub(crate) fn gate_norm(&self, name: &str, x: &[f64], skip: &[f64]) -> Vec<f64> {
        let gated = self.gated_linear(&format!("{name}.glu.fc"), x);
        self.norm(&format!("{name}.add_norm.norm"), &add(&gated, skip))
    }

    /// The gated residual network of eq. 2–4; the skip is stretched where the widths differ.
    pub(crate) fn gated_residual(&self, name: &str, x: &[f64], context: Option<&[f64]>) -> Vec<f64> {
        let resample = format!("{name}.resample_norm");
        let is_resampled = self.tensors.has(&format!("{resample}.mask"));
        let skip = if is_resampled { self.resample_norm(&resample, x) } else { x.to_vec() };
        let mut hidden = self.linear(&format!("{name}.fc1"), x);
        if let Some(context) = context {
            hidden = add(&hidden, &self.linear(&format!("{name}.context"), context));
        }
        let hidden: Vec<f64> = hidden.into_iter().map(|x| if x > 0.0 { x } else { x.exp_m1() }).collect();
        let hidden = self.linear(&format!("{name}.fc2"), &hidden);
        self.gate_norm(&format!("{name}.gate_norm"), &hidden, &skip)
    }

    /// One step of an LSTM layer, gates in the order i, f, g, o: the next hidden and cell state.
    pub(crate) fn lstm_step(
        &self,
        name: &str,
        layer: usize,
        x: &[f64],
        (hidden, cell): (&[f64], &[f64]),
    ) -> (Vec<f64>, Vec<f64>) {
        let width = hidden.len();
        let part = |kind: &str, row: usize, x: &[f64]| {
            dot(self.tensors.row(&format!("{name}.weight_{kind}_l{layer}"), row), x)
                + self.tensors.values(&format!("{name}.bias_{kind}_l{layer}"))[row]
        };
        let gate = |index: usize, unit: usize| {
            part("ih", index * width + unit, x) + part("hh", index * width + unit, hidden)
        };
        let next_cell = |unit: usize| {
            logistic(gate(1, unit)) * cell[unit] + logistic(gate(0, unit)) * gate(2, unit).tanh()
        };
        let next: Vec<f64> = (0..width).map(next_cell).collect();
        ((0..width).map(|unit| logistic(gate(3, unit)) * next[unit].tanh()).collect(), next)
    }
}

/// Linear interpolation of the features to another width; the first and the last stay.
fn interpolated(x: &[f64], width: usize) -> Vec<f64> {
    let last = x.len() - 1;
    let value = |index: usize| {
        let at = if width == 1 { 0.0 } else { (index * last) as f64 / (width - 1) as f64 };
        let low = at.floor();
        let (below, above) = (x[low as usize], x[(low as usize + 1).min(last)]);
        below + (above - below) * (at - low)
    };
    (0..width).map(value).collect()
}

pub(crate) fn softmax(scores: &[f64]) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len());
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

pub(crate) fn add(x: &[f64], y: &[f64]) -> Vec<f64> {
    assert_eq!(x.len(), y.len());
    x.iter().zip(y).map(|(x, y)| x + y).collect()
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
