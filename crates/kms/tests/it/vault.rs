//! Vault's transit engine, as OpenBao's source and API documentation describe it. No real server ran here.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use chancery_crypto::Key256;
use chancery_domain::keyring::{KeyProvider as _, ProviderError, WrapLabel};
use chancery_kms::{
    Vault, VaultSettings,
    http::{HttpSettings, TokenFile},
};
use data_encoding::BASE64;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use crate::servers::{answer, body, header, open as unseal, part_of, seal, with_part};

const LABEL: WrapLabel<'_> = WrapLabel { environment: "production", purpose: "platform-root", version: 1 };
const TOKEN: &str = "hvs.CAESIJ";

/// What the engine does with one key of type `aes256-gcm96`.
struct Transit {
    derived: bool,
    /// A server from before `associated_data`, which ignores fields that it does not know.
    old: bool,
}

impl Transit {
    fn key(&self, asked: &Value) -> [u8; 32] {
        let mut key = [7; 32];
        if self.derived {
            let context = BASE64.decode(asked["context"].as_str().unwrap().as_bytes()).unwrap();
            key = chancery_crypto::sha256(&[&key[..], &context].concat());
        }
        key
    }
}

impl Respond for Transit {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let fault = |status: u16, text: &str| answer(status, json!({ "errors": [text] }));
        if header(request, "x-vault-token") != TOKEN || header(request, "x-vault-namespace") != "clinic/a" {
            return fault(403, "permission denied");
        }
        let asked = body(request);
        let bound = if self.old { "" } else { asked["associated_data"].as_str().unwrap_or_default() };
        let bound = BASE64.decode(bound.as_bytes()).unwrap();
        match request.url.path() {
            "/v1/mounts/transit/encrypt/chancery-root" => {
                let plaintext = BASE64.decode(asked["plaintext"].as_str().unwrap().as_bytes()).unwrap();
                let sealed = seal(&self.key(&asked), &bound, &plaintext);
                let ciphertext = format!("vault:v1:{}", BASE64.encode(&sealed));
                answer(200, json!({ "data": { "ciphertext": ciphertext, "key_version": 1 } }))
            }
            "/v1/mounts/transit/decrypt/chancery-root" => {
                let Some(text) = asked["ciphertext"].as_str().unwrap().strip_prefix("vault:v1:") else {
                    return fault(400, "invalid ciphertext: no prefix");
                };
                let Ok(sealed) = BASE64.decode(text.as_bytes()) else {
                    return fault(400, "invalid ciphertext: could not decode base64");
                };
                match unseal(&self.key(&asked), &bound, &sealed) {
                    Some(plaintext) => answer(200, json!({ "data": { "plaintext": BASE64.encode(&plaintext) } })),
                    None => fault(400, "cipher: message authentication failed"),
                }
            }
            path if path.starts_with("/v1/mounts/transit/") => fault(400, "encryption key not found"),
            _ => fault(404, "no handler for route"),
        }
    }
}

type Keep = (MockServer, tempfile::TempDir, bool);

async fn start(server: impl Respond + 'static) -> Keep {
    let keep = (MockServer::start().await, tempfile::tempdir().unwrap(), false);
    Mock::given(any()).respond_with(server).mount(&keep.0).await;
    let path = keep.1.path().join("token");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    keep
}

fn settings((server, folder, derived): &Keep) -> VaultSettings {
    VaultSettings {
        address: server.uri(),
        mount: "mounts/transit".to_owned(),
        key: "chancery-root".to_owned(),
        derived: *derived,
        namespace: Some("clinic/a".to_owned()),
        token_file: TokenFile(folder.path().join("token")),
        http: HttpSettings { timeout: Duration::from_secs(5), ca_file: None },
    }
}

async fn reopen(keep: &Keep) -> Vault {
    Vault::new(settings(keep)).unwrap()
}

mod conformance {
    use super::*;

    async fn open() -> Option<(Keep, Vault)> {
        let keep = start(Transit { derived: false, old: false }).await;
        let provider = reopen(&keep).await;
        Some((keep, provider))
    }

    chancery_testkit::key_provider_conformance!(open, reopen);
}

mod conformance_of_a_derived_key {
    use super::*;

    async fn open() -> Option<(Keep, Vault)> {
        let mut keep = start(Transit { derived: true, old: false }).await;
        keep.2 = true;
        let provider = reopen(&keep).await;
        Some((keep, provider))
    }

    chancery_testkit::key_provider_conformance!(open, reopen);
}

mod conformance_of_a_server_that_ignores_associated_data {
    use super::*;

    async fn open() -> Option<(Keep, Vault)> {
        let keep = start(Transit { derived: false, old: true }).await;
        let provider = reopen(&keep).await;
        Some((keep, provider))
    }

    chancery_testkit::key_provider_conformance!(open, reopen);
}

fn key() -> Key256 {
    Key256::from_bytes([0x42; 32])
}

