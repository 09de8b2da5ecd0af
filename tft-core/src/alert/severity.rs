//! How bad an alert is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad it is; ordered, [`Low`](Self::Low) the least.
///
/// Most rules know a warning and a critical threshold. The others are for ladders with more rungs, such as that of
/// the preset [`monitorx`](super::Preset::Monitorx).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Worth a look when there is time.
    Medium,
    /// Deserves a look.
    Warning,
    /// Deserves a person soon.
    High,
    /// Deserves a person now.
    Critical,
}

impl Severity {
    /// All severities, the least first.
    pub const ALL: [Self; 5] = [Self::Low, Self::Medium, Self::Warning, Self::High, Self::Critical];

    /// Returns the name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::Warning => "warning",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_ascend_and_spell_the_same_in_json_and_text() {
        assert!(Severity::ALL.is_sorted());
        for severity in Severity::ALL {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.as_str());
        }
    }
}
