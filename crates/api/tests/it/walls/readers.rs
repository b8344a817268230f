//! What readers of the log are told where it was changed: in pages, by what an event names, in a copy outside.

use chancery_domain::audit::{
    guard::{Finding, IntegrityCheck},
    sequence,
    sinks::{Fed, Health, SendError, Takes},
};
use serde_json::{Value, json};

use super::Stage;
use crate::{
    retention::two_months,
    sinks::{Fake, drain},
};

stages! {
    what_an_event_is_found_by_is_just_what_it_names,
    a_changed_row_is_named_and_the_others_are_shown,
    a_personal_part_that_was_taken_away_is_told_of,
    what_was_taken_away_stops_whoever_follows_the_log_there,
    what_was_purged_stops_nobody_who_follows_the_log,
}

/// Without its row an event is in no accounting of the person that it names, and with one it is in that of another.
async fn what_an_event_is_found_by_is_just_what_it_names(mut stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    assert_eq!(stage.found().await, []);
    let visit = stage.app.events(&stage.clinic.auditor, "app.visit.september").await.remove(0);
    let at = visit["index"].as_u64().unwrap();
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    let gone = format!("DELETE FROM audit_references WHERE {ours} AND idx = {at}");
    assert!(stage.raw.run(&gone).await.is_err(), "the table refuses it");
    stage.raw.tear_down("audit_references").await;
    assert!(stage.raw.run(&gone).await.unwrap() > 0);
    let found = |at| Finding { check: IntegrityCheck::EntryReferences, at };
    assert_eq!(stage.found().await, [found(at)]);
    let other =
        format!("INSERT INTO audit_references (tenant_id, reference, idx) VALUES ('{}', 'aa', 0)", stage.clinic.id);
    assert_eq!(stage.raw.run(&other).await.unwrap(), 1);
    assert_eq!(stage.found().await, [found(0), found(at)]);
}

/// All of it was a 500 that said nothing.
async fn a_changed_row_is_named_and_the_others_are_shown(mut stage: Stage) {
    for _ in 0..3 {
        stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    }
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let whole = stage.app.events(&stage.clinic.auditor, "app.visit").await;
    let id = whole[1]["id"].as_str().unwrap().to_owned();
    let [first, at, last] = [0, 1, 2].map(|number| whole[number]["index"].as_u64().unwrap());
    stage.raw.tear_down("audit_events").await;
    let change = format!(
        "UPDATE audit_events SET core = replace(core, 'app.visit', 'app.viset') WHERE tenant_id = '{}' AND idx = {at}",
        stage.clinic.id
    );
    assert_eq!(stage.raw.run(&change).await.unwrap(), 1);

    let (app, auditor) = (&stage.app, &stage.clinic.auditor);
    let year = "from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&type=app.visit";
    let found = app.get(auditor, &format!("/v1/audit/events?{year}")).await.ok();
    let places = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|event| event["index"].as_u64().unwrap()).collect::<Vec<u64>>()
    };
    assert_eq!(places(&found), [first, last]);
    assert_eq!((&found["damaged"], &found["next_cursor"]), (&json!([at]), &json!(null)));
    // Also by pages: one that has nothing else says where it goes on.
    let (mut cursor, mut seen, mut damaged) = (String::new(), Vec::new(), Vec::new());
    for _ in 0..4 {
        let page = app.get(auditor, &format!("/v1/audit/events?{year}&limit=1{cursor}")).await.ok();
        seen.extend(places(&page));
        damaged.extend(page["damaged"].as_array().into_iter().flatten().cloned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((seen, damaged), (vec![first, last], vec![json!(at)]));
    let told = app.events(auditor, "audit.read").await;
    assert!(told.iter().any(|event| event["core"].as_str().unwrap().contains("\"damaged\":1")), "the log tells of it");

    // What would be taken for all is refused, and says where and what to do.
    let span = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00Z"});
    for refused in [
        app.get(auditor, &format!("/v1/audit/events/{id}")).await,
        app.post(auditor, "/v1/audit/exports", span.clone()).await,
        app.post(auditor, "/v1/certificates/packs", span).await,
    ] {
        assert_eq!(refused.status, 409, "{}", refused.text());
        let problem = refused.json();
        assert_eq!(problem["code"], "audit.damaged");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&stage.clinic.id) && detail.contains("chancery audit scrub"), "{detail}");
        assert!(detail.contains(&format!("place {at}")) || !detail.contains("place"), "{detail}");
    }
    // A span without it is as good as before.
    let before = whole[1]["recorded_at"].as_str().unwrap();
    let span = json!({"from": "2026-01-01T00:00:00Z", "to": before});
    assert_eq!(app.post(auditor, "/v1/audit/exports", span).await.status, 200);
}

