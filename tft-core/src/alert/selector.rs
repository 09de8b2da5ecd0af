//! Which servers a rule is for, and the labels that servers have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::risk::ProfileSelector;
use crate::schema::Profile;

/// Which servers a rule is for: those of the names, of the profiles and with the labels.
///
/// # Defaults
/// All.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Selector {
    /// Patterns of names, where `*` stands for any run of characters and `?` for one; none means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// The profiles.
    pub profiles: ProfileSelector,
    /// Labels that a server must have, each with a value that its pattern matches.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Labels for some of the servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerLabels {
    /// Patterns of names, as in a [`Selector`]; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// The profiles.
    #[serde(default)]
    pub profiles: ProfileSelector,
    /// What these servers are labelled with.
    pub labels: BTreeMap<String, String>,
}

impl Selector {
    /// Returns whether a server of this name and profile, and with these labels, is meant.
    pub fn selects(&self, server: &str, profile: &Profile, labels: &BTreeMap<String, String>) -> bool {
        let has = |(name, pattern): (&String, &String)| {
            labels.get(name).is_some_and(|value| is_match(pattern, value))
        };
        matches_name(&self.servers, server) && self.profiles.selects(profile) && self.labels.iter().all(has)
    }
}

impl ServerLabels {
    /// Returns the labels of a server: of several assignments of one label, the last counts.
    pub fn of(assignments: &[Self], server: &str, profile: &Profile) -> BTreeMap<String, String> {
        let meant = |a: &&Self| matches_name(&a.servers, server) && a.profiles.selects(profile);
        assignments.iter().filter(meant).flat_map(|assignment| assignment.labels.clone()).collect()
    }
}

fn matches_name(patterns: &[String], server: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| is_match(pattern, server))
}

/// Returns whether a pattern, where `*` stands for any run of characters and `?` for one, matches a whole text.
///
/// Takes time proportional to the product of the lengths at worst: on a mismatch only the last `*` takes one
/// more character.
pub(super) fn is_match(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut last_star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            last_star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|&byte| byte == b'?' || byte == text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((star, from)) = last_star {
            last_star = Some((star, from + 1));
            (p, t) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, name, expected) in [
            ("*", "db-7", true),
            ("db-*", "db-7", true),
            ("db-?", "db-77", false),
            ("*-7", "db-7-7", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("", "x", false),
            ("db", "db-7", false),
        ] {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn labels_select_and_the_last_assignment_wins() {
        let (database, web) = (Profile::new("database").unwrap(), Profile::new("web_api").unwrap());
        let assignments = [
            ServerLabels {
                servers: vec![],
                profiles: ProfileSelector::All,
                labels: labels(&[("tier", "dev"), ("site", "a")]),
            },
            ServerLabels {
                servers: vec!["db-*".into()],
                profiles: ProfileSelector::Only(vec![database.clone()]),
                labels: labels(&[("tier", "prod")]),
            },
        ];
        let of = |server, profile| ServerLabels::of(&assignments, server, profile);
        assert_eq!(of("db-7", &database), labels(&[("tier", "prod"), ("site", "a")]));
        assert_eq!(of("db-7", &web), labels(&[("tier", "dev"), ("site", "a")]));
        let selector = Selector { labels: labels(&[("tier", "p*")]), ..Selector::default() };
        assert!(selector.selects("db-7", &database, &of("db-7", &database)));
        assert!(!selector.selects("db-7", &web, &of("db-7", &web)));
        assert!(!selector.selects("db-7", &web, &BTreeMap::new()));
    }
}
