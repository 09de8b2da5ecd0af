//! A slow model of the window that keeps every sample; shared with the fuzz target `window_operations`.

use std::collections::BTreeMap;

use tft_core::schema::{Aggregation, Metric, MetricKind, Schema, SchemaConfig};
use tft_core::time::{Step, Timestamp};
use tft_core::{Record, RollingWindow, WindowConfig};

const AGGREGATIONS: [Aggregation; 3] = [Aggregation::Mean, Aggregation::Max, Aggregation::Last];
const STATES: [&str; 3] = ["healthy", "idle", "offline"];

/// One thing that happens to a window.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// A sample of a server, a number of milliseconds after the server's newest one.
    Sample { server: usize, delta_ms: i64, values: [Option<f32>; 3], status: Option<usize> },
    /// The last sample again.
    Repeat,
    /// A server goes.
    Remove { server: usize },
    /// The window forgets what is too old, a number of milliseconds after the fleet's newest sample.
    Expire { delta_ms: i64 },
}

pub(crate) fn schema() -> Schema {
    let metric = |(index, aggregation): (usize, Aggregation)| {
        let name = format!("m{index}");
        Metric { aggregation, ..Metric::new(name, MetricKind::Continuous) }
    };
    let metrics = AGGREGATIONS.into_iter().enumerate().map(metric).collect();
    Schema::new(SchemaConfig { metrics, ..Default::default() }).unwrap()
}

pub(crate) fn config() -> WindowConfig {
    WindowConfig {
        steps_per_server: 16,
        grace_steps: 2,
        gap_fill_steps_max: 3,
        samples_per_step_max: 5,
        ..Default::default()
    }
}

/// Server, timestamp in milliseconds, values and status.
type Sample = (usize, i64, [Option<f32>; 3], Option<usize>);

/// Every sample of a server by its timestamp.
#[derive(Default, Clone)]
struct ModelServer {
    samples: BTreeMap<i64, ([Option<f32>; 3], Option<usize>)>,
    newest_ms: i64,
    accepted: u64,
}

/// The model: no ring, no running sums, nothing kept up to date.
#[derive(Default, Clone)]
struct Model(BTreeMap<String, ModelServer>);

impl ModelServer {
    fn newest(&self) -> i64 {
        self.newest_ms.div_euclid(300_000)
    }

    fn in_step(&self, step: i64) -> Vec<&([Option<f32>; 3], Option<usize>)> {
        let held = step <= self.newest() && step > self.newest() - config().steps_per_server as i64;
        let range = self.samples.range(step * 300_000..(step + 1) * 300_000);
        range.map(|(_, sample)| sample).filter(|_| held).collect()
    }

    fn value(&self, metric: usize, step: i64) -> Option<f32> {
        let values: Vec<f32> = self.in_step(step).iter().filter_map(|sample| sample.0[metric]).collect();
        let last = *values.last()?;
        Some(match AGGREGATIONS[metric] {
            Aggregation::Mean => {
                (values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64) as f32
            }
            Aggregation::Max => values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            _ => last,
        })
    }

    fn status(&self, step: i64) -> Option<usize> {
        self.in_step(step).iter().filter_map(|sample| sample.1).next_back()
    }

    fn filled(&self, metric: usize, step: i64) -> Option<f32> {
        let limit = config().gap_fill_steps_max as i64;
        (0..=limit).find_map(|age| self.value(metric, step - age))
    }

    fn held_steps(&self) -> Vec<i64> {
        let oldest = self.newest() - config().steps_per_server as i64;
        (oldest..=self.newest()).filter(|&step| !self.in_step(step).is_empty()).collect()
    }

    /// Returns whether the sample is taken.
    fn add(&mut self, at_ms: i64, values: [Option<f32>; 3], status: Option<usize>) -> bool {
        let step = at_ms.div_euclid(300_000);
        let is_new = self.samples.is_empty();
        let is_late = !is_new && step < self.newest() - config().grace_steps as i64;
        let is_known = self.samples.contains_key(&at_ms);
        let is_full = !is_known && self.in_step(step).len() >= config().samples_per_step_max;
        if is_late || is_full || (status.is_none() && values.iter().all(Option::is_none)) {
            return false;
        }
        let sample = self.samples.entry(at_ms).or_default();
        for (held, value) in sample.0.iter_mut().zip(values) {
            *held = value.or(*held);
        }
        sample.1 = status.or(sample.1);
        self.accepted += u64::from(!is_known);
        self.newest_ms = if is_new { at_ms } else { self.newest_ms.max(at_ms) };
        true
    }
}

impl Model {
    fn held_steps(&self) -> usize {
        self.0.values().map(|server| server.held_steps().len()).sum()
    }

