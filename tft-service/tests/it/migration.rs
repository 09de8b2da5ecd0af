//! The original system's pickle becomes the checkpoint: at start and by command, or is set aside.

use std::path::Path;
use std::process::Output;

use tempfile::TempDir;
use tft_core::schema::Schema;
use tft_core::store;
use tft_core::window::WindowConfig;

use crate::harness::{KEY, history};
use crate::process::{Process, command};

const ATTACK: &[u8] = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0atouch HERE\x85R.";

/// A folder with this as the pickle beside the checkpoint's place.
fn folder(pickle: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("kept.pkl"), pickle).unwrap();
    directory
}

fn original() -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tft-core/tests/fixtures/pickle");
    std::fs::read(fixtures.join("protocol_4.pkl")).unwrap()
}

/// The files beside the log and the lock, which every store has.
fn names(directory: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_beside = |name: &String| [".log-", ".doc-", ".history"].iter().any(|part| name.contains(part));
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.') && !is_beside(name)).collect();
    names.sort();
    names
}

fn window_size(process: &Process) -> u64 {
    process.request("GET", "/status").send().json()["window_size"].as_u64().unwrap()
}

fn migration_lines(process: &Process) -> Vec<&str> {
    process.start.iter().filter_map(|line| Some(line.split_once("[MIGRATION] ")?.1)).collect()
}

fn rows_of(checkpoint: &Path) -> u64 {
    store::load(checkpoint, Schema::server_metrics(), WindowConfig::default()).unwrap().1.rows
}

fn migrate(directory: &TempDir, arguments: &[&str]) -> Output {
    command(directory.path()).arg("migrate").args(arguments).output().unwrap()
}

fn log_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_pickle_is_taken_over_at_start() {
    let directory = folder(&original());
    let process = Process::start(directory.path());
    assert_eq!(window_size(&process), 9);
    assert_eq!(names(&directory), ["kept.parquet", "kept.pkl.migrated"]);
    assert!(rows_of(&directory.path().join("kept.parquet")) > 0);
    let told = migration_lines(&process);
    assert!(told.len() >= 4 && told[0].starts_with("reading the legacy pickle as data"), "{told:?}");
    assert!(told.last().unwrap().starts_with("done"), "{told:?}");
    // Written before anything is answered, so that it survives this.
    process.stop("KILL");
    assert_eq!(std::fs::read(directory.path().join("kept.pkl.migrated")).unwrap(), original());

    std::fs::write(directory.path().join("kept.pkl"), ATTACK).unwrap();
    let process = Process::start(directory.path());
    assert_eq!(window_size(&process), 9);
    assert!(migration_lines(&process).is_empty());
    assert_eq!(names(&directory), ["kept.parquet", "kept.pkl", "kept.pkl.migrated"]);
}

#[test]
fn feeds_after_a_migration_survive_a_kill_and_the_log_is_never_migrated_over() {
    let directory = folder(&original());
    let process = Process::start(directory.path());
    let body = serde_json::json!({ "records": history("ppdb999", 3, |_| 20.0) }).to_string();
    assert_eq!(process.request("POST", "/feed/data").header("X-API-Key", KEY).json(body).send().status, 200);
    process.stop("KILL");
    let process = Process::start(directory.path());
    assert_eq!(window_size(&process), 9 + 3);
    process.stop("KILL");

    // The log alone is a store as well.
    std::fs::remove_file(directory.path().join("kept.parquet")).unwrap();
    std::fs::write(directory.path().join("kept.pkl"), original()).unwrap();
    let output = migrate(&directory, &["--to", "kept.parquet"]);
    assert_eq!(output.status.code(), Some(1), "{}", log_of(&output));
    let process = Process::start(directory.path());
    assert_eq!(window_size(&process), 3);
    assert!(migration_lines(&process).is_empty());
    assert_eq!(names(&directory), ["kept.pkl", "kept.pkl.migrated"]);
}

