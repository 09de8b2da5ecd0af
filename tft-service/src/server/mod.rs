//! The service as a whole: what it is built from, its listeners, and the order of stopping.
//!
//! Stopping: no new connections, live streams end, open requests finish, messages about alerts are tried once
//! more, the background work stops, the window is saved.
//! What happens on one connection is in `connection`, what a request means in `layers` and `routes`.

mod activity;
mod builder;
mod connection;
mod redirect;
mod stall_guard;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

pub use self::builder::ServerBuilder;
pub(crate) use self::connection::Connection;
use self::connection::Incoming;
use self::redirect::Redirector;
use crate::audit::Audit;
use crate::background::Background;
use crate::clock::Clock;
use crate::config::{Config, Limits};
use crate::engine::Engine;
use crate::error::ServiceError;
use crate::layers::Stack;
use crate::notify::Deliveries;
use crate::persistence;
use crate::reload::ReloadHandle;
use crate::renewal::Renewal;
use crate::stream::StreamCounters;
use crate::tls::Identity;
use tft_core::schema::Schema;
use tft_core::store::Store;

/// A service that listens and has not begun to answer.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<std::net::TcpListener>,
    limits: Limits,
    stack: Stack,
    background: Background,
    /// None if nobody is told of alerts.
    deliveries: Option<Deliveries>,
    audit: Audit,
    reload: ReloadHandle,
    stream_counters: Arc<StreamCounters>,
    identity: Option<Arc<Identity>>,
    handshake_timeout: Duration,
    /// None if the certificate comes from elsewhere.
    renewal: Option<Renewal>,
    /// The plain listener that sends browsers to https.
    redirect: Option<(std::net::TcpListener, Redirector)>,
    /// Told when the service stops; connections and live streams listen.
    stopping: watch::Sender<bool>,
}

