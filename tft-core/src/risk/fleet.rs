//! Sums a fleet up: how likely trouble is, and where it is worst.

use serde::{Deserialize, Serialize};

use super::{
    BreachQuery, FleetHealth, FleetSummary, OwnQuantiles, RiskAssessment, RiskLevel, Threshold, TopRisk,
    breach_probability,
};
use crate::error::{Error, ErrorKind};
use crate::forecast::{Forecast, MetricForecast, Quantile, QuantileLevels};
use crate::schema::{BadSide, Metric, Schema, ServerName};
use crate::time::StepLength;

/// The thresholds by which a fleet is judged.
///
/// # Defaults
/// Those of the server-metrics preset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FleetPolicy {
    /// One row per metric; a metric that a schema lacks is passed over.
    pub rows: Vec<BreachRow>,
}

/// When one metric is in trouble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreachRow {
    /// The metric's name.
    pub metric: String,
    /// Which side is bad.
    #[serde(default)]
    pub side: BadSide,
    /// Where it deserves a look.
    pub warning: Threshold,
    /// Where it is a breach.
    pub critical: Threshold,
}

/// What all members of a fleet share.
#[derive(Debug, Clone, Copy)]
pub struct FleetInput<'a> {
    /// The schema of the forecasts.
    pub schema: &'a Schema,
    /// The levels of the forecasts.
    pub levels: &'a QuantileLevels,
    /// The length of their steps.
    pub step_length: StepLength,
}

/// One server of a fleet.
#[derive(Debug, Clone, Copy)]
pub struct FleetMember<'a> {
    /// The server.
    pub server: &'a ServerName,
    /// Its forecast; a server without one counts, but predicts nothing.
    pub forecast: Option<&'a Forecast>,
    /// Its risk.
    pub risk: &'a RiskAssessment,
    /// The quantiles of its own history.
    pub own_quantiles: OwnQuantiles<'a>,
}

#[derive(Debug, thiserror::Error)]
enum FleetError {
    #[error("fleet policy has {count} rows, allowed are at most {}", FleetPolicy::ROWS_MAX)]
    RowCount { count: usize },
    #[error(
        "fleet policy row `{metric}` has the {field} threshold {at}; a value must be finite, a quantile between 0 and 1"
    )]
    Threshold { metric: String, field: &'static str, at: Threshold },
}

/// A look-ahead and the points of the compatible score.
struct Outlook {
    length_ms: i64,
    critical_points: f64,
    warning_points: f64,
}

/// One look-ahead, summed over servers.
#[derive(Default)]
struct Totals {
    points: f64,
    breaches: f64,
    p_none: f64,
}

impl FleetPolicy {
    /// Most rows of a policy.
    pub const ROWS_MAX: usize = 1024;

    /// Most servers listed as the top risks.
    pub const TOP_RISKS_MAX: usize = 5;

    /// Builds the default policy for a schema: the default rows whose metrics it has, and the 99.5 % and
    /// 99.9 % quantiles of a server's own history for each metric that the server-metrics preset does not
    /// know.
    pub fn for_schema(schema: &Schema) -> Self {
        let preset = Schema::server_metrics();
        let mut policy = Self::default();
        policy.rows.retain(|row| schema.metric_index(&row.metric).is_some());
        let unknown = schema.metrics().iter().filter(|metric| preset.metric_index(&metric.name).is_none());
        policy.rows.extend(unknown.map(BreachRow::from_own_history));
        policy
    }

    /// Checks a policy that comes from outside.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the row, the field and the value at fault.
    pub fn validate(&self) -> Result<(), Error> {
        if self.rows.len() > Self::ROWS_MAX {
            return Err(FleetError::RowCount { count: self.rows.len() }.into());
        }
        for row in &self.rows {
            for (field, at) in [("warning", row.warning), ("critical", row.critical)] {
                if !at.is_valid() {
                    return Err(FleetError::Threshold { metric: row.metric.clone(), field, at }.into());
                }
            }
        }
        Ok(())
    }

