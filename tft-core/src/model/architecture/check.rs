//! The check that an architecture is consistent: sizes, names, embeddings, groups and quantiles.
//!
//! Everything that is wrong is reported, and nothing here relies on what another check would have found.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;

use super::Architecture;
use crate::problems::Problems;
use crate::time::abbreviate;

/// A list of columns or variables, by the field that holds it.
type Field<'a> = (&'static str, &'a [String]);

impl Architecture {
    /// Most stacked LSTM layers.
    const LSTM_LAYERS_MAX: usize = 64;
    /// Most values of all matrices that stretch variables to the hidden width; they are in no weight file.
    const INTERPOLATION_VALUES_MAX: usize = 1 << 28;

    /// Checks sizes, names, embeddings, groups and quantiles.
    pub(crate) fn check(&self, problems: &mut Problems) {
        self.check_sizes(problems);
        self.check_numbers(problems);
        self.check_columns(problems);
        self.check_variables(problems);
        self.check_groups(problems);
        self.check_embeddings(problems);
        self.check_quantiles(problems);
        self.check_interpolation(problems);
    }

    fn check_sizes(&self, problems: &mut Problems) {
        let widths = 1..=Self::WIDTH_MAX;
        let variables = 0..=Self::VARIABLES_MAX;
        let sizes = [
            ("hidden_size", self.hidden_size, widths.clone()),
            ("lstm_layers", self.lstm_layers, 1..=Self::LSTM_LAYERS_MAX),
            ("attention_head_size", self.attention_head_size, 1..=self.hidden_size.clamp(1, Self::WIDTH_MAX)),
            ("hidden_continuous_size", self.hidden_continuous_size, widths.clone()),
            ("max_encoder_length", self.max_encoder_length, 1..=Self::LENGTH_MAX),
            ("x_reals", self.x_reals.len(), variables.clone()),
            ("x_categoricals", self.x_categoricals.len(), variables.clone()),
            ("categorical_groups", self.categorical_groups.len(), variables.clone()),
            ("embedding_sizes", self.embedding_sizes.len(), variables),
            ("quantiles", self.quantiles.len(), 1..=Self::VARIABLES_MAX),
        ];
        for (field, value, allowed) in sizes {
            check_size(problems, format_args!("architecture.{field}"), value, &allowed);
        }
        for (real, &width) in &self.hidden_continuous_sizes {
            let field = format_args!("architecture.hidden_continuous_sizes of `{}`", abbreviate(real));
            check_size(problems, field, width, &widths);
        }
    }

    fn check_numbers(&self, problems: &mut Problems) {
        if !self.mask_bias.is_finite() {
            problems.push(format_args!("architecture.mask_bias is {}, which is not finite", self.mask_bias));
        }
        let epsilon = self.layer_norm_eps;
        if !(epsilon.is_finite() && epsilon >= 0.0) {
            problems.push(format_args!("architecture.layer_norm_eps is {epsilon}, which is not usable"));
        }
    }

    /// A name is one column, real or categorical, or one group.
    fn check_columns(&self, problems: &mut Problems) {
        let groups: Vec<String> = self.categorical_groups.keys().cloned().collect();
        let lists: [Field<'_>; 3] = [
            ("x_reals", &self.x_reals),
            ("x_categoricals", &self.x_categoricals),
            ("categorical_groups", &groups),
        ];
        let mut owners: HashMap<&String, &'static str> = HashMap::new();
        for (field, names) in lists {
            check_distinct(problems, field, names);
            for name in names {
                check_name(problems, field, name);
                let owner = *owners.entry(name).or_insert(field);
                if owner != field {
                    let name = abbreviate(name);
                    problems.push(format_args!(
                        "architecture.{field} names `{name}`, which architecture.{owner} names too"
                    ));
                }
            }
        }
    }

    fn check_variables(&self, problems: &mut Problems) {
        let reals: [Field<'_>; 3] = [
            ("static_reals", &self.static_reals),
            ("time_varying_reals_encoder", &self.time_varying_reals_encoder),
            ("time_varying_reals_decoder", &self.time_varying_reals_decoder),
        ];
        let known: HashSet<&String> = self.x_reals.iter().collect();
        for (field, names) in reals {
            check_distinct(problems, field, names);
            check_known(problems, field, names, &known, "architecture.x_reals");
        }
        let (known, place) = self.known_categoricals();
        for (field, names) in self.categorical_lists() {
            check_distinct(problems, field, names);
            check_known(problems, field, names, &known, place);
        }
    }

    fn check_groups(&self, problems: &mut Problems) {
        let known: HashSet<&String> = self.x_categoricals.iter().collect();
        for (group, columns) in &self.categorical_groups {
            let field = format!("categorical_groups of `{}`", abbreviate(group));
            if columns.is_empty() {
                problems.push(format_args!("architecture.{field} has no columns"));
            }
            check_distinct(problems, &field, columns);
            check_known(problems, &field, columns, &known, "architecture.x_categoricals");
            for column in columns.iter().filter(|&column| self.embedding_sizes.contains_key(column)) {
                let column = abbreviate(column);
                problems.push(format_args!(
                    "architecture.{field} names `{column}`, which has an embedding of its own"
                ));
            }
        }
    }

