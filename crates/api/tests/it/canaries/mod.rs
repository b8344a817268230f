//! Do the 18 identifiers of 45 CFR 164.514(b)(2) stay where they belong? A canary of each kind goes into every place of every
//! operation where a client can put a text, in good requests and in bad ones, and into webhooks. Then what the server says of
//! itself, what it refuses with, what it counts, what it keeps and what it hands on is searched for them, in every form that they
//! may take: lines of the log, answers, metrics, events, sinks, exports, packs, archives, the files of SQLite and a dump of PostgreSQL.
//!
//! [`KEPT`] names the places where an operation keeps what is said as it is, with the reason. Whatever else is found is a leak.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chancery_domain::{
    TenantId,
    audit::{
        formats, sequence,
        sinks::{AuditSink, Fed, Health, Outgoing, SendError, SinkKind, Takes, feed},
    },
    store::TenantEntry,
};
use chancery_testkit::canaries::{CANARIES, Captured, Form, Needles};
use serde_json::{Value, json};

use self::{
    heard::sent_everywhere,
    inject::{Codes, Kept, Operation},
};
use crate::{
    access::World,
    app::{Backend, Caller, TestApp},
    archives::Shelf,
};

mod door;
mod heard;
mod inject;
mod outside;

/// Where something is named by whoever sets it up, and the name is kept and shown as it is.
const KEPT: &[Kept] = &[
    ("create_tenant", "/slug", Form::Slug, "a tenant's public name"),
    ("update_tenant", "/name", Form::Said, "what a tenant is called"),
    ("create_user", "/username", Form::Slug, "the name at login, by which the person is looked up"),
    ("create_tenant_user", "/username", Form::Slug, "the name at login, by which the person is looked up"),
    ("create_api_key", "/description", Form::Said, "what a key is for"),
    ("create_tenant_api_key", "/description", Form::Said, "what a key is for"),
    ("create_api_key_compat", "/description", Form::Said, "what a key is for"),
    ("update_api_key", "/description", Form::Said, "what a key is for"),
    ("create_key", "/name", Form::Said, "what a key is called"),
    ("create_identity_provider", "/audiences/0", Form::Said, "for whom an issuer's tokens are"),
    ("replace_identity_provider", "/audiences/0", Form::Said, "for whom an issuer's tokens are"),
    ("replace_identity_provider", "/name", Form::Said, "what an issuer is called"),
    ("replace_identity_provider", "/role_claim", Form::Said, "where an issuer puts roles"),
    ("create_webhook_source", "/name", Form::Said, "what a sender of webhooks is called"),
    ("update_webhook_source", "/name", Form::Said, "what a sender of webhooks is called"),
    ("create_webhook_subscription", "/name", Form::Said, "what a receiver of events is called"),
    ("update_webhook_subscription", "/name", Form::Said, "what a receiver of events is called"),
    ("create_revocation", "/reason", Form::Said, "why a token ended, for whoever lists what ended"),
    ("create_ip_block", "/reason", Form::Said, "why an address is blocked, for whoever lists what is"),
    ("place_legal_hold", "{name}", Form::Slug, "what a hold is called"),
    ("define_role", "{name}", Form::Slug, "what a role is called"),
    ("define_role", "/description", Form::Said, "what a role is for"),
    ("define_field", "{table}", Form::Member, "a table of the application"),
    ("define_field", "{column}", Form::Member, "a column of the application"),
    ("put_dataset", "{name}", Form::Slug, "what a dataset is called"),
    ("define_index", "{name}", Form::Member, "what an index is called"),
    ("import_key", "/name", Form::Said, "what a key is called"),
    ("put_dataset", "/row_column", Form::Member, "a column that is not in the table is told back"),
    ("put_dataset", "/columns/0/sealed_in", Form::Member, "a column that is not in the table is told back"),
    ("put_dataset", "/columns/0/terms_in", Form::Member, "a column that is not in the table is told back"),
];

/// Where an address is what is asked for: anybody's address says nothing more there. No other identifier may stay.
const ADDRESSES: &[Codes] = &[("create_ip_block", "/network")];

