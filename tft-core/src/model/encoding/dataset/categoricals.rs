//! The categorical columns of a window, encoded.

use super::Frame;
use super::window::Window;
use crate::model::problems::Problems;

impl Frame<'_> {
    /// The class codes of every categorical column, `[column][step]`.
    pub(super) fn categorical_columns(&self, window: &Window, problems: &mut Problems) -> Vec<Vec<u32>> {
        let columns = self.encoding.flat_categoricals.iter();
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

    fn categorical_column(&self, window: &Window, column: &str, problems: &mut Problems) -> Vec<u32> {
        let (variable, lag) = self.encoding.base(column);
        let (Ok(labels), Some(encoder)) = (self.rows.labels(variable), self.encoding.encoder(variable))
        else {
            return vec![0; window.steps()];
        };
        let fill = self.encoding.constant_fill_strategy.get(column).and_then(|fill| fill.label());
        let mut unknown = None;
        let mut codes = Vec::with_capacity(window.steps());
        for step in 0..window.steps() {
            let label = match fill.filter(|_| window.is_filled[step]) {
                Some(fill) => fill.into(),
                None => labels.at(window.row(step, lag)),
            };
            let code = encoder.code(&label);
            if code.is_none() && lag == 0 {
                unknown.get_or_insert_with(|| label.into_owned());
            }
            codes.push(code.unwrap_or_else(|| encoder.classes.first().map_or(0, |class| class.1)));
        }
        if let Some(label) = unknown {
            problems.push(unknown_class(column, &window.group, &label));
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
