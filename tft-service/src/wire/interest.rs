//! What a client wants to know.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tft_core::schema::ServerName;

/// One kind of what there is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StreamName {
    /// The fleet in figures.
    Summary,
    /// Each server's present state.
    Servers,
    /// Each server's forecasts.
    Predictions,
    /// What becomes of alerts.
    Alerts,
}

/// What a client wants to know of which servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Interest {
    streams: BTreeSet<StreamName>,
    /// None means all.
    servers: Option<BTreeSet<String>>,
}

/// A selection that is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum InterestError {
    #[error("there is no stream `{0}`, there are summary, servers, predictions and alerts")]
    Stream(String),
    #[error("`{0}` is not a server's name")]
    Server(String),
    #[error("{given} servers are named, allowed are at most {max}")]
    TooManyServers { given: usize, max: usize },
}

impl StreamName {
    const ALL: [Self; 4] = [Self::Summary, Self::Servers, Self::Predictions, Self::Alerts];

    fn as_str(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Servers => "servers",
            Self::Predictions => "predictions",
            Self::Alerts => "alerts",
        }
    }
}

impl Interest {
    /// Checks a selection; what is not given is the default.
    ///
    /// # Errors
    /// [`InterestError`] naming what is wrong.
    pub(crate) fn parse<T: AsRef<str>>(
        streams: Option<&[T]>,
        servers: Option<&[T]>,
        servers_max: usize,
    ) -> Result<Self, InterestError> {
        let mut interest = Self::default();
        if let Some(names) = streams {
            interest.streams =
                names.iter().map(|name| parse_stream(name.as_ref())).collect::<Result<_, _>>()?;
        }
        if let Some(names) = servers {
            if names.len() > servers_max {
                return Err(InterestError::TooManyServers { given: names.len(), max: servers_max });
            }
            let names = names.iter().map(|name| parse_server(name.as_ref()));
            interest.servers = Some(names.collect::<Result<_, _>>()?);
        }
        Ok(interest)
    }

    pub(crate) fn has(&self, stream: StreamName) -> bool {
        self.streams.contains(&stream)
    }

    pub(crate) fn has_server(&self, name: &str) -> bool {
        self.servers.as_ref().is_none_or(|servers| servers.contains(name))
    }

    /// Returns whether it wants to hear of a server's alerts.
    pub(crate) fn has_alert_of(&self, server: &str) -> bool {
        self.has(StreamName::Alerts) && self.has_server(server)
    }

    /// Returns whether updates have anything for it.
    pub(crate) fn has_data(&self) -> bool {
        self.streams.iter().any(|&stream| stream != StreamName::Alerts)
    }

    /// Returns the streams in a fixed order.
    pub(crate) fn streams(&self) -> &BTreeSet<StreamName> {
        &self.streams
    }

    /// Returns the names of the servers; none means all.
    pub(crate) fn servers(&self) -> Option<&BTreeSet<String>> {
        self.servers.as_ref()
    }
}

impl Default for Interest {
    fn default() -> Self {
        let streams = [StreamName::Summary, StreamName::Servers, StreamName::Alerts];
        Self { streams: streams.into(), servers: None }
    }
}

fn parse_stream(name: &str) -> Result<StreamName, InterestError> {
    let found = StreamName::ALL.into_iter().find(|stream| stream.as_str() == name);
    found.ok_or_else(|| InterestError::Stream(shorten(name)))
}

fn parse_server(name: &str) -> Result<String, InterestError> {
    ServerName::new(name).map_err(|_| InterestError::Server(shorten(name)))?;
    Ok(name.to_owned())
}

/// Cuts text from outside down to what a message should repeat.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(streams: Option<&[&str]>, servers: Option<&[&str]>) -> Result<Interest, InterestError> {
        Interest::parse(streams, servers, 2)
    }

    #[test]
    fn what_is_not_given_is_the_default_and_an_empty_list_is_nothing() {
        assert_eq!(parse(None, None).unwrap(), Interest::default());
        assert!(Interest::default().has_server("db-1") && !Interest::default().has(StreamName::Predictions));
        let nothing = parse(Some(&[]), Some(&[])).unwrap();
        assert!(!nothing.has_data() && !nothing.has_server("db-1"));
        let some = parse(Some(&["alerts"]), Some(&["db-1", "db-1"])).unwrap();
        assert!(some.has(StreamName::Alerts) && !some.has_data());
        assert!(some.has_server("db-1") && !some.has_server("db-10"));
    }

    #[test]
    fn what_does_not_exist_is_refused_by_name() {
        let refused = |streams, servers| parse(streams, servers).unwrap_err().to_string();
        insta::assert_snapshot!(refused(Some(&["metrics"]), None), @"there is no stream `metrics`, there are summary, servers, predictions and alerts");
        insta::assert_snapshot!(refused(None, Some(&["a b"])), @"`a b` is not a server's name");
        insta::assert_snapshot!(refused(None, Some(&["a", "b", "c"])), @"3 servers are named, allowed are at most 2");
        assert!(refused(None, Some(&[&"é".repeat(1000)])).len() < 200);
    }
}
