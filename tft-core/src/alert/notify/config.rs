//! What a [`Notifier`](super::Notifier) is built from.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::error::NotifyError;
use super::inhibit::InhibitRule;
use super::receiver::Receiver;
use super::silences::SilenceConfig;

/// Receivers, inhibition and limits.
///
/// # Defaults
/// No receivers; critical alerts inhibit less severe ones of the same server; 100 alerts listed per message, ten minutes to
/// deliver one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifierConfig {
    /// Who is told; at most [`Receiver::COUNT_MAX`].
    pub receivers: Vec<Receiver>,
    /// Which alerts need not be told because of others; at most [`InhibitRule::COUNT_MAX`].
    pub inhibit_rules: Vec<InhibitRule>,
    /// Most alerts that a message lists; 1 to [`NotifierConfig::LISTED_MAX`].
    pub alerts_listed_max: usize,
    /// For how long a message may be on its way before it is given up and made anew, in milliseconds; 1,000 to a day.
    pub delivery_ms_max: i64,
    /// Limits of silences.
    pub silences: SilenceConfig,
}

impl NotifierConfig {
    /// Most alerts that a message can be made to list.
    pub const LISTED_MAX: usize = 10_000;

    pub(super) fn validate(&self) -> Result<(), NotifyError> {
        let refuse = |field, value: i64, allowed: String| {
            Err(NotifyError::field("notifier configuration", field, value, allowed))
        };
        let counts = [
            ("receivers", self.receivers.len(), 0, Receiver::COUNT_MAX),
            ("inhibit_rules", self.inhibit_rules.len(), 0, InhibitRule::COUNT_MAX),
            ("alerts_listed_max", self.alerts_listed_max, 1, Self::LISTED_MAX),
        ];
        for (field, value, least, most) in counts {
            if !(least..=most).contains(&value) {
                return refuse(field, value as i64, format!("{least} to {most}"));
            }
        }
        if !(1000..=86_400_000).contains(&self.delivery_ms_max) {
            return refuse("delivery_ms_max", self.delivery_ms_max, "1000 to 86400000".to_owned());
        }
        let mut names = HashSet::new();
        for (index, receiver) in self.receivers.iter().enumerate() {
            receiver.validate(index)?;
            if !names.insert(&receiver.name) {
                return Err(NotifyError::Duplicate { what: "receiver", name: receiver.name.clone() });
            }
        }
        self.inhibit_rules.iter().enumerate().try_for_each(|(index, rule)| rule.validate(index))
    }
}

impl Default for NotifierConfig {
    fn default() -> Self {
        Self {
            receivers: Vec::new(),
            inhibit_rules: vec![InhibitRule::default()],
            alerts_listed_max: 100,
            delivery_ms_max: 600_000,
            silences: SilenceConfig::default(),
        }
    }
}
