//! The document that SDKs are made of.

use std::path::Path;

/// `UPDATE_OPENAPI=1 cargo test -p chancery-api` rewrites the file.
#[test]
fn the_document_that_is_checked_in_is_the_one_that_handlers_give() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
    let generated = chancery_api::openapi_json();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == generated, "openapi.json is stale; run with UPDATE_OPENAPI=1 or `cargo xtask gen`");
}

#[test]
fn it_is_3_1_and_every_operation_is_described() {
    let document: serde_json::Value = serde_json::from_str(&chancery_api::openapi_json()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
            let oauth = chancery_api::OAUTH.contains(&operation["operationId"].as_str().unwrap());
            let refusal = format!("#/components/responses/{}", if oauth { "OAuthError" } else { "Problem" });
            assert_eq!(operation["responses"]["4XX"]["$ref"], refusal, "{method} {path}");
            assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{method} {path}");
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}
