//! What Prometheus reads: counters that requests and threads move, and gauges that are read when it asks.
//!
//! Owns the names. Cardinality is bounded: a route is named by its pattern in the route table and everything else is
//! `other`, methods are the known ones, and no label holds what a client sent. What lies elsewhere, like the window or
//! a certificate, registers how it is read with [`Metrics::gauge`] or [`Metrics::register`].

mod instruments;
mod sources;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::Method;
use tft_core::window::IngestReport;

pub(crate) use self::instruments::{Counter, Histogram};
pub(crate) use self::sources::{register_service, register_streams};
use self::text::Text;
pub(crate) use self::text::{CONTENT_TYPE, Family, Kind, Samples};
use crate::http::Refusal;
use crate::layers::Call;
use crate::limits::RouteClass;
use crate::routes::{ROUTES, Route};

/// Everything that is counted.
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<RequestLabels, u64>>,
    durations: BTreeMap<&'static str, Histogram>,
    feeds: Counter,
    records: [(&'static str, Counter); 4],
    pub(crate) auth_failures: Counter,
    rate_limited: [(&'static str, Counter); 5],
    cors_refusals: Counter,
    pub(crate) inference: Histogram,
    pub(crate) alerts_resolved: Counter,
    /// Explanations and answers to questions that were made, not those that were kept.
    pub(crate) explanations: Counter,
    pub(crate) checkpoints: Checkpoints,
    registered: Mutex<Vec<Registered>>,
}

/// When the window was last saved, and how often that failed.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// By the monotonic clock, when a checkpoint last held all of the window; that of the start at first.
    whole_at: Mutex<Duration>,
    failures: Counter,
    /// Those up to then.
    failures_before: AtomicU64,
}

/// The counters by which the service watches itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) auth_failures: u64,
    /// Answers on all routes but those of health, which say by design when the service is not ready.
    pub(crate) answers: u64,
    /// Those of them with a status from 500 on.
    pub(crate) server_errors: u64,
    /// Checkpoints that could not be saved since one could.
    pub(crate) checkpoint_failures_in_a_row: u64,
}

/// Route, method and status.
type RequestLabels = (&'static str, &'static str, u16);

/// A family whose samples are read when they are asked for.
struct Registered {
    family: Family,
    read: Box<dyn Fn(&mut Samples<'_>) + Send + Sync>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let routes = ROUTES.iter().map(|route| route.path).chain([OTHER]);
        let counted = |name| (name, Counter::default());
        Self {
            requests: Mutex::default(),
            durations: routes.map(|route| (route, Histogram::new(&REQUEST_BOUNDS_S))).collect(),
            feeds: Counter::default(),
            records: ["accepted", "rejected", "late", "duplicate"].map(counted),
            auth_failures: Counter::default(),
            rate_limited: ["feed", "predictions", "alerts", OTHER, AUTHENTICATION].map(counted),
            cors_refusals: Counter::default(),
            inference: Histogram::new(&INFERENCE_BOUNDS_S),
            alerts_resolved: Counter::default(),
            explanations: Counter::default(),
            checkpoints: Checkpoints::default(),
            registered: Mutex::default(),
        }
    }

    /// Registers a gauge without labels; it is left out while there is no value.
    pub(crate) fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        self.register(Family { kind: Kind::Gauge, name, help }, move |samples| {
            if let Some(value) = read() {
                samples.add(&[], value);
            }
        });
    }

    /// Registers a family whose samples are read whenever they are asked for. Labels must not hold what clients send.
    pub(crate) fn register(&self, family: Family, read: impl Fn(&mut Samples<'_>) + Send + Sync + 'static) {
        let registered = Registered { family, read: Box::new(read) };
        self.registered.lock().unwrap_or_else(PoisonError::into_inner).push(registered);
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(&self, route: Option<&Route>, method: &Method, status: u16, duration: Duration) {
        let route = route.map_or(OTHER, |route| route.path);
        *lock(&self.requests).entry((route, method_label(method), status)).or_default() += 1;
        if let Some(durations) = self.durations.get(route) {
            durations.observe(duration);
        }
    }

    /// Counts a refusal that has a counter of its own.
    pub(crate) fn refused(&self, refusal: &Refusal, call: &Call) {
        match refusal {
            Refusal::Denied(_) => self.auth_failures.add(1),
            Refusal::OriginNotAllowed => self.cors_refusals.add(1),
            // Whoever is limited without being known has tried too many wrong keys.
            Refusal::TooManyRequests(_) if call.principal.is_none() => {
                self.auth_failures.add(1);
                count(&self.rate_limited, AUTHENTICATION);
            }
            Refusal::TooManyRequests(_) => {
                count(&self.rate_limited, call.route.map_or(OTHER, |route| class_label(route.class)));
            }
            _ => {}
        }
    }

    /// Counts a feed and what became of its records.
    pub(crate) fn fed(&self, report: &IngestReport) {
        self.feeds.add(1);
        let refused = report.rejected - report.late.min(report.rejected);
        let counts = [report.accepted - report.duplicates, refused, report.late, report.duplicates];
        for ((_, counter), count) in self.records.iter().zip(counts) {
            counter.add(count as u64);
        }
    }

    /// Returns the counters by which the service watches itself.
    pub(crate) fn counts(&self) -> Counts {
        let (mut answers, mut server_errors) = (0, 0);
        for ((route, _, status), count) in &*lock(&self.requests) {
            if !route.starts_with("/health") {
                answers += count;
                server_errors += if *status >= 500 { *count } else { 0 };
            }
        }
        let checkpoint_failures_in_a_row = self.checkpoints.failures_in_a_row();
        Counts {
            auth_failures: self.auth_failures.get(),
            answers,
            server_errors,
            checkpoint_failures_in_a_row,
        }
    }

    /// Writes everything in Prometheus's text format.
    pub(crate) fn render(&self) -> String {
        let mut text = Text::default();
        self.render_requests(&mut text);
        let counter = |name, help| Family { kind: Kind::Counter, name, help };
        text.family(counter("tft_feeds_total", "Feeds that were taken.")).add(&[], self.feeds.get() as f64);
        let family = counter("tft_records_total", "Records of feeds, by what became of them.");
        labelled(&mut text, family, "result", &self.records);
        let family = counter("tft_auth_failures_total", "Requests with a wrong or missing key or token.");
        text.family(family).add(&[], self.auth_failures.get() as f64);
        let family = counter("tft_rate_limited_total", "Requests refused by a rate limit, by its class.");
        labelled(&mut text, family, "class", &self.rate_limited);
        let family = counter("tft_cors_refusals_total", "Requests of pages that may not call.");
        text.family(family).add(&[], self.cors_refusals.get() as f64);
        let help = "How long one forecast of all servers took, with their risk and alerts.";
        text.family(Family { kind: Kind::Histogram, name: "tft_inference_duration_seconds", help })
            .histogram(&[], &self.inference.read());
        let family =
            counter("tft_explanations_total", "Explanations and answers to what-ifs that were made.");
        text.family(family).add(&[], self.explanations.get() as f64);
        let family = counter("tft_checkpoint_failures_total", "Checkpoints that could not be saved.");
        text.family(family).add(&[], self.checkpoints.failures.get() as f64);
        for registered in &*self.registered.lock().unwrap_or_else(PoisonError::into_inner) {
            (registered.read)(&mut text.family(registered.family));
        }
        text.finish()
    }

    fn render_requests(&self, text: &mut Text) {
        let (name, help) = ("tft_http_requests_total", "Requests answered, by route, method and status.");
        let mut samples = text.family(Family { kind: Kind::Counter, name, help });
        let requests = lock(&self.requests).clone();
        for ((route, method, status), count) in &requests {
            let status = status.to_string();
            samples.add(&[("route", route), ("method", method), ("status", &status)], *count as f64);
        }
        let (name, help) =
            ("tft_http_request_duration_seconds", "From a request's head to its reply's head.");
        let mut samples = text.family(Family { kind: Kind::Histogram, name, help });
        for (route, durations) in &self.durations {
            samples.histogram(&[("route", route)], &durations.read());
        }
    }
}

impl Checkpoints {
    /// Notes that the newest checkpoint holds all that the window has.
    pub(crate) fn is_whole(&self, at: Duration) {
        *self.whole_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
        self.failures_before.store(self.failures.get(), Ordering::Relaxed);
    }

    /// Notes that a checkpoint could not be saved.
    pub(crate) fn failed(&self) {
        self.failures.add(1);
    }

    fn failures_in_a_row(&self) -> u64 {
        self.failures.get().saturating_sub(self.failures_before.load(Ordering::Relaxed))
    }

    fn whole_at(&self) -> Duration {
        *self.whole_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn lock(
    requests: &Mutex<BTreeMap<RequestLabels, u64>>,
) -> std::sync::MutexGuard<'_, BTreeMap<RequestLabels, u64>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

fn labelled(text: &mut Text, family: Family, label: &'static str, counters: &[(&'static str, Counter)]) {
    let mut samples = text.family(family);
    for (value, counter) in counters {
        samples.add(&[(label, value)], counter.get() as f64);
    }
}

fn count(counters: &[(&'static str, Counter)], wanted: &str) {
    if let Some((_, counter)) = counters.iter().find(|(name, _)| *name == wanted) {
        counter.add(1);
    }
}

fn class_label(class: RouteClass) -> &'static str {
    match class {
        RouteClass::Feed => "feed",
        RouteClass::Predictions => "predictions",
        RouteClass::Alerts => "alerts",
        RouteClass::Other | RouteClass::Exempt => OTHER,
    }
}

/// Clients can invent methods.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}

/// The label of what is not in the route table.
const OTHER: &str = "other";

/// The label of the limit of failed authentications.
const AUTHENTICATION: &str = "authentication";

const REQUEST_BOUNDS_S: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

const INFERENCE_BOUNDS_S: [f64; 11] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_nothing_that_a_client_invents() {
        let metrics = Metrics::new();
        for name in 0..100 {
            let method = Method::from_bytes(format!("X{name}").as_bytes()).unwrap();
            metrics.answered(None, &method, 404, Duration::from_millis(1));
        }
        metrics.answered(Some(&ROUTES[0]), &Method::GET, 200, Duration::from_millis(1));
        let text = metrics.render();
        let requests: Vec<_> =
            text.lines().filter(|line| line.starts_with("tft_http_requests_total")).collect();
        assert_eq!(
            requests,
            [
                r#"tft_http_requests_total{route="/health",method="GET",status="200"} 1"#,
                r#"tft_http_requests_total{route="other",method="OTHER",status="404"} 100"#,
            ]
        );
    }

    #[test]
    fn every_record_is_counted_once() {
        let metrics = Metrics::new();
        let mut report = IngestReport::default();
        (report.accepted, report.duplicates, report.rejected, report.late) = (10, 2, 5, 3);
        metrics.fed(&report);
        let counts: Vec<_> = metrics.records.iter().map(|(name, counter)| (*name, counter.get())).collect();
        assert_eq!(counts, [("accepted", 8), ("rejected", 2), ("late", 3), ("duplicate", 2)]);
    }

    #[test]
    fn what_is_registered_elsewhere_is_read_when_asked_for() {
        let metrics = Metrics::new();
        metrics.gauge("tft_answer", "A number.", || Some(42.0));
        metrics.gauge("tft_absent", "Nothing.", || None);
        let text = metrics.render();
        assert!(
            text.ends_with("# HELP tft_answer A number.\n# TYPE tft_answer gauge\ntft_answer 42\n"),
            "{text}"
        );
    }
}
