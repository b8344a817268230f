//! The keys of single persons, and their erasure, from outside.

use chancery_domain::{
    TenantId,
    ids::NodeId,
    keyring::destruction::{Away, destroy_due},
    subjects::{Unmoved, move_keys, rotation::JOB},
};
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp};

backends! {
    an_erased_person_is_gone_and_nobody_else,
    persons_follow_a_rotation_of_their_root_and_the_old_version_goes,
    a_subject_root_is_not_revoked_over_the_persons_under_it_but_by_two,
}

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
    assert_eq!(app.events(&ours.auditor, "subject.recreated").await.len(), 1);
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

async fn subject_root(app: &TestApp, clinic: &Clinic) -> String {
    let keys = app.get(&clinic.officer, "/v1/keys?managed=subject").await.ok();
    keys["items"][0]["id"].as_str().unwrap().to_owned()
}

/// State and count of each version of the subject root; the count is always known.
async fn census(app: &TestApp, clinic: &Clinic, key: &str) -> Vec<(String, u64)> {
    let found = app.get(&clinic.officer, &format!("/v1/keys/{key}/census")).await.ok();
    let of = |item: &Value| {
        assert_eq!(item["census"], "counted", "{item}");
        (item["state"].as_str().unwrap().to_owned(), item["count"].as_u64().unwrap())
    };
    found["items"].as_array().unwrap().iter().map(of).collect()
}

fn state(state: &str, count: u64) -> (String, u64) {
    (state.to_owned(), count)
}

/// What the job does in one round.
async fn job(app: &TestApp, clinic: &Clinic) -> Result<u64, chancery_domain::instance::Failure> {
    let tenant: TenantId = clinic.id.parse().unwrap();
    move_keys(&app.instance, tenant, &mut Unmoved::default(), &|| false).await
}

/// Under a revoked version nobody's key opens, so it could not be moved either: its persons would be stuck.
async fn a_subject_root_is_not_revoked_over_the_persons_under_it_but_by_two(backend: Backend) {
    let app = TestApp::on(backend).await;
    let ours = app.clinic("ours").await;
    let second = app.caller(&ours.id, "security_officer").await;
    app.register_fields(&ours).await;
    let sealed = |reply: Reply| reply.ok()["items"][0]["sealed"].clone();
    let ann = sealed(seal_for(&app, &ours.service, "MRN-0001", "p1", "1").await);
    let key = subject_root(&app, &ours).await;
    let revoke = async |body: Value| app.post(&ours.officer, &format!("/v1/keys/{key}/revoke"), body).await;
    let refused = revoke(json!({})).await;
    refused.refused(409, "state.conflict");
    app.post(&ours.officer, &format!("/v1/keys/{key}/rotate"), json!({})).await.ok();
    revoke(json!({"version": 1})).await.refused(409, "state.conflict");
    app.open(&ours.service, "ssn", "p1", &ann).await.ok();
    // The ordinary road: they move, and then it may go.
    assert_eq!(job(&app, &ours).await.unwrap(), 1);
    revoke(json!({"version": 1, "reason": "key_compromise"})).await.ok();
    assert_eq!(app.open(&ours.service, "ssn", "p1", &ann).await.ok()["items"][0]["value"], "1");

    // By force, with another person's consent, for exactly that.
    let body = json!({"version": 2, "force": true, "reason": "key_compromise"});
    let asked = revoke(body.clone()).await;
    assert_eq!((asked.status.as_u16(), &asked.json()["action"]), (202, &json!("key.revoke_holding")));
    app.open(&ours.service, "ssn", "p1", &ann).await.ok();
    let id = asked.json()["approval_id"].clone();
    app.post(&second, &format!("/v1/approvals/{}/approve", id.as_str().unwrap()), json!({})).await.ok();
    let with = |force: bool, reason: &str| json!({"version": 2, "force": force, "reason": reason, "approval_id": id});
    revoke(with(false, "key_compromise")).await.refused(409, "state.conflict");
    revoke(with(true, "superseded")).await.refused(409, "approval.unusable");
    revoke(with(true, "key_compromise")).await.ok();
    app.open(&ours.service, "ssn", "p1", &ann).await.refused(409, "key.retired");
    // Who is stuck under it is still known, and can be erased.
    erase(&app, &ours, "MRN-0001").await.ok();
    app.open(&ours.service, "ssn", "p1", &ann).await.refused(410, "subject.erased");
    // New persons are under the version that took its place.
    let bob = sealed(seal_for(&app, &ours.service, "MRN-0002", "p2", "2").await);
    app.open(&ours.service, "ssn", "p2", &bob).await.ok();
}

