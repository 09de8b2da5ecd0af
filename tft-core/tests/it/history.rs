//! The history keeps every row that it was given, each once, and finds it again; and of a removed server nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use tft_core::alert::{AlertState, Severity};
use tft_core::history::{
    AlertEvent, EventKind, FleetSnapshot, History, HistoryConfig, HistoryEntry, HistoryRecovery, LifeKey,
    ParquetExport, Query, RiskOf,
};
use tft_core::risk::FleetHealth;
use tft_core::time::Timestamp;
use tft_core::{Error, ErrorKind};

use crate::disk::Disk;

/// 2026-01-05T12:00:00Z.
const NOON_MS: i64 = 1_767_614_400_000;
const DAY_MINUTES: i64 = 24 * 60;

pub(crate) fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(NOON_MS + 60_000 * minute)
}

pub(crate) fn directory() -> &'static Path {
    Path::new("history")
}

pub(crate) fn open(disk: &Disk, config: &HistoryConfig) -> Result<(History, HistoryRecovery), Error> {
    History::open_on(Arc::new(disk.clone()), directory(), config.clone(), at(0))
}

/// A transition of an alert that was first seen at some minute.
pub(crate) fn transition(
    (server, rule): (&str, &str),
    (first_seen, minute): (i64, i64),
    state: AlertState,
) -> AlertEvent {
    let mut event = AlertEvent::default();
    event.at = at(minute);
    event.server = server.into();
    event.profile = "generic".into();
    event.rule = rule.into();
    event.metric = "mem_used_pct".into();
    event.severity = Some(Severity::Critical);
    event.state = Some(state);
    event.since = Some(at(minute));
    event.first_seen = Some(at(first_seen));
    event.quantile = Some(0.9);
    event.threshold = Some(98.0);
    event.predicted_value = Some(99.25);
    event.steps_ahead = Some(3);
    event.minutes_ahead = Some(15.0);
    event.risk_score = Some(71.5);
    event.message = format!("mem_used_pct of {server} is at or above 98 %, 99.2 % at worst.");
    event.labels = BTreeMap::from([("team".to_owned(), "db".to_owned())]);
    event.fingerprint = format!("{server}/{rule}");
    event
}

pub(crate) fn snapshot(minute: i64, top: &[&str]) -> FleetSnapshot {
    let mut snapshot = FleetSnapshot::default();
    snapshot.at = at(minute);
    snapshot.total_servers = 20;
    snapshot.level_counts = [0, 1, 0, 2, 3, 4, 10];
    snapshot.prob_30m = Some(0.25);
    snapshot.p_any_breach_8h = Some(0.5);
    snapshot.avg_risk_score = Some(minute as f64);
    snapshot.max_risk_score = Some(80.5);
    snapshot.top_risks =
        top.iter().map(|&server| RiskOf { server: server.to_owned(), score: 80.5 }).collect();
    snapshot.fleet_health = Some(FleetHealth::Warning);
    snapshot.alerts_firing = 1;
    snapshot
}

fn all() -> Query {
    Query { limit: Query::LIMIT_MAX, ..Query::default() }
}

/// Every row, the oldest first.
pub(crate) fn rows(history: &History) -> Vec<HistoryEntry> {
    let alerts = history.alerts(&all()).unwrap();
    let snapshots = history.snapshots(&all()).unwrap();
    assert_eq!((alerts.next, snapshots.next), (None, None));
    let alerts = alerts.rows.into_iter().map(HistoryEntry::from);
    let mut rows: Vec<_> = alerts.chain(snapshots.rows.into_iter().map(HistoryEntry::from)).collect();
    rows.sort_by_key(HistoryEntry::sequence);
    rows
}

