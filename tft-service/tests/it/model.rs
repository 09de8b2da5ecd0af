//! `model info` and `model verify`, as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn exported() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tft-core/tests/fixtures/exported/g")
}

fn model(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tft-service"));
    command.env_clear().current_dir(directory).arg("model").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A copy of the exported model whose recorded outputs may be changed.
fn copied() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for file in ["model.json", "model.safetensors", "expected.json"] {
        std::fs::copy(exported().join(file), directory.path().join(file)).unwrap();
    }
    directory
}

#[test]
fn an_exported_model_is_verified() {
    let output = model(&["verify", "."], &exported());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    let lines: Vec<_> = stdout.lines().collect();
    let (verdict, lines) = lines.split_last().unwrap();
    let verdicts = lines.iter().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[1], words[words.len() - 1])
    });
    insta::assert_snapshot!(verdicts.collect::<Vec<_>>().join("\n"), @r#"
    run by verdict
    engine prediction ok
    engine network_output ok
    engine encoder_attention ok
    engine decoder_attention ok
    engine static_variables ok
    engine encoder_variables ok
    engine decoder_variables ok
    engine row_predictions ok
    burn prediction ok
    burn network_output ok
    burn encoder_attention ok
    burn decoder_attention ok
    burn static_variables ok
    burn encoder_variables ok
    burn decoder_variables ok
    burn row_predictions ok
    "#);
    insta::assert_snapshot!(verdict, @"verified: all outputs are within their tolerance, 8 by engine, 8 by burn (2 windows from tensors, 2 from raw rows)");
}

#[test]
fn outputs_that_differ_are_exit_code_1() {
    let directory = copied();
    let file = directory.path().join("expected.json");
    let mut expected: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    expected["outputs"]["network_output"][0][0][0][0] = 9.0.into();
    std::fs::write(&file, expected.to_string()).unwrap();
    let output = model(&["verify", "."], directory.path());
    assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0));
    let stdout = text(&output.stdout);
    assert!(
        stdout.lines().filter(|line| line.contains(" network_output ") && line.ends_with(" differs")).count()
            == 2,
        "{stdout}"
    );
    insta::assert_snapshot!(stdout.lines().last().unwrap(), @"differs: outputs are beyond their tolerance, 1 of 8 by engine, 1 of 8 by burn (2 windows from tensors, 2 from raw rows)");
}

#[test]
fn what_cannot_be_verified_is_one_line() {
    let directory = copied();
    std::fs::remove_file(directory.path().join("expected.json")).unwrap();
    let output = model(&["verify", "."], directory.path());
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(text(&output.stderr), @"tft-service: the model cannot be used: cannot read `./expected.json`: No such file or directory (os error 2)");
    let output = model(&["info", "no/such/model"], directory.path());
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(text(&output.stderr), @"tft-service: the model cannot be used: cannot read `no/such/model/model.json`: No such file or directory (os error 2)");
}

#[test]
fn the_facts_of_a_model_are_printed() {
    let output = model(&["info", "."], &exported());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout), @r#"
    id                 reference-g
    step               300 s
    parameters         7542
    network            hidden size 8, attention heads 4, LSTM layers 2
    encoder steps      8 to 12
    decoder steps      3
    static             cores
    known              hour
    unknown            latency, queue, errors, load
    target             latency: quantiles 0.1, 0.5, 0.9; GroupNormalizer, log, by host
    target             queue: quantiles 0.1, 0.5, 0.9; GroupNormalizer, sqrt, by site, host
    target             errors: quantiles 0.1, 0.5, 0.9; GroupNormalizer, count, by each of host
    target             load: quantiles 0.1, 0.5, 0.9; GroupNormalizer, relu, by site
    scaled             cores, hour: affine scaler, one for all
    group              site: 2 known: s0, s1
    group              host: 3 known: h1, h2, h3
    scale look-up      group_code: outputs are scaled back with what the reference finds by its hidden group codes, which may be another group's constants
    weights            SHA-256 e6438e65901753a39458f2c23f7c22745764bbe4201a324b960612cf8d6d226a, checked
    "#);
}

#[test]
fn the_built_in_model_has_facts_too() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tft-core/models/default");
    let output = model(&["info", "."], &directory);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout), @r#"
    id                 tft-default-1
    step               300 s
    parameters         78737
    network            hidden size 32, attention heads 4, LSTM layers 1
    encoder steps      48
    decoder steps      96
    history steps      150 to 912
    static             kind, roughness, roughness_recent, deviation, unchanged, room_below, room_above
    known              level, profile, lag_1d, lag_2d, days, time_of_day_sin, time_of_day_cos, is_weekend, relative_time_idx
    unknown            residual
    target             any metric: quantiles 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98; scaled by its own history
    weights            SHA-256 6981367093bb3ad3df8750b9fe9b4d82b7a765bf52853dbd6c726e4e4681bc11, checked
    "#);
}

#[test]
fn the_help_says_what_each_command_does() {
    let output = model(&["--help"], &exported());
    insta::assert_snapshot!(text(&output.stdout), @r#"
    Look into a model directory

    Usage: tft-service model <COMMAND>

    Commands:
      info    Print what a model forecasts from what: variables, targets, quantiles, scaling, groups
      verify  Run a model on the inputs recorded in its `expected.json` and compare what it computes
      help    Print this message or the help of the given subcommand(s)

    Options:
      -h, --help  Print help
    "#);
    let output = model(&["verify", "--help"], &exported());
    insta::assert_snapshot!(text(&output.stdout), @r#"
    Run a model on the inputs recorded in its `expected.json` and compare what it computes

    Runs it on the engine, which forecasts use, and on burn. Prints the largest difference of each output from the recorded one, absolute and relative to max(1, |recorded|), and the tolerance. The exit code is 0 if all of both are within their tolerance, otherwise 1.

    Usage: tft-service model verify <DIR>

    Arguments:
      <DIR>
              Directory of the model, with `expected.json`

    Options:
      -h, --help
              Print help (see a summary with '-h')
    "#);
}
