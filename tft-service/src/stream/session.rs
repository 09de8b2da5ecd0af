//! What all streams share, and what ends them from outside.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Bytes;
use tokio::sync::watch;

use super::config::StreamConfig;
use super::counters::Counters;
use super::ending::Ending;
use super::gate::Gate;
use super::hub::{Hub, Update};
use super::interest::Interest;
use super::messages::{Answer, Complaint, DataRequest, Subscription};
use super::seats::Seats;
use crate::auth::Principal;
use crate::clock::Clock;
use crate::state::ServiceState;
use crate::wire::render_rows;

/// All streams of a service.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(super) config: StreamConfig,
    pub(super) counters: Arc<Counters>,
    pub(super) seats: Arc<Seats>,
    pub(super) gate: Gate,
    state: Arc<ServiceState>,
    clock: Arc<dyn Clock>,
    signals: watch::Sender<Signals>,
}

/// Whom a stream is for.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The network address that it comes from.
    pub(crate) client: IpAddr,
    /// Who it is; none if it has yet to say so.
    pub(crate) principal: Option<Principal>,
}

/// What every stream must react to.
#[derive(Debug, Clone, Copy, Default)]
struct Signals {
    is_stopping: bool,
    /// Counts changes of the keys.
    key_changes: u64,
}

impl Streams {
    pub(crate) fn new(
        config: StreamConfig,
        gate: Gate,
        state: Arc<ServiceState>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let counters = Arc::<Counters>::default();
        let seats = Seats::new(config, Arc::clone(&counters));
        Arc::new(Self { config, counters, seats, gate, state, clock, signals: watch::Sender::default() })
    }

    /// Ends every stream, and refuses new ones.
    pub(crate) fn stop(&self) {
        self.signals.send_modify(|signals| signals.is_stopping = true);
    }

    /// Ends the streams of keys that are not valid any more; to be called after keys were replaced.
    pub(crate) fn recheck_keys(&self) {
        self.signals.send_modify(|signals| signals.key_changes += 1);
    }

    /// Waits until there is no stream.
    pub(crate) async fn closed(&self) {
        self.seats.wait_until_empty().await;
    }

    /// Returns what is counted about streams.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn hub(&self) -> &Hub {
        self.state.hub()
    }

    pub(super) fn heartbeat(&self) -> Bytes {
        Answer::Heartbeat { timestamp: self.timestamp(), tick: self.hub().newest().tick() }.to_json()
    }

    pub(super) fn pong(&self) -> Bytes {
        Answer::Pong { timestamp: self.timestamp() }.to_json()
    }

    pub(super) fn error(&self, complaint: &Complaint) -> Bytes {
        Answer::error(complaint, self.clock.now())
    }

    /// Reads a subscription, and returns it with its confirmation.
    ///
    /// # Errors
    /// [`Complaint`] for the client.
    pub(super) fn subscribe(&self, wanted: &Subscription) -> Result<(Interest, Bytes), Complaint> {
        let (streams, servers) = (wanted.streams.as_deref(), wanted.servers.as_deref());
        let interest = Interest::parse(streams, servers, self.config.servers_max)
            .map_err(|error| Complaint { code: "invalid_subscription", detail: error.to_string() })?;
        let newest = self.hub().newest();
        let named = interest.servers().into_iter().flatten().map(String::as_str);
        let confirmation = Answer::SubscriptionConfirmed {
            timestamp: self.timestamp(),
            streams: interest.streams(),
            servers: interest.servers(),
            unknown_servers: named.filter(|name| !newest.has_server(name)).collect(),
        };
        let confirmation = confirmation.to_json();
        Ok((interest, confirmation))
    }

    /// Returns the rows that a client asks for, or what is wrong with its request.
    pub(super) async fn rows(&self, request: &DataRequest, interest: &Arc<Interest>) -> Result<Bytes, Ending> {
        let limit = match request.limit() {
            Ok(limit) => limit,
            Err(complaint) => return Ok(self.error(&complaint)),
        };
        let (state, interest, now) = (Arc::clone(&self.state), Arc::clone(interest), self.clock.now());
        let rendering = tokio::task::spawn_blocking(move || {
            // Feeds go on while the clone is read.
            let window = state.store().window().clone();
            render_rows(&window, &interest, limit, now)
        });
        rendering.await.map(Bytes::from).map_err(|_| Ending::Internal)
    }

    /// Waits for what ends the stream of somebody who was admitted; looks now and then, because tokens expire.
    pub(super) async fn until_ended(&self, principal: Principal) -> Ending {
        let mut signals = self.signals.subscribe();
        loop {
            if signals.borrow_and_update().is_stopping {
                return Ending::Stopping;
            }
            if !self.gate.still_admits(principal) {
                return Ending::Revoked;
            }
            // Time passing is a reason to look as good as a signal.
            let _ = tokio::time::timeout(self.config.heartbeat_interval, signals.changed()).await;
        }
    }

    /// Waits until the service stops.
    pub(super) async fn until_stopping(&self) -> Ending {
        // The sender lives as long as `self`.
        let _ = self.signals.subscribe().wait_for(|signals| signals.is_stopping).await;
        Ending::Stopping
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.signals.borrow().is_stopping
    }

    fn timestamp(&self) -> String {
        self.clock.now().to_string()
    }
}

/// Returns the update, or why there will be no more.
pub(super) fn received(
    update: Result<Arc<Update>, tokio::sync::broadcast::error::RecvError>,
) -> Result<Arc<Update>, Ending> {
    use tokio::sync::broadcast::error::RecvError;
    update.map_err(|error| match error {
        RecvError::Lagged(_) => Ending::TooSlow,
        RecvError::Closed => Ending::Stopping,
    })
}
