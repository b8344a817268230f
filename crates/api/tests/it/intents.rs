//! Intent and outcome: what is about to be opened, and how that ended.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use chancery_domain::{
    TenantId,
    audit::{intent::close_left, sequence},
};
use data_encoding::BASE64URL_NOPAD;
use http_body_util::channel::{Channel, Sender};
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, TestApp, request},
    blobs,
};

backends! {
    an_open_leaves_an_intent_and_one_outcome, what_does_not_open_is_counted_in_the_outcome,
    what_a_process_left_open_is_closed_once, an_hour_later_any_node_closes_it
}

async fn clinic(app: &TestApp) -> Clinic {
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    clinic
}

fn core(event: &Value) -> Value {
    serde_json::from_str(event["core"].as_str().unwrap()).unwrap()
}

fn tampered(sealed: &Value) -> Value {
    let text = sealed.as_str().unwrap().strip_prefix("chy1.").unwrap();
    let mut bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    json!(format!("chy1.{}", BASE64URL_NOPAD.encode(&bytes)))
}

async fn an_open_leaves_an_intent_and_one_outcome(backend: Backend) {
    let app = TestApp::on(backend).await;
    let ours = clinic(&app).await;
    let mut items = Vec::new();
    for row in ["p1", "p2"] {
        let sealed = app.seal(&ours.service, "ssn", row, json!("123-45-6789")).await["sealed"].clone();
        items.push(json!({"table": "patients", "column": "ssn", "row": row, "sealed": sealed}));
    }
    let reply = app.post(&ours.service, "/v1/open", json!({"reason": "visit", "items": items})).await;
    reply.ok();

    let intents = app.events(&ours.auditor, "record.opened").await;
    let outcomes = app.outcomes(&ours.auditor, "record.opened").await;
    assert_eq!((intents.len(), outcomes.len()), (1, 1));
    let (intent, outcome) = (&intents[0], &outcomes[0]);
    assert_eq!((&intent["phase"], &intent["outcome"]), (&json!("intent"), &json!(0)));
    assert_eq!((&outcome["phase"], &outcome["outcome"]), (&json!("outcome"), &json!(0)));
    for same in ["type", "actor", "resource", "request_id"] {
        assert_eq!(outcome[same], intent[same], "{same}");
    }
    assert!(outcome["index"].as_u64() > intent["index"].as_u64());
    assert_eq!(outcome["request_id"], reply.headers["x-request-id"].to_str().unwrap());
    let detail = json!({
        "end": "released", "intent": intent["id"], "opened": 2, "refused": 0, "table": ["patients"]
    });
    assert_eq!(core(outcome)["detail"], detail);
    assert_eq!(core(outcome)["resource"], core(intent)["resource"], "it is found by the same rows");
    // What identifies is in the intent alone.
    assert_eq!((core(outcome).get("sealed"), outcome.get("sealed_part")), (None, None));
    assert_eq!(app.instance.openings().count(), 0);

    // What is no use of personal data is told of once.
    let sealed = app.events(&ours.auditor, "record.sealed").await;
    assert!(sealed.iter().all(|event| event["phase"] == "single"), "{sealed:?}");
    assert_eq!(app.outcomes(&ours.auditor, "record.sealed").await, Vec::<Value>::new());
}

async fn what_does_not_open_is_counted_in_the_outcome(backend: Backend) {
    let app = TestApp::on(backend).await;
    let ours = clinic(&app).await;
    let mut items = Vec::new();
    for row in ["p1", "p2", "p3"] {
        let sealed = app.seal(&ours.service, "ssn", row, json!("123-45-6789")).await["sealed"].clone();
        items.push(json!({"table": "patients", "column": "ssn", "row": row, "sealed": sealed}));
    }
    items[1]["sealed"] = tampered(&items[1]["sealed"]);
    let body = json!({"reason": "visit", "items": items});
    assert_eq!(app.post(&ours.service, "/v1/open", body).await.status, 422);
    let outcomes = app.outcomes(&ours.auditor, "record.opened").await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0]["outcome"], 8);
    let detail = core(&outcomes[0])["detail"].clone();
    assert_eq!((&detail["end"], &detail["opened"], &detail["refused"]), (&json!("refused"), &json!(1), &json!(1)));
    // Which class of failure it was, the event of before says, once.
    assert_eq!(app.events(&ours.auditor, "record.open_failed").await.len(), 1);

    // A stream that breaks off was not opened.
    let mut sealed = blobs::seal(&app, &ours.service, blobs::PLACE, blobs::plaintext(40_000)).await.body;
    sealed[30_000] ^= 1;
    assert_eq!(blobs::open(&app, &ours.service, blobs::PLACE, sealed, None).await.status, 422);
    let detail = core(&app.outcomes(&ours.auditor, "record.opened").await[1])["detail"].clone();
    assert_eq!((&detail["end"], &detail["opened"], &detail["refused"]), (&json!("refused"), &json!(0), &json!(1)));
}

