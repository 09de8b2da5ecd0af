//! A schema for metrics whose names say nothing.

use tft_core::schema::{Metric, MetricKind, Schema, SchemaConfig};

use super::excerpt::Excerpt;
use crate::error::ServiceError;

/// Describes the excerpt's metrics.
pub(super) fn describe(excerpt: &Excerpt) -> Result<Schema, ServiceError> {
    let metrics = excerpt.metrics.iter().enumerate().map(|(index, name)| {
        let values = excerpt.rows.iter().map(|row| row.values[index]).filter(|value| !value.is_nan());
        Metric::new(name, kind_of(values.collect()))
    });
    Ok(Schema::new(SchemaConfig { metrics: metrics.collect(), ..SchemaConfig::default() })?)
}

/// Guesses what sort of number a metric is, by the rule with which the built-in model was trained.
///
/// A percentage if everything lies in 0–100 and something above 50; a count if nothing is negative and half of
/// the values are at least 100; otherwise continuous.
fn kind_of(mut values: Vec<f32>) -> MetricKind {
    values.sort_unstable_by(f32::total_cmp);
    let (Some(&lowest), Some(&highest)) = (values.first(), values.last()) else {
        return MetricKind::Continuous;
    };
    match values[values.len() / 2] {
        _ if lowest >= 0.0 && highest > 50.0 && highest <= 100.0 => MetricKind::Percentage,
        median if lowest >= 0.0 && median >= 100.0 => MetricKind::Count,
        _ => MetricKind::Continuous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_stated_rule() {
        for (values, kind) in [
            (vec![0.0, 3.0, 99.0], MetricKind::Percentage),
            (vec![0.0, 250.0, 9000.0], MetricKind::Count),
            (vec![0.0, 0.4, 1.0], MetricKind::Continuous),
            (vec![-1.0, 500.0, 600.0], MetricKind::Continuous),
            (vec![], MetricKind::Continuous),
        ] {
            assert_eq!(kind_of(values.clone()), kind, "{values:?}");
        }
    }
}