/// It looked like one that the reader may not see.
async fn a_personal_part_that_was_taken_away_is_told_of(mut stage: Stage) {
    let visit = json!({"type": "app.visit", "personal": {"note": "ann"}});
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit).await.created();
    let shown = async |stage: &Stage| stage.app.events(&stage.clinic.auditor, "app.visit").await.remove(0);
    let whole = shown(&stage).await;
    assert_eq!((&whole["sealed_part"]["note"]["value"], &whole["personal_missing"]), (&json!("ann"), &json!(null)));
    assert_eq!(stage.found().await, []);
    stage.raw.tear_down("audit_sealed").await;
    let take = format!("DELETE FROM audit_sealed WHERE event_id = '{}'", whole["id"].as_str().unwrap());
    assert_eq!(stage.raw.run(&take).await.unwrap(), 1);
    let bare = shown(&stage).await;
    assert_eq!((&bare["sealed_part"], &bare["personal_missing"]), (&json!(null), &json!(true)));
    // A pack that is to disclose it would say that there never was anything.
    let asked = json!({"events": [whole["id"]], "disclose": true});
    let refused = stage.app.post(&stage.clinic.auditor, "/v1/certificates/packs", asked).await;
    refused.refused(409, "audit.damaged");
    assert!(refused.text().contains(&format!("place {}", whole["index"])), "{}", refused.text());
    assert!(stage.app.events(&stage.clinic.auditor, "certificate.exported").await.is_empty(), "nothing left");
    let at = whole["index"].as_u64().unwrap();
    assert_eq!(stage.found().await, [Finding { check: IntegrityCheck::PersonalMissing, at }]);
}

/// Changed it was told of; taken away it was passed over, and the copy outside lacked it for ever.
async fn what_was_taken_away_stops_whoever_follows_the_log_there(mut stage: Stage) {
    for _ in 0..3 {
        stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    }
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    let gone = stage.app.events(&stage.clinic.auditor, "app.visit").await[1]["index"].as_u64().unwrap();
    stage.raw.tear_down("audit_events").await;
    let take = format!("DELETE FROM audit_events WHERE tenant_id = '{}' AND idx = {gone}", stage.clinic.id);
    assert_eq!(stage.raw.run(&take).await.unwrap(), 1);
    for takes in [Takes::All, Takes::Security] {
        let (sink, mut health) = (Fake::new(takes, false), Health::default());
        let fed = drain(&stage.app, &sink, stage.tenant, &mut health).await;
        let Fed::Failed { error: SendError::Refused(code), at, .. } = &fed else { panic!("{takes:?} {fed:?}") };
        assert_eq!((code.as_str(), *at), ("log.damaged", Some(gone)), "{takes:?}");
        // As if it began: the other one is fed from the beginning too.
        stage.raw.run("DELETE FROM audit_sinks").await.unwrap();
    }
}

async fn what_was_purged_stops_nobody_who_follows_the_log(stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    stage.purge().await;
    for takes in [Takes::All, Takes::Security] {
        let (sink, mut health) = (Fake::new(takes, false), Health::default());
        let fed = drain(&stage.app, &sink, stage.tenant, &mut health).await;
        assert!(matches!(fed, Fed::Idle), "{takes:?} {fed:?}");
    }
}