/// A blob that is being opened by a caller that sends no more for now.
pub(crate) struct Begun {
    answer: http::Response<Body>,
    sender: Sender<Bytes, std::io::Error>,
}

impl Begun {
    /// The caller goes away.
    pub(crate) fn give_up(self) {
        drop(self.answer);
        self.sender.abort(std::io::Error::other("gone"));
    }
}

/// Begins to open a blob.
pub(crate) async fn begun(app: &TestApp, caller: &Caller) -> Begun {
    let sealed = blobs::seal(app, caller, blobs::PLACE, blobs::plaintext(1_000_000)).await.body;
    let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(16);
    let path = format!("/v1/blobs/open?{}", blobs::PLACE);
    let mut asked = blobs::sent(&path, Vec::new(), &[("chancery-reason", "visit")]);
    asked.headers_mut().remove("content-length");
    *asked.body_mut() = Body::new(channel);
    sender.send_data(Bytes::copy_from_slice(&sealed[..600_000])).await.unwrap();
    let answer = tower::ServiceExt::oneshot(app.router.clone(), caller.sign(asked)).await.unwrap();
    assert_eq!(answer.status(), 200);
    Begun { answer, sender }
}

async fn what_a_process_left_open_is_closed_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let ours = clinic(&app).await;
    let tenant: TenantId = ours.id.parse().unwrap();
    let open = begun(&app, &ours.service).await;
    assert_eq!(app.instance.openings().count(), 1);
    // Its own process closes nothing of itself; the next start on this node does.
    sequence(&app.instance, tenant).await.unwrap();
    assert_eq!(close_left(&app.instance, tenant).await.unwrap(), 0);
    let next = app.again(|_| ()).await;
    assert_eq!(close_left(&next.instance, tenant).await.unwrap(), 1);
    assert_eq!(close_left(&next.instance, tenant).await.unwrap(), 0);
    let outcomes = next.outcomes(&ours.auditor, "record.opened").await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0]["outcome"], 12);
    let intent = &next.events(&ours.auditor, "record.opened").await[0];
    let detail = json!({"end": "indeterminate", "intent": intent["id"], "table": ["patients"]});
    assert_eq!(core(&outcomes[0])["detail"], detail);
    // If it was not dead after all, its own outcome comes too late.
    open.give_up();
    app.instance.openings().settled().await;
    assert_eq!(next.outcomes(&ours.auditor, "record.opened").await, outcomes);
}

async fn an_hour_later_any_node_closes_it(backend: Backend) {
    let app = TestApp::on(backend).await;
    let ours = clinic(&app).await;
    let tenant: TenantId = ours.id.parse().unwrap();
    let open = begun(&app, &ours.service).await;
    sequence(&app.instance, tenant).await.unwrap();
    app.clock.advance_seconds(3_590);
    assert_eq!(close_left(&app.instance, tenant).await.unwrap(), 0);
    app.clock.advance_seconds(60);
    assert_eq!(close_left(&app.instance, tenant).await.unwrap(), 1);
    open.give_up();
    let outcomes = app.outcomes(&ours.auditor, "record.opened").await;
    assert_eq!((outcomes.len(), &outcomes[0]["outcome"]), (1, &json!(12)));
}