async fn persons_follow_a_rotation_of_their_root_and_the_old_version_goes(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    app.register_fields(&ours).await;
    app.register_fields(&theirs).await;
    let node = app.again(|_| ()).await;
    let sealed = |reply: Reply| reply.ok()["items"][0]["sealed"].clone();
    let ann = sealed(seal_for(&app, &ours.service, "MRN-0001", "p1", "1").await);
    let bob = sealed(seal_for(&app, &ours.service, "MRN-0002", "p2", "2").await);
    let gone = sealed(seal_for(&app, &ours.service, "MRN-0003", "p3", "3").await);
    let foreign = sealed(seal_for(&app, &theirs.service, "MRN-0001", "p1", "4").await);
    erase(&app, &ours, "MRN-0003").await.ok();
    let key = subject_root(&app, &ours).await;
    assert_eq!(census(&app, &ours, &key).await, [state("active", 2)]);
    assert_eq!(job(&app, &ours).await.unwrap(), 0, "nothing is superseded");

    app.post(&ours.officer, &format!("/v1/keys/{key}/rotate"), json!({})).await.ok();
    // Two keys, and what names three persons.
    assert_eq!(census(&app, &ours, &key).await, [state("rotating", 3), state("active", 0)]);
    let new = sealed(seal_for(&node, &ours.service, "MRN-0004", "p4", "5").await);
    assert_eq!(census(&app, &ours, &key).await, [state("rotating", 3), state("active", 1)], "on another node, too");
    // The old version may not go yet, whoever would consent to it.
    let path = format!("/v1/keys/{key}/schedule-deletion");
    let delete = json!({"version": 1, "days": 7});
    let refused = app.post(&ours.officer, &path, delete.clone()).await;
    refused.refused(409, "state.conflict");
    assert!(refused.text().contains("3 keys"), "{}", refused.text());

    assert_eq!(job(&node, &ours).await.unwrap(), 2);
    assert_eq!(census(&app, &ours, &key).await, [state("inactive", 0), state("active", 3)]);
    assert_eq!(job(&app, &ours).await.unwrap(), 0);
    assert_eq!(app.events(&ours.auditor, "subject.keys_moved").await.len(), 2, "the keys, and what names persons");
    assert_eq!(app.events(&ours.auditor, "key.drained").await.len(), 1);

    app.post(&ours.officer, &path, delete).await.ok();
    app.clock.advance_seconds(8 * 86_400);
    assert_eq!(destroy_due(&app.instance, ours.id.parse().unwrap(), &mut Away::default()).await.unwrap(), 1);
    let created = app.events(&ours.auditor, "subject.created").await.len();
    for app in [&app, &node] {
        for (sealed, row, value) in [(&ann, "p1", "1"), (&bob, "p2", "2"), (&new, "p4", "5")] {
            assert_eq!(app.open(&ours.service, "ssn", row, sealed).await.ok()["items"][0]["value"], value);
        }
        app.open(&theirs.service, "ssn", "p1", &foreign).await.ok();
        app.open(&ours.service, "ssn", "p3", &gone).await.refused(410, "subject.erased");
        seal_for(app, &ours.service, "MRN-0003", "p3", "6").await.refused(410, "subject.erased");
        // Nobody known gets a second key, which an erasure would miss.
        for subject in ["MRN-0001", "MRN-0002", "MRN-0004"] {
            seal_for(app, &ours.service, subject, "p9", "7").await.ok();
        }
    }
    assert_eq!(app.events(&ours.auditor, "subject.created").await.len(), created);

    // And once more, with what was carried over before.
    app.post(&ours.officer, &format!("/v1/keys/{key}/rotate"), json!({})).await.ok();
    assert_eq!(census(&app, &ours, &key).await[1..], [state("rotating", 5), state("active", 0)]);
    assert_eq!(job(&app, &ours).await.unwrap(), 3);
    assert_eq!(census(&app, &ours, &key).await[1..], [state("inactive", 0), state("active", 3)]);
    erase(&app, &ours, "MRN-0001").await.ok();
    for app in [&app, &node] {
        app.open(&ours.service, "ssn", "p1", &ann).await.refused(410, "subject.erased");
        seal_for(app, &ours.service, "MRN-0003", "p3", "8").await.refused(410, "subject.erased");
        app.open(&ours.service, "ssn", "p2", &bob).await.ok();
    }
}

