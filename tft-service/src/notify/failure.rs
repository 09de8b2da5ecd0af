//! Why a message did not arrive, and whether another attempt may help.

use std::fmt;
use std::time::Duration;

/// Why one attempt to deliver failed. Its text never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    reason: String,
    outlook: Outlook,
}

/// Whether another attempt may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It may, after the time that the receiver asks for, if it does.
    Temporary {
        /// What the receiver asks for.
        retry_after: Option<Duration>,
    },
    /// The same message would be refused again.
    Permanent,
}

impl Failure {
    /// Something that may pass by itself.
    pub(crate) fn temporary(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), outlook: Outlook::Temporary { retry_after: None } }
    }

    /// Something that somebody has to change.
    pub(crate) fn permanent(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), outlook: Outlook::Permanent }
    }

    /// What a reply of HTTP means: another attempt helps with 408, 429 and the server's own errors, and with nothing
    /// else. `said` is what the body says about it.
    pub(crate) fn of_status(status: u16, retry_after: Option<Duration>, said: &str) -> Self {
        let is_temporary = matches!(status, 408 | 429 | 500..=599);
        let what = match status {
            300..=399 => format!("answered with {status}, and redirects are not followed"),
            _ => format!("answered with {status}"),
        };
        let reason = if said.is_empty() { what } else { format!("{what}: {said}") };
        let outlook = if is_temporary { Outlook::Temporary { retry_after } } else { Outlook::Permanent };
        Self { reason, outlook }
    }

    pub(crate) fn outlook(&self) -> Outlook {
        self.outlook
    }

    #[cfg(any(test, feature = "email"))]
    pub(crate) fn is_permanent(&self) -> bool {
        self.outlook == Outlook::Permanent
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, is_permanent) in
            [(301, true), (307, true), (400, true), (401, true), (404, true), (408, false), (410, true)]
        {
            assert_eq!(Failure::of_status(status, None, "").is_permanent(), is_permanent, "{status}");
        }
        for status in [429, 500, 502, 503, 504, 599] {
            assert!(!Failure::of_status(status, None, "").is_permanent(), "{status}");
        }
        let failure = Failure::of_status(429, Some(Duration::from_secs(7)), "slow down");
        assert_eq!(failure.outlook(), Outlook::Temporary { retry_after: Some(Duration::from_secs(7)) });
        assert_eq!(failure.to_string(), "answered with 429: slow down");
        let text = Failure::of_status(302, None, "").to_string();
        assert_eq!(text, "answered with 302, and redirects are not followed");
    }
}
