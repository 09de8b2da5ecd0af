//! What administrators read about models.

use schemars::JsonSchema;
use serde::Serialize;
use tft_core::model::{Architecture, Encoding};
use tft_core::{Forecaster, Model};

use crate::admin::{ModelName, ModelSource, Reloaded};

/// A model in figures.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ModelCard {
    id: String,
    /// How history becomes inputs.
    encoding: &'static str,
    /// The metrics that it forecasts; none means any.
    targets: Vec<String>,
    variables: Variables,
    quantiles: Vec<f64>,
    step_seconds: i64,
    horizon_steps: usize,
    /// Steps of history that it reads.
    history_steps: usize,
    /// Steps of history with which it starts to be used for a server.
    readiness_threshold_steps: usize,
    hidden_size: usize,
    attention_heads: usize,
    lstm_layers: usize,
    parameters: usize,
    is_calibrated: bool,
    weights_sha256: Option<String>,
}

/// The names of a model's inputs, by when they are known.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Variables {
    /// Of a server, at all times.
    #[serde(rename = "static")]
    pub(crate) fixed: Vec<String>,
    /// Of steps, ahead of them too.
    pub(crate) known: Vec<String>,
    /// Of steps that have passed.
    pub(crate) unknown: Vec<String>,
}

/// The reply of `GET /admin/model-info`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ModelInfoReply<'a> {
    /// The directory among the models; none is the one that the service started with.
    source: Option<String>,
    #[serde(flatten)]
    card: &'a ModelCard,
}

/// The reply of `GET /admin/models`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ModelsReply {
    /// The directory among the models that is used; none is the model that the service started with.
    current: Option<String>,
    /// The directories that can be changed to, sorted.
    models: Vec<String>,
}

/// The reply of `POST /admin/reload-model`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReloadReply {
    status: &'static str,
    model_id: String,
    previous_model_id: String,
    /// The directory among the models; none is the one that the service started with.
    source: Option<String>,
}

impl ModelCard {
    pub(crate) fn new(model: &Model, forecaster: &Forecaster) -> Self {
        let document = model.document();
        let architecture = &document.architecture;
        let (encoding, targets) = match &document.encoding {
            Encoding::PytorchForecasting(encoding) => ("pytorch_forecasting", encoding.targets.clone()),
            Encoding::Univariate(_) => ("univariate", Vec::new()),
            _ => ("other", Vec::new()),
        };
        Self {
            id: model.id().to_owned(),
            encoding,
            targets,
            variables: Variables::of(architecture),
            quantiles: forecaster.quantiles().as_slice().iter().map(|quantile| quantile.level()).collect(),
            step_seconds: document.step_ms.as_millis() / 1000,
            horizon_steps: forecaster.horizon_steps(),
            history_steps: forecaster.history_steps(),
            readiness_threshold_steps: forecaster.history_steps_min(),
            hidden_size: architecture.hidden_size,
            attention_heads: architecture.attention_head_size,
            lstm_layers: architecture.lstm_layers,
            parameters: model.parameters(),
            is_calibrated: document.calibration.is_some(),
            weights_sha256: document.weights_sha256.clone(),
        }
    }
}

impl Variables {
    /// A variable that the decoder has is known ahead; what only the encoder has is not.
    pub(crate) fn of(architecture: &Architecture) -> Self {
        let both = |categoricals: &[String], reals: &[String]| [categoricals, reals].concat();
        let fixed = both(&architecture.static_categoricals, &architecture.static_reals);
        let known =
            both(&architecture.time_varying_categoricals_decoder, &architecture.time_varying_reals_decoder);
        let mut unknown =
            both(&architecture.time_varying_categoricals_encoder, &architecture.time_varying_reals_encoder);
        unknown.retain(|name| !known.contains(name));
        Self { fixed, known, unknown }
    }
}

impl<'a> ModelInfoReply<'a> {
    pub(crate) fn new(source: &ModelSource, card: &'a ModelCard) -> Self {
        Self { source: name_of(source), card }
    }
}

impl ModelsReply {
    pub(crate) fn new(source: &ModelSource, names: &[ModelName]) -> Self {
        let models = names.iter().map(|name| name.as_str().to_owned()).collect();
        Self { current: name_of(source), models }
    }
}

impl From<Reloaded> for ReloadReply {
    fn from(reloaded: Reloaded) -> Self {
        Self {
            status: "reloaded",
            model_id: reloaded.facts.model_id,
            previous_model_id: reloaded.previous_id,
            source: name_of(&reloaded.source),
        }
    }
}

fn name_of(source: &ModelSource) -> Option<String> {
    match source {
        ModelSource::Configured => None,
        ModelSource::Named(name) => Some(name.as_str().to_owned()),
    }
}
