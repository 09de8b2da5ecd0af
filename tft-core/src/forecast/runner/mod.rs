//! Runs what a window holds through a model's network.
//!
//! Owns what is between a window and the forecasts of a model: which servers and metrics it can take, encode,
//! run, decode. In a build without a network there is never a runner.

#[cfg(any(feature = "burn", feature = "engine"))]
mod assembly;
#[cfg(any(feature = "burn", feature = "engine"))]
mod blocks;
#[cfg(any(feature = "burn", feature = "engine"))]
mod dataset;
#[cfg(any(feature = "burn", feature = "engine"))]
mod fleet;
#[cfg(any(feature = "burn", feature = "engine"))]
mod univariate;

/// A forecast, and the position of its server in the window.
#[cfg(any(feature = "burn", feature = "engine"))]
type Found = (usize, super::MetricForecast);

#[cfg(any(feature = "burn", feature = "engine"))]
pub(super) use with_network::ModelRunner;
#[cfg(not(any(feature = "burn", feature = "engine")))]
pub(super) use without_network::ModelRunner;

#[cfg(any(feature = "burn", feature = "engine"))]
mod with_network {
    use super::dataset::DatasetRunner;
    use super::univariate::UnivariateRunner;
    use crate::error::Error;
    use crate::forecast::{FleetForecast, ForecasterConfig, NetworkTrace};
    use crate::model::{Encoding, Model};
    use crate::quantile::QuantileLevels;
    use crate::schema::Schema;
    use crate::time::Step;
    use crate::window::{RollingWindow, ServerView};

    /// A network and the encoding of its windows.
    #[derive(Debug)]
    pub(in crate::forecast) enum ModelRunner {
        Univariate(Box<UnivariateRunner>),
        Dataset(Box<DatasetRunner>),
    }

    impl ModelRunner {
        /// Prepares the network.
        ///
        /// # Errors
        /// [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) if its targets share no quantile.
        pub(in crate::forecast) fn new(model: Model, config: &ForecasterConfig) -> Result<Self, Error> {
            match &model.document().encoding {
                Encoding::Univariate(encoding) => {
                    let encoding = encoding.clone();
                    Ok(Self::Univariate(Box::new(UnivariateRunner::new(model, encoding)?)))
                }
                Encoding::PytorchForecasting(encoding) => {
                    let encoding = (**encoding).clone();
                    Ok(Self::Dataset(Box::new(DatasetRunner::new(model, encoding, config.cache_bytes)?)))
                }
            }
        }

        /// Adds the forecasts that the model can make to those of a fleet.
        ///
        /// # Errors
        /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) naming everything that the model
        /// needs and the window's schema lacks.
        pub(in crate::forecast) fn run(
            &self,
            window: &RollingWindow,
            config: &ForecasterConfig,
            fleet: &mut FleetForecast,
        ) -> Result<(), Error> {
            let found = match self {
                Self::Univariate(runner) => runner.run(window, config, fleet),
                Self::Dataset(runner) => runner.run(window, config, fleet),
            };
            for (server, forecast) in found?.into_iter().flatten() {
                fleet.servers[server].metrics.push(forecast);
            }
            Ok(())
        }

        /// Adds the forecasts that the model can make to those of one server, the only one of `fleet`.
        ///
        /// # Errors
        /// As [`run`](Self::run).
        pub(in crate::forecast) fn run_one(
            &self,
            window: &RollingWindow,
            view: &ServerView<'_>,
            config: &ForecasterConfig,
            fleet: &mut FleetForecast,
        ) -> Result<(), Error> {
            let found = match self {
                Self::Univariate(runner) => runner.run_one(window, view, config, fleet),
                Self::Dataset(runner) => runner.run_one(window, view, fleet),
            };
            fleet.servers[0].metrics.extend(found?.into_iter().map(|(_, forecast)| forecast));
            Ok(())
        }

        /// Returns the bytes that are kept of series from one forecast to the next.
        pub(in crate::forecast) fn kept_bytes(&self) -> usize {
            match self {
                Self::Univariate(_) => 0,
                Self::Dataset(runner) => runner.kept_bytes(),
            }
        }

        pub(in crate::forecast) fn is_univariate(&self) -> bool {
            matches!(self, Self::Univariate(_))
        }

        /// Runs one server and keeps what the network saw and answered.
        ///
        /// # Errors
        /// As [`run`](Self::run).
        pub(in crate::forecast) fn trace(
            &self,
            window: &RollingWindow,
            view: &ServerView<'_>,
            origin: Step,
        ) -> Result<NetworkTrace, Error> {
            match self {
                Self::Univariate(runner) => runner.trace(window, view, origin),
                Self::Dataset(runner) => runner.trace(window, view, origin),
            }
        }

        /// Checks that a schema has everything that the model reads.
        pub(in crate::forecast) fn check_schema(&self, schema: &Schema) -> Result<(), Error> {
            match self {
                Self::Univariate(_) => Ok(()),
                Self::Dataset(runner) => runner.check_schema(schema),
            }
        }

        pub(in crate::forecast) fn model(&self) -> &Model {
            match self {
                Self::Univariate(runner) => &runner.model,
                Self::Dataset(runner) => &runner.model,
            }
        }

        pub(in crate::forecast) fn quantiles(&self) -> &QuantileLevels {
            match self {
                Self::Univariate(runner) => &runner.quantiles,
                Self::Dataset(runner) => &runner.quantiles,
            }
        }
    }
}

#[cfg(not(any(feature = "burn", feature = "engine")))]
mod without_network {
    use crate::error::Error;
    use crate::forecast::{FleetForecast, ForecasterConfig};
    use crate::model::Model;
    use crate::schema::Schema;
    use crate::window::{RollingWindow, ServerView};

    /// Nothing: no value of this type exists.
    #[derive(Debug)]
    pub(in crate::forecast) enum ModelRunner {}

    impl ModelRunner {
        pub(in crate::forecast) fn run(
            &self,
            _: &RollingWindow,
            _: &ForecasterConfig,
            _: &mut FleetForecast,
        ) -> Result<(), Error> {
            match *self {}
        }

        pub(in crate::forecast) fn run_one(
            &self,
            _: &RollingWindow,
            _: &ServerView<'_>,
            _: &ForecasterConfig,
            _: &mut FleetForecast,
        ) -> Result<(), Error> {
            match *self {}
        }

        pub(in crate::forecast) fn kept_bytes(&self) -> usize {
            match *self {}
        }

        pub(in crate::forecast) fn is_univariate(&self) -> bool {
            match *self {}
        }

        pub(in crate::forecast) fn check_schema(&self, _: &Schema) -> Result<(), Error> {
            match *self {}
        }

        pub(in crate::forecast) fn model(&self) -> &Model {
            match *self {}
        }
    }
}
