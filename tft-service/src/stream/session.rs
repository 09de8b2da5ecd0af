//! What all streams share, and what ends them from outside.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::{Body, Bytes};
use hyper::header::HeaderValue;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::config::StreamConfig;
use super::counters::{StreamCounters, StreamProtocol};
use super::ending::Ending;
use super::events::{Events, EventsBody};
use super::gate::Gate;
use super::messages::{Answer, Complaint, DataRequest, Subscription};
use super::seats::{NoSeat, Seat, Seats};
use super::websocket::WebSocket;
use crate::auth::{Client, Principal};
use crate::clock::Clock;
use crate::http::{Refusal, Request, accept_websocket};
use crate::hub::{Hub, Update};
use crate::server::Connection;
use crate::state::ServiceState;
use crate::wire::{Interest, render_rows};

/// All streams of a service.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(super) config: StreamConfig,
    pub(super) counters: Arc<StreamCounters>,
    pub(super) seats: Arc<Seats>,
    pub(super) gate: Gate,
    state: Arc<ServiceState>,
    clock: Arc<dyn Clock>,
    stopping: watch::Receiver<bool>,
}

/// Whom a stream is for.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The network address that it comes from.
    pub(crate) client: IpAddr,
    /// Who it is; none if it has yet to say so.
    pub(crate) principal: Option<Principal>,
}

impl Streams {
    pub(crate) fn new(
        config: StreamConfig,
        gate: Gate,
        state: Arc<ServiceState>,
        stopping: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let counters = Arc::<StreamCounters>::default();
        let seats = Seats::new(config, Arc::clone(&counters));
        let clock = gate.clock();
        Arc::new(Self { config, counters, seats, gate, state, clock, stopping })
    }

    /// Opens the WebSocket that a request asks for, and returns its `Sec-WebSocket-Accept`; what is said over it
    /// begins when the reply has been sent.
    ///
    /// # Errors
    /// [`Refusal`] if it is no opening handshake, or there are too many streams.
    pub(crate) fn open_websocket(
        self: &Arc<Self>,
        request: &mut Request,
        caller: Caller,
        connection: Option<Connection>,
    ) -> Result<HeaderValue, Refusal> {
        let accepted = accept_websocket(request.method(), request.version(), request.headers());
        let accepted = accepted.map_err(Refusal::NoWebSocket)?;
        if !request.body().is_end_stream() {
            return Err(Refusal::BadRequest("a request that opens a WebSocket has no body".into()));
        }
        let seat = self.seat(StreamProtocol::WebSocket, &caller)?;
        let upgrade = hyper::upgrade::on(request);
        let streams = Arc::clone(self);
        tokio::spawn(async move {
            // Held until the end: the connection counts as open, and as busy.
            let _open = connection.as_ref().map(|connection| connection.activity.begin());
            // Fails if the client went away before the reply.
            if let Ok(upgraded) = upgrade.await {
                WebSocket::new(streams, TokioIo::new(upgraded), caller, seat).await.serve().await;
            }
        });
        Ok(accepted)
    }

    /// Opens a stream of events, and returns the reply's body; `seen` is the state that the client has already.
    ///
    /// # Errors
    /// [`Refusal`] if there are too many streams.
    pub(crate) fn open_events(
        self: &Arc<Self>,
        caller: Caller,
        interest: Interest,
        seen: Option<String>,
    ) -> Result<EventsBody, Refusal> {
        // The layers let nobody come this far unknown.
        let principal = caller.principal.clone().ok_or(Refusal::Internal)?;
        let seat = self.seat(StreamProtocol::Events, &caller)?;
        let (events, body) = Events::new(Arc::clone(self), caller, seat, (interest, seen));
        tokio::spawn(events.serve(principal));
        Ok(body)
    }

    /// Returns how many names of servers a subscription may have.
    pub(crate) fn servers_max(&self) -> usize {
        self.config.servers_max
    }

    fn seat(&self, protocol: StreamProtocol, caller: &Caller) -> Result<Seat, Refusal> {
        if *self.stopping.borrow() {
            return Err(Refusal::Busy);
        }
        let of_address = || Client::of_address(caller.client);
        let client =
            caller.principal.as_ref().map_or_else(of_address, |principal| principal.client(caller.client));
        let seat = self.seats.take(protocol, client, caller.principal.is_none());
        seat.map_err(|no_seat| match no_seat {
            NoSeat::Full => Refusal::Busy,
            NoSeat::FullForClient => Refusal::TooManyStreams,
        })
    }

    /// Returns what is counted about streams.
    pub(crate) fn counters(&self) -> Arc<StreamCounters> {
        Arc::clone(&self.counters)
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
    pub(super) async fn rows(
        &self,
        request: &DataRequest,
        interest: &Arc<Interest>,
    ) -> Result<Bytes, Ending> {
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
        let mut keys = self.gate.changed();
        loop {
            keys.mark_unchanged();
            if !self.gate.still_admits(&principal) {
                return Ending::Revoked;
            }
            tokio::select! {
                ending = self.until_stopping() => return ending,
                Ok(()) = keys.changed() => {}
                () = tokio::time::sleep(self.config.heartbeat_interval) => {}
            }
        }
    }

    /// Waits until the service stops.
    pub(super) async fn until_stopping(&self) -> Ending {
        // Without a sender there is no service any more.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
        Ending::Stopping
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
