//! Imported models on a rolling window: the forecasts are those that the reference makes of the same rows
//! with the future appended.

use std::collections::BTreeMap;

use ndarray::s;
use serde_json::{Value, json};
use tft_core::explain::{Change, Interpretation, WhatIf};
use tft_core::forecast::{Forecaster, ForecasterConfig, Method, MetricForecast, backcast};
use tft_core::model::{Column, Rows};
use tft_core::schema::{Metric, MetricKind, Profile, Schema, SchemaConfig};
use tft_core::time::Timestamp;
use tft_core::{ErrorKind, Model, Monitor, Record, RollingWindow, WindowConfig};

use crate::golden::GoldenSet;

const STEP_MS: i64 = 300_000;
/// The instant of time index 816 in set a: a Wednesday.
const START: &str = "2025-03-05T20:00:00Z";
const HISTORY: usize = 384;

/// A set's model with sources for the columns that names alone do not explain.
fn model_with_sources(set: &str, sources: Value) -> Model {
    let model = GoldenSet::new(set).model();
    let mut document = serde_json::to_value(model.document()).unwrap();
    document["encoding"]["sources"] = sources;
    let weights = std::fs::read(GoldenSet::new(set).model_file(Model::WEIGHTS_FILE)).unwrap();
    Model::from_bytes(&serde_json::to_vec(&document).unwrap(), &weights, set).unwrap()
}

fn window(schema: &Schema, forecaster: &Forecaster) -> RollingWindow {
    let config = WindowConfig { steps_per_server: forecaster.history_steps(), ..Default::default() };
    RollingWindow::new(schema.clone(), config).unwrap()
}

fn at(step: usize) -> Timestamp {
    Timestamp::parse(START).unwrap().plus_millis(step as i64 * STEP_MS)
}

/// The moment at which a step is closed by the clock.
fn closed(step: usize) -> Timestamp {
    at(step + 2)
}

/// What was measured on one server, by metric and step.
struct Measured {
    name: String,
    profile: String,
    statuses: Vec<String>,
    metrics: BTreeMap<String, Vec<f64>>,
}

impl Measured {
    /// A value as the window keeps it: in single precision; the newest one for steps to come.
    fn value(&self, metric: &str, step: usize) -> f64 {
        let values = &self.metrics[metric];
        f64::from(values[step.min(values.len() - 1)] as f32)
    }
}

/// Servers of set a with their whole history.
fn servers_of_set_a(schema: &Schema) -> Vec<Measured> {
    let rows = GoldenSet::new("a").rows();
    let Some(Column::Texts(names)) = rows.column("server_name") else { panic!("no names") };
    let texts = |column: &str, rows_of: &[usize]| -> Vec<String> {
        let Some(Column::Texts(values)) = rows.column(column) else { panic!("no texts `{column}`") };
        rows_of.iter().map(|&row| values[row].clone()).collect()
    };
    let numbers = |column: &str, rows_of: &[usize]| -> Vec<f64> {
        match rows.column(column) {
            Some(Column::Reals(values)) => rows_of.iter().map(|&row| values[row]).collect(),
            Some(Column::Integers(values)) => rows_of.iter().map(|&row| values[row] as f64).collect(),
            other => panic!("unexpected column `{column}`: {other:?}"),
        }
    };
    let server = |name: &str| {
        let rows_of: Vec<usize> = (0..rows.len()).filter(|&row| names[row] == name).collect();
        assert_eq!(rows_of.len(), HISTORY);
        let metrics = schema.metrics().iter();
        Measured {
            name: name.to_owned(),
            profile: texts("profile", &rows_of)[0].clone(),
            statuses: texts("status", &rows_of),
            metrics: metrics.map(|metric| (metric.name.clone(), numbers(&metric.name, &rows_of))).collect(),
        }
    };
    ["ppcon0001", "ppcon0002", "ppdb0001", "ppweb0999"].map(server).into()
}

