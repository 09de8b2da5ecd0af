//! What the program is asked for.

use std::path::PathBuf;

use tft_core::engine::Detail;

use crate::Failure;

/// What to do.
pub(crate) enum Command {
    /// Run a model on a file.
    Run(Arguments),
    /// Run the recorded sample and check the result.
    Sample,
}

/// The files and how to run.
pub(crate) struct Arguments {
    pub(crate) model: PathBuf,
    pub(crate) inputs: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) threads: usize,
    pub(crate) path: ExecutionPath,
    /// How often to run all windows, for those who time it.
    pub(crate) repeat: usize,
    /// Whether attention and variable weights are wanted.
    pub(crate) detail: Detail,
}

/// What runs the network.
#[derive(Clone, Copy)]
pub(crate) enum ExecutionPath {
    /// The compiled model.
    Engine,
    /// The network as burn modules.
    Burn,
}

const USAGE: &str = "usage: network --model DIR --inputs FILE --out FILE [--threads N] [--path engine|burn] \
    [--repeat N] [--predictions-only], or --once";

/// Most threads; each holds a copy of the weights.
const THREADS_MAX: usize = 256;
/// Most repetitions.
const REPEAT_MAX: usize = 1_000_000;

/// Reads the arguments after the program's name.
pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let (mut model, mut inputs, mut out) = (None, None, None);
    let (mut threads, mut repeat) = (1, 1);
    let (mut path, mut detail) = (ExecutionPath::Engine, Detail::Explained);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{name} has no value; {USAGE}"));
        match name.as_str() {
            "--once" => return Ok(Command::Sample),
            "--model" => model = Some(value()?.into()),
            "--inputs" => inputs = Some(value()?.into()),
            "--out" => out = Some(value()?.into()),
            "--threads" => threads = parse_count("--threads", &value()?, THREADS_MAX)?,
            "--repeat" => repeat = parse_count("--repeat", &value()?, REPEAT_MAX)?,
            "--predictions-only" => detail = Detail::Predictions,
            "--path" => path = parse_path(&value()?)?,
            _ => return Err(format!("unknown argument `{name}`; {USAGE}").into()),
        }
    }
    let required = |name, file: Option<PathBuf>| file.ok_or_else(|| format!("{name} is missing; {USAGE}"));
    Ok(Command::Run(Arguments {
        model: required("--model", model)?,
        inputs: required("--inputs", inputs)?,
        out: required("--out", out)?,
        threads,
        path,
        repeat,
        detail,
    }))
}

fn parse_count(name: &str, text: &str, max: usize) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=max).contains(count));
    count.ok_or_else(|| format!("{name} `{text}` is not a number from 1 to {max}"))
}

fn parse_path(text: &str) -> Result<ExecutionPath, String> {
    match text {
        "engine" => Ok(ExecutionPath::Engine),
        "burn" => Ok(ExecutionPath::Burn),
        _ => Err(format!("--path `{text}` is unknown, there are engine and burn")),
    }
}
