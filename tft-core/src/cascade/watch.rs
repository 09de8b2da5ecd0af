//! The judgement of one metric over all servers, step by step.

use serde::{Deserialize, Serialize};

use super::baseline::{Joined, Series};
use super::config::CascadeConfig;
use super::event::{AffectedServer, CascadeEvent, CascadeSeverity};
use super::report::MetricCascade;
use crate::schema::ServerName;
use crate::time::Step;

/// What is kept of one metric between steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watch {
    /// The share of servers that is usually beyond the threshold.
    pub(super) usual_share: f64,
    pub(super) correlation: Correlation,
    pub(super) ongoing: Option<CascadeEvent>,
}

/// The sums of the intraclass correlation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Correlation {
    pub(super) shared: f64,
    pub(super) total: f64,
}

/// The servers of one step with a judged value of one metric.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) judged: usize,
    sum: f64,
    sum_of_squares: f64,
    /// The positions of the servers beyond the threshold, with their deviations and since when.
    pub(super) beyond: Vec<Beyond>,
}

/// A server beyond the threshold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beyond {
    pub(super) server: usize,
    pub(super) z: f64,
    pub(super) since: Step,
}

/// What is true of one metric in one step.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    share: f64,
    chance: f64,
    severity: Option<CascadeSeverity>,
}

/// The step that is judged, and what is needed to begin an event.
pub(super) struct Moment<'a> {
    pub(super) step: Step,
    pub(super) config: &'a CascadeConfig,
    pub(super) metric: &'a str,
    pub(super) event_count: &'a mut u64,
}

/// Access to the servers by their positions.
pub(super) trait Servers {
    fn name(&self, server: usize) -> &ServerName;
    fn series(&mut self, server: usize) -> &mut Series;
}

impl Tally {
    pub(super) fn clear(&mut self) {
        (self.judged, self.sum, self.sum_of_squares) = (0, 0.0, 0.0);
        self.beyond.clear();
    }

    /// Counts a server's deviation.
    pub(super) fn add(&mut self, z: f64) {
        self.judged += 1;
        let limited = z.clamp(-Z_MAX, Z_MAX);
        self.sum += limited;
        self.sum_of_squares += limited * limited;
    }
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { usual_share: USUAL_SHARE_MIN, correlation: Correlation::default(), ongoing: None }
    }

    /// Judges a step; returns what is true of it, and the event that is over with it.
    pub(super) fn judge(
        &mut self,
        tally: &mut Tally,
        servers: &mut impl Servers,
        moment: &mut Moment<'_>,
    ) -> (MetricCascade, Option<CascadeEvent>) {
        let verdict = self.verdict(tally, moment.config);
        self.correlation.add(tally);
        let report = MetricCascade {
            metric: moment.metric.to_owned(),
            servers_judged: tally.judged,
            servers_beyond: tally.beyond.len(),
            share: verdict.share,
            usual_share: self.usual_share,
            chance: verdict.chance,
            correlation: self.correlation.value(),
            severity: verdict.severity,
        };
        let over = match verdict.severity {
            Some(severity) => {
                let event = self.ongoing.get_or_insert_with(|| begin(moment, severity));
                go_on(event, tally, servers, moment);
                event.severity = event.severity.max(severity);
                event.share_max = event.share_max.max(verdict.share);
                None
            }
            None => self.end_after_break(moment),
        };
        if self.ongoing.is_none() && tally.judged > 0 {
            self.usual_share += USUAL_SHARE_WEIGHT * (verdict.share - self.usual_share);
            self.usual_share = self.usual_share.clamp(USUAL_SHARE_MIN, 1.0);
        }
        (report, over)
    }

    /// Ends the event, whatever its last step was.
    pub(super) fn end(&mut self) -> Option<CascadeEvent> {
        let mut event = self.ongoing.take()?;
        event.is_over = true;
        event.sort();
        Some(event)
    }

    fn end_after_break(&mut self, moment: &Moment<'_>) -> Option<CascadeEvent> {
        let last = self.ongoing.as_ref()?.last;
        let is_over = moment.step.since(last) > moment.config.break_steps as i64;
        if is_over { self.end() } else { None }
    }

    fn verdict(&self, tally: &Tally, config: &CascadeConfig) -> Verdict {
        let (count, judged) = (tally.beyond.len(), tally.judged);
        let share = count as f64 / judged.max(1) as f64;
        let chance = chance_bound(judged, share, self.usual_share);
        let by_share = severity_of(share, config);
        let counts = by_share > CascadeSeverity::Low || chance <= config.low_chance_max;
        Verdict { share, chance, severity: (count >= config.servers_min && counts).then_some(by_share) }
    }
}

