//! Reading one value of a setting.

use std::str::FromStr;
use std::time::Duration;

use super::ConfigError;

/// Sets a target from text, if there is any.
pub(crate) fn set<T>(
    target: &mut T,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, ConfigError>,
) -> Result<(), ConfigError> {
    if let Some(text) = given(text) {
        *target = parse(text)?;
    }
    Ok(())
}

/// Returns the text of a setting without white space around it; none if nothing is left.
pub(crate) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// Sets text that is not given.
pub(crate) fn fill(target: &mut Option<String>, text: Option<String>) {
    if given(target.as_deref()).is_none() && text.is_some() {
        *target = text;
    }
}

pub(crate) fn refused(key: &'static str, value: &str, reason: &'static str) -> ConfigError {
    ConfigError::Value { key, value: value.to_owned(), reason }
}

/// Reads a number within a range.
pub(crate) fn number<T: FromStr + PartialOrd>(
    key: &'static str,
    text: &str,
    range: std::ops::RangeInclusive<T>,
    reason: &'static str,
) -> Result<T, ConfigError> {
    let parsed = text.parse().ok().filter(|number| range.contains(number));
    parsed.ok_or_else(|| refused(key, text, reason))
}

/// Reads a yes or no.
pub(crate) fn flag(key: &'static str, text: &str) -> Result<bool, ConfigError> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(refused(key, text, "is not `true` or `false`")),
    }
}

/// Reads whole seconds, 1 to a day.
pub(crate) fn seconds(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let seconds = number(key, text, 1..=86_400, "is not a number of seconds, 1 to 86400")?;
    Ok(Duration::from_secs(seconds))
}

/// Reads the entries of a list separated by commas.
pub(crate) fn list<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(parse).collect()
}