fn feed(window: &mut RollingWindow, servers: &[Measured], steps: usize) {
    (0..steps).for_each(|step| feed_step(window, servers, step));
}

fn feed_step(window: &mut RollingWindow, servers: &[Measured], step: usize) {
    let schema = window.schema().clone();
    let record = |server: &Measured| {
        let mut record = Record::new(&schema, &server.name, at(step)).unwrap();
        record = record.with_profile(Profile::new(&server.profile).unwrap());
        record = record.with_status(&server.statuses[step]).unwrap();
        let metrics = server.metrics.keys();
        metrics.fold(record, |record, metric| record.with(metric, server.metrics[metric][step]).unwrap())
    };
    let records: Vec<_> = servers.iter().map(record).collect();
    let report = window.ingest(&records, at(step)).unwrap();
    assert_eq!(report.accepted, servers.len(), "{report:?}");
}

/// The rows of set a's data set for history and future, computed without the library.
fn rows_of(servers: &[Measured], horizon: usize) -> Rows {
    let mut numbers: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut texts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for server in servers {
        for step in 0..HISTORY + horizon {
            let known = step.min(HISTORY - 1);
            let minutes = 20 * 60 + 5 * step;
            let weekday = (2 + minutes / 1440) % 7;
            let mut put = |name: &str, value: f64| numbers.entry(name.to_owned()).or_default().push(value);
            put("time_idx", (816 + step) as f64);
            put("hour", (minutes / 60 % 24) as f64);
            put("day_of_week", weekday as f64);
            put("month", 3.0);
            put("is_weekend", f64::from(u8::from(weekday >= 5)));
            server.metrics.keys().for_each(|metric| put(metric, server.value(metric, known)));
            for (metric, short, limit) in HIGH {
                let all: Vec<f64> = servers.iter().map(|server| server.value(metric, known)).collect();
                let mean = all.iter().sum::<f64>() / all.len() as f64;
                let above = all.iter().filter(|&&value| value > limit).count();
                put(&format!("fleet_pct_high_{short}"), above as f64 / all.len() as f64);
                put(&format!("{short}_vs_fleet"), server.value(metric, known) - mean);
            }
            for metric in ["cpu_user_pct", "mem_used_pct", "cpu_iowait_pct", "load_average"] {
                let all: Vec<f64> = servers.iter().map(|server| server.value(metric, known)).collect();
                let mean = all.iter().sum::<f64>() / all.len() as f64;
                let variance = all.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 3.0;
                put(&format!("fleet_{metric}_mean"), mean);
                put(&format!("fleet_{metric}_std"), variance.sqrt());
                put(&format!("fleet_{metric}_max"), all.iter().copied().fold(f64::MIN, f64::max));
            }
            let id = tft_core::schema::ServerName::new(&server.name).unwrap().legacy_id().to_string();
            texts.entry("server_id").or_default().push(id);
            texts.entry("profile").or_default().push(server.profile.clone());
            texts.entry("status").or_default().push(server.statuses[known].clone());
        }
    }
    let numbers = numbers.into_iter().map(|(name, values)| (name, Column::Reals(values)));
    let texts = texts.into_iter().map(|(name, values)| (name.to_owned(), Column::Texts(values)));
    numbers.chain(texts).fold(Rows::new(), |rows, (name, column)| rows.with(name, column).unwrap())
}

const HIGH: [(&str, &str, f64); 3] =
    [("cpu_user_pct", "cpu", 80.0), ("mem_used_pct", "mem", 85.0), ("cpu_iowait_pct", "iowait", 20.0)];

fn sources_of_set_a() -> Value {
    let mut sources = serde_json::Map::new();
    for (metric, short, limit) in HIGH {
        let share = json!({"fleet": {"metric": metric, "statistic": {"share_above": limit}}});
        sources.insert(format!("fleet_pct_high_{short}"), share);
        sources.insert(format!("{short}_vs_fleet"), json!({"above_fleet_mean": metric}));
    }
    sources.into()
}

