//! What runs a network: the engine, or burn where the engine is not compiled in.

use crate::error::Error;
use crate::model::{Model, NetworkOutput, TensorBatch};

/// A network prepared for execution.
#[derive(Debug)]
pub(super) struct Executor {
    #[cfg(feature = "engine")]
    engine: crate::engine::Engine,
    #[cfg(not(feature = "engine"))]
    network: crate::model::Network,
}

impl Executor {
    /// Prepares a model for a number of threads.
    #[cfg(feature = "engine")]
    pub(super) fn new(model: &Model, threads: usize) -> Result<Self, Error> {
        let config = crate::engine::EngineConfig { threads };
        Ok(Self { engine: crate::engine::Engine::new(model, config)? })
    }

    /// Prepares a model; burn has no use for the number of threads.
    #[cfg(not(feature = "engine"))]
    #[expect(clippy::unnecessary_wraps, reason = "the engine can refuse a number of threads")]
    pub(super) fn new(model: &Model, _threads: usize) -> Result<Self, Error> {
        Ok(Self { network: model.network(&crate::model::default_device()) })
    }

    /// Runs the network for its predictions; attention and selection weights may be empty.
    pub(super) fn predict(&self, batch: &TensorBatch) -> Result<NetworkOutput, Error> {
        #[cfg(feature = "engine")]
        return self.engine.forward(batch, crate::engine::Detail::Predictions);
        #[cfg(not(feature = "engine"))]
        self.network.forward(batch)
    }

    /// Runs the network for everything that it says.
    pub(super) fn explain(&self, batch: &TensorBatch) -> Result<NetworkOutput, Error> {
        #[cfg(feature = "engine")]
        return self.engine.forward(batch, crate::engine::Detail::Explained);
        #[cfg(not(feature = "engine"))]
        self.network.forward(batch)
    }
}
