//! The golden tokens of each kind of issuer in `testdata/issuers`, and what must not pass for them.

use serde_json::{Value, json};

use super::{World, merge};

/// Writes `{"now": n}` as the moment n seconds from now.
fn timed(value: &Value, now: i64) -> Value {
    match value {
        Value::Object(members) if members.len() == 1 && members.contains_key("now") => {
            json!(now + members["now"].as_i64().unwrap())
        }
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), timed(value, now)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| timed(item, now)).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

async fn holds(text: &str) {
    let world = World::new().await;
    let corpus: Value = serde_json::from_str(text).unwrap();
    let id = world.provider(&world.clinic, &corpus["provider"]).await;
    let about = corpus["about"].as_str().unwrap();
    let kid = if corpus["header"]["alg"] == "ES256" { "ec-1" } else { "rsa-1" };
    let token = |header: &Value, claims: &Value| {
        let mut header = header.clone();
        header["kid"] = json!(kid);
        world.signed(&header, &timed(claims, world.now()))
    };
    let golden = token(&corpus["header"], &corpus["claims"]);
    assert_eq!(world.refused_at(&id, &golden).await, "accepted", "{about}: {}", world.verdict(&id, &golden).await);
    let session = world.session(&golden).await.ok();
    assert_eq!(session["roles"], corpus["roles"], "{about}");
    assert_eq!((&session["auth"], &session["tenant_id"]), (&json!("external"), &json!(world.clinic.id)), "{about}");
    let mutations = corpus["mutations"].as_array().unwrap();
    assert!(mutations.len() >= 4, "{about}");
    for mutation in mutations {
        let mut header = corpus["header"].clone();
        let mut claims = mutation.get("replace_claims").unwrap_or(&corpus["claims"]).clone();
        for (what, target) in [("header", &mut header), ("claims", &mut claims)] {
            if let Some(changes) = mutation.get(what) {
                merge(target, changes.as_object().unwrap());
            }
        }
        let refused_at = world.refused_at(&id, &token(&header, &claims)).await;
        assert_eq!(json!(refused_at), mutation["refused_at"], "{about}, {}", mutation["name"]);
    }
    // Nothing of it was tried on a provider that takes nothing.
    assert!(world.accepts(&golden).await, "{about}");
}

macro_rules! corpus {
    ($($name:ident: $file:literal,)+) => {
        $(#[tokio::test]
        async fn $name() {
            holds(include_str!(concat!("../../../../../testdata/issuers/", $file))).await;
        })+
    };
}

corpus! {
    tokens_of_auth0_and_what_must_not_pass_for_them: "auth0.json",
    tokens_of_okta_and_what_must_not_pass_for_them: "okta.json",
    tokens_of_entra_v2_and_what_must_not_pass_for_them: "entra-v2.json",
    tokens_of_entra_v1_and_what_must_not_pass_for_them: "entra-v1.json",
    tokens_of_cognito_and_what_must_not_pass_for_them: "cognito.json",
    tokens_of_keycloak_and_what_must_not_pass_for_them: "keycloak.json",
    tokens_of_any_issuer_and_what_must_not_pass_for_them: "oidc.json",
}

#[tokio::test]
async fn a_person_of_entra_is_known_by_directory_and_object_not_by_address() {
    let world = World::new().await;
    let corpus: Value = serde_json::from_str(include_str!("../../../../../testdata/issuers/entra-v2.json")).unwrap();
    world.provider(&world.clinic, &corpus["provider"]).await;
    let id_of = async |changes: Value| {
        let mut claims = corpus["claims"].clone();
        merge(&mut claims, changes.as_object().unwrap());
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": "rsa-1"});
        let token = world.signed(&header, &timed(&claims, world.now()));
        world.session(&token).await.ok()["external_id"].as_str().unwrap().to_owned()
    };
    let ann = id_of(json!({})).await;
    let moved = id_of(json!({"preferred_username": "ann.new@clinic.example", "sub": "other-app", "uti": "2"})).await;
    assert_eq!(ann, moved, "married, and in another application");
    let heir = id_of(json!({"oid": "99999999-1234-1234-1234-123456789012", "uti": "3"})).await;
    assert_ne!(ann, heir, "who got the address later");
}