    fn expire(&mut self, now: Timestamp, retention_ms: Option<i64>) {
        let newest = self.0.values().map(ModelServer::newest).max().unwrap_or(0);
        let silent = newest - config().steps_per_server as i64;
        let oldest = retention_ms.map_or(i64::MIN, |millis| (now.as_millis() - millis).div_euclid(300_000));
        self.0.retain(|_, server| server.newest() >= silent.max(oldest));
        for server in self.0.values_mut() {
            server.samples.retain(|at_ms, _| at_ms.div_euclid(300_000) >= oldest);
        }
    }
}

/// Feeds the same operations to a window and to the model.
#[derive(Default, Clone)]
pub(crate) struct Pair {
    model: Model,
    repeated: Option<Sample>,
}

impl Pair {
    pub(crate) fn apply(&mut self, window: &mut RollingWindow, operation: &Operation) {
        match *operation {
            Operation::Sample { server, delta_ms, values, status } => {
                let newest_ms = self.model.0.get(&name(server)).map_or(30_000_000, |server| server.newest_ms);
                self.sample(window, (server, newest_ms + delta_ms, values, status));
            }
            Operation::Repeat => {
                if let Some(sample) = self.repeated {
                    self.sample(window, sample);
                }
            }
            Operation::Remove { server } => {
                assert_eq!(window.remove(&name(server)), self.model.0.remove(&name(server)).is_some());
            }
            Operation::Expire { delta_ms } => {
                let newest_ms = self.model.0.values().map(|server| server.newest_ms).max().unwrap_or(0);
                let now = Timestamp::from_millis(newest_ms + delta_ms);
                let steps = self.model.held_steps();
                let servers = self.model.0.len();
                self.model.expire(now, window.config().retention_ms);
                let expired = window.expire(now);
                assert_eq!(expired.servers, servers - self.model.0.len());
                assert_eq!(expired.steps, steps - self.model.held_steps());
            }
        }
    }

    /// Returns the newest step of each server.
    pub(crate) fn newest_steps(&self) -> Vec<i64> {
        self.model.0.values().map(ModelServer::newest).collect()
    }

    /// Compares everything that the window shows with the model.
    pub(crate) fn check(&self, window: &RollingWindow) {
        let names: Vec<_> = window.servers().map(|server| server.name().to_string()).collect();
        assert_eq!(names, self.model.0.keys().cloned().collect::<Vec<_>>());
        assert_eq!(window.step_count(), self.model.held_steps());
        self.model.0.iter().for_each(|(server, model)| check_server(window, server, model));
    }

    fn sample(&mut self, window: &mut RollingWindow, sample: Sample) {
        let (server, at_ms, values, status) = sample;
        let report = window.ingest(&[record(server, at_ms, values, status)], Timestamp::MAX).unwrap();
        let model = self.model.0.entry(name(server)).or_default();
        assert_eq!(report.accepted == 1, model.add(at_ms, values, status), "{:?}", report.errors);
        self.model.0.retain(|_, server| !server.samples.is_empty());
        self.repeated = Some(sample);
    }
}

pub(crate) fn name(server: usize) -> String {
    format!("ppdb{server}")
}

pub(crate) fn record(server: usize, at_ms: i64, values: [Option<f32>; 3], status: Option<usize>) -> Record {
    let mut record = Record::new(&schema(), &name(server), Timestamp::from_millis(at_ms)).unwrap();
    for (metric, value) in values.into_iter().enumerate() {
        if let Some(value) = value {
            record.set(metric, f64::from(value)).unwrap();
        }
    }
    match status {
        Some(status) => record.with_status(STATES[status]).unwrap(),
        None => record,
    }
}

fn check_server(window: &RollingWindow, server: &str, model: &ModelServer) {
    let view = window.server(server).unwrap();
    let held = model.held_steps();
    assert_eq!((view.oldest_step().0, view.newest_step().0), (held[0], model.newest()));
    assert_eq!(view.samples_accepted(), model.accepted);
    assert_eq!(view.last_sample_at().as_millis(), model.newest_ms);
    let steps = model.newest() - 20..=model.newest() + 5;
    for step in steps.clone() {
        let status = view.status_at(Step(step)).map(|status| window.schema().statuses().name(status));
        assert_eq!(status, model.status(step).map(|status| STATES[status]));
        for metric in 0..3 {
            let value = view.value(metric, Step(step)).map(f32::to_bits);
            assert_eq!(value, model.value(metric, step).map(f32::to_bits), "{metric} {step}");
        }
    }
    for metric in 0..3 {
        let mut filled = vec![0.0; 26];
        view.copy_filled_history(metric, Step(model.newest() + 5), &mut filled);
        for (step, value) in steps.clone().zip(filled) {
            let value = (!value.is_nan()).then_some(value.to_bits());
            assert_eq!(value, model.filled(metric, step).map(f32::to_bits), "{metric} {step}");
        }
    }
}
