//! Runs series through a model's network.
//!
//! Owns what is between histories and quantiles: encode, run, decode. In a build without a network there is
//! never a runner.

#[cfg(feature = "burn")]
pub(super) use with_network::ModelRunner;
#[cfg(not(feature = "burn"))]
pub(super) use without_network::ModelRunner;

#[cfg(feature = "burn")]
mod with_network {
    use ndarray::Array3;

    use crate::error::Error;
    use crate::model::{History, Model, Network, UnivariateEncoding, default_device};
    use crate::time::StepLength;

    /// A network and the encoding of its windows.
    #[derive(Debug)]
    pub(in crate::forecast) struct ModelRunner {
        model: Model,
        network: Network,
        encoding: UnivariateEncoding,
    }

    impl ModelRunner {
        pub(in crate::forecast) fn new(model: Model, encoding: UnivariateEncoding) -> Self {
            Self { network: model.network(&default_device()), model, encoding }
        }

        pub(in crate::forecast) fn model_id(&self) -> &str {
            self.model.id()
        }

        /// Returns whether a history is long enough and has no gap in the encoder.
        pub(in crate::forecast) fn takes(&self, history: &[f32]) -> bool {
            let (older, encoder) = history.split_at(history.len() - self.encoding.encoder_length);
            let first_known = older.iter().position(|value| !value.is_nan()).unwrap_or(older.len());
            history.len() - first_known >= self.encoding.history_steps_min
                && encoder.iter().all(|value| !value.is_nan())
        }

        /// Returns the quantiles of every history, `[histories, horizon, quantiles]`, in the metrics' units.
        pub(in crate::forecast) fn run(
            &self,
            histories: &[History<'_>],
            step_length: StepLength,
        ) -> Result<Array3<f64>, Error> {
            let encoded = self.encoding.encode(histories, step_length)?;
            let output = self.network.forward(&encoded.batch)?;
            encoded.predictions(&output, self.model.document().calibration.as_ref())
        }
    }
}

#[cfg(not(feature = "burn"))]
mod without_network {
    use ndarray::Array3;

    use crate::error::Error;
    use crate::model::History;
    use crate::time::StepLength;

    /// Nothing: no value of this type exists.
    #[derive(Debug)]
    pub(in crate::forecast) enum ModelRunner {}

    impl ModelRunner {
        pub(in crate::forecast) fn model_id(&self) -> &str {
            match *self {}
        }

        pub(in crate::forecast) fn takes(&self, _history: &[f32]) -> bool {
            match *self {}
        }

        pub(in crate::forecast) fn run(
            &self,
            _: &[History<'_>],
            _: StepLength,
        ) -> Result<Array3<f64>, Error> {
            match *self {}
        }
    }
}
