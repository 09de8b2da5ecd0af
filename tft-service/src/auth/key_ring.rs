//! The keys and tokens that count now, and their replacement while requests come in.
//!
//! A request sees one set from beginning to end. A reload reads everything anew and replaces all or nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use hyper::HeaderMap;
use hyper::header;
use hyper::http::HeaderValue;
use tokio::sync::watch;

use super::AuthConfig;
use super::denied::{Denied, DeniedReason};
use super::key_set::KeySet;
use super::principal::{Principal, Proof};
use super::secret::SecretError;
use super::token_key::LoadedTokens;
use crate::clock::Clock;
use crate::config::Config;

/// Says who is calling.
#[derive(Debug)]
pub(crate) struct KeyRing {
    config: AuthConfig,
    /// The tiers that keys may name.
    tiers: BTreeSet<String>,
    clock: Arc<dyn Clock>,
    current: RwLock<Arc<Credentials>>,
    generation: watch::Sender<u64>,
}

/// Everything that is accepted at one time.
#[derive(Debug)]
struct Credentials {
    keys: KeySet,
    tokens: Option<LoadedTokens>,
    counts: Vec<(String, usize)>,
}

impl KeyRing {
    /// Reads all keys.
    ///
    /// # Errors
    /// [`SecretError`] naming the source that cannot be used.
    pub(crate) fn load(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, SecretError> {
        let tiers = config.rate_limits.tiers.keys().cloned().collect();
        let credentials = Credentials::load(&config.auth, &tiers)?;
        credentials.log("keys are loaded");
        Ok(Self {
            config: config.auth.clone(),
            tiers,
            clock,
            current: RwLock::new(Arc::new(credentials)),
            generation: watch::Sender::new(0),
        })
    }

    /// Says in words for people which keys and tokens a configuration accepts.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub(crate) fn describe(config: &Config) -> Result<String, SecretError> {
        let tiers = config.rate_limits.tiers.keys().cloned().collect();
        let credentials = Credentials::load(&config.auth, &tiers)?;
        if credentials.is_empty() {
            return Ok("none, everyone may call".to_owned());
        }
        let tokens = credentials.tokens.as_ref().map(|tokens| format!("tokens by {}", tokens.place));
        let keys = Some(credentials.sources()).filter(|sources| !sources.is_empty());
        Ok(keys.into_iter().chain(tokens).collect::<Vec<_>>().join(", "))
    }

    /// Returns the files that a reload reads.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let tokens = self.config.tokens.iter().flat_map(super::TokenSources::files);
        self.config.keys.files().into_iter().chain(tokens).collect()
    }

    /// Reads all keys again and replaces those that count; what is wrong leaves them as they are.
    ///
    /// # Errors
    /// [`SecretError`] naming the source that cannot be used, or if there would be no credentials, or the first.
    pub(crate) fn reload(&self) -> Result<(), SecretError> {
        let credentials = Credentials::load(&self.config, &self.tiers)?;
        if credentials.is_empty() != self.current().is_empty() {
            let reason = "cannot be switched on or off by a reload: restart the service";
            return Err(SecretError::new("authentication", reason));
        }
        credentials.log("keys are reloaded");
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
        self.generation.send_modify(|generation| *generation += 1);
        Ok(())
    }

    /// Returns who sent a request.
    ///
    /// A key decides alone where one is given; otherwise it is the bearer token.
    ///
    /// # Errors
    /// [`Denied`] unless exactly one `X-API-Key` holds a known key, or exactly one `Authorization` a good token.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Denied> {
        let current = self.current();
        if current.is_empty() {
            return Ok(Principal::anyone());
        }
        let found = if !current.keys.is_empty() && headers.contains_key(API_KEY_HEADER) {
            current.key_of(headers)
        } else if current.tokens.is_some() && headers.contains_key(header::AUTHORIZATION) {
            self.token_of(&current, headers)
        } else {
            Err(DeniedReason::Missing)
        };
        found.map_err(|reason| self.denied(&current, reason))
    }

    /// Returns whether tokens are accepted.
    pub(crate) fn takes_tokens(&self) -> bool {
        self.current().tokens.is_some()
    }

    fn token_of(&self, current: &Credentials, headers: &HeaderMap) -> Result<Principal, DeniedReason> {
        let given = only(headers, &header::AUTHORIZATION).ok_or(DeniedReason::NoBearer)?;
        let text = given.to_str().map_err(|_| DeniedReason::NoBearer)?;
        let (scheme, token) = text.trim().split_once(' ').ok_or(DeniedReason::NoBearer)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(DeniedReason::NoBearer);
        }
        self.verify(current, token.trim())
    }

    fn verify(&self, current: &Credentials, token: &str) -> Result<Principal, DeniedReason> {
        let tokens = current.tokens.as_ref().ok_or(DeniedReason::NoBearer)?;
        let facts = tokens.verifier.verify(token, self.clock.now()).map_err(DeniedReason::InvalidToken)?;
        Ok(Principal::of_token(facts, tokens.digest))
    }

    fn denied(&self, current: &Credentials, reason: DeniedReason) -> Denied {
        let takes_tokens = current.tokens.is_some();
        Denied { reason, takes_tokens, failure_status: self.config.failure_status }
    }

    fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a session needs that outlives its first request.
