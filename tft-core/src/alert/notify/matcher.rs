//! Matchers: conditions on an alert's labels.
//!
//! Owns what a matcher means and its limits; `matcher_text` reads and writes it.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::error::NotifyError;
use super::matcher_text;
use crate::alert::Alert;
use crate::error::Error;

/// A condition on one label: `severity="critical"`, `profile!="generic"`, `server=~"db-.*"` or `team!~"a|b"`.
///
/// The names are those of [`Alert::label`]. A label that is missing is empty. A pattern is a regular expression that
/// must match the whole value; it takes time proportional to the value's length.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    /// Compiled from the value where the operator needs it.
    pattern: Option<Regex>,
}

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`: the label is the value.
    Equal,
    /// `!=`: the label is anything else.
    NotEqual,
    /// `=~`: the label matches the pattern.
    Matches,
    /// `!~`: the label does not match the pattern.
    NotMatches,
}

impl Matcher {
    /// Most bytes of a label's name.
    pub const NAME_LENGTH_MAX: usize = 128;

    /// Most bytes of a value or pattern.
    pub const VALUE_LENGTH_MAX: usize = 1024;

    /// Most bytes of a matcher's text, where each byte of a value may be escaped.
    pub const TEXT_LENGTH_MAX: usize = 4096;

    /// Most bytes of a compiled pattern.
    pub const PATTERN_BYTES_MAX: usize = 1 << 17;

    /// Most matchers that stand together.
    pub const COUNT_MAX: usize = 16;

    /// Builds a matcher.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the name is empty, a text is too long, or the
    /// pattern cannot be compiled within [`PATTERN_BYTES_MAX`](Self::PATTERN_BYTES_MAX).
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, Error> {
        Ok(Self::checked(name, op, value)?)
    }

    /// Reads a matcher's text: a name, an operator and a value.
    ///
    /// The value, and a name with unusual characters, may stand in double quotes, in which `\"`, `\\` and `\n` stand for
    /// a quote, a backslash and a new line; a backslash before anything else stands for itself.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) saying what is wrong with the text.
    ///
    /// # Examples
    /// ```
    /// use tft_core::alert::Matcher;
    ///
    /// let matcher = Matcher::parse(r#"server=~"db-[0-9]+""#)?;
    /// assert!(matcher.matches("db-7") && !matcher.matches("db-7.example"));
    /// # Ok::<(), tft_core::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(matcher_text::parse(text)?)
    }

    /// Reads matchers that are separated by commas, in braces or not.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse), and for more than [`COUNT_MAX`](Self::COUNT_MAX).
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Error> {
        Ok(matcher_text::parse_list(text)?)
    }

    pub(super) fn checked(name: &str, op: MatchOp, value: &str) -> Result<Self, NotifyError> {
        let refuse = |fault| {
            let text = crate::time::abbreviate(&format!("{name}{}{value}", op.as_str()));
            Err(NotifyError::Matcher { text, fault })
        };
        if name.is_empty() || name.len() > Self::NAME_LENGTH_MAX {
            return refuse("has a name that is not of 1 to 128 bytes");
        }
        if value.len() > Self::VALUE_LENGTH_MAX {
            return refuse("has a value of over 1024 bytes");
        }
        let pattern = if op.has_pattern() { Some(compile(name, op, value)?) } else { None };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), pattern })
    }

    /// Returns the label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// Returns the value or pattern.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns whether a label's value satisfies the condition; a missing label is empty.
    pub fn matches(&self, value: &str) -> bool {
        let is_match = || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(value));
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Matches => is_match(),
            MatchOp::NotMatches => !is_match(),
        }
    }

    /// Returns whether an alert satisfies the condition.
    pub fn matches_alert(&self, alert: &Alert) -> bool {
        self.matches(alert.label(&self.name).unwrap_or(""))
    }

    /// Returns whether an alert satisfies all conditions; so it does if there are none.
    pub fn all_match(matchers: &[Self], alert: &Alert) -> bool {
        matchers.iter().all(|matcher| matcher.matches_alert(alert))
    }

    /// Checks how many there are, and that not every one of them is satisfied by labels that are missing.
    pub(super) fn check_all(owner: &str, field: &'static str, matchers: &[Self]) -> Result<(), NotifyError> {
        if !(1..=Self::COUNT_MAX).contains(&matchers.len()) {
            let allowed = format!("1 to {} matchers", Self::COUNT_MAX);
            return Err(NotifyError::field(owner, field, matchers.len(), allowed));
        }
        if matchers.iter().all(|matcher| matcher.matches("")) {
            return Err(NotifyError::MatchesAnything { owner: owner.to_owned() });
        }
        Ok(())
    }
}

impl MatchOp {
    /// Returns the operator as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        }
    }

    /// Returns whether the value is a pattern.
    pub const fn has_pattern(self) -> bool {
        matches!(self, Self::Matches | Self::NotMatches)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

/// Compiles a pattern for whole values.
fn compile(name: &str, op: MatchOp, pattern: &str) -> Result<Regex, NotifyError> {
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(Matcher::PATTERN_BYTES_MAX)
            .nest_limit(PATTERN_DEPTH_MAX)
            .build()
            .map_err(|error| {
                let text = crate::time::abbreviate(&format!("{name}{}{pattern}", op.as_str()));
                // The lines before the last one show the pattern.
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                NotifyError::Pattern { text, reason: reason.to_owned() }
            })
    };
    // Alone first: `a)|(b` would get out of the group that anchors it.
    build(pattern)?;
    build(&format!("^(?:{pattern})$"))
}

/// Deepest nesting of groups in a pattern.
const PATTERN_DEPTH_MAX: u32 = 32;
