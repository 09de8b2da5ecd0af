//! Scores one server.

use serde::Serialize;

use super::policy::{RiskPoints, RiskPolicy, RiskRow, RiskSubject};
use super::{OwnQuantiles, RiskLevel};
use crate::forecast::{Forecast, Quantile, QuantileLevels};
use crate::schema::{BadSide, Profile, Schema};
use crate::time::DurationMs;

/// What is known of one server.
#[derive(Debug, Clone, Copy)]
pub struct RiskInput<'a> {
    /// The schema that the positions below refer to.
    pub schema: &'a Schema,
    /// The server's profile, which selects rows.
    pub profile: &'a Profile,
    /// The newest value of each metric in schema order; NaN, or beyond the end, means missing.
    pub current: &'a [f32],
    /// The server's forecast, if there is one; without it nothing is predicted.
    pub forecast: Option<&'a Forecast>,
    /// The forecast's levels.
    pub levels: &'a QuantileLevels,
    /// The quantiles of the server's own history.
    pub own_quantiles: OwnQuantiles<'a>,
}

/// How badly a server is doing and is about to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RiskAssessment {
    /// 0 to 100.
    pub score: f64,
    /// Where on the policy's ladder that is.
    pub level: RiskLevel,
    /// Within what time somebody should respond, if anybody should.
    pub respond_within: Option<DurationMs>,
    /// What gave points, the most first.
    pub contributions: Vec<RiskContribution>,
}

/// What one quantity gave.
///
/// # Units
/// The values are in the quantity's unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RiskContribution {
    /// The row's name.
    pub metric: String,
    /// The weighted points that it added to the score before the limit of 100.
    pub points: f64,
    /// The current value, if known.
    pub current: Option<f64>,
    /// The mean of the bad-side quantile over the look-ahead, if there is a forecast.
    pub predicted: Option<f64>,
}

/// The value of a row's quantity, and the metric whose history it may be compared with.
#[derive(Debug, Clone, Copy)]
struct Reading {
    value: f64,
    metric: usize,
}

impl RiskPolicy {
    /// Scores a server: `clamp(0.7·current + 0.3·predicted)` of the points of all rows (with the default
    /// weights).
    ///
    /// The predicted value is the mean over the first steps of the P90, or of the P10 where low is bad. Of
    /// several rows with one name the one with the most points counts.
    pub fn assess(&self, input: &RiskInput<'_>) -> RiskAssessment {
        let rows = self.config.rows.iter().filter(|row| row.profiles.selects(input.profile));
        let mut contributions: Vec<_> = rows.map(|row| self.contribution(row, input)).collect();
        contributions.retain(|contribution| contribution.points > 0.0);
        contributions.sort_by(|a, b| a.metric.cmp(&b.metric).then_with(|| b.points.total_cmp(&a.points)));
        contributions.dedup_by(|later, first| later.metric == first.metric);
        contributions.sort_by(|a, b| b.points.total_cmp(&a.points).then_with(|| a.metric.cmp(&b.metric)));
        let points: f64 = contributions.iter().map(|contribution| contribution.points).sum();
        // The empty sum is −0.
        let score = points.clamp(0.0, 100.0) + 0.0;
        let level = self.level_of(score);
        RiskAssessment { score, level, respond_within: self.respond_within(level), contributions }
    }

    fn contribution(&self, row: &RiskRow, input: &RiskInput<'_>) -> RiskContribution {
        let steps = self.config.look_ahead_steps;
        let current = row.subject.read(input.schema, |metric, _| current_value(input, metric), row.side);
        let predicted = row.subject.read(
            input.schema,
            |metric, side| predicted_value(input, metric, side, steps),
            row.side,
        );
        let points = self.config.current_weight * row.points(&row.current, current, input.own_quantiles)
            + self.config.predicted_weight * row.points(&row.predicted, predicted, input.own_quantiles);
        RiskContribution {
            metric: row.name.clone(),
            points,
            current: current.map(|reading| reading.value),
            predicted: predicted.map(|reading| reading.value),
        }
    }
}

