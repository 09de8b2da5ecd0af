//! Every reply that a test receives is held against the OpenAPI document: path, method, status, type, headers, body.
//!
//! Understands the keywords that the document uses, and fails on any other.

use std::sync::LazyLock;

use serde_json::{Map, Value};
use tft_core::schema::Schema;

use crate::client::Reply;

pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| tft_service::openapi_document(&Schema::server_metrics()));

/// Fails if the document does not have this reply.
pub(crate) fn check(method: &str, target: &str, reply: &Reply) {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let here =
        format!("{method} {path}: {} {}", reply.status, reply.body.chars().take(500).collect::<String>());
    let response = resolve(response_to(method, path, reply.status, &here));
    for name in response["headers"].as_object().into_iter().flat_map(Map::keys) {
        check_header(name, reply, &here);
    }
    let Some(content) = response["content"].as_object().filter(|_| !reply.body.is_empty()) else { return };
    let given = reply.header("Content-Type").unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default();
    let media_type = content.get(essence).unwrap_or_else(|| panic!("{given} is not documented: {here}"));
    match media_type.get("schema") {
        Some(schema) if essence == "application/json" => validate(&reply.json(), schema, &here),
        _ => {}
    }
}

/// Finds the reply of an operation; what no operation has is a refusal of what all have in common.
fn response_to(method: &str, path: &str, status: u16, here: &str) -> &'static Value {
    let component = |name: &str| &DOCUMENT["components"]["responses"][name];
    let method = if method == "HEAD" { "get" } else { &*method.to_ascii_lowercase() };
    let item = DOCUMENT["paths"].as_object().unwrap().iter().find(|(pattern, _)| matches(pattern, path));
    let operation = item.and_then(|(_, item)| item.get(method));
    let common = match (status, item, method) {
        (204, Some(_), "options") => return &Value::Null,
        (404, None, _) => Some("NotFound"),
        (405, Some(_), _) if operation.is_none() => Some("MethodNotAllowed"),
        (400, ..) if operation.is_none() => Some("BadRequest"),
        (403, ..) if operation.is_none() => Some("Forbidden"),
        _ => None,
    };
    let documented = operation.map(|operation| &operation["responses"][status.to_string()]);
    let found = common.map(component).or(documented);
    found.filter(|found| !found.is_null()).unwrap_or_else(|| panic!("this reply is not documented: {here}"))
}

fn matches(pattern: &str, path: &str) -> bool {
    let (wanted, given) = (pattern.split('/'), path.split('/'));
    let is_same = |(wanted, given): (&str, &str)| wanted == given || wanted.starts_with('{');
    wanted.clone().count() == given.clone().count() && wanted.zip(given).all(is_same)
}

/// Only quotas may be missing: they are told of calls that were counted.
fn check_header(name: &str, reply: &Reply, here: &str) {
    let schema = &DOCUMENT["components"]["headers"][name]["schema"];
    match reply.header(name) {
        None => assert!(name.starts_with("X-RateLimit"), "{name} is missing: {here}"),
        Some(text) if schema["type"] == "integer" => {
            let number: u64 = text.parse().unwrap_or_else(|_| panic!("{name} is no number: {here}"));
            validate(&number.into(), schema, here);
        }
        Some(_) => {}
    }
}

fn resolve(value: &'static Value) -> &'static Value {
    value.get("$ref").map_or(value, |target| pointed_at(target.as_str().unwrap()))
}

fn pointed_at(target: &str) -> &'static Value {
    DOCUMENT.pointer(target.trim_start_matches('#')).unwrap_or_else(|| panic!("{target} leads nowhere"))
}

/// Fails if a value is not as a schema says.
pub(crate) fn validate(value: &Value, schema: &Value, here: &str) {
    if let Some(fault) = fault_of(value, schema) {
        panic!("{fault}: {here}");
    }
}

fn fault_of(value: &Value, schema: &Value) -> Option<String> {
    if schema.is_boolean() {
        return (schema == false).then(|| format!("{value} may not be there"));
    }
    schema.as_object()?.iter().find_map(|(keyword, rule)| fault_of_rule(value, keyword, rule, schema))
}

fn fault_of_rule(value: &Value, keyword: &str, rule: &Value, schema: &Value) -> Option<String> {
    let is_kept = match keyword {
        "description" | "title" | "format" | "examples" | "$schema" => true,
        "$ref" => return fault_of(value, pointed_at(rule.as_str()?)),
        "type" => match rule {
            Value::Array(types) => types.iter().any(|kind| is_of_type(value, kind)),
            kind => is_of_type(value, kind),
        },
        "const" => value == rule,
        "enum" => rule.as_array()?.contains(value),
        "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
        "required" => {
            let names = rule.as_array()?;
            value
                .as_object()
                .is_none_or(|object| names.iter().all(|name| object.contains_key(name.as_str().unwrap())))
        }
        "properties" => {
            let properties = rule.as_object()?;
            return value
                .as_object()?
                .iter()
                .find_map(|(name, value)| fault_of(value, properties.get(name)?));
        }
        "additionalProperties" => {
            let known = schema["properties"].as_object();
            let others = value.as_object()?.iter();
            let mut others = others.filter(|(name, _)| !known.is_some_and(|known| known.contains_key(*name)));
            return others.find_map(|(_, value)| fault_of(value, rule));
        }
        "items" => return value.as_array()?.iter().find_map(|item| fault_of(item, rule)),
        "anyOf" => rule.as_array()?.iter().any(|schema| fault_of(value, schema).is_none()),
        "allOf" => return rule.as_array()?.iter().find_map(|schema| fault_of(value, schema)),
        _ => panic!("the keyword {keyword} is not understood"),
    };
    (!is_kept).then(|| format!("{value} is not as {keyword} {rule} says"))
}

fn is_of_type(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        kind => panic!("the type {kind} is not understood"),
    }
}

#[test]
fn what_is_not_documented_is_found() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "a": { "type": ["integer", "null"], "minimum": 0 } },
        "required": ["a"],
        "additionalProperties": { "anyOf": [{ "type": "string" }, { "enum": [true] }] },
    });
    let is_good = |text: &str| fault_of(&serde_json::from_str(text).unwrap(), &schema).is_none();
    assert!(is_good(r#"{"a":1}"#) && is_good(r#"{"a":null,"b":"x","c":true}"#));
    for bad in [r#"{"a":-1}"#, r#"{"a":1.5}"#, "{}", "[]", r#"{"a":1,"b":2}"#, r#"{"a":1,"b":false}"#] {
        assert!(!is_good(bad), "{bad}");
    }
}
