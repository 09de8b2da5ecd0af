//! Thresholds: plain values, or quantiles of a server's own history.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::schema::BadSide;

/// Where trouble begins; a file gives a number, or `{ own_quantile = 0.995 }`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Threshold {
    /// A value in the metric's unit; reaching it counts.
    Value(f64),
    /// A quantile of the server's own history, between 0 and 1; only values beyond it count, and by more than a hundredth
    /// of what the history spans, so that a series that hardly ever moves is not in trouble for a forecast's last digits.
    OwnQuantile(f64),
}

/// Looks up quantiles of a server's own history, by metric position and level.
///
/// # Units
/// Answers are in the metric's unit; `None` means that the history says too little.
#[derive(Clone, Copy)]
pub struct OwnQuantiles<'a>(Option<&'a Lookup<'a>>);

type Lookup<'a> = dyn Fn(usize, f64) -> Option<f64> + 'a;

impl Threshold {
    /// Returns whether `value` has got to this threshold, coming from the good side; NaN has not.
    pub fn is_reached(self, value: f64, side: BadSide, metric: usize, own: OwnQuantiles<'_>) -> bool {
        let Some(limit) = self.resolve(metric, own) else { return false };
        let is_beyond = match side {
            BadSide::High => value > limit,
            BadSide::Low => value < limit,
        };
        #[expect(clippy::float_cmp, reason = "a threshold counts when it is met exactly")]
        let is_met = matches!(self, Self::Value(_)) && value == limit;
        is_beyond || is_met
    }

    /// Returns the threshold as a value in the metric's unit, if it is known.
    pub fn resolve(self, metric: usize, own: OwnQuantiles<'_>) -> Option<f64> {
        match self {
            Self::Value(value) => Some(value),
            Self::OwnQuantile(level) => own.get(metric, level),
        }
    }

    /// Returns the nearest value that counts as having got to this threshold: an own quantile must be passed.
    pub(crate) fn nearest_beyond(self, side: BadSide, metric: usize, own: OwnQuantiles<'_>) -> Option<f64> {
        let limit = self.resolve(metric, own)?;
        Some(match (self, side) {
            (Self::Value(_), _) => limit,
            (Self::OwnQuantile(_), BadSide::High) => limit.next_up(),
            (Self::OwnQuantile(_), BadSide::Low) => limit.next_down(),
        })
    }

    /// Returns whether the value is finite, or the quantile strictly between 0 and 1.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::Value(value) => value.is_finite(),
            Self::OwnQuantile(level) => level > 0.0 && level < 1.0,
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::OwnQuantile(level) => write!(f, "own quantile {level}"),
        }
    }
}

impl Serialize for Threshold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => serializer.serialize_f64(*value),
            Self::OwnQuantile(level) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("own_quantile", level)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrQuantile)
    }
}

struct NumberOrQuantile;

impl<'de> Visitor<'de> for NumberOrQuantile {
    type Value = Threshold;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a map with the one key `own_quantile`")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Threshold, E> {
        Ok(Threshold::Value(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Threshold, E> {
        Ok(Threshold::Value(value as f64))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Threshold, E> {
        Ok(Threshold::Value(value as f64))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Threshold, A::Error> {
        const KEYS: &[&str] = &["own_quantile", "value"];
        let threshold = match map.next_key::<String>()?.as_deref() {
            Some("own_quantile") => Threshold::OwnQuantile(map.next_value()?),
            Some("value") => Threshold::Value(map.next_value()?),
            Some(other) => return Err(de::Error::unknown_field(other, KEYS)),
            None => return Err(de::Error::missing_field("own_quantile")),
        };
        match map.next_key::<String>()? {
            Some(other) => Err(de::Error::unknown_field(&other, &[])),
            None => Ok(threshold),
        }
    }
}

impl<'a> OwnQuantiles<'a> {
    /// Knows nothing: thresholds that are own quantiles are never reached.
    pub const NONE: Self = Self(None);

    /// Asks `lookup` with the metric's position in the schema and the level.
    pub fn new(lookup: &'a (dyn Fn(usize, f64) -> Option<f64> + 'a)) -> Self {
        Self(Some(lookup))
    }

    /// Returns a quantile, if it is known and finite.
    pub fn get(self, metric: usize, level: f64) -> Option<f64> {
        self.0.and_then(|lookup| lookup(metric, level)).filter(|value| value.is_finite())
    }
}

impl fmt::Debug for OwnQuantiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnQuantiles").field("is_known", &self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> serde_json::Result<Threshold> {
        serde_json::from_str(text)
    }

    #[test]
    fn files_give_a_number_or_an_own_quantile() {
        assert_eq!(read("90").unwrap(), Threshold::Value(90.0));
        assert_eq!(read("-0.5").unwrap(), Threshold::Value(-0.5));
        assert_eq!(read(r#"{"own_quantile": 0.99}"#).unwrap(), Threshold::OwnQuantile(0.99));
        for text in [r#""90""#, "{}", r#"{"own": 1}"#, r#"{"own_quantile": 0.9, "value": 1}"#, "null"] {
            assert!(read(text).is_err(), "{text}");
        }
        for threshold in [Threshold::Value(90.0), Threshold::OwnQuantile(0.99)] {
            let text = serde_json::to_string(&threshold).unwrap();
            assert_eq!(read(&text).unwrap(), threshold);
        }
    }
}
