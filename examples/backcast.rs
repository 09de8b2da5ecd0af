//! Compares an imported model with what happened: predicts the last rows of every group of a Parquet file.
//!
//! The model directory is one that the export script writes, or a dump with `hparams.json`,
//! `dataset_parameters.json` and `model.safetensors`. The file holds raw rows, as a pandas data frame does.
//! Each row of the output is a group, a target and a step (from 1), with a column per quantile (`q0.1`, ...).
//! Groups of several columns are joined by `|`.
//!
//! ```sh
//! cargo run --release -p tft-examples --example backcast -- --model DIR --rows FILE.parquet --out FILE.parquet
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, RecordBatch, StringArray, UInt32Array};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tft_core::forecast::{Backcast, BackcastTarget, backcast};
use tft_core::model::Rows;
use tft_core::{ForecasterConfig, Model};

fn main() -> Result<(), Box<dyn Error>> {
    let paths = Paths::from_arguments()?;
    let model = Model::from_dir(&paths.model)?;
    let backcast = backcast(&model, &read_rows(&paths.rows)?, &ForecasterConfig::default())?;
    write(&to_batch(&backcast)?, &paths.out)?;
    let steps = backcast.targets.iter().map(|target| target.values.dim().1).max().unwrap_or(0);
    println!(
        "{} groups, {} targets, {steps} steps: {}",
        backcast.groups.len(),
        backcast.targets.len(),
        paths.out.display()
    );
    Ok(())
}

struct Paths {
    model: PathBuf,
    rows: PathBuf,
    out: PathBuf,
}

impl Paths {
    fn from_arguments() -> Result<Self, String> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        if arguments == ["--once"] {
            return Ok(Self::of_sample());
        }
        let mut named: BTreeMap<&str, &str> = BTreeMap::new();
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { return Err(format!("`{}` needs a value", pair[0])) };
            named.insert(name, value);
        }
        let mut path =
            |name: &str| named.remove(name).map(PathBuf::from).ok_or(format!("`{name}` is missing; {USAGE}"));
        let paths = Self { model: path("--model")?, rows: path("--rows")?, out: path("--out")? };
        match named.keys().next() {
            Some(unknown) => Err(format!("`{unknown}` is unknown; {USAGE}")),
            None => Ok(paths),
        }
    }

    /// A small model and its rows, which the library's tests use too.
    fn of_sample() -> Self {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tft-core/tests/fixtures/golden/d");
        Self {
            model: sample.join("model"),
            rows: sample.join("rows.parquet"),
            out: std::env::temp_dir().join(format!("backcast-{}.parquet", std::process::id())),
        }
    }
}

fn read_rows(path: &Path) -> Result<Rows, Box<dyn Error>> {
    let file = File::open(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
    let batches = reader.collect::<Result<Vec<RecordBatch>, _>>()?;
    Ok(Rows::from_record_batches(&batches)?)
}

/// A row per group, target and step; a quantile that a target does not have is null.
fn to_batch(backcast: &Backcast) -> Result<RecordBatch, Box<dyn Error>> {
    let mut levels: Vec<f64> = backcast.targets.iter().flat_map(|target| target.quantiles.clone()).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    let groups: Vec<_> = rows_of(backcast).map(|(window, ..)| backcast.groups[window].join("|")).collect();
    let targets: Vec<_> = rows_of(backcast).map(|(_, target, _)| target.name.as_str()).collect();
    let steps: Vec<_> = rows_of(backcast).map(|(.., step)| step as u32 + 1).collect();
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("group".into(), Arc::new(StringArray::from(groups))),
        ("target".into(), Arc::new(StringArray::from(targets))),
        ("step".into(), Arc::new(UInt32Array::from(steps))),
    ];
    for level in levels {
        let values = rows_of(backcast).map(|(window, target, step)| quantile(target, level, window, step));
        columns.push((format!("q{level}"), Arc::new(values.collect::<Float32Array>())));
    }
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn rows_of(backcast: &Backcast) -> impl Iterator<Item = (usize, &BackcastTarget, usize)> {
    (0..backcast.groups.len()).flat_map(move |window| {
        let targets = backcast.targets.iter();
        targets.flat_map(move |target| (0..target.values.dim().1).map(move |step| (window, target, step)))
    })
}

fn quantile(target: &BackcastTarget, level: f64, window: usize, step: usize) -> Option<f32> {
    let column = target.quantiles.iter().position(|own| own.total_cmp(&level).is_eq())?;
    Some(target.values[[window, step, column]])
}

fn write(batch: &RecordBatch, path: &Path) -> Result<(), Box<dyn Error>> {
    let file = File::create(path).map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None)?;
    writer.write(batch)?;
    writer.close()?;
    Ok(())
}

const USAGE: &str = "usage: backcast --model DIR --rows FILE.parquet --out FILE.parquet";
