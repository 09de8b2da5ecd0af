//! Prometheus's text format, version 0.0.4.

use std::fmt::Write;

use super::instruments::Reading;

/// The type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The name of a family, and a sentence about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
}

/// A label's name and value.
pub(crate) type Label<'a> = (&'static str, &'a str);

/// The text under construction. Writing to a string cannot fail.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// The samples of one family, to be added to.
#[derive(Debug)]
pub(crate) struct Samples<'t> {
    text: &'t mut String,
    family: Family,
    has_begun: bool,
}

impl Text {
    /// Begins a family; one without samples leaves nothing.
    pub(super) fn family(&mut self, family: Family) -> Samples<'_> {
        Samples { text: &mut self.0, family, has_begun: false }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

impl Samples<'_> {
    /// Adds one sample.
    pub(crate) fn add(&mut self, labels: &[Label<'_>], value: f64) {
        self.sample("", labels, value);
    }

    /// Adds the samples of a histogram.
    pub(super) fn histogram(&mut self, labels: &[Label<'_>], reading: &Reading) {
        for (bound, count) in &reading.cumulative {
            let bound = bound.to_string();
            self.sample("_bucket", &[labels, &[("le", &bound)]].concat(), *count as f64);
        }
        self.sample("_bucket", &[labels, &[("le", "+Inf")]].concat(), reading.count as f64);
        self.sample("_sum", labels, reading.sum_s);
        self.sample("_count", labels, reading.count as f64);
    }

    fn sample(&mut self, suffix: &str, labels: &[Label<'_>], value: f64) {
        let Family { kind, name, help } = self.family;
        if !self.has_begun {
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
            self.has_begun = true;
        }
        let _ = write!(self.text, "{name}{suffix}");
        for (position, (label, value)) in labels.iter().enumerate() {
            let before = if position == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(value));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{after} {}", Number(value));
    }
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A number as the format spells it.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            infinite if infinite.is_infinite() => f.write_str(if infinite > 0.0 { "+Inf" } else { "-Inf" }),
            number => write!(f, "{number}"),
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_numbers_are_spelt_as_the_format_wants() {
        let mut text = Text::default();
        let family = Family { kind: Kind::Gauge, name: "x", help: "What it is." };
        let mut samples = text.family(family);
        samples.add(&[("path", "a\\b\"c\nd")], f64::INFINITY);
        samples.add(&[], f64::NAN);
        text.family(Family { name: "empty", ..family });
        insta::assert_snapshot!(text.finish(), @r#"
        # HELP x What it is.
        # TYPE x gauge
        x{path="a\\b\"c\nd"} +Inf
        x NaN
        "#);
    }
}
