//! Why a forecast is what it is: which metrics stand out, what the network looked at, and what would change it.
//!
//! Owns the [`Explainer`] of single servers, and the reading of a [`NetworkOutput`] as
//! `TemporalFusionTransformer.interpret_output` of pytorch-forecasting 1.8 reads it, the [`Interpretation`]. It draws
//! no pictures, and says nothing that is not in the data or the network's output.
//!
//! An [`Interpretation`] is about one decoder step, the query. The weights of all steps and heads are in
//! [`NetworkOutput::encoder_attention`] and [`NetworkOutput::decoder_attention`] as the network gave them.

mod attention;
mod counterfactual;
mod evidence;
mod explainer;
mod explanation;
#[cfg(any(feature = "burn", feature = "engine"))]
mod focus;
mod importance;
mod outlook;
mod words;

use ndarray::{Array1, Array2};

use self::attention::StepAttention;
pub use self::counterfactual::{Change, Counterfactual, OtherOutcome, Outcome, WhatIf};
pub use self::evidence::{Evidence, Surprise, Unusual};
pub use self::explainer::Explainer;
pub use self::explanation::{Explanation, MetricExplanation};
#[cfg(any(feature = "burn", feature = "engine"))]
pub use self::focus::{Focus, HourShare, VariableShare};
pub use self::importance::Importance;
pub use self::outlook::{Limit, Outlook, Peak};
use crate::error::{Error, ErrorKind};
use crate::model::{Architecture, NetworkOutput, TensorBatch};

/// What one decoder step of each window attends to, and how much each variable counts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Interpretation {
    /// Attention to past steps, `[windows, max_encoder_length + query_step]`, each row summing to 1.
    ///
    /// Column `max_encoder_length - 1` is the last encoder step of every window, the columns after it are
    /// the decoder steps before the query. Steps that a window does not have are 0, and so are weights that
    /// no head gives more than [`ATTENTION_MIN`](Self::ATTENTION_MIN).
    pub attention: Array2<f32>,
    /// Importance of the static variables.
    pub static_variables: Importance,
    /// Importance of the encoder's variables, averaged over each window's encoder steps.
    pub encoder_variables: Importance,
    /// Importance of the decoder's variables, averaged over each window's decoder steps.
    pub decoder_variables: Importance,
    unscaled: StepAttention,
}

/// An [`Interpretation`] of several windows together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InterpretationSummary {
    /// Attention by column of [`Interpretation::attention`]; does not sum to 1.
    pub attention: Array1<f32>,
    /// The sums over windows of the static variables' importance.
    pub static_variables_total: Array1<f32>,
    /// The sums over windows of the encoder variables' importance.
    pub encoder_variables_total: Array1<f32>,
    /// The sums over windows of the decoder variables' importance.
    pub decoder_variables_total: Array1<f32>,
}

#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error("query step {query_step} cannot be explained, the output has {steps} decoder steps")]
    QueryStep { query_step: usize, steps: usize },
    #[error("output.{field} has shape {found:?}, expected {expected:?} for this batch")]
    Shape { field: &'static str, found: Vec<usize>, expected: Vec<usize> },
}

impl Interpretation {
    /// The attention of a head below which it counts as none.
    pub const ATTENTION_MIN: f32 = 1e-5;

    /// Reads what decoder step `query_step` of each window attends to, and the importance of variables.
    ///
    /// The heads that attend to a step are averaged. A window without a decoder step `query_step` attends to
    /// nothing; the reference reads its padding there.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the batch does not fit the architecture, the output is not that of
    /// the batch, or the output has no decoder step `query_step`.
    pub fn of(
        output: &NetworkOutput,
        batch: &TensorBatch,
        architecture: &Architecture,
        query_step: usize,
    ) -> Result<Self, Error> {
        batch.validate(architecture)?;
        check(output, batch, architecture, query_step)?;
        let unscaled = StepAttention::of(output, batch, architecture.max_encoder_length, query_step);
        let [statics, encoder, decoder] =
            architecture.selections().map(|selection| [selection.categoricals, selection.reals].concat());
        let (encoder_steps, decoder_steps) = (&batch.encoder_lengths, &batch.decoder_lengths);
        Ok(Self {
            attention: unscaled.shares(),
            static_variables: Importance::new(statics, output.static_weights.clone()),
            encoder_variables: Importance::averaged(encoder, &output.encoder_weights, encoder_steps),
            decoder_variables: Importance::averaged(decoder, &output.decoder_weights, decoder_steps),
            unscaled,
        })
    }

    /// Sums over windows: the reference's reduction "sum".
    ///
    /// Attention is summed as the heads' mean gave it, before each window's is brought to a sum of 1.
    pub fn total(&self) -> InterpretationSummary {
        self.summary(self.unscaled.total())
    }

    /// Averages attention over the windows that attend to a step: the reference's reduction "mean".
    ///
    /// The importance of variables is summed and not averaged, as in the reference;
    /// [`Importance::ranked`] has shares, where that makes no difference.
    pub fn mean(&self) -> InterpretationSummary {
        self.summary(self.unscaled.mean())
    }

    fn summary(&self, attention: Array1<f32>) -> InterpretationSummary {
        InterpretationSummary {
            attention,
            static_variables_total: self.static_variables.total(),
            encoder_variables_total: self.encoder_variables.total(),
            decoder_variables_total: self.decoder_variables.total(),
        }
    }
}

impl From<ExplainError> for Error {
    fn from(error: ExplainError) -> Self {
        Self::new(ErrorKind::InvalidInput, error)
    }
}

fn check(
    output: &NetworkOutput,
    batch: &TensorBatch,
    architecture: &Architecture,
    query_step: usize,
) -> Result<(), Error> {
    let (windows, encoder, decoder) = (batch.windows(), batch.encoder_steps(), batch.decoder_steps());
    if query_step >= decoder {
        return Err(ExplainError::QueryStep { query_step, steps: decoder }.into());
    }
    let heads = architecture.attention_head_size;
    let [statics, past, future] = architecture.selections().map(|selection| selection.count());
    let shapes: [(_, &[usize], &[usize]); 5] = [
        ("encoder_attention", output.encoder_attention.shape(), &[windows, decoder, heads, encoder]),
        ("decoder_attention", output.decoder_attention.shape(), &[windows, decoder, heads, decoder]),
        ("static_weights", output.static_weights.shape(), &[windows, statics]),
        ("encoder_weights", output.encoder_weights.shape(), &[windows, encoder, past]),
        ("decoder_weights", output.decoder_weights.shape(), &[windows, decoder, future]),
    ];
    match shapes.into_iter().find(|(_, found, expected)| found != expected) {
        None => Ok(()),
        Some((field, found, expected)) => {
            let (found, expected) = (found.to_vec(), expected.to_vec());
            Err(ExplainError::Shape { field, found, expected }.into())
        }
    }
}