impl Server {
    /// Begins to build a service of a window that is kept in `store`, and of what forecasts it and judges it.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tft_core::schema::Schema;
    /// use tft_core::store::Store;
    /// use tft_core::{Forecaster, ForecasterConfig, Model, Monitor};
    /// use tft_service::Server;
    ///
    /// let forecaster = Forecaster::new(Model::built_in()?, ForecasterConfig::default())?;
    /// let monitor = Monitor::new(&Schema::server_metrics(), forecaster)?;
    /// let store = Store::in_memory(tft_service::window_for(&monitor)?);
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// Server::builder(store, monitor).serve(listener).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(store: Store, monitor: tft_core::Monitor) -> ServerBuilder {
        ServerBuilder::new(store, Engine::new(monitor))
    }

    /// Loads the model, the checkpoint and its log as a configuration says, binds its port and starts to forecast.
    ///
    /// # Errors
    /// [`ServiceError`] if the configuration is unsafe, the model cannot be used, a file of the store
    /// cannot be read or written, or the port cannot be bound. What is corrupt is moved aside and logged instead.
    pub fn bind(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, ServiceError> {
        config.check()?;
        let engine = Engine::load(config.model_dir.as_deref(), &Schema::server_metrics())?;
        let empty = engine.window_kept_for(config.retention)?;
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
        let ports = std::iter::once(config.port).chain(config.extra_ports.iter().copied());
        let listeners: Result<_, _> = ports.map(|port| bind(config.host, port)).collect();
        let redirect = config.tls.redirect.map(|redirect| bind(config.host, redirect.port)).transpose()?;
        let builder = ServerBuilder::new(store, engine).config(config.clone()).clock(clock);
        builder.listen_on(listeners?, redirect)
    }

    /// Returns the address that the service listens on; the first, if there are several.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addrs().first().copied().unwrap_or(UNKNOWN)
    }

    /// Returns every address that the service listens on.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Returns the address of the plain listener that sends browsers to https, if there is one.
    pub fn redirect_addr(&self) -> Option<SocketAddr> {
        self.redirect.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Returns when the certificate in use ends; none over plain HTTP.
    ///
    /// # Units
    /// Seconds since 1970.
    pub fn tls_not_after_seconds(&self) -> Option<i64> {
        self.identity.as_ref().map(|identity| identity.not_after_seconds())
    }

    /// Returns a handle by which what can be changed while the service runs is read anew.
    pub fn reload_handle(&self) -> ReloadHandle {
        self.reload.clone()
    }

    /// Returns what is counted about live streams.
    pub fn stream_counters(&self) -> Arc<StreamCounters> {
        Arc::clone(&self.stream_counters)
    }

    /// Answers requests until `stop` resolves; then lets open connections finish, and saves.
    ///
    /// # Errors
    /// [`ServiceError`] if forecasting ended by itself or the last checkpoint could not be saved.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropping the future cuts connections and saves nothing.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServiceError> {
        let Self {
            listeners,
            limits,
            stack,
            mut background,
            deliveries,
            audit,
            reload,
            renewal,
            stopping,
            ..
        } = self;
        let slots = Arc::new(Semaphore::new(limits.connections_max));
        let connections = Arc::new(());
        let mut accepting = tokio::task::JoinSet::new();
        for listener in listeners {
            let listener = register(listener)?;
            tracing::info!(address = %listener.local_addr().unwrap_or(UNKNOWN), "listening");
            let incoming = Incoming {
                stack: stack.clone(),
                limits,
                slots: Arc::clone(&slots),
                stopping: stopping.subscribe(),
                identity: self.identity.clone(),
                handshake_timeout: self.handshake_timeout,
                open: Arc::clone(&connections),
            };
            accepting.spawn(async move { incoming.accept(&listener).await });
        }
        if let Some((listener, redirector)) = self.redirect {
            let listener = register(listener)?;
            accepting.spawn(async move { redirector.serve(&listener).await });
        }
        let panicked = tokio::select! {
            () = stop => false,
            () = background.inference_ended() => true,
            () = reload.watch_files() => false,
            () = renewing(renewal, reload.clone()) => false,
        };
        accepting.shutdown().await;
        tracing::info!(connections = Arc::strong_count(&connections) - 1, "stopping");
        let _ = stopping.send(true);
        drain(&connections, limits.drain_timeout).await;
        let stop = || {
            // Before the last save, which keeps what was told.
            deliveries.into_iter().for_each(Deliveries::stop);
            background.stop()
        };
        let stopped = tokio::task::spawn_blocking(stop).await;
        audit.flush();
        match stopped {
            Ok(stopped) if !panicked => stopped,
            _ => Err(ServiceError::ThreadPanicked),
        }
    }
}

/// Asks for certificates whenever one is needed.
async fn renewing(renewal: Option<Renewal>, reload: ReloadHandle) {
    match renewal {
        Some(renewal) => renewal.run(move || reload.look_at_certificate()).await,
        None => std::future::pending().await,
    }
}

/// Registers a listener with the runtime.
fn register(listener: std::net::TcpListener) -> Result<TcpListener, ServiceError> {
    let address = listener.local_addr().unwrap_or(UNKNOWN);
    TcpListener::from_std(listener).map_err(|source| ServiceError::Listen { address, source })
}

fn bind(host: IpAddr, port: u16) -> Result<std::net::TcpListener, ServiceError> {
    let address = SocketAddr::new(host, port);
    std::net::TcpListener::bind(address).map_err(|source| ServiceError::Listen { address, source })
}

/// Waits until no connection holds on to `connections` any more, or the time is up.
async fn drain(connections: &Arc<()>, timeout: Duration) {
    let ended = async {
        while Arc::strong_count(connections) > 1 {
            tokio::time::sleep(DRAIN_PAUSE).await;
        }
    };
    if tokio::time::timeout(timeout, ended).await.is_err() {
        tracing::warn!("connections were cut because they did not finish in time");
    }
}

/// What stands for the address of a listener that does not tell it.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

const DRAIN_PAUSE: Duration = Duration::from_millis(5);
