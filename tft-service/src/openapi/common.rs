//! What operations have in common: refusals, headers, security schemes.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::http::{Problem, RateLimited, ScopeMissing};
use crate::routes::Route;

/// A refusal: its status, its name in the document, and when it is sent.
type RefusalDoc = (u16, &'static str, &'static str);

const REFUSALS: [RefusalDoc; 16] = [
    (400, "BadRequest", "The request is malformed, or calls the service by a name that it does not have."),
    (401, "Unauthorized", "The token is missing or not valid, or, where so configured, the key."),
    (
        403,
        "Forbidden",
        "The key is missing or wrong, or may not do this; or the network or page may not call.",
    ),
    (404, "NotFound", "There is no such path, server or model."),
    (405, "MethodNotAllowed", "The path does not have this method."),
    (406, "NotAcceptable", "The format that is asked for is not offered."),
    (408, "BodyTimeout", "The request's body did not arrive in time."),
    (409, "Conflict", "Another change is under way."),
    (413, "BodyTooLarge", "The request's body is larger, or has more records, than is allowed."),
    (415, "UnsupportedMediaType", "The request's body is of another type than those listed, or encoded."),
    (422, "Unprocessable", "What is asked for cannot be done with what is there."),
    (426, "UpgradeRequired", "This path is for requests that open a WebSocket."),
    (429, "TooManyRequests", "The client has used up its quota, or tried too many wrong keys."),
    (
        431,
        "HeadersTooLarge",
        "The request's line and headers are larger than is allowed; the connection ends.",
    ),
    (500, "Internal", "The service failed; its log says why."),
    (503, "Busy", "The service cannot do this now: send it again later."),
];

/// Returns the reference to a refusal.
///
/// # Panics
/// If the status is not in the table, which the test of the whole document would show.
pub(super) fn response(status: u16) -> Value {
    let known = REFUSALS.iter().find(|refusal| refusal.0 == status);
    let name = known.expect("invariant: routes list refusals of the table").1;
    json!({ "$ref": format!("#/components/responses/{name}") })
}

pub(super) fn responses(schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let (problem, limited) = (reference::<Problem>(schemas), reference::<RateLimited>(schemas));
    let forbidden = json!({ "anyOf": [&problem, reference::<ScopeMissing>(schemas)] });
    // Streams are limited by their number, too.
    let too_many = json!({ "anyOf": [limited, &problem] });
    let response = |&(status, name, description): &RefusalDoc| {
        let mut response = json!({ "description": description });
        // Comes from the connection, before there is a request.
        if status != 431 {
            let schema = match status {
                403 => &forbidden,
                429 => &too_many,
                _ => &problem,
            };
            response["headers"] = headers_of_refusal(status);
            response["content"] = json!({ "application/json": { "schema": schema } });
        }
        (name.to_owned(), response)
    };
    REFUSALS.iter().map(response).collect()
}

/// Returns a reference to the schema of most refusals.
pub(super) fn problem(schemas: &mut SchemaGenerator) -> Value {
    reference::<Problem>(schemas)
}

fn reference<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

/// Returns the headers of a reply that is no refusal.
pub(super) fn headers_of(route: &Route) -> Value {
    let names: &[&str] = if route.is_open { &["X-Request-Id"] } else { &LIMITED };
    references(names)
}

fn headers_of_refusal(status: u16) -> Value {
    match status {
        401 => references(&["X-Request-Id", "WWW-Authenticate"]),
        426 => references(&["X-Request-Id", "Upgrade"]),
        405 => references(&["X-Request-Id", "Allow"]),
        429 => references(&[&LIMITED[..], &["Retry-After"]].concat()),
        503 => references(&["X-Request-Id", "Retry-After"]),
        _ => references(&["X-Request-Id"]),
    }
}

fn references(names: &[&str]) -> Value {
    let reference =
        |name: &&str| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    Value::Object(names.iter().map(reference).collect())
}

/// What every reply to a limited route may have; without a limit configured for it, or when it is refused before it
/// is counted, it has no quota to tell.
const LIMITED: [&str; 4] =
    ["X-Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];

pub(super) fn headers() -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let number = |description: &str, minimum: u32| json!({ "description": description, "schema": { "type": "integer", "minimum": minimum } });
    json!({
        "X-Request-Id": text("The request's name in the logs."),
        "X-RateLimit-Limit": number("Calls that may be made per window.", 1),
        "X-RateLimit-Remaining": number("Calls that may follow at once.", 0),
        "X-RateLimit-Reset": number("When the oldest counted call leaves the window, in Unix seconds.", 0),
        "Retry-After": number("Seconds until a call can pass again.", 1),
        "Allow": text("The methods that the path has."),
        "Upgrade": text("What the connection must become."),
        "WWW-Authenticate": text("How to authenticate."),
    })
}

pub(super) fn security_schemes() -> Value {
    json!({
        "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
        "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "Where tokens are configured." },
    })
}