fn names(disk: &Disk) -> Vec<String> {
    disk.image().keys().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn rows_become_parquet_when_the_day_is_over_and_stay_what_they_were() {
    let disk = Disk::default();
    let (history, _) = open(&disk, &HistoryConfig::default()).unwrap();
    let firing = transition(("db-1", "memory"), (0, 1), AlertState::Firing);
    let note = firing.followed_by(EventKind::Note, at(2), ("ada", "=1+1, \"looking\"\nat it")).unwrap();
    let silence = ("17", "server=~db-.*", Some(at(60)));
    let silence = AlertEvent::silence(EventKind::SilenceSet, at(3), silence, ("ada", "")).unwrap();
    let today: [HistoryEntry; 4] =
        [firing.into(), note.into(), silence.into(), snapshot(4, &["db-1"]).into()];
    let appended = history.append(&today).unwrap();
    assert_eq!((appended.first_sequence, appended.count, appended.refused), (1, 4, 0));
    let before = rows(&history);
    insta::assert_snapshot!(names(&disk).join("\n"), @"2026-01-05-00000000000000000001.log");

    history.append(&[snapshot(DAY_MINUTES, &[]).into()]).unwrap();
    insta::assert_snapshot!(names(&disk).join("\n"), @"
    2026-01-05-00000000000000000001.alerts.parquet
    2026-01-05-00000000000000000001.environment.parquet
    2026-01-06-00000000000000000005.log
    ");
    assert_eq!(rows(&history)[..4], before);
    drop(history);
    let (history, recovery) = open(&disk, &HistoryConfig::default()).unwrap();
    assert_eq!((recovery.rows, recovery.rows_replayed, recovery.segments), (5, 1, 2));
    assert_eq!(rows(&history)[..4], before);
    history.maintain(at(3 * DAY_MINUTES)).unwrap();
    assert_eq!((history.stats().segments, history.stats().rows), (3, 5));
    insta::assert_snapshot!(names(&disk).join("\n"), @"
    2026-01-05-00000000000000000001.alerts.parquet
    2026-01-05-00000000000000000001.environment.parquet
    2026-01-06-00000000000000000005.environment.parquet
    2026-01-08-00000000000000000006.log
    ");
}

#[test]
fn a_life_is_followed_from_the_first_sight_to_its_end() {
    let disk = Disk::default();
    let (history, _) = open(&disk, &HistoryConfig::default()).unwrap();
    let event = |minute, state| transition(("db-1", "memory"), (0, minute), state);
    let firing = event(5, AlertState::Firing);
    let note = firing.followed_by(EventKind::Note, at(6), ("ada", "on it")).unwrap();
    let acknowledged = firing.followed_by(EventKind::Acknowledged, at(7), ("ada", "")).unwrap();
    let next_day = event(DAY_MINUTES, AlertState::Resolved);
    let other = transition(("db-2", "memory"), (1, 1), AlertState::Firing);
    for entry in [event(0, AlertState::Pending), other.clone(), firing, note, acknowledged, next_day.clone()]
    {
        history.append(&[entry.into()]).unwrap();
    }
    let (key, open_key) = (next_day.life().unwrap(), other.life().unwrap());
    let unknown = LifeKey { fingerprint: "none".to_owned(), first_seen: at(0) };
    let lives = history.lives([key.clone(), open_key.clone(), unknown.clone()]).unwrap();
    let life = &lives[&key];
    assert_eq!((life.fired_at, life.resolved_at), (Some(at(5)), Some(at(DAY_MINUTES))));
    assert_eq!(life.duration_ms(&key), Some(DAY_MINUTES * 60_000));
    assert_eq!(life.acknowledged, Some((at(7), "ada".to_owned())));
    assert_eq!((life.notes.len(), life.notes[0].text.as_str()), (1, "on it"));
    assert_eq!((lives[&open_key].resolved_at, lives[&open_key].fired_at), (None, Some(at(1))));
    assert_eq!(lives[&unknown], tft_core::history::AlertLife::default());

    let summary = history.summary(Some(at(0)), None).unwrap();
    assert_eq!((summary.events, summary.alerts, summary.resolved, summary.notes), (6, 2, 1, 1));
    assert_eq!((summary.servers_affected, summary.acknowledged), (2, 1));
    assert_eq!(summary.resolution_ms_mean, Some(DAY_MINUTES as f64 * 60_000.0));
    assert_eq!(summary.alerts_by_severity, BTreeMap::from([(Severity::Critical, 2)]));
    assert_eq!(history.summary(Some(at(0)), Some(at(100))).unwrap().resolved, 0);
}

#[test]
fn too_much_is_refused_and_too_old_is_removed_and_both_are_counted() {
    let disk = Disk::default();
    let config = HistoryConfig { retention_days: 2, rows_per_day_max: 3, ..HistoryConfig::default() };
    let (history, _) = open(&disk, &config).unwrap();
    let five: Vec<HistoryEntry> = (0..5).map(|minute| snapshot(minute, &[]).into()).collect();
    let appended = history.append(&five).unwrap();
    assert_eq!((appended.count, appended.refused), (3, 2));
    assert_eq!(history.append(&five[..1]).unwrap().count, 0);
    assert_eq!(history.append(&[snapshot(DAY_MINUTES, &[]).into()]).unwrap().count, 1);
    assert_eq!((history.stats().rows, history.stats().rows_refused), (4, 3));
    assert_eq!(history.maintain(at(2 * DAY_MINUTES)).unwrap().rows, 0);
    let expiry = history.maintain(at(3 * DAY_MINUTES)).unwrap();
    assert_eq!((expiry.rows, expiry.segments_too_old), (3, 1));
    assert_eq!((history.stats().rows, history.stats().rows_expired), (1, 3));

    let mut large = transition(("db-1", "memory"), (0, 3 * DAY_MINUTES), AlertState::Firing);
    large.message = "x".repeat(HistoryEntry::BYTES_MAX);
    assert_eq!(history.append(&[large.into()]).unwrap().refused, 1);
}

#[test]
fn the_oldest_days_go_when_there_are_too_many_bytes() {
    let disk = Disk::default();
    let config = HistoryConfig { bytes_max: 16 << 10, log_bytes_max: 4 << 10, ..HistoryConfig::default() };
    let (history, _) = open(&disk, &config).unwrap();
    for day in 0..20 {
        let minute = day * DAY_MINUTES;
        let event = transition(("db-1", "memory"), (minute, minute), AlertState::Firing);
        history.append(&[event.into(), snapshot(minute, &["db-1"]).into()]).unwrap();
        let stats = history.stats();
        assert!(stats.bytes <= config.bytes_max + config.log_bytes_max, "{stats:?}");
    }
    let stats = history.stats();
    assert!(stats.rows_expired > 0 && stats.oldest.unwrap() > at(0), "{stats:?}");
    assert_eq!(stats.rows + stats.rows_expired, 40);
    let newest = history.alerts(&Query { limit: 1, ..Query::default() }).unwrap().rows;
    assert_eq!(newest[0].at, at(19 * DAY_MINUTES));
}

#[test]
fn limits_and_texts_are_checked() {
    let (history, _) = open(&Disk::default(), &HistoryConfig::default()).unwrap();
    let limit = |limit| history.alerts(&Query { limit, ..Query::default() }).unwrap_err().to_string();
    insta::assert_snapshot!(limit(0), @"history query has the limit 0, allowed are 1 to 10000");
    let firing = transition(("db-1", "memory"), (0, 0), AlertState::Firing);
    let note =
        |note: &str| firing.followed_by(EventKind::Note, at(1), ("ada", note)).unwrap_err().to_string();
    insta::assert_snapshot!(note(""), @"note has 0 bytes, allowed are 1 to 4096");
    insta::assert_snapshot!(note(&"x".repeat(4097)), @"note has 4097 bytes, allowed are 1 to 4096");
    let config = HistoryConfig { retention_days: 0, ..HistoryConfig::default() };
    let refused = open(&Disk::default(), &config).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
    insta::assert_snapshot!(refused, @"history.retention_days is 0, allowed are 1 to 36525");
}

#[test]
fn a_history_is_open_once_at_a_time() {
    let disk = Disk::default();
    let (_history, _) = open(&disk, &HistoryConfig::default()).unwrap();
    let refused = open(&disk, &HistoryConfig::default()).unwrap_err();
    insta::assert_snapshot!(refused, @"history `history` is open in another process");
    assert!(refused.is_unavailable());
}

#[test]
fn a_corrupt_file_is_moved_aside_and_the_others_are_read() {
    let disk = Disk::default();
    let (history, _) = open(&disk, &HistoryConfig::default()).unwrap();
    for day in 0..3 {
        let minute = day * DAY_MINUTES;
        history.append(&[snapshot(minute, &[]).into()]).unwrap();
    }
    let whole = rows(&history);
    drop(history);
    let image = disk.image();
    let damaged = directory().join("2026-01-06-00000000000000000002.environment.parquet");
    let bytes = image[&damaged].len();
    let mut moved_aside = 0;
    for byte in 0..bytes {
        let mut image = image.clone();
        image.get_mut(&damaged).unwrap()[byte] ^= 0x10;
        let disk = Disk::with(&image);
        let (history, recovery) = open(&disk, &HistoryConfig::default()).unwrap();
        let found = rows(&history);
        if found == whole {
            // The footer has bytes that say nothing about rows.
            continue;
        }
        let sequences: Vec<_> = found.iter().map(HistoryEntry::sequence).collect();
        let aside = recovery.set_aside.len() as u64 + history.stats().files_set_aside;
        assert_eq!((sequences, aside > 0), (vec![1, 3], true), "byte {byte}: {recovery:?}");
        assert!(names(&disk).iter().any(|name| name.contains(".corrupt-")), "byte {byte}");
        moved_aside += 1;
    }
    assert!(moved_aside > bytes / 2, "{moved_aside} of {bytes}");
}

#[test]
fn nothing_of_a_removed_server_is_left() {
    let disk = Disk::default();
    let (history, _) = open(&disk, &HistoryConfig::default()).unwrap();
    let mut about_other = transition(("db-2", "memory"), (0, 2), AlertState::Firing);
    about_other.labels.insert("peer".to_owned(), "secret-7".to_owned());
    let note = about_other.followed_by(EventKind::Note, at(2), ("ada", "moved from secret-7.")).unwrap();
    let silence = ("17", "server=\"secret-7\"", None);
    let silence = AlertEvent::silence(EventKind::SilenceSet, at(3), silence, ("ada", "")).unwrap();
    let similar = transition(("secret-70", "memory"), (0, 2), AlertState::Firing);
    for day in 0..2 {
        let minute = day * DAY_MINUTES;
        let event = transition(("secret-7", "memory"), (minute, minute), AlertState::Firing);
        let entries: [HistoryEntry; 6] = [
            event.into(),
            snapshot(minute, &["secret-7", "db-2"]).into(),
            about_other.clone().into(),
            note.clone().into(),
            silence.clone().into(),
            similar.clone().into(),
        ];
        let entries = entries.map(|entry| match entry {
            HistoryEntry::Alert(mut event) => {
                event.at = at(minute);
                event.into()
            }
            entry => entry,
        });
        history.append(&entries).unwrap();
    }
    let removal = history.remove_server("secret-7", at(DAY_MINUTES)).unwrap();
    assert_eq!((removal.rows_removed, removal.rows_changed), (2, 8));
    assert_eq!(removal.set_aside, Vec::<PathBuf>::new());
    let again = history.remove_server("secret-7", at(DAY_MINUTES)).unwrap();
    assert_eq!((again.rows_removed, again.rows_changed), (0, 0));
    drop(history);
    for image in [disk.image()].into_iter().chain(disk.images_now()) {
        for (path, bytes) in &image {
            let mut places = bytes.windows(8).enumerate().filter(|(_, bytes)| *bytes == b"secret-7");
            let only_the_other = places.all(|(at, _)| bytes.get(at + 8) == Some(&b'0'));
            assert!(only_the_other, "{}", path.display());
        }
        let (history, recovery) = open(&Disk::with(&image), &HistoryConfig::default()).unwrap();
        let left = rows(&history);
        assert_eq!((left.len(), recovery.set_aside.len()), (10, 0));
        let text = format!("{left:?}").replace("secret-70", "");
        assert!(!text.contains("secret-7"), "{text}");
        assert!(text.contains("moved from [removed]."));
    }
}

#[test]
fn an_export_in_parts_is_one_file() {
    let rows: Vec<_> = (0..10).map(|minute| snapshot(minute, &["db-1"])).collect();
    let mut export = ParquetExport::new::<FleetSnapshot>().unwrap();
    let mut bytes = Vec::new();
    for part in rows.chunks(4) {
        bytes.extend(export.add(part).unwrap());
    }
    bytes.extend(export.finish().unwrap());
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes));
    let reader = reader.unwrap().build().unwrap();
    let counts: Vec<_> = reader.map(|batch| batch.unwrap().num_rows()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 10);
}

/// What a test does to a history.
#[derive(Debug, Clone)]
enum Step {
    Append { server: usize, rule: usize, minutes: i64, count: usize },
    Snapshot { minutes: i64 },
    Maintain,
    Reopen,
    Remove { server: usize },
}

const SERVERS: [&str; 3] = ["a", "b", "c"];
const RULES: [&str; 2] = ["cpu", "memory"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3_usize, 0..2_usize, -90..900_i64, 1..8_usize).prop_map(|(server, rule, minutes, count)| {
            Step::Append { server, rule, minutes, count }
        }),
        3 => (-90..900_i64).prop_map(|minutes| Step::Snapshot { minutes }),
        1 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
        1 => (0..3_usize).prop_map(|server| Step::Remove { server }),
    ];
    vec(step, 1..40)
}

