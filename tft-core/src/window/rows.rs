//! What a checkpoint keeps of some servers, read column by column.

use super::open_step::Sample;
use super::ring::Mark;
use super::{RollingWindow, ServerView};
use crate::schema::Status;
use crate::time::Step;

/// The rows of some servers: of each its closed steps, and then the raw samples of those that still take more.
pub(crate) struct StoredRows<'w> {
    window: &'w RollingWindow,
    servers: Vec<ServerRows<'w>>,
    rows: usize,
}

struct ServerRows<'w> {
    view: ServerView<'w>,
    /// The marks of the closed steps from the first to the last that the ring holds, in two runs.
    marks: (&'w [Mark], &'w [Mark]),
    first: Step,
    closed: usize,
    open: Vec<Sample<'w>>,
}

impl<'w> StoredRows<'w> {
    pub(crate) fn new(window: &'w RollingWindow) -> Self {
        Self { window, servers: Vec::new(), rows: 0 }
    }

    pub(crate) fn push(&mut self, view: ServerView<'w>) {
        let rows = ServerRows::new(view);
        self.rows += rows.len();
        self.servers.push(rows);
    }

    pub(crate) fn clear(&mut self) {
        self.servers.clear();
        self.rows = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Returns the rows' times in Unix milliseconds.
    pub(crate) fn times(&self) -> Vec<i64> {
        let step_length = self.window.config().step;
        let mut times = Vec::with_capacity(self.rows);
        for server in &self.servers {
            let first_ms = step_length.start_of(server.first).as_millis();
            let sampled = server.marks().enumerate().filter(|(_, mark)| **mark != Mark::EMPTY);
            times.extend(sampled.map(|(index, _)| first_ms + index as i64 * step_length.as_millis()));
            times.extend(server.open.iter().map(|sample| sample.at.as_millis()));
        }
        times
    }

    /// Visits a column of text, `server_name`, `profile` and `status` in this order, with how many rows that follow
    /// each other have a text.
    pub(crate) fn visit_texts(&self, column: usize, mut visit: impl FnMut(Option<&'w str>, usize)) {
        for server in &self.servers {
            match column {
                0 => visit(Some(server.view.name().as_str()), server.len()),
                1 => visit(Some(server.view.profile().as_str()), server.len()),
                _ => self.visit_statuses(server, &mut visit),
            }
        }
    }

    /// Visits the rows' values of a metric, NaN where one is missing, some at a time, until `visit` returns false;
    /// returns whether it never did.
    pub(crate) fn try_visit_values<E>(
        &self,
        metric: usize,
        mut visit: impl FnMut(&[f32]) -> Result<bool, E>,
    ) -> Result<bool, E> {
        for server in &self.servers {
            let goes_on = server.try_visit_closed(metric, &mut visit)?;
            let open = server.open.iter().map(|sample| &sample.values[metric]);
            if !goes_on || !try_all(open, &mut visit)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn visit_statuses(&self, server: &ServerRows<'w>, visit: &mut impl FnMut(Option<&'w str>, usize)) {
        let statuses = self.window.schema().statuses();
        let name = |status: Option<Status>| status.map(|status| statuses.name(status));
        let closed = server.marks().copied().filter(|mark| *mark != Mark::EMPTY);
        let mut run: Option<(Mark, usize)> = None;
        for mark in closed.chain(server.open.iter().map(|sample| sample.mark)) {
            match &mut run {
                Some((last, rows)) if *last == mark => *rows += 1,
                _ => {
                    if let Some((last, rows)) = run.replace((mark, 1)) {
                        visit(name(last.status()), rows);
                    }
                }
            }
        }
        if let Some((last, rows)) = run {
            visit(name(last.status()), rows);
        }
    }
}

impl<'w> ServerRows<'w> {
    fn new(view: ServerView<'w>) -> Self {
        let (ring, rules) = (view.server.ring(), &view.window.rules);
        let (first, last_closed) = (ring.oldest(), view.server.oldest_open(rules).plus(-1));
        let marks =
            if first <= last_closed { ring.mark_span(first, last_closed) } else { (&[][..], &[][..]) };
        let open_steps = (last_closed.0 + 1..=ring.newest().0).map(Step);
        let open = open_steps.flat_map(|step| view.server.open_samples(step)).collect();
        let mut rows = Self { view, marks, first, closed: 0, open };
        rows.closed = rows.marks().filter(|mark| **mark != Mark::EMPTY).count();
        rows
    }

    fn len(&self) -> usize {
        self.closed + self.open.len()
    }

    fn marks(&self) -> impl Iterator<Item = &'w Mark> {
        self.marks.0.iter().chain(self.marks.1)
    }

    fn try_visit_closed<E>(
        &self,
        metric: usize,
        visit: &mut impl FnMut(&[f32]) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let steps = self.marks.0.len() + self.marks.1.len();
        if steps == 0 {
            return Ok(true);
        }
        let last = self.first.plus(steps as i64 - 1);
        let (older, newer) = self.view.server.ring().span(metric, self.first, last);
        if self.closed == steps {
            return Ok(visit(older)? && visit(newer)?);
        }
        let marked = older.iter().chain(newer).zip(self.marks());
        try_all(marked.filter(|(_, mark)| **mark != Mark::EMPTY).map(|(value, _)| value), visit)
    }
}

fn try_all<'v, E>(
    mut values: impl Iterator<Item = &'v f32>,
    visit: &mut impl FnMut(&[f32]) -> Result<bool, E>,
) -> Result<bool, E> {
    values.try_fold(true, |goes_on, value| Ok(goes_on && visit(std::slice::from_ref(value))?))
}
