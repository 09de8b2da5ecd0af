//! Rows on their way into a window, whatever file they come from.
//!
//! Owns how rows are held, in which order the window takes them and what of them is left out. Knows nothing
//! of columns or of encodings.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::LoadReport;
use super::error::StoreError;
use crate::schema::{Profile, ServerName, Status};
use crate::time::{Timestamp, abbreviate};
use crate::window::{RollingWindow, StoredSample};

/// Rows on their way into a window.
pub(super) struct Rows {
    pub(super) window: RollingWindow,
    pub(super) names: Names,
    /// Rows that the window has not taken yet.
    pub(super) pending: Vec<Row>,
    /// Theirs, `[row][metric]`; NaN is a missing value.
    pub(super) values: Vec<f32>,
    pub(super) report: LoadReport,
}

/// Rows as a file has them, by column.
pub(super) struct ColumnRows<'a> {
    /// When each row was taken, and its status.
    pub(super) samples: Vec<(Timestamp, Option<Status>)>,
    /// The rows of all servers, in the order of the file.
    pub(super) runs: Vec<Run>,
    /// The rows' values by metric; NaN is a missing value.
    pub(super) values: Vec<Cow<'a, [f32]>>,
}

/// Rows that follow each other and have the same server and profile.
pub(super) struct Run {
    pub(super) rows: Range<usize>,
    /// The position of its name.
    pub(super) server: usize,
    pub(super) profile: Option<Profile>,
}

/// What a row says beside its metrics.
pub(super) struct Row {
    pub(super) at: Timestamp,
    /// The position of its name.
    pub(super) server: usize,
    pub(super) profile: Option<Profile>,
    pub(super) status: Option<Status>,
}

impl ColumnRows<'_> {
    /// Returns the first row that has neither a status nor a value, or the end.
    fn first_empty(&self, rows: Range<usize>) -> usize {
        let is_empty = |&row: &usize| {
            self.samples[row].1.is_none() && self.values.iter().all(|column| column[row].is_nan())
        };
        rows.clone().find(is_empty).unwrap_or(rows.end)
    }
}

impl Row {
    fn is_empty(&self, values: &[f32]) -> bool {
        self.status.is_none() && values.iter().all(|value| value.is_nan())
    }
}

/// The servers' names, each held once.
#[derive(Default)]
pub(super) struct Names {
    names: Vec<ServerName>,
    index: HashMap<ServerName, usize>,
}

impl Names {
    /// Returns the names by their positions.
    pub(super) fn into_names(self) -> Vec<ServerName> {
        self.names
    }

    /// Returns the position of a name, or the name if it is not acceptable.
    pub(super) fn position(&mut self, text: &str) -> Result<usize, String> {
        if let Some(&position) = self.index.get(text) {
            return Ok(position);
        }
        let name = ServerName::new(text).map_err(|_| abbreviate(text))?;
        self.index.insert(name.clone(), self.names.len());
        self.names.push(name);
        Ok(self.names.len() - 1)
    }
}

impl Rows {
    pub(super) fn new(window: RollingWindow, report: LoadReport) -> Self {
        Self { window, names: Names::default(), pending: Vec::new(), values: Vec::new(), report }
    }

    /// Gives rows to the window in the order in which they stand: most of a server's rows at once, where each is a
    /// step of its own.
    pub(super) fn restore(&mut self, rows: &ColumnRows<'_>) -> Result<(), StoreError> {
        for run in &rows.runs {
            let mut start = run.rows.start;
            while start < run.rows.end {
                let end = rows.first_empty(start..run.rows.end);
                let taken = self.restore_closed(rows, run, start..end)?;
                let end = end.max(start + 1);
                (start + taken..end).try_for_each(|row| self.restore_one(rows, run, row))?;
                start = end;
            }
        }
        Ok(())
    }

