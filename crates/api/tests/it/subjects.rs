//! The keys of single persons, and their erasure, from outside.

use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp};

backends! { an_erased_person_is_gone_and_nobody_else }

async fn seal_for(app: &TestApp, caller: &Caller, subject: &str, row: &str, value: &str) -> Reply {
    let item = json!({"table": "patients", "column": "ssn", "row": row, "subject": subject, "value": value});
    app.post(caller, "/v1/seal", json!({"items": [item]})).await
}

/// Asked for by one officer, approved by another, done by the first.
pub(crate) async fn erase(app: &TestApp, clinic: &Clinic, subject: &str) -> Reply {
    let asked = app.post(&clinic.officer, "/v1/subjects/erase", json!({"subject": subject})).await;
    if asked.status != 202 {
        return asked;
    }
    let id = asked.json()["approval_id"].as_str().unwrap().to_owned();
    let body = json!({"subject": subject, "approval_id": id});
    app.post(&clinic.officer, "/v1/subjects/erase", body.clone()).await.refused(409, "approval.unusable");
    let second = app.caller(&clinic.id, "security_officer").await;
    app.post(&second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
    app.post(&clinic.officer, "/v1/subjects/erase", body).await
}

async fn an_erased_person_is_gone_and_nobody_else(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    app.register_fields(&ours).await;
    app.register_fields(&theirs).await;
    let node = app.again(|_| ()).await;
    let sealed = |reply: Reply| reply.ok()["items"][0]["sealed"].clone();
    let ann = sealed(seal_for(&app, &ours.service, "MRN-0001", "p1", "123-45-6789").await);
    let more = sealed(seal_for(&node, &ours.service, "MRN-0001", "p2", "1").await);
    let bob = sealed(seal_for(&app, &ours.service, "MRN-0002", "p3", "2").await);
    let plain = app.seal(&ours.service, "ssn", "p4", json!("3")).await["sealed"].clone();
    let foreign = sealed(seal_for(&app, &theirs.service, "MRN-0001", "p1", "4").await);
    let handle = |sealed: &Value| {
        let text = sealed.as_str().unwrap().strip_prefix("chy1.").unwrap();
        data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()[4..12].to_vec()
    };
    assert_eq!(handle(&ann), handle(&more), "one key, whichever node seals");
    assert_ne!(handle(&ann), handle(&bob));

    let row = json!({"table": "patients", "row": "p5", "subject": "MRN-0001", "fields": {"ssn": "5", "age": 41}});
    let row = app.post(&ours.service, "/v1/records/seal", json!({"items": [row]})).await.ok()["items"][0].clone();
    let stored = |age: &Value| json!({"reason": "visit", "items": [{"table": "patients", "row": "p5", "header": row["header"], "fields": {"age": age}}]});
    let change = json!({"table": "patients", "row": "p5", "header": row["header"], "fields": {"age": 42}});
    let changed = app.post(&ours.service, "/v1/records/seal", json!({"items": [change]})).await.ok();
    let open_row = stored(&changed["items"][0]["fields"]["age"]["sealed"]);
    let opened = app.post(&ours.service, "/v1/records/open", open_row.clone()).await.ok();
    assert_eq!(opened["items"][0]["fields"]["age"], 42);
    let document = json!({"table": "patients", "row": "p6", "subject": "MRN-0001", "document": {"a": "6"}, "fields": [{"pointer": "/a", "column": "ssn"}]});
    let document = app.post(&ours.service, "/v1/documents/seal", document).await.ok()["document"].clone();
    let open_document = json!({"table": "patients", "row": "p6", "reason": "visit", "document": document});
    app.post(&ours.service, "/v1/documents/open", open_document.clone()).await.ok();
    for (sealed, row) in [(&ann, "p1"), (&more, "p2"), (&bob, "p3"), (&plain, "p4")] {
        app.open(&ours.service, "ssn", row, sealed).await.ok();
        node.open(&ours.service, "ssn", row, sealed).await.ok();
    }
    // Moving to the newest key leaves a person's value under the person's key.
    let item = json!({"table": "patients", "column": "ssn", "row": "p1", "sealed": ann});
    let moved =
        app.post(&ours.officer, "/v1/reseal", json!({"items": [item]})).await.ok()["items"][0]["sealed"].clone();
    assert_eq!(handle(&moved), handle(&ann));

    erase(&app, &ours, "MRN-0404").await.refused(404, "not_found");
    let erased = erase(&app, &ours, "MRN-0001").await.ok();
    for (sealed, row) in [(&ann, "p1"), (&more, "p2"), (&moved, "p1")] {
        app.open(&ours.service, "ssn", row, sealed).await.refused(410, "subject.erased");
        node.open(&ours.service, "ssn", row, sealed).await.refused(410, "subject.erased");
    }
    app.post(&ours.service, "/v1/records/open", open_row.clone()).await.refused(410, "subject.erased");
    app.post(&ours.service, "/v1/documents/open", open_document.clone()).await.refused(410, "subject.erased");
    for (sealed, row) in [(&bob, "p3"), (&plain, "p4")] {
        node.open(&ours.service, "ssn", row, sealed).await.ok();
    }
    app.open(&theirs.service, "ssn", "p1", &foreign).await.ok();

    // Nothing more is sealed for them, on any node, and the erasure goes once.
    for app in [&app, &node] {
        seal_for(app, &ours.service, "MRN-0001", "p7", "7").await.refused(410, "subject.erased");
    }
    erase(&node, &ours, "MRN-0001").await.refused(409, "state.conflict");

    // The certificate says so, and when it is complete.
    let id = erased["certificate"]["id"].as_str().unwrap();
    let report = app.get(&ours.auditor, &format!("/v1/certificates/{id}/verify")).await.ok();
    assert_eq!((&report["valid"], &report["verdict"]), (&json!(true), &json!("valid")), "{report}");
    let payload = erased["certificate"]["envelope"]["payload"].as_str().unwrap();
    let payload = data_encoding::BASE64.decode(payload.as_bytes()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!((&payload["kind"], &payload["statement"]["code"]), (&json!("subject-erasure"), &json!("key-destroyed")));
    assert!(payload["statement"]["params"]["complete_on"].as_str().unwrap() > erased["erased_at"].as_str().unwrap());
    assert!(!payload.to_string().contains("MRN-0001"));
    assert!(erased["certificate"]["subject_salt"].is_string());
    for kind in ["subject.created", "subject.erased"] {
        let events = app.events(&ours.officer, kind).await;
        assert_eq!(events.len(), if kind == "subject.created" { 2 } else { 1 }, "{kind}");
        assert!(!events[0].to_string().contains("MRN-"), "{kind}");
    }

    // Made again on purpose: a new key, and what was erased stays so.
    let again = json!({"subject": "MRN-0001"});
    app.post(&ours.officer, "/v1/subjects/recreate", again.clone()).await.ok();
    app.post(&ours.officer, "/v1/subjects/recreate", again).await.refused(409, "state.conflict");
    let newer = sealed(seal_for(&node, &ours.service, "MRN-0001", "p1", "8").await);
    assert_ne!(handle(&newer), handle(&ann));
    app.open(&ours.service, "ssn", "p1", &newer).await.ok();
    app.open(&ours.service, "ssn", "p1", &ann).await.refused(410, "subject.erased");
    erase(&app, &ours, "MRN-0001").await.ok();
    app.open(&ours.service, "ssn", "p1", &newer).await.refused(410, "subject.erased");
}

#[tokio::test]
async fn two_who_seal_at_once_share_one_key() {
    let app = TestApp::new().await;
    let ours = app.clinic("ours").await;
    app.register_fields(&ours).await;
    let many = (0..8).map(|row| {
        let (router, request) = (app.router.clone(), json!({"items": [{"table": "patients", "column": "ssn", "row": row.to_string(), "subject": "MRN-7", "value": "1"}]}));
        let request = ours.service.sign(crate::app::request("POST", "/v1/seal", Some(request)));
        tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap().status() })
    });
    for sealed in many.collect::<Vec<_>>() {
        assert_eq!(sealed.await.unwrap(), 200);
    }
    assert_eq!(app.events(&ours.auditor, "subject.created").await.len(), 1);
}

#[tokio::test]
async fn a_reference_has_a_length() {
    let app = TestApp::new().await;
    let ours = app.clinic("ours").await;
    app.register_fields(&ours).await;
    for bad in ["", &"x".repeat(256)] {
        seal_for(&app, &ours.service, bad, "1", "1").await.refused(422, "request.invalid");
        erase(&app, &ours, bad).await.refused(422, "request.invalid");
    }
    seal_for(&app, &ours.service, &"ü".repeat(127), "1", "1").await.ok();
}
