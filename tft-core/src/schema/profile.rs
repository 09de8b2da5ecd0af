//! A server's profile: what kind of work it does, told by a record or inferred from its name.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// What kind of work a server does: 1 to 64 characters of `[A-Za-z0-9_-]`; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Profile(Arc<str>);

/// How a server's profile follows from its name, where a record does not say.
///
/// The first rule one of whose prefixes (compared without regard to case), followed by a digit, starts the
/// name wins.
///
/// # Defaults
/// The seven profiles of the server-metrics preset; `generic` where no rule matches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileRules {
    /// The rules in order of precedence.
    pub rules: Vec<ProfileRule>,
    /// The profile of a name that no rule matches.
    pub otherwise: Profile,
}

/// One profile and the name prefixes that lead to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileRule {
    /// The profile.
    pub profile: Profile,
    /// Prefixes that a digit must follow.
    pub prefixes: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum ProfileError {
    #[error("profile `{name}` must be 1 to {} characters of [A-Za-z0-9_-]", Profile::LENGTH_MAX)]
    Name { name: String },
    #[error("profile rule for `{profile}` has an empty prefix")]
    EmptyPrefix { profile: Profile },
}

impl Profile {
    /// Most characters of a profile's name.
    pub const LENGTH_MAX: usize = 64;

    /// Checks and wraps a profile's name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is empty, too long or has other characters.
    pub fn new(name: &str) -> Result<Self, Error> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if (1..=Self::LENGTH_MAX).contains(&name.len()) && name.bytes().all(allowed) {
            return Ok(Self(name.into()));
        }
        let name = crate::time::abbreviate(name);
        Err(Error::new(ErrorKind::InvalidInput, ProfileError::Name { name }))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ProfileRules {
    /// Returns the profile that a server's name implies.
    pub fn infer(&self, server_name: &str) -> &Profile {
        let matching = self.rules.iter().find(|rule| rule.matches(server_name));
        matching.map_or(&self.otherwise, |rule| &rule.profile)
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        match self.rules.iter().find(|rule| rule.prefixes.iter().any(String::is_empty)) {
            Some(rule) => {
                let error = ProfileError::EmptyPrefix { profile: rule.profile.clone() };
                Err(Error::new(ErrorKind::InvalidConfig, error))
            }
            None => Ok(()),
        }
    }
}

impl ProfileRule {
    fn matches(&self, server_name: &str) -> bool {
        self.prefixes.iter().any(|prefix| {
            let Some((head, tail)) = server_name.split_at_checked(prefix.len()) else { return false };
            head.eq_ignore_ascii_case(prefix) && tail.starts_with(|next: char| next.is_ascii_digit())
        })
    }
}

impl Default for ProfileRules {
    fn default() -> Self {
        let rule = |&(profile, prefixes): &(&str, &[&str])| ProfileRule {
            profile: Profile(profile.into()),
            prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        };
        Self { rules: PREFIXES.iter().map(rule).collect(), otherwise: Profile("generic".into()) }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Profile {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        Self::new(&name)
    }
}

impl From<Profile> for String {
    fn from(profile: Profile) -> String {
        profile.0.as_ref().to_owned()
    }
}

const PREFIXES: [(&str, &[&str]); 6] = [
    ("ml_compute", &["ppml", "ppgpu", "cptrain", "ml-node-"]),
    ("database", &["ppdb", "psdb", "oracle", "mongo", "postgres", "mysql"]),
    ("web_api", &["ppweb", "ppapi", "nginx", "tomcat", "api-server-"]),
    ("conductor_mgmt", &["ppcon", "conductor", "egomgmt", "maestro"]),
    ("data_ingest", &["ppetl", "ppkafka", "stream", "spark", "flink"]),
    ("risk_analytics", &["pprisk", "varrisk", "credit", "quant"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_must_be_followed_by_a_digit() {
        let rules = ProfileRules::default();
        for (name, profile) in [
            ("ppdb001", "database"),
            ("PPML0001", "ml_compute"),
            ("ml-node-3", "ml_compute"),
            ("nginx", "generic"),
            ("postgres-7", "generic"),
            ("spark9", "data_ingest"),
            ("x", "generic"),
        ] {
            assert_eq!(rules.infer(name).as_str(), profile, "{name}");
        }
    }
}
