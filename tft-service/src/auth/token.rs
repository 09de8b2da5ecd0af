//! JSON Web Tokens: what they may say, how they are checked and how they are made.
//!
//! The algorithm follows from the configured key and never from the token. Time is the service's clock.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tft_core::time::Timestamp;

use super::scope::Scopes;

/// Checks tokens.
pub(crate) struct TokenVerifier {
    key: DecodingKey,
    validation: Validation,
    issuer: Option<String>,
    audience: Option<String>,
}

/// What a token that passed says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TokenFacts {
    pub(crate) subject: Arc<str>,
    pub(crate) scopes: Scopes,
    pub(crate) expires_at: Timestamp,
}

/// What a new token says.
#[derive(Debug, Clone)]
pub(crate) struct TokenTerms<'a> {
    pub(crate) subject: &'a str,
    pub(crate) scopes: Scopes,
    pub(crate) lifetime: Duration,
    pub(crate) issuer: Option<&'a str>,
    pub(crate) audience: Option<&'a str>,
}

/// Why a token is refused; the client and the log read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is not signed with the configured key and algorithm")]
    Signature,
    #[error("the token is no JSON Web Token with claims of the expected types")]
    Malformed,
    #[error("the token has no `exp`")]
    NoExpiry,
    #[error("the token has expired")]
    Expired,
    #[error("the token's `exp` is more than 24 hours ahead")]
    ExpiryTooFar,
    #[error("the token's `nbf` is in the future")]
    NotYetValid,
    #[error("the token has no `sub` of 1 to 256 printable bytes")]
    Subject,
    #[error("the token's `iss` is not the configured issuer")]
    Issuer,
    #[error("the token's `aud` does not name the configured audience")]
    Audience,
}

/// Longest time from now to a token's `exp`.
pub(crate) const LIFETIME_MAX: Duration = Duration::from_hours(24);

impl TokenVerifier {
    pub(crate) fn new(
        algorithm: Algorithm,
        key: DecodingKey,
        issuer: Option<String>,
        audience: Option<String>,
    ) -> Self {
        let mut validation = Validation::new(algorithm);
        // Times are compared with the service's clock, the rest where a message can say what is wrong.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self { key, validation, issuer, audience }
    }

    /// Checks a token at a time.
    ///
    /// # Errors
    /// [`TokenError`], the signature's first: nothing of an unsigned token is looked at.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<TokenFacts, TokenError> {
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation);
        let claims = decoded.map_err(|error| reason_of(&error))?.claims;
        let expires_at = claims.check_times(now)?;
        self.check_parties(&claims)?;
        let scopes = claims.scopes();
        let subject = claims.sub.filter(|subject| is_plain(subject)).ok_or(TokenError::Subject)?;
        Ok(TokenFacts { subject: subject.into(), scopes, expires_at })
    }

    fn check_parties(&self, claims: &Claims) -> Result<(), TokenError> {
        if self.issuer.is_some() && self.issuer != claims.iss {
            return Err(TokenError::Issuer);
        }
        match &self.audience {
            Some(audience)
                if !claims.aud.iter().flat_map(OneOrMany::values).any(|named| named == audience) =>
            {
                Err(TokenError::Audience)
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenVerifier")
            .field("algorithms", &self.validation.algorithms)
            .finish_non_exhaustive()
    }
}

/// Makes a token signed with a secret.
///
/// # Errors
/// [`TokenError::Subject`], or [`TokenError::Malformed`] if it cannot be written.
pub(crate) fn mint(secret: &[u8], terms: &TokenTerms<'_>, now: Timestamp) -> Result<String, TokenError> {
    if !is_plain(terms.subject) {
        return Err(TokenError::Subject);
    }
    let issued_s = now.as_millis().div_euclid(1000);
    let claims = NewClaims {
        sub: terms.subject,
        scope: terms.scopes.to_string(),
        iat: issued_s,
        exp: issued_s + terms.lifetime.min(LIFETIME_MAX).as_secs() as i64,
        iss: terms.issuer,
        aud: terms.audience,
    };
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret))
        .map_err(|_| TokenError::Malformed)
}

