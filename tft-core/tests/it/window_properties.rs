//! The window against a slow model of it that keeps every sample.

use proptest::collection::vec;
use proptest::prelude::*;
use tft_core::time::{Step, Timestamp};
use tft_core::{Record, RollingWindow, WindowConfig};

pub(crate) use crate::window_model::{Operation, Pair, config, schema};
use crate::window_model::{name, record};

pub(crate) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 1..200)
}

fn operation() -> impl Strategy<Value = Operation> {
    let value = || proptest::option::weighted(0.8, (-1000_i32..1000).prop_map(|value| value as f32 / 7.0));
    let delta_ms = prop_oneof![
        6 => (-20_i64..20).prop_map(|delta| delta * 20_000),
        3 => (-4_i64..6).prop_map(|delta| delta * 300_000),
        1 => (0_i64..40).prop_map(|delta| delta * 300_000),
    ];
    let sample = (0_usize..4, delta_ms, [value(), value(), value()], proptest::option::of(0_usize..3));
    prop_oneof![
        20 => sample.prop_map(|(server, delta_ms, values, status)| {
            Operation::Sample { server, delta_ms, values, status }
        }),
        2 => Just(Operation::Repeat),
        1 => (0_usize..4).prop_map(|server| Operation::Remove { server }),
        1 => (0_i64..30).prop_map(|steps| Operation::Expire { delta_ms: steps * 100_000 }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_window_agrees_with_the_model(operations in operations()) {
        for retention_ms in [None, Some(1_200_000)] {
            let mut window = RollingWindow::new(schema(), WindowConfig { retention_ms, ..config() }).unwrap();
            let mut pair = Pair::default();
            for operation in &operations {
                pair.apply(&mut window, operation);
            }
            pair.check(&window);
        }
    }

    #[test]
    fn the_origin_agrees_with_its_definition(operations in operations(), now_step in 80_i64..200) {
        let mut window = RollingWindow::new(schema(), config()).unwrap();
        let mut pair = Pair::default();
        for operation in &operations {
            pair.apply(&mut window, operation);
        }
        let newest = pair.newest_steps();
        let expected = newest.iter().max().map(|&fleet| {
            let slowest = newest.iter().filter(|&&step| fleet - step <= 3).min().unwrap();
            // Within step `now`, the step before the two of grace has ended.
            (now_step - 3).max(slowest - 1).min(fleet)
        });
        let now = Timestamp::from_millis(now_step * 300_000 + 1234);
        prop_assert_eq!(window.origin(now).map(|step| step.0), expected);
    }

    #[test]
    fn a_step_does_not_depend_on_the_order_of_its_samples(
        values in vec(-1000.0_f32..1000.0, 2..5),
        order in any::<prop::sample::Index>(),
    ) {
        let samples: Vec<_> = values.iter().enumerate().map(|(index, &value)| {
            record(0, index as i64 * 1000, [Some(value); 3], Some(index % 3))
        }).collect();
        let mut shuffled = samples.clone();
        shuffled.rotate_left(order.index(samples.len()));
        shuffled.reverse();
        let row = |records: &[Record]| {
            let mut window = RollingWindow::new(schema(), config()).unwrap();
            window.ingest(records, Timestamp::MAX).unwrap();
            let view = window.server(&name(0)).unwrap();
            ([0, 1, 2].map(|metric| view.value(metric, Step(0)).map(f32::to_bits)), view.status())
        };
        prop_assert_eq!(row(&samples), row(&shuffled));
    }
}
