//! The limits of live streams.

use std::time::Duration;

/// The limits of live streams.
///
/// # Defaults
/// 256 streams, 16 of one key or address, 32 that have not authenticated yet; messages of 64 KiB, 20 a second;
/// 500 names in a subscription; 16 updates waiting for a client; 5 s to authenticate, a ping every 30 s, 10 s to take a
/// message, 2 s to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamConfig {
    /// Most streams at a time.
    pub clients_max: usize,
    /// Most streams at a time of one key; without a key, of one network address.
    pub clients_per_principal_max: usize,
    /// Most streams at a time that have not authenticated yet.
    pub clients_pending_max: usize,
    /// Most bytes of a client's message.
    pub message_bytes_max: usize,
    /// Most messages of a client in a second, pings and pongs among them.
    pub messages_per_second_max: u32,
    /// Most names of servers in a subscription.
    pub servers_max: usize,
    /// Most updates that wait for a client; one that falls further behind is dropped.
    pub updates_queued_max: usize,
    /// From the opening of a WebSocket to its `auth` message.
    pub auth_timeout: Duration,
    /// Between two pings, and two heartbeats.
    pub heartbeat_interval: Duration,
    /// For a client to take one message; one that needs longer is dropped.
    pub send_timeout: Duration,
    /// For a client to answer the end of a WebSocket.
    pub close_timeout: Duration,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            clients_max: 256,
            clients_per_principal_max: 16,
            clients_pending_max: 32,
            message_bytes_max: 64 << 10,
            messages_per_second_max: 20,
            servers_max: 500,
            updates_queued_max: 16,
            auth_timeout: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(30),
            send_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(2),
        }
    }
}
