//! Inference on the CPU: a model compiled into folded matrices and fused kernels.
//!
//! The network of [`Network`](crate::model::Network) is its meaning; this is the same function, arranged so that
//! little of its arithmetic is left and that little runs at the speed of the processor. Nothing is approximated:
//! what is folded is exact algebra, done once in double precision.
//!
//! # What is folded
//! With `x` the scalar of a real variable, `p` and `q` its expansion, GRN the gated residual network of Lim et al.
//! (2021, eq. 2–5), `LN` a layer norm:
//!
//! | as written | as run |
//! |---|---|
//! | `fc1·(p·x + q) + b` | `a·x + c` with `a = fc1·p`, `c = fc1·q + b` |
//! | `LN(interpolate(p·x + q)·2σ(mask))` | `LN(a'·x + c')` |
//! | weighing network over all expansions side by side | one input per variable instead of its width |
//! | `W_g·(W_2·h + b_2) + b_g` | `(W_g·W_2)·h + (W_g·b_2 + b_g)` |
//! | a categorical's network | a table, one row per class |
//! | `W_g·(W_h·attended) + b_g` | `(W_g·W_h)·attended + b_g` |
//! | `softmax(q·k/√d)` | the `1/√d` is in the query's weights |
//! | mean over heads of `P_i·V` | `(mean over heads of P_i)·V` |
//!
//! # How it runs
//! Steps lie in the lanes of vectors (`rows.rs`), so norms and softmax over features need no operation across lanes
//! and any width is as good as another. A selection network adds each variable's contribution as it comes, and
//! never stores them. The LSTM runs up to four windows side by side with its units in the lanes; attention has
//! queries in the lanes and skips masked keys. The instruction set is chosen when the engine is made
//! ([`Engine::instruction_set`]).
//!
//! # Where it differs
//! Held to the tolerances of the network in every test, with inputs up to 1e30, subnormal numbers and constants. Beyond
//! that single precision ends at other places: what is folded away cannot overflow, and a sum that overflows both
//! ways may be infinite here and no number there. `tanh` and the exponential linear unit are off by up to 3e-7 next
//! to 0, where libraries are exact.
//!
//! # What is kept
//! The output `y_v(x)` of a real variable's network depends on its scalar alone, so a row of it is computed again only
//! where the scalar is another one. Within a pass the lines that all windows share (calendar, statistics of the
//! fleet) are computed once ([`forward`](Engine::forward) does so by itself). From pass to pass a [`StreamCache`] keeps
//! the lines of each series: step `t` of a series lies in row `t mod N` of its line, so that the one step which is
//! new replaces the one which left, and the new rows of many windows run together in the lanes. What depends on the
//! window as a whole is computed anew: the softmax of the selection, since the relative time index has moved, the
//! LSTMs, attention. A kept row is the same number that would be computed, so results do not depend on the cache.
//!
//! The functions of an instruction set are one function each, into which all of this is inlined. What is handed to
//! the standard library as a closure may stay out of it, and is then compiled for any processor: hot loops are loops.
//!
//! Results do not depend on the number of threads, nor on which windows run together.

mod forward;
mod kernels;
mod outputs;
mod plan;
mod rows;
mod simd;
mod stream;

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub use self::stream::{StreamCache, StreamWindow};

use self::forward::Forward;
use self::outputs::OutputShape;
use self::plan::Plan;
use self::simd::Isa;
use self::stream::Checkout;
use crate::error::{Error, ErrorKind};
use crate::model::{Architecture, Model, NetworkOutput, TensorBatch};

/// A model compiled for this processor; cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    architecture: Arc<Architecture>,
    /// Of each categorical input.
    classes: Arc<[Option<usize>]>,
    plan: Arc<Plan>,
    isa: Isa,
    config: EngineConfig,
    /// What passes that ended have left for those to come.
    buffers: Arc<Mutex<Vec<Buffers>>>,
}

/// The memory of a pass.
#[derive(Debug, Default)]
struct Buffers {
    /// One per thread.
    workspaces: Vec<Option<Box<dyn Any + Send>>>,
    quantiles: Vec<f32>,
}

/// How an [`Engine`] works.
///
/// # Defaults
/// One thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Threads that share the windows of a batch, 1 to [`EngineConfig::THREADS_MAX`].
    pub threads: usize,
}

/// What an engine reports beside predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detail {
    /// Nothing: attention and selection weights of the output are empty.
    Predictions,
    /// Attention and selection weights.
    Explained,
}

