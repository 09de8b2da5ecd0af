//! Gauges of the service itself: the window, the newest forecasts, the store, the queue of feeds.

use std::sync::Arc;

use tft_core::alert::AlertState;
use tft_core::cascade::CascadeSeverity;
use tft_core::drift::{DriftVerdict, MetricDrift};
use tft_core::window::ReadinessState;

use super::{Family, Kind, Metrics, Samples};
use crate::clock::Clock;
use crate::intake::Intake;
use crate::state::ServiceState;
use crate::stream::{StreamCounters, StreamProtocol};

/// Registers what is read from a service's state.
pub(crate) fn register_service(
    metrics: &Arc<Metrics>,
    state: &Arc<ServiceState>,
    intake: &Intake,
    clock: &Arc<dyn Clock>,
) {
    register_window(metrics, state);
    register_forecast(metrics, state, clock);
    register_cascades(metrics, state);
    register_drift(metrics, state);
    let intake = intake.clone();
    let help = "Feeds that are being taken or wait for their turn.";
    metrics.gauge("tft_inference_queue_depth", help, move || Some(intake.depth() as f64));
    if state.store().path().is_some() {
        register_store(metrics, state, clock);
    }
    let (name, help) = ("tft_build_info", "The version that runs; always 1.");
    metrics.register(Family { kind: Kind::Gauge, name, help }, |samples| {
        samples.add(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    });
}

/// Registers what is known of live streams.
pub(crate) fn register_streams(metrics: &Metrics, counters: &Arc<StreamCounters>) {
    let of_clients = Arc::clone(counters);
    let (name, help) = ("tft_stream_clients", "Live streams that are open.");
    metrics.register(Family { kind: Kind::Gauge, name, help }, move |samples| {
        for protocol in StreamProtocol::ALL {
            samples.add(&[("protocol", protocol.as_str())], of_clients.clients(protocol) as f64);
        }
    });
    let counters = Arc::clone(counters);
    let (name, help) =
        ("tft_stream_dropped_total", "Live streams that were ended because their client was too slow.");
    metrics.register(Family { kind: Kind::Counter, name, help }, move |samples| {
        samples.add(&[], counters.dropped() as f64);
    });
}

fn register_window(metrics: &Metrics, state: &Arc<ServiceState>) {
    let of_window = Arc::clone(state);
    let help = "Memory that the window holds.";
    metrics.gauge("tft_window_bytes", help, move || {
        // A clone shares the histories; feeds wait only for as long as it takes to make.
        let window = of_window.store().window().clone();
        Some(window.memory_bytes() as f64)
    });
    let state = Arc::clone(state);
    let (name, help) =
        ("tft_servers", "Servers in the newest forecast, by whether they have enough history.");
    metrics.register(Family { kind: Kind::Gauge, name, help }, move |samples| servers(&state, samples));
}

fn servers(state: &ServiceState, samples: &mut Samples<'_>) {
    let snapshot = state.snapshot();
    let servers = &snapshot.view.assessment.servers;
    let states =
        [ReadinessState::WarmingUp, ReadinessState::Ready, ReadinessState::Stale, ReadinessState::Gap];
    for readiness in states {
        let count = servers.iter().filter(|server| server.readiness.state == readiness).count();
        samples.add(&[("readiness", readiness.as_str())], count as f64);
    }
}

fn register_forecast(metrics: &Arc<Metrics>, state: &Arc<ServiceState>, clock: &Arc<dyn Clock>) {
    let (of_forecast, clock) = (Arc::clone(state), Arc::clone(clock));
    let help = "Since the newest forecast was made; absent before the first.";
    metrics.gauge("tft_forecast_age_seconds", help, move || {
        let made_at = of_forecast.snapshot().view.assessment.at;
        let age_ms = clock.now().as_millis() - made_at.as_millis();
        of_forecast.has_forecast().then_some(age_ms as f64 / 1000.0)
    });
    let (name, help) = ("tft_alerts", "Alerts by state; the resolved ones are those since the start.");
    let (state, counted) = (Arc::clone(state), Arc::downgrade(metrics));
    metrics.register(Family { kind: Kind::Gauge, name, help }, move |samples| {
        let snapshot = state.snapshot();
        let alerts = &snapshot.view.assessment.alerts;
        for alert_state in [AlertState::Pending, AlertState::Firing, AlertState::NoData] {
            let count = alerts.iter().filter(|alert| alert.state == alert_state).count();
            samples.add(&[("state", alert_state.as_str())], count as f64);
        }
        let resolved = counted.upgrade().map_or(0, |metrics| metrics.alerts_resolved.get());
        samples.add(&[("state", AlertState::Resolved.as_str())], resolved as f64);
    });
}

fn register_cascades(metrics: &Metrics, state: &Arc<ServiceState>) {
    let of_cascades = Arc::clone(state);
    let (name, help) =
        ("tft_cascades", "Metrics out of their usual range on several servers at once, by severity.");
    metrics.register(Family { kind: Kind::Gauge, name, help }, move |samples| {
        let snapshot = of_cascades.snapshot();
        let active = &snapshot.view.assessment.cascade.active;
        for severity in CascadeSeverity::ALL {
            let count = active.iter().filter(|event| event.severity == severity).count();
            samples.add(&[("severity", severity.as_str())], count as f64);
        }
    });
    let state = Arc::clone(state);
    let help = "How much the servers move together, 0 to 1; absent before the first step.";
    metrics.gauge("tft_cascade_correlation", help, move || {
        let snapshot = state.snapshot();
        let cascade = &snapshot.view.assessment.cascade;
        cascade.step.map(|_| cascade.correlation)
    });
}

fn register_drift(metrics: &Metrics, state: &Arc<ServiceState>) {
    let of_verdict = Arc::clone(state);
    let help = "Whether forecasts come true less often than they say; absent while there are too few values.";
    metrics.gauge("tft_drift_detected", help, move || {
        match of_verdict.snapshot().view.assessment.drift.verdict {
            DriftVerdict::Drifting => Some(1.0),
            DriftVerdict::Ok => Some(0.0),
            _ => None,
        }
    });
    let (name, help) =
        ("tft_drift_coverage", "Share of values within P10 to P90 of earlier forecasts; 0.8 is nominal.");
    register_metric_drift(metrics, state, (name, help), |metric| metric.coverage);
    let (name, help) = (
        "tft_drift_relative_loss",
        "Pinball loss of earlier forecasts relative to repeating the newest value.",
    );
    register_metric_drift(metrics, state, (name, help), |metric| metric.relative_loss);
}

/// Registers a figure of each method and metric of the schema.
fn register_metric_drift(
    metrics: &Metrics,
    state: &Arc<ServiceState>,
    (name, help): (&'static str, &'static str),
    figure: impl Fn(&MetricDrift) -> Option<f64> + Send + Sync + 'static,
) {
    let state = Arc::clone(state);
    metrics.register(Family { kind: Kind::Gauge, name, help }, move |samples| {
        for method in &state.snapshot().view.assessment.drift.methods {
            for metric in &method.metrics {
                let labels = [("method", method.method.as_str()), ("metric", &*metric.metric)];
                if let Some(value) = figure(metric) {
                    samples.add(&labels, value);
                }
            }
        }
    });
}

fn register_store(metrics: &Arc<Metrics>, state: &Arc<ServiceState>, clock: &Arc<dyn Clock>) {
    metrics.checkpoints.is_whole(clock.monotonic());
    let (counted, clock) = (Arc::downgrade(metrics), Arc::clone(clock));
    let help = "Since a checkpoint last held all of the window, or since the start.";
    metrics.gauge("tft_checkpoint_age_seconds", help, move || {
        let whole_at = counted.upgrade()?.checkpoints.whole_at();
        Some(clock.monotonic().saturating_sub(whole_at).as_secs_f64())
    });
    let state = Arc::clone(state);
    let help = "Size of the log of feeds since the checkpoint.";
    metrics.gauge("tft_log_bytes", help, move || Some(state.store().log_bytes() as f64));
}
