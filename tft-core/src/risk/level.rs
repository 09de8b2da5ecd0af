//! The one ladder of risk levels, and what old clients call them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How urgent a risk score is; ordered, [`Healthy`](Self::Healthy) the least.
///
/// The scores are the defaults; a [`RiskPolicyConfig`](super::RiskPolicyConfig) may set others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// Below 30.
    Healthy,
    /// From 30.
    Watch,
    /// From 50: respond within two hours.
    Degrading,
    /// From 60: respond within an hour.
    Warning,
    /// From 70: respond within 30 minutes.
    Danger,
    /// From 80: respond within 15 minutes.
    Critical,
    /// From 90: respond within 5 minutes.
    ImminentFailure,
}

/// The four levels of the wire format of `GET /predictions/current`, for old clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireLevel {
    /// Below 20.
    Healthy,
    /// From 20.
    Watch,
    /// From 40.
    Warning,
    /// From 70.
    Critical,
}

impl RiskLevel {
    /// All levels, the most urgent first.
    pub const ALL: [Self; 7] = [
        Self::ImminentFailure,
        Self::Critical,
        Self::Danger,
        Self::Warning,
        Self::Degrading,
        Self::Watch,
        Self::Healthy,
    ];

    /// Returns the level of a score by default; NaN is healthy.
    pub fn of(score: f64) -> Self {
        Self::ALL.into_iter().find(|level| score >= level.score_min()).unwrap_or(Self::Healthy)
    }

    /// Returns the least score of this level by default.
    pub const fn score_min(self) -> f64 {
        match self {
            Self::ImminentFailure => 90.0,
            Self::Critical => 80.0,
            Self::Danger => 70.0,
            Self::Warning => 60.0,
            Self::Degrading => 50.0,
            Self::Watch => 30.0,
            Self::Healthy => 0.0,
        }
    }

    /// Returns within how many minutes somebody should respond by default, if anybody should.
    pub const fn response_minutes(self) -> Option<u32> {
        match self {
            Self::ImminentFailure => Some(5),
            Self::Critical => Some(15),
            Self::Danger => Some(30),
            Self::Warning => Some(60),
            Self::Degrading => Some(120),
            Self::Watch | Self::Healthy => None,
        }
    }

    /// Returns the level's name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ImminentFailure => "Imminent failure",
            Self::Critical => "Critical",
            Self::Danger => "Danger",
            Self::Warning => "Warning",
            Self::Degrading => "Degrading",
            Self::Watch => "Watch",
            Self::Healthy => "Healthy",
        }
    }

    /// Returns the level's name for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImminentFailure => "imminent_failure",
            Self::Critical => "critical",
            Self::Danger => "danger",
            Self::Warning => "warning",
            Self::Degrading => "degrading",
            Self::Watch => "watch",
            Self::Healthy => "healthy",
        }
    }
}

impl WireLevel {
    /// Returns the level of a score; NaN is healthy.
    pub fn of(score: f64) -> Self {
        let from = [(70.0, Self::Critical), (40.0, Self::Warning), (20.0, Self::Watch)];
        from.into_iter().find(|&(score_min, _)| score >= score_min).map_or(Self::Healthy, |(_, level)| level)
    }

    /// Returns the level's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Watch => "watch",
            Self::Healthy => "healthy",
        }
    }

    /// Returns the level's name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Critical => "Critical",
            Self::Warning => "Warning",
            Self::Watch => "Watch",
            Self::Healthy => "Healthy",
        }
    }

    /// Returns the level's colour as `#rrggbb`.
    pub const fn color(self) -> &'static str {
        match self {
            Self::Critical => "#ff4444",
            Self::Warning => "#ff9900",
            Self::Watch => "#ffcc00",
            Self::Healthy => "#44ff44",
        }
    }

    /// Returns the level's sign, which is part of the wire format.
    pub const fn emoji(self) -> &'static str {
        match self {
            Self::Critical => "🔴",
            Self::Warning => "🟠",
            Self::Watch => "🟡",
            Self::Healthy => "🟢",
        }
    }
}

impl fmt::Display for RiskLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for WireLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rung_begins_at_its_least_score() {
        for (score, level, minutes) in [
            (100.0, RiskLevel::ImminentFailure, Some(5)),
            (90.0, RiskLevel::ImminentFailure, Some(5)),
            (89.9, RiskLevel::Critical, Some(15)),
            (79.9, RiskLevel::Danger, Some(30)),
            (69.9, RiskLevel::Warning, Some(60)),
            (59.9, RiskLevel::Degrading, Some(120)),
            (49.9, RiskLevel::Watch, None),
            (29.9, RiskLevel::Healthy, None),
            (f64::NAN, RiskLevel::Healthy, None),
        ] {
            assert_eq!((RiskLevel::of(score), level.response_minutes()), (level, minutes), "{score}");
        }
    }

    #[test]
    fn old_clients_see_four_levels() {
        let shown = |score| {
            let level = WireLevel::of(score);
            format!("{level} {} {} {}", level.color(), level.emoji(), level.label())
        };
        assert_eq!(shown(70.0), "critical #ff4444 🔴 Critical");
        assert_eq!(shown(69.9), "warning #ff9900 🟠 Warning");
        assert_eq!(shown(39.9), "watch #ffcc00 🟡 Watch");
        assert_eq!(shown(19.9), "healthy #44ff44 🟢 Healthy");
    }

    #[test]
    fn levels_spell_the_same_in_json_and_text() {
        for level in RiskLevel::ALL {
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
    }
}