/// Wherever a request is given up, what it has told of has one outcome.
#[tokio::test]
async fn a_request_that_is_given_up_has_an_outcome() {
    let app = TestApp::new().await;
    let ours = clinic(&app).await;
    let sealed = app.seal(&ours.service, "ssn", "p1", json!("123-45-6789")).await["sealed"].clone();
    let item = json!({"table": "patients", "column": "ssn", "row": "p1", "sealed": sealed});
    let body = json!({"reason": "visit", "items": [item]});
    for micros in (0..6_000).step_by(150) {
        let asked = ours.service.sign(request("POST", "/v1/open", Some(body.clone())));
        let asked = tower::ServiceExt::oneshot(app.router.clone(), asked);
        drop(tokio::time::timeout(Duration::from_micros(micros), asked).await);
    }
    // One that nobody waits for at all.
    let open = begun(&app, &ours.service).await;
    open.give_up();
    let outcomes = app.outcomes(&ours.auditor, "record.opened").await;
    let intents = app.events(&ours.auditor, "record.opened").await;
    let details: Vec<Value> = outcomes.iter().map(|outcome| core(outcome)["detail"].clone()).collect();
    let sorted = |ids: Vec<&Value>| {
        let mut ids: Vec<String> = ids.into_iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let closed = sorted(details.iter().map(|detail| &detail["intent"]).collect());
    let told = sorted(intents.iter().map(|intent| &intent["id"]).collect());
    assert_eq!(closed, told);
    assert!(details.iter().any(|detail| detail["end"] == "broken_off"), "{details:?}");
}

/// What opened is told of as refused where what it was to be let out with did not open: nobody went away.
#[tokio::test]
async fn of_what_is_let_out_together_all_is_refused_or_nothing() {
    let app = TestApp::new().await;
    let ours = clinic(&app).await;
    app.put(&ours.officer, "/v1/fields/visits/note", json!({"bind": "column"})).await.ok();
    let mut items = Vec::new();
    for (table, column) in [("patients", "ssn"), ("visits", "note")] {
        let value = json!({"table": table, "column": column, "row": "r1", "value": "123-45-6789"});
        let sealed = app.post(&ours.service, "/v1/seal", json!({"items": [value]})).await.ok();
        let sealed = &sealed["items"][0]["sealed"];
        items.push(json!({"table": table, "column": column, "row": "r1", "sealed": sealed}));
    }
    items[1]["sealed"] = tampered(&items[1]["sealed"]);
    let body = json!({"reason": "visit", "items": items});
    assert_eq!(app.post(&ours.service, "/v1/open", body).await.status, 422);
    let outcomes = app.outcomes(&ours.auditor, "record.opened").await;
    let mut told: Vec<Value> = outcomes.iter().map(|outcome| core(outcome)["detail"].clone()).collect();
    told.sort_by_key(|detail| detail["table"].to_string());
    let told: Vec<_> = told.iter().map(|detail| (&detail["end"], &detail["opened"], &detail["refused"])).collect();
    let refused = json!("refused");
    assert_eq!(told, [(&refused, &json!(1), &json!(0)), (&refused, &json!(0), &json!(1))]);
}

/// What went out before a stream broke off is told of, whatever of it did not open.
#[tokio::test]
async fn a_stream_that_breaks_off_says_how_much_of_it_went_out() {
    let app = TestApp::new().await;
    let ours = clinic(&app).await;
    let mut sealed = blobs::seal(&app, &ours.service, blobs::PLACE, blobs::plaintext(1_000_000)).await.body;
    *sealed.last_mut().unwrap() ^= 1;
    let path = format!("/v1/blobs/open?{}", blobs::PLACE);
    let asked = blobs::sent(&path, sealed, &[("chancery-reason", "visit")]);
    let (status, got, broke) = blobs::broken(&app, &ours.service, asked).await;
    assert_eq!((status, broke), (200, true));
    assert!(got.len() > 256 * 1024);
    app.instance.openings().settled().await;
    let outcomes = app.outcomes(&ours.auditor, "record.opened").await;
    assert_eq!((outcomes.len(), &outcomes[0]["outcome"]), (1, &json!(4)));
    let detail = core(&outcomes[0])["detail"].clone();
    assert_eq!((&detail["end"], &detail["opened"], &detail["refused"]), (&json!("broken_off"), &json!(1), &json!(0)));
    assert_eq!(detail["bytes"], got.len());
    assert_eq!(app.events(&ours.auditor, "record.open_failed").await.len(), 1);
}

/// A length is no disclosure.
#[tokio::test]
async fn a_range_behind_the_end_is_not_told_of_as_released() {
    let app = TestApp::new().await;
    let ours = clinic(&app).await;
    let sealed = blobs::seal(&app, &ours.service, blobs::PLACE, blobs::plaintext(100_000)).await.body;
    let reply = blobs::open(&app, &ours.service, blobs::PLACE, sealed, Some("bytes=100000-")).await;
    reply.refused(416, "request.range");
    let outcomes = app.outcomes(&ours.auditor, "record.opened").await;
    assert_eq!((outcomes.len(), &outcomes[0]["outcome"]), (1, &json!(4)));
    let detail = core(&outcomes[0])["detail"].clone();
    assert_eq!((&detail["end"], &detail["refused"]), (&json!("abandoned"), &json!(0)));
}

/// Whether the log took an intent, or only did not answer: it is never left without an outcome, and none is there without it.
#[tokio::test]
async fn an_outcome_is_there_if_its_intent_is() {
    let (backend, faulty) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let ours = clinic(&app).await;
    let sealed = app.seal(&ours.service, "ssn", "p1", json!("123-45-6789")).await["sealed"].clone();
    faulty.faults().fail_append(true);
    app.open(&ours.service, "ssn", "p1", &sealed).await.refused(503, "audit.unavailable");
    faulty.faults().fail_append(false);
    app.open(&ours.service, "ssn", "p1", &sealed).await.ok();
    let outcomes = app.outcomes(&ours.auditor, "record.opened").await;
    assert_eq!(outcomes.len(), 1, "of what was not told there is none: {outcomes:?}");
    // An intent whose commit was done and whose answer was lost has one all the same.
    faulty.faults().lose_answers(true);
    app.open(&ours.service, "ssn", "p1", &sealed).await.refused(503, "audit.unavailable");
    faulty.faults().lose_answers(false);
    let outcomes = app.outcomes(&ours.auditor, "record.opened").await;
    let intents = app.events(&ours.auditor, "record.opened").await;
    assert_eq!((outcomes.len(), intents.len()), (2, 2));
    assert_eq!(core(&outcomes[1])["detail"]["end"], "abandoned");
    app.open(&ours.service, "ssn", "p1", &sealed).await.ok();
}

/// What the store refused is looked at all at once when it is back, so that who reads then need not wait for a place.
#[tokio::test]
async fn after_a_store_was_away_it_is_asked_once_for_what_has_ended() {
    let (backend, faulty) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let ours = clinic(&app).await;
    let sealed = app.seal(&ours.service, "ssn", "p1", json!("123-45-6789")).await["sealed"].clone();
    app.instance.openings().settled().await;
    faulty.faults().fail_append(true);
    for _ in 0..20 {
        app.open(&ours.service, "ssn", "p1", &sealed).await.refused(503, "audit.unavailable");
    }
    assert_eq!(app.instance.openings().count(), 20);
    let before = faulty.faults().appends();
    faulty.faults().fail_append(false);
    app.instance.openings().settled().await;
    let appends = faulty.faults().appends() - before;
    assert!(appends < 10, "{appends}");
}

/// Of more than a hundred rows an opening has several events. An accounting has it once, with all that name one of the rows asked for,
/// on whichever pages they would lie.
#[tokio::test]
async fn an_opening_in_parts_is_accounted_for_once() {
    let app = TestApp::new().await;
    let ours = clinic(&app).await;
    let row = |n: u32| format!("p{n:03}");
    let value = |n| json!({"table": "patients", "column": "ssn", "row": row(n), "value": "123-45-6789"});
    let items: Vec<Value> = (0..250).map(value).collect();
    let sealed = app.post(&ours.service, "/v1/seal", json!({"items": items})).await.ok();
    let sealed = |n: u32| {
        let index = usize::try_from(n).unwrap();
        json!({"table": "patients", "column": "ssn", "row": row(n), "sealed": sealed["items"][index]["sealed"]})
    };
    for _ in 0..2 {
        let items: Vec<Value> = (0..250).map(sealed).collect();
        let body = json!({"reason": "study", "purpose": "HRESCH", "items": items});
        app.post(&ours.service, "/v1/open", body).await.ok();
    }
    let events = app.events(&ours.auditor, "record.opened").await;
    let ids: Vec<&Value> = events.iter().map(|event| &event["id"]).collect();
    assert_eq!(ids.len(), 6, "two of three parts");
    for (rows, parts) in [(vec![0, 150, 249], vec![0, 1, 2]), (vec![0, 249], vec![0, 2]), (vec![150], vec![1])] {
        let named: Vec<String> = rows.iter().map(|n| format!("patients/{}", row(*n))).collect();
        for limit in [1, 2, 3, 4, 100] {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let path = format!("/v1/audit/accounting?rows={}&limit={limit}{cursor}", named.join(","));
                let page = app.get(&ours.auditor, &path).await.ok();
                found.extend(page["items"].as_array().unwrap().clone());
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            let expected = |first: usize| parts.iter().map(|part| ids[first + part].clone()).collect::<Vec<_>>();
            let told: Vec<&Value> = found.iter().map(|entry| &entry["parts"]).collect();
            assert_eq!(told, [&json!(expected(0)), &json!(expected(3))], "{rows:?} {limit}");
            assert!(found.iter().all(|entry| entry["event_id"] == entry["parts"][0]), "{found:?}");
            assert!(found.iter().all(|entry| entry["ended"] == "released"), "{found:?}");
        }
    }
}

/// An accounting has each opening once, with its end.
#[tokio::test]
async fn an_opening_is_accounted_for_once() {
    let app = TestApp::new().await;
    let ours = clinic(&app).await;
    let sealed = app.seal(&ours.service, "ssn", "p1", json!("123-45-6789")).await["sealed"].clone();
    for sealed in [&sealed, &tampered(&sealed)] {
        let item = json!({"table": "patients", "column": "ssn", "row": "p1", "sealed": sealed});
        let body = json!({"reason": "study", "purpose": "HRESCH", "items": [item]});
        app.post(&ours.service, "/v1/open", body).await;
    }
    assert_eq!(app.outcomes(&ours.auditor, "record.opened").await.len(), 2);
    // Also where the outcome is on the page behind.
    for limit in [1, 100] {
        let (mut ends, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/audit/accounting?rows=patients/p1&limit={limit}{cursor}");
            let page = app.get(&ours.auditor, &path).await.ok();
            ends.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["ended"].clone()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(ends, [json!("released"), json!("refused")], "{limit}");
    }
}
