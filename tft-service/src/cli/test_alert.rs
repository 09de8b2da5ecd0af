//! `tft-service test-alert`: tells every receiver of an alert that is none, and prints what each of them answers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use super::ServeArgs;
use crate::clock::{Clock, SystemClock};
use crate::config::ConfigError;
use crate::error::ServiceError;
use crate::notify::{self, Trial};

/// The settings of `test-alert`, as given.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TestAlertArgs {
    /// Name of the only receiver to tell [default: all]
    #[arg(long, value_name = "NAME")]
    receiver: Option<String>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Makes one attempt per receiver, and prints a line about each. The exit code is 1 if any of them was not told.
///
/// # Errors
/// What `serve` would refuse, and if there is no receiver, or none of the name.
pub(super) fn run(args: TestAlertArgs) -> Result<ExitCode, ServiceError> {
    let config = args.serve.into_config()?;
    let wanted = args.receiver.as_deref();
    let names: Vec<_> = config.notify.receiver_names().collect();
    if names.is_empty() {
        let reason = "names no receiver: set TFT_NOTIFY_CONFIG, ALERT_WEBHOOK_URL or another of them";
        return Err(ConfigError::Value { key: "TFT_NOTIFY_CONFIG", value: String::new(), reason }.into());
    }
    if let Some(name) = wanted.filter(|name| !names.contains(name)) {
        let reason = "is not the name of a receiver";
        return Err(ConfigError::Value { key: "--receiver", value: name.to_owned(), reason }.into());
    }
    let now = SystemClock::new().now();
    let trials = super::runtime()?.block_on(notify::try_receivers(&config.notify, wanted, now));
    let text = trials.iter().fold(String::new(), |mut text, trial| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{trial}");
        text
    });
    let written = std::io::stdout().write_all(text.as_bytes());
    written.map_err(|source| ServiceError::Output { source })?;
    Ok(if trials.iter().all(Trial::is_delivered) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
