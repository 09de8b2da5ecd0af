//! What computes: the executors of networks that are compiled in.

use std::fmt;

use crate::error::Error;
use crate::model::{Model, NetworkOutput, TensorBatch};

/// What runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Executor {
    /// The engine on this processor's widest instruction set; what forecasts use where it is compiled in.
    #[cfg(feature = "engine")]
    Engine,
    /// Burn on the [default device](crate::model::default_device).
    #[cfg(feature = "burn")]
    Burn,
}

/// An executor with a model.
#[derive(Debug)]
pub(super) enum Prepared {
    #[cfg(feature = "engine")]
    Engine(Box<crate::engine::Engine>),
    #[cfg(feature = "burn")]
    Burn(Box<crate::model::Network>),
}

impl Executor {
    /// The executors of this build, the one that forecasts use first.
    pub const ALL: &[Self] = &[
        #[cfg(feature = "engine")]
        Self::Engine,
        #[cfg(feature = "burn")]
        Self::Burn,
    ];

    pub(super) fn prepare(self, model: &Model) -> Result<Prepared, Error> {
        Ok(match self {
            #[cfg(feature = "engine")]
            Self::Engine => Prepared::Engine(Box::new(crate::engine::Engine::new(
                model,
                crate::engine::EngineConfig::default(),
            )?)),
            #[cfg(feature = "burn")]
            Self::Burn => Prepared::Burn(Box::new(model.network(&crate::model::default_device()))),
        })
    }
}

impl Prepared {
    pub(super) fn run(&self, batch: &TensorBatch) -> Result<NetworkOutput, Error> {
        match self {
            #[cfg(feature = "engine")]
            Self::Engine(engine) => engine.forward(batch, crate::engine::Detail::Explained),
            #[cfg(feature = "burn")]
            Self::Burn(network) => network.forward(batch),
        }
    }
}

impl fmt::Display for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            #[cfg(feature = "engine")]
            Self::Engine => "engine",
            #[cfg(feature = "burn")]
            Self::Burn => "burn",
        })
    }
}
