//! What the window promises, one test per promise.

use super::*;
use crate::schema::{Aggregation, Metric, MetricKind, SchemaConfig};
use crate::time::StepLength;

const MINUTE_MS: i64 = 60_000;

fn schema() -> Schema {
    let metric =
        |name: &str, aggregation| Metric { aggregation, ..Metric::new(name, MetricKind::Continuous) };
    let metrics = vec![
        metric("mean", Aggregation::Mean),
        metric("max", Aggregation::Max),
        metric("last", Aggregation::Last),
    ];
    Schema::new(SchemaConfig { metrics, ..Default::default() }).unwrap()
}

fn window(config: WindowConfig) -> RollingWindow {
    RollingWindow::new(schema(), config).unwrap()
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(minute * MINUTE_MS)
}

fn record(server: &str, minute: i64, value: f64) -> Record {
    let record = Record::new(&schema(), server, at(minute)).unwrap();
    ["mean", "max", "last"].iter().fold(record, |record, metric| record.with(metric, value).unwrap())
}

fn feed_all(window: &mut RollingWindow, records: &[Record]) -> IngestReport {
    window.ingest(records, at(1_000_000)).unwrap()
}

fn row(window: &RollingWindow, server: &str, step: i64) -> [Option<f32>; 3] {
    let server = window.server(server).unwrap();
    [0, 1, 2].map(|metric| server.value(metric, Step(step)))
}

