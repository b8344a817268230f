//! Events go to sinks, each at least once, whatever the sinks do.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chancery_crypto::merkle::leaf_hash;
use chancery_domain::{
    TenantId,
    audit::{
        EventFilter, LogHead, LoggedEvent, sequence,
        sinks::{AuditSink, Fed, Health, Outgoing, SendError, SinkCursor, SinkKind, Takes, feed, proven},
    },
    store::TenantEntry,
};
use serde_json::json;

use crate::app::{Backend, Clinic, TestApp};

backends! {
    every_event_arrives_once_after_dedup_across_an_outage, a_refused_batch_stops_one_log_and_is_passed_over_by_an_operator,
    a_cursor_that_somebody_moved_is_told_and_keeps_nothing_away, a_cursor_that_somebody_made_rest_does_not_rest,
    a_log_that_is_shorter_than_its_cursor_is_told, a_sink_of_security_events_gets_them_alone,
    a_damaged_row_is_told_with_its_place_and_what_is_before_it_arrives,
    an_event_that_is_refused_is_found_in_its_batch_and_its_place_is_told,
    a_receiver_that_takes_little_at_once_gets_everything, recovery_is_told_of_the_log_that_failed_alone
}

/// Takes what it is told to take.
pub(crate) struct Fake {
    takes: Takes,
    proofs: bool,
    got: Mutex<Vec<Outgoing>>,
    answer: Mutex<Result<(), SendError>>,
    /// Takes the batch and yet says that it was away: the worst case of a lost answer.
    forgets: Mutex<bool>,
    /// Refuses a batch in which an event has this in it.
    refuses: Mutex<Option<&'static str>>,
    /// How many events it takes at once, and how many batches it refused because there were more.
    most: Mutex<(usize, usize)>,
}

impl Fake {
    pub(crate) fn new(takes: Takes, proofs: bool) -> Arc<Self> {
        Arc::new(Self {
            takes,
            proofs,
            got: Mutex::default(),
            answer: Mutex::new(Ok(())),
            forgets: Mutex::new(false),
            refuses: Mutex::new(None),
            most: Mutex::new((usize::MAX, 0)),
        })
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
        let odd = *self.refuses.lock().unwrap();
        if odd.is_some_and(|odd| events.iter().any(|event| event.core.contains(odd))) {
            return Err(SendError::Refused("http.400".to_owned()));
        }
        let mut most = self.most.lock().unwrap();
        if events.len() > most.0 {
            most.1 += 1;
            return Err(SendError::Refused("http.413".to_owned()));
        }
        let answer = self.answer.lock().unwrap().clone();
        if answer.is_ok() || *self.forgets.lock().unwrap() {
            self.got.lock().unwrap().extend_from_slice(events);
        }
        answer
    }
}

/// An installation with a clinic, its log, and a sink.
async fn stage(backend: Backend, takes: Takes, proofs: bool) -> (TestApp, Clinic, TenantId, Arc<Fake>) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant = clinic.id.parse().unwrap();
    let sink = Fake::new(takes, proofs);
    app.instance.feed_sinks(vec![sink.clone()]);
    (app, clinic, tenant, sink)
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

/// Whoever reads the platform's log.
async fn platform_auditor(app: &TestApp) -> crate::app::Caller {
    let made = app.post(&app.admin, "/v1/api-keys", json!({"description": "a", "roles": ["platform_auditor"]})).await;
    crate::app::Caller { bearer: made.created()["key"].as_str().unwrap().to_owned() }
}

/// The details of the events of this type in the platform's log.
async fn told(app: &TestApp, auditor: &crate::app::Caller, kind: &str) -> Vec<serde_json::Value> {
    let core = |event: &serde_json::Value| -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(event["core"].as_str().unwrap()).unwrap()["detail"].clone()
    };
    app.events(auditor, kind).await.iter().map(core).collect()
}

async fn append(app: &TestApp, clinic: &Clinic, details: serde_json::Value) {
    let event = json!({"type": "app.step", "details": details});
    app.post(&clinic.service, "/v1/audit/events", event).await.created();
}