    /// Keeps rows until all of them can be given to the window.
    pub(super) fn collect(&mut self, rows: &ColumnRows<'_>) {
        for Run { rows: run, server, profile } in &rows.runs {
            let heads = rows.samples[run.clone()].iter();
            self.pending.extend(heads.map(|&(at, status)| Row {
                at,
                server: *server,
                profile: profile.clone(),
                status,
            }));
        }
        let (start, stride) = (self.values.len(), rows.values.len());
        self.values.resize(start + rows.samples.len() * stride, f32::NAN);
        for (metric, column) in rows.values.iter().enumerate() {
            let cells = self.values[start..].iter_mut().skip(metric).step_by(stride);
            cells.zip(column.iter()).for_each(|(cell, &value)| *cell = value);
        }
    }

    /// Gives the collected rows to the window, the oldest first.
    pub(super) fn restore_in_time_order(&mut self) -> Result<(), StoreError> {
        let mut order: Vec<usize> = (0..self.pending.len()).collect();
        order.sort_by_key(|&row| self.pending[row].at);
        self.restore_in(order)
    }

    /// Returns the window with the counters that its file keeps.
    pub(super) fn finish<'n>(
        mut self,
        tick_count: u64,
        samples_accepted: impl IntoIterator<Item = (&'n str, u64)>,
    ) -> (RollingWindow, LoadReport) {
        self.window.restore_counters(tick_count, samples_accepted);
        (self.window, self.report)
    }

    fn restore_in(&mut self, order: impl IntoIterator<Item = usize>) -> Result<(), StoreError> {
        order.into_iter().try_for_each(|row| self.restore_row(row))?;
        self.pending.clear();
        self.values.clear();
        Ok(())
    }

    /// Returns how many rows the window took.
    fn restore_closed(
        &mut self,
        rows: &ColumnRows<'_>,
        run: &Run,
        range: Range<usize>,
    ) -> Result<usize, StoreError> {
        let (name, samples) = (&self.names.names[run.server], &rows.samples[range.clone()]);
        let columns = |metric: usize| &rows.values[metric][range.clone()];
        let taken = self.window.restore_closed(name, run.profile.as_ref(), samples, columns);
        taken.map_err(|source| StoreError::Window { source })
    }

    fn restore_one(&mut self, rows: &ColumnRows<'_>, run: &Run, row: usize) -> Result<(), StoreError> {
        let (at, status) = rows.samples[row];
        self.pending.push(Row { at, server: run.server, profile: run.profile.clone(), status });
        self.values.extend(rows.values.iter().map(|column| column[row]));
        self.restore_in([0])
    }

    fn restore_row(&mut self, row: usize) -> Result<(), StoreError> {
        let stride = self.window.schema().metrics().len();
        let values = &self.values[row * stride..(row + 1) * stride];
        let row = &self.pending[row];
        let sample = StoredSample { at: row.at, status: row.status, values };
        let mut restore = || self.window.restore(&self.names.names[row.server], row.profile.as_ref(), sample);
        let taken = !row.is_empty(values) && restore().map_err(|source| StoreError::Window { source })?;
        self.report.rows_dropped += u64::from(!taken);
        Ok(())
    }
}

