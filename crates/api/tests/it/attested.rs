//! What a security officer attests, and at what times anything may be said to have been.

use chancery_domain::{Clock as _, certificates::PackVerdict};
use serde_json::{Value, json};

use crate::{
    app::{Backend, TestApp},
    certificates::{offline, verdict},
    proofs::{claim, issue},
};

backends! {
    an_officer_attests_what_people_did_and_nobody_else_does,
    what_chancery_states_of_itself_nobody_else_states,
    what_an_officer_attests_is_no_place_for_personal_data,
    times_out_of_order_or_in_the_future_are_refused,
    what_happened_before_there_was_a_key_is_certified,
    a_certificate_whose_time_is_over_is_told_of_online_and_offline,
    a_list_says_until_when_each_certificate_is_valid,
    a_thousand_certificates_are_issued_in_one_call,
}

const ATTESTED: [&str; 8] = [
    "access-report",
    "access-review",
    "control-evidence",
    "incident-timeline",
    "lockdown-drill",
    "masking-verified",
    "migration-equivalence",
    "restore-drill",
];
const OWN: [&str; 4] = ["key-destruction", "key-rotation", "retention-destruction", "subject-erasure"];

fn of_kind(kind: &str) -> Value {
    let mut claim = claim();
    claim["kind"] = json!(kind);
    claim["subject"] = json!({"kind": "tenant", "ref": "2026-q3"});
    claim
}

fn fault(reply: &Value) -> (&Value, &Value) {
    (&reply["errors"][0]["pointer"], &reply["errors"][0]["code"])
}

async fn an_officer_attests_what_people_did_and_nobody_else_does(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let mut ids = Vec::new();
    for kind in ATTESTED {
        let refused = app.post(&clinic.service, "/v1/certificates", of_kind(kind)).await;
        refused.refused(422, "request.invalid");
        assert_eq!(fault(&refused.json()), (&json!("/kind"), &json!("reserved")), "{kind}");
        for other in [&clinic.auditor, &clinic.admin, &clinic.staff] {
            app.post(other, "/v1/certificates", of_kind(kind)).await.refused(403, "authz.denied");
        }
        let issued = app.post(&clinic.officer, "/v1/certificates", of_kind(kind)).await.created();
        assert_eq!(verdict(&app, &clinic, &issued).await, "valid", "{kind}");
        let listed = app.get(&clinic.auditor, &format!("/v1/certificates?kind={kind}")).await.ok();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{kind}");
        assert_eq!(listed["items"][0]["id"], issued["id"], "{kind}");
        ids.push(issued["id"].as_str().unwrap().to_owned());
    }
    let (verdict, valid, last) = offline(&app, &clinic, json!({"certificates": ids})).await;
    ids.sort_unstable();
    assert_eq!((verdict, valid), (PackVerdict::Verified, ids), "{last}");
    // Many at once, each with its place; an application's own kind is not an officer's.
    let items = json!({"items": [of_kind("restore-drill"), of_kind("app.visit-closed")]});
    let refused = app.post(&clinic.officer, "/v1/certificates/batch", items).await;
    refused.refused(422, "request.invalid");
    assert_eq!(fault(&refused.json()), (&json!("/items/1/kind"), &json!("reserved")));
    let items = json!({"items": [of_kind("restore-drill"), of_kind("lockdown-drill")]});
    app.post(&clinic.officer, "/v1/certificates/batch", items).await.created();
}

async fn what_chancery_states_of_itself_nobody_else_states(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    for kind in OWN.into_iter().chain(["restore-drills", "visit-closed"]) {
        for caller in [&clinic.officer, &clinic.service] {
            let refused = app.post(caller, "/v1/certificates", of_kind(kind)).await;
            refused.refused(422, "request.invalid");
            assert_eq!(fault(&refused.json()), (&json!("/kind"), &json!("reserved")), "{kind}");
        }
    }
    let mut claim = of_kind("restore-drill");
    claim["statement"]["code"] = json!("key.rotated");
    let refused = app.post(&clinic.officer, "/v1/certificates", claim).await;
    assert_eq!(fault(&refused.json()), (&json!("/statement/code"), &json!("reserved")));
}