impl RiskRow {
    fn points(&self, points: &[RiskPoints], reading: Option<Reading>, own: OwnQuantiles<'_>) -> f64 {
        let Some(reading) = reading else { return 0.0 };
        let complement = |metric, level: f64| own.get(metric, 1.0 - level).map(|value| 100.0 - value);
        let own = match self.subject {
            RiskSubject::Metric(_) => own,
            RiskSubject::Complement { .. } => OwnQuantiles::new(&complement),
        };
        let reached =
            points.iter().filter(|p| p.at.is_reached(reading.value, self.side, reading.metric, own));
        reached.map(|points| points.points).fold(0.0, f64::max)
    }
}

impl RiskSubject {
    /// Reads the quantity through `value_of(metric, bad side)`.
    fn read(
        &self,
        schema: &Schema,
        value_of: impl Fn(usize, BadSide) -> Option<f64>,
        side: BadSide,
    ) -> Option<Reading> {
        let named = |name: &String, side| {
            let metric = schema.metric_index(name)?;
            value_of(metric, side).map(|value| Reading { value, metric })
        };
        match self {
            Self::Metric(name) => named(name, side),
            Self::Complement { of, or_sum_of } => {
                let whole = named(of, opposite(side)).map(|r| Reading { value: 100.0 - r.value, ..r });
                let parts = || or_sum_of.iter().filter_map(|name| named(name, side)).map(|part| part.value);
                let sum = || parts().reduce(|sum, value| sum + value);
                // No history is that of a sum: `usize::MAX` is no metric's position.
                let of_parts = |value: f64| Reading { value: value.clamp(0.0, 100.0), metric: usize::MAX };
                whole.or_else(|| sum().map(of_parts))
            }
        }
    }
}

fn current_value(input: &RiskInput<'_>, metric: usize) -> Option<f64> {
    input.current.get(metric).filter(|value| value.is_finite()).map(|&value| f64::from(value))
}

/// The mean of the P90 (or P10, where low is bad) over the first steps.
fn predicted_value(input: &RiskInput<'_>, metric: usize, side: BadSide, steps: usize) -> Option<f64> {
    let forecast = input.forecast?.metric(metric)?;
    let quantile = match side {
        BadSide::High => Quantile::P90,
        BadSide::Low => Quantile::P10,
    };
    let path = forecast.path(input.levels.nearest(quantile));
    let count = steps.min(path.len());
    let sum: f64 = path.iter().take(count).map(|&value| f64::from(value)).sum();
    (count > 0).then(|| sum / count as f64)
}