/// Where an application writes codes of its own; names of letters alone look like any other code.
const CODES: &[Codes] = &[
    ("append_event", "/type"),
    ("append_event", "/details/x"),
    ("append_event", "/details/*"),
    ("append_event", "/personal/*"),
    ("append_events", "/items/0/type"),
    ("append_events", "/items/0/details/x"),
    ("append_events", "/items/0/details/*"),
    ("append_events", "/items/0/personal/*"),
    ("issue_certificate", "/kind"),
    ("issue_certificate", "/subject/kind"),
    ("issue_certificate", "/statement/code"),
    ("issue_certificate", "/statement/params/x"),
    ("issue_certificate", "/statement/params/*"),
    ("issue_certificate", "/evidence/0/name"),
    ("issue_certificate", "/evidence/0/media_type"),
    ("issue_certificates", "/items/0/kind"),
    ("issue_certificates", "/items/0/subject/kind"),
    ("issue_certificates", "/items/0/statement/code"),
    ("issue_certificates", "/items/0/statement/params/x"),
    ("issue_certificates", "/items/0/statement/params/*"),
    ("issue_certificates", "/items/0/evidence/0/name"),
    ("issue_certificates", "/items/0/evidence/0/media_type"),
];

/// What an answer says again of its own request, because that is what it is asked for: the operation, and what.
const ECHOES: &[(&str, &str)] = &[
    ("find_events", "what is sealed beside an event, for who may see it"),
    ("find_security_events", "what is sealed beside an event, for who may see it"),
    ("find_tenant_events", "what is sealed beside an event, for who may see it in the own tenant"),
    ("key_usage", "from where a key was used, for who looks after keys"),
    ("search_events", "what is sealed beside an event, for who may see it"),
    ("open_document", "what of a document is not sealed stands where it stood"),
];

/// Keeps what it is handed.
#[derive(Default)]
struct Sink(Mutex<Vec<Outgoing>>);

#[async_trait]
impl AuditSink for Sink {
    fn name(&self) -> &str {
        "kept"
    }

    fn kind(&self) -> SinkKind {
        SinkKind::File
    }

    fn takes(&self) -> Takes {
        Takes::All
    }

    fn serves(&self, _: &TenantEntry) -> bool {
        true
    }

    fn wants_proofs(&self) -> bool {
        false
    }

    fn batch(&self) -> u32 {
        500
    }

    async fn send(&self, events: &[Outgoing]) -> Result<(), SendError> {
        self.0.lock().unwrap().extend_from_slice(events);
        Ok(())
    }
}

/// What a log becomes on its way to a SIEM, in every format.
async fn handed_on(app: &TestApp, sink: &Arc<Sink>, tenant: TenantId) -> String {
    sequence::sequence(&app.instance, tenant).await.unwrap();
    let mut health = Health::default();
    while let Fed::Took { .. } = feed(&app.instance, &**sink, tenant, &mut health).await.unwrap() {}
    let events = std::mem::take(&mut *sink.0.lock().unwrap());
    assert!(!events.is_empty(), "nothing was handed on");
    // All are made of the leaf alone, so the longer ones are looked at now and then.
    let one = |(number, event): (usize, &Outgoing)| {
        let mut lines = vec![formats::line(event), formats::cef(event)];
        if number % 16 == 0 {
            lines.push(formats::ocsf(event).to_string());
            lines.push(formats::ecs(event).to_string());
            lines.push(formats::splunk(event, None));
            lines.push(formats::syslog(event, 13, "here", formats::Body::Cef));
            lines.push(formats::syslog(event, 13, "here", formats::Body::Leaf));
        }
        lines.join("\n")
    };
    events.iter().enumerate().map(one).collect::<Vec<_>>().join("\n")
}

/// All events of a log as a reader gets them, without what is sealed: that is asked for, and shown to who may see it.
async fn read(app: &TestApp, auditor: &Caller) -> String {
    let (mut text, mut cursor) = (String::new(), String::new());
    loop {
        let span = "from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&limit=1000";
        let mut page = app.get(auditor, &format!("/v1/audit/events?{span}{cursor}")).await.ok();
        for event in page["items"].as_array_mut().unwrap() {
            event.as_object_mut().unwrap().remove("sealed_part");
            text += &format!("{event}\n");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return text,
        }
    }
}

/// Every operation, in the order of the document.
fn operations<'a>(world: &'a World, document: &'a Value, locked: bool) -> Vec<Operation<'a>> {
    let mut all = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, described) in item.as_object().unwrap() {
            let id = described["operationId"].as_str().unwrap();
            let expect = world.expectations.get(id);
            let mut body = expect.and_then(|expect| expect.body.clone());
            if body.is_none() && described["requestBody"].is_object() {
                body = Some(json!({}));
            }
            all.push(Operation {
                id,
                method: method.to_uppercase(),
                template,
                path: expect.map_or_else(|| template.clone(), |expect| expect.path.clone()),
                body,
                caller: expect.map(|expect| expect.may.clone()),
                described,
                schemas: &document["components"]["schemas"],
                locked,
            });
        }
    }
    all
}

