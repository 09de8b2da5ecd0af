//! What a service is built from.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tft_core::store::Store;
use tokio::sync::watch;

use super::Server;
use crate::audit::Audit;
use crate::background::{Background, wake_channel};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::ServiceError;
use crate::intake::Intake;
use crate::layers::{self, Shared};
use crate::reload::ReloadHandle;
use crate::routes::{Context, Router};
use crate::snapshot::Snapshot;
use crate::state::ServiceState;

/// A service under construction; see [`Server::builder`].
#[derive(Debug)]
pub struct ServerBuilder {
    store: Store,
    engine: Engine,
    config: Config,
    clock: Arc<dyn Clock>,
}

impl ServerBuilder {
    pub(crate) fn new(store: Store, engine: Engine) -> Self {
        Self { store, engine, config: Config::default(), clock: Arc::new(SystemClock::new()) }
    }

    /// Sets everything that an operator can set. The address, port, model and checkpoint in it are not used: the
    /// listener, the monitor and the store take their place.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets what tells the time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Starts to forecast, and to listen without answering yet.
    ///
    /// # Errors
    /// [`ServiceError`] if the configuration is unsafe, the audit log cannot be opened, or the operating system refuses
    /// a thread or the listener.
    pub fn listen(self, listener: TcpListener) -> Result<Server, ServiceError> {
        let Self { store, engine, config, clock } = self;
        config.check()?;
        let listeners = vec![listener];
        let addresses = addresses_of(&listeners)?;
        let audit = Audit::start(&config.audit)?;
        let wake = wake_channel();
        let empty = engine.empty_view(clock.now())?;
        let needed_steps = engine.facts().history_steps_needed;
        let state =
            ServiceState::new(store, needed_steps, Arc::clone(&clock), Snapshot::new(empty), wake.0.clone());
        let state = Arc::new(state);
        let background = Background::start(&config, engine, &state, &clock, wake)?;
        let shared = Arc::new(Shared { limits: config.limits, clock, audit: audit.clone() });
        let (stopping, _) = watch::channel(false);
        let context = Context { shared: Arc::clone(&shared), state, intake: Intake::new(&config.limits) };
        let stack = layers::stack(&config, &addresses, &shared, Router::new(context));
        let reload = ReloadHandle::new(audit.clone());
        Ok(Server { listeners, limits: config.limits, stack, background, audit, reload, stopping })
    }

    /// Answers requests on a listener for as long as the future is polled.
    ///
    /// # Errors
    /// Those of [`listen`](Self::listen) and [`Server::run`].
    pub async fn serve(self, listener: TcpListener) -> Result<(), ServiceError> {
        self.listen(listener)?.run(std::future::pending()).await
    }
}

fn addresses_of(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, ServiceError> {
    let addresses = listeners.iter().map(|listener| {
        listener.set_nonblocking(true)?;
        listener.local_addr()
    });
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    addresses
        .map(|address| address.map_err(|source| ServiceError::Listen { address: unknown, source }))
        .collect()
}
