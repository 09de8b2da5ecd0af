//! A checkpoint comes back as it was saved, files of the original system load, and damage is an error.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Encoding;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use tft_core::schema::Schema;
use tft_core::store::{self, LoadReport};
use tft_core::time::{Step, StepLength, Timestamp};
use tft_core::{Error, ErrorKind, Record, RollingWindow, WindowConfig};

use crate::window_properties::{Pair, config, operations, schema};

fn now() -> Timestamp {
    Timestamp::parse("2026-01-05T12:00:00Z").unwrap()
}

/// A window with a few servers, gaps and steps that still take samples.
fn sample_window() -> RollingWindow {
    let schema = Schema::server_metrics();
    let mut window = RollingWindow::new(schema.clone(), WindowConfig::default()).unwrap();
    for step in (0..40).filter(|step| step % 7 != 0) {
        for (index, server) in ["ppdb001", "ppml0001", "web.eu:80"].into_iter().enumerate() {
            let at = StepLength::FIVE_MINUTES.start_of(Step(step)).plus_millis(1000 * index as i64);
            let record = Record::new(&schema, server, at).unwrap();
            let record = record.with("cpu_user", f64::from(step as i32) + index as f64 / 3.0).unwrap();
            let record = if index == 0 { record.with_status("OK").unwrap() } else { record };
            window.ingest(&[record], now()).unwrap();
        }
    }
    window
}

fn encode(window: &RollingWindow) -> Vec<u8> {
    store::encode(window, now()).unwrap()
}

fn decode(bytes: Vec<u8>) -> Result<(RollingWindow, LoadReport), Error> {
    store::decode(bytes, Schema::server_metrics(), WindowConfig::default())
}

fn file(columns: Vec<(&str, ArrayRef)>, keys: &[(&str, &str)]) -> Vec<u8> {
    file_with(columns, keys, None)
}

fn file_with(
    columns: Vec<(&str, ArrayRef)>,
    keys: &[(&str, &str)],
    properties: Option<WriterProperties>,
) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), properties).unwrap();
    writer.write(&batch).unwrap();
    for &(key, value) in keys {
        writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value.to_owned()));
    }
    writer.close().unwrap();
    bytes
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

/// The columns of a small valid file.
fn columns() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("timestamp", texts(&["2026-01-05T10:00:00", "2026-01-05T10:05:00+00:00"])),
        ("server_name", texts(&["ppdb001", "ppdb001"])),
        ("state", texts(&["healthy", "WARN"])),
        ("cpu_user_pct", floats(&[12.5, 13.5])),
    ]
}

fn with(name: &'static str, column: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
    let mut columns = columns();
    columns.retain(|(other, _)| *other != name);
    columns.push((name, column));
    columns
}

fn without(name: &str) -> Vec<(&'static str, ArrayRef)> {
    columns().into_iter().filter(|(other, _)| *other != name).collect()
}

/// A file with nulls and no checksum.
fn foreign_file() -> Vec<u8> {
    let rows = 0..200_i64;
    let value = |row: i64| (row % 3 != 0).then_some((row % 100) as f64);
    let times: Int64Array = rows.clone().map(|row| 1_767_607_200 + 60 * row).collect();
    let names: StringArray = rows.clone().map(|row| Some(format!("ppdb{}", row % 5))).collect();
    let values: Float64Array = rows.map(value).collect();
    let columns: Vec<(_, ArrayRef)> =
        vec![("timestamp", Arc::new(times)), ("server_name", Arc::new(names)), ("load", Arc::new(values))];
    file(columns, &[])
}

type Flips = Vec<(prop::sample::Index, u8)>;

fn flips() -> impl Strategy<Value = Flips> {
    prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..8)
}

fn flipped(mut bytes: Vec<u8>, flips: &Flips) -> Vec<u8> {
    for (index, flip) in flips {
        let index = index.index(bytes.len());
        bytes[index] ^= flip;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restart_changes_nothing(operations in operations(), restart_every in 1_usize..40) {
        let mut window = RollingWindow::new(schema(), config()).unwrap();
        let mut pair = Pair::default();
        for chunk in operations.chunks(restart_every) {
            for operation in chunk {
                pair.apply(&mut window, operation);
            }
            let bytes = encode(&window);
            let (loaded, report) = store::decode(bytes.clone(), schema(), config()).unwrap();
            prop_assert_eq!(report.rows_dropped + report.values_out_of_range, 0);
            prop_assert_eq!(loaded.tick_count(), window.tick_count());
            prop_assert_eq!(encode(&loaded), bytes);
            window = loaded;
        }
        pair.check(&window);
    }

    #[test]
    fn flipped_bytes_never_panic(flips in flips()) {
        drop(decode(flipped(encode(&sample_window()), &flips)));
    }

    #[test]
    fn flipped_bytes_of_a_foreign_file_never_panic(flips in flips()) {
        drop(decode(flipped(foreign_file(), &flips)));
    }
}

#[test]
fn a_saved_window_is_replaced_as_a_whole_and_loads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    store::save(
        &RollingWindow::new(Schema::server_metrics(), WindowConfig::default()).unwrap(),
        &path,
        now(),
    )
    .unwrap();
    let window = sample_window();
    let saved = store::save(&window, &path, now()).unwrap();
    assert_eq!((saved.rows, saved.bytes), (3 * 34, std::fs::metadata(&path).unwrap().len()));
    let (loaded, report) = store::load(&path, Schema::server_metrics(), WindowConfig::default()).unwrap();
    assert_eq!((report.rows, report.saved_at, report.format_version.as_str()), (102, Some(now()), "1.2"));
    assert_eq!(encode(&loaded), encode(&window));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoint").join(name)
}