async fn what_an_officer_attests_is_no_place_for_personal_data(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.put(&clinic.admin, "/v1/lockdown", json!({"on": true})).await.ok();
    let mut odd = of_kind("incident-timeline");
    odd["statement"]["params"]["who"] = json!("MRN-123456");
    app.post(&clinic.officer, "/v1/certificates", odd).await.refused(422, "phi.suspected");
    app.post(&clinic.officer, "/v1/certificates", of_kind("incident-timeline")).await.created();
}

fn at(occurred: Option<&str>, attested: Option<&str>) -> Value {
    let mut claim = claim();
    for (name, time) in [("occurred_at", occurred), ("attested_at", attested)] {
        if let Some(time) = time {
            claim[name] = json!(time);
        }
    }
    claim
}

async fn times_out_of_order_or_in_the_future_are_refused(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let (early, late, future) = ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2099-01-01T00:00:00Z");
    for (claim, pointer, code) in [
        (at(Some(future), None), "occurred_at", "future"),
        (at(None, Some(future)), "attested_at", "future"),
        (at(Some(late), Some(early)), "attested_at", "order"),
    ] {
        let refused = app.post(&clinic.service, "/v1/certificates", claim.clone()).await;
        refused.refused(422, "request.invalid");
        assert_eq!(fault(&refused.json()), (&json!(format!("/{pointer}")), &json!(code)));
        let items = json!({"items": [at(None, None), at(None, None), at(None, None), claim]});
        let refused = app.post(&clinic.service, "/v1/certificates/batch", items).await;
        refused.refused(422, "request.invalid");
        assert_eq!(fault(&refused.json()), (&json!(format!("/items/3/{pointer}")), &json!(code)));
    }
    assert!(app.events(&clinic.auditor, "certificate.issued").await.is_empty());
    for claim in [at(Some(early), Some(early)), at(Some(early), Some(late)), at(None, Some(late))] {
        let issued = app.post(&clinic.service, "/v1/certificates", claim).await.created();
        assert_eq!(verdict(&app, &clinic, &issued).await, "valid");
    }
}

/// `issued_at` is bound to the key, what the certificate tells of is not.
async fn what_happened_before_there_was_a_key_is_certified(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let old = at(Some("1999-12-31T23:59:59Z"), Some("2001-02-03T04:05:06Z"));
    let issued = app.post(&clinic.service, "/v1/certificates", old).await.created();
    assert_eq!(verdict(&app, &clinic, &issued).await, "valid");
    let (verdict, valid, last) = offline(&app, &clinic, json!({"certificates": [issued["id"]]})).await;
    assert_eq!((verdict, valid.len()), (PackVerdict::Verified, 1), "{last}");
}

/// Whoever read a list of reviews that are still good took one for valid whose time was over.
async fn a_list_says_until_when_each_certificate_is_valid(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let end = app.clock.ahead(86_400).now().to_string();
    let mut until = claim();
    until["not_after"] = json!(end);
    for claim in [until, claim()] {
        app.post(&clinic.service, "/v1/certificates", claim).await.created();
        // They are listed by their ids, which are by time.
        app.clock.advance_seconds(1);
    }
    let listed = async || {
        let listed = app.get(&clinic.auditor, "/v1/certificates").await.ok()["items"].clone();
        listed
            .as_array()
            .unwrap()
            .iter()
            .map(|one| json!([one["not_after"], one["expired"], one["ends"]]))
            .collect::<Vec<_>>()
    };
    assert_eq!(listed().await, [json!([end, false, []]), json!([null, false, []])]);
    app.clock.advance_seconds(2 * 86_400);
    assert_eq!(listed().await, [json!([end, true, []]), json!([null, false, []])]);
}

