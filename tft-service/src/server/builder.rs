//! What a service is built from.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};

use tft_core::history::History;
use tft_core::store::Store;
use tokio::sync::{Semaphore, watch};

use super::redirect::{Redirector, is_named};
use super::{Server, UNKNOWN};
use crate::admin::Admin;
use crate::audit::Audit;
use crate::auth::KeyRing;
use crate::background::{Background, Parts, wake_channel};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::engine::Engine;
use crate::error::ServiceError;
use crate::explain::Explanations;
use crate::history::{self, HistoryFeed, HistoryWriter, Kept};
use crate::hub::Hub;
use crate::intake::Intake;
use crate::kept;
use crate::layers::{self, Shared};
use crate::limits::RateLimiter;
use crate::metrics::{Metrics, register_service, register_streams};
use crate::notify::{Deliveries, Planned};
use crate::openapi::openapi_document;
use crate::reload::ReloadHandle;
use crate::renewal::Renewal;
use crate::routes::{Context, Router};
use crate::rules::RuleWatch;
use crate::self_watch::SelfWatch;
use crate::snapshot::Snapshot;
use crate::state::ServiceState;
use crate::stream::{Gate, StreamCounters, Streams};
use crate::tls::{Identity, Watch};
use crate::wire::to_json;

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

    /// Sets everything that an operator can set. The address, ports, redirect, model and checkpoint in it are not used:
    /// the listener, the monitor and the store take their place.
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
    /// a thread or the listener, or the certificate cannot be served.
    pub fn listen(self, listener: TcpListener) -> Result<Server, ServiceError> {
        self.listen_on(vec![listener], None)
    }

    /// Starts to forecast, and to listen on several ports and perhaps a plain one that only redirects.
    pub(super) fn listen_on(
        self,
        listeners: Vec<TcpListener>,
        redirect: Option<TcpListener>,
    ) -> Result<Server, ServiceError> {
        let Self { store, mut engine, config, clock } = self;
        config.check()?;
        let rules = engine.take_rules(&config)?;
        let addresses = addresses_of(&listeners)?;
        let Secured { identity, watch, renewal } = Secured::open(&config, &clock)?;
        let redirect = redirect_of(redirect, &config, (addresses.first(), identity.as_ref()))?;
        let audit = Audit::start(&config.audit)?;
        let metrics = Arc::new(Metrics::new());
        let (history, history_writer) = parts_of(history::start(&config, &store, &clock, &metrics)?);
        let wake = wake_channel();
        let state = Arc::new(state_of(store, &mut engine, (&config, &clock), wake.0.clone())?);
        let (commands, commanded) = mpsc::channel();
        let explanations = Explanations::new(Arc::clone(&state), commands.clone());
        let schema = engine.facts().schema.clone();
        let openapi = to_json(&openapi_document(&schema)).into();
        let rules = rules.map(|file| RuleWatch::new(file, schema, commands.clone(), &state));
        let handle = history_writer.0.as_ref().map(HistoryWriter::handle);
        let admin = Arc::new(Admin::new(&config, &state, &clock, commands).with_history(handle));
        let intake = Intake::new(&config.limits);
        register_service(&metrics, &state, &intake, &clock);
        register_certificate(&metrics, identity.as_ref());
        let parts = Parts {
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            commands: commanded,
            wake,
            self_watch: self_watch(&metrics, identity.as_ref())?,
            history: history_writer,
        };
        let background = Background::start(&config, engine, &state, parts)?;
        let keys = Arc::new(KeyRing::load(&config, Arc::clone(&clock)).map_err(ConfigError::from)?);
        let shared = Arc::new(shared_of(&config, &clock, (&audit, &metrics, &keys)));
        let (stopping, _) = watch::channel(false);
        let (streams, stream_counters) = streams_of(&config, &shared, &state, stopping.subscribe());
        let planned = Planned::by_notifier(&state, &clock);
        let context = Context {
            shared: Arc::clone(&shared),
            state,
            intake,
            admin,
            explanations,
            openapi,
            streams,
            history,
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
        };
        let stack = layers::stack(&config, &addresses, &shared, Router::new(context));
        let deliveries = Deliveries::start(&config.notify, &clock, &metrics, planned)?;
        let reload = ReloadHandle::new(audit.clone(), keys, watch, clock, config.tls.reload_interval);
        Ok(Server {
            listeners,
            limits: config.limits,
            stack,
            background,
            deliveries,
            audit,
            reload: reload.with_rules(rules),
            renewal,
            identity,
            handshake_timeout: config.tls.handshake_timeout,
            redirect,
            stream_counters,
            stopping,
        })
    }

    /// Answers requests on a listener for as long as the future is polled.
    ///
    /// # Errors
    /// Those of [`listen`](Self::listen) and [`Server::run`].
    pub async fn serve(self, listener: TcpListener) -> Result<(), ServiceError> {
        self.listen(listener)?.run(std::future::pending()).await
    }
}

/// Most exports of the history at a time.
const EXPORTS_MAX: usize = 2;

/// The certificate, and who looks after it; nothing over plain HTTP.
struct Secured {
    identity: Option<Arc<Identity>>,
    watch: Option<Watch>,
    renewal: Option<Renewal>,
}

