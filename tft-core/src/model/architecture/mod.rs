//! The shape of a network: sizes, variables and quantiles.
//!
//! Owns [`Architecture`], whose fields have the names of pytorch-forecasting's hyperparameters, and what
//! follows from it about variables. `check` owns its consistency; the tensors are listed by `state_dict`.

mod check;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::problems::Problems;

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
    /// The quantile levels of each target, `[targets][quantiles]`: distinct, in the order of the outputs.
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
    /// Whether the encoder's and the decoder's selection share one network per variable.
    #[serde(default)]
    pub share_single_variable_networks: bool,
    /// Static categorical variables: columns of `x_categoricals` or groups of them.
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
    /// The columns of the real inputs; a network need not use all.
    pub x_reals: Vec<String>,
    /// The columns of the categorical inputs; a network need not use all.
    pub x_categoricals: Vec<String>,
    /// Categorical variables that stand for several columns of `x_categoricals`: a group's embedding is the
    /// sum of the rows of its columns, all from one table.
    #[serde(default)]
    pub categorical_groups: BTreeMap<String, Vec<String>>,
    /// Number of classes and embedding width of each categorical variable.
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
    /// Whether the networks of its variables are shared; then those of categoricals are gated residual
    /// networks too.
    pub(crate) shares_single_networks: bool,
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

    /// Most bytes of a variable's name.
    pub const NAME_BYTES_MAX: usize = 256;

    /// Checks sizes, names and quantiles.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] naming every field and value at fault.
    pub fn validate(&self) -> Result<(), Error> {
        let mut problems = Problems::default();
        self.check(&mut problems);
        problems.into_result(ErrorKind::InvalidModel, "the architecture is not usable")
    }

    /// Returns the number of targets.
    pub fn targets(&self) -> usize {
        self.quantiles.len()
    }

    /// Returns the name and shape of every tensor that a weight file must hold, for those who write one.
    pub fn tensor_shapes(&self) -> BTreeMap<String, Vec<usize>> {
        super::state_dict::StateDict::of(self).required
    }

    /// Returns the width of one attention head; what `hidden_size` leaves over is not used.
    pub fn head_width(&self) -> usize {
        self.hidden_size.checked_div(self.attention_head_size).unwrap_or(0)
    }

    /// Returns the width to which a real variable is expanded.
    pub fn continuous_size(&self, real: &str) -> usize {
        self.hidden_continuous_sizes.get(real).copied().unwrap_or(self.hidden_continuous_size)
    }

    /// Returns the classes and width of a categorical variable's embedding.
    ///
    /// # Panics
    /// If the variable has none; in a validated architecture every variable of a network has one.
    pub(crate) fn embedding(&self, variable: &str) -> (usize, usize) {
        self.embedding_sizes[variable]
    }

    /// Returns the columns of `x_categoricals` that make up a categorical variable: its group's, or itself.
    pub(crate) fn columns<'a>(&'a self, variable: &'a String) -> &'a [String] {
        self.categorical_groups.get(variable).map_or(std::slice::from_ref(variable), Vec::as_slice)
    }

    /// Returns how many classes the codes of a column of `x_categoricals` may name, for each column that an
    /// embedding reads.
    pub(crate) fn column_classes(&self) -> HashMap<&str, usize> {
        let mut of_column = HashMap::new();
        for (variable, &(classes, _)) in &self.embedding_sizes {
            for column in self.columns(variable) {
                let least: &mut usize = of_column.entry(column.as_str()).or_insert(classes);
                *least = classes.min(*least);
            }
        }
        of_column
    }

    /// Returns the classes of each column of `x_categoricals`; none for one that no network uses.
    pub(crate) fn classes_by_column(&self) -> Vec<Option<usize>> {
        let classes = self.column_classes();
        self.x_categoricals.iter().map(|column| classes.get(column.as_str()).copied()).collect()
    }

    /// Returns the reals that some network uses, in the order of `x_reals`.
    pub(crate) fn used_reals(&self) -> Vec<&String> {
        let lists = [&self.static_reals, &self.time_varying_reals_encoder, &self.time_varying_reals_decoder];
        let used: HashSet<&String> = lists.into_iter().flatten().collect();
        self.x_reals.iter().filter(|real| used.contains(real)).collect()
    }

    /// Returns the three selection networks: static, encoder, decoder.
    pub(crate) fn selections(&self) -> [SelectionVariables; 3] {
        let (encoder, decoder) = ("encoder_variable_selection", "decoder_variable_selection");
        [
            SelectionVariables {
                network: "static_variable_selection",
                categoricals: self.static_categoricals.clone(),
                reals: self.static_reals.clone(),
                has_context: false,
                shares_single_networks: false,
            },
            self.temporal(encoder, &self.time_varying_categoricals_encoder, &self.time_varying_reals_encoder),
            self.temporal(decoder, &self.time_varying_categoricals_decoder, &self.time_varying_reals_decoder),
        ]
    }

    fn temporal(
        &self,
        network: &'static str,
        categoricals: &[String],
        reals: &[String],
    ) -> SelectionVariables {
        SelectionVariables {
            network,
            categoricals: categoricals.to_vec(),
            reals: reals.to_vec(),
            has_context: true,
            shares_single_networks: self.share_single_variable_networks,
        }
    }
}

impl SelectionVariables {
    /// Where the networks of variables are that the encoder and the decoder share.
    const SHARED: &str = "shared_single_variable_grns";

    /// Returns the number of variables, and so of selection weights.
    pub(crate) fn count(&self) -> usize {
        self.categoricals.len() + self.reals.len()
    }

    /// Returns the name of one variable's network in the state dict.
    pub(crate) fn single_network(&self, variable: &str) -> String {
        if self.shares_single_networks {
            format!("{}.{variable}", Self::SHARED)
        } else {
            self.own_single_network(variable)
        }
    }

    /// Returns the name of one variable's network below this selection network, an alias if it is shared.
    pub(crate) fn own_single_network(&self, variable: &str) -> String {
        format!("{}.single_variable_grns.{variable}", self.network)
    }
}

fn default_layer_norm_eps() -> f64 {
    1e-5
}
