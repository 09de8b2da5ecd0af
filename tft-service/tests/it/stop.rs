//! SIGTERM under a continuous feed: the program ends by itself, and what it acknowledged is there afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::kill::{feed_until_gone, kept};
use crate::process::Process;

#[test]
fn a_stop_under_load_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let process = Process::start_with(directory.path(), |command| {
            command.args(["--rate-limit-feed", "100000", "--audit-file", "off"]);
        });
        let (address, is_stopped) = (process.address, AtomicBool::new(false));
        let acknowledged: Vec<Vec<i64>> = std::thread::scope(|scope| {
            let is_stopped = &is_stopped;
            let clients: Vec<_> = (0..3)
                .map(|client| scope.spawn(move || feed_until_gone(address, client, round, is_stopped)))
                .collect();
            std::thread::sleep(Duration::from_millis(150));
            let (code, log) = process.stop("TERM");
            is_stopped.store(true, Ordering::Release);
            assert_eq!(code, Some(0), "{log:?}");
            assert!(log.iter().any(|line| line.contains("saved the checkpoint")), "{log:?}");
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        assert!(acknowledged.iter().all(|times| !times.is_empty()), "{acknowledged:?}");
        let kept = kept(directory.path(), round);
        for (client, times) in acknowledged.iter().enumerate() {
            let kept = &kept[&format!("r{round}-c{client}")];
            assert!(times.iter().all(|at| kept.contains(at)), "client {client} of round {round}");
        }
    }
}
