//! What the demo tells about its replay.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use tft_core::alert::{Alert, AlertState};
use tft_core::quality::{HorizonQuality, QualitySummary};
use tft_core::schema::ServerName;
use tft_core::{FleetAssessment, Forecast, ForecastScorer, ServerAssessment};

use super::incidents::IncidentCounts;
use crate::snapshot::FleetView;

/// The summary of a replay.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    model_id: String,
    replay: Facts,
    /// The highest risk at the end first.
    servers: Vec<ServerLine>,
    quality: QualitySummary,
    incidents: IncidentCounts,
}

/// How much was replayed, and what it took.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    pub(super) steps: usize,
    pub(super) samples: u64,
    pub(super) every_steps: usize,
    /// How often the whole fleet was forecast and judged.
    pub(super) judgements: usize,
    pub(super) inference_s: f64,
    pub(super) elapsed_s: f64,
}

/// One server: how it stands at the end, and how it stood at its worst.
#[derive(Debug, Serialize)]
struct ServerLine {
    server: String,
    method: &'static str,
    end: Standing,
    worst: Standing,
}

/// How a server stood at one moment.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Standing {
    at: String,
    pub(super) risk: f64,
    level: &'static str,
    /// The metric with the alert that crosses its threshold the earliest, or that gives most of the risk.
    metric: Option<String>,
    /// When that metric was expected to cross its threshold; 0 is now.
    minutes_ahead: Option<f64>,
}

impl Report {
    pub(super) fn new(
        replay: Facts,
        view: &FleetView,
        worst: &BTreeMap<ServerName, Standing>,
        scorer: &ForecastScorer,
        incidents: IncidentCounts,
    ) -> Self {
        let forecast = &view.assessment.forecast;
        let line = |(server, end): (ServerName, Standing)| ServerLine {
            method: forecast.server(server.as_str()).map_or("-", |forecast| forecast.method().as_str()),
            worst: worst.get(&server).unwrap_or(&end).clone(),
            server: server.to_string(),
            end,
        };
        let mut servers: Vec<_> = Standing::all(&view.assessment).into_iter().map(line).collect();
        servers.sort_by(|a, b| b.end.risk.total_cmp(&a.end.risk));
        let (model_id, quality) = (view.facts.model_id.clone(), scorer.summary());
        Self { model_id, replay, servers, quality, incidents }
    }

    /// Writes the summary as one line of JSON.
    pub(super) fn write_json(&self, output: &mut impl Write) -> io::Result<()> {
        writeln!(output, "{}", String::from_utf8_lossy(&crate::wire::to_json(self)))
    }

    /// Writes the summary for people.
    pub(super) fn write_text(&self, output: &mut impl Write) -> io::Result<()> {
        self.write_facts(output)?;
        self.write_servers(output)?;
        self.write_quality(output)?;
        self.write_incidents(output)
    }

    fn write_facts(&self, output: &mut impl Write) -> io::Result<()> {
        let Facts { steps, samples, every_steps, judgements, inference_s, elapsed_s } = self.replay;
        let each_ms = inference_s * 1000.0 / judgements.max(1) as f64;
        writeln!(output, "Replayed {steps} steps, {samples} samples, in {elapsed_s:.1} s.")?;
        writeln!(
            output,
            "Model {}: {judgements} forecasts of the fleet, one every {every_steps} steps, {each_ms:.0} ms each.",
            self.model_id
        )
    }

    fn write_servers(&self, output: &mut impl Write) -> io::Result<()> {
        let header = format!("{:>5}  {:<16} {:<10} {:<10}", "risk", "level", "metric", "crosses");
        writeln!(output, "\nAt the end of the recording:\n  {:<8} {header} method", "server")?;
        for line in &self.servers {
            write!(output, "  {:<8} ", line.server)?;
            line.end.write(output)?;
            writeln!(output, " {}", line.method)?;
        }
        writeln!(output, "\nAt each server's worst:\n  {:<8} {header} at", "server")?;
        for line in &self.servers {
            write!(output, "  {:<8} ", line.server)?;
            line.worst.write(output)?;
            writeln!(output, " {}", line.worst.at)?;
        }
        Ok(())
    }

    fn write_quality(&self, output: &mut impl Write) -> io::Result<()> {
        let QualitySummary { forecasts, crossings, series, .. } = &self.quality;
        writeln!(
            output,
            "\nForecasts against what then happened ({forecasts} forecasts of {series} series):"
        )?;
        writeln!(output, "  steps ahead   loss / seasonal naive   inside P10-P90")?;
        for HorizonQuality { steps, rel_wql, coverage, .. } in &self.quality.horizons {
            let loss = rel_wql.map_or("-".to_owned(), |loss| format!("{loss:.3}"));
            let coverage = coverage.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0));
            writeln!(output, "  {:<13} {loss:<23} {coverage}", format!("1 to {steps}"))?;
        }
        writeln!(
            output,
            "  Below 1 is better than the day before; 80 % inside is ideal; {crossings} crossings."
        )
    }

    fn write_incidents(&self, output: &mut impl Write) -> io::Result<()> {
        let counts = &self.incidents;
        let quiet = 100.0 * counts.quiet_samples_alerted as f64 / counts.quiet_samples.max(1) as f64;
        let IncidentCounts {
            incidents,
            incidents_alerted_before: before,
            incidents_alerted_during: during,
            ..
        } = counts;
        writeln!(output, "\nAlerts: {} fired.", counts.alerts_fired)?;
        writeln!(
            output,
            "  Of {incidents} labelled incidents, {before} began while an alert was firing on their server, and \
             {during} had one\n  at some time; outside of incidents, one was firing on {quiet:.1} % of samples."
        )
    }
}

impl Standing {
    /// Returns how each server stands, in the order of the forecast's servers.
    pub(super) fn all(assessment: &FleetAssessment) -> Vec<(ServerName, Self)> {
        let servers = assessment.forecast.servers.iter().zip(&assessment.servers);
        servers
            .map(|(forecast, server)| (forecast.server.clone(), Self::new(forecast, server, assessment)))
            .collect()
    }

    fn new(forecast: &Forecast, server: &ServerAssessment, assessment: &FleetAssessment) -> Self {
        let own = assessment.alerts.iter().filter(|alert| alert.server == forecast.server);
        let open = own.filter(|alert| matches!(alert.state, AlertState::Pending | AlertState::Firing));
        let ahead = |alert: &&Alert| alert.minutes_ahead.unwrap_or(f64::INFINITY);
        let earliest = open.min_by(|a, b| ahead(a).total_cmp(&ahead(b)));
        let riskiest = || server.risk.contributions.first().map(|contribution| contribution.metric.clone());
        Self {
            at: assessment.forecast.step_length.end_of(assessment.forecast.origin).to_string(),
            risk: server.risk.score,
            level: server.risk.level.as_str(),
            metric: earliest.map(|alert| alert.metric.clone()).or_else(riskiest),
            minutes_ahead: earliest.and_then(|alert| alert.minutes_ahead),
        }
    }

    fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let metric = self.metric.as_deref().unwrap_or("-");
        let crosses = self.minutes_ahead.map_or("-".to_owned(), when);
        write!(output, "{:>5.1}  {:<16} {metric:<10} {crosses:<10}", self.risk, self.level)
    }
}

fn when(minutes_ahead: f64) -> String {
    if minutes_ahead <= 0.0 { "now".to_owned() } else { format!("in {minutes_ahead:.0} min") }
}