#[test]
fn files_of_former_versions_load_for_ever() {
    for version in ["1.1", "1.2"] {
        let path = fixture(&format!("written_{}.parquet", version.replace('.', "_")));
        let (window, report) = store::load(&path, Schema::server_metrics(), WindowConfig::default()).unwrap();
        assert_eq!((report.rows, report.rows_dropped, report.format_version.as_str()), (102, 0, version));
        assert_eq!(encode(&window), encode(&sample_window()), "{version}");
    }
}

#[test]
fn a_changed_byte_among_the_rows_is_found_in_files_of_every_version() {
    for name in ["written_1_1.parquet", "written_1_2.parquet"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        // Most of what stands before the footer; its length is at the end.
        let footer_bytes = u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
        for at in (4..bytes.len() - 8 - footer_bytes).step_by(7) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let error = decode(changed).unwrap_err();
            assert!(error.is_corrupt(), "{name}, byte {at}: {error}");
            assert!(error.to_string().contains("checksum"), "{name}, byte {at}: {error}");
        }
    }
}

#[test]
#[ignore = "writes the fixture of the version that is written now"]
fn write_the_fixture() {
    std::fs::write(fixture("written_1_2.parquet"), encode(&sample_window())).unwrap();
}

#[test]
fn an_empty_window_loads() {
    let window = RollingWindow::new(Schema::server_metrics(), WindowConfig::default()).unwrap();
    let (loaded, report) = decode(encode(&window)).unwrap();
    assert_eq!((loaded.server_count(), report.rows), (0, 0));
}

#[test]
fn files_of_the_original_load() {
    for name in ["original_1_0.parquet", "original_1_0_datetime.parquet"] {
        let (window, report) =
            store::load(&fixture(name), Schema::server_metrics(), WindowConfig::default()).unwrap();
        assert_eq!((report.rows, report.rows_dropped, report.format_version.as_str()), (390, 0, "1.0"));
        assert_eq!((window.server_count(), window.tick_count(), window.step_count()), (3, 130, 9), "{name}");
        let server = window.server("ppml0001").unwrap();
        assert_eq!((server.samples_accepted(), server.profile().as_str()), (130, "ml_compute"));
        // The step from 08:05: ticks 60 to 119, as the first sample is at 08:00:00.123.
        let step = server.newest_step().plus(-1);
        assert_eq!(server.value(0, step), Some(18.95), "{name}");
        assert_eq!(server.value(10, step), Some(89.5));
        assert_eq!(server.value(5, step), Some(50.0));
        let status = server.status().map(|status| window.schema().statuses().name(status));
        assert_eq!(status, Some("heavy_load"));
        assert_eq!(report.missing_metrics.len(), 12);
    }
}

/// Also the corpus of the fuzz target: each encoding and compression that pyarrow writes by itself.
#[test]
fn files_of_other_writers_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/checkpoint");
    let mut saved = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let (window, report) = decode(std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        assert_eq!((report.rows, report.rows_dropped, report.missing_metrics.len()), (12, 0, 12));
        let server = window.server("web2").unwrap();
        assert_eq!(server.profile().as_str(), "web_api");
        assert!(server.value(10, server.newest_step()) >= Some(10.0));
        saved.push(window.step_count());
    }
    assert_eq!(saved.len(), 5);
}

