//! The inputs that the selection networks share, and the selection networks.

use burn::module::Param;
use burn::tensor::Tensor;

use super::Loader;
use crate::model::architecture::SelectionVariables;
use crate::model::network::gated_residual::StackedGatedResidual;
use crate::model::network::inputs::{Embedding, Prescalers, SharedInputs};
use crate::model::network::selection::{
    CategoricalNetwork, CategoricalVariable, RealVariables, VariableSelection,
};

/// Reals that expand to one width.
type WidthGroup = (usize, Vec<String>);

impl Loader<'_> {
    pub(super) fn shared_inputs(&self) -> SharedInputs {
        let embeddings = self.architecture.embedding_sizes.keys().map(|name| self.embedding(name));
        let prescalers = self.prescaler_groups().into_iter().map(|group| self.prescalers(&group));
        SharedInputs { embeddings: embeddings.collect(), prescalers: prescalers.collect() }
    }

    fn embedding(&self, variable: &String) -> Embedding {
        let tensor = self.weights.tensor(&format!("input_embeddings.embeddings.{variable}.weight"));
        let columns = self.architecture.columns(variable).iter();
        Embedding {
            table: self.parameter([tensor.shape[0], tensor.shape[1]], tensor.values.clone()),
            columns: columns.map(|column| position(&self.architecture.x_categoricals, column)).collect(),
        }
    }

    fn prescalers(&self, (width, reals): &WidthGroup) -> Prescalers {
        let names: Vec<_> = reals.iter().map(|real| format!("prescalers.{real}")).collect();
        let shape = [reals.len(), 1, *width];
        Prescalers {
            weight: self.parameter(shape, self.concatenated(&names, "weight")),
            bias: self.parameter(shape, self.concatenated(&names, "bias")),
        }
    }

    pub(super) fn selection(&self, variables: &SelectionVariables) -> VariableSelection {
        let groups = self.groups_by_width(&variables.reals);
        let categoricals = variables.categoricals.iter().map(|name| self.categorical(variables, name));
        VariableSelection {
            categoricals: categoricals.collect(),
            reals: groups.iter().map(|group| self.reals(variables, group)).collect(),
            flattened: (variables.count() > 1).then(|| self.flattened(variables, &groups)),
            weight_order: weight_order(variables, &groups),
            hidden_size: self.architecture.hidden_size,
        }
    }

    fn categorical(&self, variables: &SelectionVariables, name: &String) -> CategoricalVariable {
        let networks = [variables.single_network(name)];
        let network = if variables.shares_single_networks {
            CategoricalNetwork::GatedResidual(self.gated_residual_stack(&networks))
        } else {
            CategoricalNetwork::Resample(self.resample_norm(&networks, self.architecture.embedding(name).1))
        };
        let embedding = self.architecture.embedding_sizes.keys().position(|variable| variable == name);
        let embedding = embedding.expect("invariant: every categorical variable has an embedding");
        CategoricalVariable { network, embedding }
    }

    fn reals(&self, variables: &SelectionVariables, (width, reals): &WidthGroup) -> RealVariables {
        let networks: Vec<_> = reals.iter().map(|real| variables.single_network(real)).collect();
        RealVariables {
            networks: self.gated_residual_stack(&networks),
            columns: reals.iter().map(|real| position(&self.architecture.x_reals, real) as i32).collect(),
            prescaler: self.prescaler_rows(*width, reals),
        }
    }

    /// The flattened network takes its inputs in stack order, so the rows of its first layer and of its
    /// interpolation move along.
    fn flattened(&self, variables: &SelectionVariables, groups: &[WidthGroup]) -> StackedGatedResidual {
        let name = format!("{}.flattened_grn", variables.network);
        let mut network = self.gated_residual(&name);
        let order = self.feature_order(variables, groups);
        network.fc1.weight = self.reordered(&network.fc1.weight, &order);
        if let Some(resample) = &mut network.resample {
            resample.interpolation =
                resample.interpolation.as_ref().map(|matrix| self.reordered(matrix, &order));
        }
        network
    }

    /// For each input feature in stack order, its position in the reference's order.
    fn feature_order(&self, variables: &SelectionVariables, groups: &[WidthGroup]) -> Vec<i32> {
        let widths = variables.categoricals.iter().map(|name| self.architecture.embedding(name).1);
        let widths = widths.chain(variables.reals.iter().map(|name| self.architecture.continuous_size(name)));
        let widths: Vec<usize> = widths.collect();
        let starts: Vec<usize> =
            widths.iter().scan(0, |end, width| Some(std::mem::replace(end, *end + width))).collect();
        let in_order = weight_order(variables, groups).into_iter();
        in_order
            .flat_map(|variable| starts[variable]..starts[variable] + widths[variable])
            .map(|f| f as i32)
            .collect()
    }

    fn reordered(&self, matrix: &Param<Tensor<3>>, order: &[i32]) -> Param<Tensor<3>> {
        Param::from_tensor(matrix.val().select(1, Tensor::from_data(order, self.device)))
    }

    fn prescaler_rows(&self, width: usize, reals: &[String]) -> (usize, Vec<i32>) {
        let groups = self.prescaler_groups();
        let group = groups.iter().position(|(other, _)| *other == width);
        let group = group.expect("invariant: every selected real has a prescaler");
        (group, reals.iter().map(|real| position(&groups[group].1, real) as i32).collect())
    }

    fn prescaler_groups(&self) -> Vec<WidthGroup> {
        self.groups_by_width(self.architecture.used_reals())
    }

    fn groups_by_width<'a>(&self, reals: impl IntoIterator<Item = &'a String>) -> Vec<WidthGroup> {
        let mut groups: Vec<WidthGroup> = Vec::new();
        for real in reals {
            let width = self.architecture.continuous_size(real);
            match groups.iter_mut().find(|(other, _)| *other == width) {
                Some((_, members)) => members.push(real.clone()),
                None => groups.push((width, vec![real.clone()])),
            }
        }
        groups
    }
}

/// For each variable in stack order (categoricals, then reals by width), its place in the order of weights.
fn weight_order(variables: &SelectionVariables, groups: &[WidthGroup]) -> Vec<usize> {
    let categoricals = variables.categoricals.len();
    let reals = groups.iter().flat_map(|(_, members)| members);
    let reals = reals.map(|real| categoricals + position(&variables.reals, real));
    (0..categoricals).chain(reals).collect()
}

fn position(names: &[String], name: &str) -> usize {
    names.iter().position(|other| other == name).expect("invariant: the architecture was validated")
}
