//! The built-in schemas: the fifteen metrics of servers that most agents can report ("LINBORG"), and those of a
//! monitoring service itself.

use super::{BadSide, Metric, MetricKind, ProfileRules, Schema, SchemaConfig, StatusWords};

impl Schema {
    /// Returns the built-in schema of CPU, memory, disk, network and load metrics.
    ///
    /// # Panics
    /// Never: the table is checked by a test.
    pub fn server_metrics() -> Self {
        let alias = |&(alias, name): &(&str, &str)| (alias.to_owned(), name.to_owned());
        let config = SchemaConfig {
            metrics: METRICS.iter().map(|&(name, kind, unit, side)| metric(name, kind, unit, side)).collect(),
            statuses: StatusWords::default(),
            profiles: ProfileRules::default(),
            aliases: ALIASES.iter().map(alias).collect(),
        };
        Self::new(config).expect("invariant: the preset table is valid")
    }

    /// Returns the schema by which a monitoring service watches itself, for the alert preset `service`.
    ///
    /// `failed_auth_5m` and `server_error_pct` count over the last five minutes, the latter the answers with a status
    /// from 500 on; `checkpoint_failures` are those since the last that succeeded.
    ///
    /// # Panics
    /// Never: the table is checked by a test.
    pub fn service_metrics() -> Self {
        let metrics =
            SERVICE_METRICS.iter().map(|&(name, kind, unit, side)| metric(name, kind, unit, side)).collect();
        Self::new(SchemaConfig { metrics, ..SchemaConfig::default() })
            .expect("invariant: the preset table is valid")
    }
}

fn metric(name: &str, kind: MetricKind, unit: &str, bad_side: BadSide) -> Metric {
    let mut metric = Metric::new(name, kind);
    unit.clone_into(&mut metric.unit);
    metric.bad_side = bad_side;
    metric.min = Some(0.0);
    if name == "cascade_impact" {
        metric.max = Some(1.0);
    }
    metric
}

const METRICS: [(&str, MetricKind, &str, BadSide); 15] = [
    ("cpu_user_pct", MetricKind::Percentage, "%", BadSide::High),
    ("cpu_sys_pct", MetricKind::Percentage, "%", BadSide::High),
    ("cpu_iowait_pct", MetricKind::Percentage, "%", BadSide::High),
    ("cpu_idle_pct", MetricKind::Percentage, "%", BadSide::Low),
    ("java_cpu_pct", MetricKind::Percentage, "%", BadSide::High),
    ("mem_used_pct", MetricKind::Percentage, "%", BadSide::High),
    ("swap_used_pct", MetricKind::Percentage, "%", BadSide::High),
    ("disk_usage_pct", MetricKind::Percentage, "%", BadSide::High),
    ("net_in_mb_s", MetricKind::Continuous, "MB/s", BadSide::High),
    ("net_out_mb_s", MetricKind::Continuous, "MB/s", BadSide::High),
    ("back_close_wait", MetricKind::Count, "", BadSide::High),
    ("front_close_wait", MetricKind::Count, "", BadSide::High),
    ("load_average", MetricKind::Continuous, "", BadSide::High),
    ("uptime_days", MetricKind::Continuous, "days", BadSide::High),
    ("cascade_impact", MetricKind::Continuous, "", BadSide::High),
];

const SERVICE_METRICS: [(&str, MetricKind, &str, BadSide); 5] = [
    ("failed_auth_5m", MetricKind::Count, "", BadSide::High),
    ("server_error_pct", MetricKind::Percentage, "%", BadSide::High),
    ("certificate_days", MetricKind::Continuous, "days", BadSide::Low),
    ("checkpoint_failures", MetricKind::Count, "", BadSide::High),
    ("forecast_age_s", MetricKind::Continuous, "s", BadSide::High),
];

const ALIASES: [(&str, &str); 17] = [
    ("hostname", "server_name"),
    ("cpu_user", "cpu_user_pct"),
    ("cpu_sys", "cpu_sys_pct"),
    ("cpu_system", "cpu_sys_pct"),
    ("cpu_iowait", "cpu_iowait_pct"),
    ("cpu_idle", "cpu_idle_pct"),
    ("java_cpu", "java_cpu_pct"),
    ("memory_used", "mem_used_pct"),
    ("swap_used", "swap_used_pct"),
    ("disk_used", "disk_usage_pct"),
    ("network_in", "net_in_mb_s"),
    ("net_rx", "net_in_mb_s"),
    ("network_out", "net_out_mb_s"),
    ("net_tx", "net_out_mb_s"),
    ("load", "load_average"),
    ("load_1min", "load_average"),
    ("uptime", "uptime_days"),
];
