//! The OpenAPI 3.1 document, made from the route table and the types that are sent.
//!
//! Owns the frame of the document and what all operations have in common: refusals, headers, security schemes. What is
//! special about a route is beside its handler, in a function that completes an [`Operation`]. Schemas are in JSON
//! Schema 2020-12, which is what OpenAPI 3.1 uses.

mod common;
mod operation;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use tft_core::schema::Schema;

pub(crate) use self::operation::{Operation, instant, integer, one_of, some_of, text};
use crate::routes::ROUTES;

/// Returns the OpenAPI document of a service whose servers have the metrics of `schema`.
///
/// ```
/// let document = tft_service::openapi_document(&tft_core::schema::Schema::server_metrics());
/// assert_eq!(document["openapi"], "3.1.0");
/// assert!(document["paths"]["/feed/data"]["post"]["requestBody"].is_object());
/// ```
pub fn openapi_document(schema: &Schema) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schemas =
        settings.with(|settings| settings.definitions_path = "/components/schemas".into()).into();
    let paths = paths(schema, &mut schemas);
    let responses = common::responses(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "tft-service",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": DESCRIPTION,
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": responses,
            "headers": common::headers(),
            "securitySchemes": common::security_schemes(),
        },
    })
}

fn paths(schema: &Schema, schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operation = route.describe(Operation::new(route, schema, schemas)).finish();
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    paths
}

const DESCRIPTION: &str = "Samples of servers in; forecasts, risk and alerts out. HEAD is answered wherever GET is, \
    without a body, and OPTIONS on every path with the methods that it has. A path that is not listed here is 404, a \
    method that is not listed 405. A request that is refused for what all requests have in common (its Host, network, \
    origin, key or rate) gets the replies that every operation lists.";

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `look` with every object in a document.
    fn visit(value: &Value, look: &mut impl FnMut(&Map<String, Value>)) {
        match value {
            Value::Object(object) => {
                look(object);
                object.values().for_each(|value| visit(value, look));
            }
            Value::Array(list) => list.iter().for_each(|value| visit(value, look)),
            _ => {}
        }
    }

    #[test]
    fn references_lead_somewhere_and_every_route_is_listed() {
        let document = openapi_document(&Schema::server_metrics());
        visit(&document, &mut |object| {
            if let Some(Value::String(target)) = object.get("$ref") {
                let pointer = target.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{target}");
            }
        });
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
            assert_eq!(operation["security"].as_array().unwrap().is_empty(), route.is_open, "{}", route.path);
            let responses = &operation["responses"];
            assert!(responses["200"].is_object() || responses["101"].is_object(), "{}", route.path);
        }
    }
}
