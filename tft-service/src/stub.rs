//! Stand-ins until the forecaster and the store have landed.
use std::path::{Path, PathBuf};
use tft_core::Error;
use tft_core::forecast::{FleetForecast, QuantileLevels};
use tft_core::schema::Schema;
use tft_core::time::Timestamp;
use tft_core::window::{RollingWindow, WindowConfig};

pub(crate) fn save(_: &RollingWindow, _: &Path, _: Timestamp) -> Result<(), Error> {
    Ok(())
}
pub(crate) fn load(_: &Path, s: &Schema, c: &WindowConfig) -> Result<(RollingWindow, ()), Error> {
    Ok((RollingWindow::new(s.clone(), c.clone())?, ()))
}
pub(crate) fn quarantine(p: &Path, _: Timestamp) -> Result<PathBuf, Error> {
    Ok(p.to_owned())
}

#[derive(Debug)]
pub(crate) struct Model;
impl Model {
    pub(crate) fn built_in() -> Result<Self, Error> {
        Ok(Self)
    }
    pub(crate) fn from_dir(_: &Path) -> Result<Self, Error> {
        Ok(Self)
    }
    pub(crate) fn id(&self) -> &'static str {
        "stub"
    }
}
#[derive(Debug)]
pub(crate) struct Forecaster {
    schema: Schema,
}
impl Forecaster {
    pub(crate) fn new(_: Model, schema: Schema) -> Result<Self, Error> {
        Ok(Self { schema })
    }
    pub(crate) fn history_steps_needed(&self) -> usize {
        288
    }
    pub(crate) fn horizon_steps(&self) -> usize {
        96
    }
    pub(crate) fn quantiles(&self) -> QuantileLevels {
        QuantileLevels::new(&[0.1, 0.5, 0.9]).expect("levels")
    }
    pub(crate) fn forecast(
        &mut self,
        window: &RollingWindow,
        now: Timestamp,
    ) -> Result<FleetForecast, Error> {
        tft_core::forecast::stub_forecast(window, &self.schema, now, &self.quantiles())
    }
}