impl KeyRing {
    /// Tells of reloads: after each, [`is_still_valid`](Self::is_still_valid) may answer otherwise.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Returns whether a principal would still be let in, with what it was allowed.
    pub(crate) fn is_still_valid(&self, principal: &Principal) -> bool {
        let current = self.current();
        match principal.proof() {
            Proof::Key(digest) => current
                .keys
                .iter()
                .find(|key| key.digest == *digest)
                .is_some_and(|key| key.scopes.includes(principal.scopes())),
            Proof::Token { verified_with, expires_at } => {
                let is_same = current.tokens.as_ref().is_some_and(|tokens| tokens.digest == *verified_with);
                is_same && self.clock.now() < *expires_at
            }
            Proof::None => current.is_empty(),
        }
    }

    /// Returns who a key belongs to that came otherwise than in a header.
    ///
    /// # Errors
    /// [`Denied`] unless it is known.
    pub(crate) fn authenticate_key(&self, key: &str) -> Result<Principal, Denied> {
        let current = self.current();
        let found = current.keys.find(key.trim().as_bytes()).map(Principal::of_key);
        found.ok_or_else(|| self.denied(&current, DeniedReason::InvalidKey))
    }

    /// Returns who a token names that came otherwise than in a header.
    ///
    /// # Errors
    /// [`Denied`] unless tokens are accepted and this one is good.
    pub(crate) fn authenticate_token(&self, token: &str) -> Result<Principal, Denied> {
        let current = self.current();
        self.verify(&current, token).map_err(|reason| self.denied(&current, reason))
    }
}

impl Credentials {
    fn load(config: &AuthConfig, tiers: &BTreeSet<String>) -> Result<Self, SecretError> {
        let loaded = config.keys.load()?;
        let unknown = |tier: &&Arc<str>| !tiers.contains(&***tier);
        if let Some(tier) = loaded.keys.iter().filter_map(|key| key.tier.as_ref()).find(unknown) {
            return Err(SecretError::new(
                "a key",
                format!("names the tier `{tier}`, which RATE_LIMIT_TIERS does not have"),
            ));
        }
        let tokens = config.tokens.as_ref().map(super::TokenSources::load).transpose()?;
        Ok(Self { keys: loaded.keys, tokens, counts: loaded.counts })
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.tokens.is_none()
    }

    fn key_of(&self, headers: &HeaderMap) -> Result<Principal, DeniedReason> {
        let given = only(headers, API_KEY_HEADER).ok_or(DeniedReason::InvalidKey)?;
        let key = self.keys.find(given.as_bytes().trim_ascii());
        key.map(Principal::of_key).ok_or(DeniedReason::InvalidKey)
    }

    fn log(&self, message: &str) {
        let tokens = self.tokens.as_ref().map_or("off", |tokens| &tokens.place);
        tracing::info!(keys = self.keys.len(), from = self.sources(), tokens, "{message}");
    }

    fn sources(&self) -> String {
        let sources = self.counts.iter().map(|(source, count)| format!("{count} of {source}"));
        sources.collect::<Vec<_>>().join(", ")
    }
}

