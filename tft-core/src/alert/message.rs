//! What an alert says to people, and its fingerprint.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::life::Watch;
use super::reading::{Hit, Reading};
use super::{Condition, Direction};
use crate::forecast::Quantile;
use crate::risk::Threshold;
use crate::schema::BadSide;
use crate::window::ReadinessState;

/// A threshold is reached, now or in the forecast.
pub(super) fn broken(watch: &Watch<'_>, hit: Hit, reading: &Reading) -> String {
    let (what, threshold) = (what(watch), with_unit(hit.threshold, watch.unit()));
    let (beyond, extreme) = (beyond(watch), extreme(watch, reading));
    if hit.steps_ahead > 0 {
        let level = watch.rule().condition.quantile().and_then(|level| Quantile::new(level).ok());
        let quantile = level.map(Quantile::label).unwrap_or_default();
        let minutes = number(watch.minutes(hit.steps_ahead));
        return format!(
            "{what} is forecast ({quantile}) to be {beyond} {threshold} in {minutes} minutes, {extreme}."
        );
    }
    format!("{what} is {beyond} {threshold}, {extreme}.")
}

/// A threshold is not reached any more, but the value has not recovered from it either.
pub(super) fn held(watch: &Watch<'_>, hit: Hit, reading: &Reading) -> String {
    let limit = with_unit(hit.recovery, watch.unit());
    format!("{} has eased, {}, not yet past {limit}.", what(watch), extreme(watch, reading))
}

/// The value has recovered, but not for long enough.
pub(super) fn kept(watch: &Watch<'_>, reading: &Reading) -> String {
    let keeping = watch.rule().keep_firing_for;
    format!("{} has recovered, {}, for less than {keeping} so far.", what(watch), extreme(watch, reading))
}

/// The value has recovered.
pub(super) fn recovered(watch: &Watch<'_>, reading: &Reading) -> String {
    format!("{} has recovered, {}.", what(watch), extreme(watch, reading))
}

/// There is neither a value nor a forecast.
pub(super) fn no_data(watch: &Watch<'_>) -> String {
    format!("{} has no data.", what(watch))
}

/// The rule does not look at the server for now.
pub(super) fn excluded(watch: &Watch<'_>) -> String {
    format!("{} is not watched: the server is in maintenance or not selected any more.", what(watch))
}

/// The server has not been heard of for long.
pub(super) fn forgotten(watch: &Watch<'_>) -> String {
    format!("{} is not watched any more: no data for too long.", what(watch))
}

/// A stable name for a server and a rule with its labels: 64-bit FNV-1a as 16 hex digits
/// (Fowler, Noll and Vo), each part closed by a zero byte.
pub(super) fn fingerprint(server: &str, rule: &str, labels: &BTreeMap<String, String>) -> String {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let labels = labels.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
    let parts = [server, rule].into_iter().chain(labels);
    let bytes = parts.flat_map(|part| part.bytes().chain([0]));
    let hash = bytes.fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}

/// Writes about three significant digits, without trailing zeros.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 1000.0 => 0,
        large if large >= 10.0 => 1,
        middle if middle >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

pub(crate) fn with_unit(value: f64, unit: &str) -> String {
    if unit.is_empty() { number(value) } else { format!("{} {unit}", number(value)) }
}

/// What is compared, of which server.
fn what(watch: &Watch<'_>) -> String {
    let (metric, server) = (&watch.checked.metric_name, watch.server);
    match &watch.rule().condition {
        Condition::Observed { .. } | Condition::Forecast { .. } => format!("{metric} of {server}"),
        Condition::Risk {} => format!("Risk score of {server}"),
        Condition::Probability { reaches, .. } => {
            let (side, minutes) = (side(watch), number(watch.minutes(watch.scope.steps)));
            let at = of_metric(watch, *reaches);
            format!("Probability that {metric} of {server} gets {side} {at} within {minutes} minutes")
        }
        Condition::Readiness { states } => {
            let states: Vec<_> = states.iter().copied().map(ReadinessState::as_str).collect();
            format!("Time of {server} in state {}", states.join(" or "))
        }
        Condition::Missing { .. } => format!("Time without {metric} of {server}"),
        Condition::Share { reaches, over, .. } => {
            let (side, at) = (side(watch), of_metric(watch, *reaches));
            format!("Share of {metric} of {server} {side} {at} over {over}")
        }
    }
}

/// A value of the metric that the condition names.
fn of_metric(watch: &Watch<'_>, at: Threshold) -> String {
    match at {
        Threshold::Value(value) => with_unit(value, &watch.checked.metric_unit),
        Threshold::OwnQuantile(_) => at.to_string(),
    }
}

fn beyond(watch: &Watch<'_>) -> &'static str {
    let is_strict = watch.rule().strict;
    match (watch.rule().side(), is_strict) {
        (BadSide::High, false) => "at or above",
        (BadSide::High, true) => "above",
        (BadSide::Low, false) => "at or below",
        (BadSide::Low, true) => "below",
    }
}

/// To which side of the condition's own value the metric is in trouble.
fn side(watch: &Watch<'_>) -> &'static str {
    match watch.rule().direction {
        Direction::Above => "at or above",
        Direction::Below => "at or below",
    }
}

/// The worst value and how far the rule looks, or the value now.
fn extreme(watch: &Watch<'_>, reading: &Reading) -> String {
    let mut text = with_unit(reading.worst, watch.unit());
    let looks_ahead = matches!(watch.rule().condition, Condition::Forecast { .. }) && watch.scope.steps > 0;
    let _ = if looks_ahead {
        write!(text, " at worst within {} minutes", number(watch.minutes(watch.scope.steps)))
    } else {
        text.write_str(" now")
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts: Vec<_> =
            [204_471_872.4, 1000.0, 96.24, 95.0, 0.05, 1.0 / 3.0, 0.0, -3.25].map(number).to_vec();
        assert_eq!(texts, ["204471872", "1000", "96.2", "95", "0.05", "0.33", "0", "-3.25"]);
    }

    #[test]
    fn fingerprints_are_stable_and_depend_on_every_part() {
        let labels = BTreeMap::from([("team".to_owned(), "db".to_owned())]);
        assert_eq!(
            fingerprint("db-7", "memory", &BTreeMap::new()),
            fingerprint("db-7", "memory", &BTreeMap::new())
        );
        insta::assert_snapshot!(fingerprint("db-7", "memory", &labels), @"3c908a79cfa08275");
        assert_ne!(fingerprint("db-7", "memory", &labels), fingerprint("db-7", "memory", &BTreeMap::new()));
        assert_ne!(fingerprint("ab", "c", &labels), fingerprint("a", "bc", &labels));
    }
}
