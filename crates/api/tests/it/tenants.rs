//! Tenants, from outside.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::app::{Backend, TestApp};

backends! {
    a_suspended_tenant_is_not_served_until_it_is_resumed,
    a_slug_is_taken_once,
    a_record_is_sealed_read_and_changed,
}

async fn a_suspended_tenant_is_not_served_until_it_is_resumed(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.get(&clinic.staff, "/v1/auth/session").await.ok();
    let suspended = app.call(&app.admin, "POST", &format!("/v1/tenants/{}/suspend", clinic.id), None).await.ok();
    assert_eq!(suspended["state"], "suspended");
    app.get(&clinic.staff, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    app.call(&app.admin, "POST", &format!("/v1/tenants/{}/suspend", clinic.id), None)
        .await
        .refused(409, "state.conflict");
    app.call(&app.admin, "POST", &format!("/v1/tenants/{}/resume", clinic.id), None).await.ok();
    app.get(&clinic.staff, "/v1/auth/session").await.ok();
    app.call(&app.admin, "POST", "/v1/tenants/ten_platform/suspend", None).await.refused(404, "not_found");
}

/// A commit for each made the search wait for the disk as often.
#[tokio::test]
async fn tenants_found_by_an_e_mail_are_told_of_in_one_commit() {
    let (backend, appends) = Backend::counted_appends().await;
    let app = TestApp::on(backend).await;
    for slug in ["clinic-a", "clinic-b", "clinic-c"] {
        let body = json!({"name": slug, "slug": slug, "email": "it@a.test", "metadata": {"plan": slug}});
        app.post(&app.admin, "/v1/tenants", body).await.created();
    }
    appends.store(0, Ordering::SeqCst);
    let found = app.get(&app.admin, "/v1/tenants?email=it@a.test").await.ok();
    let slugs: Vec<_> = found["items"].as_array().unwrap().iter().map(|item| item["slug"].clone()).collect();
    assert_eq!(slugs.len(), 3, "{found}");
    assert_eq!(appends.load(Ordering::SeqCst), 1);
}

async fn a_slug_is_taken_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let body = json!({"name": "A", "slug": "a-clinic", "email": "it@a.test", "metadata": {"plan": "gold"}});
    let made = app.post(&app.admin, "/v1/tenants", body.clone()).await.created();
    assert_eq!(made["state"], "active");
    app.post(&app.admin, "/v1/tenants", body).await.refused(409, "taken");
    let read = app.get(&app.admin, &format!("/v1/tenants/{}", made["id"].as_str().unwrap())).await.ok();
    for (name, value) in made.as_object().unwrap() {
        assert_eq!(&read[name], value);
    }
    let listed = app.get(&app.admin, "/v1/tenants").await.ok();
    assert!(listed["items"].as_array().unwrap().contains(&made));
    assert_eq!(listed["next_cursor"], json!(null));
}

