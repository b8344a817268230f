//! The same `Idempotency-Key` makes one thing.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Reply, TestApp, request},
    proofs::claim,
};

backends! { a_repetition_gives_the_same_thing_without_its_secret, many_at_once_make_one_thing }

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

async fn many_at_once_make_one_thing(backend: Backend) {
    let app = Arc::new(TestApp::on(backend).await);
    let clinic = app.clinic("ours").await;
    let cases = [
        (&app.admin, "/v1/tenants", json!({"name": "N", "slug": "new"})),
        (&clinic.admin, "/v1/users", json!({"username": "ann", "email": "a@x.test", "roles": ["staff"]})),
        (&clinic.admin, "/v1/api-keys", json!({"description": "many", "roles": ["staff"]})),
    ];
    for (caller, path, body) in cases {
        let sent = (0..20).map(|_| {
            let (app, caller, body) = (Arc::clone(&app), caller.clone(), body.clone());
            tokio::spawn(async move { post(&app, &caller, path, "at-once", &body).await })
        });
        let sent: Vec<_> = sent.collect();
        let (mut ids, mut replayed) = (std::collections::BTreeSet::new(), 0);
        for reply in sent {
            let reply = reply.await.unwrap();
            ids.insert(reply.created()["id"].to_string());
            replayed += u32::from(reply.headers.contains_key("idempotency-replayed"));
        }
        assert_eq!((ids.len(), replayed), (1, 19), "{path}");
    }
    let tenants = app.get(&app.admin, "/v1/tenants").await.ok();
    assert_eq!(tenants["items"].as_array().unwrap().iter().filter(|tenant| tenant["slug"] == "new").count(), 1);
    let keys = app.get(&clinic.admin, "/v1/api-keys").await.ok();
    assert_eq!(keys["items"].as_array().unwrap().iter().filter(|key| key["description"] == "many").count(), 1);
    // Another body under the same key, at once or not, is another request.
    let other = json!({"name": "M", "slug": "newer"});
    post(&app, &app.admin, "/v1/tenants", "at-once", &other).await.refused(422, "idempotency.mismatch");
}