#[test]
fn forecasts_of_the_original_system_start_after_the_last_step() {
    let schema = Schema::server_metrics();
    let model = model_with_sources("a", sources_of_set_a());
    let config = ForecasterConfig { block_windows: 3, ..Default::default() };
    let mut forecaster = Forecaster::new(model.clone(), config.clone()).unwrap();
    let servers = servers_of_set_a(&schema);
    let mut window = window(&schema, &forecaster);
    feed(&mut window, &servers, HISTORY);
    let fleet = forecaster.forecast(&window, closed(HISTORY - 1)).unwrap();
    assert_eq!(fleet.step_length.start_of(fleet.origin.plus(1)), at(HISTORY));

    let expected = backcast(&model, &rows_of(&servers, 96), &config).unwrap();
    assert_eq!(expected.first_prediction_idx, [1200; 4]);
    let mut compared = 0;
    for (place, group) in expected.groups.iter().enumerate() {
        // An unknown server has the constants of its neighbour in the reference, which knows all rows.
        let Some(server) = servers[..3].iter().find(|server| legacy_id(&server.name) == group[0]) else {
            continue;
        };
        compared += 1;
        for target in &expected.targets {
            let metric = schema.metric_index(&target.name).unwrap();
            let found = fleet.server(&server.name).unwrap().metric(metric).unwrap();
            assert_eq!(found.method, Method::Tft);
            let values = target.values.slice(s![place, .., ..]).to_owned();
            let range = &schema.metrics()[metric];
            let expected = MetricForecast::new(metric, Method::Tft, found.current, values, range);
            for (found, expected) in found.values().iter().zip(expected.values()) {
                let allowed = 1e-4 * expected.abs().max(1.0);
                assert!((found - expected).abs() <= allowed, "{}: {found} {expected}", target.name);
            }
        }
    }
    assert_eq!(compared, 3, "every known server");
}

/// Step after step, with an outage, a late sample and a server that comes and goes.
#[test]
fn forecasts_do_not_depend_on_what_is_kept_or_on_threads() {
    let schema = Schema::server_metrics();
    let model = model_with_sources("a", sources_of_set_a());
    let configs = [(1, 0), (1, 64 << 20), (3, 64 << 20), (2, 700_000)]
        .map(|(threads, cache_bytes)| ForecasterConfig { threads, cache_bytes, block_windows: 2 });
    let mut forecasters = configs.map(|config| Forecaster::new(model.clone(), config).unwrap());
    let mut servers = servers_of_set_a(&schema);
    let mut window = window(&schema, &forecasters[0]);
    let quiet = servers.pop().unwrap();
    feed(&mut window, &servers, 300);
    feed(&mut window, std::slice::from_ref(&quiet), 280);
    for step in 300..310 {
        let sent: &[Measured] = if step % 3 == 0 { &servers[1..] } else { &servers };
        feed_step(&mut window, sent, step);
        if step == 305 {
            feed_step(&mut window, &servers[..1], 304);
        }
        let [plain, others @ ..] =
            forecasters.each_mut().map(|forecaster| forecaster.forecast(&window, closed(step)).unwrap());
        for other in others {
            assert_eq!(format!("{plain:?}"), format!("{other:?}"), "step {step}");
        }
    }
    let kept = forecasters.map(|forecaster| forecaster.kept_bytes());
    assert!(kept[0] == 0 && kept[1] > 1_000_000 && kept[2] > 1_000_000 && kept[3] <= 700_000, "{kept:?}");
}

fn legacy_id(name: &str) -> String {
    tft_core::schema::ServerName::new(name).unwrap().legacy_id().to_string()
}