#[test]
fn a_pickle_that_is_not_plain_data_is_set_aside_at_start() {
    let directory = folder(ATTACK);
    let process = Process::start(directory.path());
    assert_eq!(window_size(&process), 0);
    let told = migration_lines(&process).join("\n");
    assert!(told.contains("failed, starting without it") && told.contains("names `posix.system`"), "{told}");
    assert_eq!(names(&directory), ["kept.pkl.backup"]);
    assert_eq!(std::fs::read(directory.path().join("kept.pkl.backup")).unwrap(), ATTACK);
    let (code, _) = process.stop("TERM");
    assert_eq!(code, Some(0));
    assert_eq!(names(&directory), ["kept.pkl.backup"]);
}

#[test]
fn a_corrupt_checkpoint_is_never_replaced_by_a_pickle() {
    let directory = folder(&original());
    std::fs::write(directory.path().join("kept.parquet"), "damaged").unwrap();
    for _ in 0..2 {
        let process = Process::start(directory.path());
        assert_eq!(window_size(&process), 0);
        assert!(!migration_lines(&process).iter().any(|line| line.starts_with("reading")));
        assert_eq!(process.stop("TERM").0, Some(0));
        let names = names(&directory);
        assert_eq!((names.len(), names[1].as_str()), (2, "kept.pkl"), "{names:?}");
    }
}

#[test]
fn the_command_says_what_it_did() {
    let directory = folder(&original());
    let output = migrate(&directory, &["--to", "kept.parquet"]);
    let log = log_of(&output);
    assert!(output.status.success(), "{log}");
    let told: Vec<_> = log.lines().filter_map(|line| Some(line.split_once("[MIGRATION] ")?.1)).collect();
    assert!(told.len() >= 4 && told[0].starts_with("reading the legacy pickle as data"), "{log}");
    assert!(told.last().unwrap().starts_with("done moved_to=kept.pkl.migrated"), "{log}");
    assert_eq!(names(&directory), ["kept.parquet", "kept.pkl.migrated"]);

    let output = migrate(&directory, &["--from", "kept.pkl.migrated", "--to", "kept.parquet"]);
    assert_eq!(output.status.code(), Some(1));
    let log = log_of(&output);
    assert!(log.contains("`kept.parquet` cannot be used: it or a log of it exists already"), "{log}");
    assert_eq!(names(&directory), ["kept.parquet", "kept.pkl.migrated"]);

    let output = migrate(&directory, &["--from", "kept.pkl.migrated", "--to", "other.parquet"]);
    assert!(output.status.success(), "{}", log_of(&output));
    let rows = |name: &str| rows_of(&directory.path().join(name));
    assert_eq!(rows("other.parquet"), rows("kept.parquet"));
}

#[test]
fn the_command_fails_in_one_line_and_keeps_the_file() {
    let directory = folder(ATTACK);
    let output = migrate(&directory, &["--from", "kept.pkl", "--to", "kept.parquet"]);
    assert_eq!(output.status.code(), Some(1));
    let log = log_of(&output);
    let line = log.lines().find(|line| line.starts_with("tft-service: ")).unwrap();
    insta::assert_snapshot!(line, @"tft-service: `kept.pkl` cannot be migrated: checkpoint `kept.pkl`: names `posix.system` at byte 17, which is not on the list of plain data; nothing in a pickle is ever called");
    assert_eq!(names(&directory), ["kept.pkl.backup"]);
    let output = migrate(&directory, &["--from", "absent.pkl", "--to", "kept.parquet"]);
    let log = log_of(&output);
    let line = log.lines().find(|line| line.starts_with("tft-service: ")).unwrap();
    insta::assert_snapshot!(line, @"tft-service: `absent.pkl` cannot be migrated: checkpoint `absent.pkl`: opening it failed: No such file or directory (os error 2)");
    assert_eq!(names(&directory), ["kept.pkl.backup"]);
}

#[test]
fn without_names_the_default_ones_are_meant() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("inference_rolling_window.pkl"), original()).unwrap();
    let output = migrate(&directory, &[]);
    assert!(output.status.success(), "{}", log_of(&output));
    let expected = ["inference_rolling_window.parquet", "inference_rolling_window.pkl.migrated"];
    assert_eq!(names(&directory), expected);
}

#[test]
fn a_pickle_that_cannot_be_saved_stays_where_it_is() {
    let directory = folder(&original());
    let output = migrate(&directory, &["--from", "kept.pkl", "--to", "no/such/folder/kept.parquet"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(names(&directory), ["kept.pkl"]);
}
