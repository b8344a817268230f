//! What events say in confidence, shown to an outsider: a reason, an address, a note, and not our word for it.

use chancery_domain::certificates::{PackReport, PackVerdict, undisclosed, verify_pack};
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, Reply, TestApp},
    subjects::erase,
};

backends! {
    events_make_a_pack_with_what_they_say_in_confidence,
    a_pack_discloses_all_or_says_what_is_gone,
    who_may_not_read_what_is_sealed_discloses_nothing,
}

async fn told(app: &TestApp, clinic: &Clinic, note: &str) -> String {
    let event = json!({"type": "app.visit.closed", "personal": {"note": note}});
    app.post(&clinic.service, "/v1/audit/events", event).await.created()["id"].as_str().unwrap().to_owned()
}

async fn pack(app: &TestApp, caller: &Caller, body: Value) -> Reply {
    app.post(caller, "/v1/certificates/packs", body).await
}

async fn verified(app: &TestApp, pack: &Reply) -> PackReport {
    assert_eq!(pack.status, 200, "{}", pack.text());
    let trust = app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body;
    let report = verify_pack(&pack.body, &trust, None);
    assert_eq!(report.verdict, PackVerdict::Verified, "{:?}", report.checks);
    report
}

fn detail<'a>(report: &'a PackReport, name: &str) -> Option<&'a str> {
    report.checks.iter().find(|check| check.name == name).map(|check| check.detail.as_str())
}

async fn events_make_a_pack_with_what_they_say_in_confidence(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("ours").await, app.clinic("theirs").await);
    let first = told(&app, &clinic, "Jane Doe went home").await;
    told(&app, &clinic, "Richard Roe stays").await;
    let third = told(&app, &clinic, "Zoë left").await;
    let foreign = told(&app, &other, "somebody else").await;

    // The events alone: what they say in confidence stays where it is.
    let plain = pack(&app, &clinic.auditor, json!({"events": [third, first, third]})).await;
    let report = verified(&app, &plain).await;
    assert_eq!((detail(&report, "named_events"), detail(&report, "disclosures")), (Some("2 named"), None));
    assert!(!plain.text().contains("Jane Doe") && !plain.text().contains("disclosures/evt_"));

    let shown = pack(&app, &clinic.auditor, json!({"events": [first], "disclose": true})).await;
    let report = verified(&app, &shown).await;
    let event = app.get(&clinic.auditor, &format!("/v1/audit/events/{first}")).await.ok();
    let texts = event["sealed_part"].as_object().unwrap().len();
    assert_eq!(detail(&report, "disclosures"), Some(format!("{texts} texts of 1 events").as_str()));
    assert!(shown.text().contains("Jane Doe went home") && !shown.text().contains("Roe"));

    // Both are in the log: that it left, and that it was opened for that.
    let left = app.events(&clinic.auditor, "certificate.exported").await;
    let core = |event: &Value| serde_json::from_str::<Value>(event["core"].as_str().unwrap()).unwrap();
    assert_eq!(core(left.last().unwrap())["detail"]["events"], json!([first]));
    let read = app.events(&clinic.auditor, "audit.read").await;
    let opened: Vec<Value> =
        read.iter().map(|event| core(event)["detail"].clone()).filter(|detail| detail["what"] == "disclosed").collect();
    assert_eq!((&opened[0]["personal"], &opened[0]["count"]), (&json!("opened"), &json!(1)));

    for missing in [json!([first, foreign]), json!(["evt_01JD5V7N8Q0000000000000001"]), json!(["nonsense"])] {
        pack(&app, &clinic.auditor, json!({"events": missing})).await.refused(404, "not_found");
    }
    let many: Vec<&String> = std::iter::repeat_n(&first, 1_001).collect();
    for bad in [
        json!({"events": []}),
        json!({"events": many}),
        json!({"events": [first], "certificates": []}),
        json!({"certificates": ["crt_01JD5V7N8Q0000000000000001"], "disclose": true}),
    ] {
        pack(&app, &clinic.auditor, bad).await.refused(422, "request.invalid");
    }
}

/// Nothing told a pack of an erased person's event from one of an event that never said anything.
async fn a_pack_discloses_all_or_says_what_is_gone(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let stays = told(&app, &clinic, "Richard Roe stays").await;
    let event = json!({
        "type": "app.visit.closed", "personal": {"note": "Jane Doe went home"},
        "references": [{"kind": "subject", "id": "MRN-0001"}],
    });
    let event = app.post(&clinic.service, "/v1/audit/events", event).await.created();
    let erased = event["id"].as_str().unwrap();
    let asked = json!({"events": [stays, erased], "disclose": true});
    let whole = pack(&app, &clinic.auditor, asked.clone()).await;
    verified(&app, &whole).await;
    assert!(whole.text().contains("Jane Doe went home") && !whole.text().contains("Not disclosed"));
    assert_eq!(undisclosed(&whole.body), []);

    erase(&app, &clinic, "MRN-0001").await.ok();
    let bare = pack(&app, &clinic.auditor, asked).await;
    let report = verified(&app, &bare).await;
    assert!(detail(&report, "disclosures").unwrap().ends_with("texts of 1 events"), "{:?}", report.checks);
    assert!(bare.text().contains("Richard Roe stays") && !bare.text().contains("Jane Doe"));
    assert!(bare.text().contains(&format!("<tr><th>Not disclosed<td>what {erased} says in confidence: it was purged")));
    assert_eq!(undisclosed(&bare.body).iter().map(ToString::to_string).collect::<Vec<_>>(), [erased]);
}

async fn who_may_not_read_what_is_sealed_discloses_nothing(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let first = told(&app, &clinic, "Jane Doe went home").await;
    let role = json!({"base": "auditor", "permissions": ["audit.read", "certificates.read"]});
    app.put(&clinic.admin, "/v1/roles/reader", role).await.ok();
    let reader = json!({"description": "reader", "roles": ["reader"]});
    let reader = app.post(&clinic.admin, "/v1/api-keys", reader).await.created();
    let reader = Caller { bearer: reader["key"].as_str().unwrap().to_owned() };
    verified(&app, &pack(&app, &reader, json!({"events": [first]})).await).await;
    let asked = json!({"events": [first], "disclose": true});
    pack(&app, &reader, asked.clone()).await.refused(403, "authz.denied");
    // Certificates it may read, the log it may not.
    pack(&app, &clinic.service, asked).await.refused(403, "authz.denied");
    assert_eq!(app.events(&clinic.auditor, "certificate.exported").await.len(), 1, "what was refused did not leave");
}