/// Returns a header's value unless there are none or several: which of them counts would be a guess.
fn only(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

const API_KEY_HEADER: &str = "x-api-key";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tft_core::time::Timestamp;

    use super::super::{KeySources, Scopes, TokenSources, mint_token};
    use super::*;
    use crate::clock::ManualClock;

    const A: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    const B: &str = "7c6b5a4938271605f4e3d2c1b0a99887";

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new(Timestamp::parse("2026-01-05T12:02:00Z").unwrap()))
    }

    fn load(auth: &AuthConfig, clock: Arc<ManualClock>) -> Result<KeyRing, SecretError> {
        KeyRing::load(&Config { auth: auth.clone(), ..Config::default() }, clock)
    }

    fn ring(config: &AuthConfig) -> KeyRing {
        load(config, clock()).unwrap()
    }

    fn headers(values: &[(&str, &str)]) -> HeaderMap {
        values
            .iter()
            .map(|(name, value)| (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn reason(ring: &KeyRing, values: &[(&str, &str)]) -> Option<DeniedReason> {
        ring.authenticate(&headers(values)).err().map(|denied| denied.reason)
    }

    fn in_file(text: &str) -> (tempfile::NamedTempFile, AuthConfig) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let keys = KeySources { api_keys_file: Some(file.path().into()), ..KeySources::default() };
        (file, AuthConfig { keys, ..AuthConfig::default() })
    }

    #[test]
    fn exactly_one_known_key_passes() {
        let ring = ring(&AuthConfig::with_key(A));
        assert_eq!(reason(&ring, &[("x-api-key", &format!(" {A}\t"))]), None);
        assert_eq!(reason(&ring, &[]), Some(DeniedReason::Missing));
        assert_eq!(reason(&ring, &[("x-api-key", B)]), Some(DeniedReason::InvalidKey));
        assert_eq!(reason(&ring, &[("x-api-key", A), ("x-api-key", A)]), Some(DeniedReason::InvalidKey));
        assert_eq!(reason(&ring, &[("authorization", &format!("Bearer {A}"))]), Some(DeniedReason::Missing));
        assert!(ring.authenticate_key(A).is_ok() && ring.authenticate_key("").is_err());
    }

    #[test]
    fn keys_and_tokens_go_together() {
        let tokens = TokenSources { secret: Some(B.into()), ..TokenSources::default() };
        let config = AuthConfig { tokens: Some(tokens.clone()), ..AuthConfig::with_key(A) };
        let ring = ring(&config);
        let token = mint_token(&tokens, "ops", Scopes::ALL, None, ring.clock.now()).unwrap();
        let bearer = format!("bearer {token}");
        assert_eq!(reason(&ring, &[("x-api-key", A)]), None);
        assert_eq!(reason(&ring, &[("authorization", &bearer)]), None);
        assert_eq!(ring.authenticate_token(&token).unwrap().key_id(), "jwt:ops");
        let both = [("x-api-key", B), ("authorization", &*bearer)];
        assert_eq!(reason(&ring, &both), Some(DeniedReason::InvalidKey));
        assert_eq!(reason(&ring, &[("authorization", "Basic b3BzOm9wcw==")]), Some(DeniedReason::NoBearer));
        assert_eq!(reason(&ring, &[("authorization", "Bearer")]), Some(DeniedReason::NoBearer));
        let twice = [("authorization", &*bearer), ("authorization", &*bearer)];
        assert_eq!(reason(&ring, &twice), Some(DeniedReason::NoBearer));
        assert!(matches!(
            reason(&ring, &[("authorization", "Bearer x")]),
            Some(DeniedReason::InvalidToken(_))
        ));
    }

    #[test]
    fn a_reload_replaces_all_or_nothing_and_tells() {
        let (file, config) = in_file(&format!("ops:{A}\nlab:{B}:read+write\n"));
        let ring = ring(&config);
        let changed = ring.changed();
        let (ops, lab) = (ring.authenticate_key(A).unwrap(), ring.authenticate_key(B).unwrap());
        for broken in ["", "# none", "ops:short"] {
            std::fs::write(file.path(), broken).unwrap();
            assert!(ring.reload().is_err(), "{broken}");
            assert!(ring.is_still_valid(&ops) && !changed.has_changed().unwrap());
        }
        std::fs::write(file.path(), format!("lab:{B}:read\n")).unwrap();
        ring.reload().unwrap();
        assert!(changed.has_changed().unwrap());
        assert!(!ring.is_still_valid(&ops) && ring.authenticate_key(A).is_err());
        assert!(!ring.is_still_valid(&lab), "its scopes are fewer");
        assert!(ring.is_still_valid(&ring.authenticate_key(B).unwrap()));
    }

    #[test]
    fn a_reload_does_not_open_the_service() {
        let directory = tempfile::tempdir().unwrap();
        let keys =
            KeySources { credentials_directory: Some(directory.path().into()), ..KeySources::default() };
        let config = AuthConfig { keys, ..AuthConfig::default() };
        let open = ring(&config);
        assert!(open.current().is_empty() && reason(&open, &[]).is_none());
        std::fs::write(directory.path().join("api_keys"), A).unwrap();
        assert!(open.reload().unwrap_err().to_string().contains("restart the service"));
        let closed = ring(&config);
        std::fs::remove_file(directory.path().join("api_keys")).unwrap();
        assert!(closed.reload().is_err() && !closed.current().is_empty());
    }

    #[test]
    fn a_token_counts_until_it_ends_or_its_key_goes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), A).unwrap();
        let tokens = TokenSources { secret_file: Some(file.path().into()), ..TokenSources::default() };
        let clock = clock();
        let config = AuthConfig { tokens: Some(tokens.clone()), ..AuthConfig::default() };
        let ring = load(&config, clock.clone()).unwrap();
        let token = mint_token(&tokens, "ops", Scopes::ALL, None, clock.now()).unwrap();
        let ops = ring.authenticate_token(&token).unwrap();
        assert!(ring.is_still_valid(&ops));
        clock.advance(Duration::from_mins(31));
        assert!(!ring.is_still_valid(&ops) && ring.authenticate_token(&token).is_err());
        let token = mint_token(&tokens, "ops", Scopes::ALL, None, clock.now()).unwrap();
        let ops = ring.authenticate_token(&token).unwrap();
        std::fs::write(file.path(), B).unwrap();
        ring.reload().unwrap();
        assert!(!ring.is_still_valid(&ops));
    }
}
