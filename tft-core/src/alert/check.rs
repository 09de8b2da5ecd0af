//! What is wrong with rules and labels: everything at once, each with the rule, the field and the value.

use std::collections::{BTreeMap, HashSet};

use super::template::Template;
use super::{AlertConfig, AlertEngine, Condition, Direction, Rule, ServerLabels, Severity};
use crate::problems::Problems;
use crate::risk::Threshold;
use crate::schema::{BadSide, Schema};
use crate::time::{StepLength, StepSpan, abbreviate};
use crate::window::ReadinessState;

/// Collects what is wrong with a configuration.
pub(super) fn check(config: &AlertConfig, schema: &Schema, problems: &mut Problems) {
    let (count, max) = (config.rules.len(), AlertEngine::RULES_MAX);
    if count > max {
        problems.push(format_args!("there are {count} rules, allowed are at most {max}"));
        return;
    }
    if config.alerts_max < 1 {
        problems.push("`alerts_max` is 0, the least is 1");
    }
    if config.absent_retention.as_millis() < 1 {
        problems.push("`absent_retention` is 0s, the least is 1ms");
    }
    check_server_labels(&config.server_labels, problems);
    let mut names = HashSet::new();
    for (index, rule) in config.rules.iter().enumerate() {
        RuleCheck::new(rule, index, problems).run(schema);
        if !names.insert(rule.name.as_str()) {
            problems.push(format_args!("rule `{}` appears twice", abbreviate(&rule.name)));
        }
    }
}

fn check_server_labels(assignments: &[ServerLabels], problems: &mut Problems) {
    let (count, max) = (assignments.len(), AlertConfig::SERVER_LABELS_MAX);
    if count > max {
        problems.push(format_args!("`server_labels` has {count} entries, allowed are at most {max}"));
        return;
    }
    for (index, assignment) in assignments.iter().enumerate() {
        let at = format!("server_labels entry {index}");
        let mut refuse = |field: &str, fault: String| problems.push(format_args!("{at}: `{field}` {fault}"));
        check_patterns("servers", &assignment.servers, &mut refuse);
        check_labels("labels", &assignment.labels, &mut refuse);
    }
}

/// One rule while it is checked.
struct RuleCheck<'a> {
    rule: &'a Rule,
    /// What the rule is called in problems.
    called: String,
    problems: &'a mut Problems,
}

impl<'a> RuleCheck<'a> {
    fn new(rule: &'a Rule, index: usize, problems: &'a mut Problems) -> Self {
        let called = if rule.name.is_empty() {
            format!("rule {index}")
        } else {
            format!("rule `{}`", abbreviate(&rule.name))
        };
        Self { rule, called, problems }
    }

    fn run(&mut self, schema: &Schema) {
        let length = self.rule.name.len();
        if !(1..=Rule::NAME_LENGTH_MAX).contains(&length) {
            self.refuse("name", &format!("has {length} bytes, allowed are 1 to {}", Rule::NAME_LENGTH_MAX));
        }
        self.check_condition(schema);
        self.check_thresholds();
        self.check_order();
        self.check_durations();
        self.check_texts();
    }

    fn refuse(&mut self, field: &str, fault: &str) {
        self.problems.push(format_args!("{}: `{field}` {fault}", self.called));
    }

    fn check_condition(&mut self, schema: &Schema) {
        let condition = &self.rule.condition;
        if let Some(metric) = condition.metric().filter(|metric| schema.metric_index(metric).is_none()) {
            self.refuse("metric", &format!("is `{}`, which the schema lacks", abbreviate(metric)));
        }
        if let Some((field, span)) = condition.span() {
            self.check_span(field, span);
        }
        if let Some(at) = condition.reaches().filter(|at| !at.is_valid()) {
            self.refuse(
                "reaches",
                &format!("is {at}, which is neither a finite value nor a quantile between 0 and 1"),
            );
        }
        if let Some(quantile) = condition.quantile().filter(|quantile| !(*quantile > 0.0 && *quantile < 1.0))
        {
            self.refuse("quantile", &format!("is {quantile}, allowed are numbers between 0 and 1"));
        }
        if let Condition::Readiness { states } = condition
            && (states.is_empty() || states.len() > 3 || states.contains(&ReadinessState::Ready))
        {
            self.refuse("states", "must be 1 to 3 of `warming_up`, `gap` and `stale`");
        }
        let has_metric_side = condition.is_of_values() || condition.reaches().is_some();
        if self.rule.direction == Direction::Below && !has_metric_side {
            let kind = condition.kind();
            self.refuse(
                "direction",
                &format!("is `below`, but a condition of kind `{kind}` is bad upwards only"),
            );
        }
    }

