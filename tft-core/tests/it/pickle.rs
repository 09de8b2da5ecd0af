//! Pickles of the original system load, in every form that Python gives them, as its Parquet file does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tft_core::schema::Schema;
use tft_core::store::{self, LoadReport, pickle};
use tft_core::time::Timestamp;
use tft_core::{Error, ErrorKind, RollingWindow, WindowConfig};

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pickle").join(name)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<(RollingWindow, LoadReport), Error> {
    pickle::decode(bytes, Schema::server_metrics(), WindowConfig::default())
}

fn load(path: &Path) -> Result<(RollingWindow, LoadReport), Error> {
    pickle::load(path, Schema::server_metrics(), WindowConfig::default())
}

/// What a checkpoint of the window would hold.
fn content(window: &RollingWindow) -> Vec<u8> {
    store::encode(window, Timestamp::from_millis(0)).unwrap()
}

#[test]
fn every_form_is_the_window_of_the_original_s_parquet_file() {
    let path = fixture("window.parquet");
    let (expected, _) = store::load(&path, Schema::server_metrics(), WindowConfig::default()).unwrap();
    assert_eq!((expected.server_count(), expected.step_count(), expected.tick_count()), (3, 9, 8));
    let mut loaded = 0;
    for entry in std::fs::read_dir(fixture("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension() != Some("pkl".as_ref()) || name.starts_with("refused") {
            continue;
        }
        let (window, report) = load(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let rows = if name == "same_row_twice" { 48 } else { 24 };
        assert_eq!((report.rows, report.rows_dropped, report.values_out_of_range), (rows, 0, 0), "{name}");
        assert_eq!((report.statuses_unknown, report.missing_metrics.len()), (0, 12), "{name}");
        let saved_at = Timestamp::parse("2025-10-11T08:11:50.654321").unwrap();
        let start = Timestamp::parse("2025-10-11T08:00:00.123456").unwrap();
        assert!([Some(saved_at), Some(start)].contains(&report.saved_at), "{name}");
        assert_eq!(content(&window), content(&expected), "{name}");
        loaded += 1;
    }
    assert_eq!(loaded, 52);
}

#[test]
fn what_python_would_build_and_is_no_plain_data_is_named_with_its_place() {
    let message = |name: &str| {
        let error = load(&fixture(name)).unwrap_err();
        assert!(error.is_invalid_input());
        error.to_string().replace(&fixture("").display().to_string(), "")
    };
    let names = ["refused_named_zone.pkl", "refused_data_frame.pkl", "refused_array.pkl"];
    insta::assert_snapshot!(names.map(message).join("\n"), @r"
    checkpoint `refused_named_zone.pkl`: has a local time at byte 173 whose zone is only named, and there is no time zone database
    checkpoint `refused_data_frame.pkl`: names `pandas.DataFrame` at byte 52, which is not on the list of plain data; nothing in a pickle is ever called
    checkpoint `refused_array.pkl`: names `numpy._core.multiarray._reconstruct` at byte 196, which is not on the list of plain data; nothing in a pickle is ever called
    ");
}

/// Python's literals in protocol 0, which is text; with an instruction per entry, as Python writes it.
fn protocol_0(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut text = "(d".to_owned();
    for (key, value) in entries {
        write!(text, "V{key}\n{value}s").unwrap();
    }
    text.into_bytes()
}

fn row(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut row: BTreeMap<_, _> =
        [("timestamp", "V2026-01-05T10:00:00\n"), ("server_name", "Vdb1\n"), ("load", "F1.5\n")].into();
    for &(key, value) in entries {
        if value.is_empty() {
            row.remove(key)
        } else {
            row.insert(key, value)
        };
    }
    let row = protocol_0(&row.into_iter().collect::<Vec<_>>());
    let mut bytes = b"(dVrolling_window\n(l".to_vec();
    bytes.extend(row);
    bytes.extend(b"as.");
    bytes
}

#[test]
fn a_row_that_does_not_fit_is_named_with_its_field() {
    let message = |entries: &[(&str, &str)]| {
        let error = decode(&row(entries)).unwrap_err();
        format!("{:?}: {error}", error.kind())
    };
    assert_eq!(decode(&row(&[])).unwrap().1.rows, 1);
    let messages = [
        message(&[("timestamp", "")]),
        message(&[("timestamp", "N")]),
        message(&[("timestamp", "Vlater\n")]),
        message(&[("timestamp", "F1e300\n")]),
        message(&[("timestamp", "(l")]),
        message(&[("server_name", "")]),
        message(&[("server_name", "I5\n")]),
        message(&[("server_name", "V../etc\n")]),
        message(&[("profile", "Va b\n")]),
        message(&[("status", "I1\n")]),
        message(&[("load", "V1.5\n")]),
        message(&[("load", "I01\n")]),
        message(&[("load", "(t")]),
        message(&[("load", "")]),
        message(&[("load_average", "F1\n")]),
        message(&[("status", "VOK\n"), ("state", "VOK\n")]),
        message(&[("hostname", "Vdb1\n")]),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    Corrupt: checkpoint: column `timestamp` has no value in row 0
    Corrupt: checkpoint: column `timestamp` has no value in row 0
    Corrupt: checkpoint: column `timestamp` has `later` in row 0, expected is a time
    Corrupt: checkpoint: column `timestamp` has `1e300` in row 0, expected is a time
    Corrupt: checkpoint: column `timestamp` has `a list` in row 0, expected is a time
    Corrupt: checkpoint: column `server_name` has no value in row 0
    Corrupt: checkpoint: column `server_name` has `5` in row 0, expected is a server's name
    Corrupt: checkpoint: column `server_name` has `../etc` in row 0, expected is a server's name
    Corrupt: checkpoint: column `profile` has `a b` in row 0, expected is a profile
    Corrupt: checkpoint: column `status` has `1` in row 0, expected is text
    Corrupt: checkpoint: column `load` has `1.5` in row 0, expected is a number
    Corrupt: checkpoint: column `load` has `True` in row 0, expected is a number
    Corrupt: checkpoint: column `load` has `a tuple` in row 0, expected is a number
    InvalidInput: checkpoint: has no column for any of the schema's 15 metrics
    InvalidInput: checkpoint: has column `load_average`, which is another name of column `load_average`
    InvalidInput: checkpoint: has column `status`, which is another name of column `status`
    InvalidInput: checkpoint: has column `server_name`, which is another name of column `server_name`
    ");
}

#[test]
fn what_the_schema_does_not_take_is_missing_and_counted() {
    let report = |entries: &[(&str, &str)]| decode(&row(entries)).unwrap().1;
    let huge = "L123456789012345678901234567890L\n";
    let odd = report(&[("load", huge), ("cpu_user_pct", "F250\n"), ("mem_used_pct", "F-inf\n")]);
    assert_eq!((odd.values_out_of_range, odd.rows_dropped), (3, 1));
    let odd = report(&[("status", "Vasleep\n"), ("notes", "(lVx\na"), ("future", huge)]);
    assert_eq!((odd.statuses_unknown, odd.rows_dropped, odd.values_out_of_range), (1, 0, 0));
    let odd = report(&[("status", "N"), ("profile", "Fnan\n")]);
    assert_eq!((odd.statuses_unknown, odd.rows_dropped), (0, 0));
}

#[test]
fn a_dict_that_is_no_window_is_refused() {
    let message = |bytes: &[u8]| {
        let error = decode(bytes).unwrap_err();
        format!("{:?}: {error}", error.kind())
    };
    let with = |key: &str, value: &str| {
        let mut bytes = protocol_0(&[("rolling_window", "(l"), (key, value)]);
        bytes.push(b'.');
        bytes
    };
    let messages = [
        message(b"N."),
        message(b"(l."),
        message(b"(d."),
        message(&with("rolling_window", "I5\n")),
        message(&with("rolling_window", "(lI5\na")),
        message(&with("tick_count", "I-1\n")),
        message(&with("tick_count", "Vmany\n")),
        message(&with("server_timesteps", "(l")),
        message(&with("server_timesteps", "(dVa\nF1.5\ns")),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    InvalidInput: checkpoint: is None, expected is a dict with `rolling_window`
    InvalidInput: checkpoint: is a list, expected is a dict with `rolling_window`
    InvalidInput: checkpoint: has no key `rolling_window`
    InvalidInput: checkpoint: key `rolling_window` has 5, expected is a list
    InvalidInput: checkpoint: row 0 is 5, expected is a dict
    InvalidInput: checkpoint: key `tick_count` has -1, expected is a number from 0
    InvalidInput: checkpoint: key `tick_count` has many, expected is a number from 0
    InvalidInput: checkpoint: key `server_timesteps` has a list, expected is a dict of numbers
    InvalidInput: checkpoint: key `server_timesteps` has 1.5, expected is a number from 0
    ");
    let (_, report) = decode(&with("timestamp", "Vsome day\n")).unwrap();
    assert_eq!(report.saved_at, None);
}

#[test]
fn a_window_of_too_few_servers_is_a_limit() {
    let config = WindowConfig { servers_max: 2, ..WindowConfig::default() };
    let error = pickle::load(&fixture("protocol_4.pkl"), Schema::server_metrics(), config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

/// A sample as Python holds it.
#[derive(Debug, Clone)]
struct Sample {
    second: i64,
    server: u8,
    values: BTreeMap<usize, f64>,
    status: Option<u8>,
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let value = prop_oneof![4 => -5.0..105.0, 1 => Just(f64::NAN), 1 => any::<f64>()];
    let values = prop::collection::btree_map(0..15_usize, value, 1..6);
    let sample = (0..3000_i64, 0..4_u8, values, prop::option::of(0..3_u8));
    let sample =
        sample.prop_map(|(second, server, values, status)| Sample { second, server, values, status });
    prop::collection::vec(sample, 1..40)
}

/// How the bytes are written; every choice that Python has.
#[derive(Debug, Clone, Copy)]
struct Form {
    is_text: bool,
    is_memoized: bool,
    is_one_by_one: bool,
}

struct Pickler {
    form: Form,
    bytes: Vec<u8>,
    memo: BTreeMap<String, u32>,
}

impl Pickler {
    fn text(&mut self, text: &str) {
        if let Some(&key) = self.memo.get(text).filter(|_| self.form.is_memoized) {
            self.bytes.push(b'j');
            self.bytes.extend(key.to_le_bytes());
            return;
        }
        if self.form.is_text {
            self.bytes.extend(format!("V{text}\n").bytes());
        } else {
            self.bytes.extend([0x8c, text.len() as u8]);
            self.bytes.extend(text.bytes());
        }
        let key = self.memo.len() as u32 * 3;
        self.memo.insert(text.to_owned(), key);
        self.bytes.push(b'r');
        self.bytes.extend(key.to_le_bytes());
    }

    fn float(&mut self, value: f64) {
        if self.form.is_text {
            self.bytes.extend(format!("F{value}\n").bytes());
        } else {
            self.bytes.push(b'G');
            self.bytes.extend(value.to_be_bytes());
        }
    }

    fn row(&mut self, schema: &Schema, sample: &Sample) {
        self.bytes.extend(if self.form.is_one_by_one { &b"}"[..] } else { &b"}("[..] });
        let mut entry = |name: &str, value: &mut dyn FnMut(&mut Self)| {
            self.text(name);
            value(self);
            if self.form.is_one_by_one {
                self.bytes.push(b's');
            }
        };
        let at = Timestamp::from_millis(1_767_607_200_000 + 1000 * sample.second).to_string();
        entry("timestamp", &mut |pickler| pickler.text(&at));
        entry("server_name", &mut |pickler| pickler.text(&format!("server{}", sample.server)));
        for (&metric, &value) in &sample.values {
            entry(&schema.metrics()[metric].name, &mut |pickler| pickler.float(value));
        }
        if let Some(status) = sample.status {
            let word = ["OK", "offline", "?"][usize::from(status)];
            entry("state", &mut |pickler| pickler.text(word));
        }
        if !self.form.is_one_by_one {
            self.bytes.push(b'u');
        }
    }
}

fn pickled(samples: &[Sample], form: Form) -> Vec<u8> {
    let schema = Schema::server_metrics();
    let mut pickler = Pickler { form, bytes: b"}".to_vec(), memo: BTreeMap::new() };
    pickler.text("rolling_window");
    pickler.bytes.push(b']');
    for sample in samples {
        pickler.row(&schema, sample);
        pickler.bytes.push(b'a');
    }
    pickler.bytes.extend(b"s.");
    pickler.bytes
}

/// The same samples taken as records, the oldest first.
fn fed(samples: &[Sample]) -> RollingWindow {
    let schema = Schema::server_metrics();
    let mut window = RollingWindow::new(schema.clone(), WindowConfig::default()).unwrap();
    let mut samples: Vec<_> = samples.iter().collect();
    samples.sort_by_key(|sample| sample.second);
    for sample in samples {
        let at = Timestamp::from_millis(1_767_607_200_000 + 1000 * sample.second);
        let mut record = tft_core::Record::new(&schema, &format!("server{}", sample.server), at).unwrap();
        for (&metric, &value) in &sample.values {
            drop(record.set(metric, value));
        }
        let word = sample.status.map(|status| ["OK", "offline", "?"][usize::from(status)]);
        if let Some(word) = word.filter(|word| *word != "?") {
            record = record.with_status(word).unwrap();
        }
        window.ingest(&[record], at).unwrap();
    }
    window
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pickle_is_what_a_feed_of_its_rows_would_be(
        samples in samples(),
        is_text: bool,
        is_memoized: bool,
        is_one_by_one: bool,
    ) {
        let form = Form { is_text, is_memoized, is_one_by_one };
        let (window, report) = decode(&pickled(&samples, form)).unwrap();
        prop_assert_eq!(report.rows, samples.len() as u64);
        let fed = fed(&samples);
        prop_assert_eq!(window.step_count(), fed.step_count());
        for (server, expected) in window.servers().zip(fed.servers()) {
            prop_assert_eq!(server.name(), expected.name());
            for step in expected.oldest_step().0..=expected.newest_step().0 {
                let step = tft_core::time::Step(step);
                for metric in 0..15 {
                    let values = (server.value(metric, step), expected.value(metric, step));
                    prop_assert_eq!(values.0, values.1, "{} {:?} {}", server.name(), step, metric);
                }
            }
        }
    }
}
