//! What a model's description says of its own coverage.

use std::collections::BTreeMap;

use serde_json::Value;

/// The coverage of P10–P90 that is expected of a model, per steps ahead.
///
/// The default expects the nominal 0.8 everywhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CoverageExpectation {
    source: Option<String>,
    by_step: BTreeMap<usize, f64>,
}

impl CoverageExpectation {
    /// The coverage of a band from P10 to P90 that is as wide as it says.
    pub const NOMINAL: f64 = 0.8;

    /// Reads the remarks on training of a model's description
    /// ([`ModelDocument::training`](crate::model::ModelDocument::training)), as the built-in model has them:
    /// `figures.NAME.coverage_p10_p90_by_step`, an object from steps ahead to shares.
    ///
    /// Of several names the first that begins with `validation`, the part that calibration saw nothing of, else with
    /// `test`. What is not there or is no share is left at the nominal value: remarks are free text.
    pub fn from_training(training: &BTreeMap<String, Value>) -> Self {
        let Some(figures) = training.get("figures").and_then(Value::as_object) else {
            return Self::default();
        };
        let named = |prefix: &str| figures.iter().find(|(name, _)| name.starts_with(prefix));
        let Some((name, figures)) = named("validation").or_else(|| named("test")) else {
            return Self::default();
        };
        let steps = figures.get("coverage_p10_p90_by_step").and_then(Value::as_object);
        let share = |(step, share): (&String, &Value)| {
            let share = share.as_f64().filter(|share| (0.0..=1.0).contains(share))?;
            Some((step.parse().ok()?, share))
        };
        let by_step: BTreeMap<usize, f64> = steps.into_iter().flatten().filter_map(share).collect();
        Self { source: (!by_step.is_empty()).then(|| name.clone()), by_step }
    }

    /// Returns what is expected of forecasts `steps` ahead, 0 to 1.
    pub fn at(&self, steps: usize) -> f64 {
        self.by_step.get(&steps).copied().unwrap_or(Self::NOMINAL)
    }

    /// Returns the name of the figures in the model's description; none if it has none.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_description_are_read_and_anything_else_is_nominal() {
        let text = r#"{"figures": {"asd": {}, "validation, day 9": {"coverage_p10_p90_by_step": {"1": 0.75, "x": 1, "6": 3}}}}"#;
        let expectation = CoverageExpectation::from_training(&serde_json::from_str(text).unwrap());
        assert_eq!(expectation.source(), Some("validation, day 9"));
        for (steps, expected) in [(1, 0.75), (6, 0.8), (7, 0.8)] {
            assert!((expectation.at(steps) - expected).abs() < 1e-12, "{steps}");
        }
        for text in ["{}", r#"{"figures": 3}"#, r#"{"figures": {"test": {"coverage_p10_p90_by_step": []}}}"#]
        {
            let expectation = CoverageExpectation::from_training(&serde_json::from_str(text).unwrap());
            assert_eq!(expectation, CoverageExpectation::default(), "{text}");
        }
    }
}
