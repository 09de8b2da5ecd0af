//! Turns what a window holds of a server into the rows that a data set's encoding reads.
//!
//! Rows cover the history up to the origin and the steps to forecast. Future steps have the calendar, which
//! is known; everything else repeats its newest value, and the network does not look at what it repeats.

use std::collections::HashMap;
use std::ops::Range;

use super::fleet::FleetHistory;
use crate::error::{Error, ErrorKind};
use crate::model::{Column, DatasetEncoding, FleetStatistic, Rows, Source};
use crate::problems::Problems;
use crate::schema::Schema;
use crate::time::{Step, StepLength, Timestamp};
use crate::window::{RollingWindow, ServerView};

/// Which column comes from where, for a schema.
#[derive(Debug)]
pub(super) struct Assembly<'a> {
    encoding: &'a DatasetEncoding,
    columns: Vec<ColumnPlan>,
    /// The metric of each target.
    pub(super) target_metrics: Vec<usize>,
}

/// A column and where it comes from, its metrics found in the schema.
#[derive(Debug)]
struct ColumnPlan {
    name: String,
    origin: ColumnOrigin,
}

#[derive(Debug, Clone)]
enum ColumnOrigin {
    Metric(usize),
    Fleet(usize, FleetStatistic),
    AboveFleetMean(usize),
    Constant(f64),
    Whole(WholeNumber),
    Label(Label),
}

#[derive(Debug, Clone)]
enum WholeNumber {
    LegacyServerId,
    Clock(crate::model::ClockFeature),
    StepsSince(Timestamp),
    StepNumber,
}

#[derive(Debug, Clone)]
enum Label {
    ServerName,
    Profile,
    Status,
    Constant(String),
}

/// The steps of the rows of each server: history up to the origin, then the future.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) origin: Step,
    pub(super) step_length: StepLength,
    pub(super) history_steps: usize,
    pub(super) horizon_steps: usize,
}

/// Rows of several servers, and which of them are whose.
pub(super) struct AssembledRows<'w> {
    /// The last step of history.
    pub(super) origin: Step,
    pub(super) rows: Rows,
    /// The servers, with their positions in the window.
    pub(super) servers: Vec<(usize, ServerView<'w>)>,
    /// The rows of each server.
    pub(super) series: Vec<Range<usize>>,
}

impl<'a> Assembly<'a> {
    /// Finds the source of every column that the encoding reads.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming every column whose source the schema lacks or that is of the
    /// wrong kind.
    pub(super) fn new(encoding: &'a DatasetEncoding, schema: &Schema) -> Result<Self, Error> {
        let mut problems = Problems::default();
        let mut columns = Vec::new();
        let numbers = encoding.real_variables();
        let labels = encoding.label_variables().into_iter().filter(|name| !numbers.contains(name));
        for name in numbers.iter().copied().chain(labels) {
            match column_origin(encoding, schema, name) {
                Ok(ColumnOrigin::Label(_)) if numbers.contains(&name) => {
                    problems.push(format!("column `{name}` needs numbers and its source is a label"));
                }
                Ok(origin) => columns.push(ColumnPlan { name: name.to_owned(), origin }),
                Err(problem) => problems.push(problem),
            }
        }
        let metric_of = |target: &String| {
            columns.iter().find_map(|column| match column.origin {
                ColumnOrigin::Metric(metric) if column.name == *target => Some(metric),
                _ => None,
            })
        };
        let target_metrics: Vec<_> = encoding.targets.iter().filter_map(metric_of).collect();
        if problems.is_empty() && target_metrics.len() < encoding.targets.len() {
            problems.push("a target is no metric");
        }
        problems.into_result(ErrorKind::InvalidConfig, "the window lacks what the model needs")?;
        if !columns.iter().any(|column| column.name == encoding.time_idx) {
            let origin = ColumnOrigin::Whole(WholeNumber::StepNumber);
            columns.push(ColumnPlan { name: encoding.time_idx.clone(), origin });
        }
        Ok(Self { encoding, columns, target_metrics })
    }

    /// Computes the statistics over all servers that columns need.
    pub(super) fn fleet_history(&self, window: &RollingWindow, span: Span) -> FleetHistory {
        let wanted = self.columns.iter().filter_map(|column| match column.origin {
            ColumnOrigin::Fleet(metric, statistic) => Some((metric, statistic)),
            ColumnOrigin::AboveFleetMean(metric) => Some((metric, FleetStatistic::Mean)),
            _ => None,
        });
        FleetHistory::new(window, span.origin, span.history_steps, wanted)
    }