async fn a_certificate_whose_time_is_over_is_told_of_online_and_offline(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let until = |end: &str| {
        let mut claim = claim();
        claim["not_after"] = json!(end);
        claim
    };
    for past in ["2026-01-01T00:00:00Z", "2026-09-21T00:00:00Z"] {
        let refused = app.post(&clinic.service, "/v1/certificates", until(past)).await;
        refused.refused(422, "request.invalid");
        assert_eq!(fault(&refused.json()), (&json!("/not_after"), &json!("order")));
    }
    let end = app.clock.ahead(86_400).now();
    let short = app.post(&clinic.service, "/v1/certificates", until(&end.to_string())).await.created();
    let long = app.post(&clinic.service, "/v1/certificates", until("2099-01-01T00:00:00Z")).await.created();
    for one in [&short, &long] {
        assert_eq!(verdict(&app, &clinic, one).await, "valid");
    }
    let both = json!({"certificates": [short["id"], long["id"]]});
    let (all, valid, last) = offline(&app, &clinic, both.clone()).await;
    assert_eq!((all, valid.len()), (PackVerdict::Verified, 2), "{last}");

    app.clock.advance_seconds(2 * 86_400);
    assert_eq!(verdict(&app, &clinic, &short).await, "expired");
    assert_eq!(verdict(&app, &clinic, &long).await, "valid");
    let path = format!("/v1/certificates/{}/verify", short["id"].as_str().unwrap());
    let report = app.get(&clinic.auditor, &path).await.ok();
    let last = report["checks"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["name"], &last["ok"]), (&json!("not_after"), &json!(false)));
    let (all, _, last) = offline(&app, &clinic, both).await;
    assert_eq!(all, PackVerdict::Failed);
    assert!(last.contains("expired"), "{last}");
    // In a span it is a part of what happened.
    let ever = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00Z"});
    let (span, valid, last) = offline(&app, &clinic, ever).await;
    assert_eq!((span, valid), (PackVerdict::Verified, vec![long["id"].as_str().unwrap().to_owned()]), "{last}");
    // What was revoked is revoked, also afterwards.
    let path = format!("/v1/certificates/{}/revoke", short["id"].as_str().unwrap());
    app.post(&clinic.officer, &path, json!({"reason": "error"})).await.ok();
    assert_eq!(verdict(&app, &clinic, &short).await, "revoked");
}

/// Clocks of two nodes differ.
#[tokio::test]
async fn a_clock_behind_the_keys_activation_issues_nothing_older_than_the_key() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let late = app.elsewhere(app.clock.ahead(-60)).await;
    let keys = app.get(&clinic.officer, "/v1/keys?managed=certificate").await.ok();
    let rotate = format!("/v1/keys/{}/rotate", keys["items"][0]["id"].as_str().unwrap());
    let rotated = app.post(&clinic.officer, &rotate, json!({})).await.ok();
    let activated = rotated["versions"][1]["activated_at"].as_str().unwrap().to_owned();
    let issued = issue(&late, &clinic).await;
    assert_eq!(issued["issued_at"], activated.as_str());
    assert_eq!(verdict(&app, &clinic, &issued).await, "valid");
}

/// As many as one call may ask for, each with evidence, within the time and the room of one request.
async fn a_thousand_certificates_are_issued_in_one_call(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let of = |number: usize| {
        let mut claim = claim();
        claim["subject"]["ref"] = json!(format!("patient-{number}"));
        claim["evidence"] = json!([claim["evidence"][0], claim["evidence"][0], claim["evidence"][0]]);
        claim
    };
    let items: Vec<Value> = (0..1_000).map(of).collect();
    let issued = app.post(&clinic.service, "/v1/certificates/batch", json!({"items": items})).await.created();
    let issued = issued["items"].as_array().unwrap();
    assert_eq!(issued.len(), 1_000);
    assert_eq!(app.events(&clinic.auditor, "certificate.issued").await.len(), 1_000);
    for one in [&issued[0], &issued[999]] {
        assert_eq!(verdict(&app, &clinic, one).await, "valid");
    }
    let ids: Vec<&Value> = issued.iter().map(|one| &one["id"]).collect();
    let (verdict, valid, last) = offline(&app, &clinic, json!({"certificates": ids})).await;
    assert_eq!((verdict, valid.len()), (PackVerdict::Verified, 1_000), "{last}");
}