    fn check_embeddings(&self, problems: &mut Problems) {
        let mut missing = HashSet::new();
        let used = self.categorical_lists().into_iter().flat_map(|(_, names)| names);
        for name in used.chain(self.categorical_groups.keys()) {
            if !self.embedding_sizes.contains_key(name) && missing.insert(name) {
                let name = abbreviate(name);
                problems.push(format_args!("architecture.embedding_sizes has no entry for `{name}`"));
            }
        }
        let (known, place) = self.known_categoricals();
        for (name, &(classes, width)) in &self.embedding_sizes {
            check_known(problems, "embedding_sizes", std::slice::from_ref(name), &known, place);
            let of = |part: &str| format!("architecture.embedding_sizes of `{}`: {part}", abbreviate(name));
            check_size(problems, of("the number of classes"), classes, &(1..=Self::CLASSES_MAX));
            check_size(problems, of("the width"), width, &(1..=Self::WIDTH_MAX));
        }
    }

    fn check_quantiles(&self, problems: &mut Problems) {
        for (target, levels) in self.quantiles.iter().enumerate() {
            let field = format!("architecture.quantiles of target {target}");
            let (count, allowed) = (levels.len(), 1..=Self::VARIABLES_MAX);
            if !allowed.contains(&count) {
                check_size(problems, format_args!("the number of {field}"), count, &allowed);
            } else if !are_quantiles(levels) {
                let levels = abbreviate(&format!("{levels:?}"));
                problems
                    .push(format_args!("{field} are {levels}, they must be distinct and between 0 and 1"));
            }
        }
    }

    /// A small weight file could otherwise ask for matrices of any size.
    fn check_interpolation(&self, problems: &mut Problems) {
        let mut values = 0usize;
        for selection in self.selections() {
            let categoricals = selection.categoricals.iter();
            let categoricals =
                categoricals.filter_map(|name| self.embedding_sizes.get(name)).map(|size| size.1);
            let reals = selection.reals.iter().map(|real| self.continuous_size(real));
            let width = categoricals.chain(reals).fold(0, usize::saturating_add);
            let per_feature = self.hidden_size.saturating_add(selection.count());
            values = values.saturating_add(width.saturating_mul(per_feature));
        }
        let max = Self::INTERPOLATION_VALUES_MAX;
        if values > max {
            problems.push(format_args!(
                "the architecture stretches its variables with matrices of {values} values, allowed are {max}"
            ));
        }
    }

    fn categorical_lists(&self) -> [Field<'_>; 3] {
        [
            ("static_categoricals", &self.static_categoricals),
            ("time_varying_categoricals_encoder", &self.time_varying_categoricals_encoder),
            ("time_varying_categoricals_decoder", &self.time_varying_categoricals_decoder),
        ]
    }

    /// The names that a categorical variable may have, and where they are listed.
    fn known_categoricals(&self) -> (HashSet<&String>, &'static str) {
        let known = self.x_categoricals.iter().chain(self.categorical_groups.keys()).collect();
        let place = if self.categorical_groups.is_empty() {
            "architecture.x_categoricals"
        } else {
            "architecture.x_categoricals or architecture.categorical_groups"
        };
        (known, place)
    }
}

fn check_size(
    problems: &mut Problems,
    field: impl std::fmt::Display,
    value: usize,
    allowed: &RangeInclusive<usize>,
) {
    if !allowed.contains(&value) {
        let (min, max) = (allowed.start(), allowed.end());
        problems.push(format_args!("{field} is {value}, allowed are {min} to {max}"));
    }
}

/// Names are parts of tensor names, which a `.` separates.
fn check_name(problems: &mut Problems, field: &str, name: &str) {
    let max = Architecture::NAME_BYTES_MAX;
    if name.is_empty() || name.len() > max || name.contains('.') {
        let name = abbreviate(name);
        problems.push(format_args!(
            "architecture.{field} names `{name}`, a name has 1 to {max} bytes and no `.`"
        ));
    }
}

fn check_distinct(problems: &mut Problems, field: &str, names: &[String]) {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    for (name, count) in counts.into_iter().filter(|&(_, count)| count > 1) {
        let (name, times) = (abbreviate(name), if count == 2 { "twice" } else { "several times" });
        problems.push(format_args!("architecture.{field} names `{name}` {times}"));
    }
}

fn check_known(
    problems: &mut Problems,
    field: &str,
    names: &[String],
    known: &HashSet<&String>,
    place: &str,
) {
    for name in names.iter().filter(|name| !known.contains(name)) {
        let name = abbreviate(name);
        problems.push(format_args!("architecture.{field} names `{name}`, which is not in {place}"));
    }
}

fn are_quantiles(levels: &[f64]) -> bool {
    let mut seen = HashSet::new();
    levels.iter().all(|&level| level > 0.0 && level < 1.0 && seen.insert(level.to_bits()))
}
