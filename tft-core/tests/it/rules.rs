//! Rule files as operators write them: the documented one, presets, and what is refused.

use tft_core::alert::{AlertEngine, Condition, Direction, Preset, Rule, RuleFile, Severity};
use tft_core::risk::{RiskLevel, Threshold};
use tft_core::schema::{BadSide, Metric, MetricKind, Schema, SchemaConfig};
use tft_core::time::DurationMs;

const DOCUMENTATION: &str = include_str!("../../docs/rules.md");

fn documented() -> RuleFile {
    let after = DOCUMENTATION.split_once("```toml\n").unwrap().1;
    toml::from_str(after.split_once("```").unwrap().0).unwrap()
}

fn schema_of(names: &[&str]) -> Schema {
    let metrics = names.iter().map(|name| Metric::new(*name, MetricKind::Continuous)).collect();
    Schema::new(SchemaConfig { metrics, ..SchemaConfig::default() }).unwrap()
}

#[test]
fn the_documented_file_loads_and_says_what_it_seems_to() {
    let schema = Schema::server_metrics();
    let policies = documented().resolve(&schema).unwrap();
    let names: Vec<_> = policies.alerts.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names.len(), 5 + 4 + 8, "{names:?}");
    let tonight = policies.alerts.rules.iter().find(|rule| rule.name == "memory_tonight").unwrap();
    assert_eq!(
        (tonight.pending_for, tonight.keep_firing_for),
        (DurationMs::from_minutes(10), DurationMs::from_minutes(30))
    );
    assert_eq!(tonight.thresholds[&Severity::Critical], Threshold::Value(0.8));
    assert_eq!(tonight.selector.labels["team"], "storage");
    assert_eq!(policies.risk.level_of(75.0), RiskLevel::Warning);
    assert_eq!(policies.risk.respond_within(RiskLevel::Critical), Some(DurationMs::from_minutes(15)));
    assert_eq!((policies.risk.config().rows.len(), policies.fleet.rows.len()), (1, 1));
    assert!(AlertEngine::new(policies.alerts, &schema).is_ok());
}

#[test]
fn a_file_survives_json_and_toml() {
    let file = documented();
    assert_eq!(serde_json::from_str::<RuleFile>(&serde_json::to_string(&file).unwrap()).unwrap(), file);
    for preset in Preset::ALL {
        for schema in
            [Schema::server_metrics(), Schema::service_metrics(), schema_of(&["latency_ms", "error_rate"])]
        {
            let rules = preset.rules(&schema);
            let file = RuleFile { rules, preset: Some(vec![preset]), ..RuleFile::default() };
            assert_eq!(
                serde_json::from_str::<RuleFile>(&serde_json::to_string(&file).unwrap()).unwrap(),
                file
            );
            file.validate(&schema).unwrap();
        }
    }
}

#[test]
fn without_rules_and_presets_there_is_the_default_preset() {
    let schema = Schema::server_metrics();
    let rules = |text: &str| toml::from_str::<RuleFile>(text).unwrap().resolve(&schema).unwrap().alerts.rules;
    assert_eq!(rules(""), Rule::preset_tft(&schema));
    assert_eq!(rules("preset = []"), []);
    let own = "name = \"mem_used_pct_high\"\nwhen = { kind = \"risk\" }\nthresholds = { low = 1 }";
    assert_eq!(rules(&format!("[[rules]]\n{own}")).len(), 1);
    let replaced = rules(&format!("preset = [\"tft\"]\n[[rules]]\n{own}"));
    assert_eq!((replaced.len(), &replaced[4].condition), (5, &Condition::Risk {}));
}

#[test]
fn a_table_of_risk_without_rows_fits_the_schema() {
    let schema = schema_of(&["queue_depth"]);
    let file: RuleFile = toml::from_str("[risk]\ncurrent_weight = 1.0").unwrap();
    let risk = file.resolve(&schema).unwrap().risk;
    assert_eq!(risk.config().rows[0].name, "queue_depth");
    assert!((risk.config().current_weight - 1.0).abs() < f64::EPSILON);
}

