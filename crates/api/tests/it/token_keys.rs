//! The keys that sign tokens: published before they are used, and until their last token has expired.

use chancery_domain::{
    keyring::staged::{PUBLISHED_SECONDS, Tended, tend},
    tokens::TokenAlgorithm,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, TestApp},
    oauth::{Program, program, works},
};

backends!(another_algorithm_is_published_before_it_signs_and_the_old_one_until_its_last_token_has_expired);

/// From its retirement a key is published for the life of a token and a minute.
const RETIRING: i64 = 960;

async fn lab(app: &TestApp) -> Program {
    let clinic = app.clinic("north").await;
    program(app, &clinic, json!({"description": "lab", "roles": ["service"]})).await
}

/// The algorithms and ids of the published keys, the newest first.
async fn published(app: &TestApp) -> Vec<(String, String)> {
    let set = app.anonymous("GET", "/.well-known/jwks.json", None).await.ok();
    let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    set["keys"].as_array().unwrap().iter().map(|key| (text(key, "alg"), text(key, "kid"))).collect()
}

/// The algorithm and the key of a token.
fn signed_by(token: &Caller) -> (String, String) {
    let (header, _) = token.bearer.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(header.as_bytes()).unwrap()).unwrap();
    (header["alg"].as_str().unwrap().to_owned(), header["kid"].as_str().unwrap().to_owned())
}

async fn token_key(app: &TestApp) -> Value {
    app.get(&app.admin, "/v1/keys?managed=token").await.ok()["items"][0].clone()
}

async fn another_algorithm_is_published_before_it_signs_and_the_old_one_until_its_last_token_has_expired(
    backend: Backend,
) {
    let first = TestApp::on(backend).await;
    let lab = lab(&first).await;
    for (algorithm, name) in
        [(TokenAlgorithm::Rs256, "RS256"), (TokenAlgorithm::EdDsa, "EdDSA"), (TokenAlgorithm::Es256, "ES256")]
    {
        let app = first.again(|settings| settings.token_algorithm = algorithm).await;
        let [before] = &published(&app).await[..] else { panic!("one key") };
        let old = lab.token(&app).await;
        assert_eq!(&signed_by(&old), before);

        assert_eq!(tend(&app.instance).await.unwrap(), Tended::Staged);
        let [next, same] = &published(&app).await[..] else { panic!("two keys") };
        assert_eq!((next.0.as_str(), same), (name, before));
        let said = app.anonymous("GET", "/.well-known/openid-configuration", None).await.ok();
        assert_eq!(said["id_token_signing_alg_values_supported"], json!([name, before.0]));
        assert_eq!(tend(&app.instance).await.unwrap(), Tended::Nothing);
        assert_eq!(&signed_by(&lab.token(&app).await), before, "nobody may know the next one yet");

        app.clock.advance_seconds(PUBLISHED_SECONDS);
        let last = lab.token(&app).await;
        assert_eq!(tend(&app.instance).await.unwrap(), Tended::Activated);
        let new = lab.token(&app).await;
        assert_eq!(&signed_by(&new), next);
        assert!(works(&app, &new).await && works(&app, &last).await);
        assert_eq!(published(&app).await, [next.clone(), before.clone()]);
        assert_eq!(tend(&app.instance).await.unwrap(), Tended::Nothing);

        app.clock.advance_seconds(RETIRING - 10);
        assert_eq!(published(&app).await.len(), 2);
        app.clock.advance_seconds(10);
        assert_eq!(published(&app).await, std::slice::from_ref(next));
        assert!(!works(&app, &last).await, "expired by now");
    }
    assert_eq!(token_key(&first).await["type"], "ec_p256");
}

#[tokio::test]
async fn a_rotation_of_the_token_key_publishes_the_next_one_first() {
    let app = TestApp::new().await;
    let lab = lab(&app).await;
    let key = token_key(&app).await;
    let rotate = format!("/v1/keys/{}/rotate", key["id"].as_str().unwrap());
    let [before] = &published(&app).await[..] else { panic!("one key") };
    app.post(&app.admin, &rotate, json!({})).await.ok();
    let [next, _] = &published(&app).await[..] else { panic!("two keys") };
    assert_eq!(&signed_by(&lab.token(&app).await), before);
    // One next key is enough.
    let again = app.post(&app.admin, &rotate, json!({})).await;
    again.refused(409, "state.conflict");
    assert!(again.json()["detail"].as_str().unwrap().starts_with("a next version is published already"));
    app.clock.advance_seconds(PUBLISHED_SECONDS);
    assert_eq!(tend(&app.instance).await.unwrap(), Tended::Activated);
    assert_eq!(&signed_by(&lab.token(&app).await), next);

    // A second rotation at once: three are published, and then there is no room for a fourth.
    app.post(&app.admin, &rotate, json!({})).await.ok();
    app.clock.advance_seconds(PUBLISHED_SECONDS);
    assert_eq!(published(&app).await.len(), 3);
    assert_eq!(tend(&app.instance).await.unwrap(), Tended::Activated);
    assert_eq!(published(&app).await.len(), 3);
    app.post(&app.admin, &rotate, json!({})).await.refused(409, "state.conflict");
    app.clock.advance_seconds(RETIRING - PUBLISHED_SECONDS);
    app.post(&app.admin, &rotate, json!({})).await.ok();
    assert_eq!(published(&app).await.len(), 3);
}

#[tokio::test]
async fn a_node_that_knows_a_key_as_the_next_one_verifies_what_another_signed_with_it() {
    let app = TestApp::new().await;
    let lab = lab(&app).await;
    let key = token_key(&app).await;
    app.post(&app.admin, &format!("/v1/keys/{}/rotate", key["id"].as_str().unwrap()), json!({})).await.ok();
    let other = app.again(|_| ()).await;
    assert_eq!(published(&other).await.len(), 2);
    app.clock.advance_seconds(PUBLISHED_SECONDS);
    assert_eq!(tend(&app.instance).await.unwrap(), Tended::Activated);
    // The other node has not looked since.
    assert!(works(&other, &lab.token(&app).await).await);
}

#[tokio::test]
async fn a_token_key_that_leaked_is_replaced_at_once() {
    let app = TestApp::new().await;
    let lab = lab(&app).await;
    let key = token_key(&app).await;
    let path = |verb: &str| format!("/v1/keys/{}/{verb}", key["id"].as_str().unwrap());
    let stolen = lab.token(&app).await;
    let leaked = |version: u32| json!({"version": version, "reason": "key_compromise"});
    app.post(&app.admin, &path("revoke"), leaked(1)).await.ok();
    assert!(!works(&app, &stolen).await);
    let new = lab.token(&app).await;
    assert!(works(&app, &new).await);
    assert_eq!(published(&app).await, [signed_by(&new)]);
    // With a next one published, that one takes over: verifiers know it.
    app.post(&app.admin, &path("rotate"), json!({})).await.ok();
    let [next, _] = &published(&app).await[..] else { panic!("two keys") };
    app.post(&app.admin, &path("revoke"), leaked(2)).await.ok();
    assert_eq!(&signed_by(&lab.token(&app).await), next);
    assert_eq!(&published(&app).await[..], std::slice::from_ref(next));
}
