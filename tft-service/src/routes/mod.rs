//! The route table.
//!
//! | method | path | answers with | key | per minute |
//! |---|---|---|---|---|
//! | GET | `/health` | that the process runs | open | – |
//! | GET | `/health/live` | the same, for probes | open | – |
//! | GET | `/health/ready` | 503 until the first forecasts are out | open | – |
//! | GET | `/status` | ticks, window size, warm-up | open | – |
//! | POST | `/feed/data` | what became of the records | required | 60 |
//! | GET | `/predictions/current` | forecasts, risk, alerts, summary | required | 30 |
//! | GET | `/alerts/active` | alerts | required | 30 |
//!
//! A feed is JSON or a stream in Arrow's IPC format (`Content-Type: application/vnd.apache.arrow.stream`), which may have
//! several batches. Predictions are JSON, or with `?format=arrow` or that type in `Accept` such a stream; `wire::table`
//! has its columns. Refusals and the other replies are JSON always.
//!
//! HEAD is answered wherever GET is. A route needs a key unless its row says that it is open. Replies are
//! rendered in `wire`; none of them computes a forecast.

mod alerts;
mod feed;
mod health;
mod predictions;
mod status;

use std::sync::Arc;

use hyper::Method;
use hyper::body::Incoming;
use hyper::http::request::Parts;

use crate::config::Limits;
use crate::http::{Refusal, Reply};
pub use crate::limits::RouteClass;
use crate::state::ServiceState;

/// One row of the route table.
#[derive(Debug)]
#[non_exhaustive]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The whole path.
    pub path: &'static str,
    /// What it counts as for the rate limit.
    pub class: RouteClass,
    /// Whether it answers without a key.
    pub is_open: bool,
    endpoint: Endpoint,
}

#[derive(Debug, Clone, Copy)]
enum Endpoint {
    Health,
    Live,
    Ready,
    Status,
    Feed,
    Predictions,
    Alerts,
}

/// Every route that the service answers.
pub static ROUTES: [Route; 7] = [
    Route::open("/health", Endpoint::Health),
    Route::open("/health/live", Endpoint::Live),
    Route::open("/health/ready", Endpoint::Ready),
    Route::open("/status", Endpoint::Status),
    Route::protected(Method::POST, "/feed/data", RouteClass::Feed, Endpoint::Feed),
    Route::protected(Method::GET, "/predictions/current", RouteClass::Predictions, Endpoint::Predictions),
    Route::protected(Method::GET, "/alerts/active", RouteClass::Alerts, Endpoint::Alerts),
];

impl Route {
    const fn open(path: &'static str, endpoint: Endpoint) -> Self {
        Self { method: Method::GET, path, class: RouteClass::Exempt, is_open: true, endpoint }
    }

    const fn protected(method: Method, path: &'static str, class: RouteClass, endpoint: Endpoint) -> Self {
        Self { method, path, class, is_open: false, endpoint }
    }

    /// Returns the route of a request.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] or [`Refusal::MethodNotAllowed`].
    pub(crate) fn find(method: &Method, path: &str) -> Result<&'static Self, Refusal> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let allow = allowed_methods(path)?;
        let found = ROUTES.iter().find(|route| route.path == path && route.method == *method);
        found.ok_or(Refusal::MethodNotAllowed { allow })
    }

    /// Carries out a request that may pass.
    pub(crate) async fn answer(
        &self,
        state: &Arc<ServiceState>,
        limits: &Limits,
        (head, body): (&Parts, &mut Incoming),
    ) -> Result<Reply, Refusal> {
        match self.endpoint {
            Endpoint::Health => Ok(health::health()),
            Endpoint::Live => Ok(health::live()),
            Endpoint::Ready => Ok(health::ready(state)),
            Endpoint::Status => Ok(status::status(state)),
            Endpoint::Feed => feed::feed(state, limits, (head, body)).await,
            Endpoint::Predictions => predictions::current(state, head),
            Endpoint::Alerts => Ok(alerts::active(state)),
        }
    }
}

/// Returns the methods of a path as the `Allow` header lists them.
///
/// # Errors
/// [`Refusal::NotFound`] if no route has this path.
pub(crate) fn allowed_methods(path: &str) -> Result<String, Refusal> {
    let mut methods: Vec<&str> = Vec::new();
    for route in ROUTES.iter().filter(|route| route.path == path) {
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
    Ok(methods.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_lead_to_routes() {
        assert_eq!(Route::find(&Method::HEAD, "/health").unwrap().path, "/health");
        let refusal = Route::find(&Method::DELETE, "/feed/data").unwrap_err();
        assert!(matches!(refusal, Refusal::MethodNotAllowed { allow } if allow == "OPTIONS, POST"));
        for path in ["/", "/health/", "/feed", "//health", "/HEALTH", "/feed/data/x"] {
            assert!(matches!(Route::find(&Method::GET, path), Err(Refusal::NotFound(_))), "{path}");
        }
    }

    #[test]
    fn only_what_says_nothing_about_servers_is_open() {
        let open: Vec<_> = ROUTES.iter().filter(|route| route.is_open).map(|route| route.path).collect();
        assert_eq!(open, ["/health", "/health/live", "/health/ready", "/status"]);
        assert!(ROUTES.iter().all(|route| route.is_open == (route.class == RouteClass::Exempt)));
    }
}
