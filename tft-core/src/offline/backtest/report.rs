//! The figures of a backtest, and how people read them.

use std::fmt::{self, Display, Formatter};

use serde::{Serialize, Serializer};

use super::{BacktestConfig, IncidentFigures, Quartiles, RuleFigures};
use crate::time::{StepLength, Timestamp};

/// What rules would have done over a history.
///
/// Its text is a table with a line per rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BacktestReport {
    /// When rules were first judged.
    #[serde(serialize_with = "as_text")]
    pub from: Timestamp,
    /// The end of the time that the last judgement stands for.
    #[serde(serialize_with = "as_text")]
    pub until: Timestamp,
    /// The length of a step.
    #[serde(rename = "step_ms")]
    pub step_length: StepLength,
    /// How it was judged.
    pub config: BacktestConfig,
    /// The model's name; none if the fallback forecast.
    pub model_id: Option<String>,
    /// How often rules were judged.
    pub judgements: usize,
    /// Servers that were judged.
    pub servers: usize,
    /// Servers times the days for which they were judged.
    pub server_days: f64,
    /// Incidents that began while rules were judged; none if nobody said what was one.
    pub incidents: Option<usize>,
    /// The figures of each rule, in the order of the rules.
    pub rules: Vec<RuleFigures>,
    /// The figures of all rules as one: episodes of a server that overlap are one episode.
    pub any_rule: RuleFigures,
}

impl Display for BacktestReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let model = self.model_id.as_ref().map_or_else(
            || "forecast by the statistical fallback".to_owned(),
            |model| format!("forecast by `{model}`"),
        );
        let (servers, days, judgements) = (self.servers, self.server_days, self.judgements);
        writeln!(f, "{} to {}", self.from, self.until)?;
        writeln!(f, "{servers} servers, {days:.1} server-days, judged {judgements} times, {model}")?;
        if let Some(incidents) = self.incidents {
            let window = self.config.early_window;
            writeln!(f, "{incidents} incidents; an alert counts from {window} before one to its end")?;
        }
        writeln!(f)?;
        let lines = std::iter::once(self.headings());
        let lines = lines.chain(self.rules.iter().chain([&self.any_rule]).map(RuleFigures::cells));
        write_table(f, &lines.collect::<Vec<_>>())
    }
}

impl BacktestReport {
    fn headings(&self) -> Vec<String> {
        const ALWAYS: [&str; 7] =
            ["rule", "episodes", "critical", "open", "servers", "alert hours", "min to resolve"];
        const OF_INCIDENTS: [&str; 6] =
            ["precision", "recall", "early", "lead min", "false/server-day", "quiet share"];
        let of_incidents: &[_] = if self.incidents.is_some() { &OF_INCIDENTS } else { &[] };
        ALWAYS.iter().chain(of_incidents).map(|&heading| heading.to_owned()).collect()
    }
}

impl RuleFigures {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            self.rule.clone(),
            self.episodes.to_string(),
            self.critical_episodes.to_string(),
            self.unresolved.to_string(),
            self.servers.to_string(),
            format!("{:.1}", self.alert_hours),
            distribution(self.minutes_to_resolve),
        ];
        cells.extend(self.incidents.iter().flat_map(IncidentFigures::cells));
        cells
    }
}

impl IncidentFigures {
    fn cells(&self) -> [String; 6] {
        let share = |share: Option<f64>| share.map_or_else(|| NONE.to_owned(), |share| format!("{share:.2}"));
        [
            share(self.precision),
            share(self.recall),
            share(self.early_recall),
            distribution(self.lead_minutes),
            format!("{:.2}", self.false_per_server_day),
            self.quiet_share.map_or_else(|| NONE.to_owned(), |share| format!("{share:.3}")),
        ]
    }
}

/// The median with the quartiles.
fn distribution(quartiles: Option<Quartiles>) -> String {
    quartiles.map_or_else(
        || NONE.to_owned(),
        |quartiles| format!("{:.0} ({:.0}..{:.0})", quartiles.p50, quartiles.p25, quartiles.p75),
    )
}

/// Writes lines of cells, the first to the left and the others to the right.
fn write_table(f: &mut Formatter<'_>, lines: &[Vec<String>]) -> fmt::Result {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    for line in lines {
        let mut cells = line.iter().zip(&widths);
        if let Some((first, width)) = cells.next() {
            write!(f, "{first:<width$}")?;
        }
        cells.try_for_each(|(cell, width)| write!(f, "  {cell:>width$}"))?;
        writeln!(f)?;
    }
    Ok(())
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn as_text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

const NONE: &str = "-";
