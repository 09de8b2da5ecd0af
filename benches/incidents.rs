//! How often an explanation names a metric that is at fault, on the labelled incidents of a fleet.
//!
//! Run with `cargo bench -p benches --no-default-features --features engine --bench incidents -- DIR`; DIR holds
//! `train.parquet`, `test.parquet` (timestamp, `server_name`, m01…m19) and `incidents.json`, which names for each incident
//! its server, its first and last row among the server's test rows, and the metrics at fault. Without DIR it does nothing.
//!
//! **Definitions.** An incident is explained once the first six of its steps are known (30 minutes), or all of them if
//! there are fewer. A *hit at k* is an incident with at least one metric at fault among the first k of the ranking; the
//! *share at fault* is the mean over incidents of the share of the first three that are at fault. What a random ranking
//! would have is worked out exactly. The plain baseline ranks by |z| of the newest value, by the mean and the standard
//! deviation (at least 0.01) of all that the window has. *Detected* is an incident during which the leading metric's
//! score, step by step, reaches the alarm level; the delay counts from the end of its first step. The alarm level is the
//! score that one in a hundred quiet origins of the training part's last six days reaches.
//!
//! **Which score.** Four were laid down before any was tried on the incidents: all evidence (what `Explainer` ranks by),
//! surprise alone, unusualness alone, and the two without the outlook. They are compared on faults that are put into the
//! training part (shifts, ramps and noise on one to four metrics); the test part is looked at once, with all of them.
#![allow(clippy::print_stdout, reason = "the result is its output")]

use std::path::Path;

use serde_json::Value;
use tft_core::explain::{Explanation, MetricExplanation};
use tft_core::schema::{Metric, MetricKind, Schema, SchemaConfig};
use tft_core::time::{Step, StepLength};
use tft_core::{Forecaster, ForecasterConfig, Model, Monitor, Record, RollingWindow, WindowConfig};

type Failure = Box<dyn std::error::Error>;

const METRICS: usize = 19;
/// Steps of an incident that are known when it is explained.
const KNOWN_STEPS: i64 = 6;
/// The training part's last days, from which the alarm level comes and into which faults are put.
const CALIBRATION_STEPS: i64 = 6 * 288;
const STEP: StepLength = StepLength::FIVE_MINUTES;
const STEP_MINUTES: i64 = 5;

/// A server's data, training and test part, as one row of values per step.
struct Series {
    name: String,
    first: Step,
    rows: Vec<[f32; METRICS]>,
    /// Rows of the training part.
    train_rows: usize,
}

struct Incident {
    server: usize,
    /// Rows of the series.
    first: usize,
    last: usize,
    at_fault: Vec<usize>,
}

/// What explains, and how a window is made for it.
struct Bench {
    monitor: Monitor,
    config: WindowConfig,
}

/// A ranking of metrics, best first.
type Ranking = Vec<usize>;

/// How well rankings name metrics at fault.
#[derive(Default)]
struct Hits {
    count: f64,
    at: [f64; 3],
    share: f64,
}

const KS: [usize; 3] = [1, 3, 5];

type Score = fn(&MetricExplanation) -> f64;

const SCORES: [(&str, Score); 4] = [
    ("all evidence", |metric| metric.score),
    ("surprise", surprise),
    ("unusualness", unusualness),
    ("surprise and unusualness", |metric| surprise(metric) + unusualness(metric)),
];

fn surprise(metric: &MetricExplanation) -> f64 {
    metric.evidence.surprise.as_ref().map_or(0.0, |surprise| surprise.nats)
}

fn unusualness(metric: &MetricExplanation) -> f64 {
    metric.evidence.unusual.as_ref().map_or(0.0, |unusual| unusual.nats)
}

fn main() -> Result<(), Failure> {
    // Cargo adds flags of its own.
    let Some(directory) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        println!("no directory with train.parquet, test.parquet and incidents.json was given: nothing to do");
        return Ok(());
    };
    let schema = schema()?;
    let series = read_series(Path::new(&directory), &schema)?;
    let incidents = read_incidents(Path::new(&directory), &series, &schema)?;
    let bench = Bench::new(&schema)?;
    let alarm = bench.calibrate(&series)?;
    bench.explain_incidents(&series, &incidents)?;
    bench.detect_incidents(&series, &incidents, alarm)
}

impl Bench {
    fn new(schema: &Schema) -> Result<Self, Failure> {
        let forecaster = Forecaster::new(Model::built_in()?, ForecasterConfig::default())?;
        let defaults = WindowConfig::default();
        let ahead = defaults.gap_fill_steps_max + defaults.grace_steps;
        let steps_per_server = forecaster.history_steps() + ahead;
        let config = WindowConfig { steps_per_server, ..defaults };
        Ok(Self { monitor: Monitor::new(schema, forecaster)?, config })
    }

