//! The route table.
//!
//! | method | path | answers with | key with scope | per minute |
//! |---|---|---|---|---|
//! | GET | `/health` | that the process runs | open | – |
//! | GET | `/health/live` | the same, for probes | open | – |
//! | GET | `/health/ready` | 503 until the first forecasts are out | open | – |
//! | GET | `/status` | ticks, window size, warm-up | open | – |
//! | GET | `/openapi.json` | this table for programs, as OpenAPI 3.1 | open | – |
//! | POST | `/feed/data` | what became of the records | write | 60 |
//! | GET | `/predictions/current` | forecasts, risk, alerts, summary | read | 30 |
//! | GET | `/alerts/active` | alerts, and why some are not told; `?server=`, `?state=`, `?silenced=` and others | read | 30 |
//! | GET | `/alerts/silences` | silences | read | 60 |
//! | POST | `/alerts/silences` | the silence that was made or changed | admin | 60 |
//! | DELETE | `/alerts/silences/{id}` | the silence that was ended | admin | 60 |
//! | POST | `/alerts/{fingerprint}/acknowledge` | who knows of the alert now | admin | 60 |
//! | DELETE | `/alerts/{fingerprint}/acknowledge` | that nobody does any more | admin | 60 |
//! | GET | `/cascade/status` | metrics out of their usual range on several servers at once | read | 60 |
//! | GET | `/cascade/health` | the same as one score | read | 60 |
//! | GET | `/drift/status` | whether forecasts come true as often as they say | read | 60 |
//! | GET | `/drift/report` | the figures behind that | read | 60 |
//! | GET | `/explain/{server}` | why a server's forecast is what it is | read | 30 |
//! | POST | `/explain/{server}/what-if` | what would be forecast after another past | read | 30 |
//! | GET | `/alerts/rules` | the rules in force, with how many alerts each has | read | 30 |
//! | POST | `/alerts/{fingerprint}/notes` | that a note about an alert is kept | admin | 60 |
//! | GET | `/historical/summary` | a time in figures | read | 60 |
//! | GET | `/historical/alerts` | what happened to alerts, a page at a time | read | 60 |
//! | GET | `/historical/server/{name}` | the same of one server | read | 60 |
//! | GET | `/historical/environment` | how the fleet was, a page at a time | read | 60 |
//! | GET | `/historical/export/{table}` | `alerts` or `environment` as CSV or Parquet | read | 60 |
//! | GET | `/ws` | a live stream over a WebSocket; see `stream` | read, or in the first message | 60 |
//! | GET | `/events` | the same as Server-Sent Events | read | 60 |
//! | GET | `/metrics` | Prometheus's text format; open with `METRICS_OPEN` | read | 60 |
//! | GET | `/servers` | which servers there are, a page at a time | admin | 60 |
//! | GET | `/servers/{name}/export` | all that is kept of a server | admin | 60 |
//! | DELETE | `/servers/{name}` | that nothing is kept of a server any more | admin | 60 |
//! | GET | `/admin/models` | the models that can be changed to | admin | 60 |
//! | GET | `/admin/model-info` | the model that is used | admin | 60 |
//! | POST | `/admin/reload-model` | the model that is used from then on | admin | 60 |
//! | DELETE | `/admin/set-aside` | which files that were set aside are gone | admin | 60 |
//!
//! Those of 60 share one limit, but for feeds; explanations share that of predictions.
//!
//! Silences and acknowledgements need the scope `admin`, so that a stolen key of an agent that feeds cannot hush the alerts of
//! what is done next.
//!
//! A feed is JSON or a stream in Arrow's IPC format (`Content-Type: application/vnd.apache.arrow.stream`), which may have
//! several batches. Predictions are JSON, or with `?format=arrow` or that type in `Accept` such a stream; `wire::table`
//! has its columns. Refusals and the other replies are JSON always.
//!
//! HEAD is answered wherever GET is. A route needs a key unless its row says that it is open. Replies are
//! rendered in `wire`; none of them computes a forecast. Explanations are made by the inference thread when somebody asks.

mod acknowledgements;
mod alerts;
mod cascade;
mod drift;
mod explain;
mod feed;
mod health;
mod history;
mod metrics;
mod models;
mod openapi;
mod predictions;
mod servers;
mod set_aside;
mod silences;
mod status;
mod stream;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use tft_core::history::History;
use tokio::sync::Semaphore;
use tower::Service;

