//! One operation of the document under construction.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use tft_core::schema::Schema;

use super::common;
use crate::http::ARROW_STREAM;
use crate::routes::Route;

/// One operation of the document under construction.
pub(crate) struct Operation<'d> {
    route: &'d Route,
    schema: &'d Schema,
    schemas: &'d mut SchemaGenerator,
    parameters: Vec<Value>,
    body: Option<Value>,
    replies: Map<String, Value>,
}

#[expect(clippy::needless_pass_by_value, reason = "schemas are built in place and end up in the document")]
impl<'d> Operation<'d> {
    /// Begins with the refusals that every route of this kind has.
    pub(super) fn new(route: &'d Route, schema: &'d Schema, schemas: &'d mut SchemaGenerator) -> Self {
        let operation =
            Self { route, schema, schemas, parameters: Vec::new(), body: None, replies: Map::new() };
        let operation = operation.refuses(&[400, 403, 431, 500, 503]);
        if route.is_open { operation } else { operation.refuses(&[401, 429]) }
    }

    /// Returns what is measured.
    pub(crate) fn schema(&self) -> &Schema {
        self.schema
    }

    /// Returns a reference to the schema of a type.
    pub(crate) fn schema_of<T: JsonSchema>(&mut self) -> Value {
        self.schemas.subschema_for::<T>().to_value()
    }

    /// Adds a parameter of the query, which may be left out, or be empty, which is the same.
    pub(crate) fn query(mut self, name: &str, description: &str, mut schema: Value) -> Self {
        if let Some(Value::Array(words)) = schema.get_mut("enum") {
            words.push("".into());
        }
        self.parameters
            .push(json!({ "name": name, "in": "query", "description": description, "schema": schema }));
        self
    }

    /// Adds the path's parameter, and the reply to a name that is not known.
    pub(crate) fn path(mut self, name: &str, description: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": description, "schema": schema,
        }));
        self.refuses(&[404])
    }

    /// Adds a body of JSON, and the refusals of bodies.
    pub(crate) fn body(mut self, is_required: bool, schema: Value) -> Self {
        self.body = Some(json!({
            "required": is_required, "content": { "application/json": { "schema": schema } },
        }));
        self.refuses(&[408, 413, 415])
    }

    /// Says that the body may also be an Arrow stream.
    pub(crate) fn or_arrow_body(mut self) -> Self {
        if let Some(body) = &mut self.body {
            body["content"][ARROW_STREAM] = json!({});
        }
        self
    }

    /// Adds a reply of a type as JSON.
    pub(crate) fn replies<T: JsonSchema>(mut self, status: u16, description: &str) -> Self {
        let schema = self.schema_of::<T>();
        self.replies_with(status, "application/json", description, schema)
    }

    /// Adds a reply of any type; one more for the same status if it has another media type.
    pub(crate) fn replies_with(
        mut self,
        status: u16,
        media_type: &str,
        description: &str,
        schema: Value,
    ) -> Self {
        let headers = common::headers_of(self.route);
        let reply = self.replies.entry(status.to_string());
        let reply = reply.or_insert_with(|| json!({ "description": description, "content": {} }));
        reply["headers"] = headers;
        reply["content"][media_type] = json!({ "schema": schema });
        self
    }

    /// Adds a reply without a body.
    pub(crate) fn replies_empty(mut self, status: u16, description: &str) -> Self {
        self.replies.insert(status.to_string(), json!({ "description": description }));
        self
    }

    /// Adds a reply as JSON for a status that is also that of a refusal.
    pub(crate) fn replies_or_refuses(self, status: u16, description: &str, schema: Value) -> Self {
        let schema = json!({ "anyOf": [schema, common::problem(self.schemas)] });
        let mut operation = self;
        operation.replies.remove(&status.to_string());
        operation.replies_with(status, "application/json", description, schema)
    }

    /// Adds refusals by their status.
    pub(crate) fn refuses(mut self, statuses: &[u16]) -> Self {
        for &status in statuses {
            self.replies.insert(status.to_string(), common::response(status));
        }
        self
    }

    pub(super) fn finish(self) -> Value {
        let Self { route, parameters, body, replies, .. } = self;
        let security = if route.is_open { json!([]) } else { json!([{ "key": [] }, { "token": [] }]) };
        let mut operation = json!({
            "operationId": operation_id(route),
            "summary": route.summary,
            "security": security,
            "parameters": parameters,
            "responses": replies,
        });
        if !route.is_open {
            operation["description"] = format!("Needs the scope `{}`.", route.scope.name()).into();
        }
        if let Some(body) = body {
            operation["requestBody"] = body;
        }
        operation
    }
}

/// Returns a name like `get_predictions_current`.
fn operation_id(route: &Route) -> String {
    let path = route.path.replace(['/', '-', '.'], "_").replace(['{', '}'], "");
    format!("{}{path}", route.method.as_str().to_ascii_lowercase())
}

/// The schema of text.
pub(crate) fn text() -> Value {
    json!({ "type": "string" })
}

/// The schema of an instant in a query, as [`Timestamp::parse`](tft_core::time::Timestamp::parse) reads it.
pub(crate) fn instant() -> Value {
    // From the year 1 in seconds to the year 9999 in milliseconds.
    let unix =
        json!({ "type": "number", "minimum": -62_135_596_800_i64, "maximum": 253_402_300_799_999_i64 });
    json!({ "anyOf": [{ "type": "string", "format": "date-time" }, unix] })
}

/// The schema of some of some words, separated by commas.
pub(crate) fn some_of(words: &[&str]) -> Value {
    let word = words.join("|");
    json!({ "type": "string", "pattern": format!("^(({word})(,({word}))*)?$") })
}

/// The schema of a whole number within bounds.
pub(crate) fn integer(min: usize, max: usize) -> Value {
    json!({ "type": "integer", "minimum": min, "maximum": max })
}

/// The schema of one of some words.
pub(crate) fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}