    /// Tries the scores on faults put into the training part, and returns the alarm level.
    fn calibrate(&self, series: &[Series]) -> Result<f64, Failure> {
        let mut quiet = Vec::new();
        let mut hits: Vec<Hits> = SCORES.iter().map(|_| Hits::default()).collect();
        let mut baseline = Hits::default();
        for (number, server) in series.iter().enumerate() {
            let end = server.train_rows;
            let start = end - CALIBRATION_STEPS as usize;
            for row in (start..end).step_by(12) {
                let ranked = self.rank(server, row, &[])?;
                quiet.push(ranked.first().map_or(0.0, |leading| leading.score));
            }
            for fault in 0..FAULTS_PER_SERVER {
                let mut random = Random(1 + (number as u64) * 1_000 + fault);
                let row = start + random.below(CALIBRATION_STEPS as usize);
                let (at_fault, changed) = put_fault(server, row, &mut random);
                let ranked = self.rank(server, row, &changed)?;
                for ((_, score), hits) in SCORES.iter().zip(&mut hits) {
                    hits.add(&ranking(&ranked, *score), &at_fault);
                }
                baseline.add(&largest_z(server, row, &changed, self.config.steps_per_server), &at_fault);
            }
        }
        println!("faults put into the training part ({} of them):", baseline.count);
        for ((name, _), hits) in SCORES.iter().zip(&hits) {
            hits.print(name);
        }
        baseline.print("largest |z|");
        quiet.sort_by(f64::total_cmp);
        let level = |share: f64| quiet[(share * (quiet.len() - 1) as f64).round() as usize];
        let named = quiet.iter().filter(|&&score| score >= Explanation::AT_FAULT_NATS_MIN).count();
        println!(
            "leading score of {} quiet origins: median {:.2}, 90 % {:.2}, 95 % {:.2}, 99 % {:.2}; in {:.3} of them a metric is said to be at fault\n",
            quiet.len(),
            level(0.5),
            level(0.9),
            level(0.95),
            level(0.99),
            named as f64 / quiet.len() as f64
        );
        Ok(level(0.99))
    }

    fn explain_incidents(&self, series: &[Series], incidents: &[Incident]) -> Result<(), Failure> {
        let few = |incident: &Incident| incident.at_fault.len() <= FEW_METRICS;
        for (title, is_meant) in
            [("all incidents", (|_| true) as fn(&Incident) -> bool), ("with at most 6 metrics at fault", few)]
        {
            let mut hits: Vec<Hits> = SCORES.iter().map(|_| Hits::default()).collect();
            let (mut baseline, mut random) = (Hits::default(), Hits::default());
            let (mut named, mut named_rightly) = (0, 0);
            for incident in incidents.iter().filter(|incident| is_meant(incident)) {
                let server = &series[incident.server];
                let row = incident.last.min(incident.first + KNOWN_STEPS as usize - 1);
                let ranked = self.rank(server, row, &[])?;
                for ((_, score), hits) in SCORES.iter().zip(&mut hits) {
                    hits.add(&ranking(&ranked, *score), &incident.at_fault);
                }
                let first = ranked.iter().take(Explanation::AT_FAULT_MAX);
                let said: Vec<_> =
                    first.filter(|metric| metric.score >= Explanation::AT_FAULT_NATS_MIN).collect();
                named += usize::from(!said.is_empty());
                named_rightly +=
                    usize::from(said.iter().any(|metric| incident.at_fault.contains(&metric.metric)));
                let plain = largest_z(server, row, &[], self.config.steps_per_server);
                baseline.add(&plain, &incident.at_fault);
                random.add_random(incident.at_fault.len());
            }
            println!("{title} ({}), after 30 minutes:", random.count);
            for ((name, _), hits) in SCORES.iter().zip(&hits) {
                hits.print(name);
            }
            baseline.print("largest |z|");
            random.print("random");
            println!("  in {named} of them a metric is said to be at fault, in {named_rightly} rightly\n");
        }
        Ok(())
    }

