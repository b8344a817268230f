//! The same `Idempotency-Key` makes one thing.

use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Reply, TestApp, request},
    proofs::claim,
};

backends! { a_repetition_gives_the_same_thing_without_its_secret }

async fn post(app: &TestApp, caller: &Caller, path: &str, key: &str, body: &Value) -> Reply {
    let mut sent = caller.sign(request("POST", path, Some(body.clone())));
    sent.headers_mut().insert("idempotency-key", key.parse().unwrap());
    app.send(sent).await
}

async fn a_repetition_gives_the_same_thing_without_its_secret(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let cases = [
        (&app.admin, "/v1/tenants".to_owned(), json!({"name": "N", "slug": "new"})),
        (&clinic.admin, "/v1/users".to_owned(), json!({"username": "ann", "email": "a@x.test", "roles": ["staff"]})),
        (
            &app.admin,
            format!("/v1/tenants/{}/users", clinic.id),
            json!({"username": "bob", "email": "a@x.test", "roles": ["staff"]}),
        ),
        (&clinic.admin, "/v1/api-keys".to_owned(), json!({"description": "x", "roles": ["staff"]})),
        (&clinic.service, "/v1/certificates".to_owned(), claim()),
    ];
    for (caller, path, body) in &cases {
        let first = post(&app, caller, path, "key-1", body).await;
        let mut made = first.created();
        assert!(!first.headers.contains_key("idempotency-replayed"));
        let again = post(&app, caller, path, "key-1", body).await;
        made.as_object_mut().unwrap().retain(|name, _| !["key", "subject_salt"].contains(&name.as_str()));
        assert_eq!(again.created(), made, "{path}");
        assert_eq!(again.headers["idempotency-replayed"], "true");
        let mut other = body.clone();
        other["description"] = json!("another");
        post(&app, caller, path, "key-1", &other).await;
    }
    let (caller, path, _) = &cases[3];
    let other = json!({"description": "another", "roles": ["staff"]});
    post(&app, caller, path, "key-1", &other).await.refused(422, "idempotency.mismatch");
    // Another caller's key is another key.
    let second = app.caller(&clinic.id, "tenant_admin").await;
    assert!(!post(&app, &second, path, "key-1", &other).await.headers.contains_key("idempotency-replayed"));
    // After a day it is forgotten.
    app.clock.advance_seconds(24 * 60 * 60 + 1);
    assert!(!post(&app, caller, path, "key-1", &other).await.headers.contains_key("idempotency-replayed"));
    post(&app, caller, path, "", &other).await.refused(400, "request.malformed");
}
