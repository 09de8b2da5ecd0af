//! Which part of the predictions a reader asks for.

use std::collections::BTreeSet;

use tft_core::forecast::{Quantile, QuantileLevels};

use super::interest::shorten;
use crate::http::{Query, Refusal};
use crate::snapshot::FleetView;

/// The part of the predictions that a reply has.
///
/// # Defaults
/// Every server, metric and step; the 10th, 50th and 90th percentiles.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    servers: Option<BTreeSet<String>>,
    metrics: Option<Vec<usize>>,
    horizon_steps: Option<usize>,
    quantiles: Option<Vec<Quantile>>,
}

impl Selection {
    /// Reads `?server=a,b&metrics=…&horizon=…&quantiles=…`.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a server that the fleet does not have, [`Refusal::BadRequest`] for a metric,
    /// horizon or quantile that the forecasts do not have.
    pub(crate) fn parse(query: &Query, view: &FleetView) -> Result<Self, Refusal> {
        let servers = query.list("server").map(|names| parse_servers(&names, view)).transpose()?;
        let metrics = query.list("metrics").map(|names| parse_metrics(&names, view)).transpose()?;
        let horizon_max = view.facts.horizon_steps;
        let horizon = query.value("horizon").map(|text| parse_horizon(text, horizon_max)).transpose()?;
        let levels = &view.assessment.forecast.quantiles;
        let quantiles = query.list("quantiles").map(|texts| parse_quantiles(&texts, levels)).transpose()?;
        Ok(Self { servers, metrics, horizon_steps: horizon, quantiles })
    }

    /// Selects servers by name, whether or not the fleet has them; none means all.
    pub(super) fn of_servers(servers: Option<&BTreeSet<String>>) -> Self {
        Self { servers: servers.cloned(), ..Self::default() }
    }

    /// Returns whether the whole reply is asked for.
    pub(crate) fn is_everything(&self) -> bool {
        self.servers.is_none()
            && self.metrics.is_none()
            && self.horizon_steps.is_none()
            && self.quantiles.is_none()
    }

    pub(crate) fn has_server(&self, name: &str) -> bool {
        self.servers.as_ref().is_none_or(|servers| servers.contains(name))
    }

    pub(crate) fn has_metric(&self, metric: usize) -> bool {
        self.metrics.as_ref().is_none_or(|metrics| metrics.contains(&metric))
    }

    pub(crate) fn horizon_steps(&self, available: usize) -> usize {
        self.horizon_steps.map_or(available, |steps| steps.min(available))
    }

    /// Returns the positions among `levels`, each once and in ascending order.
    pub(crate) fn quantile_indices(&self, levels: &QuantileLevels) -> Vec<usize> {
        let asked = self.quantiles.as_deref().unwrap_or(&DEFAULT_QUANTILES);
        let positions: BTreeSet<_> = asked.iter().map(|&quantile| levels.nearest(quantile)).collect();
        positions.into_iter().collect()
    }
}

fn parse_servers(names: &[&str], view: &FleetView) -> Result<BTreeSet<String>, Refusal> {
    match names.iter().find(|name| view.assessment.forecast.server(name).is_none()) {
        Some(name) => Err(Refusal::NotFound(format!("there is no server `{}`", shorten(name)))),
        None => Ok(names.iter().map(|&name| name.to_owned()).collect()),
    }
}

fn parse_metrics(names: &[&str], view: &FleetView) -> Result<Vec<usize>, Refusal> {
    let unknown = |name: &str| Refusal::BadRequest(format!("there is no metric `{}`", shorten(name)));
    let index = |name: &&str| view.facts.schema.metric_index(name).ok_or_else(|| unknown(name));
    names.iter().map(index).collect()
}

fn parse_horizon(text: &str, steps_max: usize) -> Result<usize, Refusal> {
    let steps = text.parse().ok().filter(|steps| (1..=steps_max).contains(steps));
    let text = shorten(text);
    steps.ok_or_else(|| {
        Refusal::BadRequest(format!("horizon `{text}` is not a number of steps, 1 to {steps_max}"))
    })
}

/// Reads `0.9` and `p90`.
fn parse_quantiles(texts: &[&str], levels: &QuantileLevels) -> Result<Vec<Quantile>, Refusal> {
    texts.iter().map(|text| parse_quantile(text, levels)).collect()
}

fn parse_quantile(text: &str, levels: &QuantileLevels) -> Result<Quantile, Refusal> {
    let level = match text.strip_prefix(['p', 'P']) {
        Some(percent) => percent.parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    let close = |known: &&Quantile| level.as_ref().is_ok_and(|level| (level - known.level()).abs() < 1e-9);
    levels.as_slice().iter().find(close).copied().ok_or_else(|| {
        let known: Vec<_> = levels.as_slice().iter().map(|quantile| quantile.label()).collect();
        let (text, known) = (shorten(text), known.join(", "));
        Refusal::BadRequest(format!("quantile `{text}` is not forecast, there are {known}"))
    })
}

const DEFAULT_QUANTILES: [Quantile; 3] = [Quantile::P10, Quantile::MEDIAN, Quantile::P90];
