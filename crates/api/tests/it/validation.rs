//! Strict input: each operation of `openapi.json` that takes a JSON body × what a hostile or a careless client sends (IV-01…05, IV-09).
//!
//! Every case must be refused before anything is done, with one entry per bad field, and with nothing of the input in the answer.

use std::cell::RefCell;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Request};
use serde_json::{Map, Value, json};

use crate::{
    access::World,
    app::{Caller, Reply, TestApp, request},
};

/// What nobody may ever read back.
const MARKER: &str = "Zz-Jane-6789";

/// An operation with a JSON body.
struct Operation {
    what: String,
    method: String,
    path: String,
    /// `None` for those that anybody may call.
    caller: Option<Caller>,
    body: Map<String, Value>,
    /// The schema of the body, with references followed.
    schema: Value,
}

impl Operation {
    fn request(&self, path: &str, content_type: &str, bytes: impl Into<Body>) -> Request<Body> {
        let mut request = request(&self.method, path, None);
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        *request.body_mut() = bytes.into();
        match &self.caller {
            Some(caller) => caller.sign(request),
            None => request,
        }
    }

    fn with(&self, bytes: impl Into<Body>) -> Request<Body> {
        self.request(&self.path, "application/json", bytes)
    }

    fn text(&self) -> String {
        Value::Object(self.body.clone()).to_string()
    }
}

/// Follows a `$ref`.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(place) => resolved(document, document.pointer(place.trim_start_matches('#')).unwrap()),
        None => schema,
    }
}

fn operations(document: &Value, world: &World) -> Vec<Operation> {
    let mut all = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let id = operation["operationId"].as_str().unwrap();
            if schema.is_null() {
                continue;
            }
            let expect = world.expectations.get(id);
            let mut path = expect.map_or_else(|| template.clone(), |expect| expect.path.clone());
            if expect.is_some_and(|expect| expect.refuses == Some("key.managed")) {
                // Chancery's own keys refuse whatever the body says; the clinic's read it first.
                path = path.replace(&world.keys[0], &world.keys[1]);
            }
            let body = expect.and_then(|expect| expect.body.clone()).unwrap_or_else(|| json!({}));
            all.push(Operation {
                what: format!("{id}: {method} {template}"),
                method: method.to_uppercase(),
                path,
                caller: expect.map(|expect| expect.may.clone()),
                body: body.as_object().unwrap().clone(),
                schema: resolved(document, schema).clone(),
            });
        }
    }
    assert!(all.len() > 30, "only {} operations take a body", all.len());
    all
}

