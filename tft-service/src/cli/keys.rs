//! `tft-service gen-key` and `tft-service mint-token`.

use std::io::Write;

use crate::auth::{Scopes, SecretError, generate_key, mint_token};
use crate::clock::{Clock, SystemClock};
use crate::config::settings::{TokenSettings, minutes};
use crate::config::{ConfigError, Secrets};
use crate::error::ServiceError;

/// The settings of `mint-token`, as given.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct MintArgs {
    /// Whom the token is for
    #[arg(long, value_name = "NAME")]
    sub: String,
    /// What it allows: `read`, `write`, `admin` or `*`, separated by spaces, commas or `+`
    #[arg(long, value_name = "SCOPES")]
    scope: String,
    /// Minutes that it is valid, 1 to 1440 [default: `JWT_EXPIRE_MINUTES`, or 30]
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<String>,
    #[command(flatten)]
    tokens: TokenSettings,
}

/// Prints a new key.
pub(super) fn generate() -> Result<(), ServiceError> {
    let key = generate_key().ok_or_else(|| {
        let source = std::io::Error::other("the system has no randomness");
        ServiceError::Output { source }
    })?;
    print(&key)
}

/// Prints a new token.
pub(super) fn mint(args: &MintArgs) -> Result<(), ServiceError> {
    let names = args.scope.split([' ', ',', '+']).filter(|name| !name.is_empty());
    let scopes = Scopes::of_names(names).ok_or(ConfigError::Value {
        key: "--scope",
        value: args.scope.clone(),
        reason: "is not a list of `read`, `write`, `admin` and `*`",
    })?;
    let lifetime = args.minutes.as_deref().map(|text| minutes("--minutes", text)).transpose()?;
    let sources = args.tokens.to_sources(&Secrets::from_env())?;
    let token = mint_token(&sources, &args.sub, scopes, lifetime, SystemClock::new().now());
    print(&token.map_err(|error: SecretError| ConfigError::from(error))?)
}

fn print(text: &str) -> Result<(), ServiceError> {
    writeln!(std::io::stdout(), "{text}").map_err(|source| ServiceError::Output { source })
}