fn query() -> impl Strategy<Value = Query> {
    let place = (prop::option::of(0..5000_i64), prop::option::of(0..5000_i64), 1..20_usize);
    let about = (prop::option::of(0..3_usize), prop::option::of(0..2_usize));
    (place, about).prop_map(|((from, to, limit), (server, rule))| Query {
        from: from.map(at),
        to: to.map(at),
        limit,
        server: server.map(|server| SERVERS[server].to_owned()),
        rule: rule.map(|rule| RULES[rule].to_owned()),
        ..Query::default()
    })
}

/// The answer of a plain list.
fn expected(model: &[HistoryEntry], query: &Query) -> Vec<AlertEvent> {
    let events = model.iter().rev().filter_map(|entry| match entry {
        HistoryEntry::Alert(event) => Some(event.clone()),
        _ => None,
    });
    let is_asked_for = |event: &AlertEvent| {
        query.from.is_none_or(|from| event.at >= from)
            && query.to.is_none_or(|to| event.at < to)
            && query.server.as_ref().is_none_or(|server| event.server == *server)
            && query.rule.as_ref().is_none_or(|rule| event.rule == *rule)
    };
    events.filter(is_asked_for).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_history_answers_as_a_list_would(steps in steps(), queries in vec(query(), 1..6)) {
        let disk = Disk::default();
        let config = HistoryConfig { log_bytes_max: 4 << 10, ..HistoryConfig::default() };
        let (mut history, _) = open(&disk, &config).unwrap();
        let (mut model, mut minute, mut next): (Vec<HistoryEntry>, i64, u64) = (Vec::new(), 0, 1);
        for step in steps {
            let entries: Vec<HistoryEntry> = match step {
                Step::Append { server, rule, minutes, count } => {
                    minute = (minute + minutes).max(0);
                    let event =
                        transition((SERVERS[server], RULES[rule]), (minute, minute), AlertState::Firing);
                    vec![event.into(); count]
                }
                Step::Snapshot { minutes } => {
                    minute = (minute + minutes).max(0);
                    vec![snapshot(minute, &[]).into()]
                }
                Step::Maintain => {
                    history.maintain(at(minute)).unwrap();
                    vec![]
                }
                Step::Reopen => {
                    drop(history);
                    let opened = open(&disk, &config).unwrap();
                    prop_assert_eq!(opened.1.rows, model.len() as u64);
                    history = opened.0;
                    vec![]
                }
                Step::Remove { server } => {
                    history.remove_server(SERVERS[server], at(minute)).unwrap();
                    model.retain(|entry| {
                        !matches!(entry, HistoryEntry::Alert(event) if event.server == SERVERS[server])
                    });
                    vec![]
                }
            };
            history.append(&entries).unwrap();
            for mut entry in entries {
                match &mut entry {
                    HistoryEntry::Alert(event) => event.sequence = next,
                    HistoryEntry::Snapshot(snapshot) => snapshot.sequence = next,
                    _ => {}
                }
                next += 1;
                model.push(entry);
            }
        }
        prop_assert_eq!(rows(&history), model.clone());
        for query in queries {
            let (mut found, mut before) = (Vec::new(), None);
            loop {
                let page = history.alerts(&Query { before, ..query.clone() }).unwrap();
                prop_assert!(page.rows.len() <= query.limit);
                found.extend(page.rows);
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            prop_assert_eq!(found, expected(&model, &query));
        }
    }
}

/// The files that version 1 wrote stay readable.
#[test]
fn the_first_version_of_the_history_opens() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/history-v1");
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&fixture).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    let (history, recovery) =
        History::open(directory.path(), HistoryConfig::default(), at(2 * DAY_MINUTES)).unwrap();
    assert_eq!((recovery.rows, recovery.rows_replayed, recovery.segments), (7, 3, 2));
    assert_eq!((recovery.bytes_dropped, recovery.rows_lost), (5, 0));
    assert_eq!(rows(&history), fixture_rows());
}