thread_local! {
    /// What was answered in another way than it should be: all of it is shown at the end, not the first alone.
    static SURPRISES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn surprise(what: String) {
    SURPRISES.with_borrow_mut(|all| all.push(what));
}

#[track_caller]
fn nothing_surprised() {
    let all = SURPRISES.take();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

fn refused(reply: &Reply, allowed: &[(u16, &str)], what: &str) -> bool {
    let status = reply.status.as_u16();
    let code = if status >= 400 { reply.code() } else { "ok".to_owned() };
    let expected = allowed.iter().any(|(s, c)| status == *s && code == *c);
    if !expected {
        surprise(format!("{what}: {status} {}", reply.text()));
    }
    let headers = format!("{:?}", reply.headers);
    for hidden in [MARKER, "6789", "Jane"] {
        // The id of a request has four digits in a row by chance.
        let in_headers = hidden != "6789" && headers.contains(hidden);
        if reply.text().contains(hidden) || in_headers {
            surprise(format!("{what} repeats the input: {}", reply.text()));
        }
    }
    expected && status >= 400
}

const MALFORMED: (u16, &str) = (400, "request.malformed");
const INVALID: (u16, &str) = (422, "request.invalid");

/// Each of the pointers at which something is wrong.
fn pointers(reply: &Reply) -> Vec<String> {
    let errors = reply.json()["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

async fn unknown_fields(app: &TestApp, operation: &Operation) {
    let what = &operation.what;
    let mut body = operation.body.clone();
    body.insert("colour".to_owned(), json!(MARKER));
    body.insert("shape".to_owned(), json!({ "name": MARKER }));
    body.insert(MARKER.to_owned(), json!(1));
    let reply = app.send(operation.with(Value::Object(body).to_string())).await;
    if !refused(&reply, &[INVALID], what) {
        return;
    }
    let pointers = pointers(&reply);
    for expected in ["/colour", "/shape"] {
        if pointers.iter().filter(|pointer| *pointer == expected).count() != 1 {
            surprise(format!("{what}: {expected} is not told once: {}", reply.text()));
        }
    }
}

async fn keys_that_come_twice(app: &TestApp, operation: &Operation) {
    let name = operation.body.keys().next().cloned().or_else(|| first_property(operation));
    let Some(name) = name else { return };
    let twice = format!("{{\"{name}\":\"{MARKER}\",\"{name}\":\"{MARKER}\"}}");
    refused(&app.send(operation.with(twice)).await, &[MALFORMED], &operation.what);
    // One that is written in another way is the same key.
    let escaped: String = name.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
    let twice = format!("{{\"{name}\":\"{MARKER}\",\"{escaped}\":\"{MARKER}\"}}");
    refused(&app.send(operation.with(twice)).await, &[MALFORMED], &operation.what);
}

fn first_property(operation: &Operation) -> Option<String> {
    operation.schema["properties"].as_object()?.keys().next().cloned()
}

/// What takes any JSON there is; whether it makes sense is the operation's own question.
const ANY_JSON: [&str; 3] = ["document", "envelope", "metadata"];

/// A value that a property of this type cannot have.
fn wrong(schema: &Value) -> Option<Value> {
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let fits = |kind: &str| kinds.contains(&kind);
    let candidates = [
        ("string", json!(MARKER)),
        ("array", json!([[[MARKER]]])),
        ("boolean", json!(true)),
        ("object", json!({ "name": MARKER })),
    ];
    candidates.into_iter().find(|(kind, _)| !fits(kind)).map(|(_, value)| value)
}

async fn wrong_types(app: &TestApp, document: &Value, operation: &Operation) {
    let none = Map::new();
    for (name, schema) in operation.schema["properties"].as_object().unwrap_or(&none) {
        if ANY_JSON.contains(&name.as_str()) {
            continue;
        }
        let Some(value) = wrong(resolved(document, schema)) else { continue };
        let mut body = operation.body.clone();
        body.insert(name.clone(), value);
        let what = format!("{} with another type of {name}", operation.what);
        let reply = app.send(operation.with(Value::Object(body).to_string())).await;
        if !refused(&reply, &[INVALID], &what) {
            continue;
        }
        let pointers = pointers(&reply);
        if !pointers.iter().any(|pointer| pointer.starts_with(&format!("/{name}"))) {
            surprise(format!("{what} is told elsewhere: {}", reply.text()));
        }
        let mut once = pointers.clone();
        once.sort();
        once.dedup();
        if once.len() != pointers.len() {
            surprise(format!("{what}: an entry comes twice: {}", reply.text()));
        }
    }
    for whole in ["[]", "7", "true", &format!("\"{MARKER}\"")] {
        refused(&app.send(operation.with(whole.to_owned())).await, &[INVALID], &operation.what);
    }
}

async fn odd_bytes(app: &TestApp, operation: &Operation) {
    let what = &operation.what;
    let marked = |before: &[u8], after: &[u8]| [before, MARKER.as_bytes(), after].concat();
    let name = first_property(operation).unwrap_or_else(|| "name".to_owned());
    let cases: [Vec<u8>; 7] = [
        marked(b"{\"", b""),
        marked(b"{\"name\":\"\xff", b"\"}"),
        marked(b"\xef\xbb\xbf{\"a\":\"", b"\"}"),
        marked(format!("{{\"{name}\":\"\\ud800").as_bytes(), b"\"}"),
        marked(format!("{{\"{name}\":\"\\udc00\\ud800").as_bytes(), b"\"}"),
        marked(b"{} ", b""),
        marked(&[b"{\"a\":".as_slice(), b"[".repeat(200).as_slice(), b"\""].concat(), b"\""),
    ];
    for (number, bytes) in cases.into_iter().enumerate() {
        // A string that is no text may also be told as a fault of its field.
        let reply = app.send(operation.with(bytes)).await;
        refused(&reply, &[MALFORMED, INVALID], &format!("{what} with odd bytes {number}"));
    }
}

async fn other_bodies(app: &TestApp, operation: &Operation) {
    let what = &operation.what;
    for kind in
        ["text/plain", "application/xml", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
    {
        let reply = app.send(operation.request(&operation.path, kind, operation.text())).await;
        refused(&reply, &[(415, "request.media_type")], what);
    }
    let mut packed = operation.with(operation.text());
    packed.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
    refused(&app.send(packed).await, &[(415, "request.media_type")], what);

    let mut announced = operation.with(Body::empty());
    announced.headers_mut().insert("content-length", HeaderValue::from_static("9000000"));
    refused(&app.send(announced).await, &[(413, "request.too_large")], what);
}

async fn parameters_and_headers_that_come_twice(app: &TestApp, operation: &Operation) {
    let what = &operation.what;
    let mark = if operation.path.contains('?') { '&' } else { '?' };
    let twice = format!("{}{mark}colour={MARKER}&colour={MARKER}", operation.path);
    let reply = app.send(operation.request(&twice, "application/json", operation.text())).await;
    refused(&reply, &[MALFORMED], what);
    let unknown = format!("{}{mark}colour={MARKER}", operation.path);
    let reply = app.send(operation.request(&unknown, "application/json", operation.text())).await;
    refused(&reply, &[INVALID], what);

    let doubled = |name: &'static str, value: &str| {
        let mut sent = operation.with(operation.text());
        sent.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        sent
    };
    refused(&app.send(doubled("content-type", "application/json")).await, &[(415, "request.media_type")], what);
    refused(&app.send(doubled("host", "chancery.test")).await, &[MALFORMED], what);
    if let Some(caller) = &operation.caller {
        let same = format!("Bearer {}", caller.bearer);
        let reply = app.send(doubled("authorization", &same)).await;
        refused(&reply, &[(401, "auth.credential_conflict")], what);
    }
}

#[tokio::test]
async fn every_body_is_checked_before_anything_is_done() {
    let world = World::new().await;
    let app = &world.app;
    let document = app.anonymous("GET", "/openapi.json", None).await.ok();
    for operation in operations(&document, &world) {
        unknown_fields(app, &operation).await;
        keys_that_come_twice(app, &operation).await;
        wrong_types(app, &document, &operation).await;
        odd_bytes(app, &operation).await;
        other_bodies(app, &operation).await;
        parameters_and_headers_that_come_twice(app, &operation).await;
    }
    nothing_surprised();
}

/// What the operations without a JSON body, too, refuse: a parameter or a header that comes twice, a body where none belongs.
#[tokio::test]
async fn every_operation_refuses_what_can_be_read_in_two_ways() {
    let world = World::new().await;
    let app = &world.app;
    let document = app.anonymous("GET", "/openapi.json", None).await.ok();
    let mut seen = 0;
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let Some(expect) = world.expectations.get(id) else { continue };
            let (what, method) = (format!("{id}: {method} {template}"), method.to_uppercase());
            seen += 1;
            let mark = if expect.path.contains('?') { '&' } else { '?' };
            let sent = |path: &str| expect.may.sign(request(&method, path, expect.body.clone()));
            let twice = format!("{}{mark}colour={MARKER}&colour={MARKER}", expect.path);
            refused(&app.send(sent(&twice)).await, &[MALFORMED], &what);
            // Each parameter that it knows, once more.
            for (name, value) in parameters(&expect.path) {
                let twice = format!("{}&{name}={value}", expect.path);
                refused(&app.send(sent(&twice)).await, &[MALFORMED], &format!("{what} with {name} twice"));
            }
            let with = |name: &'static str, value: &str| {
                let mut sent = sent(&expect.path);
                sent.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
                sent
            };
            let conflict = &[(401, "auth.credential_conflict")];
            let bearer = format!("Bearer {}", expect.may.bearer);
            refused(&app.send(with("authorization", &bearer)).await, conflict, &what);
            refused(&app.send(with("x-api-key", MARKER)).await, conflict, &what);
            refused(&app.send(with("host", "other.test")).await, &[MALFORMED], &what);
            let mut lengths = with("content-length", "1");
            lengths.headers_mut().append("content-length", HeaderValue::from_static("2"));
            refused(&app.send(lengths).await, &[MALFORMED], &what);
        }
    }
    assert!(seen > 100, "only {seen} operations");
    nothing_surprised();
}

/// The parameters of a path's query, as they stand there.
fn parameters(path: &str) -> Vec<(&str, &str)> {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.split_once('=')).collect()
}

