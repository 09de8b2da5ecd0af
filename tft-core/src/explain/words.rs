//! Explanations as sentences, made from the numbers alone.

use std::fmt::Write;

use super::counterfactual::{Change, Counterfactual, Outcome};
use super::evidence::{Evidence, Surprise, Unusual};
use super::explanation::Explanation;
#[cfg(any(feature = "burn", feature = "engine"))]
use super::focus::Focus;
use super::outlook::{Outlook, Peak};
use crate::alert::{number, with_unit};
use crate::forecast::Method;
use crate::schema::{BadSide, Metric, Schema};
use crate::time::StepLength;

/// What the sentences about one metric are made from.
pub(super) struct MetricWords<'a> {
    pub(super) metric: &'a Metric,
    pub(super) step_length: StepLength,
    pub(super) current: f64,
    pub(super) peak: Peak,
    pub(super) evidence: &'a Evidence,
}

impl MetricWords<'_> {
    /// Where the metric is, what was expected, and where it is going.
    pub(super) fn text(&self) -> String {
        let evidence = self.evidence;
        let mut sentences = vec![self.present(evidence.unusual.as_ref())];
        sentences.extend(evidence.surprise.as_ref().and_then(past));
        sentences.push(self.future(evidence.outlook.as_ref()));
        sentences.join(" ")
    }

    fn present(&self, unusual: Option<&Unusual>) -> String {
        let (name, current) = (&self.metric.name, with_unit(self.current, &self.metric.unit));
        let Some(unusual) = unusual else { return format!("{name} is {current}.") };
        let side = match unusual.side {
            BadSide::High => "above",
            BadSide::Low => "below",
        };
        let days = number(
            unusual.history_steps as f64 * self.step_length.as_millis() as f64 / StepLength::DAY_MS as f64,
        );
        format!(
            "{name} is {current}, {side} {} % of its last {days} days.",
            percent(1.0 - unusual.share_beyond)
        )
    }

    fn future(&self, outlook: Option<&Outlook>) -> String {
        let unit = &self.metric.unit;
        let Peak { steps_ahead, p10, p50, p90 } = self.peak;
        let minutes = minutes(steps_ahead, self.step_length);
        let peak = format!(
            "Its forecast is at worst {} in {minutes} minutes (P10 {}, P90 {})",
            with_unit(p50, unit),
            number(p10),
            number(p90)
        );
        let Some(outlook) = outlook else { return format!("{peak}.") };
        let threshold = with_unit(outlook.limit.value, unit);
        let probability = percent(outlook.probability);
        match outlook.crossing_p50_steps {
            Some(steps) => format!(
                "{peak} and passes {threshold} in {} minutes; the probability that it does at all is {probability} %.",
                self::minutes(steps, self.step_length)
            ),
            None => format!("{peak}; the probability that it passes {threshold} is {probability} %."),
        }
    }
}

/// What was expected before; none if all values were as expected.
fn past(surprise: &Surprise) -> Option<String> {
    let Surprise { steps, above, below, .. } = *surprise;
    let where_to = match (above, below) {
        (0, 0) => return None,
        (above, 0) => format!("{above} lay above"),
        (0, below) => format!("{below} lay below"),
        (above, below) => format!("{above} lay above and {below} below"),
    };
    let last =
        if steps == 1 { "Of its newest value".to_owned() } else { format!("Of its last {steps} values") };
    Some(format!("{last}, {where_to} what was forecast for them (P10 to P90)."))
}

/// All in a sentence or two.
pub(super) fn summary(explanation: &Explanation, schema: &Schema) -> String {
    let (server, score) = (&explanation.server, number(explanation.risk.score));
    if explanation.metrics.is_empty() {
        return format!("{server} has no values from which anything could be forecast.");
    }
    let names: Vec<_> =
        explanation.at_fault().iter().map(|metric| schema.metrics()[metric.metric].name.as_str()).collect();
    let who = match explanation.method {
        Method::Tft => "",
        Method::Fallback => " The statistical fallback made its forecasts, not the model.",
    };
    match &names[..] {
        [] => format!("{server} has a risk score of {score}; none of its metrics stands out.{who}"),
        [only] => format!("{server} has a risk score of {score}; what stands out is {only}.{who}"),
        [first @ .., last] => {
            format!(
                "{server} has a risk score of {score}; what stands out are {} and {last}.{who}",
                first.join(", ")
            )
        }
    }
}

/// What the network looked at.
#[cfg(any(feature = "burn", feature = "engine"))]
pub(super) fn focus(focus: &Focus) -> Option<String> {
    let hour = focus.peak_hour()?;
    let variables: Vec<_> = focus
        .encoder_variables
        .iter()
        .take(3)
        .map(|share| format!("{} ({} %)", share.variable, percent(share.share)))
        .collect();
    let when = match hour.hours_ago {
        0 => "the last hour".to_owned(),
        hours => format!("the hour from {} to {hours} hours ago", hours + 1),
    };
    Some(format!(
        "The model looked most at {when} ({} % of its attention) and, of what it is given of the past, at {}.",
        percent(hour.share),
        variables.join(", ")
    ))
}

