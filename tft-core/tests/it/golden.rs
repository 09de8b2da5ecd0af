//! The golden sets: models, inputs and outputs made with pytorch-forecasting.
//!
//! `tft-core/scripts/golden_fixtures.py` writes the fixtures that this module reads.
#![cfg_attr(
    not(all(feature = "burn", feature = "parquet")),
    allow(dead_code, reason = "most of what reads the sets compares with burn")
)]

use std::path::{Path, PathBuf};

use ndarray::{Array3, ArrayD, Axis, Ix3, IxDyn};
use safetensors::{Dtype, SafeTensors};
use tft_core::model::{Model, TensorBatch};

pub(crate) struct GoldenSet {
    folder: PathBuf,
}

/// The tensors of one safetensors file.
pub(crate) struct Tensors(Vec<u8>);

impl GoldenSet {
    pub(crate) fn new(name: &str) -> Self {
        Self { folder: fixtures().join("golden").join(name) }
    }

    pub(crate) fn model(&self) -> Model {
        Model::from_dir(self.folder.join("model")).unwrap()
    }

    pub(crate) fn model_file(&self, name: &str) -> PathBuf {
        self.folder.join("model").join(name)
    }

    pub(crate) fn tensors(&self, file: &str) -> Tensors {
        Tensors::read(&self.folder.join(format!("{file}.safetensors")))
    }

    #[cfg(feature = "parquet")]
    pub(crate) fn rows(&self) -> tft_core::model::Rows {
        let file = std::fs::File::open(self.folder.join("rows.parquet")).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        let batches: Vec<_> = reader.map(Result::unwrap).collect();
        tft_core::model::Rows::from_record_batches(&batches).unwrap()
    }
}

impl Tensors {
    pub(crate) fn read(path: &Path) -> Self {
        Self(std::fs::read(path).unwrap())
    }

    pub(crate) fn f32(&self, name: &str) -> ArrayD<f32> {
        self.f64(name).mapv(|value| value as f32)
    }

    pub(crate) fn f64(&self, name: &str) -> ArrayD<f64> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let data = tensor.data();
        let values: Vec<f64> = match tensor.dtype() {
            Dtype::F32 => {
                data.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
            }
            Dtype::F64 => data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
            Dtype::I64 => data.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes) as f64).collect(),
            other => panic!("unexpected type {other:?}"),
        };
        ArrayD::from_shape_vec(IxDyn(tensor.shape()), values).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        SafeTensors::deserialize(&self.0).unwrap().names().into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn integers(&self, name: &str) -> ArrayD<i64> {
        self.f64(name).mapv(|value| value as i64)
    }

    /// A target's part of a tensor: stacked, or of its own where targets differ in quantiles.
    pub(crate) fn of_target(&self, name: &str, target: usize) -> ArrayD<f64> {
        let own = format!("{name}.{target}");
        let file = SafeTensors::deserialize(&self.0).unwrap();
        if file.tensor(&own).is_ok() {
            return self.f64(&own);
        }
        self.f64(name).index_axis_move(Axis(0), target)
    }

    /// The batch that the reference fed to its network.
    pub(crate) fn batch(&self) -> TensorBatch {
        let reals = |name: &str| self.f32(name).into_dimensionality::<Ix3>().unwrap();
        let codes = |name: &str| -> Array3<u32> {
            self.integers(name).mapv(|code| code as u32).into_dimensionality::<Ix3>().unwrap()
        };
        let lengths = |name: &str| self.integers(name).iter().map(|&length| length as usize).collect();
        TensorBatch {
            encoder_reals: reals("encoder_cont"),
            encoder_categoricals: codes("encoder_cat"),
            decoder_reals: reals("decoder_cont"),
            decoder_categoricals: codes("decoder_cat"),
            encoder_lengths: lengths("encoder_lengths"),
            decoder_lengths: lengths("decoder_lengths"),
        }
    }
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}
