//! Events go to sinks, each at least once, whatever the sinks do.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chancery_domain::{
    TenantId,
    audit::{
        sequence,
        sinks::{AuditSink, Fed, Health, Outgoing, SendError, SinkCursor, SinkKind, Takes, feed},
    },
    store::TenantEntry,
};
use serde_json::json;

use crate::app::{Backend, TestApp};

backends! {
    every_event_arrives_once_after_dedup_across_an_outage, a_refused_batch_stops_one_log_and_is_passed_over_by_an_operator,
    a_cursor_beyond_the_end_is_told_and_keeps_nothing_away, a_sink_of_security_events_gets_them_alone
}

/// Takes what it is told to take.
pub(crate) struct Fake {
    takes: Takes,
    proofs: bool,
    got: Mutex<Vec<Outgoing>>,
    answer: Mutex<Result<(), SendError>>,
    /// Takes the batch and yet says that it was away: the worst case of a lost answer.
    forgets: Mutex<bool>,
}

impl Fake {
    pub(crate) fn new(takes: Takes, proofs: bool) -> Arc<Self> {
        let (got, answer, forgets) = (Mutex::default(), Mutex::new(Ok(())), Mutex::new(false));
        Arc::new(Self { takes, proofs, got, answer, forgets })
    }

    fn answers(&self, answer: Result<(), SendError>) {
        *self.answer.lock().unwrap() = answer;
    }
}

#[async_trait]
impl AuditSink for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    fn kind(&self) -> SinkKind {
        SinkKind::File
    }

    fn takes(&self) -> Takes {
        self.takes
    }

    fn serves(&self, _: &TenantEntry) -> bool {
        true
    }

    fn wants_proofs(&self) -> bool {
        self.proofs
    }

    fn batch(&self) -> u32 {
        4
    }

    async fn send(&self, events: &[Outgoing]) -> Result<(), SendError> {
        let answer = self.answer.lock().unwrap().clone();
        if answer.is_ok() || *self.forgets.lock().unwrap() {
            self.got.lock().unwrap().extend_from_slice(events);
        }
        answer
    }
}

/// Feeds until there is nothing more, or it goes no further.
pub(crate) async fn drain(app: &TestApp, sink: &Fake, tenant: TenantId, health: &mut Health) -> Fed {
    loop {
        match feed(&app.instance, sink, tenant, health).await.unwrap() {
            Fed::Took { .. } => {}
            other => return other,
        }
    }
}

async fn every_event_arrives_once_after_dedup_across_an_outage(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let sink = Fake::new(Takes::All, false);
    app.instance.feed_sinks(vec![sink.clone()]);
    let append = |n: u64| {
        app.post(
            &clinic.service,
            "/v1/audit/events",
            json!({"type": "app.step", "details": {"n": n}, "personal": {"note": "Jane Doe"}}),
        )
    };
    let mut health = Health::default();
    for n in 0..6 {
        append(n).await.created();
    }
    sequence(&app.instance, tenant).await.unwrap();
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);

    // An outage in which the sink takes batches whose answer is lost.
    for n in 6..12 {
        append(n).await.created();
    }
    sequence(&app.instance, tenant).await.unwrap();
    sink.answers(Err(SendError::Away("connect".to_owned())));
    *sink.forgets.lock().unwrap() = true;
    let mut now = app.instance.now();
    for _ in 0..3 {
        assert!(matches!(drain(&app, &sink, tenant, &mut health).await, Fed::Failed { .. }));
        assert!(health.is_away() && health.rests(now));
        app.clock.advance_seconds(300);
        now = app.instance.now();
        assert!(!health.rests(now));
    }
    let listed = app.get(&app.admin, "/v1/audit/sinks").await.ok();
    let ours = listed["items"].as_array().unwrap().iter().find(|item| item["log"] == clinic.id).unwrap().clone();
    assert_eq!((&ours["state"], &ours["reason"], &ours["failures"]), (&json!("failing"), &json!("connect"), &json!(3)));
    sink.answers(Ok(()));
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);

    let got = sink.got.lock().unwrap().clone();
    let unique: BTreeSet<_> = got.iter().map(|event| event.id).collect();
    assert!(got.len() > unique.len(), "batches came again");
    let head = app.instance.store().view(tenant).await.unwrap().log_head().await.unwrap();
    assert_eq!(u64::try_from(unique.len()).unwrap(), head.size);
    let places: BTreeSet<u64> = got.iter().map(|event| event.index).collect();
    assert_eq!(places, (0..head.size).collect());
    assert!(!got.iter().any(|event| event.core.contains("Jane")), "what is sealed stays");
    // The platform's log tells of the outage once, and of its end.
    let auditor =
        app.post(&app.admin, "/v1/api-keys", json!({"description": "a", "roles": ["platform_auditor"]})).await;
    let auditor = crate::app::Caller { bearer: auditor.created()["key"].as_str().unwrap().to_owned() };
    assert_eq!(app.events(&auditor, "audit.sink_failed").await.len(), 1);
    assert_eq!(app.events(&auditor, "audit.sink_recovered").await.len(), 1);
}

