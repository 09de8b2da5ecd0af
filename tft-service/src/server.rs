//! The listener and its connections.
//!
//! Owns sockets, their limits and the order of stopping: stop accepting, let open connections finish, stop
//! the background work, save. What a request means is in `pipeline`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tft_core::schema::Schema;
use tft_core::store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::background::{Background, wake_channel};
use crate::clock::Clock;
use crate::config::{Config, Limits};
use crate::engine::Engine;
use crate::error::ServiceError;
use crate::http::{RequestPhase, StallGuard};
use crate::persistence;
use crate::pipeline::Pipeline;
use crate::snapshot::Snapshot;
use crate::state::ServiceState;
use crate::stream::Hub;

/// A service that listens and has not begun to answer.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    address: SocketAddr,
    limits: Limits,
    pipeline: Arc<Pipeline>,
    background: Background,
}

impl Server {
    /// Loads the model, the checkpoint and its log, binds the port and starts to forecast.
    ///
    /// # Errors
    /// [`ServiceError`] if the configuration is unsafe, the model cannot be used, a file of the store
    /// cannot be read or written, or the port cannot be bound. What is corrupt is moved aside and logged instead.
    pub fn bind(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, ServiceError> {
        config.check()?;
        let engine = Engine::load(config.model_dir.as_deref(), Schema::server_metrics())?;
        let empty = engine.empty_window()?;
        let store = match &config.persistence_file {
            Some(path) => persistence::open(path, empty, config.store.clone(), clock.now())?,
            None => Store::in_memory(empty),
        };
        Self::with_engine(config, clock, engine, store)
    }

    /// Binds the port and serves the window of a given store with a given engine.
    ///
    /// # Errors
    /// [`ServiceError`] if the configuration is unsafe or the port cannot be bound.
    pub(crate) fn with_engine(
        config: &Config,
        clock: Arc<dyn Clock>,
        engine: Engine,
        store: Store,
    ) -> Result<Self, ServiceError> {
        config.check()?;
        let asked = SocketAddr::new(config.host, config.port);
        let refused = |source| ServiceError::Listen { address: asked, source };
        let listener = std::net::TcpListener::bind(asked).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let wake = wake_channel();
        let empty = engine.empty_view(clock.now())?;
        let needed_steps = engine.facts().history_steps_needed;
        let hub = Hub::new(Arc::new(Snapshot::new(empty)), 16);
        let state = ServiceState::new(store, needed_steps, Arc::clone(&clock), hub, wake.0.clone());
        let state = Arc::new(state);
        let background = Background::start(config, engine, &state, &clock, wake)?;
        let pipeline = Arc::new(Pipeline::new(config, address, clock, state));
        Ok(Self { listener, address, limits: config.limits, pipeline, background })
    }

    /// Returns the address that the service listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop` resolves; then lets open connections finish, and saves.
    ///
    /// # Errors
    /// [`ServiceError`] if forecasting ended by itself or the last checkpoint could not be saved.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropping the future cuts connections and saves nothing.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServiceError> {
        let Self { listener, address, limits, pipeline, mut background } = self;
        let listener = TcpListener::from_std(listener);
        let listener = listener.map_err(|source| ServiceError::Listen { address, source })?;
        tracing::info!(%address, "listening");
        let graceful = GracefulShutdown::new();
        let panicked = tokio::select! {
            () = accept(&listener, limits, &pipeline, &graceful) => false,
            () = stop => false,
            () = background.inference_ended() => true,
        };
        drop(listener);
        tracing::info!(connections = graceful.count(), "stopping");
        if tokio::time::timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections were cut because they did not finish in time");
        }
        let stopped = tokio::task::spawn_blocking(|| background.stop()).await;
        match stopped {
            Ok(stopped) if !panicked => stopped,
            _ => Err(ServiceError::ThreadPanicked),
        }
    }
}

/// Accepts connections for ever; beyond the limit they wait in the operating system's queue.
async fn accept(
    listener: &TcpListener,
    limits: Limits,
    pipeline: &Arc<Pipeline>,
    graceful: &GracefulShutdown,
) {
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connection = Connection { stream, peer, slot, pipeline: Arc::clone(pipeline) };
                tokio::spawn(connection.serve(limits, graceful.watcher()));
            }
            Err(error) => {
                // Out of file descriptors, for example: trying again at once would only spin.
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One client's connection.
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
    pipeline: Arc<Pipeline>,
}

impl Connection {
    async fn serve(self, limits: Limits, watcher: Watcher) {
        let Self { stream, peer, slot, pipeline } = self;
        // A reply is written at once and in whole; waiting to fill packets only delays it.
        let _ = stream.set_nodelay(true);
        let phase = RequestPhase::default();
        let io = TokioIo::new(StallGuard::new(stream, phase.clone(), &limits));
        let service = service_fn(|request| {
            let (pipeline, phase) = (&pipeline, &phase);
            async move {
                let _under_way = phase.begin();
                Ok::<_, Infallible>(pipeline.answer(peer, request).await)
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).max_header_size(limits.header_bytes_max);
        http.max_buf_size(limits.header_bytes_max.max(READ_BUFFER_BYTES_MIN));
        // hyper's timer runs from the end of the request before: it bounds idle time, the guard headers.
        http.header_read_timeout(limits.idle_timeout);
        let connection = pin!(watcher.watch(http.serve_connection(io, service)));
        if let Err(error) = connection.await {
            tracing::debug!(client = %peer.ip(), %error, "connection ended");
        }
        drop(slot);
    }
}

/// The least that hyper takes.
const READ_BUFFER_BYTES_MIN: usize = 8 << 10;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
