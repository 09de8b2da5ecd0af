//! A stream of Server-Sent Events.
//!
//! One task per client hands events to the reply's body through a short queue; a client that leaves it full for too
//! long is dropped, also where its connection has other streams.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};

use super::ending::Ending;
use super::messages::Complaint;
use super::seats::Seat;
use super::session::{Caller, Streams, received};
use crate::auth::Principal;
use crate::hub::Update;
use crate::wire::{Interest, LiveKind};

/// A client's events.
#[derive(Debug)]
pub(super) struct Events {
    streams: Arc<Streams>,
    caller: Caller,
    interest: Arc<Interest>,
    /// The state that the client has seen already.
    seen: Option<String>,
    outlet: Outlet,
    /// Whether a part of an event is sent and the rest is not.
    is_amid_event: bool,
    /// Held until the end.
    _seat: Seat,
}

/// The end of the queue that is written to.
#[derive(Debug)]
struct Outlet {
    sender: mpsc::Sender<Bytes>,
    is_cut: Arc<AtomicBool>,
}

/// The reply's body.
#[derive(Debug)]
pub(crate) struct EventsBody {
    receiver: mpsc::Receiver<Bytes>,
    is_cut: Arc<AtomicBool>,
}

/// The client did not read fast enough.
#[derive(Debug, thiserror::Error)]
#[error("the client reads too slowly")]
pub(crate) struct TooSlow;

impl Events {
    /// Prepares a stream and its reply's body; `seen` is what the client sent as `Last-Event-ID`.
    pub(super) fn new(
        streams: Arc<Streams>,
        caller: Caller,
        seat: Seat,
        (interest, seen): (Interest, Option<String>),
    ) -> (Self, EventsBody) {
        let (sender, receiver) = mpsc::channel(PIECES_QUEUED_MAX);
        let is_cut = Arc::<AtomicBool>::default();
        let body = EventsBody { receiver, is_cut: Arc::clone(&is_cut) };
        let outlet = Outlet { sender, is_cut };
        (
            Self {
                streams,
                caller,
                interest: Arc::new(interest),
                seen,
                outlet,
                is_amid_event: false,
                _seat: seat,
            },
            body,
        )
    }

    /// Sends events to somebody who is admitted, until either side ends it.
    pub(super) async fn serve(mut self, principal: Principal) {
        let streams = Arc::clone(&self.streams);
        let closed = self.outlet.sender.clone();
        let ending = tokio::select! {
            Err(ending) = self.talk() => ending,
            ending = streams.until_ended(principal) => ending,
            () = closed.closed() => Ending::PeerLeft,
        };
        let (protocol, reason) = ("events", ending.reason());
        tracing::debug!(client = %self.caller.client, protocol, reason, "a stream ended");
        if ending == Ending::TooSlow {
            streams.counters.count_dropped();
        }
        match ending {
            _ if ending == Ending::TooSlow || self.is_amid_event => {
                self.outlet.is_cut.store(true, Ordering::Release);
            }
            Ending::Revoked => {
                let complaint = Complaint { code: "revoked", detail: ending.reason().to_owned() };
                let farewell = self.send(event("error", None), streams.error(&complaint));
                // A client that does not read needs no reason.
                let _ = timeout(streams.config.close_timeout, farewell).await;
            }
            _ => {}
        }
    }

    async fn talk(&mut self) -> Result<Infallible, Ending> {
        let (newest, mut updates) = self.streams.hub().subscribe();
        self.send_piece(Bytes::from_static(RETRY)).await?;
        if self.seen.as_deref() != Some(newest.id().as_str()) {
            self.send_state(LiveKind::InitialData, &newest).await?;
        }
        drop(newest);
        let interval = self.streams.config.heartbeat_interval;
        let mut heartbeat = interval_at(Instant::now() + interval, interval);
        loop {
            tokio::select! {
                update = updates.recv() => self.send_update(&received(update)?).await?,
                _ = heartbeat.tick() => self.send_piece(Bytes::from_static(HEARTBEAT)).await?,
            }
        }
    }

    /// Sends an update; its id is that of the last event, so that a client that has the id has all of it.
    async fn send_update(&mut self, update: &Arc<Update>) -> Result<(), Ending> {
        let interest = Arc::clone(&self.interest);
        let mut alerts = update.alerts(&interest).peekable();
        while let Some(alert) = alerts.next() {
            let is_last = alerts.peek().is_none() && !interest.has_data();
            let id = is_last.then(|| update.id());
            self.send(event("alert", id.as_deref()), alert.text.clone()).await?;
        }
        if interest.has_data() {
            self.send_state(LiveKind::DataUpdate, update).await?;
        }
        Ok(())
    }

    async fn send_state(&mut self, kind: LiveKind, update: &Arc<Update>) -> Result<(), Ending> {
        let text = update.render(kind, &self.interest).await.ok_or(Ending::Internal)?;
        let name = match kind {
            LiveKind::InitialData => "initial_data",
            LiveKind::DataUpdate => "data_update",
        };
        self.send(event(name, Some(&update.id())), text).await
    }

    async fn send(&mut self, head: Bytes, mut text: Bytes) -> Result<(), Ending> {
        self.is_amid_event = true;
        self.send_piece(head).await?;
        while !text.is_empty() {
            let piece = text.split_to(text.len().min(PIECE_BYTES));
            self.send_piece(piece).await?;
        }
        self.send_piece(Bytes::from_static(b"\n\n")).await?;
        self.is_amid_event = false;
        self.streams.counters.count_sent();
        Ok(())
    }

    async fn send_piece(&mut self, piece: Bytes) -> Result<(), Ending> {
        let sending = timeout(self.streams.config.send_timeout, self.outlet.sender.send(piece));
        sending.await.map_err(|_| Ending::TooSlow)?.map_err(|_| Ending::PeerLeft)
    }
}

impl Body for EventsBody {
    type Data = Bytes;
    type Error = TooSlow;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TooSlow>>> {
        let piece = ready!(self.receiver.poll_recv(cx));
        Poll::Ready(match piece {
            Some(piece) => Some(Ok(Frame::data(piece))),
            // Cut instead of ended, so that the client does not take what it has for all there is.
            None if self.is_cut.swap(false, Ordering::AcqRel) => Some(Err(TooSlow)),
            None => None,
        })
    }
}

/// Returns everything of an event before its data, which has no line breaks.
fn event(name: &str, id: Option<&str>) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("{id}event: {name}\ndata: ").into()
}

/// Clients that lose the connection come back after five seconds.
const RETRY: &[u8] = b"retry: 5000\n\n";
const HEARTBEAT: &[u8] = b": heartbeat\n\n";

/// Most pieces that wait for the connection.
const PIECES_QUEUED_MAX: usize = 8;
const PIECE_BYTES: usize = 64 << 10;