    fn check_span(&mut self, field: &str, span: StepSpan) {
        let steps = span.steps(StepLength::FIVE_MINUTES);
        let is_count = matches!(span, StepSpan::Steps(_));
        let max = Condition::STEPS_MAX;
        let least =
            usize::from(field == "over" || matches!(self.rule.condition, Condition::Probability { .. }));
        if steps < least || (is_count && steps > max) {
            self.refuse(field, &format!("is {span}, allowed are {least} to {max} steps, or a time"));
        }
        let (min_steps, most) =
            (self.rule.condition.min_steps(), if is_count { steps.min(max) + 1 } else { max + 1 });
        if !(1..=most).contains(&min_steps) {
            self.refuse("min_steps", &format!("is {min_steps}, allowed are 1 to {most}"));
        }
    }

    fn check_thresholds(&mut self) {
        if self.rule.thresholds.is_empty() {
            self.refuse("thresholds", "is empty, at least one is needed");
        }
        let (least, most, unit) = match self.rule.condition {
            Condition::Observed { .. } | Condition::Forecast { .. } => (f64::MIN, f64::MAX, ""),
            Condition::Risk {} => (0.0, 100.0, " points"),
            Condition::Probability { .. } => (0.0, 1.0, ""),
            Condition::Share { .. } => (0.0, 100.0, " %"),
            Condition::Readiness { .. } | Condition::Missing { .. } => {
                (0.0, Rule::DURATION_MAX.as_minutes(), " minutes")
            }
        };
        for (field, at) in self.limits() {
            match at {
                Threshold::Value(value) if !value.is_finite() => {
                    self.refuse(&field, &format!("is {value}, which is not finite"));
                }
                Threshold::Value(value) if !(least..=most).contains(&value) => {
                    self.refuse(&field, &format!("is {value}, allowed are {least} to {most}{unit}"));
                }
                Threshold::OwnQuantile(_) if !self.rule.condition.is_of_values() => {
                    let kind = self.rule.condition.kind();
                    self.refuse(&field, &format!("is {at}, but a condition of kind `{kind}` has no history"));
                }
                Threshold::OwnQuantile(level) if !at.is_valid() => {
                    self.refuse(
                        &field,
                        &format!("is own quantile {level}, allowed are numbers between 0 and 1"),
                    );
                }
                _ => {}
            }
        }
    }

    /// Recovery and the thresholds must lie in this order towards the bad side, the most severe last.
    fn check_order(&mut self) {
        let limits = self.limits();
        for pair in limits.windows(2) {
            let Some((better, worse)) = comparable(pair[0].1, pair[1].1) else { continue };
            let (is_wrong, side) = match self.rule.side() {
                BadSide::High => (better > worse, "above"),
                BadSide::Low => (better < worse, "below"),
            };
            if is_wrong {
                let other = &pair[1].0;
                self.refuse(&pair[0].0, &format!("is {better}, which lies {side} `{other}`, {worse}"));
            }
        }
    }

    /// The names of thresholds in a file and the thresholds: recovery, then from the least severe on.
    fn limits(&self) -> Vec<(String, Threshold)> {
        let recovery = self.rule.recovery.map(|at| ("recovery".to_owned(), at));
        let named = |(severity, at): (&Severity, &Threshold)| (format!("thresholds.{severity}"), *at);
        recovery.into_iter().chain(self.rule.thresholds.iter().map(named)).collect()
    }

    fn check_durations(&mut self) {
        let fields = [("for", self.rule.pending_for), ("keep_firing_for", self.rule.keep_firing_for)];
        for (field, value) in fields.into_iter().filter(|(_, value)| *value > Rule::DURATION_MAX) {
            self.refuse(field, &format!("is {value}, allowed are 0s to {}", Rule::DURATION_MAX));
        }
    }

    fn check_texts(&mut self) {
        let rule = self.rule;
        let mut refuse = |field: &str, fault: String| self.refuse(field, &fault);
        check_patterns("selector.servers", &rule.selector.servers, &mut refuse);
        check_labels("selector.labels", &rule.selector.labels, &mut refuse);
        check_labels("labels", &rule.labels, &mut refuse);
        for (field, text) in [("summary", &rule.summary), ("description", &rule.description)] {
            if text.len() > Rule::TEXT_LENGTH_MAX {
                refuse(
                    field,
                    format!("has {} bytes, allowed are at most {}", text.len(), Rule::TEXT_LENGTH_MAX),
                );
            } else if let Err(fault) = Template::parse(text) {
                refuse(
                    field,
                    format!(
                        "has `{}`, which is no placeholder (a brace is written twice)",
                        abbreviate(&fault.0)
                    ),
                );
            }
        }
    }
}

