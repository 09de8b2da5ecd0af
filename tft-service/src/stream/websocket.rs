//! A stream over a WebSocket.
//!
//! One task per client, which does one thing at a time: while it sends, it does not read, and what is published waits.
//! So a client that does not read holds one message and nothing else, until its deadline.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::config::StreamConfig;
use super::ending::Ending;
use super::inlet::Inlet;
use super::messages::{ClientMessage, Complaint, Credentials};
use super::pace::Pace;
use super::seats::{NoSeat, Seat};
use super::session::{Caller, Streams, received};
use crate::auth::Principal;
use crate::hub::Update;
use crate::wire::{Interest, LiveKind};

/// A client's WebSocket.
#[derive(Debug)]
pub(super) struct WebSocket<S> {
    streams: Arc<Streams>,
    socket: WebSocketStream<Inlet<S>>,
    caller: Caller,
    seat: Seat,
    interest: Arc<Interest>,
    pace: Pace,
    /// Whether something came since the last ping.
    is_alive: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Takes over a connection whose handshake is done.
    pub(super) async fn new(streams: Arc<Streams>, stream: S, caller: Caller, seat: Seat) -> Self {
        let config = streams.config;
        let inlet = Inlet::new(stream, config.message_bytes_max.saturating_mul(MESSAGES_OF_FULL_SIZE));
        let socket =
            WebSocketStream::from_raw_socket(inlet, Role::Server, Some(protocol_config(&config))).await;
        let pace = Pace::new(u64::from(config.messages_per_second_max));
        Self { streams, socket, caller, seat, interest: Arc::default(), pace, is_alive: true }
    }

    /// Serves the client until either side ends it.
    pub(super) async fn serve(mut self) {
        let ending = self.run().await;
        let (protocol, reason) = ("websocket", ending.reason());
        tracing::debug!(client = %self.caller.client, protocol, reason, "a stream ended");
        if ending == Ending::TooSlow {
            self.streams.counters.count_dropped();
        }
        // One deadline for all of it: a client that is stuck is not waited for twice.
        let _ = timeout(self.streams.config.close_timeout, close(&mut self.socket, ending)).await;
    }

    async fn run(&mut self) -> Ending {
        let streams = Arc::clone(&self.streams);
        let admitted = tokio::select! {
            admitted = self.admission() => admitted,
            ending = streams.until_stopping() => Err(ending),
        };
        let principal = match admitted {
            Ok(principal) => principal,
            Err(ending) => return ending,
        };
        tokio::select! {
            Err(ending) = self.talk() => ending,
            ending = streams.until_ended(principal) => ending,
        }
    }

    /// Waits for credentials where the request had none.
    async fn admission(&mut self) -> Result<Principal, Ending> {
        if let Some(principal) = self.caller.principal.clone() {
            return Ok(principal);
        }
        let auth_timeout = self.streams.config.auth_timeout;
        let credentials = timeout(auth_timeout, self.credentials()).await;
        let credentials = credentials.map_err(|_| Ending::AuthTimeout)??;
        let admitted = self.streams.gate.admit(&credentials, self.caller.client).await;
        let principal = admitted.inspect_err(|ending| {
            tracing::warn!(client = %self.caller.client, "403 Forbidden: {} for a stream", ending.reason());
        })?;
        self.seat.give_to(principal.client(self.caller.client)).map_err(|no_seat| match no_seat {
            NoSeat::Full => Ending::TooManyClients,
            NoSeat::FullForClient => Ending::TooManyOfPrincipal,
        })?;
        Ok(principal)
    }

    async fn credentials(&mut self) -> Result<Credentials, Ending> {
        loop {
            let came = self.socket.next().await;
            let Some(text) = self.text_of(came)? else { continue };
            return match ClientMessage::parse(&text) {
                Ok(ClientMessage::Auth(credentials)) => Ok(credentials),
                _ => Err(Ending::AuthExpected),
            };
        }
    }

    async fn talk(&mut self) -> Result<Infallible, Ending> {
        let (newest, mut updates) = self.streams.hub().subscribe();
        self.send_state(LiveKind::InitialData, &newest).await?;
        drop(newest);
        let interval = self.streams.config.heartbeat_interval;
        let mut heartbeat = interval_at(Instant::now() + interval, interval);
        loop {
            tokio::select! {
                came = self.socket.next() => {
                    if let Some(text) = self.text_of(came)? {
                        self.carry_out(&text).await?;
                    }
                }
                update = updates.recv() => self.send_update(&received(update)?).await?,
                _ = heartbeat.tick() => self.beat().await?,
            }
        }
    }

