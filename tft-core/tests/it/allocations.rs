//! What is allocated: by the engine once it is warm, nothing; by a window, little more than its values; by rules that
//! nothing breaks, nothing for a server.
#![allow(unsafe_code, reason = "an allocator that counts is an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tft_core::engine::{Detail, Engine, EngineConfig};
use tft_core::model::NetworkOutput;

use tft_core::alert::{
    AlertConfig, AlertEngine, Condition, ObservedHistory, Preset, Rule, ServerObservation, Severity,
};
use tft_core::risk::{OwnQuantiles, Threshold};
use tft_core::schema::{Metric, MetricKind, Schema, SchemaConfig};
use tft_core::time::{StepLength, Timestamp};
use tft_core::window::ServerView;
use tft_core::{FleetForecast, Forecaster, ForecasterConfig, Record, RollingWindow, WindowConfig};

use crate::golden::GoldenSet;

/// The system's allocator, which counts what each thread asks for and gives back.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + layout.size() as isize));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() - layout.size() as isize));
        unsafe { System.dealloc(memory, layout) }
    }
}

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn a_pass_like_the_one_before_allocates_nothing() {
    for set in ["a", "b", "c"] {
        let set = GoldenSet::new(set);
        let batch = set.tensors("inputs").batch();
        let engine = Engine::new(&set.model(), EngineConfig::default()).unwrap();
        for engine in engine.on_each_instruction_set() {
            let mut output = NetworkOutput::default();
            let mut pass = || engine.forward_into(&batch, Detail::Explained, None, &mut output).unwrap();
            pass();
            assert_eq!(allocations(pass), 0, "{}", engine.instruction_set());
        }
    }
}

#[test]
fn a_window_takes_little_more_than_its_values() {
    const SERVERS: usize = 50;
    const STEPS: i64 = 576;
    const METRICS: usize = 14;
    /// Names, indexes, and the samples of the steps that still take more.
    const BYTES_PER_SERVER: usize = 1_024;
    let metric = |index| Metric::new(format!("m{index}"), MetricKind::Continuous);
    let metrics = (0..METRICS).map(metric).collect();
    let schema = Schema::new(SchemaConfig { metrics, ..Default::default() }).unwrap();
    let before = BYTES.get();
    let mut window = RollingWindow::new(schema.clone(), WindowConfig::default()).unwrap();
    // Two rounds of the ring, so that everything that is kept and reused has been.
    for step in 0..2 * STEPS {
        let at = Timestamp::from_millis(step * 300_000);
        let record = |server| {
            let mut record = Record::new(&schema, &format!("ppdb{server:05}"), at).unwrap();
            (0..METRICS).for_each(|metric| record.set(metric, step as f64).unwrap());
            record
        };
        let records: Vec<_> = (0..SERVERS).map(record).collect();
        window.ingest(&records, at).unwrap();
    }
    let allocated = (BYTES.get() - before) as usize;
    let values = SERVERS * STEPS as usize * METRICS * size_of::<f32>();
    assert_eq!(window.step_count(), SERVERS * STEPS as usize);
    assert!(allocated > values && allocated <= values * 11 / 10 + SERVERS * BYTES_PER_SERVER, "{allocated}");
    // What the window says of itself is what was allocated, to a hundredth.
    let told = window.memory_bytes();
    assert!(told.abs_diff(allocated) <= allocated / 100, "{told} of {allocated}");
}

/// A fleet whose servers report one value for every metric.
fn fleet(servers: usize, value: f64) -> (RollingWindow, FleetForecast) {
    let schema = Schema::server_metrics();
    let mut window = RollingWindow::new(schema.clone(), WindowConfig::default()).unwrap();
    for step in 0..3 {
        let at = Timestamp::from_millis(step * 300_000);
        let record = |server| {
            let mut record = Record::new(&schema, &format!("ppdb{server:05}"), at).unwrap();
            (0..8).for_each(|metric| record.set(metric, value).unwrap());
            record
        };
        window.ingest(&(0..servers).map(record).collect::<Vec<_>>(), at).unwrap();
    }
    let mut forecaster =
        Forecaster::without_model(StepLength::FIVE_MINUTES, ForecasterConfig::default()).unwrap();
    let forecast = forecaster.forecast(&window, Timestamp::from_millis(1_200_000)).unwrap();
    (window, forecast)
}

/// An engine that has seen a fleet once, and what another evaluation allocates.
fn evaluated(servers: usize, value: f32) -> (AlertEngine, usize) {
    let schema = Schema::server_metrics();
    let (window, forecast) = fleet(servers, f64::from(value));
    let presets = [Preset::Tft, Preset::Monitorx, Preset::Mfc];
    let mut rules: Vec<_> = presets.into_iter().flat_map(|preset| preset.rules(&schema)).collect();
    rules.retain(|rule| rule.condition.metric() != Some("cpu_idle_pct"));
    let missing = Condition::Missing { metric: "mem_used_pct".into() };
    rules.push(Rule::new("missing", missing, [(Severity::Warning, Threshold::Value(60.0))]));
    let mut engine = AlertEngine::new(AlertConfig { rules, ..AlertConfig::default() }, &schema).unwrap();
    let current = vec![value; 8];
    let observe = |view| -> ServerObservation<'_> {
        let view: ServerView<'_> = view;
        ServerObservation {
            server: view.name(),
            profile: view.profile(),
            current: &current,
            is_in_maintenance: false,
            readiness: Some(view.readiness(forecast.origin, 2)),
            risk_score: None,
            own_quantiles: OwnQuantiles::NONE,
            history: Some(ObservedHistory::new(view, forecast.origin)),
        }
    };
    let now = Timestamp::from_millis(1_200_000);
    engine.evaluate(window.servers().map(observe), &forecast, now);
    let again =
        allocations(|| assert!(engine.evaluate(window.servers().map(observe), &forecast, now).is_empty()));
    (engine, again)
}

#[test]
fn rules_that_nothing_breaks_allocate_nothing_for_a_server() {
    let few = evaluated(10, 15.0);
    let many = evaluated(200, 15.0);
    assert_eq!((few.0.active().count(), many.0.active().count()), (0, 0));
    assert_eq!(few.1, many.1);
}

#[test]
fn an_alert_takes_little_memory() {
    const BYTES_PER_ALERT: usize = 1_200;
    let (engine, _) = evaluated(200, 99.0);
    let alerts = engine.active().count();
    let before = BYTES.get();
    let copy = engine.clone();
    let bytes = (BYTES.get() - before) as usize;
    assert!(alerts > 1_000 && copy.active().count() == alerts);
    assert!(bytes / alerts <= BYTES_PER_ALERT, "{} bytes for each of {alerts} alerts", bytes / alerts);
}
