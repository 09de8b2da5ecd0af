//! One client's connection, from its acceptance to its end.
//!
//! Owns the limits of sockets: how many, for how long, and how much of a protocol's state a client may make. Whether
//! it is HTTP/1.1 or HTTP/2 is seen by its first bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming as IncomingBody;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service;

use super::activity::{Activity, Delivered};
use super::stall_guard::StallGuard;
use crate::config::Limits;
use crate::http::{LiveStream, received};
use crate::layers::Stack;
use crate::tls::{self, Accepted, Identity};

/// Accepts the connections of one listener.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) stack: Stack,
    pub(super) limits: Limits,
    pub(super) slots: Arc<Semaphore>,
    pub(super) stopping: watch::Receiver<bool>,
    /// What handshakes are made with; none is plain HTTP.
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) handshake_timeout: Duration,
    /// Held by every connection that is open.
    pub(super) open: Arc<()>,
}

/// What a request knows of its connection; in its extensions.
///
/// A session that outlives its request keeps a clone, so that the connection counts as open and busy.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    /// Whether the bytes on the wire are encrypted.
    pub(crate) is_secure: bool,
    pub(crate) activity: Activity,
    /// Keeps the connection's slot taken.
    _slot: Arc<Slot>,
}

/// A connection's place among those that may be open, and its mark as open.
#[derive(Debug)]
struct Slot {
    _permit: OwnedSemaphorePermit,
    _open: Arc<()>,
}

/// How requests follow each other on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

impl Incoming {
    /// Accepts connections for ever; beyond the limit they wait in the operating system's queue.
    pub(super) async fn accept(&self, listener: &TcpListener) {
        loop {
            let Ok(permit) = Arc::clone(&self.slots).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let slot = Arc::new(Slot { _permit: permit, _open: Arc::clone(&self.open) });
                    let is_secure = self.identity.is_some();
                    let connection = Connection { peer, is_secure, activity: Activity::new(), _slot: slot };
                    self.spawn(stream, connection);
                }
                Err(error) => {
                    // Out of file descriptors, for example: trying again at once would only spin.
                    tracing::error!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Incoming {
    /// Serves a connection beside the others.
    fn spawn(&self, stream: TcpStream, connection: Connection) {
        // A reply is written at once and in whole; waiting to fill packets only delays it.
        let _ = stream.set_nodelay(true);
        let (stack, limits, stopping) = (self.stack.clone(), self.limits, self.stopping.clone());
        match self.identity.clone() {
            None => {
                tokio::spawn(serve_plain(stream, connection, stack, limits, stopping));
            }
            Some(identity) => {
                let timeout = self.handshake_timeout;
                tokio::spawn(async move {
                    if let Some(accepted) = shake_hands(stream, &identity, timeout, stopping.clone()).await {
                        serve_secure(accepted, connection, stack, limits, stopping).await;
                    }
                });
            }
        }
    }
}

/// Makes the handshake of a connection, unless the service stops before it is done.
async fn shake_hands(
    stream: TcpStream,
    identity: &Identity,
    timeout: Duration,
    mut stopping: watch::Receiver<bool>,
) -> Option<Accepted> {
    let client = stream.peer_addr().ok();
    tokio::select! {
        accepted = tls::accept(stream, identity, timeout) => {
            accepted.inspect_err(|error| tracing::debug!(?client, %error, "no TLS handshake")).ok()
        }
        _ = stopping.wait_for(|stopping| *stopping) => None,
    }
}

/// Serves a connection after its handshake, which has agreed on the protocol.
async fn serve_secure(
    accepted: Accepted,
    connection: Connection,
    stack: Stack,
    limits: Limits,
    stopping: watch::Receiver<bool>,
) {
    let protocol = if accepted.is_http2 { Protocol::Http2 } else { Protocol::Http1 };
    serve(accepted.stream, protocol, connection, stack, limits, stopping).await;
}

/// Serves a connection that is not encrypted.
async fn serve_plain(
    stream: TcpStream,
    connection: Connection,
    stack: Stack,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let protocol = tokio::select! {
        protocol = tokio::time::timeout(limits.idle_timeout, sniff(&stream, limits.header_timeout)) => protocol,
        // Nothing was asked yet that could be answered.
        _ = stopping.wait_for(|stopping| *stopping) => return,
    };
    if let Ok(Some(protocol)) = protocol {
        serve(stream, protocol, connection, stack, limits, stopping).await;
    }
}

/// Serves the requests of a connection until it ends, is idle for too long or the service stops.
pub(super) async fn serve<S>(
    stream: S,
    protocol: Protocol,
    connection: Connection,
    stack: Stack,
    limits: Limits,
    stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = connection.activity.clone();
    let peer = connection.peer.ip();
    let service = service_fn(move |request| answer(request, connection.clone(), stack.clone(), limits));
    match protocol {
        Protocol::Http1 => {
            let io = TokioIo::new(StallGuard::new(stream, activity.clone(), &limits));
            let driven = pin!(http1_settings(&limits).serve_connection(io, service).with_upgrades());
            // hyper's own timer closes idle connections, and knows when a reply has been written.
            let overdue = activity.overdue(Duration::MAX);
            drive(driven, http1::UpgradeableConnection::graceful_shutdown, overdue, stopping, peer).await;
        }
        Protocol::Http2 => {
            let io = TokioIo::new(StallGuard::interleaved(stream, activity.clone(), &limits));
            let driven = pin!(http2_settings(&limits).serve_connection(io, service));
            let overdue = activity.overdue(limits.idle_timeout);
            drive(driven, http2::Connection::graceful_shutdown, overdue, stopping, peer).await;
        }
    }
}

/// Runs a connection to its end, which comes sooner if it is overdue or the service stops.
async fn drive<C>(
    mut connection: Pin<&mut C>,
    finish: impl Fn(Pin<&mut C>),
    overdue: impl Future<Output = &'static str>,
    mut stopping: watch::Receiver<bool>,
    peer: std::net::IpAddr,
) where
    C: Future<Output = hyper::Result<()>>,
{
    let mut overdue = pin!(overdue);
    let mut is_finishing = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(client = %peer, %error, "connection ended");
                }
                return;
            }
            reason = overdue.as_mut() => {
                tracing::debug!(client = %peer, reason, "connection cut");
                return;
            }
            _ = stopping.wait_for(|stopping| *stopping), if !is_finishing => {
                is_finishing = true;
                finish(connection.as_mut());
            }
        }
    }
}

