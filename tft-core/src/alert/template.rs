//! Texts of rules with placeholders, such as `{server} needs memory`.

use std::fmt::Write;

use super::Severity;
use super::message::{number, with_unit};

/// A text with placeholders, checked when its rule is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Field(Field),
    Label(String),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Field {
    Server,
    Profile,
    Rule,
    Metric,
    Severity,
    Value,
    Current,
    Threshold,
    Minutes,
}

/// What placeholders stand for.
pub(super) struct Facts<'a> {
    pub(super) server: &'a str,
    pub(super) profile: &'a str,
    pub(super) rule: &'a str,
    pub(super) metric: &'a str,
    pub(super) severity: Severity,
    /// The unit of the value and the threshold.
    pub(super) unit: &'a str,
    pub(super) metric_unit: &'a str,
    pub(super) value: Option<f64>,
    pub(super) current: Option<f64>,
    pub(super) threshold: Option<f64>,
    pub(super) minutes: Option<f64>,
    pub(super) label: &'a dyn Fn(&str) -> Option<&'a str>,
}

/// What is wrong with a text: the placeholder, or the brace without a partner.
#[derive(Debug, PartialEq)]
pub(super) struct TemplateFault(pub(super) String);

impl Template {
    /// Reads a text. `{{` and `}}` stand for braces.
    pub(super) fn parse(text: &str) -> Result<Self, TemplateFault> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let end =
                after.find('}').filter(|_| brace == "{").ok_or_else(|| TemplateFault(brace.to_owned()))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::placeholder(&after[..end])?);
            rest = &after[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// Writes the text; none if there is none.
    pub(super) fn render(&self, facts: &Facts<'_>) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Label(name) => text.push_str((facts.label)(name).unwrap_or(UNKNOWN)),
                Part::Field(field) => field.write(facts, &mut text),
            }
        }
        Some(text)
    }
}

impl Part {
    fn placeholder(name: &str) -> Result<Self, TemplateFault> {
        if let Some(label) = name.strip_prefix("labels.").filter(|label| !label.is_empty()) {
            return Ok(Self::Label(label.to_owned()));
        }
        let found = FIELDS.iter().find(|(known, _)| *known == name);
        found.map(|&(_, field)| Self::Field(field)).ok_or_else(|| TemplateFault(format!("{{{name}}}")))
    }
}

impl Field {
    fn write(self, facts: &Facts<'_>, text: &mut String) {
        let value = |value: Option<f64>, unit| {
            value.map_or_else(|| UNKNOWN.to_owned(), |value| with_unit(value, unit))
        };
        let _ = match self {
            Self::Server => text.write_str(facts.server),
            Self::Profile => text.write_str(facts.profile),
            Self::Rule => text.write_str(facts.rule),
            Self::Metric => text.write_str(facts.metric),
            Self::Severity => text.write_str(facts.severity.as_str()),
            Self::Value => text.write_str(&value(facts.value, facts.unit)),
            Self::Threshold => text.write_str(&value(facts.threshold, facts.unit)),
            Self::Current => text.write_str(&value(facts.current, facts.metric_unit)),
            Self::Minutes => text.write_str(&facts.minutes.map_or_else(|| UNKNOWN.to_owned(), number)),
        };
    }
}

/// What stands for a value that is not known.
const UNKNOWN: &str = "unknown";

const FIELDS: [(&str, Field); 9] = [
    ("server", Field::Server),
    ("profile", Field::Profile),
    ("rule", Field::Rule),
    ("metric", Field::Metric),
    ("severity", Field::Severity),
    ("value", Field::Value),
    ("current", Field::Current),
    ("threshold", Field::Threshold),
    ("minutes", Field::Minutes),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> String {
        let label = |name: &str| (name == "team").then_some("storage");
        let facts = Facts {
            server: "db-7",
            profile: "database",
            rule: "memory",
            metric: "mem_used_pct",
            severity: Severity::Critical,
            unit: "%",
            metric_unit: "%",
            value: Some(99.25),
            current: None,
            threshold: Some(98.0),
            minutes: Some(30.0),
            label: &label,
        };
        Template::parse(text).unwrap().render(&facts).unwrap_or_default()
    }

    #[test]
    fn placeholders_stand_for_facts() {
        let text = "{server} ({profile}): {metric} {value} ≥ {threshold} in {minutes} min, now {current}";
        insta::assert_snapshot!(render(text), @"db-7 (database): mem_used_pct 99.2 % ≥ 98 % in 30 min, now unknown");
        assert_eq!(
            render("{{{rule}}} {labels.team} {labels.site} {severity}"),
            "{memory} storage unknown critical"
        );
        assert_eq!(render(""), "");
    }

    #[test]
    fn what_is_no_placeholder_is_named() {
        let fault = |text| Template::parse(text).unwrap_err().0;
        assert_eq!(
            ["{host}", "{", "a } b", "{labels.}", "{ server }"].map(fault),
            ["{host}", "{", "}", "{labels.}", "{ server }"]
        );
    }
}