use crate::admin::Admin;
use crate::auth::Scope;
use crate::explain::Explanations;
use crate::http::{Refusal, Reply, Request, decode_segment};
use crate::intake::Intake;
use crate::layers::{self, Shared};
pub use crate::limits::RouteClass;
use crate::openapi::Operation;
use crate::state::ServiceState;
use crate::stream::Streams;

/// What handlers work with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: Arc<ServiceState>,
    pub(crate) intake: Intake,
    pub(crate) admin: Arc<Admin>,
    pub(crate) explanations: Explanations,
    /// The whole reply of `GET /openapi.json`.
    pub(crate) openapi: Bytes,
    pub(crate) streams: Arc<Streams>,
    /// Where what happened is kept; none if it is not.
    pub(crate) history: Option<Arc<History>>,
    /// One permit per export of the history that may be held in memory at a time.
    pub(crate) exports: Arc<Semaphore>,
}

/// The end of every request's way: the handler of its route.
#[derive(Debug, Clone)]
pub(crate) struct Router {
    context: Arc<Context>,
}

/// One row of the route table.
#[derive(Debug)]
#[non_exhaustive]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path; a segment in braces stands for any one segment.
    pub path: &'static str,
    /// What it counts as for the rate limit.
    pub class: RouteClass,
    /// Whether it answers without a key.
    pub is_open: bool,
    /// Whether a request that opens a WebSocket may do so without a key, which the first message then has.
    pub authenticates_later: bool,
    /// What a key or token must allow.
    pub scope: Scope,
    /// What it does, in a few words.
    pub summary: &'static str,
    endpoint: Endpoint,
    /// Completes what the OpenAPI document says of it.
    describe: Describe,
}

