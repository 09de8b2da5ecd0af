//! The names of the history's files: a day, the first sequence, and what is in it.

use std::path::{Path, PathBuf};

use super::row::Table;
use crate::time::{StepLength, Timestamp};

/// The name of a file of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileName {
    /// The first sequence that it may have.
    pub(super) first: u64,
    /// Days since 1970-01-01.
    pub(super) day: i64,
    /// Its table; a log has both.
    pub(super) table: Option<Table>,
}

impl FileName {
    pub(super) fn log(day: i64, first: u64) -> Self {
        Self { first, day, table: None }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let (day, rest) = name.split_at_checked(DAY_CHARS)?;
        let (first, kind) = rest.strip_prefix('-')?.split_at_checked(DIGITS)?;
        let table = match kind.strip_prefix('.')? {
            "log" => None,
            kind => Some(Table::parse(kind.strip_suffix(".parquet")?)?),
        };
        let is_number = first.bytes().all(|byte| byte.is_ascii_digit());
        let first = first.parse().ok().filter(|first| is_number && (1..SEQUENCE_END).contains(first))?;
        let day = day_of(Timestamp::parse(&format!("{day}T00:00:00Z")).ok()?);
        let parsed = Self { first, day, table };
        (parsed.to_string() == name).then_some(parsed)
    }

    pub(super) fn path(self, directory: &Path) -> PathBuf {
        directory.join(self.to_string())
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = Timestamp::from_millis(self.day.saturating_mul(StepLength::DAY_MS)).to_string();
        write!(f, "{}-{:0DIGITS$}.", at.get(..DAY_CHARS).unwrap_or(&at), self.first)?;
        match self.table {
            None => f.write_str("log"),
            Some(table) => write!(f, "{}.parquet", table.as_str()),
        }
    }
}

/// Returns the UTC day of an instant, in days since 1970-01-01.
pub(super) fn day_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(StepLength::DAY_MS)
}

/// Returns whether a name is that of a file of ours that was set aside.
pub(super) fn is_set_aside(name: &str) -> bool {
    name.split_once(".corrupt-").is_some_and(|(name, _)| FileName::parse(name).is_some())
}

/// Returns whether a name is that of a file of ours that was being written.
pub(super) fn is_temporary(name: &str) -> bool {
    let parts = name.strip_prefix('.').and_then(|name| name.split_once(".tmp-"));
    parts.is_some_and(|(name, number)| {
        FileName::parse(name).is_some() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// `2026-01-05`.
const DAY_CHARS: usize = 10;
/// A 64-bit number in decimal.
const DIGITS: usize = 20;
/// More rows than can ever be written; a name beyond is none of ours.
const SEQUENCE_END: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_none() {
        for name in [
            "2026-01-05-00000000000000000001.log",
            "2026-01-05-00000000000000000007.alerts.parquet",
            "1969-12-31-00000000000000000007.environment.parquet",
        ] {
            assert_eq!(FileName::parse(name).unwrap().to_string(), name);
        }
        for name in [
            "",
            "2026-01-05-00000000000000000000.log",
            "2026-01-05-0000000000000000001.log",
            "2026-01-05-00000000000000000001.log.corrupt-20260105T120000Z",
            "2026-01-05-00000000000000000001.parquet",
            "2026-01-05-00000000000000000001.other.parquet",
            "2026-13-05-00000000000000000001.log",
            "26-01-05-00000000000000000001.log",
            "2026-01-05-99999999999999999999.log",
            "2026-01-05-+0000000000000000001.log",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
        assert!(is_set_aside("2026-01-05-00000000000000000001.log.corrupt-20260105T120000Z"));
        assert!(!is_set_aside("notes.corrupt-20260105T120000Z"));
        assert!(is_temporary(".2026-01-05-00000000000000000001.alerts.parquet.tmp-0"));
        assert!(!is_temporary(".2026-01-05-00000000000000000001.alerts.parquet.tmp-x"));
    }
}