    /// Sums a fleet up.
    ///
    /// The scores `prob_30m` and `prob_8h` give each server, for each metric whose P50 reaches a threshold
    /// within the look-ahead or whose P90 (P10 where low is bad) passes it by 5, the points of the higher
    /// threshold; capped at 1, mean over servers. The probabilities are those of
    /// [`breach_probability`](super::breach_probability) at the critical thresholds. `p_any_breach` takes
    /// metrics and servers as independent, which overstates it where they fail together;
    /// `expected_breaches`, a sum, needs no such assumption.
    pub fn summarize<'a>(
        &self,
        input: &FleetInput<'_>,
        members: impl IntoIterator<Item = FleetMember<'a>>,
    ) -> FleetSummary {
        let members: Vec<_> = members.into_iter().collect();
        let [short, long] = OUTLOOKS.map(|outlook| self.totals(input, &members, &outlook));
        let count = members.len();
        let mean = |sum: f64| if count == 0 { 0.0 } else { sum / count as f64 };
        let scores = || members.iter().map(|member| member.risk.score);
        let (prob_30m, prob_8h) = (mean(short.points), mean(long.points));
        FleetSummary {
            servers: count,
            prob_30m,
            prob_8h,
            expected_breaches_30m: short.breaches,
            expected_breaches_8h: long.breaches,
            p_any_breach_30m: 1.0 - short.p_none,
            p_any_breach_8h: 1.0 - long.p_none,
            fleet_health: FleetHealth::of(prob_30m.max(prob_8h)),
            levels: RiskLevel::ALL.map(|level| (level, count_level(&members, level))).to_vec(),
            avg_risk_score: mean(scores().sum()),
            max_risk_score: scores().fold(0.0, f64::max),
            top_risks: top_risks(&members),
        }
    }

    fn totals(&self, input: &FleetInput<'_>, members: &[FleetMember<'_>], outlook: &Outlook) -> Totals {
        let steps_in = |length_ms: i64| (length_ms / input.step_length.as_millis()).max(1) as usize;
        let (steps, dependent_steps) = (steps_in(outlook.length_ms), steps_in(BreachQuery::DEPENDENCE_MS));
        let mut totals = Totals { p_none: 1.0, ..Totals::default() };
        for member in members {
            let mut points = 0.0;
            for (row, metric, forecast) in self.forecasts(input.schema, member) {
                points += row.points(forecast, input.levels, steps, (metric, member.own_quantiles), outlook);
                let Some(threshold) = row.critical.nearest_beyond(row.side, metric, member.own_quantiles)
                else {
                    continue;
                };
                let query = BreachQuery { side: row.side, threshold, steps, dependent_steps };
                let breach = breach_probability(forecast, input.levels, &query);
                totals.breaches += breach;
                totals.p_none *= 1.0 - breach;
            }
            totals.points += points.min(1.0);
        }
        totals
    }

    fn forecasts<'a>(
        &'a self,
        schema: &'a Schema,
        member: &'a FleetMember<'a>,
    ) -> impl Iterator<Item = (&'a BreachRow, usize, &'a MetricForecast)> {
        self.rows.iter().filter_map(|row| {
            let metric = schema.metric_index(&row.metric)?;
            Some((row, metric, member.forecast?.metric(metric)?))
        })
    }
}

impl BreachRow {
    /// A row whose thresholds are quantiles of the server's own history.
    pub(crate) fn from_own_history(metric: &Metric) -> Self {
        let (warning, critical) = match metric.bad_side {
            BadSide::High => (0.995, 0.999),
            BadSide::Low => (0.005, 0.001),
        };
        Self {
            metric: metric.name.clone(),
            side: metric.bad_side,
            warning: Threshold::OwnQuantile(warning),
            critical: Threshold::OwnQuantile(critical),
        }
    }