/// The claims that count; others are ignored.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<OneOrMany>,
    scope: Option<String>,
    scopes: Option<OneOrMany>,
}

#[derive(Serialize)]
struct NewClaims<'a> {
    sub: &'a str,
    scope: String,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl Claims {
    /// Returns when the token ends.
    fn check_times(&self, now: Timestamp) -> Result<Timestamp, TokenError> {
        let now_s = now.as_millis() as f64 / 1000.0;
        let exp = self.exp.filter(|exp| exp.is_finite()).ok_or(TokenError::NoExpiry)?;
        if now_s >= exp + LEEWAY.as_secs_f64() {
            return Err(TokenError::Expired);
        }
        if exp > now_s + LIFETIME_MAX.as_secs_f64() {
            return Err(TokenError::ExpiryTooFar);
        }
        if self.nbf.is_some_and(|nbf| nbf.is_nan() || nbf > now_s + LEEWAY.as_secs_f64()) {
            return Err(TokenError::NotYetValid);
        }
        Ok(Timestamp::from_millis(((exp + LEEWAY.as_secs_f64()) * 1000.0) as i64))
    }

    /// Names that are no scope of this service are for others.
    fn scopes(&self) -> Scopes {
        let spaced = self.scope.iter().flat_map(|scope| scope.split(' '));
        let listed = self.scopes.iter().flat_map(OneOrMany::values).flat_map(|scope| scope.split(' '));
        spaced.chain(listed).filter_map(Scopes::of_name).fold(Scopes::NONE, Scopes::with)
    }
}

fn reason_of(error: &jsonwebtoken::errors::Error) -> TokenError {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TokenError::Signature,
        _ => TokenError::Malformed,
    }
}

/// Subjects are in the log: control characters would forge lines there.
fn is_plain(subject: &str) -> bool {
    (1..=SUBJECT_BYTES_MAX).contains(&subject.len()) && !subject.chars().any(char::is_control)
}

/// How far the clocks of issuer and service may differ.
const LEEWAY: Duration = Duration::from_secs(30);

