//! Who is calling, and what they may do.
//!
//! Owns keys, tokens, scopes and the [`KeyRing`] that can be replaced while requests come in. Where a refusal goes
//! is decided by the layers; what it looks like, in `http`.

mod denied;
mod key_ring;
mod key_set;
mod principal;
mod public_key;
mod scope;
mod secret;
mod sources;
mod token;
mod token_key;

use std::net::IpAddr;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tft_core::time::Timestamp;

pub(crate) use denied::Denied;
pub(crate) use key_ring::KeyRing;
pub(crate) use key_set::hex;
pub(crate) use principal::{Client, Principal};
pub use scope::{Scope, Scopes};
pub(crate) use secret::read_text;
pub use secret::{ApiKey, SecretError};
pub use sources::KeySources;
pub(crate) use sources::both_are_given;
pub use token_key::TokenSources;

use crate::config::ConfigError;
use token::TokenTerms;

/// Who may call.
///
/// # Defaults
/// No keys and no tokens: development mode, in which everyone may call.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AuthConfig {
    /// Where keys come from.
    pub keys: KeySources,
    /// What tokens are verified with; none accepts no tokens.
    pub tokens: Option<TokenSources>,
    /// What `API_KEY_ENABLED` says about whether there are keys.
    pub keys_expected: Option<bool>,
    /// Refuse to start where everyone may call.
    pub is_required: bool,
    /// The status of a reply to a wrong or missing key.
    pub failure_status: FailureStatus,
}

/// The status of a reply to a wrong or missing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FailureStatus {
    /// 403, as the original system answers.
    #[default]
    Forbidden,
    /// 401, for clients that ask for credentials only then.
    Unauthorized,
}

impl AuthConfig {
    /// Builds the configuration with one key.
    pub fn with_key(key: &str) -> Self {
        let keys = KeySources { api_key: Some(key.to_owned()), ..KeySources::default() };
        Self { keys, ..Self::default() }
    }

    /// Returns whether everyone may call.
    pub fn is_development_mode(&self) -> bool {
        self.keys.is_empty() && self.tokens.is_none()
    }

    /// Refuses what contradicts itself, and development mode where others can reach the service.
    ///
    /// # Errors
    /// [`ConfigError`] naming the settings that do not go together.
    pub(crate) fn check(&self, host: IpAddr, insecure_no_auth: bool) -> Result<(), ConfigError> {
        match self.keys_expected {
            Some(true) if self.keys.is_empty() => return Err(ConfigError::KeysMissing),
            Some(false) if !self.keys.is_empty() => return Err(ConfigError::KeysUnexpected),
            _ => {}
        }
        if !self.is_development_mode() {
            return Ok(());
        }
        if self.is_required {
            return Err(ConfigError::AuthRequired);
        }
        if !host.is_loopback() && !insecure_no_auth {
            return Err(ConfigError::OpenToOthers { host });
        }
        Ok(())
    }
}

/// Returns a new key: 64 hexadecimal digits from the system's randomness; none if the system has none.
pub(crate) fn generate_key() -> Option<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

/// Makes a token for a subject.
///
/// # Errors
/// [`SecretError`] if there is no secret to sign with, or the subject cannot be one.
pub(crate) fn mint_token(
    sources: &TokenSources,
    subject: &str,
    scopes: Scopes,
    lifetime: Option<Duration>,
    now: Timestamp,
) -> Result<String, SecretError> {
    let secret = sources.secret()?;
    let terms = TokenTerms {
        subject,
        scopes,
        lifetime: lifetime.unwrap_or(sources.lifetime),
        issuer: sources.issuer.as_deref(),
        audience: sources.audience.as_deref(),
    };
    token::mint(secret.as_bytes(), &terms, now).map_err(|error| SecretError::new("--sub", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const EVERYWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    #[test]
    fn a_new_key_is_64_hexadecimal_digits_that_are_accepted() {
        let (one, other) = (generate_key().unwrap(), generate_key().unwrap());
        assert!(one.len() == 64 && one.bytes().all(|byte| byte.is_ascii_hexdigit()) && one != other);
        assert!(ApiKey::parse("KEY", &one).is_ok());
    }

    #[test]
    fn what_does_not_go_together_does_not_start() {
        let open = AuthConfig::default();
        let keyed = AuthConfig::with_key("0f1e2d3c4b5a69788796a5b4c3d2e1f0");
        assert!(open.check(LOOPBACK, false).is_ok() && keyed.check(EVERYWHERE, false).is_ok());
        assert!(matches!(open.check(EVERYWHERE, false), Err(ConfigError::OpenToOthers { .. })));
        assert!(open.check(EVERYWHERE, true).is_ok());
        let required = AuthConfig { is_required: true, ..open.clone() };
        assert!(matches!(required.check(LOOPBACK, true), Err(ConfigError::AuthRequired)));
        assert!(AuthConfig { is_required: true, ..keyed.clone() }.check(LOOPBACK, false).is_ok());
        let tokens = AuthConfig { is_required: true, tokens: Some(TokenSources::default()), ..open.clone() };
        assert!(tokens.check(EVERYWHERE, false).is_ok());
        let expected = |config: &AuthConfig, keys| AuthConfig { keys_expected: Some(keys), ..config.clone() };
        assert!(matches!(expected(&open, true).check(LOOPBACK, false), Err(ConfigError::KeysMissing)));
        assert!(matches!(expected(&keyed, false).check(LOOPBACK, false), Err(ConfigError::KeysUnexpected)));
        assert!(expected(&open, false).check(LOOPBACK, false).is_ok());
    }
}