    /// Makes the rows of those servers that have enough unbroken history up to the origin.
    ///
    /// # Errors
    /// None that input can cause.
    pub(super) fn rows<'w>(
        &self,
        window: &'w RollingWindow,
        servers: &[(usize, ServerView<'w>)],
        fleet: &FleetHistory,
        span: Span,
    ) -> Result<AssembledRows<'w>, Error> {
        let mut parts: Vec<ColumnPart> =
            self.columns.iter().map(|plan| ColumnPart::new(&plan.origin)).collect();
        let (mut taken, mut series) = (Vec::new(), Vec::new());
        let mut count = 0;
        for &(server, view) in servers {
            let values = self.numbers(&view, fleet, span);
            let steps = unbroken_steps(&values, span.history_steps);
            if steps < self.encoding.history_steps_min() {
                continue;
            }
            let reader = ServerReader { window, view, span, steps };
            for ((plan, part), values) in self.columns.iter().zip(&mut parts).zip(&values) {
                part.extend(&plan.origin, &reader, values);
            }
            let end = count + steps + span.horizon_steps;
            taken.push((server, view));
            series.push(count..end);
            count = end;
        }
        let mut rows = Rows::new();
        for (plan, part) in self.columns.iter().zip(parts) {
            rows = rows.with(&plan.name, part.into_column())?;
        }
        Ok(AssembledRows { origin: span.origin, rows, servers: taken, series })
    }

    /// The history of each column that is measured; empty for the others.
    fn numbers(&self, view: &ServerView<'_>, fleet: &FleetHistory, span: Span) -> Vec<Vec<f64>> {
        let mut history = vec![f32::NAN; span.history_steps];
        let mut measured = |metric: usize| -> Vec<f64> {
            view.copy_filled_history(metric, span.origin, &mut history);
            history.iter().map(|&value| f64::from(value)).collect()
        };
        let values = |plan: &ColumnPlan| match plan.origin {
            ColumnOrigin::Metric(metric) => measured(metric),
            ColumnOrigin::Fleet(metric, statistic) => {
                fleet.values(metric, statistic).unwrap_or_default().to_vec()
            }
            ColumnOrigin::AboveFleetMean(metric) => {
                let mean = fleet.values(metric, FleetStatistic::Mean).unwrap_or_default();
                measured(metric).iter().zip(mean).map(|(value, mean)| value - mean).collect()
            }
            _ => Vec::new(),
        };
        self.columns.iter().map(values).collect()
    }
}

/// One server while its rows are made: its newest `steps` steps and the future.
struct ServerReader<'a> {
    window: &'a RollingWindow,
    view: ServerView<'a>,
    span: Span,
    steps: usize,
}

impl ServerReader<'_> {
    fn count(&self) -> usize {
        self.steps + self.span.horizon_steps
    }

    /// The steps of all rows, in time order.
    fn all_steps(&self) -> impl Iterator<Item = Step> {
        let first = self.span.origin.plus(1 - self.steps as i64);
        (0..self.count() as i64).map(move |offset| first.plus(offset))
    }

    fn whole(&self, number: &WholeNumber, step: Step) -> i64 {
        let start = self.span.step_length.start_of(step);
        match number {
            WholeNumber::LegacyServerId => i64::from(self.view.name().legacy_id()),
            WholeNumber::Clock(feature) => feature.at(start) as i64,
            WholeNumber::StepsSince(first) => step.since(self.span.step_length.step_at(*first)),
            WholeNumber::StepNumber => step.0,
        }
    }

    /// Adds the labels of all rows.
    fn add_labels(&self, label: &Label, words: &mut Words) {
        let same = match label {
            Label::ServerName => self.view.name().as_str(),
            Label::Profile => self.view.profile().as_str(),
            Label::Constant(text) => text,
            Label::Status => return self.add_statuses(words),
        };
        let id = words.id(same);
        words.ids.extend(std::iter::repeat_n(id, self.count()));
    }

    /// Adds the status of every step; that of the step before where none was told, `nan` before the first.
    fn add_statuses(&self, words: &mut Words) {
        let statuses = self.window.schema().statuses();
        let mut last = (None, words.id("nan"));
        for step in self.all_steps() {
            if let status @ Some(told) = self.view.status_at(step)
                && status != last.0
            {
                last = (status, words.id(statuses.name(told)));
            }
            words.ids.push(last.1);
        }
    }
}

