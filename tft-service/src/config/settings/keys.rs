//! Who may call.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values::{flag, given, number, refused, set};
use crate::auth::{FailureStatus, TokenSources};
use crate::config::{Config, ConfigError, Secrets};

/// `[keys]`: API keys. The keys themselves are in variables or files.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KeySettings {
    /// File with one key, in place of `TFT_API_KEY`
    #[arg(long, env = "TFT_API_KEY_FILE", value_name = "FILE")]
    pub api_key_file: Option<String>,
    /// File with an entry per line, in place of `API_KEYS`: `secret`, `id:secret`, `id:secret:scopes` or
    /// `id:secret:scopes:tier`, with scopes like `read+write`
    #[arg(long, env = "API_KEYS_FILE", value_name = "FILE")]
    pub api_keys_file: Option<String>,
    /// Whether there are keys; refuses to start if that is not so [default: not checked]
    #[arg(long, env = "API_KEY_ENABLED", value_name = "BOOL")]
    pub api_key_enabled: Option<String>,
    /// Refuse to start without keys or tokens, on a loopback address too [default: false]
    #[arg(long, env = "TFT_REQUIRE_AUTH", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub require_auth: Option<String>,
    /// Status of the reply to a wrong or missing key, 403 or 401 [default: 403]
    #[arg(long, env = "AUTH_FAILURE_STATUS", value_name = "STATUS")]
    pub auth_failure_status: Option<String>,
}

/// `[tokens]`: what tokens are verified with, and what they must say.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TokenSettings {
    /// Accept JSON Web Tokens as `Authorization: Bearer` [default: false]
    #[arg(long, env = "JWT_ENABLED", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub jwt_enabled: Option<String>,
    /// File with the secret of tokens, in place of `JWT_SECRET_KEY`
    #[arg(long, env = "JWT_SECRET_KEY_FILE", value_name = "FILE")]
    pub jwt_secret_key_file: Option<String>,
    /// PEM file with a public key that verifies tokens: RSA, P-256 or Ed25519
    #[arg(long, env = "JWT_PUBLIC_KEY_FILE", value_name = "FILE")]
    pub jwt_public_key_file: Option<String>,
    /// Minutes that a new token is valid, 1 to 1440 [default: 30]
    #[arg(long, env = "JWT_EXPIRE_MINUTES", value_name = "MINUTES")]
    pub jwt_expire_minutes: Option<String>,
    /// The `iss` that tokens must have [default: any]
    #[arg(long, env = "JWT_ISSUER", value_name = "TEXT")]
    pub jwt_issuer: Option<String>,
    /// The `aud` that tokens must name [default: any]
    #[arg(long, env = "JWT_AUDIENCE", value_name = "TEXT")]
    pub jwt_audience: Option<String>,
}

impl KeySettings {
    /// Checks what is given and sets it.
    pub(crate) fn apply(&self, config: &mut Config, secrets: &Secrets) -> Result<(), ConfigError> {
        let auth = &mut config.auth;
        auth.keys = secrets.key_sources();
        auth.keys.api_key_file = path(self.api_key_file.as_deref());
        auth.keys.api_keys_file = path(self.api_keys_file.as_deref());
        let expected = self.api_key_enabled.as_deref();
        set(&mut auth.keys_expected, expected, |text| flag("API_KEY_ENABLED", text).map(Some))?;
        set(&mut auth.is_required, self.require_auth.as_deref(), |text| flag("TFT_REQUIRE_AUTH", text))?;
        set(&mut auth.failure_status, self.auth_failure_status.as_deref(), parse_status)
    }
}

impl TokenSettings {
    /// Checks what is given and sets it.
    pub(crate) fn apply(&self, config: &mut Config, secrets: &Secrets) -> Result<(), ConfigError> {
        let mut is_enabled = false;
        set(&mut is_enabled, self.jwt_enabled.as_deref(), |text| flag("JWT_ENABLED", text))?;
        let sources = self.to_sources(secrets)?;
        config.auth.tokens = is_enabled.then_some(sources);
        Ok(())
    }

    /// Returns where the key of tokens comes from, whether they are accepted or not.
    pub(crate) fn to_sources(&self, secrets: &Secrets) -> Result<TokenSources, ConfigError> {
        let text = |text: Option<&str>| given(text).map(str::to_owned);
        let mut sources = TokenSources {
            secret: secrets.jwt_secret_key.clone(),
            secret_file: path(self.jwt_secret_key_file.as_deref()),
            public_key_file: path(self.jwt_public_key_file.as_deref()),
            credentials_directory: secrets.credentials_directory.clone(),
            issuer: text(self.jwt_issuer.as_deref()),
            audience: text(self.jwt_audience.as_deref()),
            ..TokenSources::default()
        };
        set(&mut sources.lifetime, self.jwt_expire_minutes.as_deref(), |text| {
            minutes("JWT_EXPIRE_MINUTES", text)
        })?;
        Ok(sources)
    }
}

/// Reads how long a token is valid.
pub(crate) fn minutes(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    number(key, text, 1..=1440, "is not a number of minutes, 1 to 1440").map(Duration::from_mins)
}

fn path(text: Option<&str>) -> Option<PathBuf> {
    given(text).map(PathBuf::from)
}

fn parse_status(text: &str) -> Result<FailureStatus, ConfigError> {
    match text {
        "403" => Ok(FailureStatus::Forbidden),
        "401" => Ok(FailureStatus::Unauthorized),
        _ => Err(refused("AUTH_FAILURE_STATUS", text, "is not 403 or 401")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_setting_and_the_value() {
        let refused = |settings: KeySettings| {
            settings.apply(&mut Config::default(), &Secrets::default()).unwrap_err().to_string()
        };
        let some = |text: &str| Some(text.to_owned());
        insta::assert_snapshot!(refused(KeySettings { auth_failure_status: some("404"), ..Default::default() }), @"AUTH_FAILURE_STATUS `404` is not 403 or 401");
        insta::assert_snapshot!(refused(KeySettings { api_key_enabled: some("maybe"), ..Default::default() }), @"API_KEY_ENABLED `maybe` is not `true` or `false`");
        let tokens = TokenSettings { jwt_expire_minutes: some("1441"), ..Default::default() };
        let refused = tokens.apply(&mut Config::default(), &Secrets::default()).unwrap_err();
        insta::assert_snapshot!(refused, @"JWT_EXPIRE_MINUTES `1441` is not a number of minutes, 1 to 1440");
    }

    #[test]
    fn tokens_are_accepted_only_when_that_is_said() {
        let jwt_secret_key = Some("0f1e2d3c4b5a69788796a5b4c3d2e1f0".into());
        let secrets = Secrets { jwt_secret_key, ..Secrets::default() };
        let mut config = Config::default();
        TokenSettings::default().apply(&mut config, &secrets).unwrap();
        assert!(config.auth.tokens.is_none());
        let settings = TokenSettings { jwt_enabled: Some("true".into()), ..Default::default() };
        settings.apply(&mut config, &secrets).unwrap();
        let tokens = config.auth.tokens.unwrap();
        assert_eq!((tokens.lifetime, tokens.secret.is_some()), (Duration::from_mins(30), true));
    }
}
