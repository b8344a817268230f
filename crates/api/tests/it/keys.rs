//! Keys, from outside.

use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn a_tenant_is_born_with_its_managed_keys() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let keys = app.get(&clinic.officer, "/v1/keys").await.ok();
    let mut managed: Vec<_> =
        keys["items"].as_array().unwrap().iter().map(|key| key["managed"].as_str().unwrap()).collect();
    managed.sort_unstable();
    assert_eq!(managed, ["audit", "certificate", "data", "index", "log", "subject"]);
    for key in keys["items"].as_array().unwrap() {
        assert_eq!((&key["state"], &key["version"]), (&json!("active"), &json!(1)));
        let version = &key["versions"][0];
        assert_eq!(version["key_id"], key["key_id"]);
        assert_eq!(version["handle"].as_str().unwrap().len(), 16);
        assert_eq!(version["public_jwk"].is_null(), key["type"] == "aes_256");
        assert!(version["public_jwk"].get("d").is_none());
        let same = app.get(&clinic.officer, &format!("/v1/keys/{}", key["id"].as_str().unwrap())).await.ok();
        assert_eq!(&same, key);
    }
}

#[tokio::test]
async fn managed_keys_take_no_bytes_of_callers() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    for key in app.get(&clinic.officer, "/v1/keys").await.ok()["items"].as_array().unwrap() {
        for verb in ["sign", "verify", "encrypt", "decrypt", "export"] {
            let path = format!("/v1/keys/{}/{verb}", key["id"].as_str().unwrap());
            let body = json!({"message": "AAAA", "plaintext": "AAAA", "ciphertext": "AAAA", "signature": "AAAA"});
            app.post(&clinic.service, &path, body).await.refused(403, "key.managed");
            app.call(&clinic.officer, "POST", &path, None).await.refused(403, "key.managed");
        }
    }
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let mut seen = Vec::new();
    let mut path = "/v1/keys?limit=4".to_owned();
    loop {
        let page = app.get(&clinic.officer, &path).await.ok();
        seen.extend(page["items"].as_array().unwrap().iter().map(|key| key["id"].to_string()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/keys?limit=4&cursor={cursor}"),
            None => break,
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 6);
    app.get(&clinic.officer, "/v1/keys?cursor=nonsense").await.refused(422, "request.invalid");
    app.get(&clinic.officer, "/v1/keys?managed=nonsense").await.refused(422, "request.invalid");
}