/// Each round the process dies after one more batch, and a fresh one goes on.
#[tokio::test]
async fn a_move_of_persons_that_is_killed_again_and_again_ends_and_loses_nobody() {
    const PERSONS: usize = 450;
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let ours = app.clinic("ours").await;
    app.register_fields(&ours).await;
    let mut sealed = Vec::new();
    for first in (0..PERSONS).step_by(90) {
        let items: Vec<Value> = (first..first + 90)
            .map(|n| json!({"table": "patients", "column": "ssn", "row": n.to_string(), "subject": format!("MRN-{n}"), "value": n.to_string()}))
            .collect();
        let reply = app.post(&ours.service, "/v1/seal", json!({"items": items})).await.ok();
        sealed.extend(reply["items"].as_array().unwrap().iter().map(|item| item["sealed"].clone()));
    }
    let key = subject_root(&app, &ours).await;
    app.post(&ours.officer, &format!("/v1/keys/{key}/rotate"), json!({})).await.ok();

    let (mut left, mut kills) = (PERSONS as u64 + 1, 0);
    loop {
        let node = app.again(|_| ()).await;
        // The claim, a batch, and no claim any more.
        store.faults().fail_commits_after(2);
        let outcome = job(&node, &ours).await;
        store.faults().fail_commits_after(u64::MAX);
        let counts = census(&app, &ours, &key).await;
        assert!(counts[0].1 < left || outcome.is_ok(), "it goes on: {counts:?}");
        assert_eq!(counts[0].1.saturating_sub(1) + counts[1].1, PERSONS as u64, "each is under one version");
        for n in [0, 199, 200, 399, 400, PERSONS - 1] {
            let opened = node.open(&ours.service, "ssn", &n.to_string(), &sealed[n]).await.ok();
            assert_eq!(opened["items"][0]["value"], n.to_string());
        }
        left = counts[0].1;
        if outcome.is_ok() {
            break;
        }
        kills += 1;
        assert!(kills < 20, "it does not end");
    }
    assert!(kills >= 3, "{kills}");
    assert_eq!(census(&app, &ours, &key).await, [state("inactive", 0), state("active", PERSONS as u64)]);
    assert_eq!(app.events(&ours.auditor, "subject.keys_moved").await.len(), 4, "three batches, and the names");
}

#[tokio::test]
async fn while_another_node_moves_persons_this_one_does_not() {
    let app = TestApp::new().await;
    let ours = app.clinic("ours").await;
    app.register_fields(&ours).await;
    seal_for(&app, &ours.service, "MRN-1", "1", "1").await.ok();
    let key = subject_root(&app, &ours).await;
    app.post(&ours.officer, &format!("/v1/keys/{key}/rotate"), json!({})).await.ok();
    let (now, other) = (app.instance.now(), NodeId::from_bytes([9; 16]));
    let mut tx = app.instance.store().begin(TenantId::PLATFORM).await.unwrap();
    assert!(tx.claim_job(JOB, other, now, now.plus_seconds(60)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(job(&app, &ours).await.unwrap(), 0);
    assert_eq!(census(&app, &ours, &key).await, [state("rotating", 2), state("active", 0)]);
    app.clock.advance_seconds(61);
    assert_eq!(job(&app, &ours).await.unwrap(), 1);
}

/// Damage is told of once a day, and holds up nobody else.
#[tokio::test]
async fn a_persons_key_that_does_not_unwrap_stays_where_it_is() {
    let app = TestApp::new().await;
    let ours = app.clinic("ours").await;
    app.register_fields(&ours).await;
    for n in 1..=3 {
        seal_for(&app, &ours.service, &format!("MRN-{n}"), "1", "1").await.ok();
    }
    let key = subject_root(&app, &ours).await;
    let tenant: TenantId = ours.id.parse().unwrap();
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    let mut stored = tx.subject_keys(None, 1).await.unwrap().remove(0);
    stored.wrapped.as_mut().unwrap()[40] ^= 1;
    let from = stored.root_key.clone();
    tx.rewrap_subject_key(&stored, &from).await.unwrap();
    tx.commit().await.unwrap();
    app.post(&ours.officer, &format!("/v1/keys/{key}/rotate"), json!({})).await.ok();
    let mut unmoved = Unmoved::default();
    for moved in [2, 0] {
        assert_eq!(move_keys(&app.instance, tenant, &mut unmoved, &|| false).await.unwrap(), moved);
        assert_eq!(census(&app, &ours, &key).await, [state("rotating", 1), state("active", 2)]);
        assert_eq!(app.events(&ours.auditor, "key.use_failed").await.len(), 1);
    }
    app.post(&ours.officer, &format!("/v1/keys/{key}/schedule-deletion"), json!({"version": 1, "days": 7}))
        .await
        .refused(409, "state.conflict");
}
