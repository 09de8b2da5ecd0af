//! The shape of a network: sizes, variables and quantiles, and the tensors that follow from them.
//!
//! Owns the check that an [`Architecture`] is consistent and the table of expected tensors. The names of
//! fields are those of pytorch-forecasting, and so are the names of tensors.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// The shape of a Temporal Fusion Transformer.
///
/// Variables are named in the order in which the network sees them: categoricals first, then reals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// Width of every hidden layer, H.
    pub hidden_size: usize,
    /// Number of stacked LSTM layers.
    pub lstm_layers: usize,
    /// Number of attention heads.
    pub attention_head_size: usize,
    /// The quantile levels of each target, `[targets][quantiles]`.
    pub quantiles: Vec<Vec<f64>>,
    /// Width to which each real variable is expanded.
    pub hidden_continuous_size: usize,
    /// Exceptions to `hidden_continuous_size` by variable.
    #[serde(default)]
    pub hidden_continuous_sizes: BTreeMap<String, usize>,
    /// Longest encoder, in steps.
    pub max_encoder_length: usize,
    /// The score of a masked attention key.
    pub mask_bias: f32,
    /// Whether a decoder step attends to earlier steps only.
    pub causal_attention: bool,
    /// Whether all selection networks share one network per variable; not supported.
    #[serde(default)]
    pub share_single_variable_networks: bool,
    /// Static categorical variables.
    pub static_categoricals: Vec<String>,
    /// Static real variables.
    pub static_reals: Vec<String>,
    /// Categorical variables of encoder steps.
    pub time_varying_categoricals_encoder: Vec<String>,
    /// Categorical variables of decoder steps.
    pub time_varying_categoricals_decoder: Vec<String>,
    /// Real variables of encoder steps.
    pub time_varying_reals_encoder: Vec<String>,
    /// Real variables of decoder steps.
    pub time_varying_reals_decoder: Vec<String>,
    /// The columns of the real inputs.
    pub x_reals: Vec<String>,
    /// The columns of the categorical inputs.
    pub x_categoricals: Vec<String>,
    /// Groups of categoricals that share an embedding; not supported.
    #[serde(default)]
    pub categorical_groups: BTreeMap<String, Vec<String>>,
    /// Number of classes and embedding width of each categorical.
    pub embedding_sizes: BTreeMap<String, (usize, usize)>,
    /// The constant that layer normalisation adds to the variance.
    #[serde(default = "default_layer_norm_eps")]
    pub layer_norm_eps: f64,
}

/// The variables of one selection network, by their columns in the inputs.
#[derive(Debug, Clone)]
pub(crate) struct SelectionVariables {
    /// The network's name in the state dict, such as `encoder_variable_selection`.
    pub(crate) network: &'static str,
    /// Names of the categoricals, first in the order of weights.
    pub(crate) categoricals: Vec<String>,
    /// Names of the reals, after the categoricals in the order of weights.
    pub(crate) reals: Vec<String>,
    /// Whether the network takes the static context vector.
    pub(crate) has_context: bool,
}