#[tokio::test]
async fn what_vault_refuses_is_refused() {
    let keep = start(Transit { derived: false, old: false }).await;
    let vault = reopen(&keep).await;
    let wrapped = vault.wrap(&key(), LABEL).await.unwrap();
    assert!(part_of(&wrapped).starts_with(b"vault:v1:"));
    for at in [0, 9, 20] {
        let changed = with_part(&wrapped, |part| part[at] ^= 1);
        assert!(matches!(vault.unwrap(&changed, LABEL).await, Err(ProviderError::Refused)), "byte {at}");
    }
}

#[tokio::test]
async fn the_key_itself_is_never_sent() {
    let keep = start(Transit { derived: false, old: false }).await;
    let vault = reopen(&keep).await;
    let wrapped = vault.wrap(&key(), LABEL).await.unwrap();
    vault.unwrap(&wrapped, LABEL).await.unwrap();
    for request in keep.0.received_requests().await.unwrap() {
        let text = String::from_utf8(request.body).unwrap();
        assert!(!text.contains(&BASE64.encode(key().expose())[..16]));
    }
}

#[tokio::test]
async fn statuses_mean_what_they_should() {
    for (status, errors, unavailable) in [
        (403, "permission denied", false),
        (404, "no handler for route", false),
        (400, "encryption key not found", false),
        (400, "'[0].associated_data' provided for non-AEAD cipher suite rsa-2048", false),
        (301, "", false),
        (412, "", false),
        (429, "", true),
        (500, "internal error", true),
        (503, "Vault is sealed", true),
        (200, "not what was promised", true),
    ] {
        let sound = start(Transit { derived: false, old: false }).await;
        let wrapped = reopen(&sound).await.wrap(&key(), LABEL).await.unwrap();
        let body = answer(status, json!({ "errors": [errors] })).insert_header("location", "http://127.0.0.1:1/");
        let keep = start(body).await;
        let vault = reopen(&keep).await;
        for error in [vault.wrap(&key(), LABEL).await.err(), vault.unwrap(&wrapped, LABEL).await.err()] {
            match error.unwrap() {
                ProviderError::Unavailable(_) => assert!(unavailable, "{status} {errors}"),
                ProviderError::Misconfigured(text) => {
                    assert!(!unavailable && text.contains("Vault"), "{status} {text}")
                }
                ProviderError::Refused => panic!("{status} {errors}"),
            }
        }
        assert_eq!(keep.0.received_requests().await.unwrap().len(), 2, "no redirect is followed");
    }
}

#[tokio::test]
async fn a_server_that_is_slow_gone_or_endless_is_unavailable() {
    let slow = start(answer(200, json!({})).set_delay(Duration::from_secs(20))).await;
    let endless = start(ResponseTemplate::new(200).set_body_bytes(vec![b' '; 1 << 20])).await;
    let mut settings_of_gone = settings(&slow);
    settings_of_gone.address = "http://127.0.0.1:1".to_owned();
    for settings in [settings(&slow), settings(&endless), settings_of_gone] {
        let http = HttpSettings { timeout: Duration::from_millis(300), ca_file: None };
        let vault = Vault::new(VaultSettings { http, ..settings }).unwrap();
        assert!(matches!(vault.wrap(&key(), LABEL).await, Err(ProviderError::Unavailable(_))));
    }
}

#[tokio::test]
async fn a_token_is_read_anew_and_must_be_private() {
    let keep = start(Transit { derived: false, old: false }).await;
    let vault = reopen(&keep).await;
    let path = keep.1.path().join("token");
    fs::write(&path, "hvs.old").unwrap();
    assert!(
        matches!(vault.wrap(&key(), LABEL).await, Err(ProviderError::Misconfigured(text)) if text.contains("token"))
    );
    fs::write(&path, TOKEN).unwrap();
    vault.wrap(&key(), LABEL).await.unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(
        matches!(vault.wrap(&key(), LABEL).await, Err(ProviderError::Misconfigured(text)) if text.contains("chmod"))
    );
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let keep = start(Transit { derived: false, old: false }).await;
    let good = settings(&keep);
    for bad in [
        VaultSettings { address: "http://vault.example".to_owned(), ..good.clone() },
        VaultSettings { key: "../../sys/seal".to_owned(), ..good.clone() },
        VaultSettings { mount: "transit/../sys".to_owned(), ..good.clone() },
        VaultSettings { mount: String::new(), ..good.clone() },
        VaultSettings {
            http: HttpSettings { ca_file: Some("/none".into()), ..HttpSettings::default() },
            ..good.clone()
        },
    ] {
        assert!(matches!(Vault::new(bad), Err(ProviderError::Misconfigured(_))));
    }
    let name = Vault::new(good).unwrap().label();
    assert!(name.ends_with("/clinic/a/mounts/transit/chancery-root"), "{name}");
}