async fn every_event_arrives_once_after_dedup_across_an_outage(backend: Backend) {
    let (app, clinic, tenant, sink) = stage(backend, Takes::All, false).await;
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

/// Whoever holds the store would keep events from the sink, in silence: within the log, beyond it, or by making it rest.
async fn a_cursor_that_somebody_moved_is_told_and_keeps_nothing_away(backend: Backend) {
    let (app, clinic, tenant, sink) = stage(backend, Takes::All, false).await;
    let auditor = platform_auditor(&app).await;
    let mut health = Health::default();
    sequence(&app.instance, tenant).await.unwrap();
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    for (round, beyond) in [0, 0, 1_000].into_iter().enumerate() {
        for n in 0..3 {
            append(&app, &clinic, json!({"n": n})).await;
        }
        let size = sequence(&app.instance, tenant).await.unwrap().size;
        // Over what was not sent yet; first with the proof of where it was, then with none, then beyond the end.
        let mut tx = app.instance.store().begin(tenant).await.unwrap();
        let cursor = tx.sink_cursors().await.unwrap().remove(0);
        let from = cursor.position;
        let proof = cursor.proof.clone().filter(|_| round != 1);
        tx.save_sink_cursor(&SinkCursor { position: size + beyond, proof, ..cursor }, Some(from)).await.unwrap();
        tx.commit().await.unwrap();
        sink.got.lock().unwrap().clear();
        let fed = drain(&app, &sink, tenant, &mut health).await;
        assert!(matches!(&fed, Fed::Failed { error, .. } if error.code() == "cursor.moved"), "{fed:?}");
        let told = told(&app, &auditor, "audit.sink_failed").await;
        assert_eq!(told.len(), round + 1);
        assert!(told.iter().all(|detail| detail["reason"] == "cursor.moved" && detail["log"] == clinic.id), "{told:?}");
        app.clock.advance_seconds(600);
        assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
        let places: BTreeSet<u64> = sink.got.lock().unwrap().iter().map(|event| event.index).collect();
        assert_eq!(places, (0..size).collect(), "all of it came again");
    }
}

async fn a_cursor_that_somebody_made_rest_does_not_rest(backend: Backend) {
    let (app, clinic, tenant, sink) = stage(backend, Takes::All, false).await;
    let mut health = Health::default();
    sequence(&app.instance, tenant).await.unwrap();
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    append(&app, &clinic, json!({"n": 1})).await;
    sequence(&app.instance, tenant).await.unwrap();
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    let cursor = tx.sink_cursors().await.unwrap().remove(0);
    let from = cursor.position;
    let later = app.instance.now().plus_seconds(1_000_000_000);
    let resting = SinkCursor { failures: 9, updated_at: later, ..cursor };
    tx.save_sink_cursor(&resting, Some(from)).await.unwrap();
    tx.commit().await.unwrap();
    let fed = drain(&app, &sink, tenant, &mut health).await;
    assert!(matches!(&fed, Fed::Failed { error, .. } if error.code() == "cursor.moved"), "{fed:?}");
}

/// The sink has more than the log, by our own word: the log was put back.
async fn a_log_that_is_shorter_than_its_cursor_is_told(backend: Backend) {
    let (app, clinic, tenant, sink) = stage(backend, Takes::All, false).await;
    let auditor = platform_auditor(&app).await;
    let size = sequence(&app.instance, tenant).await.unwrap().size;
    let mut health = Health::default();
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    sink.got.lock().unwrap().clear();
    let ring = app.instance.keyring(TenantId::PLATFORM).await.unwrap();
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    let cursor = tx.sink_cursors().await.unwrap().remove(0);
    let longer = proven(&ring, tenant, SinkCursor { position: size + 1_000, ..cursor }).unwrap();
    tx.save_sink_cursor(&longer, Some(size)).await.unwrap();
    tx.commit().await.unwrap();
    let fed = drain(&app, &sink, tenant, &mut health).await;
    assert!(matches!(&fed, Fed::Failed { error, .. } if error.code() == "cursor.beyond"), "{fed:?}");
    assert_eq!(told(&app, &auditor, "audit.sink_failed").await.len(), 1);
    append(&app, &clinic, json!({"n": 1})).await;
    sequence(&app.instance, tenant).await.unwrap();
    app.clock.advance_seconds(600);
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    assert_eq!(sink.got.lock().unwrap().first().map(|event| event.index), Some(size));
}

/// A row that is not what was logged used to stop the whole log's export, and nobody was told.
async fn a_damaged_row_is_told_with_its_place_and_what_is_before_it_arrives(backend: Backend) {
    let (app, clinic, tenant, sink) = stage(backend, Takes::All, false).await;
    let auditor = platform_auditor(&app).await;
    let mut health = Health::default();
    sequence(&app.instance, tenant).await.unwrap();
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    sink.got.lock().unwrap().clear();
    for n in 0..4 {
        append(&app, &clinic, json!({"n": n})).await;
    }
    // As a sequencer would, but for one hash.
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    let queued = tx.queued_events(100).await.unwrap();
    let head = tx.log_head().await.unwrap();
    let mut rows: Vec<LoggedEvent> = queued
        .into_iter()
        .zip(head.size..)
        .map(|(event, index)| LoggedEvent { index, leaf_hash: leaf_hash(event.core.as_bytes()), event })
        .collect();
    let bad = rows.len() - 2;
    rows[bad].leaf_hash = [7; 32];
    let (bad, size) = (rows[bad].index, rows.last().unwrap().index + 1);
    tx.advance_log(head, LogHead { size, ..head }).await.unwrap();
    tx.log_events(&rows).await.unwrap();
    tx.commit().await.unwrap();

    let fed = drain(&app, &sink, tenant, &mut health).await;
    let Fed::Failed { error, at, .. } = &fed else { panic!("{fed:?}") };
    assert_eq!((error.code(), *at), ("log.damaged", Some(bad)));
    let arrived = || sink.got.lock().unwrap().iter().map(|event| event.index).collect::<Vec<u64>>();
    assert_eq!(arrived(), (head.size..bad).collect::<Vec<u64>>(), "what is before it");
    let told = told(&app, &auditor, "audit.sink_failed").await;
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["reason"], &told[0]["index"]), (&json!("log.damaged"), &json!(bad)));
    let listed = app.get(&app.admin, "/v1/audit/sinks").await.ok();
    let ours = listed["items"].as_array().unwrap().iter().find(|item| item["log"] == clinic.id).unwrap().clone();
    assert_eq!(
        (&ours["state"], &ours["reason"], &ours["position"]),
        (&json!("failing"), &json!("log.damaged"), &json!(bad))
    );
    // An operator lets it pass over that one, and the rest comes.
    let skip = json!({"log": clinic.id, "to": bad + 1, "reason": "row is damaged, ticket 7"});
    app.post(&app.admin, "/v1/audit/sinks/fake/skip", skip).await.ok();
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    assert_eq!(arrived(), (head.size..size).filter(|index| *index != bad).collect::<Vec<u64>>());
}

