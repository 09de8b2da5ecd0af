//! What is counted about live streams, for whoever reads it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How a stream is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamProtocol {
    /// `GET /ws`.
    WebSocket,
    /// `GET /events`.
    Events,
}

/// What is counted about live streams.
#[derive(Debug, Default)]
pub struct StreamCounters {
    websocket_clients: AtomicUsize,
    events_clients: AtomicUsize,
    dropped: AtomicU64,
    messages_sent: AtomicU64,
    messages_received: AtomicU64,
}

impl StreamProtocol {
    /// Every protocol.
    pub const ALL: [Self; 2] = [Self::WebSocket, Self::Events];

    /// Returns its name as a label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Events => "events",
        }
    }
}

impl StreamCounters {
    /// Returns how many streams are open: `tft_stream_clients{protocol}`.
    pub fn clients(&self, protocol: StreamProtocol) -> usize {
        self.gauge(protocol).load(Ordering::Relaxed)
    }

    /// Returns how many streams were ended because the client was too slow: `tft_stream_dropped_total`.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns how many messages were sent: `tft_stream_messages_sent_total`.
    pub fn messages_sent(&self) -> u64 {
        self.messages_sent.load(Ordering::Relaxed)
    }

    /// Returns how many messages came: `tft_stream_messages_received_total`.
    pub fn messages_received(&self) -> u64 {
        self.messages_received.load(Ordering::Relaxed)
    }

    pub(super) fn count_opened(&self, protocol: StreamProtocol) {
        self.gauge(protocol).fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_closed(&self, protocol: StreamProtocol) {
        self.gauge(protocol).fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_sent(&self) {
        self.messages_sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_received(&self) {
        self.messages_received.fetch_add(1, Ordering::Relaxed);
    }

    fn gauge(&self, protocol: StreamProtocol) -> &AtomicUsize {
        match protocol {
            StreamProtocol::WebSocket => &self.websocket_clients,
            StreamProtocol::Events => &self.events_clients,
        }
    }
}
