//! Raw rows that an imported model cannot take: each error names the column, the group and the value.

use tft_core::model::{Column, DatasetEncoding, Encoding, Rows};

fn encoding() -> DatasetEncoding {
    match &crate::golden::GoldenSet::new("c").model().document().encoding {
        Encoding::PytorchForecasting(encoding) => (**encoding).clone(),
        other => panic!("unexpected encoding {other:?}"),
    }
}

/// Rows of one series with the given time indices.
fn rows(group: &str, steps: impl IntoIterator<Item = f64>) -> Rows {
    let steps: Vec<f64> = steps.into_iter().collect();
    let groups = vec![group.to_owned(); steps.len()];
    let values = steps.iter().map(|step| step * 0.5).collect();
    let columns =
        [("g", Column::Texts(groups)), ("time_idx", Column::Reals(steps)), ("y", Column::Reals(values))];
    columns.into_iter().fold(Rows::new(), |rows, (name, column)| rows.with(name, column).unwrap())
}

fn steps(range: std::ops::Range<i32>) -> impl Iterator<Item = f64> {
    range.map(f64::from)
}

fn refusal(rows: &Rows) -> String {
    let error = encoding().encode_last(rows).unwrap_err();
    assert!(error.is_invalid_input(), "{error}");
    error.to_string()
}

#[test]
fn a_series_shorter_than_a_window_is_refused_with_both_lengths() {
    insta::assert_snapshot!(refusal(&rows("s0", steps(0..15))), @"no group has the 16 steps that a window needs; the longest has 15");
}

#[test]
fn short_series_are_left_out_beside_long_ones() {
    let long = rows("s1", steps(0..20));
    assert_eq!(encoding().encode_last(&long).unwrap().groups, [["s1"]]);
}

#[test]
fn steps_must_be_whole_unique_and_without_gaps() {
    insta::assert_snapshot!(refusal(&rows("s0", steps(0..15).chain([14.5]))), @"rows cannot be encoded: column `time_idx` holds 14.5 in row 15, which is not a whole number");
    insta::assert_snapshot!(refusal(&rows("s0", steps(0..16).chain([15.0]))), @r#"rows cannot be encoded: group ["s0"] has time index 15 twice"#);
    insta::assert_snapshot!(refusal(&rows("s0", steps(0..10).chain(steps(12..20)))), @r#"rows cannot be encoded: group ["s0"] has a gap after time index 9, and gaps are not allowed"#);
}

#[test]
fn columns_must_be_there_and_of_their_kind() {
    let without = Rows::new().with("g", Column::Texts(vec!["s0".into()])).unwrap();
    insta::assert_snapshot!(refusal(&without), @"rows cannot be encoded: column `time_idx` is missing; column `y` is missing");
    let wrong = without.with("time_idx", Column::Texts(vec!["0".into()])).unwrap();
    insta::assert_snapshot!(refusal(&wrong), @"rows cannot be encoded: column `time_idx` holds texts, expected numbers; column `y` is missing");
    let error = rows("s0", steps(0..3)).with("z", Column::Reals(vec![1.0])).unwrap_err();
    insta::assert_snapshot!(error, @"column `z` has 1 rows, the others have 3");
}

#[test]
fn a_target_that_is_not_a_number_is_named_with_its_step() {
    let values = (0..16).map(|step| if step == 7 { f64::NAN } else { 1.0 }).collect();
    let rows = rows("s2", steps(100..116)).with("y", Column::Reals(values)).unwrap();
    insta::assert_snapshot!(refusal(&rows), @r#"rows cannot be encoded: `y` of group ["s2"] is NaN at time index 107, which cannot be scaled"#);
}

#[test]
fn groups_without_a_class_are_all_named() {
    let values = (0..32).map(|step| f64::from(step % 16)).collect();
    let groups = (0..32).map(|step| if step < 16 { "s8" } else { "s9" }.to_owned()).collect();
    let rows = Rows::new()
        .with("g", Column::Texts(groups))
        .and_then(|rows| rows.with("time_idx", Column::Integers((0..32).map(|step| step % 16).collect())))
        .and_then(|rows| rows.with("y", Column::Reals(values)))
        .unwrap();
    insta::assert_snapshot!(refusal(&rows), @r#"rows cannot be encoded: `g` of group ["s8"] has the unknown class `s8`, and its encoder has no class for unknown ones; `g` of group ["s9"] has the unknown class `s9`, and its encoder has no class for unknown ones"#);
}

#[test]
fn an_encoder_without_steps_is_refused() {
    let mut encoding = encoding();
    encoding.min_encoder_length = 0;
    let error = encoding.encode_last(&rows("s0", steps(0..4))).unwrap_err();
    insta::assert_snapshot!(error, @r#"rows cannot be encoded: group ["s0"] has no encoder step, and an empty encoder has no meaning"#);
}

#[test]
fn time_indices_may_lie_at_the_ends_of_their_range() {
    let mut encoding = encoding();
    encoding.min_prediction_idx = None;
    let at = |first: i64| {
        let times = (0..16).map(|step| first + step).collect();
        rows("s0", steps(0..16)).with("time_idx", Column::Integers(times)).unwrap()
    };
    let encoded = encoding.encode_last(&at(i64::MIN)).unwrap();
    assert_eq!(encoded.first_prediction_idx, [i64::MIN + 12]);
    let error = encoding.encode_last(&at(i64::MAX - 15)).unwrap_err();
    insta::assert_snapshot!(error, @r#"rows cannot be encoded: group ["s0"] has time index 9223372036854775807 twice"#);
}
