//! The demo, as a user runs it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::client::Request;

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tft-service"));
    command.env_clear().current_dir(std::env::temp_dir()).arg("demo").args(arguments);
    command
}

#[test]
fn the_summary_says_what_was_forecast_and_what_happened() {
    let output = demo(&["--once", "--json", "--every-steps", "576"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["replay"]["steps"], &summary["replay"]["samples"]), (&2016.into(), &10_080.into()));
    let servers = summary["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 5);
    assert!(servers.iter().all(|server| server["method"] == "tft"), "{summary}");
    assert_eq!(summary["quality"]["crossings"], 0);
    let horizons = summary["quality"]["horizons"].as_array().unwrap();
    assert!(horizons.iter().all(|horizon| horizon["rel_wql"].as_f64().unwrap() < 1.0), "{horizons:?}");
}

#[test]
fn the_replayed_state_is_served() {
    let mut command = demo(&["--port", "0", "--every-steps", "1152"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| {
        let (_, rest) = line.split_once("serving the replayed state at http://")?;
        rest.split(' ').next()?.parse::<SocketAddr>().ok()
    });
    let address = address.unwrap();
    let predictions = || Request::new(address, "GET", "/predictions/current").send().json();
    let has_servers = |reply: &Value| reply["summary"]["total_servers"] == 5;
    let reply =
        (0..50).map(|_| predictions()).inspect(|_| std::thread::sleep(std::time::Duration::from_millis(100)));
    let reply = reply.take(20).find(has_servers);
    let _ = child.kill();
    let _ = child.wait();
    let reply = reply.unwrap();
    assert_eq!(reply["metadata"]["forecast_start"], "2021-02-09T00:00:00Z");
    assert_eq!(reply["predictions"]["svc03"]["m01"]["p50"].as_array().unwrap().len(), 96);
}

#[test]
fn mistakes_are_one_line() {
    let output = demo(&["--every-steps", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @"tft-service: --every-steps `0` is not a number of steps, 1 to 1152");
}