impl Secured {
    fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, ServiceError> {
        let tls = &config.tls;
        let identity = tls.source.as_ref().map(|source| Identity::open(source, clock.now()));
        let identity = identity.transpose()?.map(Arc::new);
        let watch =
            identity.clone().map(|identity| Watch::new(identity, tls.renewal_days_before, clock.now()));
        let renewal = Renewal::of(tls, identity.as_ref(), clock);
        Ok(Self { identity, watch, renewal })
    }
}

/// What layers and handlers share.
fn shared_of(
    config: &Config,
    clock: &Arc<dyn Clock>,
    (audit, metrics, keys): (&Audit, &Arc<Metrics>, &Arc<KeyRing>),
) -> Shared {
    Shared {
        limits: config.limits,
        clock: Arc::clone(clock),
        audit: audit.clone(),
        metrics: Arc::clone(metrics),
        keys: Arc::clone(keys),
        limiter: RateLimiter::new(config.rate_limits.clone()),
    }
}

/// The live streams, and the figures of them.
fn streams_of(
    config: &Config,
    shared: &Arc<Shared>,
    state: &Arc<ServiceState>,
    stopping: watch::Receiver<bool>,
) -> (Arc<Streams>, Arc<StreamCounters>) {
    let gate = Gate::new(Arc::clone(shared));
    let streams = Streams::new(config.stream, gate, Arc::clone(state), stopping);
    let counters = streams.counters();
    register_streams(&shared.metrics, &counters);
    (streams, counters)
}

/// The thread that writes to the history, and what tells it of forecasts.
type HistoryWriting = (Option<HistoryWriter>, Option<HistoryFeed>);

/// The history for those who read it, and for those who write it.
fn parts_of(kept: Option<Kept>) -> (Option<Arc<History>>, HistoryWriting) {
    match kept {
        Some(Kept { history, writer, feed }) => (Some(history), (Some(writer), Some(feed))),
        None => (None, (None, None)),
    }
}

/// What requests and threads share, with what was kept of alerts before.
fn state_of(
    store: Store,
    engine: &mut Engine,
    (config, clock): (&Config, &Arc<dyn Clock>),
    wake: SyncSender<()>,
) -> Result<ServiceState, ServiceError> {
    let now = clock.now();
    let empty = Snapshot::new(engine.empty_view(now)?);
    let hub = Hub::new(Arc::new(empty), config.stream.updates_queued_max);
    kept::restore_alerts(&store, engine, now)?;
    let notifier = kept::restore_notifier(&store, config.notify.plan.clone(), now)?;
    let needed_steps = engine.facts().history_steps_needed;
    Ok(ServiceState::new(store, needed_steps, Arc::clone(clock), (hub, notifier), wake))
}

fn self_watch(metrics: &Arc<Metrics>, identity: Option<&Arc<Identity>>) -> Result<SelfWatch, ServiceError> {
    let identity = identity.cloned();
    let certificate_end = move || identity.as_ref().map(|identity| identity.not_after_seconds());
    Ok(SelfWatch::new(Arc::clone(metrics), certificate_end)?)
}

/// The plain listener and where it leads to; only beside https.
fn redirect_of(
    listener: Option<TcpListener>,
    config: &Config,
    (address, identity): (Option<&SocketAddr>, Option<&Arc<Identity>>),
) -> Result<Option<(TcpListener, Redirector)>, ServiceError> {
    let Some((listener, identity)) = listener.zip(identity) else { return Ok(None) };
    addresses_of(std::slice::from_ref(&listener))?;
    Ok(Some((listener, redirector(config, address, identity))))
}

fn register_certificate(metrics: &Metrics, identity: Option<&Arc<Identity>>) {
    let Some(identity) = identity.cloned() else { return };
    let help = "When the service's own certificate ends, in Unix seconds.";
    metrics.gauge("tft_tls_not_after_seconds", help, move || Some(identity.not_after_seconds() as f64));
}

fn addresses_of(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, ServiceError> {
    let addresses = listeners.iter().map(|listener| {
        listener.set_nonblocking(true)?;
        listener.local_addr()
    });
    addresses
        .map(|address| address.map_err(|source| ServiceError::Listen { address: UNKNOWN, source }))
        .collect()
}

/// Redirects to the names that the service is called by: those allowed, or else the configured one, or else the
/// certificate's.
fn redirector(config: &Config, address: Option<&SocketAddr>, identity: &Arc<Identity>) -> Redirector {
    let to_port = config.tls.redirect.and_then(|redirect| redirect.to_port);
    let https_port = to_port.or(address.map(SocketAddr::port)).unwrap_or(443);
    let (allowed, domain) = (config.allowed_hosts.clone(), config.tls.domain.clone());
    let identity = Arc::clone(identity);
    let is_own_host = move |host: &str| match &domain {
        _ if !allowed.is_empty() => allowed.iter().any(|pattern| pattern.matches(host)),
        Some(domain) => host.eq_ignore_ascii_case(domain),
        None => is_named(host, &identity.names()),
    };
    Redirector::new(is_own_host, https_port)
}
