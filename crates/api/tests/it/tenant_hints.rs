//! Names of tenants in requests: compared, never obeyed.

use chancery_domain::instance::TenantMismatch;
use serde_json::json;

use crate::app::{TestApp, request};

#[tokio::test]
async fn a_caller_may_name_its_own_tenant_anywhere() {
    let app = TestApp::new().await;
    let strict = app.again(|settings| settings.tenant_mismatch = TenantMismatch::Reject).await;
    let clinic = app.clinic("ours").await;
    for named in [&clinic.id, &clinic.slug] {
        for header in ["x-tenant", "x-tenant-id"] {
            let mut sent =
                clinic.admin.sign(request("GET", &format!("/v1/api-keys?tenant={named}&tenant_id={named}"), None));
            sent.headers_mut().insert(header, named.parse().unwrap());
            strict.send(sent).await.ok();
        }
        let body = json!({"description": "x", "roles": ["staff"], "tenant": named, "tenant_id": named});
        strict.post(&clinic.admin, "/v1/api-keys", body).await.created();
        let body = json!({"description": "x", "roles": ["staff"], "tenant_id": null});
        strict.post(&clinic.admin, "/v1/api-keys", body).await.created();
    }
    assert!(app.events(&clinic.auditor, "tenant.mismatch").await.is_empty());
}

#[tokio::test]
async fn a_foreign_name_is_told_where_it_was_and_refused_if_strict() {
    let app = TestApp::new().await;
    let strict = app.again(|settings| settings.tenant_mismatch = TenantMismatch::Reject).await;
    let clinic = app.clinic("ours").await;
    for (index, named) in ["ten_platform", "theirs", "", "OURS"].into_iter().enumerate() {
        let query = request("GET", &format!("/v1/api-keys?tenant_id={named}"), None);
        let body = json!({"description": "x", "roles": ["staff"], "tenant_id": named});
        let mut header = request("GET", "/v1/api-keys", None);
        header.headers_mut().insert("x-tenant-id", named.parse().unwrap());
        for sent in [query, request("POST", "/v1/api-keys", Some(body)), header] {
            strict.send(clinic.admin.sign(sent)).await.refused(403, "tenant.mismatch");
        }
        let events = app.events(&clinic.auditor, "tenant.mismatch").await;
        assert_eq!(events.len(), 3 * (index + 1), "{named}");
    }
    let places: Vec<String> = app.events(&clinic.auditor, "tenant.mismatch").await[..3]
        .iter()
        .map(|event| {
            serde_json::from_str::<serde_json::Value>(event["core"].as_str().unwrap()).unwrap()["detail"]["place"]
                .to_string()
        })
        .collect();
    assert_eq!(places, [r#""query""#, r#""body""#, r#""header""#]);
    // One event for each, not a refusal beside it.
    assert!(app.events(&clinic.auditor, "access.refused").await.is_empty());
}

#[tokio::test]
async fn a_name_that_is_no_text_or_inside_an_item_is_not_obeyed_either() {
    let app = TestApp::new().await;
    let strict = app.again(|settings| settings.tenant_mismatch = TenantMismatch::Reject).await;
    let clinic = app.clinic("ours").await;
    for odd in [json!(7), json!(["ours"]), json!({"id": "ours"})] {
        let body = json!({"description": "x", "roles": ["staff"], "tenant": odd});
        strict.post(&clinic.admin, "/v1/api-keys", body).await.refused(403, "tenant.mismatch");
    }
    let body = json!({"items": [{"table": "a", "column": "b", "value": 1, "tenant_id": clinic.id}]});
    strict.post(&clinic.service, "/v1/seal", body).await.refused(422, "request.invalid");
    let body = json!({"tenant_id": "theirs"});
    let key =
        app.get(&clinic.officer, "/v1/keys?managed=data").await.ok()["items"][0]["id"].as_str().unwrap().to_owned();
    strict.post(&clinic.officer, &format!("/v1/keys/{key}/rotate"), body).await.refused(403, "tenant.mismatch");
}

#[tokio::test]
async fn keys_that_refuse_everything_still_see_whom_a_body_names() {
    let app = TestApp::new().await;
    let strict = app.again(|settings| settings.tenant_mismatch = TenantMismatch::Reject).await;
    let clinic = app.clinic("ours").await;
    let key =
        app.get(&clinic.officer, "/v1/keys?managed=data").await.ok()["items"][0]["id"].as_str().unwrap().to_owned();
    let ends = ["sign", "verify", "encrypt", "decrypt", "export"];
    for (index, end) in ends.into_iter().enumerate() {
        let path = format!("/v1/keys/{key}/{end}");
        let spoofed = json!({"message": "AAAA", "deep": {"er": [1]}, "tenant_id": "theirs"});
        app.post(&clinic.service, &path, spoofed.clone()).await.refused(403, "key.managed");
        strict.post(&clinic.service, &path, spoofed).await.refused(403, "tenant.mismatch");
        assert_eq!(app.events(&clinic.auditor, "tenant.mismatch").await.len(), 2 * (index + 1), "{end}");
        let own = json!({"message": "AAAA", "tenant_id": clinic.id});
        strict.post(&clinic.service, &path, own).await.refused(403, "key.managed");
        strict.call(&clinic.service, "POST", &path, None).await.refused(403, "key.managed");
        let mut broken = clinic.service.sign(request("POST", &path, Some(json!({}))));
        *broken.body_mut() = "{".into();
        strict.send(broken).await.refused(400, "request.malformed");
    }
    assert_eq!(app.events(&clinic.auditor, "tenant.mismatch").await.len(), 2 * ends.len());
}
