//! `kill -9`, again and again, under a continuous feed and in the midst of checkpoints: every acknowledged record is
//! there afterwards.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tft_core::schema::Schema;
use tft_core::store::{Store, StoreConfig};
use tft_core::time::Timestamp;
use tft_core::{RollingWindow, WindowConfig};

use crate::client::Request;
use crate::harness::KEY;
use crate::process::Process;

/// Clients that feed at the same time.
const CLIENTS: usize = 3;

/// How often the program is killed, over all modes; `TFT_KILLS` asks for more.
fn kills() -> usize {
    std::env::var("TFT_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(200)
}

/// Sends feeds of one record each until the program is gone; returns the time of each that was acknowledged.
pub(crate) fn feed_until_gone(
    address: SocketAddr,
    client: usize,
    round: usize,
    is_killed: &AtomicBool,
) -> Vec<i64> {
    let mut acknowledged = Vec::new();
    let start = now().as_millis() - 200_000;
    for number in 0.. {
        if is_killed.load(Ordering::Acquire) {
            return acknowledged;
        }
        // Ascending over all rounds, and within the step of now or the one before.
        let at = Timestamp::from_millis(start + number);
        let record = json!({
            "timestamp": at.to_string(), "server_name": format!("r{round}-c{client}"), "load": 1.5,
        });
        let request = Request::new(address, "POST", "/feed/data").header("X-API-Key", KEY);
        let reply = request.json(json!({ "records": [record] }).to_string()).try_send();
        if reply.is_some_and(|reply| reply.status == 200) {
            acknowledged.push(at.as_millis());
        }
    }
    acknowledged
}

fn now() -> Timestamp {
    Timestamp::from_millis(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64)
}

/// The times of all samples of this round's servers that the files hold.
pub(crate) fn kept(directory: &Path, round: usize) -> BTreeMap<String, Vec<i64>> {
    let window = RollingWindow::new(Schema::server_metrics(), WindowConfig::default()).unwrap();
    let path = directory.join("kept.parquet");
    let (store, report) = Store::open(&path, window, StoreConfig::default(), now()).unwrap();
    assert_eq!((report.damage, report.set_aside), (vec![], vec![]));
    let servers = (0..CLIENTS).map(|client| format!("r{round}-c{client}"));
    let times = |name: &String| {
        let export = store.export_server(name)?;
        Some(export.samples.iter().map(|sample| sample.timestamp.as_millis()).collect())
    };
    servers.filter_map(|name| times(&name).map(|times| (name, times))).collect()
}

/// Returns whether a checkpoint was being saved when the program was killed: it left a half-written file, or a
/// segment that the checkpoint would have removed.
fn is_within_checkpoint(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let segments = names.iter().filter(|name| name.contains(".log-")).count();
    segments > 1 || names.iter().any(|name| name.starts_with(".kept.parquet.tmp-"))
}

/// Kills a program that is being fed; returns how many feeds were acknowledged before, and whether it was saving a
/// checkpoint.
fn kill_under_feed(directory: &Path, sync: &str, round: usize) -> (usize, bool) {
    let process = Process::start_with(directory, |command| {
        command.args(["--sync", sync, "--rate-limit-feed", "100000", "--checkpoint-interval-ms", "2"]);
    });
    let is_killed = AtomicBool::new(false);
    let acknowledged: Vec<Vec<i64>> = std::thread::scope(|scope| {
        let (address, is_killed) = (process.address, &is_killed);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || feed_until_gone(address, client, round, is_killed)))
            .collect();
        // Some rounds end before the first feed, others in the midst of many.
        std::thread::sleep(Duration::from_millis(1 + 7 * (round as u64 % 11)));
        process.kill();
        is_killed.store(true, Ordering::Release);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    drop(process);
    let is_within_checkpoint = is_within_checkpoint(directory);
    let kept = kept(directory, round);
    for (client, acknowledged) in acknowledged.iter().enumerate() {
        let server = format!("r{round}-c{client}");
        let kept = kept.get(&server).map_or(&[][..], Vec::as_slice);
        for at in acknowledged {
            assert!(kept.contains(at), "{sync}: round {round} lost a feed of {server} at {at}");
        }
    }
    (acknowledged.iter().map(Vec::len).sum(), is_within_checkpoint)
}

#[test]
fn a_killed_service_has_every_acknowledged_record() {
    let started = Instant::now();
    let modes = ["always", "interval"];
    let directories = modes.map(|mode| (mode, tempfile::tempdir().unwrap()));
    let (mut acknowledged, mut within_checkpoints) = (0, 0);
    for round in 0..kills() {
        let (mode, directory) = &directories[round % modes.len()];
        let (feeds, is_within_checkpoint) = kill_under_feed(directory.path(), mode, round);
        acknowledged += feeds;
        within_checkpoints += usize::from(is_within_checkpoint);
    }
    let took = started.elapsed();
    eprintln!(
        "{} kills, {within_checkpoints} within checkpoints, {acknowledged} feeds acknowledged, {took:?}",
        kills()
    );
    assert!(acknowledged >= kills() && within_checkpoints > 0, "{acknowledged}, {within_checkpoints}");
}