#[test]
fn columns_may_have_other_types_and_aliases() {
    let times: [ArrayRef; 3] = [
        Arc::new(Int64Array::from(vec![1_767_607_200, 1_767_607_500])),
        Arc::new(Int64Array::from(vec![1_767_607_200_000, 1_767_607_500_000])),
        Arc::new(TimestampMillisecondArray::from(vec![1_767_607_200_000, 1_767_607_500_000])),
    ];
    let (expected, _) = decode(file(columns(), &[])).unwrap();
    for time in times {
        let (window, _) = decode(file(with("timestamp", time), &[])).unwrap();
        assert_eq!(encode(&window), encode(&expected));
    }
    let mut renamed = without("server_name");
    renamed.push(("hostname", texts(&["ppdb001", "ppdb001"])));
    renamed.push(("load", Arc::new(Int64Array::from(vec![Some(3), None]))));
    renamed.push(("java_cpu", Arc::new(BooleanArray::from(vec![Some(true), None]))));
    let (window, report) = decode(file(renamed, &[])).unwrap();
    let server = window.server("ppdb001").unwrap();
    assert_eq!(server.value(12, server.oldest_step()), Some(3.0));
    assert_eq!(server.value(12, server.newest_step()), None);
    assert_eq!(server.value(4, server.oldest_step()), Some(1.0));
    assert_eq!(report.missing_metrics.len(), 12);
}

#[test]
fn what_the_schema_does_not_take_is_missing_and_counted() {
    let mut odd = with("cpu_user_pct", floats(&[250.0, f64::NAN]));
    odd.retain(|(name, _)| *name != "state");
    odd.push(("status", texts(&["asleep", "OK"])));
    odd.push(("load", floats(&[1.0, f64::INFINITY])));
    let (window, report) = decode(file(odd, &[])).unwrap();
    assert_eq!((report.values_out_of_range, report.statuses_unknown, report.rows_dropped), (2, 1, 0));
    assert_eq!(window.step_count(), 2);
    let (_, report) = decode(file(with("cpu_user_pct", floats(&[250.0, 1.0])), &[])).unwrap();
    assert_eq!((report.values_out_of_range, report.rows_dropped), (1, 0));
}

