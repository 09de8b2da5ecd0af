//! Schemas of what replies take from `tft-core` as it is.

use schemars::{Schema, SchemaGenerator, json_schema};
use tft_core::alert::{AlertState, Severity, SilenceState};
use tft_core::window::ReadinessState;

pub(super) fn severity(_: &mut SchemaGenerator) -> Schema {
    one_of(&Severity::ALL.map(Severity::as_str))
}

pub(super) fn alert_state(_: &mut SchemaGenerator) -> Schema {
    one_of(&[AlertState::Pending, AlertState::Firing, AlertState::NoData].map(AlertState::as_str))
}

pub(super) fn silence_state(_: &mut SchemaGenerator) -> Schema {
    use SilenceState::{Active, Expired, Pending};
    one_of(&[Pending, Active, Expired].map(SilenceState::as_str))
}

pub(super) fn readiness(_: &mut SchemaGenerator) -> Schema {
    use ReadinessState::{Gap, Ready, Stale, WarmingUp};
    one_of(&[WarmingUp, Ready, Gap, Stale].map(ReadinessState::as_str))
}

pub(super) fn top_risks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": {
        "type": "object",
        "properties": {
            "server": { "type": "string" }, "score": { "type": "number" }, "level": { "type": "string" },
        },
        "required": ["server", "score", "level"],
    } })
}

pub(super) fn rejections(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": {
        "type": "object",
        "properties": {
            "index": { "type": "integer", "minimum": 0, "description": "The record's position, from 0." },
            "field": { "type": "string", "description": "The field at fault, or `record`." },
            "value": { "type": "string", "description": "Its value, abbreviated." },
            "reason": { "type": "string", "description": "What is wrong with it." },
        },
        "required": ["index", "field", "value", "reason"],
    } })
}

fn one_of(words: &[&str]) -> Schema {
    json_schema!({ "type": "string", "enum": words })
}
