//! Live streams: how many, and how patient the service is with them.

use serde::{Deserialize, Serialize};

use super::values::{number, seconds, set};
use crate::config::{Config, ConfigError};

/// `[stream]`: live streams over WebSocket and Server-Sent Events.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StreamSettings {
    /// Most live streams at a time, over /ws and /events together [default: 256]
    #[arg(long, env = "TFT_STREAMS_MAX", value_name = "N")]
    pub streams_max: Option<String>,
    /// Most live streams at a time of one key, or of one address without keys [default: 16]
    #[arg(long, env = "TFT_STREAMS_PER_KEY_MAX", value_name = "N")]
    pub streams_per_key_max: Option<String>,
    /// Most messages a second that a live stream's client may send [default: 20]
    #[arg(long, env = "TFT_STREAM_MESSAGES_PER_S", value_name = "N")]
    pub stream_messages_per_s: Option<String>,
    /// Seconds between two pings of a live stream [default: 30]
    #[arg(long, env = "TFT_STREAM_HEARTBEAT_S", value_name = "S")]
    pub stream_heartbeat_s: Option<String>,
    /// Seconds that a live stream's client has to take a message before it is dropped [default: 10]
    #[arg(long, env = "TFT_STREAM_SEND_TIMEOUT_S", value_name = "S")]
    pub stream_send_timeout_s: Option<String>,
}

impl StreamSettings {
    /// Checks what is given and sets it.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        let stream = &mut config.stream;
        let streams =
            |key| move |text: &str| number(key, text, 1..=100_000, "is not a number of streams, 1 to 100000");
        set(&mut stream.clients_max, self.streams_max.as_deref(), streams("TFT_STREAMS_MAX"))?;
        let text = self.streams_per_key_max.as_deref();
        set(&mut stream.clients_per_principal_max, text, streams("TFT_STREAMS_PER_KEY_MAX"))?;
        set(&mut stream.messages_per_second_max, self.stream_messages_per_s.as_deref(), |text| {
            let reason = "is not a number of messages, 1 to 10000";
            number("TFT_STREAM_MESSAGES_PER_S", text, 1..=10_000, reason)
        })?;
        set(&mut stream.heartbeat_interval, self.stream_heartbeat_s.as_deref(), |text| {
            seconds("TFT_STREAM_HEARTBEAT_S", text)
        })?;
        set(&mut stream.send_timeout, self.stream_send_timeout_s.as_deref(), |text| {
            seconds("TFT_STREAM_SEND_TIMEOUT_S", text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_setting_and_the_value() {
        let refused = |settings: StreamSettings| settings.apply(&mut Config::default()).unwrap_err();
        let some = |text: &str| Some(text.to_owned());
        insta::assert_snapshot!(refused(StreamSettings { streams_max: some("0"), ..Default::default() }), @"TFT_STREAMS_MAX `0` is not a number of streams, 1 to 100000");
        insta::assert_snapshot!(refused(StreamSettings { stream_heartbeat_s: some("x"), ..Default::default() }), @"TFT_STREAM_HEARTBEAT_S `x` is not a number of seconds, 1 to 86400");
    }
}
