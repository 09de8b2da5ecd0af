//! The text of `model info`.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use tft_core::Model;
use tft_core::model::{
    Architecture, DatasetEncoding, Encoding, GroupNorm, Normalizer, TargetNormalizer, TargetScaleLookup,
    UnivariateEncoding,
};

/// A text of named lines.
#[derive(Default)]
struct Lines(String);

/// Returns a line per fact about a model.
pub(super) fn text(model: &Model) -> String {
    let document = model.document();
    let mut lines = Lines::default();
    lines.add("id", model.id());
    lines.add("step", format_args!("{} s", document.step_ms.as_millis() as f64 / 1000.0));
    lines.add("parameters", model.parameters());
    lines.add_network(&document.architecture);
    match &document.encoding {
        Encoding::PytorchForecasting(encoding) => lines.add_dataset(encoding, &document.architecture),
        Encoding::Univariate(encoding) => lines.add_univariate(encoding, &document.architecture),
        _ => lines.add("encoding", "unknown to this program"),
    }
    let checksum = document.weights_sha256.as_deref().map(|checksum| format!("SHA-256 {checksum}, checked"));
    lines.add("weights", checksum.as_deref().unwrap_or("without a checksum"));
    lines.0
}

impl Lines {
    /// Labels shown of a group variable.
    const LABELS_SHOWN: usize = 8;

    fn add(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:<18} {value}");
    }

    fn add_names(&mut self, role: &str, names: &[&String]) {
        let list: Vec<_> = names.iter().map(|name| name.as_str()).collect();
        let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        self.add(role, list);
    }

    fn add_network(&mut self, architecture: &Architecture) {
        let Architecture { hidden_size, attention_head_size: heads, lstm_layers, .. } = architecture;
        self.add(
            "network",
            format_args!("hidden size {hidden_size}, attention heads {heads}, LSTM layers {lstm_layers}"),
        );
    }

    fn add_dataset(&mut self, encoding: &DatasetEncoding, architecture: &Architecture) {
        let (min, max) = (encoding.min_encoder_length, encoding.max_encoder_length);
        self.add("encoder steps", format_args!("{min} to {max}"));
        self.add("decoder steps", encoding.max_prediction_length);
        self.add_variables(architecture);
        let normalizers = match &encoding.target_normalizer {
            TargetNormalizer::Multi { normalizers } => normalizers.as_slice(),
            TargetNormalizer::Single(normalizer) => std::slice::from_ref(normalizer),
        };
        for ((target, normalizer), levels) in
            encoding.targets.iter().zip(normalizers).zip(&architecture.quantiles)
        {
            let levels = joined(levels);
            self.add("target", format_args!("{target}: quantiles {levels}; {}", described(normalizer)));
        }
        self.add_scalers(encoding);
        self.add_groups(encoding);
        self.add("scale look-up", lookup(encoding.target_scale_lookup));
    }

    /// Reals by what they are scaled with.
    fn add_scalers(&mut self, encoding: &DatasetEncoding) {
        let mut reals_of: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for (real, scaler) in &encoding.scalers {
            let scaler = scaler.as_ref().map_or_else(|| "no scaler".to_owned(), described);
            reals_of.entry(scaler).or_default().push(real);
        }
        for (scaler, reals) in reals_of {
            let reals: Vec<_> = reals.into_iter().map(String::as_str).collect();
            self.add("scaled", format_args!("{}: {scaler}", reals.join(", ")));
        }
    }

    fn add_univariate(&mut self, encoding: &UnivariateEncoding, architecture: &Architecture) {
        self.add("encoder steps", encoding.encoder_length);
        self.add("decoder steps", encoding.prediction_length);
        self.add(
            "history steps",
            format_args!("{} to {}", encoding.history_steps_min, encoding.history_steps()),
        );
        self.add_variables(architecture);
        let levels = architecture.quantiles.first().map(|levels| joined(levels)).unwrap_or_default();
        self.add("target", format_args!("any metric: quantiles {levels}; scaled by its own history"));
    }

    /// A variable that the decoder has is known ahead; what only the encoder has is not.
    fn add_variables(&mut self, architecture: &Architecture) {
        let both =
            |categoricals, reals| -> Vec<&String> { [categoricals, reals].into_iter().flatten().collect() };
        let statics = both(&architecture.static_categoricals, &architecture.static_reals);
        let known =
            both(&architecture.time_varying_categoricals_decoder, &architecture.time_varying_reals_decoder);
        let mut unknown =
            both(&architecture.time_varying_categoricals_encoder, &architecture.time_varying_reals_encoder);
        unknown.retain(|name| !known.contains(name));
        self.add_names("static", &statics);
        self.add_names("known", &known);
        self.add_names("unknown", &unknown);
    }

    fn add_groups(&mut self, encoding: &DatasetEncoding) {
        for group in &encoding.group_ids {
            let own = encoding.categorical_encoders.get(&format!("__group_id__{group}"));
            let encoder = own.or_else(|| encoding.categorical_encoders.get(group));
            let Some(encoder) = encoder else {
                self.add("group", format_args!("{group}: any"));
                continue;
            };
            let count = encoder.classes.len();
            let labels = encoder.classes.iter().take(Self::LABELS_SHOWN).map(|(label, _)| label.as_str());
            let labels = labels.collect::<Vec<_>>().join(", ");
            let more = if count > Self::LABELS_SHOWN { " …" } else { "" };
            self.add("group", format_args!("{group}: {count} known: {labels}{more}"));
        }
    }
}

fn joined(numbers: &[f64]) -> String {
    numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")
}

/// Names a normaliser, what it transforms with, and whose constants it has.
fn described(normalizer: &Normalizer) -> String {
    let (name, scope) = match normalizer {
        Normalizer::GroupNormalizer { norm: GroupNorm::Global(_), .. } => {
            ("GroupNormalizer", "one for all".into())
        }
        Normalizer::GroupNormalizer { groups, norm, .. } => {
            let each = if matches!(norm, GroupNorm::ByVariable(_)) { "each of " } else { "" };
            ("GroupNormalizer", format!("by {each}{}", groups.join(", ")))
        }
        Normalizer::EncoderNormalizer(_) => ("EncoderNormalizer", "by the window".into()),
        Normalizer::TorchNormalizer { .. } => ("TorchNormalizer", "one for all".into()),
        Normalizer::StandardScaler { .. } => ("affine scaler", "one for all".into()),
        _ => ("another normaliser", String::new()),
    };
    let transformation = normalizer.transformation().map(|kind| format!("{kind:?}").to_lowercase() + ", ");
    format!("{name}, {}{scope}", transformation.unwrap_or_default())
}

fn lookup(lookup: TargetScaleLookup) -> &'static str {
    match lookup {
        TargetScaleLookup::GroupCode => {
            "group_code: outputs are scaled back with what the reference finds by its hidden group codes, which may \
             be another group's constants"
        }
        TargetScaleLookup::VisibleCode => {
            "visible_code: outputs are scaled back with the constants that inputs were scaled with"
        }
        _ => "unknown to this program",
    }
}