type Describe = fn(Operation<'_>) -> Operation<'_>;

#[derive(Debug, Clone, Copy)]
enum Endpoint {
    Health,
    Live,
    Ready,
    Status,
    OpenApi,
    Feed,
    Predictions,
    Alerts,
    Silences,
    SetSilence,
    ExpireSilence,
    Acknowledge,
    Unacknowledge,
    CascadeStatus,
    CascadeHealth,
    DriftStatus,
    DriftReport,
    Explain,
    WhatIf,
    Rules,
    AddNote,
    HistorySummary,
    AlertHistory,
    ServerHistory,
    Environment,
    ExportHistory,
    WebSocket,
    Events,
    Metrics,
    Servers,
    ExportServer,
    RemoveServer,
    Models,
    ModelInfo,
    ReloadModel,
    DiscardSetAside,
}

/// Every route that the service answers.
pub static ROUTES: &[Route] = &[
    Route::open("/health", Endpoint::Health, health::describe_health).doing("Whether the process runs"),
    Route::open("/health/live", Endpoint::Live, health::describe_live).doing("The same, for probes"),
    Route::open("/health/ready", Endpoint::Ready, health::describe_ready)
        .doing("Whether there are forecasts"),
    Route::open("/status", Endpoint::Status, status::describe).doing("How far the window has come"),
    Route::open("/openapi.json", Endpoint::OpenApi, openapi::describe).doing("This document"),
    Route::protected(Method::POST, "/feed/data", Scope::Write, Endpoint::Feed, feed::describe)
        .counted(RouteClass::Feed)
        .doing("Takes samples"),
    Route::protected(
        Method::GET,
        "/predictions/current",
        Scope::Read,
        Endpoint::Predictions,
        predictions::describe,
    )
    .counted(RouteClass::Predictions)
    .doing("The newest forecasts, risk and alerts"),
    Route::protected(Method::GET, "/alerts/active", Scope::Read, Endpoint::Alerts, alerts::describe)
        .counted(RouteClass::Alerts)
        .doing("The alerts that are not resolved"),
    Route::protected(
        Method::GET,
        "/alerts/silences",
        Scope::Read,
        Endpoint::Silences,
        silences::describe_list,
    )
    .doing("The silences"),
    Route::protected(
        Method::POST,
        "/alerts/silences",
        Scope::Admin,
        Endpoint::SetSilence,
        silences::describe_set,
    )
    .doing("Makes or changes a silence"),
    Route::protected(
        Method::DELETE,
        "/alerts/silences/{id}",
        Scope::Admin,
        Endpoint::ExpireSilence,
        silences::describe_expire,
    )
    .doing("Ends a silence"),
    Route::protected(
        Method::POST,
        "/alerts/{fingerprint}/acknowledge",
        Scope::Admin,
        Endpoint::Acknowledge,
        acknowledgements::describe_set,
    )
    .doing("Notes who knows of an alert"),
    Route::protected(
        Method::DELETE,
        "/alerts/{fingerprint}/acknowledge",
        Scope::Admin,
        Endpoint::Unacknowledge,
        acknowledgements::describe_removal,
    )
    .doing("Takes an acknowledgement back"),
    Route::protected(
        Method::GET,
        "/cascade/status",
        Scope::Read,
        Endpoint::CascadeStatus,
        cascade::describe_status,
    )
    .doing("Metrics out of their usual range on several servers at once"),
    Route::protected(
        Method::GET,
        "/cascade/health",
        Scope::Read,
        Endpoint::CascadeHealth,
        cascade::describe_health,
    )
    .doing("The fleet's health as one score"),
    Route::protected(
        Method::GET,
        "/drift/status",
        Scope::Read,
        Endpoint::DriftStatus,
        drift::describe_status,
    )
    .doing("Whether forecasts come true as often as they say"),
    Route::protected(
        Method::GET,
        "/drift/report",
        Scope::Read,
        Endpoint::DriftReport,
        drift::describe_report,
    )
    .doing("How often forecasts came true, by metric, horizon and profile"),
    Route::protected(
        Method::GET,
        "/explain/{server}",
        Scope::Read,
        Endpoint::Explain,
        explain::describe_explain,
    )
    .counted(RouteClass::Predictions)
    .doing("Why a server's forecast is what it is"),
    Route::protected(
        Method::POST,
        "/explain/{server}/what-if",
        Scope::Read,
        Endpoint::WhatIf,
        explain::describe_what_if,
    )
    .counted(RouteClass::Predictions)
    .doing("What would be forecast after another past"),
    Route::protected(Method::GET, "/alerts/rules", Scope::Read, Endpoint::Rules, alerts::describe_rules)
        .counted(RouteClass::Alerts)
        .doing("The rules in force"),
    Route::protected(
        Method::POST,
        "/alerts/{fingerprint}/notes",
        Scope::Admin,
        Endpoint::AddNote,
        history::describe_note,
    )
    .doing("Keeps a note about an alert"),
    Route::protected(
        Method::GET,
        "/historical/summary",
        Scope::Read,
        Endpoint::HistorySummary,
        history::describe_summary,
    )
    .doing("A time in figures"),
    Route::protected(
        Method::GET,
        "/historical/alerts",
        Scope::Read,
        Endpoint::AlertHistory,
        history::describe_alerts,
    )
    .doing("What happened to alerts"),
    Route::protected(
        Method::GET,
        "/historical/server/{name}",
        Scope::Read,
        Endpoint::ServerHistory,
        history::describe_server,
    )
    .doing("What happened to the alerts of a server"),
    Route::protected(
        Method::GET,
        "/historical/environment",
        Scope::Read,
        Endpoint::Environment,
        history::describe_environment,
    )
    .doing("How the fleet was"),
    Route::protected(
        Method::GET,
        "/historical/export/{table}",
        Scope::Read,
        Endpoint::ExportHistory,
        history::describe_export,
    )
    .doing("A table of the history as a file"),
    Route::protected(Method::GET, "/ws", Scope::Read, Endpoint::WebSocket, stream::describe_websocket)
        .authenticating_later()
        .doing("A live stream over a WebSocket"),
    Route::protected(Method::GET, "/events", Scope::Read, Endpoint::Events, stream::describe_events)
        .doing("A live stream as Server-Sent Events"),
    Route::protected(Method::GET, "/metrics", Scope::Read, Endpoint::Metrics, metrics::describe)
        .doing("What Prometheus reads"),
    Route::protected(Method::GET, "/servers", Scope::Admin, Endpoint::Servers, servers::describe_list)
        .doing("The servers that are known, a page at a time"),
    Route::protected(
        Method::GET,
        "/servers/{name}/export",
        Scope::Admin,
        Endpoint::ExportServer,
        servers::describe_export,
    )
    .doing("All that is kept of a server"),
    Route::protected(
        Method::DELETE,
        "/servers/{name}",
        Scope::Admin,
        Endpoint::RemoveServer,
        servers::describe_removal,
    )
    .doing("Removes every trace of a server"),
    Route::protected(Method::GET, "/admin/models", Scope::Admin, Endpoint::Models, models::describe_list)
        .doing("The models that can be changed to"),
    Route::protected(
        Method::GET,
        "/admin/model-info",
        Scope::Admin,
        Endpoint::ModelInfo,
        models::describe_info,
    )
    .doing("The model that is used"),
    Route::protected(
        Method::POST,
        "/admin/reload-model",
        Scope::Admin,
        Endpoint::ReloadModel,
        models::describe_reload,
    )
    .doing("Changes the model, or reads it anew"),
    Route::protected(
        Method::DELETE,
        "/admin/set-aside",
        Scope::Admin,
        Endpoint::DiscardSetAside,
        set_aside::describe,
    )
    .doing("Removes the files that were set aside"),
];

impl Route {
    const fn open(path: &'static str, endpoint: Endpoint, describe: Describe) -> Self {
        let (method, class, scope, summary) = (Method::GET, RouteClass::Exempt, Scope::Read, "");
        let (is_open, authenticates_later) = (true, false);
        Self { method, path, class, is_open, authenticates_later, scope, summary, endpoint, describe }
    }

    const fn protected(
        method: Method,
        path: &'static str,
        scope: Scope,
        endpoint: Endpoint,
        describe: Describe,
    ) -> Self {
        let (class, summary) = (RouteClass::Other, "");
        let (is_open, authenticates_later) = (false, false);
        Self { method, path, class, is_open, authenticates_later, scope, summary, endpoint, describe }
    }

    const fn counted(mut self, class: RouteClass) -> Self {
        self.class = class;
        self
    }

    const fn authenticating_later(mut self) -> Self {
        self.authenticates_later = true;
        self
    }

    const fn doing(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// Completes what the OpenAPI document says of this route.
    pub(crate) fn describe<'d>(&self, operation: Operation<'d>) -> Operation<'d> {
        (self.describe)(operation)
    }

    /// Returns the route of a request, and what stands in place of the path's segment in braces.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] or [`Refusal::MethodNotAllowed`].
    pub(crate) fn find(method: &Method, path: &str) -> Result<(&'static Self, Option<String>), Refusal> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let allow = allowed_methods(path)?;
        let found = ROUTES.iter().find(|route| route.method == *method && route.matches(path));
        let route = found.ok_or(Refusal::MethodNotAllowed { allow })?;
        Ok((route, route.parameter(path)?))
    }

    fn matches(&self, path: &str) -> bool {
        let (mut wanted, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(wanted), Some(given))
                    if wanted == given || wanted.starts_with('{') && !given.is_empty() => {}
                _ => return false,
            }
        }
    }

    fn parameter(&self, path: &str) -> Result<Option<String>, Refusal> {
        let segments = self.path.split('/').zip(path.split('/'));
        let found = segments.into_iter().find(|(wanted, _)| wanted.starts_with('{'));
        let Some((_, given)) = found else { return Ok(None) };
        let decoded = decode_segment(given);
        decoded.map(Some).ok_or_else(|| Refusal::BadRequest("the path is not UTF-8".into()))
    }

    async fn answer(&self, context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
        let state = &context.state;
        match self.endpoint {
            Endpoint::Health => Ok(health::health()),
            Endpoint::Live => Ok(health::live()),
            Endpoint::Ready => Ok(health::ready(state)),
            Endpoint::Status => Ok(status::status(state)),
            Endpoint::Feed => feed::feed(context, request).await,
            Endpoint::Predictions => predictions::current(state, request),
            Endpoint::Alerts => alerts::active(context, request).await,
            Endpoint::Silences => Ok(silences::list(context)),
            Endpoint::SetSilence => silences::set(context, request).await,
            Endpoint::ExpireSilence => silences::expire(context, request).await,
            Endpoint::Acknowledge => acknowledgements::set(context, request).await,
            Endpoint::Unacknowledge => acknowledgements::remove(context, request).await,
            Endpoint::CascadeStatus => Ok(cascade::status(state)),
            Endpoint::CascadeHealth => Ok(cascade::health(state)),
            Endpoint::DriftStatus => Ok(drift::status(state)),
            Endpoint::DriftReport => Ok(drift::report(state)),
            Endpoint::Explain => explain::explain(context, request).await,
            Endpoint::WhatIf => explain::what_if(context, request).await,
            Endpoint::Rules => Ok(alerts::rules(state)),
            Endpoint::AddNote => history::add_note(context, request).await,
            Endpoint::HistorySummary => history::summary(context, request).await,
            Endpoint::AlertHistory => history::alerts(context, request).await,
            Endpoint::ServerHistory => history::server(context, request).await,
            Endpoint::Environment => history::environment(context, request).await,
            Endpoint::ExportHistory => history::export(context, request).await,
            Endpoint::WebSocket => stream::websocket(context, request),
            Endpoint::Events => stream::events(context, request),
            Endpoint::OpenApi => Ok(openapi::document(context)),
            Endpoint::Metrics => Ok(metrics::metrics(context)),
            Endpoint::Servers => servers::list(state, &context.shared.clock, request),
            Endpoint::ExportServer => servers::export(context, request).await,
            Endpoint::RemoveServer => servers::remove(context, request).await,
            Endpoint::Models => models::list(context).await,
            Endpoint::ModelInfo => models::info(context),
            Endpoint::ReloadModel => models::reload(context, request).await,
            Endpoint::DiscardSetAside => set_aside::discard(context).await,
        }
    }
}