fn fixture_rows() -> Vec<HistoryEntry> {
    let firing = transition(("db-1", "memory"), (0, 1), AlertState::Firing);
    let mut escalated = firing.clone();
    escalated.previous_state = Some(AlertState::Firing);
    escalated.current_value = Some(-0.5);
    let note = firing.followed_by(EventKind::Note, at(3), ("ada", "on it")).unwrap();
    let silence = ("17", "server=~db-.*", Some(at(60)));
    let silence =
        AlertEvent::silence(EventKind::SilenceSet, at(DAY_MINUTES), silence, ("ada", "dé")).unwrap();
    let resolved = transition(("db-1", "memory"), (0, DAY_MINUTES + 1), AlertState::Resolved);
    let rows: [HistoryEntry; 7] = [
        firing.into(),
        escalated.into(),
        note.into(),
        snapshot(4, &["db-1", "web-2"]).into(),
        silence.into(),
        resolved.into(),
        snapshot(DAY_MINUTES + 2, &[]).into(),
    ];
    let mut rows = rows.to_vec();
    for (sequence, row) in (1..).zip(&mut rows) {
        match row {
            HistoryEntry::Alert(event) => event.sequence = sequence,
            HistoryEntry::Snapshot(snapshot) => snapshot.sequence = sequence,
            _ => {}
        }
    }
    rows
}

