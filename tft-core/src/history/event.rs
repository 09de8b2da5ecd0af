//! What happened to an alert or a silence, in one flat row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::entry::HistoryEntry;
use super::error::HistoryError;
use super::life::LifeKey;
use super::query::Query;
use super::row::sealed::Stored;
use super::row::{Cell, Cells, Column, HistoryRow, Table};
use crate::alert::{Alert, AlertState, Severity, Transition};
use crate::error::Error;
use crate::time::Timestamp;

/// What happened to an alert or a silence; a row of the table `alerts`.
///
/// Texts are empty where there is nothing to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AlertEvent {
    /// Its place in the history, from 1 on; 0 until it is appended.
    #[serde(skip)]
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// The server; empty for a silence.
    pub server: String,
    /// The server's profile.
    pub profile: String,
    /// The rule's name.
    pub rule: String,
    /// The metric's name, or `risk_score`.
    pub metric: String,
    /// How bad the alert is.
    pub severity: Option<Severity>,
    /// Where in its life the alert is.
    pub state: Option<AlertState>,
    /// Where it was before, for a transition of one that was known.
    pub previous_state: Option<AlertState>,
    /// Since when it is in this state.
    pub since: Option<Timestamp>,
    /// Since when the alert exists; with the fingerprint it tells one life of an alert from the next.
    pub first_seen: Option<Timestamp>,
    /// The level of the quantile that the rule compares.
    pub quantile: Option<f64>,
    /// The threshold that is reached, in the metric's unit.
    pub threshold: Option<f64>,
    /// The observed value, in the metric's unit.
    pub current_value: Option<f64>,
    /// The worst value within the look-ahead, in the metric's unit.
    pub predicted_value: Option<f64>,
    /// The first step at which the threshold is reached.
    pub steps_ahead: Option<u64>,
    /// The same in minutes.
    pub minutes_ahead: Option<f64>,
    /// The server's risk score, 0 to 100, at that time.
    pub risk_score: Option<f64>,
    /// The alert's sentence for people; for a silence what it matches.
    pub message: String,
    /// The rule's labels.
    pub labels: BTreeMap<String, String>,
    /// The alert's fingerprint, or the silence's id.
    pub fingerprint: String,
    /// Who did it; empty for a transition.
    pub actor: String,
    /// What they wrote.
    pub note: String,
    /// When what they did ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The alert changed its state or severity.
    #[default]
    Transition,
    /// Somebody has taken the alert over.
    Acknowledged,
    /// Nobody has any more.
    Unacknowledged,
    /// Somebody wrote a note.
    Note,
    /// A silence was set or changed.
    SilenceSet,
    /// A silence ended, by itself or by somebody.
    SilenceExpired,
}

impl AlertEvent {
    /// Most bytes of a note.
    pub const NOTE_BYTES_MAX: usize = 4096;
    /// Most bytes of the name of who did something.
    pub const ACTOR_BYTES_MAX: usize = 256;

    /// Describes a change in the life of an alert, and the server's risk score then.
    pub fn transition(transition: &Transition, at: Timestamp, risk_score: Option<f64>) -> Self {
        let event = Self::about(&transition.alert, EventKind::Transition, at);
        Self { previous_state: transition.from, risk_score, ..event }
    }

    /// Describes what somebody did about an alert.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the actor or the note is longer than allowed.
    pub fn action(
        alert: &Alert,
        kind: EventKind,
        at: Timestamp,
        (actor, note): (&str, &str),
    ) -> Result<Self, Error> {
        Self::about(alert, kind, at).by(actor, note)
    }

    /// Describes what somebody did about a silence: its id, what it matches, and when it ends.
    ///
    /// # Errors
    /// As [`action`](Self::action).
    pub fn silence(
        kind: EventKind,
        at: Timestamp,
        (id, matchers, expires_at): (&str, &str, Option<Timestamp>),
        (actor, note): (&str, &str),
    ) -> Result<Self, Error> {
        let (fingerprint, message) = (id.to_owned(), matchers.to_owned());
        Self { at, kind, message, fingerprint, expires_at, ..Self::default() }.by(actor, note)
    }

    /// Describes a note about the alert that this row is about.
    ///
    /// # Errors
    /// As [`action`](Self::action).
    pub fn followed_by(
        &self,
        kind: EventKind,
        at: Timestamp,
        (actor, note): (&str, &str),
    ) -> Result<Self, Error> {
        Self { sequence: 0, at, kind, previous_state: None, expires_at: None, ..self.clone() }.by(actor, note)
    }

    /// Returns which life of which alert it belongs to; none for a silence.
    pub fn life(&self) -> Option<LifeKey> {
        Some(LifeKey { fingerprint: self.fingerprint.clone(), first_seen: self.first_seen? })
    }

    fn about(alert: &Alert, kind: EventKind, at: Timestamp) -> Self {
        Self {
            at,
            kind,
            server: alert.server.to_string(),
            profile: alert.profile.to_string(),
            rule: alert.rule.clone(),
            metric: alert.metric.clone(),
            severity: Some(alert.severity),
            state: Some(alert.state),
            since: Some(alert.since),
            first_seen: Some(alert.first_seen),
            quantile: Some(alert.quantile),
            threshold: alert.threshold,
            current_value: alert.current_value,
            predicted_value: alert.predicted_value,
            steps_ahead: alert.steps_ahead.map(|steps| steps as u64),
            minutes_ahead: alert.minutes_ahead,
            message: alert.message.clone(),
            labels: alert.labels.clone(),
            fingerprint: alert.fingerprint.clone(),
            ..Self::default()
        }
    }