impl Router {
    pub(crate) fn new(context: Context) -> Self {
        Self { context: Arc::new(context) }
    }
}

impl Service<Request> for Router {
    type Response = Reply;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let context = Arc::clone(&self.context);
        Box::pin(async move { Ok(respond(&context, request).await) })
    }
}

/// Carries out a request that may pass.
async fn respond(context: &Context, mut request: Request) -> Reply {
    let limits = &context.shared.limits;
    let answered = match Route::find(request.method(), request.uri().path()) {
        Ok((route, _)) => {
            // A body has its own deadline, within which it is read by the handler.
            let timeout = limits.body_timeout + limits.handler_timeout;
            let answering = route.answer(context, &mut request);
            tokio::time::timeout(timeout, answering).await.unwrap_or(Err(Refusal::Busy))
        }
        Err(refusal) => Err(refusal),
    };
    match answered {
        Ok(reply) => reply,
        Err(refusal) => layers::refuse(&context.shared, request, refusal).await,
    }
}

/// Returns the methods of a path as the `Allow` header lists them.
///
/// # Errors
/// [`Refusal::NotFound`] if no route has this path.
pub(crate) fn allowed_methods(path: &str) -> Result<HeaderValue, Refusal> {
    let mut methods: Vec<&str> = Vec::new();
    for route in ROUTES.iter().filter(|route| route.matches(path)) {
        if route.method == Method::GET {
            methods.push("HEAD");
        }
        methods.push(route.method.as_str());
    }
    if methods.is_empty() {
        return Err(Refusal::NotFound("there is no such path".into()));
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    // Names of methods are always a valid header.
    Ok(HeaderValue::from_str(&methods.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_lead_to_routes() {
        assert_eq!(Route::find(&Method::HEAD, "/health").unwrap().0.path, "/health");
        let refusal = Route::find(&Method::DELETE, "/feed/data").unwrap_err();
        assert!(matches!(refusal, Refusal::MethodNotAllowed { allow } if allow == "OPTIONS, POST"));
        for path in ["/", "/health/", "/feed", "//health", "/HEALTH", "/feed/data/x"] {
            assert!(matches!(Route::find(&Method::GET, path), Err(Refusal::NotFound(_))), "{path}");
        }
    }

    #[test]
    fn only_what_says_nothing_about_servers_is_open() {
        let open: Vec<_> = ROUTES.iter().filter(|route| route.is_open).map(|route| route.path).collect();
        assert_eq!(open, ["/health", "/health/live", "/health/ready", "/status", "/openapi.json"]);
        for route in ROUTES {
            assert_eq!(route.is_open, route.class == RouteClass::Exempt, "{}", route.path);
        }
    }
}
