//! Bodies over a megabyte: kept in parts, if the operator wants them.

use super::*;

const LONG: usize = 3_400_000;

#[tokio::test]
async fn a_long_body_is_kept_in_parts_and_reaches_the_application_to_the_byte() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let oura = source(&app, &clinic, "oura").await;
    let body: Vec<u8> = (0..LONG).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let sent = signed(&app, &oura, &body, 0);
    app.send(sent()).await.refused(413, "request.too_large");
    let app = app.again(|settings| settings.webhook_body_bytes = 4_000_000).await;
    let mut changed = sent();
    let mut other = body.clone();
    other[LONG - 1] ^= 1;
    *changed.body_mut() = Body::from(other);
    rejected(&app.send(changed).await, 401);
    assert_eq!(app.send(sent()).await.status, StatusCode::OK);
    rejected(&app.send(sent()).await, 401);
    app.send(signed(&app, &oura, &vec![0; 4_000_001], 0)()).await.refused(413, "request.too_large");
    let listed = app.get(&clinic.auditor, "/v1/webhook-deliveries").await.ok();
    assert_eq!(listed["items"][0]["bytes"], LONG);
    let id = listed["items"][0]["id"].as_str().unwrap().parse().unwrap();
    let parts = async || app.instance.store().view(tenant).await.unwrap().webhook_parts(id).await.unwrap();
    let kept = parts().await;
    assert_eq!(kept.len(), 3);
    assert!(!kept[0].windows(64).any(|bytes| body.windows(64).next() == Some(bytes)), "it is sealed");
    // A try in vain loses nothing of it.
    handed(&app, &clinic, &Upstream::failing("http.503", false)).await;
    app.clock.advance_seconds(60);
    let upstream = Upstream::default();
    assert_eq!(handed(&app, &clinic, &upstream).await.taken, 1);
    assert!(upstream.got.lock().unwrap()[0].2 == body);
    assert_eq!(parts().await.len(), 0, "what was delivered is not kept");
}

/// Found on the binary: 12 MB that the operator allowed were refused for what other bodies may have.
#[tokio::test]
async fn a_body_that_the_operator_allows_is_read_though_other_bodies_may_not_be_so_long() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let oura = source(&app, &clinic, "oura").await;
    let announced = || {
        let mut sent = message(oura["path"].as_str().unwrap(), &[], &vec![0; 9_000_000]);
        sent.headers_mut().insert("content-length", "9000000".parse().unwrap());
        sent
    };
    app.send(announced()).await.refused(413, "request.too_large");
    let app = app.again(|settings| settings.webhook_body_bytes = 16 << 20).await;
    rejected(&app.send(announced()).await, 401);
}

#[tokio::test]
async fn the_parts_of_a_long_body_move_to_a_newer_key() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let oura = source(&app, &clinic, "oura").await;
    let app = app.again(|settings| settings.webhook_body_bytes = 4_000_000).await;
    let body = vec![7; LONG];
    assert_eq!(app.send(signed(&app, &oura, &body, 0)()).await.status, StatusCode::OK);
    let keys = app.get(&clinic.officer, "/v1/keys").await.ok();
    let data = keys["items"].as_array().unwrap().iter().find(|key| key["managed"] == "data").unwrap()["id"].clone();
    app.post(&clinic.officer, &format!("/v1/keys/{}/rotate", data.as_str().unwrap()), json!({})).await.ok();
    let moved = chancery_domain::census::move_own(&app.instance, tenant, &mut Default::default()).await.unwrap();
    assert!(moved >= 4, "{moved}");
    let upstream = Upstream::default();
    assert_eq!(handed(&app, &clinic, &upstream).await.taken, 1);
    assert!(upstream.got.lock().unwrap()[0].2 == body);
}
