//! `model`: what a model directory holds, and whether it computes here what it computed where it was trained.
//!
//! Owns the texts; everything that is computed is computed by `tft-core`.

mod info;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use tft_core::Model;
use tft_core::model::Verification;

use crate::config::args::ModelCommand;
use crate::error::ServiceError;

/// Runs a command about a model directory; the exit code is 1 if the model's outputs differ.
///
/// # Errors
/// [`ServiceError::Model`] if the model or its recorded outputs cannot be used.
pub(crate) fn run(command: ModelCommand) -> Result<ExitCode, ServiceError> {
    match command {
        ModelCommand::Info { dir } => {
            let text = info::text(&Model::from_dir(dir)?);
            print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        ModelCommand::Verify { dir } => {
            let verification = Verification::of_dir(dir)?;
            print(&verify::text(&verification))?;
            Ok(if verification.is_within_tolerance() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Writes to standard output; a reader that has read enough is no error.
fn print(text: &str) -> Result<(), ServiceError> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(ServiceError::Output { source: error })
        }
        _ => Ok(()),
    }
}