fn opposite(side: BadSide) -> BadSide {
    match side {
        BadSide::High => BadSide::Low,
        BadSide::Low => BadSide::High,
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::forecast::{Method, MetricForecast};
    use crate::schema::ServerName;

    fn levels() -> QuantileLevels {
        QuantileLevels::new(&[0.1, 0.5, 0.9]).unwrap()
    }

    /// A forecast of one metric with a constant P10, P50 and P90.
    fn forecast(schema: &Schema, metric: &str, row: [f32; 3]) -> Forecast {
        let index = schema.require_metric(metric).unwrap();
        let values = Array2::from_shape_fn((12, 3), |(_, level)| row[level]);
        let metrics = vec![MetricForecast::new(index, Method::Tft, row[1], values, &schema.metrics()[index])];
        let profile = Profile::new("generic").unwrap();
        Forecast { server: ServerName::new("s1").unwrap(), profile, metrics }
    }

    fn assess(profile: &str, current: &[(&str, f32)], forecast: Option<&Forecast>) -> RiskAssessment {
        let schema = Schema::server_metrics();
        let mut values = vec![f32::NAN; schema.metrics().len()];
        for &(name, value) in current {
            values[schema.require_metric(name).unwrap()] = value;
        }
        RiskPolicy::default().assess(&RiskInput {
            schema: &schema,
            profile: &Profile::new(profile).unwrap(),
            current: &values,
            forecast,
            levels: &levels(),
            own_quantiles: OwnQuantiles::NONE,
        })
    }

    #[test]
    fn the_profile_reaches_the_table() {
        let database = assess("database", &[("mem_used_pct", 96.0)], None);
        let web = assess("web_api", &[("mem_used_pct", 96.0)], None);
        assert!((database.score - 0.7 * 15.0).abs() < 1e-9, "{database:?}");
        assert!((web.score - 0.7 * 30.0).abs() < 1e-9, "{web:?}");
    }

    #[test]
    fn the_worst_case_of_idle_is_its_tenth_percentile() {
        let schema = Schema::server_metrics();
        let falling = forecast(&schema, "cpu_idle_pct", [1.0, 50.0, 99.0]);
        let assessment = assess("generic", &[], Some(&falling));
        assert!((assessment.score - 0.3 * 40.0).abs() < 1e-9, "{assessment:?}");
        assert_eq!(assessment.contributions[0].predicted, Some(99.0));
        let steady = forecast(&schema, "cpu_idle_pct", [40.0, 50.0, 99.0]);
        assert!(assess("generic", &[], Some(&steady)).score < 1e-9);
    }

    #[test]
    fn cpu_use_is_summed_where_idle_is_missing() {
        let parts = [("cpu_user_pct", 60.0), ("cpu_sys_pct", 25.0), ("cpu_iowait_pct", 6.0)];
        let assessment = assess("generic", &parts, None);
        assert_eq!(assessment.contributions[0].current, Some(91.0));
        assert!((assessment.score - 0.7 * 25.0).abs() < 1e-9);
        let with_idle = [parts[0], parts[1], parts[2], ("cpu_idle_pct", 30.0)];
        assert!(assess("generic", &with_idle, None).score < 1e-9);
    }

    #[test]
    fn the_score_is_capped_and_its_parts_are_sorted() {
        let all = [
            ("cpu_idle_pct", 0.0),
            ("mem_used_pct", 99.0),
            ("cpu_iowait_pct", 35.0),
            ("swap_used_pct", 60.0),
        ];
        let assessment = assess("generic", &all, None);
        assert!((assessment.score - 100.0).abs() < 1e-9);
        assert_eq!(assessment.level, RiskLevel::ImminentFailure);
        let points: Vec<_> = assessment.contributions.iter().map(|part| part.points).collect();
        assert!(points.is_sorted_by(|a, b| a >= b) && points.len() == 4);
    }

    #[test]
    fn nothing_known_is_no_risk() {
        let assessment = assess("generic", &[], None);
        assert!(assessment.score.abs() < 1e-9 && assessment.contributions.is_empty());
    }

    #[test]
    fn own_quantiles_count_beyond_but_not_at() {
        let metric = crate::schema::Metric::new("queue", crate::schema::MetricKind::Count);
        let config = crate::schema::SchemaConfig { metrics: vec![metric], ..Default::default() };
        let schema = Schema::new(config).unwrap();
        let policy = RiskPolicy::for_schema(&schema);
        let own = |_: usize, level: f64| Some(if level > 0.998 { 9.0 } else { 7.0 });
        let score = |value: f32| {
            let input = RiskInput {
                schema: &schema,
                profile: &Profile::new("generic").unwrap(),
                current: &[value],
                forecast: None,
                levels: &levels(),
                own_quantiles: OwnQuantiles::new(&own),
            };
            policy.assess(&input).score
        };
        assert!(score(7.0) < 1e-9);
        assert!((score(8.0) - 7.0).abs() < 1e-9 && (score(10.0) - 14.0).abs() < 1e-9);
    }
}