fn reasons(report: &IngestReport) -> String {
    report.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn samples_of_a_step_are_aggregated_whatever_their_order() {
    let samples = [record("a", 1, 3.0), record("a", 2, 9.0), record("a", 4, 0.1)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut window = window(WindowConfig::default());
        feed_all(&mut window, &order.map(|index| samples[index].clone()));
        let mean = ((3.0 + 9.0 + f64::from(0.1_f32)) / 3.0) as f32;
        assert_eq!(row(&window, "a", 0), [Some(mean), Some(9.0), Some(0.1)]);
    }
}

#[test]
fn a_duplicate_replaces_and_a_second_part_completes() {
    let mut window = window(WindowConfig::default());
    let part = Record::new(&schema(), "a", at(1)).unwrap().with("mean", 1.0).unwrap();
    let rest = Record::new(&schema(), "a", at(1)).unwrap().with("max", 2.0).unwrap();
    let report = feed_all(&mut window, &[part, rest]);
    assert_eq!((report.accepted, report.duplicates), (2, 0));
    let report = feed_all(&mut window, &[record("a", 1, 7.0), record("a", 1, 7.0)]);
    assert_eq!((report.accepted, report.duplicates), (2, 2));
    assert_eq!(row(&window, "a", 0), [Some(7.0); 3]);
    assert_eq!(window.server("a").unwrap().samples_accepted(), 1);
    assert_eq!(window.step_count(), 1);
}

#[test]
fn lateness_is_measured_in_the_servers_own_time() {
    let mut window = window(WindowConfig::default());
    let records = [record("a", 20, 1.0), record("a", 15, 2.0), record("a", 14, 3.0), record("b", 0, 4.0)];
    let report = feed_all(&mut window, &records);
    assert_eq!((report.accepted, report.rejected, report.late), (3, 1, 1));
    insta::assert_snapshot!(reasons(&report), @"record 2: timestamp `1970-01-01T00:14:00Z` is late: samples of this server are accepted from 1970-01-01T00:15:00Z on");
    assert_eq!(row(&window, "a", 3), [Some(2.0); 3]);
}

#[test]
fn what_cannot_be_taken_is_named() {
    let mut window = window(WindowConfig { samples_per_step_max: 2, servers_max: 2, ..Default::default() });
    let other = Record::new(&Schema::server_metrics(), "a", at(0)).unwrap();
    let empty =
        Record::new(&schema(), "a", at(0)).unwrap().with_profile(crate::schema::Profile::new("p").unwrap());
    let records = [
        record("a", 0, 1.0),
        record("a", 1, 1.0),
        record("a", 2, 1.0),
        other,
        empty,
        record("a", 1_000_006, 1.0),
        record("b", 0, 1.0),
        record("c", 0, 1.0),
    ];
    let report = feed_all(&mut window, &records);
    assert_eq!((report.accepted, report.rejected), (3, 5));
    insta::assert_snapshot!(reasons(&report), @r"
    record 2: timestamp `1970-01-01T00:02:00Z` is one too many: its step already has 2 samples
    record 3: record was made for another schema
    record 4: record has neither a metric value nor a status
    record 5: timestamp `1971-11-26T10:46:00Z` is more than 300000 ms after 1971-11-26T10:40:00Z
    record 7: server_name `c` is new, and the limit of 2 servers is reached
    ");
    assert_eq!(window.step_count(), 2);
}

#[test]
fn a_batch_over_the_limit_is_refused_as_a_whole() {
    let mut window = window(WindowConfig { records_max: 1, ..Default::default() });
    let error = window.ingest(&[record("a", 0, 1.0), record("a", 1, 1.0)], at(9)).unwrap_err();
    assert!(error.is_limit_exceeded());
    insta::assert_snapshot!(error, @"batch has 2 records, allowed are at most 1");
    assert_eq!((window.server_count(), window.tick_count(), window.generation()), (0, 0, 0));
}

#[test]
fn the_report_lists_the_first_twenty_rejections() {
    let mut window = window(WindowConfig::default());
    let empty = Record::new(&schema(), "a", at(0)).unwrap();
    let report = feed_all(&mut window, &vec![empty; 50]);
    assert_eq!((report.rejected, report.errors.len()), (50, 20));
    assert_eq!(window.tick_count(), 0);
}

#[test]
fn a_silent_server_makes_room_for_a_new_one() {
    let mut window = window(WindowConfig {
        servers_max: 2,
        steps_per_server: 4,
        gap_fill_steps_max: 2,
        ..Default::default()
    });
    feed_all(&mut window, &[record("a", 0, 1.0), record("b", 20, 1.0), record("c", 20, 1.0)]);
    assert!(window.server("c").is_none());
    feed_all(&mut window, &[record("b", 25, 1.0), record("c", 25, 1.0)]);
    let names: Vec<_> = window.servers().map(|server| server.name().to_string()).collect();
    assert_eq!(names, ["b", "c"]);
    assert_eq!(window.step_count(), 3);
}

#[test]
fn a_removed_server_is_forgotten() {
    let mut window = window(WindowConfig::default());
    feed_all(&mut window, &[record("a", 0, 1.0), record("b", 50, 1.0)]);
    assert_eq!(window.servers().len(), 2);
    assert!(window.remove("b") && !window.remove("b"));
    assert_eq!((window.server_count(), window.step_count(), window.servers().len()), (1, 1, 1));
    assert_eq!(window.origin(at(1_000_000)), Some(Step(0)));
    feed_all(&mut window, &[record("c", 1, 1.0)]);
    assert_eq!(window.servers().map(|server| server.name().to_string()).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn the_origin_follows_the_clock_the_data_or_the_newest_sample() {
    let mut window = window(WindowConfig::default());
    assert_eq!(window.origin(at(0)), None);
    window.ingest(&[record("a", 500, 1.0), record("b", 500, 1.0), record("old", 10, 1.0)], at(500)).unwrap();
    // Step 100 is open: neither has it ended nor has every server sent a later one.
    assert_eq!(window.origin(at(504)), Some(Step(99)));
    window.ingest(&[record("a", 505, 1.0)], at(505)).unwrap();
    assert_eq!(window.origin(at(505)), Some(Step(99)));
    assert_eq!(window.origin(at(510)), Some(Step(100)));
    window.ingest(&[record("b", 505, 1.0)], at(505)).unwrap();
    assert_eq!(window.origin(at(505)), Some(Step(100)));
    // Nothing more arrives.
    assert_eq!(window.origin(at(100_000)), Some(Step(101)));
}

#[test]
fn gaps_are_filled_forward_up_to_the_limit() {
    let mut window = window(WindowConfig { gap_fill_steps_max: 2, ..Default::default() });
    feed_all(&mut window, &[record("a", 0, 1.0), record("a", 15, 2.0), record("a", 35, 3.0)]);
    let server = window.server("a").unwrap();
    let filled = |origin, length| {
        let mut out = vec![0.0; length];
        server.copy_filled_history(0, Step(origin), &mut out);
        out.iter().map(|value| if value.is_nan() { 0 } else { *value as i32 }).collect::<Vec<_>>()
    };
    assert_eq!(filled(10, 11), [1, 1, 1, 2, 2, 2, 0, 3, 3, 3, 0]);
    assert_eq!(filled(5, 4), [1, 2, 2, 2]);
    assert_eq!(filled(2, 1), [1]);
    assert_eq!(filled(6, 1), [0]);
    assert_eq!(filled(-1, 2), [0, 0]);
    let mut plain = [0.0; 3];
    server.copy_history(0, Step(4), &mut plain);
    assert_eq!(plain.map(f32::to_bits), [f32::NAN, 2.0, f32::NAN].map(f32::to_bits));
}

#[test]
fn readiness_names_the_state_and_its_start() {
    let mut window = window(WindowConfig { gap_fill_steps_max: 2, ..Default::default() });
    feed_all(
        &mut window,
        &[record("a", 0, 1.0), record("a", 5, 1.0), record("a", 25, 1.0), record("a", 30, 1.0)],
    );
    let server = window.server("a").unwrap();
    let state = |origin, needed| {
        let readiness = server.readiness(Step(origin), needed);
        (readiness.state, readiness.history_steps, readiness.since)
    };
    assert_eq!(state(1, 2), (ReadinessState::Ready, 2, at(10)));
    assert_eq!(state(1, 3), (ReadinessState::WarmingUp, 2, at(0)));
    assert_eq!(state(6, 2), (ReadinessState::Ready, 2, at(35)));
    assert_eq!(state(6, 3), (ReadinessState::Gap, 2, at(10)));
    assert_eq!(state(8, 4), (ReadinessState::Ready, 4, at(45)));
    assert_eq!(state(9, 2), (ReadinessState::Stale, 0, at(35)));
    assert_eq!(state(-5, 2), (ReadinessState::WarmingUp, 0, at(0)));
}

#[test]
fn status_and_profile_are_the_newest_told() {
    let mut window = window(WindowConfig::default());
    let told = record("ppdb1", 1, 1.0).with_status("WARN").unwrap();
    feed_all(&mut window, &[told, record("ppdb1", 11, 1.0)]);
    let server = window.server("ppdb1").unwrap();
    let name = |status| window.schema().statuses().name(status).to_owned();
    assert_eq!(server.status().map(name).as_deref(), Some("heavy_load"));
    assert_eq!(server.status_at(Step(2)), None);
    assert_eq!(server.profile().as_str(), "database");
    let profile = crate::schema::Profile::new("cache").unwrap();
    feed_all(&mut window, &[record("ppdb1", 12, 1.0).with_profile(profile)]);
    assert_eq!(window.server("ppdb1").unwrap().profile().as_str(), "cache");
    assert_eq!(window.server("ppdb1").unwrap().last_sample_at(), at(12));
}

#[test]
fn history_is_borrowed_in_time_order() {
    let mut window =
        window(WindowConfig { steps_per_server: 3, gap_fill_steps_max: 1, ..Default::default() });
    let records: Vec<_> = (0..5).map(|step| record("a", step * 5, step as f64)).collect();
    feed_all(&mut window, &records);
    let server = window.server("a").unwrap();
    let (older, newer) = server.history(1);
    assert_eq!([older, newer].concat(), [2.0, 3.0, 4.0]);
    assert_eq!((server.oldest_step(), server.newest_step()), (Step(2), Step(4)));
    assert_eq!(server.history(3), (&[][..], &[][..]));
    assert_eq!(server.value(3, Step(2)), None);
}

#[test]
fn memory_stays_within_its_bound() {
    const PER_SERVER_BYTES: usize = 2_048;
    let schema = Schema::server_metrics();
    let mut window = RollingWindow::new(schema.clone(), WindowConfig::default()).unwrap();
    for step in 0..3 {
        for server in 0..200 {
            let at = StepLength::FIVE_MINUTES.start_of(Step(step));
            let record = Record::new(&schema, &format!("server-{server}"), at).unwrap();
            feed_all(&mut window, &[record.with("cpu_user", 1.0).unwrap()]);
        }
    }
    let block_bytes = 200 * 576 * schema.metrics().len() * 4;
    let bound = block_bytes * 11 / 10 + 200 * PER_SERVER_BYTES;
    assert!(window.memory_bytes() > block_bytes);
    assert!(window.memory_bytes() <= bound, "{} > {bound}", window.memory_bytes());
}

#[test]
fn the_window_can_be_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<RollingWindow>();
    check::<Record>();
    check::<Feed>();
    check::<ServerView<'_>>();
}

#[test]
fn a_clone_shares_every_history_until_its_server_is_fed() {
    let mut window = window(WindowConfig::default());
    feed_all(&mut window, &[record("a", 1, 1.0), record("b", 1, 2.0)]);
    let clone = window.clone();
    feed_all(&mut window, &[record("a", 6, 3.0), record("c", 6, 4.0)]);
    window.remove("b");
    let start = |window: &RollingWindow, server| window.server(server).unwrap().history(0).0.as_ptr();
    assert_ne!(start(&window, "a"), start(&clone, "a"));
    assert_eq!((row(&clone, "a", 0)[0], row(&clone, "a", 1)[0]), (Some(1.0), None));
    assert_eq!((clone.server_count(), clone.step_count()), (2, 2));
    let again = clone.clone();
    assert_eq!(start(&again, "a"), start(&clone, "a"));
    assert_eq!(row(&window, "a", 1)[0], Some(3.0));
}

#[test]
fn a_server_that_is_silent_for_longer_than_the_retention_expires() {
    let config = WindowConfig { steps_per_server: 4, gap_fill_steps_max: 1, ..Default::default() };
    let mut window = window(config);
    feed_all(&mut window, &[record("silent", 0, 1.0), record("slow", 5, 1.0), record("live", 20, 1.0)]);
    let long_after = at(1_000_000);
    assert_eq!(window.expire(long_after), Expired::default());
    feed_all(&mut window, &[record("live", 24, 2.0)]);
    assert_eq!(window.expire(long_after), Expired::default());
    let generation = window.generation();
    feed_all(&mut window, &[record("live", 25, 2.0)]);
    assert_eq!(window.expire(long_after), Expired { servers: 1, steps: 1 });
    assert!(window.generation() > generation + 1);
    let names: Vec<_> = window.servers().map(|server| server.name().to_string()).collect();
    assert_eq!((names, window.step_count()), (vec!["live".to_owned(), "slow".to_owned()], 3));
    let copy = window.clone();
    feed_all(&mut window, &[record("silent", 25, 3.0)]);
    assert_eq!((window.server_count(), copy.server_count()), (3, 2));
}

#[test]
fn a_retention_by_the_clock_forgets_steps_and_then_their_server() {
    let config = WindowConfig { retention_ms: Some(15 * MINUTE_MS), grace_steps: 2, ..Default::default() };
    let mut window = window(config);
    for minute in [0, 5, 10, 11, 15] {
        feed_all(&mut window, &[record("a", minute, 7.0), record("b", minute.min(5), 1.0)]);
    }
    assert_eq!(window.step_count(), 6);
    // Steps 0 of both ended at minute 5.
    assert_eq!(window.expire(at(20).plus_millis(-1)), Expired::default());
    let copy = window.clone();
    assert_eq!(window.expire(at(20)), Expired { servers: 0, steps: 2 });
    assert_eq!(window.expire(at(27)), Expired { servers: 1, steps: 2 });
    let server = window.server("a").unwrap();
    assert_eq!((server.oldest_step(), server.newest_step(), window.step_count()), (Step(2), Step(3), 2));
    assert_eq!(row(&window, "a", 1), [None; 3]);
    // A step that still takes samples starts again.
    feed_all(&mut window, &[record("a", 6, 2.0)]);
    assert_eq!(row(&window, "a", 1), [Some(2.0); 3]);
    assert_eq!((window.expire(at(1_000)), window.origin(at(0))), (Expired { servers: 1, steps: 3 }, None));
    assert_eq!((window.server_count(), window.step_count(), window.servers().len()), (0, 0, 0));
    assert_eq!((copy.step_count(), row(&copy, "a", 1)), (6, [Some(7.0); 3]));
}