#[derive(Debug, thiserror::Error)]
enum EngineError {
    #[error("engine.threads is {value}, allowed are 1 to {}", EngineConfig::THREADS_MAX)]
    Threads { value: usize },
    #[error("the stream has {found} windows, the batch has {expected}")]
    Stream { found: usize, expected: usize },
}

impl Engine {
    /// Compiles a model.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the configuration is out of range.
    pub fn new(model: &Model, config: EngineConfig) -> Result<Self, Error> {
        if !(1..=EngineConfig::THREADS_MAX).contains(&config.threads) {
            return Err(EngineError::Threads { value: config.threads }.into());
        }
        let architecture = &model.document().architecture;
        Ok(Self {
            architecture: Arc::new(architecture.clone()),
            classes: architecture.classes_by_column().into(),
            plan: Arc::new(Plan::of(architecture, model.weights())),
            isa: Isa::detect(),
            config,
            buffers: Arc::default(),
        })
    }

    /// Returns this engine on every instruction set that the processor has, the widest first: to be compared.
    pub fn on_each_instruction_set(&self) -> Vec<Self> {
        Isa::available().into_iter().map(|isa| Self { isa, ..self.clone() }).collect()
    }

    /// Returns the name of the instruction set that is used.
    pub fn instruction_set(&self) -> &'static str {
        self.isa.name()
    }

    /// Runs the network.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming everything in which the batch does not fit the architecture.
    pub fn forward(&self, batch: &TensorBatch, detail: Detail) -> Result<NetworkOutput, Error> {
        let mut output = NetworkOutput::default();
        self.forward_into(batch, detail, None, &mut output)?;
        Ok(output)
    }

    /// Runs the network and writes over an output, that of a pass before or a default one. Uses and updates what
    /// is kept of the windows' series, if a cache is given; the result is the same with and without.
    ///
    /// On one thread a pass like the one before allocates nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming everything in which the batch does not fit the architecture, or if the
    /// stream has not one window for each of the batch; the output is then as it was.
    pub fn forward_into(
        &self,
        batch: &TensorBatch,
        detail: Detail,
        stream: Option<(&StreamCache, &[StreamWindow])>,
        output: &mut NetworkOutput,
    ) -> Result<(), Error> {
        batch.validate_with(&self.architecture, &self.classes)?;
        if let Some((_, windows)) = stream.filter(|(_, windows)| windows.len() != batch.windows()) {
            return Err(EngineError::Stream { found: windows.len(), expected: batch.windows() }.into());
        }
        let sizes = OutputShape::new(&self.plan, batch, detail);
        let mut buffers = self.idle_buffers().pop().unwrap_or_default();
        sizes.prepare(&self.architecture, output, &mut buffers.quantiles);
        let mut lent = stream.map(|(cache, windows)| cache.check_out(windows));
        self.run(batch, &sizes, lent.as_mut(), (output, &mut buffers));
        sizes.hand_out(&buffers.quantiles, output);
        self.idle_buffers().push(buffers);
        Ok(())
    }

    /// Splits the windows between threads.
    fn run(
        &self,
        batch: &TensorBatch,
        sizes: &OutputShape,
        lent: Option<&mut Checkout<'_>>,
        (output, buffers): (&mut NetworkOutput, &mut Buffers),
    ) {
        let windows = batch.windows();
        let threads = self.config.threads.min(windows.div_ceil(Forward::TILE)).max(1);
        let share = windows.div_ceil(threads).next_multiple_of(Forward::TILE).max(1);
        buffers.workspaces.resize_with(threads.max(buffers.workspaces.len()), || None);
        let mut streams = lent.map(|lent| lent.split(share));
        let parts = sizes.split(share, output, &mut buffers.quantiles).zip(&mut buffers.workspaces);
        let jobs = parts.enumerate().map(|(part, (outputs, workspace))| {
            let stream = streams.as_mut().and_then(Iterator::next);
            Forward { plan: &self.plan, batch, first: part * share, stream, outputs, workspace }
        });
        if threads == 1 {
            jobs.for_each(|job| self.isa.run(job));
            return;
        }
        std::thread::scope(|scope| {
            for job in jobs {
                let isa = self.isa;
                scope.spawn(move || isa.run(job));
            }
        });
    }

    fn idle_buffers(&self) -> std::sync::MutexGuard<'_, Vec<Buffers>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EngineConfig {
    /// Most threads.
    pub const THREADS_MAX: usize = 1024;
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { threads: 1 }
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        let kind = match error {
            EngineError::Threads { .. } => ErrorKind::InvalidConfig,
            EngineError::Stream { .. } => ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
