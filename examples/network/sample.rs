//! A small recorded set, run as any other, with its result checked.

use std::path::Path;

use safetensors::SafeTensors;
use tft_core::engine::Detail;

use crate::arguments::{Arguments, ExecutionPath};
use crate::{Failure, named};

/// Runs the sample in blocks of two windows and compares the predictions with the recorded ones.
pub(crate) fn run() -> Result<(), Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tft-core/tests/fixtures/golden/c");
    let out = std::env::temp_dir().join(format!("tft-network-{}.safetensors", std::process::id()));
    let (model, inputs) = (folder.join("model"), folder.join("inputs.safetensors"));
    let (path, detail) = (ExecutionPath::Engine, Detail::Explained);
    crate::run(&Arguments { model, inputs, out: out.clone(), threads: 2, path, repeat: 2, detail }, 2)?;
    let found = read(&out);
    let _ = std::fs::remove_file(&out);
    let (found, recorded) =
        (predictions(&found?)?, predictions(&read(&folder.join("outputs.safetensors"))?)?);
    assert_eq!(found.len(), recorded.len());
    let differences = found.iter().zip(&recorded).map(|(found, y)| (found - y).abs() / y.abs().max(1.0));
    let largest = differences.fold(0.0, f32::max);
    assert!(largest <= 1e-4, "predictions differ by {largest:e}·max(1, |y|)");
    println!("{} predictions differ by at most {largest:.1e}·max(1, |y|)", found.len());
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| named(path, &error))
}

fn predictions(file: &[u8]) -> Result<Vec<f32>, Failure> {
    let file = SafeTensors::deserialize(file)?;
    let tensor = file.tensor("prediction")?;
    Ok(tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}
