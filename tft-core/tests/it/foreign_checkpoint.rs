//! Parquet files that other programs wrote load as the same window, or are refused with a reason.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tft_core::schema::Schema;
use tft_core::store::{self, LoadReport};
use tft_core::time::Timestamp;
use tft_core::{Error, RollingWindow, WindowConfig};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoint/foreign")
}

fn load(name: &str) -> Result<(RollingWindow, LoadReport), Error> {
    store::load(&folder().join(name), Schema::server_metrics(), WindowConfig::default())
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every value of every server, and what is known of it; counters are not, as not every writer keeps footer keys.
fn content(window: &RollingWindow) -> String {
    let mut text = String::new();
    for server in window.servers() {
        writeln!(text, "{} {} {:?}", server.name(), server.profile(), server.status()).unwrap();
        for step in server.oldest_step().0..=server.newest_step().0 {
            let step = tft_core::time::Step(step);
            let values: Vec<_> = (0..15).map(|metric| server.value(metric, step)).collect();
            writeln!(text, "{step:?} {values:?}").unwrap();
        }
    }
    text
}

#[test]
fn files_of_other_programs_are_the_same_window() {
    let (expected, _) = load("text.parquet").unwrap();
    assert_eq!((expected.server_count(), expected.step_count(), expected.tick_count()), (3, 9, 8));
    let mut failures = Vec::new();
    let mut loaded = 0;
    for name in names().iter().filter(|name| !name.starts_with("refused_")) {
        match load(name) {
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                failures.push(format!("{name}: {error}: {source:?}"));
            }
            Ok((window, report)) => {
                if (report.rows, report.rows_dropped, report.values_out_of_range) != (24, 0, 0) {
                    failures.push(format!("{name}: {report:?}"));
                }
                if content(&window) != content(&expected) {
                    failures.push(format!("{name}: {} is not {}", content(&window), content(&expected)));
                }
                loaded += 1;
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(loaded, 49);
}

#[test]
fn what_is_refused_is_named_with_its_column() {
    let mut messages = Vec::new();
    for name in names().iter().filter(|name| name.starts_with("refused_")) {
        let error = load(name).unwrap_err();
        let message = error.to_string().replace(&folder().display().to_string(), "");
        messages.push(format!("{:?}: {message}", error.kind()));
    }
    insta::assert_snapshot!(messages.join("\n"), @r"
    InvalidInput: checkpoint `/refused_compressed_brotli.parquet`: column `timestamp` is compressed with BROTLI, readable are none, snappy and zstd
    InvalidInput: checkpoint `/refused_compressed_gzip.parquet`: column `timestamp` is compressed with GZIP, readable are none, snappy and zstd
    InvalidInput: checkpoint `/refused_compressed_lz4.parquet`: column `timestamp` is compressed with LZ4_RAW, readable are none, snappy and zstd
    InvalidInput: checkpoint `/refused_decimal.parquet`: column `back_close_wait` has the type Decimal128(20, 0), expected is a number
    InvalidInput: checkpoint `/refused_delta_byte_array.parquet`: column `server_name` has the encoding 7, a delta encoding of text, which is not read
    InvalidInput: checkpoint `/refused_delta_length_byte_array.parquet`: column `server_name` has the encoding 6, a delta encoding of text, which is not read
    InvalidInput: checkpoint `/refused_duckdb_text_v2.parquet`: column `timestamp` has the encoding 6, a delta encoding of text, which is not read
    ");
}

#[test]
fn the_file_s_own_time_of_saving_is_told() {
    let (_, report) = load("text.parquet").unwrap();
    assert_eq!(report.saved_at, Some(Timestamp::parse("2025-10-11T08:11:50.654321").unwrap()));
}