impl Correlation {
    fn add(&mut self, tally: &Tally) {
        if tally.judged < 2 {
            return;
        }
        let Tally { sum, sum_of_squares, .. } = *tally;
        let keep = 1.0 - 2.0 / (CORRELATION_STEPS + 1.0);
        self.shared = keep * self.shared + sum * sum - sum_of_squares;
        self.total = keep * self.total + (tally.judged - 1) as f64 * sum_of_squares;
    }

    /// Returns the correlation, 0 to 1; 0 while nothing is known.
    pub(super) fn value(self) -> f64 {
        if self.total > 0.0 { (self.shared / self.total).clamp(0.0, 1.0) } else { 0.0 }
    }
}

fn begin(moment: &mut Moment<'_>, severity: CascadeSeverity) -> CascadeEvent {
    *moment.event_count += 1;
    CascadeEvent {
        id: *moment.event_count,
        metric: moment.metric.to_owned(),
        start: moment.step,
        last: moment.step,
        is_over: false,
        severity,
        share_max: 0.0,
        affected_count: 0,
        affected: Vec::new(),
    }
}

/// Counts the servers of a step into an event; those that join are listed by their deviation, then by name.
fn go_on(event: &mut CascadeEvent, tally: &mut Tally, servers: &mut impl Servers, moment: &Moment<'_>) {
    event.last = moment.step;
    // The servers' positions are in the order of their names.
    tally.beyond.sort_by(|a, b| b.z.abs().total_cmp(&a.z.abs()).then(a.server.cmp(&b.server)));
    for &Beyond { server, z, since } in &tally.beyond {
        let joined = servers.series(server).joined.filter(|joined| joined.event == event.id);
        let place = joined.map_or_else(
            || {
                let place =
                    (event.affected.len() < moment.config.affected_max).then_some(event.affected.len());
                event.affected_count += 1;
                servers.series(server).joined = Some(Joined { event: event.id, place });
                if place.is_some() {
                    let server = servers.name(server).clone();
                    event.affected.push(AffectedServer { server, since, joined: moment.step, z, z_peak: z });
                }
                place
            },
            |joined| joined.place,
        );
        let listed = place.and_then(|place| event.affected.get_mut(place));
        if let Some(affected) = listed.filter(|affected| z.abs() > affected.z_peak.abs()) {
            affected.z_peak = z;
        }
    }
}

fn severity_of(share: f64, config: &CascadeConfig) -> CascadeSeverity {
    match share {
        share if share >= config.share_critical => CascadeSeverity::Critical,
        share if share >= config.share_high => CascadeSeverity::High,
        share if share >= config.share_medium => CascadeSeverity::Medium,
        _ => CascadeSeverity::Low,
    }
}

/// Bounds the probability that a share of `count` independent servers, or a larger one, is beyond the threshold though
/// the usual share is `usual`; 1 up to that.
fn chance_bound(count: usize, share: f64, usual: f64) -> f64 {
    if share <= usual || usual <= 0.0 {
        return 1.0;
    }
    let rest = if share < 1.0 { (1.0 - share) * ((1.0 - share) / (1.0 - usual)).ln() } else { 0.0 };
    (-(count as f64) * (share * (share / usual).ln() + rest)).exp()
}

/// A share of independent normal values beyond two deviations, 0.0455, and a little more.
const USUAL_SHARE_MIN: f64 = 0.05;

/// The usual share is learned as over a window of 288 steps.
const USUAL_SHARE_WEIGHT: f64 = 2.0 / 289.0;

/// Steps over which servers are correlated.
const CORRELATION_STEPS: f64 = 20.0;

/// One server that is far out must not hide that the others move together.
const Z_MAX: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_for_the_binomial() {
        // P(X ≥ 3), X ~ B(20, 0.05), is 0.0755.
        let bound = chance_bound(20, 3.0 / 20.0, 0.05);
        assert!(bound > 0.0755 && bound < 0.3, "{bound}");
        // P(X ≥ 90), X ~ B(1000, 0.05), is 6e-8.
        assert!(chance_bound(1000, 0.09, 0.05) < 1e-5);
        assert!((chance_bound(1000, 0.05, 0.05) - 1.0).abs() < 1e-12);
        assert!((chance_bound(4, 1.0, 0.05) - 0.05_f64.powi(4)).abs() < 1e-12);
    }

    #[test]
    fn correlation_is_the_mean_over_pairs() {
        let z = [1.0, -0.5, 2.0];
        let mut tally = Tally::default();
        for z in z {
            tally.add(z);
        }
        let mut correlation = Correlation::default();
        correlation.add(&tally);
        let pairs = z[0] * z[1] + z[0] * z[2] + z[1] * z[2];
        let squares: f64 = z.iter().map(|z| z * z).sum();
        assert!((correlation.value() - 2.0 * pairs / (2.0 * squares)).abs() < 1e-12);
    }
}