/// Reads a profile's name, or returns it if it is not acceptable.
pub(super) fn profile_of(text: &str) -> Result<Profile, String> {
    Profile::new(text).map_err(|_| abbreviate(text))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{Metric, MetricKind, Schema, SchemaConfig};
    use crate::window::WindowConfig;

    const STEP_MS: i64 = 300_000;

    /// The pause before a row in tenths of a step, whether another server begins, and what it says.
    type Head = (i64, bool, u8);

    fn rows(heads: &[Head], config: &WindowConfig) -> Rows {
        let metrics = ["a", "b"].map(|name| Metric::new(name, MetricKind::Continuous)).into();
        let schema = Schema::new(SchemaConfig { metrics, ..Default::default() }).unwrap();
        let window = RollingWindow::new(schema, config.clone()).unwrap();
        let mut rows = Rows::new(window, LoadReport::default());
        let (mut at, mut server) = (0, 0);
        for &(pause, begins_server, content) in heads {
            (at, server) = if begins_server { (pause, (server + 1) % 3) } else { (at + pause, server) };
            let position = rows.names.position(&format!("ppdb{server}")).unwrap();
            let values = [f32::from(content), f32::NAN];
            rows.values.extend(values.map(|value| if content % 4 == 0 { f32::NAN } else { value }));
            rows.pending.push(Row {
                at: Timestamp::from_millis(at * STEP_MS / 10),
                server: position,
                profile: (content % 17 == 0).then(|| Profile::new("other").unwrap()),
                status: (content % 3 == 0).then_some(Status(content % 8)),
            });
        }
        rows
    }

    /// The rows that wait in `rows`, as the reader hands them over.
    fn by_column(rows: &mut Rows) -> ColumnRows<'static> {
        let pending = std::mem::take(&mut rows.pending);
        let values = std::mem::take(&mut rows.values);
        let mut runs: Vec<Run> = Vec::new();
        for (row, Row { server, profile, .. }) in pending.iter().enumerate() {
            match runs.last_mut().filter(|run| run.server == *server && run.profile == *profile) {
                Some(run) => run.rows.end = row + 1,
                None => {
                    runs.push(Run { rows: row..row + 1, server: *server, profile: profile.clone() });
                }
            }
        }
        let column = |metric| values.iter().copied().skip(metric).step_by(2).collect::<Vec<_>>().into();
        let samples = pending.iter().map(|row| (row.at, row.status)).collect();
        ColumnRows { samples, runs, values: vec![column(0), column(1)] }
    }

    fn restore_by_column(rows: &mut Rows) -> Result<(), StoreError> {
        let columns = by_column(rows);
        rows.restore(&columns)
    }

    fn restore_one_by_one(rows: &mut Rows) -> Result<(), StoreError> {
        rows.restore_in(0..rows.pending.len())
    }

    fn encoded(rows: Rows) -> (Vec<u8>, u64) {
        let (window, report) = rows.finish(1, []);
        (crate::store::encode(&window, Timestamp::from_millis(0)).unwrap(), report.rows_dropped)
    }

    proptest! {
        #[test]
        fn rows_taken_together_make_the_window_that_they_make_one_by_one(
            heads in vec((prop_oneof![8 => Just(10_i64), 2 => 0_i64..25, 1 => -9_i64..90], prop::bool::weighted(0.1), 0_u8..255), 0..80),
            (steps_per_server, grace_steps, cut) in (8_usize..20, 0_usize..4, 0_usize..80),
        ) {
            let config = WindowConfig { steps_per_server, grace_steps, samples_per_step_max: 3, servers_max: 2, gap_fill_steps_max: 1, ..Default::default() };
            // A run may be cut anywhere between two batches of the reader.
            let (first, second) = heads.split_at(cut.min(heads.len()));
            let mut together = rows(first, &config);
            let mut one_by_one = rows(first, &config);
            let results = (restore_by_column(&mut together).is_ok(), restore_one_by_one(&mut one_by_one).is_ok());
            prop_assert_eq!(results.0, results.1);
            for rest in [second, first] {
                let more = rows(rest, &config);
                for rows in [&mut together, &mut one_by_one] {
                    let positions: Vec<_> = more.names.names.iter().map(|name| rows.names.position(name.as_str()).unwrap()).collect();
                    rows.pending = more.pending.iter().map(|row| Row { server: positions[row.server], profile: row.profile.clone(), ..*row }).collect();
                    rows.values.clone_from(&more.values);
                }
                let results = (restore_by_column(&mut together).is_ok(), restore_one_by_one(&mut one_by_one).is_ok());
                prop_assert_eq!(results.0, results.1);
            }
            if results.0 {
                prop_assert_eq!(encoded(together), encoded(one_by_one));
            }
        }

        #[test]
        fn rows_that_are_collected_are_those_of_the_file(
            heads in vec((0_i64..25, prop::bool::weighted(0.2), 0_u8..255), 0..40),
        ) {
            let config = WindowConfig::default();
            let (mut source, mut target) = (rows(&heads, &config), rows(&[], &config));
            let values: Vec<_> = source.values.iter().map(|value| value.to_bits()).collect();
            let head = |row: &Row| (row.at, row.server, row.profile.clone(), row.status);
            let expected: Vec<_> = source.pending.iter().map(head).collect();
            target.collect(&by_column(&mut source));
            prop_assert_eq!(target.pending.iter().map(head).collect::<Vec<_>>(), expected);
            prop_assert_eq!(target.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), values);
        }
    }
}