#[test]
fn what_the_schema_lacks_is_named_all_at_once() {
    let metrics = vec![Metric::new("cpu_user_pct", MetricKind::Percentage)];
    let schema = Schema::new(SchemaConfig { metrics, ..Default::default() }).unwrap();
    let model = GoldenSet::new("b").model();
    let mut forecaster = Forecaster::new(model, ForecasterConfig::default()).unwrap();
    let error = forecaster.forecast(&window(&schema, &forecaster), at(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert_eq!(error.to_string(), Monitor::new(&schema, forecaster).unwrap_err().to_string());
    insta::assert_snapshot!(error, @"the window lacks what the model needs: column `mem_used_pct` needs the metric `mem_used_pct`, which the schema lacks; column `net_in_mb_s` needs the metric `net_in_mb_s`, which the schema lacks; column `load_average` needs the metric `load_average`, which the schema lacks; column `cores` needs the metric `cores`, which the schema lacks; column `swap_used_pct` needs the metric `swap_used_pct`, which the schema lacks; column `cpu_iowait_pct` needs the metric `cpu_iowait_pct`, which the schema lacks; column `region` needs the metric `region`, which the schema lacks; column `rack` needs the metric `rack`, which the schema lacks; column `dow` needs the metric `dow`, which the schema lacks; column `shift` needs the metric `shift`, which the schema lacks");
}

/// A model with lags, own scales and a schema of its own metrics.
fn lagged() -> (Model, Schema) {
    let sources = json!({
        "host": "legacy_server_id",
        "rack": "profile",
        "shift": {"label": "day"},
    });
    let names = ["load", "temperature", "queue", "requests", "pressure"];
    let metrics = names.map(|name| Metric::new(name, MetricKind::Continuous)).into();
    let schema = Schema::new(SchemaConfig { metrics, ..Default::default() }).unwrap();
    (model_with_sources("d", sources), schema)
}

fn wave(name: &str, steps: usize, shift: f64) -> Measured {
    let values = |scale: f64| {
        (0..steps).map(|step| scale * (2.0 + (step as f64 / 3.0 + shift).sin())).collect::<Vec<_>>()
    };
    let metrics =
        [("load", 3.0), ("temperature", 20.0), ("queue", 1.5), ("requests", 2.0), ("pressure", 9.0)];
    Measured {
        name: name.to_owned(),
        profile: "generic".to_owned(),
        statuses: vec!["healthy".to_owned(); steps],
        metrics: metrics.map(|(metric, scale)| (metric.to_owned(), values(scale))).into(),
    }
}

#[test]
fn a_forecast_can_be_explained() {
    let (model, schema) = lagged();
    let architecture = model.document().architecture.clone();
    let forecaster = Forecaster::new(model, ForecasterConfig::default()).unwrap();
    let mut window = window(&schema, &forecaster);
    feed(&mut window, &[wave("web1", 40, 0.0), wave("web2", 40, 1.0)], 40);
    let origin = window.origin(closed(39)).unwrap();
    let trace = forecaster.trace(&window, origin, "web2").unwrap().unwrap();
    assert_eq!(trace.windows, [[0]], "one window forecasts the load");
    let explained = Interpretation::of(&trace.output, &trace.batch, &architecture, 0).unwrap();
    assert!((explained.attention.sum() - 1.0).abs() < 1e-5);
    let ranked = explained.encoder_variables.ranked();
    assert_eq!(ranked.len(), architecture.time_varying_reals_encoder.len() + 3);
    assert!(ranked.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    assert!(forecaster.trace(&window, origin, "web3").unwrap().is_none());
}

/// A covariate of an imported model has an effect on what the model forecasts.
#[test]
fn counterfactuals_reach_other_metrics() {
    let (model, schema) = lagged();
    let forecaster = Forecaster::new(model, ForecasterConfig::default()).unwrap();
    let mut window = window(&schema, &forecaster);
    feed(&mut window, &[wave("web1", 40, 0.0), wave("web2", 40, 1.0)], 40);
    let origin = window.origin(closed(39)).unwrap();
    let monitor = Monitor::new(&schema, forecaster).unwrap();
    let explainer = monitor.explainer();
    let explanation = explainer.explain(&window, origin, "web2").unwrap().unwrap();
    assert_eq!((explanation.focuses.len(), explanation.is_univariate), (1, false));
    assert_eq!(explanation.focuses[0].metrics, [0], "one window forecasts the load");
    assert!(!explanation.focuses[0].static_variables.is_empty());
    let question = WhatIf { metric: "temperature".to_owned(), change: Change::Scale(3.0), last_steps: 20 };
    let answer = explainer.what_if(&window, (origin, "web2"), &question).unwrap().unwrap();
    assert_eq!(
        answer.others.iter().map(|other| other.metric).collect::<Vec<_>>(),
        [0],
        "{:?}",
        answer.others
    );
    let neighbour = explainer.explain(&window, origin, "web1").unwrap().unwrap();
    assert_ne!(neighbour.metrics[0].current.to_bits(), explanation.metrics[0].current.to_bits());
}

#[test]
fn one_server_alone_is_forecast_as_within_its_fleet() {
    let schema = Schema::server_metrics();
    let model = model_with_sources("a", sources_of_set_a());
    let mut forecaster = Forecaster::new(model, ForecasterConfig::default()).unwrap();
    let mut window = window(&schema, &forecaster);
    feed(&mut window, &servers_of_set_a(&schema), HISTORY);
    let fleet = forecaster.forecast(&window, closed(HISTORY - 1)).unwrap();
    let kept = forecaster.kept_bytes();
    let alone = forecaster.forecast_server_from(&window, fleet.origin, "ppdb0001").unwrap().unwrap();
    let within = fleet.server("ppdb0001").unwrap();
    for (alone, within) in alone.metrics.iter().zip(&within.metrics) {
        assert_eq!((alone.metric, alone.method), (within.metric, within.method));
        for (alone, within) in alone.values().iter().zip(within.values()) {
            assert!((alone - within).abs() <= 1e-5 * within.abs().max(1.0), "{alone} {within}");
        }
    }
    assert_eq!(forecaster.kept_bytes(), kept, "what is kept of the fleet is left alone");
}

#[test]
fn servers_with_too_little_history_for_the_lags_go_to_the_fallback() {
    let (model, schema) = lagged();
    let mut forecaster = Forecaster::new(model, ForecasterConfig::default()).unwrap();
    let needed = forecaster.history_steps_min();
    for (steps, method) in [(needed - 1, Method::Fallback), (needed, Method::Tft)] {
        let mut window = window(&schema, &forecaster);
        feed(&mut window, &[wave("web1", steps, 0.0)], steps);
        let fleet = forecaster.forecast(&window, closed(steps - 1)).unwrap();
        let load = fleet.servers[0].metric(0).unwrap();
        assert_eq!((load.method, load.horizon()), (method, 5), "{steps} steps");
        assert_eq!(fleet.servers[0].metric(1).unwrap().method, Method::Fallback, "no target");
    }
}

#[test]
fn forecasts_of_unknown_servers_do_not_depend_on_each_other() {
    let (model, schema) = lagged();
    let mut forecaster = Forecaster::new(model, ForecasterConfig::default()).unwrap();
    let mut load_of = |servers: &[Measured]| {
        let mut window = window(&schema, &forecaster);
        feed(&mut window, servers, 40);
        let fleet = forecaster.forecast(&window, closed(39)).unwrap();
        fleet.server("web2").unwrap().metric(0).unwrap().values().to_owned()
    };
    let alone = load_of(&[wave("web2", 40, 1.0)]);
    let together = load_of(&[wave("web1", 40, 0.0), wave("web2", 40, 1.0), wave("web3", 40, 2.0)]);
    for (one, other) in alone.iter().zip(&together) {
        assert!((one - other).abs() <= 1e-6 * one.abs().max(1.0), "{one} {other}");
    }
}

#[test]
fn a_backcast_needs_the_columns_of_its_data_set() {
    let model = GoldenSet::new("c").model();
    let error = backcast(&model, &Rows::new(), &ForecasterConfig::default()).unwrap_err();
    insta::assert_snapshot!(error, @"rows cannot be encoded: column `time_idx` is missing; column `y` is missing; column `g` is missing");
}
