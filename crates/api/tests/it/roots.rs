//! The platform root and tenant keys rotate, and nothing becomes unreadable: whatever fails, whoever knows of it late.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use chancery_crypto::Key256;
use chancery_domain::{
    TenantId,
    keyring::{
        KeyProvider, OwnProvider, ProviderError, ProviderKind, WrapLabel,
        root::{self, RotateError, rotate},
    },
};
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, TestApp};

/// A provider that is away when told to be.
#[derive(Clone)]
struct Switched {
    within: Arc<chancery_kms::Recovery>,
    away: Arc<AtomicBool>,
}

impl Switched {
    fn new() -> Self {
        Self { within: Arc::new(chancery_kms::Recovery::make().unwrap().0), away: Arc::default() }
    }

    fn check(&self) -> Result<(), ProviderError> {
        if self.away.load(Ordering::SeqCst) { Err(ProviderError::Unavailable("told to be".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl KeyProvider for Switched {
    fn kind(&self) -> ProviderKind {
        self.within.kind()
    }
    fn label(&self) -> String {
        self.within.label()
    }
    async fn wrap(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
        self.check()?;
        self.within.wrap(key, label).await
    }
    async fn unwrap(&self, wrapped: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError> {
        self.check()?;
        self.within.unwrap(wrapped, label).await
    }
}

/// A clinic with one sealed value.
async fn with_value(app: &TestApp, slug: &str) -> (Clinic, Value) {
    let clinic = app.clinic(slug).await;
    app.register_fields(&clinic).await;
    let sealed = app.seal(&clinic.service, "ssn", "p1", json!("123-45-6789")).await["sealed"].clone();
    (clinic, sealed)
}

#[track_caller]
fn opens(reply: &crate::app::Reply) {
    assert_eq!(reply.ok()["items"][0]["value"], "123-45-6789");
}

/// Everything that hangs on the root and on tenant keys.
async fn all_is_well(app: &TestApp, clinic: &Clinic, sealed: &Value) {
    opens(&app.open(&clinic.service, "ssn", "p1", sealed).await);
    let again = app.seal(&clinic.service, "ssn", "p1", json!("123-45-6789")).await["sealed"].clone();
    opens(&app.open(&clinic.service, "ssn", "p1", &again).await);
    crate::proofs::issue(app, clinic).await;
    app.get(&app.admin, "/v1/tenants").await.ok();
}

pub(crate) async fn rotate_root(app: &TestApp) {
    rotate::begin(&app.instance, app.instance.providers(), &[]).await.unwrap();
    let moved = rotate::sweep(&app.instance, &mut |_, _| ()).await.unwrap();
    assert!(moved.left.is_empty(), "{:?}", moved.left);
    rotate::finish(&app.instance).await.unwrap();
}

backends! {
    the_root_rotates_under_a_second_process,
    a_tenant_key_rotates_under_a_second_process,
    rotations_of_tenant_keys_and_of_the_root_are_stated,
    rotations_of_the_platforms_own_keys_are_in_the_report_of_its_log,
}

async fn the_root_rotates_under_a_second_process(backend: Backend) {
    let app = TestApp::on(backend).await;
    let other = app.again(|_| ()).await;
    let (clinic, sealed) = with_value(&app, "ours").await;
    all_is_well(&other, &clinic, &sealed).await;
    let once = json!({"name": "Once", "slug": "once"});
    let keyed = |app: &TestApp| {
        let mut request = crate::app::request("POST", "/v1/tenants", Some(once.clone()));
        request.headers_mut().insert("idempotency-key", "a-key-of-a-client".parse().unwrap());
        app.admin.sign(request)
    };
    let made = app.send(keyed(&app)).await.created();
    for version in 2..=3 {
        rotate_root(&app).await;
        assert_eq!(app.instance.root().version(), version);
        assert_eq!(app.send(keyed(&app)).await.created()["id"], made["id"], "remembered under the older root");
        all_is_well(&app, &clinic, &sealed).await;
        // The other process learns of it when it meets the first row: no restart.
        other.clock.advance_seconds(60);
        all_is_well(&other, &clinic, &sealed).await;
        let made = other.clinic(&format!("new-{version}")).await;
        app.get(&made.officer, "/v1/keys").await.ok();
        let key = app.get(&made.officer, "/v1/tenant-key").await.ok();
        assert_eq!(key["root_version"], version);
    }
    let fresh = app.again(|_| ()).await;
    all_is_well(&fresh, &clinic, &sealed).await;
    assert_eq!(fresh.instance.root().versions().collect::<Vec<_>>(), [3], "older wraps are gone");
    let events = app.events(&clinic.auditor, "tenant_key.rewrapped").await;
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn a_rotation_of_the_root_that_dies_anywhere_is_taken_up_again() {
    for commits in 0..9 {
        let (backend, store) = Backend::faulty().await;
        let app = TestApp::on(backend).await;
        let (clinic, sealed) = with_value(&app, "ours").await;
        let (spare, kept) = with_value(&app, "spare").await;
        store.faults().fail_commits_after(commits);
        let died = async {
            rotate::begin(&app.instance, app.instance.providers(), &[]).await?;
            rotate::sweep(&app.instance, &mut |_, _| ()).await?;
            rotate::finish(&app.instance).await
        };
        let died = died.await;
        store.faults().fail_commits_after(u64::MAX);
        // Whatever was done, a new process opens everything.
        let after = app.again(|_| ()).await;
        all_is_well(&after, &clinic, &sealed).await;
        all_is_well(&after, &spare, &kept).await;
        let rotation = rotate::begin(&after.instance, after.instance.providers(), &[]).await.unwrap();
        assert_eq!(rotation.resumed, died.is_err() && commits > 0, "{commits}: {died:?}");
        rotate::sweep(&after.instance, &mut |_, _| ()).await.unwrap();
        rotate::finish(&after.instance).await.unwrap();
        assert_eq!(rotate::census(&after.instance).await.unwrap(), 0);
        all_is_well(&after, &clinic, &sealed).await;
        all_is_well(&app, &spare, &kept).await;
        if died.is_ok() {
            assert!(commits > 3, "each step has a commit of its own");
            return;
        }
    }
    panic!("the rotation never came to its end");
}

async fn a_tenant_key_rotates_under_a_second_process(backend: Backend) {
    let app = TestApp::on(backend).await;
    let other = app.again(|_| ()).await;
    let (clinic, sealed) = with_value(&app, "ours").await;
    all_is_well(&other, &clinic, &sealed).await;
    let rotated = app.post(&clinic.officer, "/v1/tenant-key/rotate", json!({})).await.ok();
    assert_eq!(
        (&rotated["version"], &rotated["remaining"], &rotated["state"]),
        (&json!(2), &json!(0), &json!("active"))
    );
    all_is_well(&app, &clinic, &sealed).await;
    // It had the old tenant key in hand, under which nothing may be stored any more: the fence makes it look again.
    let data = other.get(&clinic.officer, "/v1/keys?managed=data").await.ok()["items"][0]["id"].clone();
    let rotate = format!("/v1/keys/{}/rotate", data.as_str().unwrap());
    other.post(&clinic.officer, &rotate, json!({})).await.ok();
    all_is_well(&other, &clinic, &sealed).await;
    app.clock.advance_seconds(60);
    all_is_well(&app, &clinic, &sealed).await;
    let keys = app.instance.store().view(tenant(&clinic)).await.unwrap().tenant_keys().await.unwrap();
    assert!(keys[0].wrapped.is_empty(), "the old one is gone");
    for kind in ["tenant_key.rotated", "tenant_key.keys_moved", "tenant_key.destroyed"] {
        assert_eq!(app.events(&clinic.auditor, kind).await.len(), 1, "{kind}");
    }
}

/// What is reported of rotations (MO-10) are not those of single keys alone.
async fn rotations_of_tenant_keys_and_of_the_root_are_stated(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("ours").await, app.clinic("theirs").await);
    app.post(&clinic.officer, "/v1/tenant-key/rotate", json!({})).await.ok();
    rotate_root(&app).await;
    let stated = app.get(&clinic.auditor, "/v1/certificates?kind=key-rotation").await.ok();
    let stated = stated["items"].as_array().unwrap();
    let params: Vec<&Value> = stated.iter().map(|one| &one["statement"]["params"]).collect();
    let of = |name: &str| json!({"key": name, "key_type": "AES_256", "managed": name, "retired_version": 1});
    assert_eq!(params, [&of("TENANT_KEY"), &of("PLATFORM_ROOT")]);
    for one in stated {
        let path = format!("/v1/certificates/{}/verify", one["id"].as_str().unwrap());
        assert_eq!(app.get(&clinic.auditor, &path).await.ok()["verdict"], "valid");
    }
    // A tenant whose own key stayed is told of the root alone.
    let theirs = app.get(&other.auditor, "/v1/certificates?kind=key-rotation").await.ok();
    assert_eq!(theirs["items"].as_array().unwrap().len(), 1, "{theirs}");
    assert_eq!(theirs["items"][0]["statement"]["params"], of("PLATFORM_ROOT"));

    // The report of a span lists them; files of a pack lie in it as they are.
    let ever = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00Z"});
    let pack = app.post(&clinic.auditor, "/v1/certificates/packs", ever).await;
    assert_eq!(pack.status, 200, "{}", pack.text());
    let text = pack.text();
    assert!(text.contains("<h2>Rotations of keys: 2</h2>"), "no section");
    for (name, one) in ["TENANT_KEY", "PLATFORM_ROOT"].into_iter().zip(stated) {
        let row = format!("<tr><td>{name}<td>AES_256<td>{name}<td>1<td>");
        let line = text.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("no {row}"));
        assert!(line.ends_with(&format!("<td>{}<td>valid", one["id"].as_str().unwrap())), "{line}");
    }
}

/// It has no certificates: its trust key signs statements of keys alone.
async fn rotations_of_the_platforms_own_keys_are_in_the_report_of_its_log(backend: Backend) {
    let app = TestApp::on(backend).await;
    let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = app.post(&app.admin, "/v1/api-keys", auditor).await.created();
    let auditor = Caller { bearer: auditor["key"].as_str().unwrap().to_owned() };
    let keys = app.get(&app.admin, "/v1/keys?managed=log").await.ok();
    let log = keys["items"][0]["id"].as_str().unwrap();
    app.post(&app.admin, &format!("/v1/keys/{log}/rotate"), json!({})).await.ok();
    rotate_root(&app).await;
    let ever = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00Z"});
    let pack = app.post(&auditor, "/v1/certificates/packs", ever).await;
    assert_eq!(pack.status, 200, "{}", pack.text());
    let text = pack.text();
    assert!(text.contains("<h2>Rotations of keys: 2</h2>"), "no section");
    for (key, used, kind) in [(log, "LOG", "key.retired"), ("PLATFORM_ROOT", "PLATFORM_ROOT", "root.retired")] {
        let events = app.events(&auditor, kind).await;
        assert_eq!(events.len(), 1, "{kind}");
        let row = format!("<tr><td>{key}<td>{used}<td>1<td>");
        let line = text.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("no {row}"));
        let end = format!("<td>{}<td>{}", events[0]["index"], events[0]["id"].as_str().unwrap());
        assert!(line.ends_with(&end), "{line}");
    }
}

fn tenant(clinic: &Clinic) -> TenantId {
    clinic.id.parse().unwrap()
}

#[tokio::test]
async fn a_rotation_of_a_tenant_key_that_dies_anywhere_is_taken_up_again() {
    for commits in 0..6 {
        let (backend, store) = Backend::faulty().await;
        let app = TestApp::on(backend).await;
        let (clinic, sealed) = with_value(&app, "ours").await;
        store.faults().fail_commits_after(commits);
        let died = app.post(&clinic.officer, "/v1/tenant-key/rotate", json!({})).await;
        store.faults().fail_commits_after(u64::MAX);
        let after = app.again(|_| ()).await;
        all_is_well(&after, &clinic, &sealed).await;
        all_is_well(&app, &clinic, &sealed).await;
        let rotated = after.post(&clinic.officer, "/v1/tenant-key/rotate", json!({})).await.ok();
        assert_eq!(rotated["remaining"], 0, "{commits}");
        all_is_well(&after, &clinic, &sealed).await;
        if died.status.is_success() {
            assert!(commits >= 3, "each step has a commit of its own");
            return;
        }
        died.refused(503, "dependency.unavailable");
    }
    panic!("the rotation never came to its end");
}

#[tokio::test]
async fn recipients_come_and_go_and_the_last_ones_stay() {
    let second = Switched::new();
    let held = second.clone();
    let app = TestApp::with(Backend::sqlite().await, |ports| ports.providers.push(Arc::new(held))).await;
    let (clinic, sealed) = with_value(&app, "ours").await;
    let recipients = || async {
        let mut view = app.instance.store().view(TenantId::PLATFORM).await.unwrap();
        view.root_recipients().await.unwrap()
    };
    // Failing is noted and told once, and so is its end.
    second.away.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let proofs = root::prove(&app.instance).await.unwrap();
        assert_eq!(proofs.iter().filter(|proof| matches!(proof.outcome, Some(Err(_)))).count(), 1);
    }
    let listed = recipients().await;
    let failing = listed.iter().find(|one| one.failed_at.is_some()).unwrap();
    let proven = listed.iter().find(|one| one.failed_at.is_none()).unwrap();
    // A server starts with the one that answers.
    all_is_well(&app.again(|_| ()).await, &clinic, &sealed).await;
    // The last proven one stays, also in development.
    let refused = root::remove(&app.instance, proven.id).await;
    assert!(matches!(refused, Err(root::RootError::TooFew { remaining: 0, needed: 1 })), "{refused:?}");
    second.away.store(false, Ordering::SeqCst);
    root::prove(&app.instance).await.unwrap();
    assert!(recipients().await.iter().all(|one| one.failed_at.is_none()));

    let third = Switched::new();
    let replaced = root::replace(&app.instance, failing.id, &third).await.unwrap();
    let labels: Vec<_> = recipients().await.into_iter().map(|one| one.label).collect();
    assert!(labels.contains(&third.label()) && !labels.contains(&second.label()));
    let twice = root::add(&app.instance, &third).await;
    assert!(matches!(twice, Err(root::RootError::AlreadyRecipient(_))), "{twice:?}");
    // One that is not at hand would be left behind by a rotation.
    let absent = rotate::begin(&app.instance, app.instance.providers(), &[]).await;
    assert!(matches!(&absent, Err(RotateError::NotAtHand(absent)) if absent[0].id == replaced.id), "{absent:?}");
    root::remove(&app.instance, replaced.id).await.unwrap();
    all_is_well(&app.again(|_| ()).await, &clinic, &sealed).await;
    let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = app.post(&app.admin, "/v1/api-keys", auditor).await.created();
    let auditor = Caller { bearer: auditor["key"].as_str().unwrap().to_owned() };
    for (kind, count) in [
        ("root.recipient_failed", 1),
        ("root.recipient_proven", 1),
        ("root.recipient_added", 1),
        ("root.recipient_removed", 2),
    ] {
        assert_eq!(app.events(&auditor, kind).await.len(), count, "{kind}");
    }
}

#[tokio::test]
async fn a_tenants_own_provider_is_needed_or_enough_and_concerns_nobody_else() {
    let clinics = Switched::new();
    let own = OwnProvider {
        name: "clinic-kms".to_owned(),
        tenants: vec!["ours".to_owned()],
        provider: Arc::new(clinics.clone()),
    };
    let app = TestApp::with(Backend::sqlite().await, |ports| ports.own.push(own)).await;
    let (ours, sealed) = with_value(&app, "ours").await;
    let (theirs, others) = with_value(&app, "theirs").await;
    let wanted = json!({"provider": "clinic-kms", "mode": "and"});
    app.put(&theirs.officer, "/v1/tenant-key/provider", wanted.clone()).await.refused(422, "request.invalid");
    let both = app.put(&ours.officer, "/v1/tenant-key/provider", wanted).await.ok();
    assert_eq!(
        (&both["provider"], &both["mode"], &both["remaining"]),
        (&json!("clinic-kms"), &json!("and"), &json!(0))
    );
    all_is_well(&app, &ours, &sealed).await;

    clinics.away.store(true, Ordering::SeqCst);
    // The lease goes on to its bound, then nothing opens; in clear nothing is ever written.
    all_is_well(&app, &ours, &sealed).await;
    app.clock.advance_seconds(60);
    app.open(&ours.service, "ssn", "p1", &sealed).await.refused(503, "dependency.unavailable");
    let item = json!({"table": "patients", "column": "ssn", "row": "p1", "value": "1"});
    app.post(&ours.service, "/v1/seal", json!({"items": [item]})).await.refused(503, "dependency.unavailable");
    all_is_well(&app, &theirs, &others).await;
    // The root rotates without the provider; only the event in the tenant's log waits for it.
    rotate::begin(&app.instance, app.instance.providers(), &[]).await.unwrap();
    let moved = rotate::sweep(&app.instance, &mut |_, _| ()).await.unwrap();
    assert_eq!(moved.left.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>(), [tenant(&ours)]);
    assert!(matches!(rotate::finish(&app.instance).await, Err(RotateError::Left(1))));
    clinics.away.store(false, Ordering::SeqCst);
    all_is_well(&app, &ours, &sealed).await;
    rotate::sweep(&app.instance, &mut |_, _| ()).await.unwrap();
    rotate::finish(&app.instance).await.unwrap();
    all_is_well(&app.again(|_| ()).await, &ours, &sealed).await;

    // With `or` the platform opens alone, and so would the provider.
    app.put(&ours.officer, "/v1/tenant-key/provider", json!({"provider": "clinic-kms", "mode": "or"})).await.ok();
    clinics.away.store(true, Ordering::SeqCst);
    app.clock.advance_seconds(60);
    all_is_well(&app, &ours, &sealed).await;
    let alone = app.put(&ours.officer, "/v1/tenant-key/provider", json!({"provider": null})).await.ok();
    assert_eq!(alone["provider"], Value::Null);
    all_is_well(&app.again(|_| ()).await, &ours, &sealed).await;
}
