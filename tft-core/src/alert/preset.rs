//! Ready-made rules.

use super::{Band, Direction, Rule, Severity};
use crate::risk::Threshold;
use crate::schema::{BadSide, Metric, Schema};

impl Rule {
    /// Returns the preset `tft` for a schema: predictive thresholds for the metrics that the schema has, and
    /// rules from a server's own history for each metric that the server-metrics preset does not know.
    ///
    /// The former look 12 steps ahead at the P50, recover at 95 % of the warning threshold and keep firing
    /// for ten minutes. The latter look 24 steps ahead for three in a row beyond what the server reaches in
    /// five (critical: one) of a thousand steps, and recover at ten of a thousand.
    pub fn preset_tft(schema: &Schema) -> Vec<Self> {
        let server_metrics = Schema::server_metrics();
        let known = THRESHOLDS.iter().filter(|(metric, ..)| schema.metric_index(metric).is_some());
        let unknown = |metric: &&Metric| server_metrics.metric_index(&metric.name).is_none();
        let own = schema.metrics().iter().filter(unknown).map(own_history_rule);
        known.map(|&(metric, warning, critical)| fixed_rule(metric, warning, critical)).chain(own).collect()
    }
}

fn fixed_rule(metric: &str, warning: f64, critical: f64) -> Rule {
    let bands = bands(Threshold::Value(warning), Threshold::Value(critical));
    Rule {
        recovery: Some(Threshold::Value(warning * RECOVERY_SHARE)),
        keep_firing_for_ms: KEEP_FIRING_FOR_MS,
        ..Rule::new(format!("{metric}_high"), metric, bands)
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
    let name = format!("{}_{suffix}", metric.name);
    Rule {
        direction,
        look_ahead_steps: 24,
        min_steps: 3,
        keep_firing_for_ms: KEEP_FIRING_FOR_MS,
        recovery: Some(at(0.01)),
        ..Rule::new(name, metric.name.as_str(), bands(at(0.005), at(0.001)))
    }
}

fn bands(warning: Threshold, critical: Threshold) -> Vec<Band> {
    vec![
        Band { severity: Severity::Warning, threshold: warning },
        Band { severity: Severity::Critical, threshold: critical },
    ]
}

const RECOVERY_SHARE: f64 = 0.95;

/// Two steps of five minutes.
const KEEP_FIRING_FOR_MS: i64 = 600_000;

/// Metric, warning, critical.
const THRESHOLDS: [(&str, f64, f64); 5] = [
    ("cpu_user_pct", 85.0, 95.0),
    ("mem_used_pct", 90.0, 98.0),
    ("cpu_iowait_pct", 20.0, 30.0),
    ("swap_used_pct", 25.0, 50.0),
    ("disk_usage_pct", 85.0, 95.0),
];
