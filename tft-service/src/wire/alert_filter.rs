//! Which of the active alerts a reader asks for.

use std::collections::BTreeSet;

use tft_core::alert::{Alert, AlertState, AlertStatus};

use super::interest::shorten;
use crate::http::{Query, Refusal};

/// The part of the active alerts that a reply has.
///
/// # Defaults
/// All of them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct AlertFilter {
    servers: Option<BTreeSet<String>>,
    states: Option<Vec<AlertState>>,
    is_silenced: Option<bool>,
    is_inhibited: Option<bool>,
    is_acknowledged: Option<bool>,
}

impl AlertFilter {
    /// The states that can be asked for: alerts that are over are not listed.
    pub(crate) const STATES: [AlertState; 3] = [AlertState::Pending, AlertState::Firing, AlertState::NoData];

    /// Reads `?server=a,b&state=firing,no_data&silenced=false&inhibited=false&acknowledged=false`. A server without alerts
    /// is no mistake.
    ///
    /// # Errors
    /// [`Refusal::BadRequest`] for an unknown state, and for what is neither `true` nor `false`.
    pub(crate) fn parse(query: &Query) -> Result<Self, Refusal> {
        let servers = query.list("server");
        let states = query.list("state");
        let parse_states = |names: Vec<&str>| names.into_iter().map(parse_state).collect::<Result<_, _>>();
        Ok(Self {
            servers: servers.map(|names| names.into_iter().map(str::to_owned).collect()),
            states: states.map(parse_states).transpose()?,
            is_silenced: parse_flag(query, "silenced")?,
            is_inhibited: parse_flag(query, "inhibited")?,
            is_acknowledged: parse_flag(query, "acknowledged")?,
        })
    }

    /// Returns whether all alerts are asked for.
    pub(crate) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether an alert is asked for.
    pub(super) fn selects(&self, alert: &Alert, status: Option<&AlertStatus>) -> bool {
        let is = |wanted: Option<bool>, is_so: fn(&AlertStatus) -> bool| {
            wanted.is_none_or(|wanted| wanted == status.is_some_and(is_so))
        };
        self.servers.as_ref().is_none_or(|servers| servers.contains(alert.server.as_str()))
            && self.states.as_ref().is_none_or(|states| states.contains(&alert.state))
            && is(self.is_silenced, |status| !status.silenced_by.is_empty())
            && is(self.is_inhibited, |status| !status.inhibited_by.is_empty())
            && is(self.is_acknowledged, |status| status.acknowledgement.is_some())
    }
}

fn parse_state(name: &str) -> Result<AlertState, Refusal> {
    AlertFilter::STATES.into_iter().find(|state| state.as_str() == name).ok_or_else(|| {
        let name = shorten(name);
        Refusal::BadRequest(format!("state `{name}` is none of pending, firing and no_data"))
    })
}

fn parse_flag(query: &Query, name: &str) -> Result<Option<bool>, Refusal> {
    let parse = |text: &str| {
        let text = shorten(text);
        text.parse().map_err(|_| Refusal::BadRequest(format!("{name} `{text}` is neither true nor false")))
    };
    query.value(name).map(parse).transpose()
}
