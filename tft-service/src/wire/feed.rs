//! The schema of a feed as JSON.

use serde_json::{Map, Value, json};
use tft_core::schema::{Profile, Schema, ServerName};
use tft_core::window::FeedLimits;

/// Returns what a feed may look like; records with other fields are taken, and the fields ignored.
pub(crate) fn feed_schema(schema: &Schema) -> Value {
    let name = json!({
        "type": "string", "minLength": 1, "maxLength": ServerName::LENGTH_MAX, "pattern": "^[A-Za-z0-9._:-]+$",
    });
    let mut properties: Map<String, Value> = Map::new();
    for metric in schema.metrics() {
        let mut value = json!({ "type": ["number", "null"], "description": metric.unit });
        for (bound, limit) in [("minimum", metric.min), ("maximum", metric.max)] {
            if let Some(limit) = limit {
                value[bound] = limit.into();
            }
        }
        properties.insert(metric.name.clone(), value);
    }
    properties.insert(
        "timestamp".into(),
        json!({
            "type": ["string", "number"],
            "description": "RFC 3339, or seconds or milliseconds since 1970; not late and not in the future.",
        }),
    );
    properties.insert("server_name".into(), name);
    let profile = json!({
        "type": ["string", "null"], "minLength": 1, "maxLength": Profile::LENGTH_MAX, "pattern": "^[A-Za-z0-9_-]+$",
    });
    properties.insert("profile".into(), profile);
    properties.insert("status".into(), json!({ "type": "string", "examples": schema.statuses().states }));
    json!({
        "type": "object",
        "properties": { "records": {
            "type": "array",
            // No `maxItems`: more records are not malformed but too large, which is another status.
            "description": format!("At most {}.", FeedLimits::default().records_max),
            "items": { "type": "object", "properties": properties, "required": ["timestamp", "server_name"] },
        } },
        "required": ["records"],
    })
}
