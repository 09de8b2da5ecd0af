//! `rules`: rule files on trial, before they page anyone. What is computed is computed by `tft_core::offline`.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tft_core::alert::{Preset, RuleFile};
use tft_core::offline::{Backtest, BacktestConfig, BacktestReport, History, Incident, RuleTestFile};
use tft_core::schema::{Schema, SchemaConfig};
use tft_core::time::{DurationMs, StepLength};
use tft_core::{Error, Forecaster, ForecasterConfig, Model, Monitor};

use crate::error::ServiceError;
use crate::rules::{FileError, read_rule_file, read_text, text_of_kind};

/// The commands of `rules`.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum RulesCommand {
    /// Check a rule file and print its rules
    ///
    /// The exit code is 1, with every problem on standard error, if `serve` would refuse the file.
    Check {
        /// Rule file, TOML or, by its extension, JSON
        file: PathBuf,
        /// Schema of the metrics, TOML or JSON [default: the built-in server metrics]
        #[arg(long, value_name = "FILE")]
        schema: Option<PathBuf>,
    },
    /// Run tests of rules: series in a compact notation, and the alerts expected at times
    ///
    /// The exit code is 1 if a test fails. `docs/rules.md` has the format.
    Test(TestArgs),
    /// Replay a recorded history and print how often each rule would have fired, and how that met the incidents
    Backtest(BacktestArgs),
    /// Print the rules of a preset as a rule file
    Preset {
        /// `tft`, `nifty`, `monitorx`, `mfc` or `service`
        name: String,
        /// Schema of the metrics, TOML or JSON [default: the built-in server metrics, or the service's own]
        #[arg(long, value_name = "FILE")]
        schema: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct TestArgs {
    /// Test files, TOML or, by their extension, JSON
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Forecast with the model of a directory [default: with the statistical fallback]
    #[arg(long, value_name = "DIR", conflicts_with = "built_in")]
    model: Option<PathBuf>,
    /// Forecast with the built-in model
    #[arg(long)]
    built_in: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct BacktestArgs {
    /// Rule file, TOML or, by its extension, JSON
    file: PathBuf,
    /// Parquet file with the samples: a checkpoint, or any table with such columns; a column `incident` labels them
    #[arg(long, value_name = "FILE")]
    rows: PathBuf,
    /// Parquet file with what came before: it is fed and not judged
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// JSON list of incidents, in place of the column `incident`
    #[arg(long, value_name = "FILE")]
    incidents: Option<PathBuf>,
    /// Schema of the metrics, TOML or JSON [default: what the columns of the samples say]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Forecast with the model of a directory [default: the built-in model]
    #[arg(long, value_name = "DIR", conflicts_with = "fallback")]
    model: Option<PathBuf>,
    /// Forecast with the statistical fallback, which is faster
    #[arg(long)]
    fallback: bool,
    /// Steps from one judgement to the next [default: 1]
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true)]
    every_steps: usize,
    /// Time from the first sample until rules are judged [default: 3d, or 0m with --history]
    #[arg(long, value_name = "TIME")]
    warm_up: Option<DurationMs>,
    /// Time before an incident within which an alert is an early warning of it [default: 2h]
    #[arg(long, value_name = "TIME")]
    early: Option<DurationMs>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// What forecasts.
enum Forecasts<'a> {
    Fallback,
    BuiltIn,
    Directory(&'a Path),
}

/// Runs a command; its exit code says whether all is well.
///
/// # Errors
/// [`ServiceError::Rules`] if a file cannot be used, and [`ServiceError::Model`] if the model cannot.
pub(super) fn run(command: &RulesCommand) -> Result<ExitCode, ServiceError> {
    match command {
        RulesCommand::Check { file, schema } => check(file, schema.as_deref()),
        RulesCommand::Test(args) => test(args),
        RulesCommand::Backtest(args) => backtest(args),
        RulesCommand::Preset { name, schema } => preset(name, schema.as_deref()),
    }
}

fn check(path: &Path, schema: Option<&Path>) -> Result<ExitCode, ServiceError> {
    let schema = schema.map_or_else(|| Ok(Schema::server_metrics()), read_schema)?;
    let file = read_rule_file(path)?;
    let policies = file.resolve(&schema).map_err(|source| refused(path, source))?;
    let rules = &policies.alerts.rules;
    let names: Vec<_> = rules.iter().map(|rule| format!("  {}\n", rule.name)).collect();
    print(&format_args!("{}: {} rules\n{}", path.display(), rules.len(), names.concat()))
}

fn test(args: &TestArgs) -> Result<ExitCode, ServiceError> {
    let forecasts = match &args.model {
        Some(directory) => Forecasts::Directory(directory),
        None if args.built_in => Forecasts::BuiltIn,
        None => Forecasts::Fallback,
    };
    let (mut is_passed, mut reports) = (true, Vec::new());
    for path in &args.files {
        let tests: RuleTestFile = read(path)?;
        let rules = path.parent().unwrap_or(Path::new("")).join(&tests.rules);
        let file = read_rule_file(&rules)?;
        let monitor = |schema: &Schema, step| forecasts.monitor(&file, schema, step);
        let report = tests.run(monitor).map_err(|source| refused(path, source))?;
        is_passed &= report.is_passed();
        if !args.json {
            print(&format!("{}\n{report}", path.display()))?;
        }
        reports.push((path.display().to_string(), report));
    }
    if args.json {
        print_json(&std::collections::BTreeMap::from_iter(reports))?;
    }
    Ok(if is_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn backtest(args: &BacktestArgs) -> Result<ExitCode, ServiceError> {
    let schema = args.schema.as_deref().map(read_schema).transpose()?;
    let history = History::read(&args.rows, schema.as_ref()).map_err(|source| refused(&args.rows, source))?;
    let file = read_rule_file(&args.file)?;
    let forecasts = match &args.model {
        Some(directory) => Forecasts::Directory(directory),
        None if args.fallback => Forecasts::Fallback,
        None => Forecasts::BuiltIn,
    };
    let monitor = forecasts.monitor(&file, history.schema(), StepLength::FIVE_MINUTES);
    let monitor = monitor.map_err(|source| refused(&args.file, source))?;
    let incidents = args.incidents.as_deref().map(|path| read_incidents(path, &history)).transpose()?;
    let incidents = incidents.as_deref().or(history.incidents());
    let of_rows = |source| refused(&args.rows, source);
    let mut backtest = Backtest::new(monitor, args.config()).map_err(of_rows)?;
    if let Some(path) = &args.history {
        let before = History::read(path, Some(history.schema())).map_err(|source| refused(path, source))?;
        backtest.warm_up(&before).map_err(|source| refused(path, source))?;
    }
    let mut progress = Progress::default();
    let report =
        backtest.run(&history, incidents, &mut |done, all| progress.tell(done, all)).map_err(of_rows)?;
    if history.values_out_of_range() > 0 {
        eprintln!("{} values were out of range and count as missing", history.values_out_of_range());
    }
    tell(&report, args.json)
}

fn preset(name: &str, schema: Option<&Path>) -> Result<ExitCode, ServiceError> {
    let preset = Preset::ALL.into_iter().find(|preset| preset.as_str() == name);
    let Some(preset) = preset else {
        return Err(ServiceError::UnknownPreset { name: name.to_owned() });
    };
    let schema = match schema {
        Some(path) => read_schema(path)?,
        None if preset == Preset::Service => Schema::service_metrics(),
        None => Schema::server_metrics(),
    };
    let file = RuleFile { preset: Some(Vec::new()), rules: preset.rules(&schema), ..RuleFile::default() };
    let text = toml::to_string_pretty(&file)
        .map_err(|error| ServiceError::Output { source: std::io::Error::other(error) })?;
    print(&text)
}

impl Forecasts<'_> {
    /// Builds a monitor with the rules of a file; the step counts for the fallback, a model has its own.
    fn monitor(&self, file: &RuleFile, schema: &Schema, step_length: StepLength) -> Result<Monitor, Error> {
        let config = ForecasterConfig::default();
        let forecaster = match self {
            Self::Fallback => Forecaster::without_model(step_length, config)?,
            Self::BuiltIn => Forecaster::new(Model::built_in()?, config)?,
            Self::Directory(directory) => Forecaster::new(Model::from_dir(directory)?, config)?,
        };
        let policies = file.resolve(schema)?;
        let mut monitor = Monitor::new(schema, forecaster)?;
        monitor.set_policies(policies)?;
        Ok(monitor)
    }
}

impl BacktestArgs {
    fn config(&self) -> BacktestConfig {
        let mut config = BacktestConfig { every_steps: self.every_steps, ..BacktestConfig::default() };
        if self.history.is_some() {
            config.warm_up = DurationMs::ZERO;
        }
        config.warm_up = self.warm_up.unwrap_or(config.warm_up);
        config.early_window = self.early.unwrap_or(config.early_window);
        config
    }
}

/// Tells on standard error how far a backtest is: on a terminal a line that changes, elsewhere one per tenth.
#[derive(Default)]
struct Progress {
    tenths: usize,
}

impl Progress {
    fn tell(&mut self, done: usize, all: usize) -> bool {
        let parts = if std::io::stderr().is_terminal() { 100 } else { 10 };
        let reached = done * parts / all.max(1);
        if reached > self.tenths {
            self.tenths = reached;
            // Nobody to tell is no reason to stop.
            let mut output = std::io::stderr().lock();
            let percent = reached * 100 / parts;
            let end = if parts == 10 || percent == 100 { "\n" } else { "" };
            let begin = if parts == 10 { "" } else { "\r" };
            let _ = write!(output, "{begin}judged {done} of {all} steps, {percent} %{end}");
        }
        true
    }
}

fn read_schema(path: &Path) -> Result<Schema, ServiceError> {
    let config: SchemaConfig = read(path)?;
    Schema::new(config).map_err(|source| refused(path, source))
}

fn read_incidents(path: &Path, history: &History) -> Result<Vec<Incident>, ServiceError> {
    let text = read_text(path)?;
    Incident::parse_list(&text, history).map_err(|source| refused(path, source))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ServiceError> {
    Ok(text_of_kind(path, &read_text(path)?)?)
}

fn refused(path: &Path, source: Error) -> ServiceError {
    FileError::refused(path, source).into()
}

fn tell(report: &BacktestReport, is_json: bool) -> Result<ExitCode, ServiceError> {
    if is_json { print_json(report) } else { print(report) }
}

fn print_json(value: &impl Serialize) -> Result<ExitCode, ServiceError> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| ServiceError::Output { source: error.into() })?;
    print(&format_args!("{text}\n"))
}

fn print(text: &impl Display) -> Result<ExitCode, ServiceError> {
    let mut output = std::io::stdout().lock();
    let written = write!(output, "{text}").and_then(|()| output.flush());
    written.map_err(|source| ServiceError::Output { source })?;
    Ok(ExitCode::SUCCESS)
}
