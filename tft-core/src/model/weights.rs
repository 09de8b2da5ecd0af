//! Weight files: safetensors read into checked tensors of single precision.
//!
//! Owns the check that a file holds exactly the tensors of an [`Architecture`], under their own names or
//! aliases, with the right shapes and finite values. All problems of a file are reported at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::architecture::Architecture;
use super::state_dict::StateDict;
use crate::error::{Error, ErrorKind};
use crate::problems::Problems;
use crate::time::abbreviate;

/// The checked tensors of a network.
pub(crate) struct Weights {
    tensors: HashMap<String, WeightTensor>,
}

/// One tensor: row-major values and their shape.
#[derive(Debug, Clone)]
pub(crate) struct WeightTensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

#[derive(Debug, thiserror::Error)]
enum WeightsError {
    #[error("weights `{file}` are not a readable safetensors file: {reason}")]
    Unreadable { file: String, reason: String },
}

impl Weights {
    /// Largest weight file, in bytes.
    pub(crate) const FILE_BYTES_MAX: u64 = 1 << 30;

    /// Parses and checks the bytes of a safetensors file; `file` names it in errors.
    pub(crate) fn parse(bytes: &[u8], file: &str, architecture: &Architecture) -> Result<Self, Error> {
        let parsed = SafeTensors::deserialize(bytes)
            .map_err(|error| WeightsError::Unreadable { file: file.to_owned(), reason: error.to_string() })?;
        let expected = StateDict::of(architecture);
        let mut problems = Problems::default();
        let mut tensors = BTreeMap::new();
        let mut views = parsed.tensors();
        views.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, view) in views {
            if let Some(tensor) = checked_tensor(&mut problems, &name, &view, &expected) {
                tensors.insert(name, tensor);
            }
        }
        check_missing(&mut problems, &parsed, &expected);
        let tensors = without_aliases(&mut problems, tensors, &expected);
        let what = format!("weights `{file}` do not fit the architecture");
        problems.into_result(ErrorKind::InvalidModel, what)?;
        Ok(Self { tensors })
    }

    /// Returns a tensor of the state dict.
    ///
    /// # Panics
    /// If the architecture that these weights were checked against has no such tensor.
    #[cfg(any(feature = "burn", feature = "engine"))]
    pub(crate) fn tensor(&self, name: &str) -> &WeightTensor {
        &self.tensors[name]
    }

    /// Returns whether there is a tensor of this name.
    #[cfg(any(feature = "burn", feature = "engine"))]
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Returns the number of distinct parameters.
    pub(crate) fn parameters(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.values.len()).sum()
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("tensors", &self.tensors.len())
            .field("parameters", &self.parameters())
            .finish()
    }
}

impl From<WeightsError> for Error {
    fn from(error: WeightsError) -> Self {
        Self::new(ErrorKind::InvalidModel, error)
    }
}

/// Checks one tensor of the file; returns it if it is usable.
fn checked_tensor(
    problems: &mut Problems,
    name: &str,
    view: &TensorView<'_>,
    expected: &StateDict,
) -> Option<WeightTensor> {
    let Some(shape) = expected.required.get(own_name(name, expected)) else {
        problems.push(format_args!("unexpected tensor `{}`", abbreviate(name)));
        return None;
    };
    if view.shape() != shape {
        let found = abbreviate(&format!("{:?}", view.shape()));
        problems.push(format_args!("tensor `{name}` has shape {found}, expected {shape:?}"));
        return None;
    }
    let Some(values) = to_single_precision(view) else {
        problems.push(format_args!("tensor `{name}` has type {:?}, which is not supported", view.dtype()));
        return None;
    };
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        problems.push(format_args!("tensor `{name}` holds {} at index {index}", values[index]));
        return None;
    }
    Some(WeightTensor { shape: shape.clone(), values })
}

/// A tensor may be there under any of its names: a writer that stores each tensor once keeps any of them.
fn check_missing(problems: &mut Problems, file: &SafeTensors<'_>, expected: &StateDict) {
    let present: HashSet<&str> = file.iter().map(|(name, _)| own_name(name, expected)).collect();
    for (name, shape) in &expected.required {
        if !present.contains(name.as_str()) {
            problems.push(format_args!("missing tensor `{name}` of shape {shape:?}"));
        }
    }
}

/// Keeps each tensor under its own name; all its copies must agree bit for bit.
fn without_aliases(
    problems: &mut Problems,
    mut tensors: BTreeMap<String, WeightTensor>,
    expected: &StateDict,
) -> HashMap<String, WeightTensor> {
    let mut sources: HashMap<&str, &str> = HashMap::new();
    for (alias, name) in &expected.aliases {
        let Some(copy) = tensors.remove(alias) else { continue };
        match tensors.get(name) {
            None => {
                tensors.insert(name.clone(), copy);
                sources.insert(name, alias);
            }
            Some(tensor) if is_same(tensor, &copy) => {}
            Some(_) => {
                let first = sources.get(name.as_str()).copied().unwrap_or(name);
                problems.push(format_args!("tensor `{alias}` differs from `{first}`, which it must repeat"));
            }
        }
    }
    tensors.into_iter().collect()
}

fn own_name<'a>(name: &'a str, expected: &'a StateDict) -> &'a str {
    expected.aliases.get(name).map_or(name, String::as_str)
}

fn is_same(one: &WeightTensor, other: &WeightTensor) -> bool {
    let bits = |tensor: &WeightTensor| -> Vec<u32> { tensor.values.iter().map(|v| v.to_bits()).collect() };
    one.shape == other.shape && bits(one) == bits(other)
}

fn to_single_precision(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = view.data();
    let values = match view.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Dtype::F64 => data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect(),
        Dtype::BF16 => data.as_chunks().0.iter().map(|&bytes| from_bfloat16(bytes)).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|&bytes| from_half(u16::from_le_bytes(bytes))).collect(),
        _ => return None,
    };
    Some(values)
}

fn from_bfloat16(bytes: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
}

/// Widens an IEEE 754 half: 1 sign bit, 5 exponent bits (bias 15), 10 fraction bits.
fn from_half(half: u16) -> f32 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(half >> 10 & 0x1f);
    let fraction = f32::from(half & 0x3ff) / 1024.0;
    match exponent {
        0 => sign * fraction * 2f32.powi(-14),
        0x1f if fraction == 0.0 => sign * f32::INFINITY,
        0x1f => f32::NAN,
        _ => sign * (1.0 + fraction) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_widen_exactly() {
        for (half, single) in [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 5.960_464_5e-8), (0x7bff, 65504.0)] {
            assert!((from_half(half) - single).abs() < f32::EPSILON * single.abs());
        }
        assert!(from_half(0x7c00).is_infinite() && from_half(0x7e00).is_nan());
    }
}