    fn detect_incidents(&self, series: &[Series], incidents: &[Incident], alarm: f64) -> Result<(), Failure> {
        let (mut delays, mut hits) = (Vec::new(), Hits::default());
        for incident in incidents {
            let server = &series[incident.server];
            for row in incident.first..=incident.last {
                let ranked = self.rank(server, row, &[])?;
                if ranked.first().is_some_and(|leading| leading.score >= alarm) {
                    delays.push((row - incident.first) as i64 * STEP_MINUTES);
                    hits.add(&ranking(&ranked, SCORES[0].1), &incident.at_fault);
                    break;
                }
            }
        }
        delays.sort_unstable();
        let median = delays.get(delays.len() / 2).copied().unwrap_or_default();
        let soon = delays.iter().filter(|&&delay| delay <= 30).count();
        println!(
            "alarm level {alarm:.2}: {} of {} incidents detected, {soon} within 30 minutes, median delay {median} minutes",
            delays.len(),
            incidents.len()
        );
        hits.print("when detected");
        let (mut quiet, mut alarms) = (0, 0);
        for (number, server) in series.iter().enumerate() {
            for row in (server.train_rows..server.rows.len()).step_by(12) {
                let is_near = |incident: &&Incident| {
                    incident.server == number && (incident.first..=incident.last + 24).contains(&row)
                };
                if incidents.iter().any(|incident| is_near(&incident)) {
                    continue;
                }
                quiet += 1;
                let ranked = self.rank(server, row, &[])?;
                alarms += usize::from(ranked.first().is_some_and(|leading| leading.score >= alarm));
            }
        }
        println!(
            "of {quiet} origins outside of incidents and the 2 hours after, {alarms} are above the alarm level"
        );
        Ok(())
    }

    /// Ranks a server's metrics with a row as the newest; `changed` are other last rows.
    fn rank(
        &self,
        server: &Series,
        row: usize,
        changed: &[[f32; METRICS]],
    ) -> Result<Vec<MetricExplanation>, Failure> {
        let schema = self.monitor.schema();
        let mut window = RollingWindow::new(schema.clone(), self.config.clone())?;
        let first = (row + 1).saturating_sub(self.config.steps_per_server);
        let mut records = Vec::new();
        for at in first..=row {
            let values = value_row(server, at, row, changed);
            let mut record = Record::new(schema, &server.name, STEP.start_of(server.step(at)))?;
            for (metric, &value) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
                record.set(metric, f64::from(value))?;
            }
            records.push(record);
        }
        let now = STEP.end_of(server.step(row));
        window.ingest(&records, now)?;
        let ranked = self.monitor.explainer().rank(&window, server.step(row), &server.name)?;
        Ok(ranked.unwrap_or_default())
    }
}

impl Series {
    fn step(&self, row: usize) -> Step {
        self.first.plus(row as i64)
    }
}

impl Hits {
    fn add(&mut self, ranking: &Ranking, at_fault: &[usize]) {
        let found = |k: usize| ranking.iter().take(k).filter(|metric| at_fault.contains(metric)).count();
        self.count += 1.0;
        for (hits, k) in self.at.iter_mut().zip(KS) {
            *hits += f64::from(u8::from(found(k) > 0));
        }
        self.share += found(3) as f64 / 3.0;
    }

    /// Adds the expectation of a random ranking.
    fn add_random(&mut self, at_fault: usize) {
        let sound = METRICS - at_fault;
        self.count += 1.0;
        for (hits, k) in self.at.iter_mut().zip(KS) {
            let none: f64 =
                (0..k).map(|drawn| sound.saturating_sub(drawn) as f64 / (METRICS - drawn) as f64).product();
            *hits += 1.0 - none;
        }
        self.share += at_fault as f64 / METRICS as f64;
    }

    fn print(&self, name: &str) {
        let [one, three, five] = self.at.map(|hits| hits / self.count);
        let share = self.share / self.count;
        println!(
            "  {name:26} hit at 1 {one:.3}, at 3 {three:.3}, at 5 {five:.3}; share at fault of the first three {share:.3}"
        );
    }
}

/// A row of a server in which the last rows are other ones.
fn value_row(server: &Series, at: usize, last: usize, changed: &[[f32; METRICS]]) -> [f32; METRICS] {
    match (at + changed.len()).checked_sub(last + 1) {
        Some(index) if !changed.is_empty() => changed[index],
        _ => server.rows[at],
    }
}

fn ranking(metrics: &[MetricExplanation], score: Score) -> Ranking {
    let mut ranked: Vec<_> = metrics.iter().collect();
    ranked.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.metric.cmp(&b.metric)));
    ranked.iter().map(|metric| metric.metric).collect()
}