async fn a_record_is_sealed_read_and_changed(backend: Backend) {
    let app = TestApp::on(backend).await;
    // What FE-06 names: payment tokens, card numbers, tax ids, phones, addresses.
    let metadata = json!({"payment_token": "tok_4242", "card": "4242 4242 4242 4242", "tax_id": "DE 811 907 980",
        "phone": "+49 30 1234567", "address": {"street": "Kastanienallee 1"}, "website": "https://a.test"});
    let body = json!({"name": " A ", "slug": "a-clinic", "email": " it@a.test ", "metadata": metadata});
    let made = app.post(&app.admin, "/v1/tenants", body).await.created();
    assert!(made.get("email").is_none() && made.get("metadata").is_none());
    let path = format!("/v1/tenants/{}", made["id"].as_str().unwrap());
    let read = app.get(&app.admin, &path).await.ok();
    assert_eq!((&read["name"], &read["email"], &read["metadata"]), (&json!("A"), &json!("it@a.test"), &metadata));
    let id = made["id"].as_str().unwrap().parse().unwrap();
    let stored = app.instance.store().view(chancery_domain::TenantId::PLATFORM).await.unwrap().tenant_record(id).await;
    let stored = stored.unwrap().unwrap();
    for sealed in [stored.email.unwrap(), stored.metadata.unwrap()] {
        for clear in ["it@a", "tok_", "4242", "811", "1234567", "Kastanien"] {
            assert!(!sealed.windows(clear.len()).any(|part| part == clear.as_bytes()), "{clear}");
        }
    }

    let found = async |email: &str| {
        let found = app.get(&app.admin, &format!("/v1/tenants?email={email}")).await.ok();
        found["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(found("IT@A.test").await, [made["id"].clone()]);
    assert_eq!(found("new@a.test").await, [json!(null); 0]);

    let patch = json!({"name": " B ", "email": "new@a.test", "metadata": null});
    assert_eq!(app.call(&app.admin, "PATCH", &path, Some(patch)).await.ok()["name"], "B");
    let read = app.get(&app.admin, &path).await.ok();
    assert_eq!((&read["email"], &read["metadata"]), (&json!("new@a.test"), &json!(null)));
    assert_eq!((&read["slug"], &read["state"]), (&json!("a-clinic"), &json!("active")));
    assert_eq!(found("new@a.test").await, [made["id"].clone()]);
    assert_eq!(found("it@a.test").await, [json!(null); 0]);
    app.call(&app.admin, "PATCH", &path, Some(json!({"email": null}))).await.ok();
    assert_eq!(found("new@a.test").await, [json!(null); 0]);
    assert_eq!(app.get(&app.admin, &path).await.ok()["email"], json!(null));
    for (bad, pointer) in [
        (json!({"name": " "}), "/name"),
        (json!({"email": "it"}), "/email"),
        (json!({"metadata": {"phone": "call us"}}), "/metadata/phone"),
        (json!({"metadata": {"website": "a.test"}}), "/metadata/website"),
        (json!({"metadata": [1]}), "/metadata"),
        (json!({"slug": "other"}), "/slug"),
    ] {
        let reply = app.call(&app.admin, "PATCH", &path, Some(bad)).await;
        reply.refused(422, "request.invalid");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer);
    }
    app.call(&app.admin, "PATCH", "/v1/tenants/ten_platform", Some(json!({"name": "x"})))
        .await
        .refused(404, "not_found");
    let bad = json!({"name": "C", "slug": "c-clinic", "metadata": {"phone": "call us"}});
    app.post(&app.admin, "/v1/tenants", bad).await.refused(422, "request.invalid");
}

/// `/api/tenants/*`: older paths, the same effect, for what lies below a tenant too.
#[tokio::test]
async fn older_paths_manage_tenants_too() {
    let app = TestApp::new().await;
    let made = app.post(&app.admin, "/api/tenants", json!({"name": "A", "slug": "a-clinic"})).await.created();
    let id = made["id"].as_str().unwrap();
    for tail in ["", &format!("/{id}"), "?limit=1", &format!("/{id}/api-keys?limit=1")] {
        let (old, new) = (format!("/api/tenants{tail}"), format!("/v1/tenants{tail}"));
        assert_eq!(app.get(&app.admin, &old).await.visible(), app.get(&app.admin, &new).await.visible(), "{tail}");
        let anonymous = app.anonymous("GET", &old, None).await;
        anonymous.refused(401, "auth.credential_missing");
        assert_eq!(anonymous.visible(), app.anonymous("GET", &new, None).await.visible(), "{tail}");
    }
    for tail in ["/ten_x", "/", "//", "/%2e%2e/keys", "/ten_x/nowhere"] {
        app.get(&app.admin, &format!("/api/tenants{tail}")).await.refused(404, "not_found");
    }
    app.call(&app.admin, "DELETE", "/api/tenants", None).await.refused(405, "method.not_allowed");
    app.get(&app.admin, "/api/keys").await.refused(404, "not_found");
    let user = json!({"username": "ann", "email": "ann@a.test", "roles": ["tenant_admin"], "password": "Correct-Horse-7-Battery"});
    app.post(&app.admin, &format!("/api/tenants/{id}/users"), user).await.created();
    app.call(&app.admin, "POST", &format!("/api/tenants/{id}/suspend"), None).await.ok();
    assert_eq!(app.get(&app.admin, &format!("/api/tenants/{id}")).await.ok()["state"], "suspended");
    let clinic = app.clinic("ours").await;
    app.get(&clinic.admin, &format!("/api/tenants/{id}")).await.refused(403, "authz.denied");
    let events = app.events(&clinic.auditor, "access.refused").await;
    assert!(events.iter().any(|event| event["core"].as_str().unwrap().contains("\"/v1/tenants/{id}\"")), "{events:?}");
}
