//! What every request passes on its way to a route, and every reply on its way back.
//!
//! One tower layer per concern, in this order:
//!
//! | layer | on the way in | on the way out |
//! |---|---|---|
//! | [`finish`] | names the request, finds its route | security headers, audit line |
//! | [`hosts`] | refuses names that the service is not called by | |
//! | [`client`] | finds out who is calling, behind proxies too; refuses networks that are not served | |
//! | [`cors`] | answers preflight requests | the headers that browsers ask for |
//! | [`auth`] | who it is, which page asks, what it may do; open routes pass | |
//! | [`quota`] | how often | what is left |
//!
//! What one layer finds out travels in the request's extensions as a [`Call`], and what the audit line should say of
//! the outcome in those of the reply. A refusal is a reply like any other, so that it gets the same headers.

mod auth;
mod client;
mod cors;
mod finish;
mod hosts;
mod quota;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::util::BoxCloneSyncService;
use tower::{Layer, Service};

use self::auth::Authenticate;
use self::client::FindClient;
use self::cors::Cors;
pub(crate) use self::cors::OriginCheck;
use self::finish::Finish;
use self::hosts::CheckHost;
use self::quota::Quota;
use crate::audit::Audit;
use crate::auth::{KeyRing, Principal};
use crate::clock::Clock;
use crate::config::{Config, Limits};
use crate::http::{Refusal, Reply, Request, drain};
use crate::limits::RateLimiter;
use crate::routes::{Route, Router};
use crate::server::Connection;

/// The whole way of a request, ready to be cloned for each.
pub(crate) type Stack = BoxCloneSyncService<Request, Reply, Infallible>;

/// What is known of a request so far.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Unique among the requests of this process and, but for bad luck, others.
    pub(crate) id: String,
    /// Who is calling: the peer, or whom a trusted proxy names.
    pub(crate) client: IpAddr,
    /// Whether the client's connection is encrypted, as far as is known.
    pub(crate) is_secure: bool,
    /// The route, if there is one for the path and method.
    pub(crate) route: Option<&'static Route>,
    /// What stands in the path in place of the route's `{…}`, decoded.
    pub(crate) parameter: Option<String>,
    /// What the `Origin` header means.
    pub(crate) origin: OriginCheck,
    /// Who it is, once that is known; open routes do not ask.
    pub(crate) principal: Option<Principal>,
}

/// What the audit line tells of the outcome beside its status; in a reply's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) key_id: Option<String>,
    pub(crate) reason: Option<String>,
}

/// Everything that the layers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) audit: Audit,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) limiter: RateLimiter,
}

/// Builds the way of a request for a service that listens on `addresses`.
pub(crate) fn stack(
    config: &Config,
    addresses: &[SocketAddr],
    shared: &Arc<Shared>,
    router: Router,
) -> Stack {
    let quota = Around::new(Quota::new(shared)).layer(router);
    let auth = Around::new(Authenticate::new(shared)).layer(quota);
    let cors = Around::new(Cors::new(config, addresses, shared)).layer(auth);
    let client = Around::new(FindClient::new(config, shared)).layer(cors);
    let hosts = Around::new(CheckHost::new(config, addresses, shared)).layer(client);
    BoxCloneSyncService::new(Around::new(Finish::new(config, shared)).layer(hosts))
}

/// One concern: what happens to a request before the rest of the way, and to its reply after it.
trait Crossing: Send + Sync + 'static {
    fn cross(&self, request: Request, next: impl Next) -> impl Future<Output = Reply> + Send;
}

/// The rest of a request's way.
trait Next: Send {
    fn run(self, request: Request) -> impl Future<Output = Reply> + Send;
}

impl<S> Next for S
where
    S: Service<Request, Response = Reply, Error = Infallible, Future: Send> + Send,
{
    async fn run(mut self, request: Request) -> Reply {
        let Ok(reply) = self.call(request).await;
        reply
    }
}

/// A [`Crossing`] as a tower layer.
#[derive(Debug)]
struct Around<C> {
    crossing: Arc<C>,
}

/// A [`Crossing`] and the rest of the way, as a tower service. Always ready: nothing behind it is ever not.
#[derive(Debug)]
struct Passage<C, S> {
    crossing: Arc<C>,
    next: S,
}

impl<C> Around<C> {
    fn new(crossing: C) -> Self {
        Self { crossing: Arc::new(crossing) }
    }
}

impl<C, S> Layer<S> for Around<C> {
    type Service = Passage<C, S>;

    fn layer(&self, next: S) -> Self::Service {
        Passage { crossing: Arc::clone(&self.crossing), next }
    }
}

impl<C, S: Clone> Clone for Passage<C, S> {
    fn clone(&self) -> Self {
        Self { crossing: Arc::clone(&self.crossing), next: self.next.clone() }
    }
}

impl<C, S> Service<Request> for Passage<C, S>
where
    C: Crossing,
    S: Service<Request, Response = Reply, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (crossing, next) = (Arc::clone(&self.crossing), self.next.clone());
        Box::pin(async move { Ok(crossing.cross(request, next).await) })
    }
}

impl Call {
    /// Returns what is known of a request that has passed [`finish`].
    pub(crate) fn of(request: &Request) -> Self {
        request.extensions().get().cloned().unwrap_or_else(|| Self::new(String::new(), request))
    }

    fn new(id: String, request: &Request) -> Self {
        let connection = request.extensions().get::<Connection>();
        let found = Route::find(request.method(), request.uri().path()).ok();
        let (route, parameter) = found.unzip();
        Self {
            id,
            client: connection
                .map_or(IpAddr::from([0, 0, 0, 0]), |connection| connection.peer.ip().to_canonical()),
            is_secure: connection.is_some_and(|connection| connection.is_secure),
            route,
            parameter: parameter.flatten(),
            origin: OriginCheck::Absent,
            principal: None,
        }
    }
}

/// Returns what is known of a request, to be added to.
fn call_mut(request: &mut Request) -> &mut Call {
    let call = Call::of(request);
    request.extensions_mut().get_or_insert_with(|| call)
}

/// Refuses a request: reads what is left of it within limits, logs what operators search for, and renders.
pub(crate) async fn refuse(shared: &Shared, mut request: Request, refusal: Refusal) -> Reply {
    let call = Call::of(&request);
    if let Some(reason) = refusal.security_reason() {
        let (client, method, path) = (call.client, request.method(), request.uri().path());
        tracing::warn!(request_id = call.id, %client, %method, path, "{reason}");
    }
    let headers = request.headers().clone();
    drain(&headers, request.body_mut(), &shared.limits).await;
    let outcome = Outcome { key_id: None, reason: Some(refusal.to_string()) };
    let mut reply = refusal.into_reply();
    reply.extensions_mut().insert(outcome);
    reply
}