/// Labels, each distinct one kept once.
#[derive(Default)]
struct Words {
    ids: Vec<u32>,
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Words {
    fn id(&mut self, word: &str) -> u32 {
        if let Some(&id) = self.numbers.get(word) {
            return id;
        }
        let id = self.texts.len() as u32;
        self.texts.push(word.to_owned());
        self.numbers.insert(word.to_owned(), id);
        id
    }
}

/// A column that grows server by server.
enum ColumnPart {
    Reals(Vec<f64>),
    Integers(Vec<i64>),
    Labels(Words),
}

impl ColumnPart {
    fn new(origin: &ColumnOrigin) -> Self {
        match origin {
            ColumnOrigin::Whole(_) => Self::Integers(Vec::new()),
            ColumnOrigin::Label(_) => Self::Labels(Words::default()),
            _ => Self::Reals(Vec::new()),
        }
    }

    /// Adds a server's rows; `values` is its measured history.
    fn extend(&mut self, origin: &ColumnOrigin, reader: &ServerReader<'_>, values: &[f64]) {
        match (self, origin) {
            (Self::Labels(words), ColumnOrigin::Label(label)) => reader.add_labels(label, words),
            (Self::Integers(numbers), ColumnOrigin::Whole(number)) => {
                numbers.extend(reader.all_steps().map(|step| reader.whole(number, step)));
            }
            (Self::Reals(numbers), ColumnOrigin::Constant(value)) => {
                numbers.extend(std::iter::repeat_n(*value, reader.count()));
            }
            (Self::Reals(numbers), _) => {
                let known = &values[values.len() - reader.steps..];
                let newest = known.last().copied().unwrap_or(f64::NAN);
                numbers.extend_from_slice(known);
                numbers.extend(std::iter::repeat_n(newest, reader.span.horizon_steps));
            }
            _ => {}
        }
    }

    fn into_column(self) -> Column {
        match self {
            Self::Reals(values) => Column::Reals(values),
            Self::Integers(values) => Column::Integers(values),
            Self::Labels(Words { ids, texts, .. }) => Column::Labels { ids, words: texts },
        }
    }
}

/// How many of the newest steps all measured columns have.
fn unbroken_steps(columns: &[Vec<f64>], history_steps: usize) -> usize {
    let measured = columns.iter().filter(|values| !values.is_empty());
    let known = |values: &Vec<f64>| values.iter().rev().take_while(|value| value.is_finite()).count();
    measured.map(known).min().unwrap_or(history_steps)
}

fn column_origin(encoding: &DatasetEncoding, schema: &Schema, name: &str) -> Result<ColumnOrigin, String> {
    let source = encoding.sources.get(name).cloned();
    if source.is_none() && name == encoding.time_idx {
        return Err(format!("column `{name}` is an input; encoding.sources must say since when it counts"));
    }
    let metric = |metric: &str| {
        let missing = || format!("column `{name}` needs the metric `{metric}`, which the schema lacks");
        schema.metric_index(metric).ok_or_else(missing)
    };
    let origin = match source.unwrap_or_else(|| Source::of_column(name)) {
        Source::Metric(of) => ColumnOrigin::Metric(metric(&of)?),
        Source::Fleet { metric: of, statistic } => ColumnOrigin::Fleet(metric(&of)?, statistic),
        Source::AboveFleetMean(of) => ColumnOrigin::AboveFleetMean(metric(&of)?),
        Source::Number(value) => ColumnOrigin::Constant(value),
        Source::LegacyServerId => ColumnOrigin::Whole(WholeNumber::LegacyServerId),
        Source::Clock(feature) => ColumnOrigin::Whole(WholeNumber::Clock(feature)),
        Source::StepsSince(millis) => {
            ColumnOrigin::Whole(WholeNumber::StepsSince(Timestamp::from_millis(millis)))
        }
        Source::ServerName => ColumnOrigin::Label(Label::ServerName),
        Source::Profile => ColumnOrigin::Label(Label::Profile),
        Source::Status => ColumnOrigin::Label(Label::Status),
        Source::Label(text) => ColumnOrigin::Label(Label::Constant(text)),
    };
    Ok(origin)
}