fn check_patterns(field: &str, patterns: &[String], refuse: &mut impl FnMut(&str, String)) {
    if patterns.len() > Rule::LABELS_MAX {
        refuse(field, format!("has {} patterns, allowed are at most {}", patterns.len(), Rule::LABELS_MAX));
    }
    if let Some(pattern) =
        patterns.iter().find(|pattern| !(1..=Rule::NAME_LENGTH_MAX).contains(&pattern.len()))
    {
        let (length, max) = (pattern.len(), Rule::NAME_LENGTH_MAX);
        refuse(field, format!("has a pattern of {length} bytes, allowed are 1 to {max}"));
    }
}

fn check_labels(field: &str, labels: &BTreeMap<String, String>, refuse: &mut impl FnMut(&str, String)) {
    if labels.len() > Rule::LABELS_MAX {
        refuse(field, format!("has {} labels, allowed are at most {}", labels.len(), Rule::LABELS_MAX));
    }
    let max = Rule::NAME_LENGTH_MAX;
    for (name, value) in labels.iter().take(Rule::LABELS_MAX) {
        let shown = abbreviate(name);
        if !is_label_name(name) {
            refuse(
                field,
                format!("has the name `{shown}`, allowed are 1 to {max} of [A-Za-z0-9_], no digit first"),
            );
        } else if RESERVED_LABELS.contains(&name.as_str()) {
            refuse(field, format!("has the name `{shown}`, which every alert has of itself"));
        }
        if value.len() > max {
            refuse(
                field,
                format!("has a value of {} bytes for `{shown}`, allowed are at most {max}", value.len()),
            );
        }
    }
}

fn is_label_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=Rule::NAME_LENGTH_MAX).contains(&name.len())
        && name.bytes().all(is_allowed)
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Two thresholds as numbers, if they are of one kind.
fn comparable(a: Threshold, b: Threshold) -> Option<(f64, f64)> {
    match (a, b) {
        (Threshold::Value(a), Threshold::Value(b))
        | (Threshold::OwnQuantile(a), Threshold::OwnQuantile(b)) => Some((a, b)),
        _ => None,
    }
}