    /// Returns the text of a message; none for those of the protocol itself.
    fn text_of(
        &mut self,
        came: Option<Result<Message, Error>>,
    ) -> Result<Option<tokio_tungstenite::tungstenite::Utf8Bytes>, Ending> {
        let message = came.ok_or(Ending::PeerLeft)?.map_err(|error| Ending::of_error(&error))?;
        self.is_alive = true;
        self.streams.counters.count_received();
        if !self.pace.allows(1) {
            return Err(Ending::Flood);
        }
        match message {
            Message::Text(text) => Ok(Some(text)),
            Message::Binary(_) => Err(Ending::Binary),
            Message::Close(_) => Err(Ending::PeerLeft),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
        }
    }

    async fn carry_out(&mut self, text: &str) -> Result<(), Ending> {
        let streams = Arc::clone(&self.streams);
        let answer = match ClientMessage::parse(text) {
            Ok(ClientMessage::Ping) => streams.pong(),
            Ok(ClientMessage::RequestData(request)) => streams.rows(&request, &self.interest).await?,
            Ok(ClientMessage::Subscribe(wanted)) => match streams.subscribe(&wanted) {
                Ok((interest, confirmation)) => {
                    self.interest = Arc::new(interest);
                    self.send(confirmation).await?;
                    return self.send_state(LiveKind::InitialData, &streams.hub().newest()).await;
                }
                Err(complaint) => streams.error(&complaint),
            },
            Ok(ClientMessage::Auth(_)) => {
                let detail = "the stream is authenticated already".to_owned();
                streams.error(&Complaint { code: "already_authenticated", detail })
            }
            Err(complaint) => streams.error(&complaint),
        };
        self.send(answer).await
    }

    async fn send_state(&mut self, kind: LiveKind, update: &Arc<Update>) -> Result<(), Ending> {
        let interest = Arc::clone(&self.interest);
        let text = update.render(kind, &interest).await.ok_or(Ending::Internal)?;
        self.send(text).await
    }

    async fn send_update(&mut self, update: &Arc<Update>) -> Result<(), Ending> {
        let interest = Arc::clone(&self.interest);
        for event in update.alerts(&interest) {
            self.send(event.text.clone()).await?;
        }
        if interest.has_data() {
            self.send_state(LiveKind::DataUpdate, update).await?;
        }
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), Ending> {
        if !std::mem::replace(&mut self.is_alive, false) {
            return Err(Ending::PeerDead);
        }
        let ping = self.socket.send(Message::Ping(Bytes::new()));
        in_time(&self.streams.config, ping).await?;
        self.send(self.streams.heartbeat()).await
    }

    async fn send(&mut self, text: Bytes) -> Result<(), Ending> {
        in_time(&self.streams.config, write_text(&mut self.socket, text)).await?;
        self.streams.counters.count_sent();
        Ok(())
    }
}

/// Sends a text in fragments, so that a connection's buffer holds one of them however long the text is.
async fn write_text<S>(socket: &mut WebSocketStream<S>, text: Bytes) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut rest = text;
    let mut kind = Data::Text;
    loop {
        let fragment = rest.split_to(rest.len().min(FRAGMENT_BYTES));
        let is_final = rest.is_empty();
        let frame = Frame::message(fragment, OpCode::Data(kind), is_final);
        socket.feed(Message::Frame(frame)).await?;
        if is_final {
            return socket.flush().await;
        }
        kind = Data::Continue;
    }
}

async fn in_time(
    config: &StreamConfig,
    sending: impl Future<Output = Result<(), Error>>,
) -> Result<(), Ending> {
    let sent = timeout(config.send_timeout, sending).await.map_err(|_| Ending::TooSlow)?;
    sent.map_err(|error| Ending::of_error(&error))
}

/// Says why, waits for the client's answer and then for its end of the connection: what it has sent and nobody has
/// read would otherwise reset the connection before the reason arrives.
async fn close<S>(socket: &mut WebSocketStream<Inlet<S>>, ending: Ending) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(code) = ending.code() {
        let frame = CloseFrame { code, reason: ending.reason().into() };
        // Errors need no ending of their own: the rest finds out.
        let _ = socket.send(Message::Close(Some(frame))).await;
    }
    let is_readable = !matches!(ending, Ending::BadFrame | Ending::TooBig | Ending::NotUtf8);
    if is_readable {
        while let Some(Ok(_)) = socket.next().await {}
    }
    let connection = socket.get_mut();
    connection.shutdown().await?;
    let mut unread = [0; 4096];
    while connection.read(&mut unread).await? > 0 {}
    Ok(())
}

fn protocol_config(config: &StreamConfig) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * FRAGMENT_BYTES)
        .max_message_size(Some(config.message_bytes_max))
        .max_frame_size(Some(config.message_bytes_max))
}

/// Most bytes of a frame that is sent.
const FRAGMENT_BYTES: usize = 64 << 10;

/// Kept for every client; larger messages get more for as long as they need it.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// As many messages of full size a second are more than any client needs.
const MESSAGES_OF_FULL_SIZE: usize = 16;
