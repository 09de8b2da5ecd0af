//! The `tft-service` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    tft_service::cli::run()
}
