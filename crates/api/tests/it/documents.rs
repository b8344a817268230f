//! Documents with sealed members, from outside.

use serde_json::{Value, json};

use crate::app::{Backend, Caller, Reply, TestApp, request};

backends! { a_document_comes_back_to_the_last_digit }

const DOCUMENT: &str = r#"{"patient":{"ssn":"999-76-6866","name":"Gómez","born":"1970-01-01","none":null,"empty":""},
 "labs":[{"value":123456789012345678901234567890.10,"unit":"mmol/L"},{"value":1E+2},{"value":-0.0}],"":{"a/b":{"m~n":7}},
 "extra":{"deep":[0.1000,"4111111111111111",true,{}]},"kept":1e400,"order":{"z":1,"a":2}}"#;

/// Sends a body as it is: `serde_json` would round its numbers.
async fn post(app: &TestApp, caller: &Caller, path: &str, body: &str) -> Reply {
    let mut sent = request("POST", path, Some(json!({})));
    *sent.body_mut() = body.to_owned().into();
    app.send(caller.sign(sent)).await
}

/// What stands behind `"document":` in an answer, to its end.
fn document(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    let (_, rest) = text.split_once("\"document\":").unwrap();
    let end = rest.find(",\"terms\":").unwrap_or(rest.len() - 1);
    rest[..end].to_owned()
}

fn minified(text: &str) -> String {
    text.replace("\n ", "")
}

async fn a_document_comes_back_to_the_last_digit(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let fields = r#"[{"pointer":"/patient/ssn","column":"ssn"},{"pointer":"/patient/name","column":"last_name"},
        {"pointer":"/patient/born","column":"birth_date"},{"pointer":"/patient/none","column":"ssn"},
        {"pointer":"/patient/empty","column":"note"},{"pointer":"/labs","column":"extra"},
        {"pointer":"//a~1b/m~0n","column":"age"},{"pointer":"/extra/deep/2","column":"smoker"}]"#;
    // A tenant's name in the body is taken out, and nothing else of the body changes.
    for hint in ["", r#""tenant":"ours","#, r#""tenant_id":null,"#] {
        let body = format!(r#"{{{hint}"table":"patients","row":"p1","document":{DOCUMENT},"fields":{fields}}}"#);
        let sealed = post(&app, &clinic.service, "/v1/documents/seal", &body).await;
        let text = document(&sealed);
        for clear in ["999-76", "Gómez", "1970-01-01", "mmol/L", "12345678901234567890"] {
            assert!(!text.contains(clear), "{clear}");
        }
        assert!(text.contains(r#""kept":1e400,"order":{"z":1,"a":2}"#), "{text}");
        assert!(text.contains(r#"0.1000,"4111111111111111",{"$sealed":{"column":"smoker","#), "{text}");
        let terms = sealed.text().split_once("\"terms\":").unwrap().1.to_owned();
        assert!(
            terms.starts_with(r#"{"/patient/name":{"terms":[""#) && terms.contains(r#""/patient/ssn":{"terms":[""#),
            "{terms}"
        );

        let body = format!(r#"{{{hint}"table":"patients","row":"p1","reason":"visit","document":{text}}}"#);
        let opened = post(&app, &clinic.service, "/v1/documents/open", &body).await;
        assert_eq!(document(&opened), minified(DOCUMENT));
        // Elsewhere it does not open.
        let body = body.replace("\"p1\"", "\"p2\"");
        let refused = post(&app, &clinic.service, "/v1/documents/open", &body).await;
        refused.refused(422, "sealed.wrong_context");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/document/patient/ssn");
        // And what is sealed is not sealed again.
        let body = format!(r#"{{"table":"patients","row":"p1","document":{text},"fields":{fields}}}"#);
        let twice = post(&app, &clinic.service, "/v1/documents/seal", &body).await;
        twice.refused(422, "request.invalid");
        let codes: Vec<Value> = twice.json()["errors"].as_array().unwrap().iter().map(|e| e["code"].clone()).collect();
        assert_eq!(codes.len(), 7, "all but the null: {codes:?}");
        assert!(codes.iter().all(|code| code == "sealed"), "{codes:?}");
    }
    let events = app.events(&clinic.officer, "record.opened").await;
    assert_eq!(events.len(), 6);
    assert_eq!(events[0]["sealed_part"]["reason"]["value"], "visit");
}

#[tokio::test]
async fn a_json_value_keeps_its_digits_too() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let value = r#"{"z":12345678901234567890123,"a":0.10}"#;
    let body = format!(r#"{{"items":[{{"table":"patients","column":"extra","row":"1","value":{value}}}]}}"#);
    let sealed = post(&app, &clinic.service, "/v1/seal", &body).await.ok()["items"][0]["sealed"].clone();
    let opened = app.open(&clinic.service, "extra", "1", &sealed).await;
    assert_eq!(opened.text(), format!(r#"{{"items":[{{"value":{value}}}]}}"#));
}

#[tokio::test]
async fn bad_documents_and_pointers_are_told_one_by_one() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let seal = |document: &str, fields: Value| {
        let body = format!(r#"{{"table":"patients","row":"1","document":{document},"fields":{fields}}}"#);
        let (app, clinic) = (&app, &clinic);
        async move { post(app, &clinic.service, "/v1/documents/seal", &body).await }
    };
    let field = |pointer: &str, column: &str| json!({"pointer": pointer, "column": column});
    let told = |reply: &Reply| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        reply.json()["errors"].as_array().unwrap().iter().map(|e| (text(&e["pointer"]), text(&e["code"]))).collect()
    };
    let pair = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
    let reply = seal(
        r#"{"a":"1","b":{"c":"2"}}"#,
        json!([field("/a", "ssn"), field("/a", "ssn"), field("/x", "ssn"), field("b", "ssn")]),
    )
    .await;
    reply.refused(422, "request.invalid");
    assert_eq!(
        told(&reply),
        [
            pair("/fields/1/pointer", "duplicate"),
            pair("/fields/2/pointer", "missing"),
            pair("/fields/3/pointer", "format")
        ]
    );
    let reply = seal(r#"{"a":"1","b":2}"#, json!([field("/a", "ssn"), field("/b", "nope")])).await;
    reply.refused(422, "field.unknown");
    assert_eq!(told(&reply)[0].0, "/fields/1");
    let reply = seal(r#"{"a":"1","b":2}"#, json!([field("/a", "ssn"), field("/b", "ssn")])).await;
    reply.refused(422, "request.invalid");
    assert_eq!(told(&reply), [pair("/fields/1", "type")], "a number is no text");
    let reply = seal(r#"{"a":"1","a":"2"}"#, json!([field("/a", "ssn")])).await;
    reply.refused(422, "request.invalid");
    assert_eq!(told(&reply), [pair("/document", "invalid")]);
    let reply = seal(r#"{"a":"1","Jane Doe":{"$sealed":1}}"#, json!([field("/a", "ssn")])).await;
    assert_eq!(told(&reply), [pair("/document", "reserved")], "no key of somebody's data is repeated");
    seal(r#"{"a":"1"}"#, json!([])).await.refused(422, "request.invalid");
    let reply = seal(r#"{"a":"1"}"#, json!([field("/a", "nope")])).await;
    reply.refused(422, "field.unknown");

    // Nothing sealed in it: it comes back, and nobody was told of anything.
    let body = r#"{"table":"patients","reason":"visit","document":{"a":[1.0]}}"#;
    assert_eq!(document(&post(&app, &clinic.service, "/v1/documents/open", body).await), r#"{"a":[1.0]}"#);
    assert_eq!(app.events(&clinic.auditor, "record.opened").await.len(), 0);
}