#[test]
fn problems_of_all_parts_come_together() {
    let text = r#"
        preset = ["nifty"]
        [[rules]]
        name = "a"
        when = { kind = "observed", metric = "ram" }
        thresholds = { warning = 90, critical = 80 }
        [[rules]]
        name = "b"
        when = { kind = "share", metric = "mem_used_pct", reaches = 80, over = "0s" }
        thresholds = { warning = 80 }
        for = "31d"
        description = "{serber} is full"
        [[server_labels]]
        labels = { "a b" = "c" }
        [risk]
        current_weight = 2
        [[fleet.rows]]
        metric = "mem_used_pct"
        warning = { own_quantile = 2 }
        critical = 90
    "#;
    let error = toml::from_str::<RuleFile>(text).unwrap().validate(&Schema::server_metrics()).unwrap_err();
    let problems = error.to_string().replace("; ", "\n");
    insta::assert_snapshot!(problems, @"
    rule file: server_labels entry 0: `labels` has the name `a b`, allowed are 1 to 128 of [A-Za-z0-9_], no digit first
    rule `a`: `metric` is `ram`, which the schema lacks
    rule `a`: `thresholds.warning` is 90, which lies above `thresholds.critical`, 80
    rule `b`: `over` is 0s, allowed are 1 to 1024 steps, or a time
    rule `b`: `for` is 31d, allowed are 0s to 30d
    rule `b`: `description` has `{serber}`, which is no placeholder (a brace is written twice)
    risk policy field `current_weight` is 2, allowed are 0 to 1
    fleet policy row `mem_used_pct` has the warning threshold own quantile 2
    a value must be finite, a quantile between 0 and 1
    ");
}

#[test]
fn what_no_rule_has_is_refused_where_it_stands() {
    let error = |text: &str| toml::from_str::<RuleFile>(text).unwrap_err().message().to_owned();
    let rule = |fields: &str| error(&format!("[[rules]]\nname = \"a\"\n{fields}"));
    insta::assert_snapshot!(error("rule = []"), @"unknown field `rule`, expected one of `preset`, `rules`, `server_labels`, `alerts_max`, `absent_retention`, `risk`, `fleet`");
    insta::assert_snapshot!(error("preset = [\"tf\"]"), @"unknown variant `tf`, expected one of `tft`, `nifty`, `monitorx`, `mfc`, `service`");
    insta::assert_snapshot!(rule("when = { kind = \"observed\" }"), @"missing field `metric`");
    insta::assert_snapshot!(rule("when = { kind = \"risk\", metric = \"m\" }"), @"unknown field `metric`, there are no fields");
    insta::assert_snapshot!(rule("for = \"5 minutes\""), @"duration `5 minutes` is not a sequence of whole numbers with the units w, d, h, m, s, ms, such as `1h30m`");
    insta::assert_snapshot!(rule("thresholds = { fatal = 1 }"), @"unknown variant `fatal`, expected one of `low`, `medium`, `warning`, `high`, `critical`");
    insta::assert_snapshot!(rule("thresholds = { low = \"90\" }"), @r#"invalid type: string "90", expected a number, or a map with the one key `own_quantile`"#);
}

#[test]
fn presets_say_what_they_are_said_to() {
    let server = Schema::server_metrics();
    let summary = |rule: &Rule| {
        let side = if rule.direction == Direction::Below { "≤" } else { "≥" };
        let side = if rule.strict { side.replace('≤', "<").replace('≥', ">") } else { side.to_owned() };
        let rungs: Vec<_> = rule.thresholds.iter().map(|(severity, at)| format!("{severity} {at}")).collect();
        let times = format!("for {} keep {}", rule.pending_for, rule.keep_firing_for);
        let (name, kind, metric) =
            (&rule.name, rule.condition.kind(), rule.condition.metric().unwrap_or("-"));
        format!("{name}: {kind} {metric} {side} {}, {times}", rungs.join(" "))
    };
    let told = |preset: Preset, schema: &Schema| {
        preset.rules(schema).iter().map(summary).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(told(Preset::Nifty, &server), @"
    nifty_memory: observed mem_used_pct > warning 85, for 0s keep 0s
    nifty_cpu: observed cpu_idle_pct < warning 20, for 5m keep 0s
    nifty_disk: observed disk_usage_pct > warning 90, for 0s keep 0s
    ");
    let other = schema_of(&["latency_ms", "error_rate", "failed_logins_5m", "api_error_pct", "cpu_user_pct"]);
    insta::assert_snapshot!(told(Preset::Nifty, &other), @"
    nifty_cpu: observed cpu_user_pct > warning 80, for 5m keep 0s
    nifty_failed_logins: observed failed_logins_5m > critical 5, for 0s keep 0s
    nifty_api_errors: observed api_error_pct > critical 10, for 0s keep 0s
    ");
    insta::assert_snapshot!(told(Preset::Monitorx, &other), @"
    monitorx_latency: observed latency_ms ≥ low 1000 medium 1200 high 1500 critical 2000, for 0s keep 5m
    monitorx_errors: observed error_rate ≥ low 0.05 medium 0.06 high 0.075 critical 0.1, for 0s keep 5m
    monitorx_cpu: observed cpu_user_pct ≥ low 80 medium 96, for 0s keep 5m
    ");
    insta::assert_snapshot!(told(Preset::Mfc, &server), @"
    mfc_cpu: share cpu_idle_pct < warning 80, for 0s keep 0s
    mfc_cpu_critical: share cpu_idle_pct < critical 80, for 0s keep 0s
    mfc_memory: share mem_used_pct > warning 80, for 0s keep 0s
    mfc_disk: share disk_usage_pct > warning 80, for 0s keep 0s
    ");
    insta::assert_snapshot!(told(Preset::Service, &Schema::service_metrics()), @"
    service_failed_authentications: observed failed_auth_5m > warning 5, for 0s keep 0s
    service_server_errors: observed server_error_pct > critical 10, for 0s keep 0s
    service_certificate_ends: observed certificate_days ≤ warning 30 critical 7, for 0s keep 0s
    service_checkpoint_fails: observed checkpoint_failures ≥ warning 1 critical 3, for 0s keep 0s
    service_forecast_stale: observed forecast_age_s ≥ warning 900 critical 3600, for 0s keep 0s
    ");
    assert_eq!(Schema::service_metrics().metrics()[2].bad_side, BadSide::Low);
    assert_eq!(told(Preset::Service, &server), "");
}
