//! What tokens are verified with: a secret or a public key, as operators give it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey};

use super::key_set::digest_of;
use super::public_key::PublicKey;
use super::secret::{SecretError, check_is_no_placeholder, read_text};
use super::sources::{both_are_given, credential};
use super::token::TokenVerifier;

/// What tokens are verified with, and what they must say. What is named here is read again by a reload.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenSources {
    /// The text of `JWT_SECRET_KEY`, for HS256.
    pub secret: Option<String>,
    /// The file that `JWT_SECRET_KEY_FILE` names.
    pub secret_file: Option<PathBuf>,
    /// The file that `JWT_PUBLIC_KEY_FILE` names, for RS256, ES256 or `EdDSA` by the kind of the key.
    pub public_key_file: Option<PathBuf>,
    /// systemd's `CREDENTIALS_DIRECTORY`, in which `jwt_secret_key` is looked for.
    pub credentials_directory: Option<PathBuf>,
    /// The `iss` that tokens must have.
    pub issuer: Option<String>,
    /// The `aud` that tokens must name.
    pub audience: Option<String>,
    /// How long a new token is valid.
    pub lifetime: Duration,
}

/// What tokens are verified with, ready for use.
#[derive(Debug)]
pub(super) struct LoadedTokens {
    pub(super) verifier: TokenVerifier,
    /// Changes with the key, the issuer and the audience.
    pub(super) digest: [u8; 32],
    /// Where the key comes from.
    pub(super) place: String,
}

impl TokenSources {
    /// Fewest bytes of a secret.
    pub const SECRET_BYTES_MIN: usize = 32;

    /// Reads the key.
    ///
    /// # Errors
    /// [`SecretError`] unless there is exactly one, and it can be used.
    pub(super) fn load(&self) -> Result<LoadedTokens, SecretError> {
        let (place, text, public) = self.read()?;
        let (algorithm, key) = if public {
            let read = PublicKey::from_pem(&text).map_err(|reason| SecretError::new(&*place, reason))?;
            (read.algorithm, read.key)
        } else {
            (Algorithm::HS256, DecodingKey::from_secret(text.as_bytes()))
        };
        let named = format!("{text}\n{:?}\n{:?}", self.issuer, self.audience);
        let verifier = TokenVerifier::new(algorithm, key, self.issuer.clone(), self.audience.clone());
        Ok(LoadedTokens { verifier, digest: digest_of(named.as_bytes()), place })
    }

    /// Returns the secret that new tokens are signed with.
    ///
    /// # Errors
    /// [`SecretError`] if there is none: with a public key only the holder of the private one makes tokens.
    pub(crate) fn secret(&self) -> Result<String, SecretError> {
        match self.read()? {
            (_, secret, false) => Ok(secret),
            (place, _, true) => Err(SecretError::new(place, "verifies tokens and cannot sign one")),
        }
    }

    /// Returns the files that a reload reads.
    pub fn files(&self) -> Vec<PathBuf> {
        [self.secret_file.clone(), self.public_key_file.clone(), self.credential()]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Returns where the one key is from, its text, and whether it is public.
    fn read(&self) -> Result<(String, String, bool), SecretError> {
        both_are_given("JWT_SECRET_KEY", self.secret.is_some(), self.secret_file.is_some())?;
        let files = [
            ("JWT_SECRET_KEY_FILE", self.secret_file.clone(), false),
            ("JWT_PUBLIC_KEY_FILE", self.public_key_file.clone(), true),
            ("credential", self.credential(), false),
        ];
        let mut found = Vec::new();
        if let Some(secret) = &self.secret {
            found.push(("JWT_SECRET_KEY".to_owned(), secret.clone(), false));
        }
        for (variable, path, is_public) in files {
            let Some(path) = path else { continue };
            found.push((format!("{variable} `{}`", path.display()), read_text(variable, &path)?, is_public));
        }
        let reason = "needs exactly one of JWT_SECRET_KEY, JWT_SECRET_KEY_FILE, JWT_PUBLIC_KEY_FILE and the \
                      credential `jwt_secret_key`";
        let [(place, text, is_public)] =
            <[_; 1]>::try_from(found).map_err(|_| SecretError::new("JWT_ENABLED", reason))?;
        let text = text.trim().to_owned();
        if !is_public {
            check_secret(&place, &text)?;
        }
        Ok((place, text, is_public))
    }

    fn credential(&self) -> Option<PathBuf> {
        credential(self.credentials_directory.as_deref(), "jwt_secret_key")
    }
}

impl Default for TokenSources {
    fn default() -> Self {
        Self {
            secret: None,
            secret_file: None,
            public_key_file: None,
            credentials_directory: None,
            issuer: None,
            audience: None,
            lifetime: Duration::from_mins(30),
        }
    }
}

/// Secrets are not shown.
impl fmt::Debug for TokenSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSources")
            .field("secret", &self.secret.as_ref().map(|_| "…"))
            .field("secret_file", &self.secret_file)
            .field("public_key_file", &self.public_key_file)
            .field("credentials_directory", &self.credentials_directory)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("lifetime", &self.lifetime)
            .finish()
    }
}

fn check_secret(place: &str, secret: &str) -> Result<(), SecretError> {
    check_is_no_placeholder(place, secret)?;
    if secret.len() >= TokenSources::SECRET_BYTES_MIN {
        return Ok(());
    }
    Err(SecretError::new(place, "has fewer than 32 bytes: make one with `tft-service gen-key`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

    fn with_secret(secret: &str) -> TokenSources {
        TokenSources { secret: Some(secret.to_owned()), ..TokenSources::default() }
    }

    #[test]
    fn exactly_one_key_of_some_strength_is_needed() {
        let error = |sources: &TokenSources| sources.load().unwrap_err().to_string();
        assert!(error(&TokenSources::default()).starts_with("JWT_ENABLED needs exactly one of"));
        assert!(error(&with_secret("short")).contains("has fewer than 32 bytes"));
        let guide = with_secret("your-very-long-random-secret-key-min-32-chars");
        assert!(error(&guide).contains("is a placeholder"));
        let both = TokenSources { secret_file: Some("x".into()), ..with_secret(SECRET) };
        assert_eq!(error(&both), "JWT_SECRET_KEY and JWT_SECRET_KEY_FILE are both given: give one of them");
        let file = tempfile::NamedTempFile::new().unwrap();
        let both = TokenSources { public_key_file: Some(file.path().into()), ..with_secret(SECRET) };
        assert!(error(&both).starts_with("JWT_ENABLED needs exactly one of"));
        assert!(with_secret(SECRET).load().is_ok());
        assert!(!format!("{:?}", with_secret(SECRET)).contains(SECRET));
    }

    #[test]
    fn a_public_key_verifies_and_does_not_sign() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let sources = TokenSources { public_key_file: Some(file.path().into()), ..TokenSources::default() };
        assert!(sources.load().unwrap_err().to_string().contains("holds no `BEGIN PUBLIC KEY`"));
        std::fs::write(file.path(), "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n").unwrap();
        assert!(sources.load().is_ok());
        assert!(sources.secret().unwrap_err().to_string().ends_with("verifies tokens and cannot sign one"));
    }

    #[test]
    fn what_tokens_are_verified_with_is_told_apart() {
        let digest = |sources: TokenSources| sources.load().unwrap().digest;
        let other = TokenSources { issuer: Some("us".into()), ..with_secret(SECRET) };
        assert_eq!(digest(with_secret(SECRET)), digest(with_secret(&format!("{SECRET}\n"))));
        assert_ne!(digest(with_secret(SECRET)), digest(other));
    }
}