/// What [`Alert::label`](super::Alert::label) answers from the alert itself.
const RESERVED_LABELS: [&str; 5] = ["alertname", "server", "profile", "metric", "severity"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Selector;
    use crate::time::DurationMs;

    fn rule(warning: f64, critical: f64) -> Rule {
        let thresholds = [
            (Severity::Warning, Threshold::Value(warning)),
            (Severity::Critical, Threshold::Value(critical)),
        ];
        Rule::new("memory", Condition::forecast("mem_used_pct"), thresholds)
    }

    fn errors_of(rules: Vec<Rule>) -> String {
        let config = AlertConfig { rules, ..AlertConfig::default() };
        AlertEngine::new(config, &Schema::server_metrics()).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_rule_the_field_and_the_value() {
        let error = |rule: Rule| errors_of(vec![rule]);
        insta::assert_snapshot!(error(rule(98.0, 90.0)), @"alert rules: rule `memory`: `thresholds.warning` is 98, which lies above `thresholds.critical`, 90");
        let wrong = Rule { recovery: Some(Threshold::Value(92.0)), ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error(wrong), @"alert rules: rule `memory`: `recovery` is 92, which lies above `thresholds.warning`, 90");
        let (metric, within) = ("mem_used_pct".to_owned(), StepSpan::Steps(12));
        let condition = Condition::Forecast { metric, quantile: 1.5, within, min_steps: 14 };
        insta::assert_snapshot!(error(Rule { condition, ..rule(90.0, 98.0) }), @"alert rules: rule `memory`: `min_steps` is 14, allowed are 1 to 13; rule `memory`: `quantile` is 1.5, allowed are numbers between 0 and 1");
        let wrong = Rule { condition: Condition::forecast("mem"), ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error(wrong), @"alert rules: rule `memory`: `metric` is `mem`, which the schema lacks");
        let wrong = Rule { thresholds: BTreeMap::new(), ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error(wrong), @"alert rules: rule `memory`: `thresholds` is empty, at least one is needed");
        let wrong = Rule { pending_for: DurationMs::MAX, ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error(wrong), @"alert rules: rule `memory`: `for` is 366d, allowed are 0s to 30d");
        let recovery = Some(Threshold::OwnQuantile(0.5));
        let wrong =
            Rule { condition: Condition::Risk {}, recovery, direction: Direction::Below, ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error(wrong), @"alert rules: rule `memory`: `direction` is `below`, but a condition of kind `risk` is bad upwards only; rule `memory`: `recovery` is own quantile 0.5, but a condition of kind `risk` has no history");
        let wrong = Rule { summary: "{server} {host}".into(), ..rule(90.0, 98.0) };
        insta::assert_snapshot!(error(wrong), @"alert rules: rule `memory`: `summary` has `{host}`, which is no placeholder (a brace is written twice)");
        let labels =
            BTreeMap::from([("server".to_owned(), "x".to_owned()), ("a-b".to_owned(), String::new())]);
        let selector = Selector { servers: vec![String::new()], ..Selector::default() };
        insta::assert_snapshot!(error(Rule { selector, labels, ..rule(90.0, 98.0) }), @"alert rules: rule `memory`: `selector.servers` has a pattern of 0 bytes, allowed are 1 to 128; rule `memory`: `labels` has the name `a-b`, allowed are 1 to 128 of [A-Za-z0-9_], no digit first; rule `memory`: `labels` has the name `server`, which every alert has of itself");
    }

    #[test]
    fn conditions_have_ranges_of_their_own() {
        let error = |condition, thresholds: &[(Severity, f64)]| {
            let thresholds = thresholds.iter().map(|&(severity, at)| (severity, Threshold::Value(at)));
            errors_of(vec![Rule::new("r", condition, thresholds)])
        };
        let metric = || "mem_used_pct".to_owned();
        let chance = Condition::Probability {
            metric: metric(),
            reaches: Threshold::Value(f64::NAN),
            within: StepSpan::Steps(0),
        };
        insta::assert_snapshot!(error(chance, &[(Severity::High, 50.0)]), @"alert rules: rule `r`: `within` is 0 steps, allowed are 1 to 1024 steps, or a time; rule `r`: `reaches` is NaN, which is neither a finite value nor a quantile between 0 and 1; rule `r`: `thresholds.high` is 50, allowed are 0 to 1");
        let waiting = Condition::Readiness { states: vec![ReadinessState::Ready] };
        insta::assert_snapshot!(error(waiting, &[(Severity::Low, -1.0)]), @"alert rules: rule `r`: `states` must be 1 to 3 of `warming_up`, `gap` and `stale`; rule `r`: `thresholds.low` is -1, allowed are 0 to 43200 minutes");
        let share = Condition::Share {
            metric: metric(),
            reaches: Threshold::Value(80.0),
            over: StepSpan::Steps(2000),
        };
        insta::assert_snapshot!(error(share, &[(Severity::Low, 101.0)]), @"alert rules: rule `r`: `over` is 2000 steps, allowed are 1 to 1024 steps, or a time; rule `r`: `thresholds.low` is 101, allowed are 0 to 100 %");
    }

    #[test]
    fn all_problems_come_at_once() {
        let unnamed = Rule { name: String::new(), ..rule(98.0, 90.0) };
        let error = errors_of(vec![unnamed, rule(90.0, 98.0), rule(90.0, 98.0)]);
        insta::assert_snapshot!(error, @"alert rules: rule 0: `name` has 0 bytes, allowed are 1 to 128; rule 0: `thresholds.warning` is 98, which lies above `thresholds.critical`, 90; rule `memory` appears twice");
    }

    #[test]
    fn a_rule_reads_from_json_with_its_defaults() {
        let text = r#"{"name":"memory","when":{"kind":"forecast","metric":"mem_used_pct"},
            "thresholds":{"warning":90,"critical":98}}"#;
        assert_eq!(serde_json::from_str::<Rule>(text).unwrap(), rule(90.0, 98.0));
        let error = |text: &str| serde_json::from_str::<Rule>(text).unwrap_err().to_string();
        insta::assert_snapshot!(error(r#"{"name":"x","treshold":1}"#), @"unknown field `treshold`, expected one of `name`, `when`, `direction`, `thresholds`, `strict`, `recovery`, `for`, `keep_firing_for`, `alerts_on_no_data`, `selector`, `labels`, `summary`, `description` at line 1 column 22");
        insta::assert_snapshot!(error(r#"{"name":"x","when":{"kind":"risk","metric":"m"},"thresholds":{}}"#), @"unknown field `metric`, there are no fields at line 1 column 47");
        insta::assert_snapshot!(error(r#"{"name":"x","when":{"kind":"risk"},"thresholds":{"fatal":1}}"#), @"unknown variant `fatal`, expected one of `low`, `medium`, `warning`, `high`, `critical` at line 1 column 56");
    }
}
