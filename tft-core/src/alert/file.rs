//! The whole of an operator's file: rules, labels, and the tables of risk and of breaches.

use serde::{Deserialize, Serialize};

use super::check::check;
use super::{AlertConfig, Rule, ServerLabels};
use crate::error::{Error, ErrorKind};
use crate::problems::Problems;
use crate::risk::{FleetPolicy, RiskPolicy, RiskPolicyConfig};
use crate::schema::Schema;
use crate::time::DurationMs;

/// The content of a rule file, in TOML, JSON or any other form that serde reads.
///
/// # Defaults
/// Without rules and without [`preset`](Self::preset) the preset `tft`; the default tables of risk and breaches for the
/// schema; the limits of [`AlertConfig`].
///
/// # Examples
/// ```
/// # use tft_core::alert::RuleFile;
/// # use tft_core::schema::Schema;
/// let file: RuleFile = serde_json::from_str(r#"{
///     "preset": ["tft"],
///     "rules": [{
///         "name": "memory_tonight",
///         "when": {"kind": "probability", "metric": "mem_used_pct", "reaches": 95, "within": "8h"},
///         "thresholds": {"warning": 0.5, "critical": 0.8},
///         "for": "10m"
///     }]
/// }"#)?;
/// let policies = file.resolve(&Schema::server_metrics())?;
/// assert_eq!(policies.alerts.rules.len(), 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct RuleFile {
    /// Ready-made rules to begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Vec<Preset>>,
    /// Rules; one of a preset's name takes its place.
    pub rules: Vec<Rule>,
    /// The labels of servers.
    pub server_labels: Vec<ServerLabels>,
    /// Most alerts at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerts_max: Option<usize>,
    /// For how long an alert without data stays when its server is not observed at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent_retention: Option<DurationMs>,
    /// The table of risk points and levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<RiskPolicyConfig>,
    /// The thresholds by which the fleet is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetPolicy>,
}

/// A set of ready-made rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Preset {
    /// Forecasts that pass thresholds; see [`Rule::preset_tft`].
    Tft,
    /// Usage beyond fixed limits; see [`Rule::preset_nifty`].
    Nifty,
    /// Severity by how far a limit is passed; see [`Rule::preset_monitorx`].
    Monitorx,
    /// Sustained usage; see [`Rule::preset_mfc`].
    Mfc,
    /// The monitoring service itself; see [`Rule::preset_service`].
    Service,
}

/// What a [`RuleFile`] says, checked against a schema.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Policies {
    /// The rules, those of presets included, and limits.
    pub alerts: AlertConfig,
    /// How risk is scored.
    pub risk: RiskPolicy,
    /// How the fleet is judged.
    pub fleet: FleetPolicy,
}

impl RuleFile {
    /// Checks the file against a schema.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming every rule, field and value at fault.
    pub fn validate(&self, schema: &Schema) -> Result<(), Error> {
        self.resolve(schema).map(drop)
    }

    /// Checks the file against a schema, and adds the rules of its presets and the default tables.
    ///
    /// A table of risk without rows of its own gets those that the schema has by default.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming every rule, field and value at fault.
    pub fn resolve(&self, schema: &Schema) -> Result<Policies, Error> {
        let mut problems = Problems::default();
        let alerts = self.alerts(schema, &mut problems);
        check(&alerts, schema, &mut problems);
        let risk = self.risk.clone().map_or_else(
            || Ok(RiskPolicy::for_schema(schema)),
            |config| RiskPolicy::new(config.fitted_to(schema)),
        );
        let risk = risk.inspect_err(|error| problems.push(error)).unwrap_or_default();
        let fleet = self.fleet.clone().unwrap_or_else(|| FleetPolicy::for_schema(schema));
        if let Err(error) = fleet.validate() {
            problems.push(error);
        }
        problems.into_result(ErrorKind::InvalidConfig, "rule file")?;
        Ok(Policies { alerts, risk, fleet })
    }

    fn alerts(&self, schema: &Schema, problems: &mut Problems) -> AlertConfig {
        let default = if self.rules.is_empty() { &[Preset::Tft][..] } else { &[] };
        let presets = self.preset.as_deref().unwrap_or(default);
        if presets.len() > Preset::ALL.len() {
            let (count, max) = (presets.len(), Preset::ALL.len());
            problems.push(format_args!("`preset` has {count} names, allowed are at most {max}"));
        }
        let presets = Preset::ALL.into_iter().filter(|preset| presets.contains(preset));
        let replaced: std::collections::HashSet<_> =
            self.rules.iter().map(|rule| rule.name.as_str()).collect();
        let of_presets = presets.flat_map(|preset| preset.rules(schema));
        let mut rules: Vec<_> = of_presets.filter(|rule| !replaced.contains(rule.name.as_str())).collect();
        rules.extend_from_slice(&self.rules);
        AlertConfig {
            rules,
            server_labels: self.server_labels.clone(),
            alerts_max: self.alerts_max.unwrap_or(AlertConfig::ALERTS_MAX),
            absent_retention: self.absent_retention.unwrap_or(AlertConfig::ABSENT_RETENTION),
        }
    }
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 5] = [Self::Tft, Self::Nifty, Self::Monitorx, Self::Mfc, Self::Service];

    /// Returns the rules for a schema; those for metrics that it lacks are left out.
    pub fn rules(self, schema: &Schema) -> Vec<Rule> {
        match self {
            Self::Tft => Rule::preset_tft(schema),
            Self::Nifty => Rule::preset_nifty(schema),
            Self::Monitorx => Rule::preset_monitorx(schema),
            Self::Mfc => Rule::preset_mfc(schema),
            Self::Service => Rule::preset_service(schema),
        }
    }

    /// Returns the name in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tft => "tft",
            Self::Nifty => "nifty",
            Self::Monitorx => "monitorx",
            Self::Mfc => "mfc",
            Self::Service => "service",
        }
    }
}