/// Whoever holds the store would keep every later event from the sink, in silence.
async fn a_cursor_beyond_the_end_is_told_and_keeps_nothing_away(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let sink = Fake::new(Takes::All, false);
    app.instance.feed_sinks(vec![sink.clone()]);
    let size = sequence(&app.instance, tenant).await.unwrap().size;
    let mut health = Health::default();
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    sink.got.lock().unwrap().clear();
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    let cursor = tx.sink_cursors().await.unwrap().remove(0);
    let moved = SinkCursor { position: size + 1_000, ..cursor };
    tx.save_sink_cursor(&moved, Some(size)).await.unwrap();
    tx.commit().await.unwrap();
    let fed = drain(&app, &sink, tenant, &mut health).await;
    assert!(matches!(&fed, Fed::Failed { error, .. } if error.code() == "cursor.beyond"), "{fed:?}");
    let auditor =
        app.post(&app.admin, "/v1/api-keys", json!({"description": "a", "roles": ["platform_auditor"]})).await;
    let auditor = crate::app::Caller { bearer: auditor.created()["key"].as_str().unwrap().to_owned() };
    assert_eq!(app.events(&auditor, "audit.sink_failed").await.len(), 1);
    let event = json!({"type": "app.step", "details": {"n": 1}});
    app.post(&clinic.service, "/v1/audit/events", event).await.created();
    sequence(&app.instance, tenant).await.unwrap();
    app.clock.advance_seconds(600);
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    assert_eq!(sink.got.lock().unwrap().first().map(|event| event.index), Some(size));
}

async fn a_refused_batch_stops_one_log_and_is_passed_over_by_an_operator(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let [our_log, their_log] = [&ours, &theirs].map(|clinic| clinic.id.parse::<TenantId>().unwrap());
    let sink = Fake::new(Takes::All, false);
    app.instance.feed_sinks(vec![sink.clone()]);
    for tenant in [our_log, their_log] {
        sequence(&app.instance, tenant).await.unwrap();
    }
    let mut health = Health::default();
    sink.answers(Err(SendError::Refused("http.400".to_owned())));
    assert!(matches!(drain(&app, &sink, our_log, &mut health).await, Fed::Failed { .. }));
    assert!(matches!(drain(&app, &sink, our_log, &mut health).await, Fed::Rests { .. }), "not at every tick");
    assert!(!health.rests(app.instance.now()), "others go on");
    sink.answers(Ok(()));
    assert_eq!(drain(&app, &sink, their_log, &mut health).await, Fed::Idle);

    // Only the platform's administrator lets it pass over, within the log, and with a reason.
    let skip = |to: u64| json!({"log": ours.id, "to": to, "reason": "event of an older version"});
    let path = "/v1/audit/sinks/fake/skip";
    app.post(&ours.admin, path, skip(2)).await.refused(403, "authz.denied");
    app.post(&app.admin, "/v1/audit/sinks/none/skip", skip(2)).await.refused(404, "not_found");
    for to in [0, 1_000] {
        app.post(&app.admin, path, skip(to)).await.refused(422, "request.invalid");
    }
    let moved = app.post(&app.admin, path, skip(2)).await.ok();
    assert_eq!((&moved["position"], &moved["skipped"], &moved["failures"]), (&json!(2), &json!(2), &json!(0)));
    app.post(&app.admin, path, skip(2)).await.refused(422, "request.invalid");
    sequence(&app.instance, our_log).await.unwrap();
    assert_eq!(drain(&app, &sink, our_log, &mut health).await, Fed::Idle);
    let first = sink.got.lock().unwrap().iter().filter(|event| event.tenant == our_log).map(|event| event.index).min();
    assert_eq!(first, Some(2));
    let told = app.events(&ours.auditor, "audit.sink_skipped").await;
    let core: serde_json::Value = serde_json::from_str(told[0]["core"].as_str().unwrap()).unwrap();
    assert_eq!((&core["detail"]["from"], &core["detail"]["to"]), (&json!(0), &json!(2)));
    assert_eq!(told[0]["sealed_part"]["reason"]["value"], "event of an older version");
}

async fn a_sink_of_security_events_gets_them_alone(backend: Backend) {
    use chancery_crypto::{merkle, proof::LogProof};
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let sink = Fake::new(Takes::Security, true);
    app.get(&clinic.staff, "/v1/users?email=a@b.test").await.refused(403, "authz.denied");
    app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.x"})).await.created();
    sequence(&app.instance, tenant).await.unwrap();
    let mut health = Health::default();
    // What no signed head covers has no proof yet.
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    assert_eq!(sink.got.lock().unwrap().len(), 0);
    let head = sequence::checkpoint(&app.instance, tenant).await.unwrap();
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    let got = sink.got.lock().unwrap().clone();
    let kinds: BTreeSet<&str> = got.iter().map(|event| event.kind.as_str()).collect();
    assert!(
        kinds.contains("access.refused") && !kinds.contains("app.x") && !kinds.contains("record.sealed"),
        "{kinds:?}"
    );
    for event in &got {
        let proof = LogProof::parse(event.proof.as_deref().unwrap()).unwrap();
        let signed = proof.checkpoint.checkpoint().clone();
        assert_eq!(signed.size, head.size);
        let leaf = merkle::leaf_hash(event.core.as_bytes());
        assert!(merkle::verify_inclusion(event.index, signed.size, &leaf, &proof.hashes, &signed.root).is_ok());
    }
}
