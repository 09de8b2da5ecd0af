//! The start of a service without history, and the memory that it takes while nobody asks anything.

use std::time::Duration;

use crate::process::{Service, resident_kb};

/// Starts the service some times; the middle of what it took.
pub(crate) fn measure(runs: usize) -> String {
    let mut starts: Vec<(Duration, u64)> = (0..runs).map(|_| run()).collect();
    starts.sort_unstable();
    let (start, kb) = starts[runs / 2];
    format!("start: first answer of /health after {:.1} ms, {kb} kB resident", start.as_secs_f64() * 1e3)
}

fn run() -> (Duration, u64) {
    let service = Service::start();
    let pid = service.target().pid.unwrap_or_default();
    (service.start, resident_kb(pid))
}