async fn an_event_that_is_refused_is_found_in_its_batch_and_its_place_is_told(backend: Backend) {
    let (app, clinic, tenant, sink) = stage(backend, Takes::All, false).await;
    let auditor = platform_auditor(&app).await;
    let mut health = Health::default();
    sequence(&app.instance, tenant).await.unwrap();
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    for what in ["FIRST", "SECOND", "ODD", "LAST"] {
        append(&app, &clinic, json!({"what": what})).await;
    }
    let size = sequence(&app.instance, tenant).await.unwrap().size;
    *sink.refuses.lock().unwrap() = Some("\"ODD\"");
    let fed = drain(&app, &sink, tenant, &mut health).await;
    let Fed::Failed { error, at: Some(at), .. } = &fed else { panic!("{fed:?}") };
    assert_eq!(error, &SendError::Refused("http.400".to_owned()));
    let arrived = |what: &str| sink.got.lock().unwrap().iter().filter(|event| event.core.contains(what)).count();
    assert_eq!(["\"FIRST\"", "\"SECOND\"", "\"ODD\"", "\"LAST\""].map(arrived), [1, 1, 0, 0]);
    let told = told(&app, &auditor, "audit.sink_failed").await;
    assert_eq!(
        (&told[0]["index"], &told[0]["reason"], &told[0]["what"]),
        (&json!(at), &json!("http.400"), &json!("refused"))
    );
    let logged =
        app.instance.store().view(tenant).await.unwrap().logged_events(&EventFilter::after(at.checked_sub(1), 1)).await;
    assert!(logged.unwrap()[0].event.core.contains("\"ODD\""), "it is that one");
    *sink.refuses.lock().unwrap() = None;
    app.clock.advance_seconds(600);
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    let places: BTreeSet<u64> = sink.got.lock().unwrap().iter().map(|event| event.index).collect();
    assert_eq!(places, (0..size).collect());
}

/// What answers 413 to a whole batch used to get the same batch for ever.
async fn a_receiver_that_takes_little_at_once_gets_everything(backend: Backend) {
    let (app, clinic, tenant, sink) = stage(backend, Takes::All, false).await;
    for n in 0..12 {
        append(&app, &clinic, json!({"n": n})).await;
    }
    let size = sequence(&app.instance, tenant).await.unwrap().size;
    sink.most.lock().unwrap().0 = 2;
    let mut health = Health::default();
    assert_eq!(drain(&app, &sink, tenant, &mut health).await, Fed::Idle);
    let got: Vec<u64> = sink.got.lock().unwrap().iter().map(|event| event.index).collect();
    assert_eq!(got, (0..size).collect::<Vec<u64>>(), "in order, and none twice");
    let refused = sink.most.lock().unwrap().1;
    assert!(refused <= got.len(), "{refused} refusals for {} events", got.len());
}

/// Another log that goes on tells nothing of the one that failed.
async fn recovery_is_told_of_the_log_that_failed_alone(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let [our_log, their_log] = [&ours, &theirs].map(|clinic| clinic.id.parse::<TenantId>().unwrap());
    let sink = Fake::new(Takes::All, false);
    app.instance.feed_sinks(vec![sink.clone()]);
    let auditor = platform_auditor(&app).await;
    for tenant in [our_log, their_log] {
        sequence(&app.instance, tenant).await.unwrap();
    }
    let mut health = Health::default();
    sink.answers(Err(SendError::Away("http.503".to_owned())));
    assert!(matches!(drain(&app, &sink, our_log, &mut health).await, Fed::Failed { .. }));
    assert!(health.is_away());
    sink.answers(Ok(()));
    assert_eq!(drain(&app, &sink, their_log, &mut health).await, Fed::Idle);
    assert!(!health.is_away());
    assert!(told(&app, &auditor, "audit.sink_recovered").await.is_empty());
    app.clock.advance_seconds(600);
    assert_eq!(drain(&app, &sink, our_log, &mut health).await, Fed::Idle);
    let recovered = told(&app, &auditor, "audit.sink_recovered").await;
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0]["log"], ours.id);
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
