//! The categorical columns of a window, encoded.

use super::Frame;
use super::window::Window;
use crate::problems::Problems;

/// A categorical column and the codes of its labels.
pub(super) struct CategoricalColumn<'a> {
    name: &'a str,
    variable: &'a str,
    lag: usize,
    /// The code of each distinct label of the rows; none for one that has no class.
    codes: Vec<Option<u32>>,
    /// What stands in the steps of a gap, and its code.
    fill: Option<(&'a str, Option<u32>)>,
    /// What stands for a label without a class.
    first_code: u32,
}

impl<'a> Frame<'a> {
    pub(super) fn prepare_categorical(&self, name: &'a str) -> CategoricalColumn<'a> {
        let (variable, lag) = self.encoding.base(name);
        let encoder = self.encoding.encoder(variable);
        let code = |label: &str| encoder.map_or(Some(0), |encoder| encoder.code(label));
        let fill = self.encoding.constant_fill_strategy.get(name).and_then(|fill| fill.label());
        let words = self.labels.get(variable).map_or(&[][..], |labels| &labels.words);
        CategoricalColumn {
            name,
            variable,
            lag,
            codes: words.iter().map(|label| code(label)).collect(),
            fill: fill.map(|fill| (fill, code(fill))),
            first_code: encoder.and_then(|encoder| encoder.classes.first()).map_or(0, |class| class.1),
        }
    }

    /// The class codes of every categorical column, `[column][step]`.
    pub(super) fn categorical_columns(&self, window: &Window, problems: &mut Problems) -> Vec<Vec<u32>> {
        let columns = self.categoricals.iter();
        columns.map(|column| self.categorical_column(window, column, problems)).collect()
    }

    /// The reference knows a group by its class even where the class is no input.
    pub(super) fn check_groups(&self, window: &Window, problems: &mut Problems) {
        for (variable, label) in self.encoding.group_ids.iter().zip(&window.group) {
            let is_input = self.encoding.flat_categoricals.contains(variable);
            let encoder = self.encoding.encoder(variable).filter(|_| self.encoding.is_encoded(variable));
            if !is_input && encoder.is_some_and(|encoder| encoder.code(label).is_none()) {
                problems.push(unknown_class(variable, &window.group, label));
            }
        }
    }

    fn categorical_column(
        &self,
        window: &Window,
        column: &CategoricalColumn<'_>,
        problems: &mut Problems,
    ) -> Vec<u32> {
        let Some(labels) = self.labels.get(column.variable) else { return vec![0; window.steps()] };
        let mut unknown = None;
        let mut codes = Vec::with_capacity(window.steps());
        for step in 0..window.steps() {
            let (label, code) = column.fill.filter(|_| window.is_filled[step]).unwrap_or_else(|| {
                let row = window.row(step, column.lag);
                (labels.at(row), column.codes[labels.ids[row] as usize])
            });
            if code.is_none() && column.lag == 0 {
                unknown.get_or_insert(label);
            }
            codes.push(code.unwrap_or(column.first_code));
        }
        if let Some(label) = unknown {
            problems.push(unknown_class(column.name, &window.group, label));
        }
        codes
    }
}

fn unknown_class(variable: &str, group: &[String], label: &str) -> String {
    let label = crate::time::abbreviate(label);
    format!(
        "`{variable}` of group {group:?} has the unknown class `{label}`, and its encoder has no class for unknown ones"
    )
}