/// What looks like personal data is refused in certificates and events.
#[tokio::test]
async fn no_identifier_leaves_the_place_where_it_belongs() {
    put_everywhere(true).await;
}

/// It is left out of events, and certificates keep their codes.
#[tokio::test]
async fn nor_where_the_tenant_is_not_locked_down() {
    put_everywhere(false).await;
}

async fn put_everywhere(locked: bool) {
    let said = Captured::default();
    let _listening = tracing::subscriber::set_default(said.clone());
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let world = World::on(TestApp::on(Backend::file(&folder.path().join("chancery.db")).await).await).await;
    let app = &world.app;
    let sink = Arc::new(Sink::default());
    app.instance.feed_sinks(vec![sink.clone()]);
    app.put(&world.clinic.admin, "/v1/lockdown", json!({"on": locked})).await.ok();
    let document = app.anonymous("GET", "/openapi.json", None).await.ok();
    let operations = operations(&world, &document, locked);
    let heard = sent_everywhere(&world, &operations, 1).await;
    // Where the tenant is locked down, what has a shape is refused in descriptions, reasons and names too.
    let most = if locked { 120 } else { 200 };
    assert!(heard.count > 2_900 && heard.done.len() > most, "{} requests, {} done", heard.count, heard.done.len());

    let needles = Needles::new();
    let (mut found, echoes) = heard.search(&needles);
    for line in said.text().lines() {
        found.extend(needles.find("log", line));
    }
    found.extend(needles.find("metrics", &crate::metrics::scrape(app).await));
    let clinic: TenantId = world.clinic.id.parse().unwrap();
    for tenant in [clinic, TenantId::PLATFORM] {
        found.extend(needles.find("sink", &handed_on(app, &sink, tenant).await));
    }
    found.extend(needles.find("audit", &read(app, &world.clinic.auditor).await));
    for (what, text) in outside::handed_out(app, &world.clinic).await {
        found.extend(needles.find(what, &text));
    }
    for (name, text) in &stored(&folder) {
        found.extend(needles.find(name, text));
    }
    heard.without(&found);

    // The search sees what it looks at, and no exception is needless.
    let mut needless: Vec<String> = ECHOES
        .iter()
        .filter(|(id, _)| !echoes.contains(id))
        .map(|(id, why)| format!("{id} does not echo ({why})"))
        .collect();
    needless.extend(letters(app, &operations, &said).await);
    for (number, (id, place, form, why)) in KEPT.iter().enumerate() {
        let operation = operations.iter().find(|operation| operation.id == *id).unwrap_or_else(|| panic!("no {id}"));
        let marked = form.of(&format!("Quackenbosch {number}"));
        let reply = app.send(operation.kept(place, &marked)).await;
        let is_kept = stored_text(&folder).contains(&marked) || reply.text().contains(&marked);
        // The key that is changed was revoked on the way.
        let is_over = *id == "update_api_key" && reply.status == 409;
        if !is_kept && !is_over {
            needless.push(format!("{id} does not keep {place} ({why}): {} {}", reply.status, reply.text()));
        }
    }
    assert!(needless.is_empty(), "{}", needless.join("\n"));
}

/// The same rows elsewhere, and what is made of them where they lie: a sixth of the requests is enough for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_identifier_is_in_a_dump_of_postgresql_or_in_an_archived_month() {
    let Some(backend) = Backend::postgres().await else { return };
    let url = backend.url().unwrap();
    let world = World::on(TestApp::on(backend).await).await;
    let (app, clinic) = (&world.app, &world.clinic);
    let shelf = Arc::new(Shelf::default());
    app.instance.keep_archives_at(vec![shelf.clone()]);
    app.put(&clinic.admin, "/v1/lockdown", json!({"on": false})).await.ok();
    let document = app.anonymous("GET", "/openapi.json", None).await.ok();
    let operations = operations(&world, &document, false);
    let heard = sent_everywhere(&world, &operations, 6).await;
    assert!(heard.count > 500 && heard.done.len() > 30, "{} requests, {} done", heard.count, heard.done.len());

    let needles = Needles::new();
    let (mut found, _) = heard.search(&needles);
    found.extend(needles.find("audit", &read(app, &clinic.auditor).await));
    let files = [outside::handed_out(app, clinic).await, outside::archived(app, clinic, &shelf).await];
    for (what, text) in files.iter().flatten() {
        found.extend(needles.find(what, text));
    }
    let Some(dump) = outside::dumped(&url) else { return heard.without(&found) };
    found.extend(needles.find("dump", &dump));
    heard.without(&found);

    // The search sees what it looks at: a description, which is text there, and a code of an event, which is bytes.
    let leaks = || needles.find("dump", &outside::dumped(&url).unwrap()).len();
    let body = json!({"base": "staff", "permissions": ["data.seal"], "description": CANARIES[0].text});
    app.put(&clinic.admin, "/v1/roles/day-desk", body).await.ok();
    let described = leaks();
    assert_ne!(described, 0);
    let event = json!({"type": "app.visit.closed", "details": {"room": Form::Capitals.of(CANARIES[0].text)}});
    app.post(&clinic.service, "/v1/audit/events", event).await.created();
    assert!(leaks() > described);
}

