//! The quantiles of a server's own history, for rules that compare a server with itself.

use std::cell::RefCell;
use std::collections::HashMap;

use tft_core::window::ServerView;

/// A look-up of a quantile by the metric's position in the schema and the level.
pub(crate) type OwnQuantile<'a> = Box<dyn Fn(usize, f64) -> Option<f64> + 'a>;

/// Returns the look-up for one server; it sorts a metric's history when it is first asked for.
///
/// It knows nothing of a metric with less than a day of values: the largest of a few is no extreme.
pub(crate) fn own_quantile(server: ServerView<'_>, steps_per_day: usize) -> OwnQuantile<'_> {
    let sorted = RefCell::new(HashMap::new());
    Box::new(move |metric, level| {
        let mut sorted = sorted.borrow_mut();
        let values = sorted.entry(metric).or_insert_with(|| sorted_history(server, metric));
        if values.len() < steps_per_day {
            return None;
        }
        let rank = level.clamp(0.0, 1.0) * (values.len() - 1) as f64;
        values.get(rank.round() as usize).copied().map(f64::from)
    })
}

fn sorted_history(server: ServerView<'_>, metric: usize) -> Vec<f32> {
    let (older, newer) = server.history(metric);
    let mut values: Vec<f32> = older.iter().chain(newer).copied().filter(|value| !value.is_nan()).collect();
    values.sort_unstable_by(f32::total_cmp);
    values
}
