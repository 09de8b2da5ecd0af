//! Ready-made rules.

use super::{Condition, Direction, Rule, Severity};
use crate::risk::Threshold;
use crate::schema::{BadSide, Metric, Schema};
use crate::time::{DurationMs, StepSpan};

impl Rule {
    /// Returns the preset `tft` for a schema: predictive thresholds for the metrics that the schema has, and
    /// rules from a server's own history for each metric that the server-metrics preset does not know.
    ///
    /// The former look 12 steps ahead at the P50, recover at 95 % of the warning threshold and keep firing
    /// for ten minutes. The latter look 24 steps ahead for three in a row beyond what the server reaches in
    /// five (critical: one) of a thousand steps, and recover at ten of a thousand.
    pub fn preset_tft(schema: &Schema) -> Vec<Self> {
        let server_metrics = Schema::server_metrics();
        let known = PREDICTIVE.iter().filter(|(metric, ..)| schema.metric_index(metric).is_some());
        let unknown = |metric: &&Metric| server_metrics.metric_index(&metric.name).is_none();
        let own = schema.metrics().iter().filter(unknown).map(own_history_rule);
        known
            .map(|&(metric, warning, critical)| predictive_rule(metric, warning, critical))
            .chain(own)
            .collect()
    }

    /// Returns the preset `nifty` for a schema: usage of memory beyond 85 %, of CPU beyond 80 % for five minutes and
    /// of disks beyond 90 %, more than five failed logins in five minutes, and more than 10 % of API calls failing.
    ///
    /// The metrics are `mem_used_pct`, `disk_usage_pct`, `failed_logins_5m` (a count over five minutes),
    /// `api_error_pct`, and for CPU the first that the schema has of `cpu_used_pct`, `cpu_idle_pct` (as 100 minus it)
    /// and `cpu_user_pct`.
    pub fn preset_nifty(schema: &Schema) -> Vec<Self> {
        let usage = |name, source, at, pending_for| {
            Some(Self {
                strict: true,
                pending_for,
                ..ladder(schema, name, source, &[(Severity::Warning, at)])?
            })
        };
        let urgent = |name, metric, at| {
            let rule = ladder(schema, name, Source::Metric(metric), &[(Severity::Critical, at)])?;
            Some(Self { strict: true, ..rule })
        };
        let rules = [
            usage("nifty_memory", Source::Metric("mem_used_pct"), 85.0, DurationMs::ZERO),
            usage("nifty_cpu", Source::CpuUsed, 80.0, DurationMs::from_minutes(5)),
            usage("nifty_disk", Source::Metric("disk_usage_pct"), 90.0, DurationMs::ZERO),
            urgent("nifty_failed_logins", "failed_logins_5m", 5.0),
            urgent("nifty_api_errors", "api_error_pct", 10.0),
        ];
        rules.into_iter().flatten().collect()
    }

    /// Returns the preset `monitorx` for a schema: a limit for latency (1000 ms), for the share of errors (0.05) and for
    /// the use of resources (80 %), with a severity by how far it is passed: from twice the limit on critical, from 1.5
    /// times high, from 1.2 times medium, below that low. Alerts keep firing for five minutes, so that a value that
    /// goes to and fro is told once.
    ///
    /// The metrics are `latency_ms`, `error_rate` (0 to 1), `mem_used_pct`, `disk_usage_pct`, and for CPU as in
    /// [`preset_nifty`](Self::preset_nifty). Of a percentage the rungs beyond 100 do not exist.
    pub fn preset_monitorx(schema: &Schema) -> Vec<Self> {
        let rule = |name, source: Source, limit: f64| {
            let highest =
                if matches!(source, Source::Metric("latency_ms" | "error_rate")) { f64::MAX } else { 100.0 };
            let rungs = RATIOS.map(|(severity, ratio)| (severity, rounded(limit * ratio)));
            let rungs: Vec<_> = rungs.into_iter().filter(|&(_, at)| at <= highest).collect();
            let keep_firing_for = DurationMs::from_minutes(5);
            Some(Self { keep_firing_for, ..ladder(schema, name, source, &rungs)? })
        };
        let rules = [
            rule("monitorx_latency", Source::Metric("latency_ms"), 1000.0),
            rule("monitorx_errors", Source::Metric("error_rate"), 0.05),
            rule("monitorx_cpu", Source::CpuUsed, 80.0),
            rule("monitorx_memory", Source::Metric("mem_used_pct"), 80.0),
            rule("monitorx_disk", Source::Metric("disk_usage_pct"), 80.0),
        ];
        rules.into_iter().flatten().collect()
    }

    /// Returns the preset `mfc` for a schema: more than 80 % of the observed steps beyond a value, for CPU 80 % over five
    /// minutes and, critical, 95 % over one, for memory 85 % over five and for disks 90 % over ten.
    ///
    /// The metrics are `mem_used_pct`, `disk_usage_pct`, and for CPU as in [`preset_nifty`](Self::preset_nifty). A window
    /// shorter than a step is that step.
    pub fn preset_mfc(schema: &Schema) -> Vec<Self> {
        use Severity::{Critical, Warning};
        let rule = |name, source: Source, (severity, at): (Severity, f64), minutes| {
            let (metric, direction) = source.resolve(schema)?;
            let over = StepSpan::Time(DurationMs::from_minutes(minutes));
            let condition =
                Condition::Share { metric, reaches: Threshold::Value(mirrored(at, direction)), over };
            let rule = Self::new(name, condition, [(severity, Threshold::Value(80.0))]);
            Some(Self { direction, strict: true, ..rule })
        };
        let rules = [
            rule("mfc_cpu", Source::CpuUsed, (Warning, 80.0), 5),
            rule("mfc_cpu_critical", Source::CpuUsed, (Critical, 95.0), 1),
            rule("mfc_memory", Source::Metric("mem_used_pct"), (Warning, 85.0), 5),
            rule("mfc_disk", Source::Metric("disk_usage_pct"), (Warning, 90.0), 10),
        ];
        rules.into_iter().flatten().collect()
    }

