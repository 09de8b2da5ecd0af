//! The messages that are about one client only, and what clients send.

use std::collections::BTreeSet;

use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use tft_core::time::Timestamp;

use crate::wire::{StreamName, shorten, to_json};

/// What a client sends. Not `Debug`: it may hold a secret.
pub(super) enum ClientMessage {
    Auth(Credentials),
    Ping,
    Subscribe(Subscription),
    RequestData(DataRequest),
}

/// What a client authenticates with.
#[derive(Deserialize)]
pub(super) struct Credentials {
    pub(super) api_key: Option<String>,
    pub(super) token: Option<String>,
}

/// What a client wants to know from now on.
#[derive(Deserialize)]
pub(super) struct Subscription {
    pub(super) streams: Option<Vec<String>>,
    pub(super) servers: Option<Vec<String>>,
}

/// How many rows a client wants to have.
#[derive(Deserialize)]
pub(super) struct DataRequest {
    #[serde(default = "DataRequest::default_limit")]
    limit: i64,
}

/// What is wrong with a client's message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) code: &'static str,
    pub(super) detail: String,
}

/// What one client is answered.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Answer<'a> {
    Heartbeat {
        timestamp: String,
        tick: u64,
    },
    Pong {
        timestamp: String,
    },
    SubscriptionConfirmed {
        timestamp: String,
        streams: &'a BTreeSet<StreamName>,
        servers: Option<&'a BTreeSet<String>>,
        unknown_servers: Vec<&'a str>,
    },
    Error {
        timestamp: String,
        code: &'static str,
        detail: &'a str,
    },
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
}

impl ClientMessage {
    /// Reads a message; fields that it does not know are ignored.
    ///
    /// # Errors
    /// [`Complaint`] for the client.
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        let Envelope { kind } = read(text)?;
        match kind.as_str() {
            "auth" => read(text).map(Self::Auth),
            "ping" => Ok(Self::Ping),
            "subscribe" => read(text).map(Self::Subscribe),
            "request_data" => read(text).map(Self::RequestData),
            _ => {
                let known = "auth, ping, subscribe and request_data";
                let detail = format!("there is no message `{}`, there are {known}", shorten(&kind));
                Err(Complaint { code: "unknown_type", detail })
            }
        }
    }
}

impl DataRequest {
    /// Most rows of an answer.
    const LIMIT_MAX: i64 = 1000;

    fn default_limit() -> i64 {
        100
    }

    /// Returns how many rows are wanted.
    ///
    /// # Errors
    /// [`Complaint`] if that is not 1 to 1000.
    pub(super) fn limit(&self) -> Result<usize, Complaint> {
        if (1..=Self::LIMIT_MAX).contains(&self.limit) {
            return Ok(self.limit as usize);
        }
        let detail = format!("limit `{}` is not a number of rows, 1 to {}", self.limit, Self::LIMIT_MAX);
        Err(Complaint { code: "invalid_limit", detail })
    }
}

impl Answer<'_> {
    pub(super) fn error(complaint: &Complaint, at: Timestamp) -> Bytes {
        Answer::Error { timestamp: at.to_string(), code: complaint.code, detail: &complaint.detail }.to_json()
    }

    pub(super) fn to_json(&self) -> Bytes {
        to_json(self).into()
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Complaint> {
    serde_json::from_str(text).map_err(|error| {
        // serde_json repeats what it did not expect, which may be a secret: its position and kind are enough.
        let what = match error.classify() {
            serde_json::error::Category::Data => "a field is missing or of another type",
            _ => "it is not JSON",
        };
        Complaint {
            code: "malformed",
            detail: format!("the message cannot be read: {what}, column {}", error.column()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let complaint = ClientMessage::parse(text).err().unwrap();
        format!("{}: {}", complaint.code, complaint.detail)
    }

    #[test]
    fn messages_are_read_and_unknown_fields_ignored() {
        assert!(matches!(ClientMessage::parse(r#"{"type":"ping","n":1}"#), Ok(ClientMessage::Ping)));
        let Ok(ClientMessage::Subscribe(given)) =
            ClientMessage::parse(r#"{"servers":["a"],"type":"subscribe","streams":null}"#)
        else {
            panic!("not a subscription");
        };
        assert_eq!((given.streams, given.servers), (None, Some(vec!["a".to_owned()])));
    }

    #[test]
    fn limits_are_checked_at_their_ends() {
        let limit = |text: &str| {
            let Ok(ClientMessage::RequestData(request)) = ClientMessage::parse(text) else {
                panic!("not a request: {text}");
            };
            request.limit()
        };
        assert_eq!(limit(r#"{"type":"request_data"}"#), Ok(100));
        assert_eq!(limit(r#"{"type":"request_data","limit":1}"#), Ok(1));
        assert_eq!(limit(r#"{"type":"request_data","limit":1000}"#), Ok(1000));
        for wrong in [0, -1, 1001, i64::MAX] {
            let complaint = limit(&format!(r#"{{"type":"request_data","limit":{wrong}}}"#)).unwrap_err();
            assert!(complaint.detail.contains(&format!("`{wrong}`")), "{}", complaint.detail);
        }
    }

    #[test]
    fn complaints_say_what_is_wrong_and_repeat_no_secret() {
        insta::assert_snapshot!(refused("x"), @"malformed: the message cannot be read: it is not JSON, column 1");
        insta::assert_snapshot!(refused(r#"{"a":1}"#), @"malformed: the message cannot be read: a field is missing or of another type, column 7");
        insta::assert_snapshot!(refused(r#"{"type":"shout"}"#), @"unknown_type: there is no message `shout`, there are auth, ping, subscribe and request_data");
        assert!(!refused(r#"{"type":"auth","api_key":["secret"]}"#).contains("secret"));
        assert!(!refused(r#"{"type":"request_data","limit":"secret"}"#).contains("secret"));
        assert!(refused(&format!("{}1{}", "[".repeat(1000), "]".repeat(1000))).starts_with("malformed"));
    }
}