/// Writes the fixture; it is never written again for the same version.
#[test]
#[ignore = "writes the fixture"]
fn write_the_fixture() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/history-v1");
    std::fs::create_dir(&fixture).unwrap();
    let (history, _) = History::open(&fixture, HistoryConfig::default(), at(0)).unwrap();
    for row in fixture_rows() {
        history.append(&[row]).unwrap();
    }
    drop(history);
    std::fs::remove_file(fixture.join(".lock")).unwrap();
    // A row that was being written when the process ended.
    let log = std::fs::read_dir(&fixture).unwrap().map(|entry| entry.unwrap().path());
    let log = log.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "log")).unwrap();
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, [&bytes[..], b"\x40\0\0\0\x17"].concat()).unwrap();
}

/// What a day takes: a snapshot per minute, and a hundred alerts that fire and are resolved.
#[test]
#[ignore = "prints sizes"]
fn sizes_of_a_day() {
    let disk = Disk::default();
    let (history, _) = open(&disk, &HistoryConfig::default()).unwrap();
    let servers: Vec<_> = (0..5).map(|server| format!("ppweb{server:03}")).collect();
    let top: Vec<_> = servers.iter().map(String::as_str).collect();
    for minute in -DAY_MINUTES / 2..DAY_MINUTES / 2 {
        history.append(&[snapshot(minute, &top).into()]).unwrap();
    }
    let log_bytes = history.stats().bytes;
    for alert in 0..100_i64 {
        let name = format!("ppdb{alert:03}");
        for (later, state) in [(0, AlertState::Pending), (5, AlertState::Firing), (30, AlertState::Resolved)]
        {
            let event = transition((&name, "memory"), (alert, alert + later), state);
            history.append(&[event.into()]).unwrap();
        }
    }
    eprintln!("log: {log_bytes} bytes of 1440 snapshots, {} with 300 events", history.stats().bytes);
    history.maintain(at(DAY_MINUTES)).unwrap();
    for (path, bytes) in disk.image() {
        eprintln!("{}: {} bytes", path.display(), bytes.len());
    }
}
