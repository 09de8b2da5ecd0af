//! The arguments of the commands beside `serve`.

use std::path::PathBuf;

use super::settings::{number, parse_port, set};
use super::{Config, ConfigError, Secrets};

/// The settings of `demo`, as given.
#[derive(Debug, Clone, Default, clap::Args)]
#[non_exhaustive]
pub struct DemoArgs {
    /// Steps between two forecasts of the replay; 12 is an hour [default: 12]
    #[arg(long, value_name = "N")]
    pub every_steps: Option<String>,
    /// Exit after the summary instead of serving the replayed state
    #[arg(long)]
    pub once: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
    /// Port to serve the replayed state on; 0 lets the system choose [default: 8000]
    #[arg(long, env = "PORT", value_name = "PORT")]
    pub port: Option<String>,
    /// Directory of the model [default: the built-in model]
    #[arg(long = "model", env = "TFT_MODEL_DIR", value_name = "DIR")]
    pub model_dir: Option<String>,
}

/// The settings of `migrate`, as given.
#[derive(Debug, Clone, Default, clap::Args)]
#[non_exhaustive]
pub struct MigrateArgs {
    /// The pickle [default: the checkpoint's name with the extension `pkl`]
    #[arg(long, value_name = "FILE")]
    pub from: Option<String>,
    /// The checkpoint, which must not exist yet [default: `inference_rolling_window.parquet`]
    #[arg(long, env = "PERSISTENCE_FILE", value_name = "FILE")]
    pub to: Option<String>,
    /// Directory of the model that says how much history is kept [default: the built-in model]
    #[arg(long = "model", env = "TFT_MODEL_DIR", value_name = "DIR")]
    pub model_dir: Option<String>,
}

/// The commands of `model`.
#[derive(Debug, Clone, clap::Subcommand)]
#[non_exhaustive]
pub enum ModelCommand {
    /// Print what a model forecasts from what: variables, targets, quantiles, scaling, groups
    Info {
        /// Directory of the model
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Run a model on the inputs recorded in its `expected.json` and compare what it computes
    ///
    /// Runs it on the engine, which forecasts use, and on burn. Prints the largest difference of each output from
    /// the recorded one, absolute and relative to max(1, |recorded|), and the tolerance. The exit code is 0 if all
    /// of both are within their tolerance, otherwise 1.
    Verify {
        /// Directory of the model, with `expected.json`
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// The checked settings of `demo`.
#[derive(Debug)]
pub(crate) struct DemoConfig {
    pub(crate) every_steps: usize,
    pub(crate) is_once: bool,
    pub(crate) is_json: bool,
    /// How to serve afterwards: on loopback, and nothing is kept.
    pub(crate) serve: Config,
}

impl MigrateArgs {
    /// Returns the pickle and the checkpoint, and the model's directory.
    pub(crate) fn into_paths(self) -> (Option<PathBuf>, PathBuf, Option<PathBuf>) {
        let path = |text: Option<String>| text.filter(|text| !text.trim().is_empty()).map(PathBuf::from);
        let to = path(self.to).or(Config::default().persistence_file).unwrap_or_default();
        (path(self.from), to, path(self.model_dir))
    }
}

impl DemoArgs {
    /// Checks the given settings and fills in defaults.
    pub(crate) fn into_config(self, secrets: &Secrets) -> Result<DemoConfig, ConfigError> {
        let mut serve = Config { persistence_file: None, ..Config::default() };
        serve.auth.keys = secrets.key_sources();
        set(&mut serve.port, self.port.as_deref(), parse_port)?;
        set(&mut serve.model_dir, self.model_dir.as_deref(), |text| Ok(Some(text.into())))?;
        let mut every_steps = 12;
        set(&mut every_steps, self.every_steps.as_deref(), parse_every_steps)?;
        Ok(DemoConfig { every_steps, is_once: self.once, is_json: self.json, serve })
    }
}

fn parse_every_steps(text: &str) -> Result<usize, ConfigError> {
    number("--every-steps", text, 1..=EVERY_STEPS_MAX, "is not a number of steps, 1 to 1152")
}

/// The steps of the demo's data after its first three days.
const EVERY_STEPS_MAX: usize = 1152;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_count_as_not_given() {
        let args =
            DemoArgs { port: Some(String::new()), every_steps: Some(" ".into()), ..DemoArgs::default() };
        let config = args.into_config(&Secrets::default()).unwrap();
        assert_eq!(
            (config.serve.port, config.every_steps, config.serve.auth.is_development_mode()),
            (8000, 12, true)
        );
    }
}
