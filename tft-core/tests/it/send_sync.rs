//! What embedders share between threads, checked when the tests compile.

use tft_core::alert::Notifier;
use tft_core::forecast::FleetForecast;
use tft_core::schema::Schema;
use tft_core::{
    AlertEngine, CascadeDetector, DriftTracker, Error, FleetAssessment, Forecaster, Interpretation, Model,
    Monitor, RollingWindow,
};

const fn is_send<T: Send>() {}
const fn is_sync<T: Send + Sync>() {}

const _: () = {
    is_sync::<Error>();
    is_sync::<Schema>();
    is_sync::<RollingWindow>();
    is_sync::<Model>();
    is_sync::<Interpretation>();
    is_sync::<FleetForecast>();
    is_sync::<FleetAssessment>();
    is_sync::<AlertEngine>();
    is_sync::<CascadeDetector>();
    is_sync::<DriftTracker>();
    is_sync::<Notifier>();
    #[cfg(feature = "parquet")]
    is_sync::<tft_core::store::Store>();
    #[cfg(feature = "parquet")]
    is_sync::<tft_core::history::History>();
    is_send::<Forecaster>();
    is_send::<Monitor>();
};