#[derive(Debug, thiserror::Error)]
enum ArchitectureError {
    #[error("architecture.{field} is {value}, allowed are {min} to {max}")]
    OutOfRange { field: &'static str, value: usize, min: usize, max: usize },
    #[error("architecture.{field} names `{name}`, which is not in architecture.{columns}")]
    UnknownVariable { field: &'static str, name: String, columns: &'static str },
    #[error("architecture.{field} names `{name}` twice")]
    DuplicateVariable { field: &'static str, name: String },
    #[error("architecture.embedding_sizes has no entry for `{name}`")]
    MissingEmbedding { name: String },
    #[error("architecture.embedding_sizes of `{name}` is [{classes}, {width}], both must be 1 to {max}")]
    EmbeddingSize { name: String, classes: usize, width: usize, max: usize },
    #[error("architecture.quantiles of target {target} are {levels:?}, they must ascend between 0 and 1")]
    Quantiles { target: usize, levels: Vec<f64> },
    #[error("architecture.{field} is {value}, which is not a usable number")]
    Number { field: &'static str, value: f64 },
    #[error("architecture.{field} is not supported")]
    Unsupported { field: &'static str },
}

impl Architecture {
    /// Largest width of any layer.
    pub const WIDTH_MAX: usize = 4096;
    /// Most variables of one kind.
    pub const VARIABLES_MAX: usize = 1024;
    /// Longest encoder or decoder, in steps.
    pub const LENGTH_MAX: usize = 100_000;
    /// Most classes of a categorical.
    pub const CLASSES_MAX: usize = 1 << 20;

    /// Checks sizes, names and quantiles.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] naming the first field and value at fault.
    pub fn validate(&self) -> Result<(), Error> {
        self.validate_sizes()?;
        self.validate_columns()?;
        self.validate_embeddings()?;
        self.validate_quantiles()?;
        if self.share_single_variable_networks {
            return Err(ArchitectureError::Unsupported { field: "share_single_variable_networks" }.into());
        }
        if !self.categorical_groups.is_empty() {
            return Err(ArchitectureError::Unsupported { field: "categorical_groups" }.into());
        }
        Ok(())
    }

    /// Collects what is wrong.
    pub(crate) fn check(&self, problems: &mut super::problems::Problems) {
        if let Err(error) = self.validate() {
            problems.push(error);
        }
    }

    /// Returns the number of targets.
    pub fn targets(&self) -> usize {
        self.quantiles.len()
    }

    /// Returns the width of one attention head.
    pub fn head_width(&self) -> usize {
        self.hidden_size / self.attention_head_size
    }

    /// Returns the width to which a real variable is expanded.
    pub fn continuous_size(&self, real: &str) -> usize {
        self.hidden_continuous_sizes.get(real).copied().unwrap_or(self.hidden_continuous_size)
    }

    /// Returns the classes and width of a categorical's embedding.
    ///
    /// # Panics
    /// If the categorical is unknown; a validated architecture knows all it names.
    pub(crate) fn embedding(&self, categorical: &str) -> (usize, usize) {
        self.embedding_sizes[categorical]
    }

    /// Returns the number of classes of a categorical column, if it has an embedding.
    pub(crate) fn class_count(&self, column: &str) -> Option<usize> {
        self.embedding_sizes.get(column).map(|&(classes, _)| classes)
    }

    /// Returns the three selection networks: static, encoder, decoder.
    pub(crate) fn selections(&self) -> [SelectionVariables; 3] {
        let selection =
            |network, categoricals: &[String], reals: &[String], has_context| SelectionVariables {
                network,
                categoricals: categoricals.to_vec(),
                reals: reals.to_vec(),
                has_context,
            };
        [
            selection("static_variable_selection", &self.static_categoricals, &self.static_reals, false),
            selection(
                "encoder_variable_selection",
                &self.time_varying_categoricals_encoder,
                &self.time_varying_reals_encoder,
                true,
            ),
            selection(
                "decoder_variable_selection",
                &self.time_varying_categoricals_decoder,
                &self.time_varying_reals_decoder,
                true,
            ),
        ]
    }

    fn validate_sizes(&self) -> Result<(), Error> {
        let heads_max = self.hidden_size;
        let sizes = [
            ("hidden_size", self.hidden_size, 1, Self::WIDTH_MAX),
            ("lstm_layers", self.lstm_layers, 1, 64),
            ("attention_head_size", self.attention_head_size, 1, heads_max),
            ("hidden_continuous_size", self.hidden_continuous_size, 1, Self::WIDTH_MAX),
            ("max_encoder_length", self.max_encoder_length, 1, Self::LENGTH_MAX),
            ("x_reals", self.x_reals.len(), 0, Self::VARIABLES_MAX),
            ("x_categoricals", self.x_categoricals.len(), 0, Self::VARIABLES_MAX),
            ("quantiles", self.quantiles.len(), 1, Self::VARIABLES_MAX),
        ];
        let exceptions = self.hidden_continuous_sizes.values();
        let exceptions = exceptions.map(|&size| ("hidden_continuous_sizes", size, 1, Self::WIDTH_MAX));
        for (field, value, min, max) in sizes.into_iter().chain(exceptions) {
            if !(min..=max).contains(&value) {
                return Err(ArchitectureError::OutOfRange { field, value, min, max }.into());
            }
        }
        let numbers = [("mask_bias", f64::from(self.mask_bias)), ("layer_norm_eps", self.layer_norm_eps)];
        match numbers.into_iter().find(|(_, value)| !value.is_finite()) {
            Some((field, value)) => Err(ArchitectureError::Number { field, value }.into()),
            None => Ok(()),
        }
    }

    fn validate_columns(&self) -> Result<(), Error> {
        let columns: [(&'static str, &[String], &'static str, &[String]); 8] = [
            ("x_reals", &self.x_reals, "x_reals", &self.x_reals),
            ("x_categoricals", &self.x_categoricals, "x_categoricals", &self.x_categoricals),
            ("static_reals", &self.static_reals, "x_reals", &self.x_reals),
            ("static_categoricals", &self.static_categoricals, "x_categoricals", &self.x_categoricals),
            ("time_varying_reals_encoder", &self.time_varying_reals_encoder, "x_reals", &self.x_reals),
            ("time_varying_reals_decoder", &self.time_varying_reals_decoder, "x_reals", &self.x_reals),
            (
                "time_varying_categoricals_encoder",
                &self.time_varying_categoricals_encoder,
                "x_categoricals",
                &self.x_categoricals,
            ),
            (
                "time_varying_categoricals_decoder",
                &self.time_varying_categoricals_decoder,
                "x_categoricals",
                &self.x_categoricals,
            ),
        ];
        columns
            .into_iter()
            .try_for_each(|(field, names, columns, known)| check_names(field, names, columns, known))
    }

    fn validate_embeddings(&self) -> Result<(), Error> {
        for name in &self.x_categoricals {
            let Some(&(classes, width)) = self.embedding_sizes.get(name) else {
                return Err(ArchitectureError::MissingEmbedding { name: name.clone() }.into());
            };
            let fits = (1..=Self::CLASSES_MAX).contains(&classes) && (1..=Self::WIDTH_MAX).contains(&width);
            if !fits {
                let (name, max) = (name.clone(), Self::CLASSES_MAX);
                return Err(ArchitectureError::EmbeddingSize { name, classes, width, max }.into());
            }
        }
        Ok(())
    }

    fn validate_quantiles(&self) -> Result<(), Error> {
        for (target, levels) in self.quantiles.iter().enumerate() {
            if crate::quantile::QuantileLevels::new(levels).is_err() {
                return Err(ArchitectureError::Quantiles { target, levels: levels.clone() }.into());
            }
        }
        Ok(())
    }
}

impl SelectionVariables {
    /// Returns the number of variables, and so of selection weights.
    pub(crate) fn count(&self) -> usize {
        self.categoricals.len() + self.reals.len()
    }
}

impl From<ArchitectureError> for Error {
    fn from(error: ArchitectureError) -> Self {
        Self::new(ErrorKind::InvalidModel, error)
    }
}

fn check_names(
    field: &'static str,
    names: &[String],
    columns: &'static str,
    known: &[String],
) -> Result<(), Error> {
    let known: HashSet<&String> = known.iter().collect();
    let mut seen = HashSet::new();
    for name in names {
        if !known.contains(name) {
            return Err(ArchitectureError::UnknownVariable { field, name: name.clone(), columns }.into());
        }
        if !seen.insert(name) {
            return Err(ArchitectureError::DuplicateVariable { field, name: name.clone() }.into());
        }
    }
    Ok(())
}

fn default_layer_norm_eps() -> f64 {
    1e-5
}
