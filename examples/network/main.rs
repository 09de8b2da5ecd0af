//! Runs a model's network on tensors: from a safetensors file to a safetensors file.
//!
//! For those who have encoded windows of pytorch-forecasting and want what its network answers, without Python.
//! DIR is a model directory, or what a model and its data set are dumped to. The inputs are `encoder_cont`,
//! `encoder_cat`, `decoder_cont`, `decoder_cat`, `encoder_lengths`, `decoder_lengths` and `target_scale`; the
//! outputs have the reference's names. Windows run in blocks, so memory does not grow with what is written.
//!
//! ```sh
//! cargo run --release -p tft-examples --example network -- \
//!     --model DIR --inputs inputs.safetensors --out outputs.safetensors [--threads N] [--path engine|burn]
//! ```
//! `--repeat N` runs all windows N times, for those who time it; `--predictions-only` leaves attention and variable
//! weights out.
//! With `--once` it runs on a small recorded set and checks the result.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

mod arguments;
mod inputs;
mod outputs;
mod sample;

use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tft_core::Model;
use tft_core::engine::{Detail, Engine, EngineConfig};
use tft_core::model::{DatasetEncoding, Encoding, Network, NetworkOutput, TensorBatch, default_device};

use crate::arguments::{Arguments, Command, ExecutionPath};
use crate::inputs::Inputs;
use crate::outputs::OutputFile;

/// Any failure; its message says what is wrong.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Windows that one thread runs at a time; with 288 + 96 steps and 8 heads, attention alone takes 1.2 MB of each.
const BLOCK_WINDOWS: usize = 16;

fn main() -> ExitCode {
    let done = arguments::parse(std::env::args().skip(1)).and_then(|command| match command {
        Command::Run(arguments) => run(&arguments, BLOCK_WINDOWS),
        Command::Sample => sample::run(),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("network: {}", in_one_line(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Reads, runs and writes; prints the seconds that the forward pass took in the thread that took longest.
fn run(arguments: &Arguments, block_windows: usize) -> Result<(), Failure> {
    let model = Model::from_dir(&arguments.model)?;
    let architecture = &model.document().architecture;
    let Encoding::PytorchForecasting(encoding) = &model.document().encoding else {
        return Err(format!("model `{}` does not take tensors of pytorch-forecasting", model.id()).into());
    };
    let inputs = Inputs::read(&arguments.inputs, architecture)?;
    let partial = arguments.out.with_extension("partial");
    let job = Job {
        output: OutputFile::create(&partial, architecture, &inputs.batch, arguments.detail)?,
        next_block: AtomicUsize::new(0),
        model: &model,
        inputs: &inputs,
        encoding,
        block_windows,
        path: arguments.path,
        repeat: arguments.repeat,
        detail: arguments.detail,
    };
    let seconds = job.run(arguments.threads).inspect_err(|_| drop(std::fs::remove_file(&partial)))?;
    std::fs::rename(&partial, &arguments.out).map_err(|error| named(&arguments.out, &error))?;
    println!("forward_seconds {seconds:.3}");
    Ok(())
}

/// The windows to run, of which each thread takes the next block.
struct Job<'a> {
    model: &'a Model,
    encoding: &'a DatasetEncoding,
    inputs: &'a Inputs,
    output: OutputFile,
    next_block: AtomicUsize,
    block_windows: usize,
    path: ExecutionPath,
    repeat: usize,
    detail: Detail,
}

/// Some of the windows, and whether this is their last run.
struct Block {
    windows: Range<usize>,
    is_last_run: bool,
}

/// What runs the network in one thread.
enum Executor {
    Engine(Box<Engine>),
    Burn(Box<Network>),
}

impl Executor {
    fn new(model: &Model, path: ExecutionPath) -> Result<Self, Failure> {
        Ok(match path {
            ExecutionPath::Engine => Self::Engine(Box::new(Engine::new(model, EngineConfig::default())?)),
            ExecutionPath::Burn => Self::Burn(Box::new(model.network(&default_device()))),
        })
    }

    /// Runs a batch and writes over the output of the one before.
    fn forward(
        &self,
        batch: &TensorBatch,
        detail: Detail,
        output: &mut NetworkOutput,
    ) -> Result<(), Failure> {
        match self {
            Self::Engine(engine) => engine.forward_into(batch, detail, None, output)?,
            Self::Burn(network) => *output = network.forward(batch)?,
        }
        Ok(())
    }
}

impl Job<'_> {
    fn run(&self, threads: usize) -> Result<f64, Failure> {
        let seconds = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.run_blocks())).collect();
            let ended = workers.into_iter().map(|worker| worker.join().map_err(|_| "a thread panicked")?);
            ended.collect::<Result<Vec<f64>, Failure>>()
        })?;
        Ok(seconds.into_iter().fold(0.0, f64::max))
    }

    /// Runs blocks until none is left; returns the seconds spent in the forward pass.
    fn run_blocks(&self) -> Result<f64, Failure> {
        let executor = Executor::new(self.model, self.path)?;
        let mut output = NetworkOutput::default();
        let mut seconds = 0.0;
        while let Some(Block { windows, is_last_run }) = self.next_block() {
            let batch = self.inputs.block(windows.clone());
            let started = Instant::now();
            executor.forward(&batch, self.detail, &mut output)?;
            seconds += started.elapsed().as_secs_f64();
            if is_last_run {
                let predictions = output.predictions(self.encoding, &self.inputs.scales(windows.clone()))?;
                self.output.write(windows.start, &output, &predictions)?;
            }
        }
        Ok(seconds)
    }

    fn next_block(&self) -> Option<Block> {
        let all = self.inputs.batch.windows();
        let blocks = all.div_ceil(self.block_windows);
        let next = self.next_block.fetch_add(1, Ordering::Relaxed);
        let (run, first) = (next / blocks.max(1), next % blocks.max(1) * self.block_windows);
        let windows = first..all.min(first + self.block_windows);
        (run < self.repeat).then_some(Block { windows, is_last_run: run + 1 == self.repeat })
    }
}

/// Names the file of an error.
fn named(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    format!("`{}`: {error}", path.display()).into()
}

/// Writes an error and its causes in one line.
fn in_one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