/// Codes of letters look like any other code, so they are kept where a code is kept. They are in no line of the log, no metric and no
/// refusal, as what has a shape is not.
async fn letters(app: &TestApp, operations: &[Operation<'_>], said: &Captured) -> Vec<String> {
    let needles = Needles::new();
    let before = said.text().len();
    let (mut needless, mut refusals) = (Vec::new(), String::new());
    for (id, place) in CODES {
        let operation = operations.iter().find(|operation| operation.id == *id).unwrap_or_else(|| panic!("no {id}"));
        let mut is_kept = false;
        for code in ["quackenbosch", "QUACKENBOSCH", "app.quackenbosch", "text/quackenbosch", "Quackenbosch.pdf"] {
            let reply = app.send(operation.kept(place, code)).await;
            is_kept |= reply.status.is_success();
            // A member's name is told back where what stands under it is wrong.
            if !reply.status.is_success() && !place.ends_with('*') {
                refusals += &format!("{} {:?}\n", reply.text(), reply.headers);
            }
        }
        // A text of a person stands under such a name, not a number.
        if !is_kept && !place.ends_with("/personal/*") {
            needless.push(format!("{id} keeps no code of letters at {place}"));
        }
    }
    let places = [("log", said.text()[before..].to_owned()), ("metrics", crate::metrics::scrape(app).await)];
    for (place, text) in places.into_iter().chain([("refusals of codes", refusals)]) {
        needless.extend(needles.find(place, &text));
    }
    needless
}

/// The files of the store, byte by byte.
fn stored(folder: &tempfile::TempDir) -> Vec<(String, String)> {
    let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned())
        })
        .collect()
}

fn stored_text(folder: &tempfile::TempDir) -> String {
    stored(folder).into_iter().map(|(_, text)| text).collect()
}

#[tokio::test]
async fn a_leak_that_is_planted_is_found() {
    let said = Captured::default();
    let _listening = tracing::subscriber::set_default(said.clone());
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::on(Backend::file(&folder.path().join("chancery.db")).await).await;
    let clinic = app.clinic("ours").await;
    let needles = Needles::new();
    let [name, ssn] = ["name", "ssn"].map(|kind| CANARIES.iter().find(|canary| canary.kind == kind).unwrap());
    let leaks = |text: &str| needles.find("here", text).len();
    assert_eq!(leaks(&said.text()), 0, "{:?}", needles.find("here", &said.text()));

    // In a line of the log: as a field, in a span, as the text of an error.
    tracing::debug!(target: "chancery_api::planted", patient = name.text, "Asked");
    assert_ne!(leaks(&said.text()), 0);
    let before = said.text().len();
    let _span = tracing::info_span!(target: "chancery_api::planted", "request", ssn = ssn.text);
    assert_ne!(leaks(&said.text()[before..]), 0);
    // In the store: a description is kept as it is.
    assert_eq!(leaks(&stored_text(&folder)), 0);
    let body = json!({"base": "staff", "permissions": ["data.seal"], "description": name.text});
    app.put(&clinic.admin, "/v1/roles/night-desk", body).await.ok();
    assert_ne!(leaks(&stored_text(&folder)), 0);
    // In the log of events: a code that an application chose.
    let event = json!({"type": "app.visit.closed", "details": {"room": Form::Capitals.of(name.text)}});
    app.post(&clinic.service, "/v1/audit/events", event).await.created();
    let sink = Arc::new(Sink::default());
    app.instance.feed_sinks(vec![sink.clone()]);
    assert_ne!(leaks(&handed_on(&app, &sink, clinic.id.parse().unwrap()).await), 0);
    assert_ne!(leaks(&read(&app, &clinic.auditor).await), 0);
}