const SUBJECT_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    const NOW_S: i64 = 1_767_614_520;

    fn now() -> Timestamp {
        Timestamp::from_millis(NOW_S * 1000)
    }

    fn verifier() -> TokenVerifier {
        TokenVerifier::new(Algorithm::HS256, DecodingKey::from_secret(SECRET), None, None)
    }

    fn verify(claims: &serde_json::Value) -> Result<TokenFacts, TokenError> {
        let token =
            jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).unwrap();
        verifier().verify(&token, now())
    }

    #[test]
    fn a_minted_token_passes_until_it_ends() {
        let terms = TokenTerms {
            subject: "ops@example.com",
            scopes: Scopes::of_name("read").unwrap(),
            lifetime: Duration::from_mins(30),
            issuer: None,
            audience: None,
        };
        let token = mint(SECRET, &terms, now()).unwrap();
        let facts = verifier().verify(&token, now()).unwrap();
        assert_eq!((&*facts.subject, facts.scopes.to_string()), ("ops@example.com", "read".into()));
        assert_eq!(facts.expires_at, now().plus_millis(1_830_000));
        let at = |seconds: i64| verifier().verify(&token, now().plus_millis(seconds * 1000)).map(|_| ());
        assert_eq!(at(1829), Ok(()));
        assert_eq!(at(1830), Err(TokenError::Expired));
        let longest = TokenTerms { lifetime: Duration::from_hours(30), ..terms };
        assert!(verifier().verify(&mint(SECRET, &longest, now()).unwrap(), now()).is_ok());
    }

    #[test]
    fn times_are_required_and_bounded() {
        let with = |exp: serde_json::Value, nbf: serde_json::Value| {
            verify(&json!({ "sub": "a", "exp": exp, "nbf": nbf })).map(|_| ())
        };
        let none = serde_json::Value::Null;
        assert_eq!(with(json!(NOW_S + 60), none.clone()), Ok(()));
        assert_eq!(with(json!(NOW_S - 29), none.clone()), Ok(()));
        assert_eq!(with(json!(NOW_S - 30), none.clone()), Err(TokenError::Expired));
        assert_eq!(with(json!(NOW_S + 86_400), none.clone()), Ok(()));
        assert_eq!(with(json!(NOW_S + 86_401), none.clone()), Err(TokenError::ExpiryTooFar));
        assert_eq!(with(json!(1e300), none.clone()), Err(TokenError::ExpiryTooFar));
        assert_eq!(with(json!(-1e300), none.clone()), Err(TokenError::Expired));
        assert_eq!(with(none.clone(), none.clone()), Err(TokenError::NoExpiry));
        assert_eq!(with(json!("1767614580"), none), Err(TokenError::Malformed));
        assert_eq!(with(json!(NOW_S + 60), json!(NOW_S + 30)), Ok(()));
        assert_eq!(with(json!(NOW_S + 60), json!(NOW_S + 31)), Err(TokenError::NotYetValid));
    }

    #[test]
    fn scopes_come_from_either_claim_and_foreign_ones_are_ignored() {
        let scopes = |claims: serde_json::Value| {
            let mut all = json!({ "sub": "a", "exp": NOW_S + 60 });
            all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
            verify(&all).unwrap().scopes.to_string()
        };
        assert_eq!(scopes(json!({ "scope": "openid read" })), "read");
        assert_eq!(scopes(json!({ "scopes": ["read", "write"] })), "read write");
        assert_eq!(scopes(json!({ "scopes": "write", "scope": "read" })), "read write");
        assert_eq!(scopes(json!({ "scope": "*" })), "read write admin");
        assert_eq!(scopes(json!({})), "");
    }

    #[test]
    fn issuer_and_audience_count_when_they_are_configured() {
        let key = DecodingKey::from_secret(SECRET);
        let verifier = TokenVerifier::new(Algorithm::HS256, key, Some("us".into()), Some("tft".into()));
        let check = |iss: serde_json::Value, aud: serde_json::Value| {
            let claims = json!({ "sub": "a", "exp": NOW_S + 60, "iss": iss, "aud": aud });
            let token =
                jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap();
            verifier.verify(&token, now()).map(|_| ())
        };
        assert_eq!(check(json!("us"), json!(["other", "tft"])), Ok(()));
        assert_eq!(check(json!("us"), json!("tft")), Ok(()));
        assert_eq!(check(json!("them"), json!("tft")), Err(TokenError::Issuer));
        assert_eq!(check(json!(null), json!("tft")), Err(TokenError::Issuer));
        assert_eq!(check(json!("us"), json!(["tft2"])), Err(TokenError::Audience));
        assert_eq!(check(json!("us"), json!(null)), Err(TokenError::Audience));
    }

    #[test]
    fn subjects_are_required_and_cannot_forge_log_lines() {
        for subject in [json!(null), json!(""), json!("a\nb"), json!("x".repeat(257))] {
            assert_eq!(
                verify(&json!({ "sub": subject, "exp": NOW_S + 60 })),
                Err(TokenError::Subject),
                "{subject}"
            );
        }
    }

    #[test]
    fn only_the_configured_algorithm_and_key_sign() {
        let claims = json!({ "sub": "a", "exp": NOW_S + 60 });
        let signed = |algorithm, secret| {
            let token =
                jsonwebtoken::encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret));
            verifier().verify(&token.unwrap(), now()).map(|_| ())
        };
        assert_eq!(signed(Algorithm::HS256, SECRET), Ok(()));
        assert_eq!(signed(Algorithm::HS512, SECRET), Err(TokenError::Signature));
        assert_eq!(signed(Algorithm::HS256, b"another secret of enough bytes.."), Err(TokenError::Signature));
        for garbage in ["", ".", "..", "a.b.c", "....", "e30.e30."] {
            assert!(verifier().verify(garbage, now()).is_err(), "{garbage}");
        }
    }
}