#[test]
fn a_file_that_does_not_fit_is_named_with_its_column() {
    let message = |columns, kind| {
        let error = decode(file(columns, &[])).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        error.to_string()
    };
    let input = ErrorKind::InvalidInput;
    let messages = [
        message(without("timestamp"), input),
        message(without("server_name"), input),
        message(without("cpu_user_pct"), input),
        message(with("timestamp", floats(&[1.0, 2.0])), input),
        message(with("server_name", floats(&[1.0, 2.0])), input),
        message(with("state", floats(&[1.0, 2.0])), input),
        message(with("cpu_user_pct", texts(&["1", "2"])), input),
        message(with("load", Arc::new(BinaryArray::from(vec![&b"1"[..], b"2"]))), input),
        message(with("cpu_user", floats(&[1.0, 2.0])), input),
        message(with("status", texts(&["OK", "OK"])), input),
        message(with("server_name", texts(&["ppdb001", "../etc"])), ErrorKind::Corrupt),
        message(with("server_name", Arc::new(StringArray::from(vec![Some("a"), None]))), ErrorKind::Corrupt),
        message(with("timestamp", Arc::new(StringArray::from(vec![None::<&str>; 2]))), ErrorKind::Corrupt),
        message(with("timestamp", texts(&["2026-01-05T10:00:00", "later"])), ErrorKind::Corrupt),
        message(
            with("timestamp", Arc::new(TimestampMillisecondArray::from(vec![0, i64::MAX]))),
            ErrorKind::Corrupt,
        ),
        message(with("profile", texts(&["database", "a b"])), ErrorKind::Corrupt),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    checkpoint: has no column `timestamp`
    checkpoint: has no column `server_name`
    checkpoint: has no column for any of the schema's 15 metrics
    checkpoint: column `timestamp` has the type Float64, expected is a timestamp, text or a 64-bit integer
    checkpoint: column `server_name` has the type Float64, expected is text
    checkpoint: column `state` has the type Float64, expected is text
    checkpoint: column `cpu_user_pct` has the type Utf8, expected is a number
    checkpoint: column `load` has the type Binary, expected is a number
    checkpoint: has column `cpu_user`, which is another name of column `cpu_user_pct`
    checkpoint: has column `status`, which is another name of column `state`
    checkpoint: column `server_name` has `../etc` in row 1, expected is a server's name
    checkpoint: column `server_name` has no value in row 1
    checkpoint: column `timestamp` has no value in row 0
    checkpoint: column `timestamp` has `later` in row 1, expected is a time
    checkpoint: column `timestamp` has `9223372036854775807 ms` in row 1, expected is a time
    checkpoint: column `profile` has `a b` in row 1, expected is a profile
    ");
}

#[test]
fn a_footer_that_does_not_fit_is_named() {
    let message = |key, value| {
        let error = decode(file(columns(), &[(key, value)])).unwrap_err();
        format!("{:?}: {error}", error.kind())
    };
    let messages = [
        message("format_version", "2.0"),
        message("tick_count", "many"),
        message("server_timesteps", "[1]"),
        message("server_timesteps", r#"{"ppdb001":-1}"#),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r#"
    InvalidInput: checkpoint: has format_version `2.0`, readable are 1.x
    Corrupt: checkpoint: footer key `tick_count` has `many`, expected is a number
    Corrupt: checkpoint: footer key `server_timesteps` has `[1]`, expected is a JSON object of numbers
    Corrupt: checkpoint: footer key `server_timesteps` has `{"ppdb001":-1}`, expected is a JSON object of numbers
    "#);
}

#[test]
fn more_servers_than_allowed_are_refused() {
    let config = WindowConfig { servers_max: 2, ..Default::default() };
    let error = store::decode(encode(&sample_window()), Schema::server_metrics(), config).unwrap_err();
    assert!(error.is_limit_exceeded());
    let source = error.source().unwrap();
    insta::assert_snapshot!(format!("{error}: {source}"), @"checkpoint: does not fit into the window: server_name `web.eu:80` is new, and the limit of 2 servers is reached");
}

#[test]
fn a_smaller_window_keeps_the_newest_steps() {
    let config = WindowConfig { steps_per_server: 5, gap_fill_steps_max: 2, ..Default::default() };
    let (window, _) = store::decode(encode(&sample_window()), Schema::server_metrics(), config).unwrap();
    let server = window.server("ppdb001").unwrap();
    assert_eq!((server.oldest_step(), server.newest_step()), (Step(36), Step(39)));
}

#[test]
fn a_truncated_file_is_corrupt_at_any_length() {
    let bytes = encode(&sample_window());
    for length in 0..bytes.len() {
        let error = decode(bytes[..length].to_vec()).unwrap_err();
        assert!(error.is_corrupt(), "{length}: {error}");
    }
}

#[test]
fn a_changed_byte_among_the_rows_is_found() {
    let bytes = encode(&sample_window());
    // The footer takes up the end; its length stands before the last four bytes.
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap());
    let rows = bytes.len() - 8 - length as usize;
    for at in (4..rows).step_by(97) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let error = decode(changed).unwrap_err();
        assert!(error.is_corrupt());
        assert_eq!(error.to_string(), "checkpoint: is damaged: its rows do not match their checksum");
    }
}

/// Found by fuzzing: a page in `DELTA_BYTE_ARRAY` states its number of prefixes, and the reader (parquet 59.3)
/// reserves memory for that many before it has read one. A changed byte asked for 10¹⁷ bytes, and a failed
/// allocation ends the process, which no caller can catch. Such pages are not shown to the reader.
#[test]
fn text_in_delta_encoding_is_refused() {
    for encoding in [Encoding::DELTA_BYTE_ARRAY, Encoding::DELTA_LENGTH_BYTE_ARRAY] {
        let properties = WriterProperties::builder()
            .set_column_dictionary_enabled("server_name".into(), false)
            .set_column_encoding("server_name".into(), encoding)
            .build();
        let error = decode(file_with(columns(), &[], Some(properties))).unwrap_err();
        assert!(error.is_invalid_input());
        let message = error.to_string();
        assert!(message.starts_with("checkpoint: column `server_name` has the encoding "), "{message}");
    }
}

#[test]
fn garbage_is_named_with_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let load = |name: &str| {
        let path = directory.path().join(name);
        let error = store::load(&path, Schema::server_metrics(), WindowConfig::default()).unwrap_err();
        let message = error.to_string().replace(&directory.path().display().to_string(), "DIR");
        format!("{:?}: {message}", error.kind())
    };
    std::fs::write(directory.path().join("empty"), "").unwrap();
    std::fs::write(directory.path().join("text"), "not a checkpoint at all").unwrap();
    std::fs::write(directory.path().join("long"), b"PAR1____\xff\xff\xff\x7fPAR1").unwrap();
    std::fs::write(directory.path().join("list"), b"PAR1\x49\xfc\xff\xff\xff\xff\x07\0\x08\0\0\0PAR1")
        .unwrap();
    let messages = ["empty", "text", "long", "list", "absent"].map(load);
    insta::assert_snapshot!(messages.join("\n"), @r"
    Corrupt: checkpoint `DIR/empty`: is not a Parquet file: it is too short
    Corrupt: checkpoint `DIR/text`: is not a Parquet file: it does not start and end with `PAR1`
    Corrupt: checkpoint `DIR/long`: is not a Parquet file: its footer is longer than itself
    Corrupt: checkpoint `DIR/list`: is damaged at byte 11: a length goes beyond the end
    Io: checkpoint `DIR/absent`: opening it failed
    ");
}

#[test]
fn a_corrupt_file_is_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    std::fs::write(&path, "garbage").unwrap();
    let aside = store::quarantine(&path, now()).unwrap();
    assert_eq!(aside.file_name().unwrap(), "window.parquet.corrupt-20260105T120000Z");
    assert!(!path.exists() && aside.exists());
}
