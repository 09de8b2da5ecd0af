//! The OpenAPI document over the wire. That replies are as it says is checked in `contract`, with every test.

use tft_service::routes::ROUTES;

use crate::contract::DOCUMENT;
use crate::harness::TestServer;

#[test]
fn the_document_is_open_and_lists_every_route() {
    let server = TestServer::start();
    let reply = server.request("GET", "/openapi.json").send();
    assert_eq!((reply.status, reply.json()), (200, DOCUMENT.clone()));
    let paths = reply.json()["paths"].clone();
    let operations: usize =
        paths.as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(operations, ROUTES.len());
}

#[test]
fn what_a_feed_may_hold_is_what_the_schema_has() {
    let records = &DOCUMENT["paths"]["/feed/data"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        ["properties"]["records"];
    assert_eq!(records["description"], "At most 10000.");
    let cpu = &records["items"]["properties"]["cpu_user_pct"];
    assert_eq!(
        (&cpu["minimum"], &cpu["maximum"], &cpu["description"]),
        (&0.0.into(), &100.0.into(), &"%".into())
    );
}
