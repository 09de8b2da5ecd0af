//! Labelled incidents: from a list, or from the labels of samples.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::History;
use crate::error::{Error, ErrorKind};
use crate::schema::ServerName;
use crate::time::Timestamp;
use crate::window::Record;

/// A time during which people say that a server was in trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// The server.
    pub server: ServerName,
    /// The first sample of it.
    pub start: Timestamp,
    /// The last sample of it.
    pub end: Timestamp,
}

/// One entry of a list.
#[derive(Deserialize)]
struct Entry {
    #[serde(alias = "server")]
    server_name: String,
    start: Option<Value>,
    end: Option<Value>,
    #[serde(alias = "first_row")]
    first_test_row: Option<usize>,
    #[serde(alias = "last_row")]
    last_test_row: Option<usize>,
}

#[derive(Debug, thiserror::Error)]
enum IncidentError {
    #[error("incidents are no JSON list of objects")]
    Json { source: serde_json::Error },
    #[error("incidents are {count}, allowed are at most {}", Incident::COUNT_MAX)]
    TooMany { count: usize },
    #[error("incident {index} needs `start` and `end`, or `first_test_row` and `last_test_row`")]
    Bounds { index: usize },
    #[error("incident {index} has a time `{value}` that is neither RFC 3339 nor a Unix time")]
    Time { index: usize, value: String },
    #[error("incident {index} is about row {row} of `{server}`, of which the history has {rows}")]
    Row { index: usize, row: usize, server: String, rows: usize },
    #[error("incident {index} ends before it starts")]
    Order { index: usize },
    #[error("incident {index} is about a server whose name cannot be used")]
    Server { index: usize, source: Error },
}

impl Incident {
    /// Most incidents of a list.
    pub const COUNT_MAX: usize = 100_000;

    /// Reads a JSON list of `{"server_name", "start", "end"}`, whose times are those of the first and the last sample
    /// (RFC 3339, or Unix seconds or milliseconds).
    ///
    /// In place of times an entry may have `first_test_row` and `last_test_row`: positions among the samples of the
    /// server in the history, from 0 in the order of time. `server` is another name of `server_name`; other keys are
    /// ignored.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if it is no such list, [`ErrorKind::LimitExceeded`] if it is too long, otherwise
    /// [`ErrorKind::InvalidInput`] naming the entry.
    pub fn parse_list(text: &str, history: &History) -> Result<Vec<Self>, Error> {
        let entries: Vec<Entry> =
            serde_json::from_str(text).map_err(|source| IncidentError::Json { source })?;
        let count = entries.len();
        if count > Self::COUNT_MAX {
            return Err(IncidentError::TooMany { count }.into());
        }
        let times = history.times_by_server();
        let read = |(index, entry): (usize, Entry)| entry.read(index, &times);
        Ok(entries.into_iter().enumerate().map(read).collect::<Result<_, _>>()?)
    }

    /// Joins samples that follow each other and are labelled.
    pub(super) fn of_labels(records: &[Record], labels: &[bool]) -> Vec<Self> {
        let mut open: BTreeMap<&ServerName, Self> = BTreeMap::new();
        let mut incidents = Vec::new();
        for (record, &is_labelled) in records.iter().zip(labels) {
            let (server, at) = (record.server(), record.timestamp());
            if is_labelled {
                let new = || Self { server: server.clone(), start: at, end: at };
                open.entry(server).or_insert_with(new).end = at;
            } else {
                incidents.extend(open.remove(server));
            }
        }
        incidents.extend(open.into_values());
        incidents.sort_by(|a, b| (&a.server, a.start).cmp(&(&b.server, b.start)));
        incidents
    }
}

impl Entry {
    fn read(
        self,
        index: usize,
        times: &BTreeMap<&ServerName, Vec<Timestamp>>,
    ) -> Result<Incident, IncidentError> {
        let name = ServerName::new(&self.server_name);
        let server = name.map_err(|source| IncidentError::Server { index, source })?;
        let (start, end) = match (&self.start, &self.end, self.first_test_row, self.last_test_row) {
            (Some(start), Some(end), None, None) => (time(index, start)?, time(index, end)?),
            (None, None, Some(first), Some(last)) => {
                let times = times.get(&server).map_or(&[][..], Vec::as_slice);
                let at = |row: usize| {
                    let (server, rows) = (self.server_name.clone(), times.len());
                    times.get(row).copied().ok_or(IncidentError::Row { index, row, server, rows })
                };
                (at(first)?, at(last)?)
            }
            _ => return Err(IncidentError::Bounds { index }),
        };
        if end < start { Err(IncidentError::Order { index }) } else { Ok(Incident { server, start, end }) }
    }
}

fn time(index: usize, value: &Value) -> Result<Timestamp, IncidentError> {
    let read = match value {
        Value::String(text) => Timestamp::parse(text).ok(),
        _ => value.as_f64().and_then(|number| Timestamp::from_number(number).ok()),
    };
    read.ok_or_else(|| IncidentError::Time { index, value: crate::time::abbreviate(&value.to_string()) })
}

impl From<IncidentError> for Error {
    fn from(error: IncidentError) -> Self {
        let kind = match error {
            IncidentError::Json { .. } => ErrorKind::Malformed,
            IncidentError::TooMany { .. } => ErrorKind::LimitExceeded,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
