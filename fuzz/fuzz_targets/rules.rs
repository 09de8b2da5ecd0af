//! Any bytes as a rule file, and as the kept state of alerts: an error, or rules that evaluate any fleet without
//! panicking, whose alerts are the same after a restart.
//!
//! The first byte chooses which of the two the rest is, and seeds the values that the rules see.
//!
//! Run with `cargo fuzz run -s none rules`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tft_core::alert::{
    AlertConfig, AlertEngine, AlertEngineState, ObservedHistory, Policies, Preset, RuleFile,
    ServerObservation,
};
use tft_core::risk::OwnQuantiles;
use tft_core::schema::Schema;
use tft_core::time::{StepLength, Timestamp};
use tft_core::{FleetForecast, Forecaster, ForecasterConfig, Record, RollingWindow, WindowConfig};

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::server_metrics);
static WINDOW: LazyLock<RollingWindow> = LazyLock::new(window);
static FLEET: LazyLock<FleetForecast> = LazyLock::new(|| {
    let mut forecaster = Forecaster::without_model(StepLength::FIVE_MINUTES, ForecasterConfig::default())
        .expect("a valid configuration");
    forecaster.forecast(&WINDOW, start().plus_millis(20 * STEP_MS)).expect("a window with steps")
});

const STEP_MS: i64 = 300_000;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    if choice % 4 == 0 {
        restore(bytes);
        return;
    }
    let Ok(file) = serde_json::from_slice::<RuleFile>(bytes) else { return };
    let Ok(policies) = file.resolve(&SCHEMA) else { return };
    let text = serde_json::to_string(&file).expect("a file that was read can be written");
    let again: RuleFile = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(again, file);
    evaluate(policies, u64::from(choice));
});

/// Evaluates a few steps of made-up values, with a restart between two of them.
fn evaluate(policies: Policies, seed: u64) {
    let mut engine = AlertEngine::new(policies.alerts.clone(), &SCHEMA).expect("rules that were checked");
    let mut restarted = engine.clone();
    let mut random = seed;
    for step in 0..4 {
        let mut values = || -> Vec<f32> { SCHEMA.metrics().iter().map(|_| next(&mut random)).collect() };
        let currents: Vec<_> = WINDOW.servers().map(|_| values()).collect();
        let now = start().plus_millis((20 + step) * STEP_MS);
        let one = engine.evaluate(observations(&currents, seed + step as u64), &FLEET, now);
        let json = restarted.state().to_json().expect("a state can be written");
        let state = AlertEngineState::from_json(&json).expect("a state that was written");
        restarted.restore(state, |_| true).expect("a state of these rules");
        assert_eq!(one, restarted.evaluate(observations(&currents, seed + step as u64), &FLEET, now));
        assert!(
            engine.active().eq(restarted.active()) && engine.active().count() <= policies.alerts.alerts_max
        );
    }
}

fn observations(currents: &[Vec<f32>], seed: u64) -> Vec<ServerObservation<'_>> {
    let observe = |(index, (view, current)): (usize, (_, _))| {
        let view: tft_core::window::ServerView<'static> = view;
        let current: &Vec<f32> = current;
        ServerObservation {
            server: view.name(),
            profile: view.profile(),
            current,
            is_in_maintenance: (seed + index as u64) % 5 == 4,
            readiness: Some(view.readiness(FLEET.origin, 6 + index)),
            risk_score: Some(f64::from(current[0])),
            own_quantiles: OwnQuantiles::NONE,
            history: Some(ObservedHistory::new(view, FLEET.origin)),
        }
    };
    WINDOW.servers().zip(currents).enumerate().map(observe).collect()
}

fn restore(bytes: &[u8]) {
    let Ok(state) = AlertEngineState::from_json(bytes) else { return };
    let config = AlertConfig { rules: Preset::Tft.rules(&SCHEMA), alerts_max: 8, ..AlertConfig::default() };
    let mut engine = AlertEngine::new(config, &SCHEMA).expect("rules of a preset");
    let restored = engine.restore(state, |_| true).expect("a state that was checked");
    assert_eq!(restored.alerts, engine.active().count());
    engine.evaluate([], &FLEET, start());
    assert!(engine.active().count() <= 8);
}

/// Three servers, one of which lacks most metrics and one of which fell silent.
fn window() -> RollingWindow {
    let mut window =
        RollingWindow::new(SCHEMA.clone(), WindowConfig::default()).expect("a valid configuration");
    for step in 0..20 {
        let at = start().plus_millis(step * STEP_MS);
        for (server, metrics, steps) in [("ppdb001", 15, 20), ("web-1", 3, 20), ("silent", 15, 4)] {
            let mut record = Record::new(&SCHEMA, server, at).expect("a valid name");
            (0..metrics)
                .for_each(|metric| record.set(metric, (step % 7) as f64 / 7.0).expect("a value in range"));
            if step < steps {
                window.ingest(&[record], at).expect("a batch within the limits");
            }
        }
    }
    window
}

fn start() -> Timestamp {
    Timestamp::from_millis(1_767_571_200_000)
}

/// A percentage, or nothing (Marsaglia's xorshift).
fn next(random: &mut u64) -> f32 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    if *random % 8 == 0 { f32::NAN } else { (*random % 1000) as f32 / 10.0 }
}
