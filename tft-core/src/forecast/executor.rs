//! What runs a network: the engine, or burn where the engine is not compiled in.

use crate::error::Error;
use crate::model::{Model, NetworkOutput, TensorBatch};

/// A network prepared for execution.
#[derive(Debug)]
pub(super) struct Executor {
    #[cfg(feature = "engine")]
    engine: crate::engine::Engine,
    #[cfg(feature = "engine")]
    cache: crate::engine::StreamCache,
    #[cfg(not(feature = "engine"))]
    network: crate::model::Network,
}

/// Which series a window of a batch belongs to, and the number of its first step.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowPlace {
    #[cfg_attr(not(feature = "engine"), expect(dead_code, reason = "burn keeps nothing"))]
    pub(super) series: u64,
    #[cfg_attr(not(feature = "engine"), expect(dead_code, reason = "burn keeps nothing"))]
    pub(super) first_step: i64,
}

/// How much is kept of each series from one forecast to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Keeping {
    pub(super) bytes_max: usize,
    /// Of each real input: whether its value at a step stays the same while the window moves on.
    pub(super) reals: Vec<bool>,
}

#[cfg(feature = "engine")]
impl Executor {
    /// Prepares a model for a number of threads per batch.
    pub(super) fn new(model: &Model, threads: usize, keeping: Keeping) -> Result<Self, Error> {
        let engine = crate::engine::Engine::new(model, crate::engine::EngineConfig { threads })?;
        Ok(Self { engine, cache: crate::engine::StreamCache::new(keeping.bytes_max, keeping.reals) })
    }

    /// Runs the network for its predictions; attention and selection weights may be empty. The output is that of
    /// a batch before, or a default one.
    pub(super) fn predict(&self, batch: &TensorBatch, output: &mut NetworkOutput) -> Result<(), Error> {
        self.engine.forward_into(batch, crate::engine::Detail::Predictions, None, output)
    }

    /// As [`predict`](Self::predict), with what is kept of the windows' series.
    pub(super) fn follow(
        &self,
        batch: &TensorBatch,
        places: &[WindowPlace],
        output: &mut NetworkOutput,
    ) -> Result<(), Error> {
        let window = |place: &WindowPlace| crate::engine::StreamWindow {
            series: place.series,
            first_step: place.first_step,
        };
        let windows: Vec<_> = places.iter().map(window).collect();
        let stream = Some((&self.cache, &windows[..]));
        self.engine.forward_into(batch, crate::engine::Detail::Predictions, stream, output)
    }

    /// Forgets the series that were not followed since this was called last.
    pub(super) fn forget_unused(&self) {
        self.cache.forget_unused();
    }

    /// Returns the bytes that are kept of series.
    pub(super) fn kept_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Runs the network for everything that it says.
    pub(super) fn explain(&self, batch: &TensorBatch) -> Result<NetworkOutput, Error> {
        self.engine.forward(batch, crate::engine::Detail::Explained)
    }
}

#[cfg(not(feature = "engine"))]
impl Executor {
    /// Prepares a model; burn has no use for the number of threads and keeps nothing.
    #[expect(clippy::unnecessary_wraps, clippy::needless_pass_by_value, reason = "as of the engine")]
    pub(super) fn new(model: &Model, _threads: usize, _keeping: Keeping) -> Result<Self, Error> {
        Ok(Self { network: model.network(&crate::model::default_device()) })
    }

    /// Runs the network.
    pub(super) fn predict(&self, batch: &TensorBatch, output: &mut NetworkOutput) -> Result<(), Error> {
        *output = self.network.forward(batch)?;
        Ok(())
    }

    /// Runs the network.
    pub(super) fn follow(
        &self,
        batch: &TensorBatch,
        _places: &[WindowPlace],
        output: &mut NetworkOutput,
    ) -> Result<(), Error> {
        self.predict(batch, output)
    }

    /// Does nothing.
    #[expect(clippy::unused_self, reason = "as of the engine")]
    pub(super) fn forget_unused(&self) {}

    /// Returns 0.
    #[expect(clippy::unused_self, reason = "as of the engine")]
    pub(super) fn kept_bytes(&self) -> usize {
        0
    }

    /// Runs the network for everything that it says.
    pub(super) fn explain(&self, batch: &TensorBatch) -> Result<NetworkOutput, Error> {
        self.network.forward(batch)
    }
}
