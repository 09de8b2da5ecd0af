//! Why a caller is not let in, and what the reply says.

use std::fmt;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};

use super::FailureStatus;
use super::token::TokenError;

/// A caller that is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) reason: DeniedReason,
    /// Whether tokens are accepted, which the reply tells.
    pub(crate) takes_tokens: bool,
    pub(crate) failure_status: FailureStatus,
}

/// What is wrong with what a caller showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeniedReason {
    /// No key, and no token where tokens are accepted.
    #[error("no credentials")]
    Missing,
    #[error("an unknown API key, or several")]
    InvalidKey,
    #[error(transparent)]
    InvalidToken(TokenError),
    #[error("`Authorization` is given several times, or is not `Bearer` and a token")]
    NoBearer,
}

impl Denied {
    pub(crate) fn status(self) -> StatusCode {
        let is_forbidden = self.failure_status == FailureStatus::Forbidden && !self.is_about_tokens();
        if is_forbidden { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED }
    }

    /// Returns what operators search their logs for.
    pub(crate) fn security_reason(self) -> &'static str {
        match (self.is_about_tokens(), self.status()) {
            (true, _) => "401 Unauthorized: invalid or missing bearer token",
            (false, StatusCode::UNAUTHORIZED) => "401 Unauthorized: invalid or missing API key",
            (false, _) => "403 Forbidden: invalid or missing API key",
        }
    }

    /// Returns what the audit log calls the key.
    pub(crate) fn key_id(self) -> &'static str {
        match self.reason {
            DeniedReason::Missing => "none",
            _ => "invalid",
        }
    }

    /// Adds `WWW-Authenticate` to a reply with status 401, as RFC 9110 and RFC 6750 ask for.
    pub(crate) fn add_challenges(self, headers: &mut HeaderMap) {
        if self.status() != StatusCode::UNAUTHORIZED {
            return;
        }
        match self.reason {
            DeniedReason::InvalidToken(error) => {
                let text = format!("Bearer error=\"invalid_token\", error_description=\"{error}\"")
                    .replace('`', "'");
                headers.extend(text.parse().map(|value: HeaderValue| (header::WWW_AUTHENTICATE, value)).ok());
            }
            _ if self.takes_tokens => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("ApiKey header=\"X-API-Key\""),
                );
            }
        }
    }

    /// With tokens on, whoever shows nothing is asked for one; a wrong key stays a wrong key.
    fn is_about_tokens(self) -> bool {
        self.takes_tokens && self.reason != DeniedReason::InvalidKey
    }
}

/// What the client reads.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_about_tokens() {
            "Invalid or missing bearer token."
        } else {
            "Invalid or missing API key. Set TFT_API_KEY environment variable."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(reason: DeniedReason, takes_tokens: bool, failure_status: FailureStatus) -> (u16, String) {
        let denied = Denied { reason, takes_tokens, failure_status };
        let mut headers = HeaderMap::new();
        denied.add_challenges(&mut headers);
        let challenge = headers.get(header::WWW_AUTHENTICATE).map_or("", |value| value.to_str().unwrap());
        (denied.status().as_u16(), challenge.to_owned())
    }

    #[test]
    fn replies_follow_from_what_is_wrong_and_what_is_on() {
        use DeniedReason::{InvalidKey, InvalidToken, Missing, NoBearer};
        use FailureStatus::{Forbidden, Unauthorized};
        let bearer = || (401, "Bearer".to_owned());
        assert_eq!(reply(Missing, false, Forbidden), (403, String::new()));
        assert_eq!(reply(InvalidKey, false, Forbidden), (403, String::new()));
        assert_eq!(reply(InvalidKey, false, Unauthorized), (401, "ApiKey header=\"X-API-Key\"".into()));
        assert_eq!(reply(Missing, true, Forbidden), bearer());
        assert_eq!(reply(NoBearer, true, Forbidden), bearer());
        assert_eq!(reply(InvalidKey, true, Forbidden), (403, String::new()));
        assert_eq!(reply(InvalidKey, true, Unauthorized), bearer());
        let (status, challenge) = reply(InvalidToken(TokenError::NoExpiry), true, Forbidden);
        assert_eq!(status, 401);
        insta::assert_snapshot!(challenge, @r#"Bearer error="invalid_token", error_description="the token has no 'exp'""#);
    }
}