    /// Returns the preset `service` for a schema, which is usually [`Schema::service_metrics`]: the monitoring service
    /// watches itself.
    ///
    /// More than five failed authentications in five minutes; more than 10 % of answers that are errors of the server;
    /// a certificate that ends within 30 (critical: 7) days; one (critical: three) failed checkpoints in a row; a newest
    /// forecast that is 15 (critical: 60) minutes old.
    pub fn preset_service(schema: &Schema) -> Vec<Self> {
        use Severity::{Critical, Warning};
        let rule = |name, metric, rungs: &[_]| ladder(schema, name, Source::Metric(metric), rungs);
        let rules = [
            rule("service_failed_authentications", "failed_auth_5m", &[(Warning, 5.0)]).map(strict),
            rule("service_server_errors", "server_error_pct", &[(Critical, 10.0)]).map(strict),
            rule("service_certificate_ends", "certificate_days", &[(Warning, 30.0), (Critical, 7.0)])
                .map(|rule| Self { direction: Direction::Below, ..rule }),
            rule("service_checkpoint_fails", "checkpoint_failures", &[(Warning, 1.0), (Critical, 3.0)]),
            rule("service_forecast_stale", "forecast_age_s", &[(Warning, 900.0), (Critical, 3600.0)]),
        ];
        rules.into_iter().flatten().collect()
    }
}

/// Where a preset's usage comes from.
#[derive(Clone, Copy)]
enum Source {
    Metric(&'static str),
    CpuUsed,
}

impl Source {
    /// The metric, and to which side it is bad; none if the schema lacks it.
    fn resolve(self, schema: &Schema) -> Option<(String, Direction)> {
        const CPU: [(&str, Direction); 3] = [
            ("cpu_used_pct", Direction::Above),
            ("cpu_idle_pct", Direction::Below),
            ("cpu_user_pct", Direction::Above),
        ];
        let exists = |name: &str| schema.metric_index(name).is_some();
        let found = match self {
            Self::Metric(name) => exists(name).then_some((name, Direction::Above)),
            Self::CpuUsed => CPU.into_iter().find(|(name, _)| exists(name)),
        };
        found.map(|(name, direction)| (name.to_owned(), direction))
    }
}

/// A rule on observed values; none if the schema lacks the metric.
fn ladder(schema: &Schema, name: &str, source: Source, rungs: &[(Severity, f64)]) -> Option<Rule> {
    let (metric, direction) = source.resolve(schema)?;
    let at = |&(severity, at): &(Severity, f64)| (severity, Threshold::Value(mirrored(at, direction)));
    Some(Rule { direction, ..Rule::new(name, Condition::Observed { metric }, rungs.iter().map(at)) })
}

/// To six decimals, so that 1.5 times 0.05 is 0.075.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// A share in use, or, of a metric that is bad downwards, the share that is left.
fn mirrored(used_pct: f64, direction: Direction) -> f64 {
    match direction {
        Direction::Above => used_pct,
        Direction::Below => 100.0 - used_pct,
    }
}

fn strict(rule: Rule) -> Rule {
    Rule { strict: true, ..rule }
}

fn predictive_rule(metric: &str, warning: f64, critical: f64) -> Rule {
    let thresholds =
        [(Severity::Warning, Threshold::Value(warning)), (Severity::Critical, Threshold::Value(critical))];
    Rule {
        recovery: Some(Threshold::Value(warning * RECOVERY_SHARE)),
        keep_firing_for: KEEP_FIRING_FOR,
        ..Rule::new(format!("{metric}_high"), Condition::forecast(metric), thresholds)
    }
}

fn own_history_rule(metric: &Metric) -> Rule {
    let (direction, suffix) = match metric.bad_side {
        BadSide::High => (Direction::Above, "unusually_high"),
        BadSide::Low => (Direction::Below, "unusually_low"),
    };
    let at = |share: f64| match metric.bad_side {
        BadSide::High => Threshold::OwnQuantile(1.0 - share),
        BadSide::Low => Threshold::OwnQuantile(share),
    };
    let within = StepSpan::Steps(24);
    let condition = Condition::Forecast { metric: metric.name.clone(), quantile: 0.5, within, min_steps: 3 };
    let thresholds = [(Severity::Warning, at(0.005)), (Severity::Critical, at(0.001))];
    Rule {
        direction,
        keep_firing_for: KEEP_FIRING_FOR,
        recovery: Some(at(0.01)),
        ..Rule::new(format!("{}_{suffix}", metric.name), condition, thresholds)
    }
}

const RECOVERY_SHARE: f64 = 0.95;

/// Two steps of five minutes.
const KEEP_FIRING_FOR: DurationMs = DurationMs::from_minutes(10);

/// By how much a limit is passed, and how bad that is.
const RATIOS: [(Severity, f64); 4] =
    [(Severity::Low, 1.0), (Severity::Medium, 1.2), (Severity::High, 1.5), (Severity::Critical, 2.0)];

/// Metric, warning, critical.
const PREDICTIVE: [(&str, f64, f64); 5] = [
    ("cpu_user_pct", 85.0, 95.0),
    ("mem_used_pct", 90.0, 98.0),
    ("cpu_iowait_pct", 20.0, 30.0),
    ("swap_used_pct", 25.0, 50.0),
    ("disk_usage_pct", 85.0, 95.0),
];