    /// The points of the higher threshold that is reached within `steps`.
    fn points(
        &self,
        forecast: &MetricForecast,
        levels: &QuantileLevels,
        steps: usize,
        (metric, own): (usize, OwnQuantiles<'_>),
        outlook: &Outlook,
    ) -> f64 {
        let (outer, margin) = match self.side {
            BadSide::High => (Quantile::P90, -OUTER_MARGIN),
            BadSide::Low => (Quantile::P10, OUTER_MARGIN),
        };
        let median = worst(forecast, levels.nearest(Quantile::MEDIAN), steps, self.side);
        let outer = worst(forecast, levels.nearest(outer), steps, self.side);
        let is_reached = |at: Threshold| {
            let by_outer =
                matches!(at, Threshold::Value(_)) && at.is_reached(outer + margin, self.side, metric, own);
            by_outer || at.is_reached(median, self.side, metric, own)
        };
        if is_reached(self.critical) {
            outlook.critical_points
        } else if is_reached(self.warning) {
            outlook.warning_points
        } else {
            0.0
        }
    }
}

impl Default for FleetPolicy {
    fn default() -> Self {
        let row = |&(metric, side, warning, critical): &(&str, BadSide, f64, f64)| BreachRow {
            metric: metric.to_owned(),
            side,
            warning: Threshold::Value(warning),
            critical: Threshold::Value(critical),
        };
        Self { rows: THRESHOLDS.iter().map(row).collect() }
    }
}

impl From<FleetError> for Error {
    fn from(error: FleetError) -> Self {
        Self::new(ErrorKind::InvalidConfig, error)
    }
}

/// The value furthest to the bad side within the first `steps`; NaN for an empty forecast.
fn worst(forecast: &MetricForecast, quantile_index: usize, steps: usize, side: BadSide) -> f64 {
    let path = forecast.path(quantile_index);
    let values = path.iter().take(steps).map(|&value| f64::from(value));
    match side {
        BadSide::High => values.fold(f64::NAN, f64::max),
        BadSide::Low => values.fold(f64::NAN, f64::min),
    }
}

fn count_level(members: &[FleetMember<'_>], level: RiskLevel) -> usize {
    members.iter().filter(|member| member.risk.level == level).count()
}

fn top_risks(members: &[FleetMember<'_>]) -> Vec<TopRisk> {
    let mut ranked: Vec<_> = members.iter().collect();
    ranked.sort_by(|a, b| b.risk.score.total_cmp(&a.risk.score).then_with(|| a.server.cmp(b.server)));
    let top = ranked.into_iter().take(FleetPolicy::TOP_RISKS_MAX);
    let entry =
        |m: &FleetMember<'_>| TopRisk { server: m.server.clone(), score: m.risk.score, level: m.risk.level };
    top.map(entry).collect()
}

const OUTLOOKS: [Outlook; 2] = [
    Outlook { length_ms: 30 * 60_000, critical_points: 0.25, warning_points: 0.10 },
    Outlook { length_ms: 8 * 3_600_000, critical_points: 0.20, warning_points: 0.08 },
];

/// By how much the P90 must pass a threshold to count like the P50 that reaches it, in the metric's unit.
const OUTER_MARGIN: f64 = 5.0;

const THRESHOLDS: [(&str, BadSide, f64, f64); 8] = [
    ("cpu_user_pct", BadSide::High, 80.0, 90.0),
    ("cpu_sys_pct", BadSide::High, 50.0, 70.0),
    ("cpu_iowait_pct", BadSide::High, 20.0, 40.0),
    ("mem_used_pct", BadSide::High, 85.0, 95.0),
    ("swap_used_pct", BadSide::High, 10.0, 30.0),
    ("disk_usage_pct", BadSide::High, 80.0, 90.0),
    ("java_cpu_pct", BadSide::High, 70.0, 85.0),
    ("cpu_idle_pct", BadSide::Low, 20.0, 10.0),
];

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::forecast::Method;
    use crate::schema::Profile;

    fn forecast(name: &str, metrics: &[(&str, [f32; 3])]) -> Forecast {
        let schema = Schema::server_metrics();
        let metric = |&(metric, row): &(&str, [f32; 3])| {
            let index = schema.require_metric(metric).unwrap();
            let values = Array2::from_shape_fn((96, 3), |(_, level)| row[level]);
            MetricForecast::new(index, Method::Tft, row[1], values, &schema.metrics()[index])
        };
        Forecast {
            server: ServerName::new(name).unwrap(),
            profile: Profile::new("generic").unwrap(),
            metrics: metrics.iter().map(metric).collect(),
        }
    }

    fn risk(score: f64) -> RiskAssessment {
        RiskAssessment { score, level: RiskLevel::of(score), respond_within: None, contributions: Vec::new() }
    }

    fn summarize(servers: &[(Forecast, RiskAssessment)]) -> FleetSummary {
        let input = FleetInput {
            schema: &Schema::server_metrics(),
            levels: &QuantileLevels::new(&[0.1, 0.5, 0.9]).unwrap(),
            step_length: StepLength::FIVE_MINUTES,
        };
        let members = servers.iter().map(|(forecast, risk)| FleetMember {
            server: &forecast.server,
            forecast: Some(forecast),
            risk,
            own_quantiles: OwnQuantiles::NONE,
        });
        FleetPolicy::default().summarize(&input, members)
    }

    #[test]
    fn points_and_probabilities_follow_the_forecast() {
        let hot =
            forecast("a", &[("cpu_user_pct", [80.0, 91.0, 95.0]), ("cpu_idle_pct", [12.0, 30.0, 40.0])]);
        let calm = forecast("b", &[("mem_used_pct", [10.0, 20.0, 30.0])]);
        let summary = summarize(&[(hot, risk(72.0)), (calm, risk(4.0))]);
        // Critical for user CPU (.25), and idle's P10 of 12 passes 20 by more than 5 (.10); mean of two.
        assert!((summary.prob_30m - 0.35 / 2.0).abs() < 1e-9, "{summary:?}");
        assert!((summary.prob_8h - 0.28 / 2.0).abs() < 1e-9);
        let expected = 1.0 - (0.1 + 0.4 * 10.0 / 11.0);
        assert!((summary.expected_breaches_30m - expected).abs() < 0.2, "{summary:?}");
        assert!(summary.p_any_breach_30m <= summary.expected_breaches_30m);
        assert_eq!(summary.fleet_health, FleetHealth::Healthy);
        assert_eq!((summary.avg_risk_score, summary.max_risk_score), (38.0, 72.0));
        assert_eq!(summary.top_risks[0].server.as_str(), "a");
        assert_eq!(summary.levels.iter().map(|(_, count)| count).sum::<usize>(), 2);
    }

    #[test]
    fn a_constant_metric_does_not_breach_its_own_quantile() {
        let flat = forecast("a", &[("load_average", [4.0; 3])]);
        let row = BreachRow {
            metric: "load_average".to_owned(),
            side: BadSide::High,
            warning: Threshold::OwnQuantile(0.995),
            critical: Threshold::OwnQuantile(0.999),
        };
        let input = FleetInput {
            schema: &Schema::server_metrics(),
            levels: &QuantileLevels::new(&[0.1, 0.5, 0.9]).unwrap(),
            step_length: StepLength::FIVE_MINUTES,
        };
        let own = |_: usize, _: f64| Some(4.0);
        let member = FleetMember {
            server: &flat.server,
            forecast: Some(&flat),
            risk: &risk(0.0),
            own_quantiles: OwnQuantiles::new(&own),
        };
        let summary = FleetPolicy { rows: vec![row] }.summarize(&input, [member]);
        assert!(summary.p_any_breach_8h.abs() < 1e-12 && summary.prob_8h.abs() < 1e-12);
    }

    #[test]
    fn an_empty_fleet_is_healthy() {
        let summary = summarize(&[]);
        assert_eq!((summary.servers, summary.fleet_health), (0, FleetHealth::Healthy));
        assert!(summary.prob_8h.abs() < 1e-12 && summary.p_any_breach_8h.abs() < 1e-12);
    }

    #[test]
    fn a_policy_from_outside_is_checked() {
        let mut policy = FleetPolicy::for_schema(&Schema::server_metrics());
        assert_eq!(policy, FleetPolicy::default());
        policy.rows[1].critical = Threshold::Value(f64::NAN);
        let error = policy.validate().unwrap_err();
        insta::assert_snapshot!(error, @"fleet policy row `cpu_sys_pct` has the critical threshold NaN; a value must be finite, a quantile between 0 and 1");
    }
}