#[tokio::test]
async fn a_body_that_grows_too_long_on_its_way_is_cut_off() {
    let app = TestApp::new().await;
    let mut sent = app.admin.sign(request("POST", "/v1/tenants", None));
    sent.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    *sent.body_mut() = Body::from(vec![b' '; 8 * 1024 * 1024 + 1]);
    refused(&app.send(sent).await, &[(413, "request.too_large")], "a long body");
    nothing_surprised();
}

#[tokio::test]
async fn names_are_trimmed_and_clinical_text_is_not() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let blank = json!({"description": " \t ", "roles": ["staff"]});
    let reply = app.post(&clinic.admin, "/v1/api-keys", blank).await;
    refused(&reply, &[INVALID], "a blank name");
    nothing_surprised();
    assert_eq!(pointers(&reply), ["/description"]);
    let made = app.post(&clinic.admin, "/v1/api-keys", json!({"description": "  nightly ", "roles": ["staff"]})).await;
    assert_eq!(made.created()["description"], "nightly");

    app.register_fields(&clinic).await;
    let note = "  <b>RR 120/80</b> & \"ok\"\n\n";
    let sealed = app.seal(&clinic.service, "note", "1", json!(note)).await;
    let opened = app.open(&clinic.service, "note", "1", &sealed["sealed"]).await;
    assert_eq!(opened.ok()["items"][0]["value"], note);
}