async fn answer(
    mut request: Request<IncomingBody>,
    connection: Connection,
    mut stack: Stack,
    limits: Limits,
) -> Result<Response<Delivered>, Infallible> {
    let under_way = connection.activity.begin();
    request.extensions_mut().insert(connection);
    let Ok(reply) = stack.call(received(request)).await;
    let is_live = reply.extensions().get::<LiveStream>().is_some();
    Ok(reply.map(|body| under_way.deliver(body, is_live, &limits)))
}

fn http1_settings(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).max_header_size(limits.header_bytes_max);
    http.max_buf_size(limits.header_bytes_max.max(READ_BUFFER_BYTES_MIN));
    // hyper's timer runs from the end of the request before: it bounds idle time, the guard headers.
    http.header_read_timeout(limits.idle_timeout);
    http
}

fn http2_settings(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    http.max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX));
    http.max_send_buf_size(SEND_BUFFER_BYTES_MAX);
    http.keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
    http
}

/// Tells the protocol by a connection's first bytes, which stay to be read; none if it ends before.
async fn sniff(stream: &TcpStream, patience: Duration) -> Option<Protocol> {
    let mut first = [0; HTTP2_PREFACE.len()];
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let length = stream.peek(&mut first).await.ok()?;
        let given = &first[..length];
        if given.is_empty() {
            return None;
        }
        if given == HTTP2_PREFACE {
            return Some(Protocol::Http2);
        }
        if !HTTP2_PREFACE.starts_with(given) || tokio::time::Instant::now() >= deadline {
            return Some(Protocol::Http1);
        }
        // Peeking again returns at once: there is nothing to wait for but time.
        tokio::time::sleep(SNIFF_PAUSE).await;
    }
}

/// How every HTTP/2 connection begins (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const SNIFF_PAUSE: Duration = Duration::from_millis(5);

/// The least that hyper takes.
const READ_BUFFER_BYTES_MIN: usize = 8 << 10;

/// Requests that a client may have under way on one connection.
const STREAMS_MAX: u32 = 100;

/// Bytes of a reply that wait for an HTTP/2 client to take them.
const SEND_BUFFER_BYTES_MAX: usize = 128 << 10;

const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