/// Ranks metrics by how many standard deviations the newest value is away from the mean of the window.
fn largest_z(server: &Series, row: usize, changed: &[[f32; METRICS]], steps: usize) -> Ranking {
    let first = (row + 1).saturating_sub(steps);
    let z = |metric: usize| {
        let values: Vec<f64> =
            (first..=row).map(|at| f64::from(value_row(server, at, row, changed)[metric])).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (values[values.len() - 1] - mean).abs() / variance.sqrt().max(QUANTUM)
    };
    let scores: Vec<f64> = (0..METRICS).map(z).collect();
    let mut ranking: Ranking = (0..METRICS).collect();
    ranking.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    ranking
}

/// Changes the last six rows of one to four metrics; returns these metrics and the rows.
fn put_fault(server: &Series, row: usize, random: &mut Random) -> (Vec<usize>, Vec<[f32; METRICS]>) {
    let first = row + 1 - KNOWN_STEPS as usize;
    let mut rows: Vec<_> = server.rows[first..=row].to_vec();
    let count = 1 + random.below(4);
    let mut at_fault = Vec::new();
    while at_fault.len() < count {
        let metric = random.below(METRICS);
        if !at_fault.contains(&metric) {
            at_fault.push(metric);
        }
    }
    let kind = random.below(3);
    for &metric in &at_fault {
        let day: Vec<f64> =
            server.rows[first - 288..first].iter().map(|row| f64::from(row[metric])).collect();
        let mean = day.iter().sum::<f64>() / day.len() as f64;
        let deviation =
            (day.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / day.len() as f64).sqrt();
        let sign = if random.below(2) == 0 { 1.0 } else { -1.0 };
        let size = sign * (2.0 + 3.0 * random.unit()) * deviation.max(QUANTUM);
        for (index, row) in rows.iter_mut().enumerate() {
            let shape = match kind {
                0 => 1.0,
                1 => (index + 1) as f64 / KNOWN_STEPS as f64,
                _ => 2.0 * random.unit() - 1.0,
            };
            // The data has two decimals.
            row[metric] = ((f64::from(row[metric]) + size * shape) / QUANTUM).round() as f32 * QUANTUM as f32;
        }
    }
    (at_fault, rows)
}

/// Numbers that look random and are the same in every run: `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}

fn schema() -> Result<Schema, Failure> {
    let metric = |number: usize| Metric::new(format!("m{number:02}"), MetricKind::Continuous);
    let metrics = (1..=METRICS).map(metric).collect();
    Ok(Schema::new(SchemaConfig { metrics, ..SchemaConfig::default() })?)
}

fn read_series(directory: &Path, schema: &Schema) -> Result<Vec<Series>, Failure> {
    let config = WindowConfig { steps_per_server: 100_000, ..WindowConfig::default() };
    let load = |file: &str| tft_core::store::load(&directory.join(file), schema.clone(), config.clone());
    let (train, test) = (load("train.parquet")?.0, load("test.parquet")?.0);
    let mut series = Vec::new();
    for view in train.servers() {
        let name = view.name().as_str();
        let test = test.server(name).ok_or(format!("test.parquet has no server `{name}`"))?;
        let (first, last) = (view.oldest_step(), view.newest_step());
        let row = |step: Step| {
            let of = if step <= last { view } else { test };
            std::array::from_fn(|metric| of.value(metric, step).unwrap_or(f32::NAN))
        };
        series.push(Series {
            name: name.to_owned(),
            first,
            rows: (first.0..=test.newest_step().0).map(|step| row(Step(step))).collect(),
            train_rows: last.since(first) as usize + 1,
        });
    }
    Ok(series)
}

fn read_incidents(directory: &Path, series: &[Series], schema: &Schema) -> Result<Vec<Incident>, Failure> {
    let text = std::fs::read_to_string(directory.join("incidents.json"))?;
    let listed: Vec<Value> = serde_json::from_str(&text)?;
    let read = |incident: &Value| {
        let name = incident["server_name"].as_str()?;
        let server = series.iter().position(|series| series.name == name)?;
        let row = |field: &str| Some(series[server].train_rows + incident[field].as_u64()? as usize);
        let metrics = incident["metrics"].as_array()?.iter();
        let at_fault: Vec<_> = metrics.filter_map(|metric| schema.metric_index(metric.as_str()?)).collect();
        Some(Incident { server, first: row("first_test_row")?, last: row("last_test_row")?, at_fault })
    };
    let found = listed.iter().map(|incident| read(incident).ok_or(format!("not usable: {incident}")));
    Ok(found.collect::<Result<_, _>>()?)
}

const FAULTS_PER_SERVER: u64 = 25;
/// Incidents with so few metrics at fault are shown apart: with more, chance finds one too.
const FEW_METRICS: usize = 6;
/// The resolution of the data.
const QUANTUM: f64 = 0.01;
