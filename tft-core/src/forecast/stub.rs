//! Temporary: the fallback for every server.
use super::{FleetForecast, Forecast, Method, MetricForecast, QuantileLevels};
use crate::Error;
use crate::schema::Schema;
use crate::time::Timestamp;
use crate::window::RollingWindow;

/// Temporary.
pub fn stub_forecast(window: &RollingWindow, schema: &Schema, now: Timestamp, levels: &QuantileLevels) -> Result<FleetForecast, Error> {
    let step_length = window.config().step;
    let origin = window.origin(now).expect("invariant: data");
    let mut servers = Vec::new();
    for server in window.servers() {
        let mut metrics = Vec::new();
        for (index, metric) in schema.metrics().iter().enumerate() {
            let mut history = vec![f32::NAN; 576];
            server.copy_history(index, origin, &mut history);
            let Some(values) = super::fallback_forecast(&history, 288, 96, levels) else { continue };
            let current = history.iter().rev().find(|v| !v.is_nan()).copied().unwrap_or(f32::NAN);
            metrics.push(MetricForecast::new(index, Method::Fallback, current, values, metric));
        }
        servers.push(Forecast { server: server.name().clone(), profile: server.profile().clone(), metrics });
    }
    Ok(FleetForecast { origin, step_length, quantiles: levels.clone(), servers })
}