    fn by(mut self, actor: &str, note: &str) -> Result<Self, Error> {
        let least = usize::from(self.kind == EventKind::Note);
        for (field, text, min, max) in
            [("actor", actor, 0, Self::ACTOR_BYTES_MAX), ("note", note, least, Self::NOTE_BYTES_MAX)]
        {
            if !(min..=max).contains(&text.len()) {
                return Err(HistoryError::TextLength { field, bytes: text.len(), max }.into());
            }
        }
        (self.actor, self.note) = (actor.to_owned(), note.to_owned());
        Ok(self)
    }
}

impl Default for AlertEvent {
    fn default() -> Self {
        Self {
            sequence: 0,
            at: Timestamp::from_millis(0),
            kind: EventKind::default(),
            server: String::new(),
            profile: String::new(),
            rule: String::new(),
            metric: String::new(),
            severity: None,
            state: None,
            previous_state: None,
            since: None,
            first_seen: None,
            quantile: None,
            threshold: None,
            current_value: None,
            predicted_value: None,
            steps_ahead: None,
            minutes_ahead: None,
            risk_score: None,
            message: String::new(),
            labels: BTreeMap::new(),
            fingerprint: String::new(),
            actor: String::new(),
            note: String::new(),
            expires_at: None,
        }
    }
}

impl EventKind {
    /// Returns the name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transition => "transition",
            Self::Acknowledged => "acknowledged",
            Self::Unacknowledged => "unacknowledged",
            Self::Note => "note",
            Self::SilenceSet => "silence_set",
            Self::SilenceExpired => "silence_expired",
        }
    }

    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Transition,
        Self::Acknowledged,
        Self::Unacknowledged,
        Self::Note,
        Self::SilenceSet,
        Self::SilenceExpired,
    ];

    /// Reads a kind by its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl HistoryRow for AlertEvent {
    const TABLE: Table = Table::Alerts;
    const COLUMNS: &'static [Column] = &[
        Column::whole("sequence"),
        Column::time("timestamp"),
        Column::text("kind"),
        Column::text("server_name"),
        Column::text("profile"),
        Column::text("rule"),
        Column::text("metric"),
        Column::text("severity"),
        Column::text("state"),
        Column::text("previous_state"),
        Column::time("since"),
        Column::time("first_seen"),
        Column::number("quantile"),
        Column::number("threshold"),
        Column::number("current_value"),
        Column::number("predicted_value"),
        Column::whole("steps_ahead"),
        Column::number("minutes_ahead"),
        Column::number("risk_score"),
        Column::text("message"),
        Column::text("labels"),
        Column::text("fingerprint"),
        Column::text("actor"),
        Column::text("note"),
        Column::time("expires_at"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let labels = if self.labels.is_empty() {
            Cell::Missing
        } else {
            Cell::Text(serde_json::to_string(&self.labels).unwrap_or_default())
        };
        vec![
            Cell::whole(self.sequence),
            Cell::Time(self.at),
            Cell::text(self.kind.as_str()),
            Cell::text(&self.server),
            Cell::text(&self.profile),
            Cell::text(&self.rule),
            Cell::text(&self.metric),
            Cell::word(self.severity.map(Severity::as_str)),
            Cell::word(self.state.map(AlertState::as_str)),
            Cell::word(self.previous_state.map(AlertState::as_str)),
            Cell::time(self.since),
            Cell::time(self.first_seen),
            Cell::number(self.quantile),
            Cell::number(self.threshold),
            Cell::number(self.current_value),
            Cell::number(self.predicted_value),
            self.steps_ahead.map_or(Cell::Missing, Cell::whole),
            Cell::number(self.minutes_ahead),
            Cell::number(self.risk_score),
            Cell::text(&self.message),
            labels,
            Cell::text(&self.fingerprint),
            Cell::text(&self.actor),
            Cell::text(&self.note),
            Cell::time(self.expires_at),
        ]
    }
}

impl Stored for AlertEvent {
    fn of_cells(cells: &mut Cells<'_>) -> Option<Self> {
        let text = |name| cells.text(name).to_owned();
        Some(Self {
            sequence: cells.whole("sequence")?,
            at: cells.time("timestamp")?,
            kind: cells.word("kind")??,
            server: text("server_name"),
            profile: text("profile"),
            rule: text("rule"),
            metric: text("metric"),
            severity: cells.word("severity")?,
            state: cells.word("state")?,
            previous_state: cells.word("previous_state")?,
            since: cells.time("since"),
            first_seen: cells.time("first_seen"),
            quantile: cells.number("quantile"),
            threshold: cells.number("threshold"),
            current_value: cells.number("current_value"),
            predicted_value: cells.number("predicted_value"),
            steps_ahead: cells.whole("steps_ahead"),
            minutes_ahead: cells.number("minutes_ahead"),
            risk_score: cells.number("risk_score"),
            message: text("message"),
            labels: cells.json("labels")?,
            fingerprint: text("fingerprint"),
            actor: text("actor"),
            note: text("note"),
            expires_at: cells.time("expires_at"),
        })
    }

    fn of_entry(entry: &HistoryEntry) -> Option<&Self> {
        if let HistoryEntry::Alert(event) = entry { Some(event) } else { None }
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn is_asked_for(&self, query: &Query) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
        is(&query.server, &self.server)
            && is(&query.rule, &self.rule)
            && is(&query.fingerprint, &self.fingerprint)
            && query.severity.is_none_or(|severity| self.severity == Some(severity))
            && query.kind.is_none_or(|kind| self.kind == kind)
    }
}