/// What would be different.
pub(super) fn counterfactual(of: &Counterfactual, metric: &Metric, step_length: StepLength) -> String {
    let (name, unit) = (&metric.name, &metric.unit);
    let hours = number(of.last_steps as f64 * step_length.as_millis() as f64 / HOUR_MS);
    let condition = match of.change {
        Change::Hold => format!("Had {name} not changed for the last {hours} hours"),
        Change::DayBefore => format!("Had {name} been as on the day before for the last {hours} hours"),
        Change::Scale(factor) => {
            format!("Had {name} been {} times as much for the last {hours} hours", number(factor))
        }
        Change::Offset(offset) if offset < 0.0 => {
            format!("Had {name} been less by {} for the last {hours} hours", with_unit(-offset, unit))
        }
        Change::Offset(offset) => {
            format!("Had {name} been more by {} for the last {hours} hours", with_unit(offset, unit))
        }
    };
    let peak = |outcome: &Outcome| with_unit(outcome.peak.p50, unit);
    let mut text = format!(
        "{condition}, its forecast would be {} at worst instead of {}",
        peak(&of.changed),
        peak(&of.actual)
    );
    if let (Some(actual), Some(changed)) = (&of.actual.outlook, &of.changed.outlook) {
        let threshold = with_unit(actual.limit.value, unit);
        let _ = write!(
            text,
            ", and the probability of passing {threshold} {} % instead of {} %",
            percent(changed.probability),
            percent(actual.probability)
        );
    }
    text + &format!(
        "; the risk score would be {} instead of {}.",
        number(of.changed.risk_score),
        number(of.actual.risk_score)
    )
}

fn minutes(steps: usize, step_length: StepLength) -> String {
    number(steps as f64 * step_length.as_millis() as f64 / 60_000.0)
}

/// A share in per cent, with one decimal where it matters.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = usize::from(!(10.0..=90.0).contains(&percent));
    let text = format!("{percent:.decimals$}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

const HOUR_MS: f64 = 3_600_000.0;

#[cfg(test)]
mod tests {
    use super::super::outlook::Limit;
    use super::*;
    use crate::risk::Threshold;
    use crate::schema::MetricKind;

    const PEAK: Peak = Peak { steps_ahead: 19, p10: 91.2, p50: 93.1, p90: 95.0 };

    fn outlook(crossing_p50_steps: Option<usize>, probability: f64) -> Outlook {
        let limit = Limit { at: Threshold::Value(90.0), value: 90.0, side: BadSide::High };
        let (crossing_outer_steps, probability_soon, nats) = (Some(1), 0.5, 0.7);
        Outlook { limit, crossing_p50_steps, crossing_outer_steps, probability_soon, probability, nats }
    }

    fn text(evidence: &Evidence) -> String {
        let metric = Metric::new("mem_used_pct", MetricKind::Percentage);
        let step_length = StepLength::FIVE_MINUTES;
        MetricWords { metric: &metric, step_length, current: 88.44, peak: PEAK, evidence }.text()
    }

    #[test]
    fn a_metric_is_told_by_its_evidence() {
        let unusual = Unusual { history_steps: 864, share_beyond: 0.002, side: BadSide::High, nats: 5.0 };
        let all = Evidence {
            surprise: Some(Surprise { steps: 12, above: 11, below: 0, nats: 3.0 }),
            unusual: Some(unusual),
            outlook: Some(outlook(Some(4), 0.97)),
        };
        insta::assert_snapshot!(text(&all), @"mem_used_pct is 88.4 %, above 99.8 % of its last 3 days. Of its last 12 values, 11 lay above what was forecast for them (P10 to P90). Its forecast is at worst 93.1 % in 95 minutes (P10 91.2, P90 95) and passes 90 % in 20 minutes; the probability that it does at all is 97 %.");
        let none = Evidence { surprise: None, unusual: None, outlook: None };
        insta::assert_snapshot!(text(&none), @"mem_used_pct is 88.4 %. Its forecast is at worst 93.1 % in 95 minutes (P10 91.2, P90 95).");
        let expected = Evidence {
            surprise: Some(Surprise { steps: 12, above: 0, below: 0, nats: 0.4 }),
            outlook: Some(outlook(None, 0.034)),
            ..none
        };
        insta::assert_snapshot!(text(&expected), @"mem_used_pct is 88.4 %. Its forecast is at worst 93.1 % in 95 minutes (P10 91.2, P90 95); the probability that it passes 90 % is 3.4 %.");
    }

    #[test]
    fn another_past_is_told_by_what_it_changes() {
        let metric = Metric::new("mem_used_pct", MetricKind::Percentage);
        let outcome = |p50: f64, risk_score: f64, probability: f64| Outcome {
            current: 88.0,
            risk_score,
            peak: Peak { p50, ..PEAK },
            outlook: Some(outlook(None, probability)),
            p50: Vec::new(),
            p90: Vec::new(),
        };
        let mut answer = Counterfactual {
            metric: 5,
            change: Change::Hold,
            last_steps: 48,
            actual: outcome(93.1, 21.0, 0.97),
            changed: outcome(71.0, 0.0, 0.0),
            others: Vec::new(),
            text: String::new(),
        };
        let tell = |answer: &Counterfactual| counterfactual(answer, &metric, StepLength::FIVE_MINUTES);
        insta::assert_snapshot!(tell(&answer), @"Had mem_used_pct not changed for the last 4 hours, its forecast would be 71 % at worst instead of 93.1 %, and the probability of passing 90 % 0 % instead of 97 %; the risk score would be 0 instead of 21.");
        answer.change = Change::Offset(-2.5);
        answer.last_steps = 6;
        insta::assert_snapshot!(tell(&answer).split(',').next().unwrap(), @"Had mem_used_pct been less by 2.5 % for the last 0.5 hours");
    }
}
