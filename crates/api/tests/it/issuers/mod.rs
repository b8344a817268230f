//! Identity providers, from outside: an issuer that the test runs, its keys, its tokens.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use chancery_crypto::{KeyMaterial, KeyType, SignatureAlgorithm, SystemRandom};
use chancery_domain::{
    Clock as _,
    identity_providers::{Document, DocumentFetcher, FetchError},
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp};

mod attacks;
mod corpus;
mod manage;

/// Every issuer of the test: discovery and keys at any address, and how often keys were asked for.
pub(crate) struct Outside {
    keys: Mutex<BTreeMap<String, Value>>,
    pub(crate) asked: AtomicUsize,
    pub(crate) down: AtomicBool,
}

#[async_trait]
impl DocumentFetcher for Outside {
    async fn fetch(&self, url: &str) -> Result<Document, FetchError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(FetchError::Unreachable);
        }
        let body = match url.strip_suffix("/.well-known/openid-configuration") {
            Some(base) => {
                // Some issuers end with a slash, which discovery takes off.
                let slash = if base.contains("auth0.com") || base.contains("sts.windows.net") { "/" } else { "" };
                json!({"issuer": format!("{base}{slash}"), "jwks_uri": format!("{base}/keys")})
            }
            None => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                let keys: Vec<Value> = self.keys.lock().unwrap().values().cloned().collect();
                json!({"keys": keys})
            }
        };
        Ok(Document { body: body.to_string().into_bytes(), max_age: Some(600) })
    }
}

/// A Chancery with a clinic, and issuers that sign with these keys.
pub(crate) struct World {
    pub(crate) app: TestApp,
    pub(crate) clinic: Clinic,
    pub(crate) outside: Arc<Outside>,
    pub(crate) rsa: KeyMaterial,
    pub(crate) ec: KeyMaterial,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(Backend::sqlite().await).await
    }

    pub(crate) async fn on(backend: Backend) -> Self {
        let outside =
            Arc::new(Outside { keys: Mutex::default(), asked: AtomicUsize::default(), down: AtomicBool::default() });
        let app = TestApp::with(backend, |ports| ports.documents = outside.clone()).await;
        let clinic = app.clinic("ours").await;
        let made = |key_type| KeyMaterial::generate(key_type, &SystemRandom).unwrap();
        let world = Self { app, clinic, outside, rsa: made(KeyType::Rsa2048), ec: made(KeyType::EcP256) };
        world.publish("rsa-1", &world.rsa);
        world.publish("ec-1", &world.ec);
        world
    }

    pub(crate) fn publish(&self, kid: &str, key: &KeyMaterial) {
        let mut jwk = serde_json::to_value(key.public().unwrap().jwk()).unwrap();
        jwk["kid"] = json!(kid);
        jwk["use"] = json!("sig");
        self.outside.keys.lock().unwrap().insert(kid.to_owned(), jwk);
    }

    pub(crate) fn now(&self) -> i64 {
        self.app.clock.now().as_seconds()
    }

    /// Sets a provider up in a clinic; gives its id.
    pub(crate) async fn provider(&self, clinic: &Clinic, body: &Value) -> String {
        let made = self.app.post(&clinic.admin, "/v1/identity-providers", body.clone()).await.created();
        made["id"].as_str().unwrap().to_owned()
    }

    /// A token of the generic issuer.
    pub(crate) fn token(&self, changes: &[(&str, Value)]) -> String {
        let now = self.now();
        let mut claims = json!({
            "iss": "https://id.clinic.example", "aud": "clinic-api", "sub": "ann@clinic.example", "client_id": "web",
            "iat": now, "exp": now + 600, "jti": "j-1", "roles": ["doctor"],
        });
        change(&mut claims, changes);
        self.signed(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "ec-1"}), &claims)
    }

    /// Signed by the issuer with the key of the header's `alg`.
    pub(crate) fn signed(&self, header: &Value, claims: &Value) -> String {
        self.signed_text(header, &claims.to_string())
    }

    pub(crate) fn signed_text(&self, header: &Value, claims: &str) -> String {
        let (key, algorithm) = match header["alg"].as_str() {
            Some("RS256") => (&self.rsa, SignatureAlgorithm::Rs256),
            Some("PS256") => (&self.rsa, SignatureAlgorithm::Ps256),
            _ => (&self.ec, SignatureAlgorithm::Es256),
        };
        forged(&header.to_string(), claims, |message| key.sign(algorithm, message).unwrap())
    }

    pub(crate) async fn session(&self, token: &str) -> Reply {
        self.app.get(&Caller { bearer: token.to_owned() }, "/v1/auth/session").await
    }

    /// Whether the token makes a caller; if not, it is refused in the words for all tokens.
    pub(crate) async fn accepts(&self, token: &str) -> bool {
        let reply = self.session(token).await;
        if reply.status == 200 {
            return true;
        }
        reply.refused(401, "auth.credential_invalid");
        false
    }

    /// What `/test` says of a token.
    pub(crate) async fn verdict(&self, id: &str, token: &str) -> Value {
        let path = format!("/v1/identity-providers/{id}/test");
        self.app.post(&self.clinic.admin, &path, json!({"token": token})).await.ok()
    }

    /// The check at which a token is refused, by `/test`; which must agree with what a request is answered.
    pub(crate) async fn refused_at(&self, id: &str, token: &str) -> String {
        let verdict = self.verdict(id, token).await;
        let accepted = self.accepts(token).await;
        assert_eq!(verdict["accepted"], json!(accepted), "{verdict}");
        let secret = token.rsplit('.').next().unwrap();
        assert!(secret.len() < 20 || !verdict.to_string().contains(secret), "the token is in the answer");
        let last = verdict["steps"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["ok"], json!(accepted), "{verdict}");
        if accepted { "accepted".to_owned() } else { last["check"].as_str().unwrap().to_owned() }
    }
}

/// The generic provider of a clinic.
pub(crate) fn generic() -> Value {
    json!({
        "name": "Any", "profile": "oidc", "issuer": "https://id.clinic.example", "audiences": ["clinic-api"],
        "role_map": [{"value": "doctor", "role": "clinician"}, {"value": "boss", "role": "tenant_admin"}],
    })
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

/// A token of this header and these claims, with whatever `sign` gives.
pub(crate) fn forged(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", b64(header), b64(claims));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

/// With other members; `null` takes one away.
pub(crate) fn change(object: &mut Value, changes: &[(&str, Value)]) {
    for (name, value) in changes {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(*name)),
            value => object[*name] = value.clone(),
        }
    }
}

/// The same with members of an object.
pub(crate) fn merge(object: &mut Value, changes: &Map<String, Value>) {
    let changes: Vec<(&str, Value)> = changes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    change(object, &changes);
}
