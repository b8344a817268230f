//! Azure Key Vault and Managed HSM, as their REST reference describes them. The real services were not asked.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey},
};
use chancery_crypto::Key256;
use chancery_domain::keyring::{KeyProvider as _, ProviderError, WrapLabel};
use chancery_kms::{
    AzureAlgorithm, AzureKeyVault, AzureKeyVaultSettings,
    http::{HttpSettings, MetadataServer},
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use crate::servers::{answer, body, header, open as unseal, part_of, seal, with_part};

const LABEL: WrapLabel<'_> = WrapLabel { environment: "production", purpose: "platform-root", version: 1 };
const NEWEST: &str = "78deebed173b48e48f55abf87ed4cf71";
const OLDER: &str = "0123456789abcdef0123456789abcdef";

static RSA: LazyLock<PrivateDecryptingKey> =
    LazyLock::new(|| PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap());

/// A vault with one key of two versions, and the metadata server of a machine that may use it.
struct Azure;

impl Azure {
    fn fault(status: u16, code: &str) -> ResponseTemplate {
        answer(status, json!({ "error": { "code": code, "message": "said" } }))
    }

    fn bytes(asked: &Value, name: &str) -> Vec<u8> {
        BASE64URL_NOPAD.decode(asked[name].as_str().unwrap().as_bytes()).unwrap()
    }
}

impl Respond for Azure {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let path = request.url.path();
        if path == "/metadata/identity/oauth2/token" {
            assert_eq!(header(request, "metadata"), "true");
            assert_eq!(
                request.url.query(),
                Some("api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net&client_id=me")
            );
            return answer(200, json!({ "access_token": "eyJ0", "expires_in": "3599", "token_type": "Bearer" }));
        }
        if header(request, "authorization") != "Bearer eyJ0" {
            return Self::fault(401, "Unauthorized");
        }
        assert_eq!(request.url.query(), Some("api-version=7.4"));
        let kid = |version: &str| format!("https://clinic.vault.azure.net/keys/root/{version}");
        if path == "/keys/root" && request.method.as_str() == "GET" {
            return answer(200, json!({ "key": { "kid": kid(NEWEST), "kty": "RSA-HSM" } }));
        }
        let asked = body(request);
        let ["", "keys", "root", version, verb] = *path.split('/').collect::<Vec<_>>() else {
            return Self::fault(404, "KeyNotFound");
        };
        if ![NEWEST, OLDER].contains(&version) {
            return Self::fault(404, "KeyNotFound");
        }
        let key = chancery_crypto::sha256(version.as_bytes());
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let value = Self::bytes(&asked, "value");
        match (verb, asked["alg"].as_str().unwrap()) {
            ("wrapkey", "RSA-OAEP-256") => {
                let public = OaepPublicEncryptingKey::new(RSA.public_key()).unwrap();
                let mut out = vec![0; public.key_size_bytes()];
                let sealed = public.encrypt(&OAEP_SHA256_MGF1SHA256, &value, &mut out, None).unwrap();
                answer(200, json!({ "kid": kid(version), "value": text(sealed) }))
            }
            ("unwrapkey", "RSA-OAEP-256") => {
                let der = RSA.as_der().unwrap();
                let private = PrivateDecryptingKey::from_pkcs8(der.as_ref()).unwrap();
                let private = OaepPrivateDecryptingKey::new(private).unwrap();
                let mut out = vec![0; private.min_output_size()];
                match private.decrypt(&OAEP_SHA256_MGF1SHA256, &value, &mut out, None) {
                    Ok(opened) => answer(200, json!({ "kid": kid(version), "value": text(opened) })),
                    Err(_) => Self::fault(400, "BadParameter"),
                }
            }
            ("encrypt", "A256GCM") => {
                let aad = Self::bytes(&asked, "aad");
                let sealed = seal(&key, &aad, &value);
                let (iv, rest) = sealed.split_at(12);
                let (sealed, tag) = rest.split_at(rest.len() - 16);
                answer(
                    200,
                    json!({ "kid": kid(version), "value": text(sealed), "iv": text(iv), "tag": text(tag), "aad": text(&aad) }),
                )
            }
            ("decrypt", "A256GCM") => {
                let part = |name| Self::bytes(&asked, name);
                match unseal(&key, &part("aad"), &[part("iv"), value, part("tag")].concat()) {
                    Some(opened) => answer(200, json!({ "kid": kid(version), "value": text(&opened) })),
                    None => Self::fault(400, "BadParameter"),
                }
            }
            _ => Self::fault(400, "BadParameter"),
        }
    }
}

async fn start(server: impl Respond + 'static) -> MockServer {
    let keep = MockServer::start().await;
    let path = wiremock::matchers::path("/metadata/identity/oauth2/token");
    Mock::given(path).respond_with(Azure).mount(&keep).await;
    Mock::given(any()).respond_with(server).mount(&keep).await;
    keep
}

fn make(server: &MockServer, algorithm: AzureAlgorithm, version: Option<&str>) -> AzureKeyVault {
    let resource = "https://vault.azure.net";
    let tokens = MetadataServer::azure(Some(&server.uri()), resource, Some("me")).unwrap();
    let settings = AzureKeyVaultSettings {
        vault: server.uri(),
        key: "root".to_owned(),
        version: version.map(str::to_owned),
        algorithm,
        http: HttpSettings::default(),
    };
    AzureKeyVault::new(settings, Box::new(tokens)).unwrap()
}

mod conformance_of_rsa {
    use super::*;

    async fn open() -> Option<(MockServer, AzureKeyVault)> {
        let server = start(Azure).await;
        let provider = reopen(&server).await;
        Some((server, provider))
    }

    async fn reopen(server: &MockServer) -> AzureKeyVault {
        make(server, AzureAlgorithm::RsaOaep256, None)
    }

    chancery_testkit::key_provider_conformance!(open, reopen);
}

mod conformance_of_managed_hsm {
    use super::*;

    async fn open() -> Option<(MockServer, AzureKeyVault)> {
        let server = start(Azure).await;
        let provider = reopen(&server).await;
        Some((server, provider))
    }

    async fn reopen(server: &MockServer) -> AzureKeyVault {
        make(server, AzureAlgorithm::A256Gcm, Some(NEWEST))
    }

    chancery_testkit::key_provider_conformance!(open, reopen);
}

fn key() -> Key256 {
    Key256::from_bytes([0x42; 32])
}

#[tokio::test]
async fn a_wrap_names_its_version_and_unwraps_after_the_key_was_rotated() {
    let server = start(Azure).await;
    for algorithm in [AzureAlgorithm::RsaOaep256, AzureAlgorithm::A256Gcm] {
        let before = make(&server, algorithm, Some(OLDER)).wrap(&key(), LABEL).await.unwrap();
        let after = make(&server, algorithm, None);
        assert_eq!(after.unwrap(&before, LABEL).await.unwrap().expose(), key().expose());
        let newest = after.wrap(&key(), LABEL).await.unwrap();
        assert_eq!(&part_of(&newest)[1..33], NEWEST.as_bytes());
    }
}

#[tokio::test]
async fn what_azure_refuses_is_refused_and_a_version_that_is_gone_is_not() {
    let server = start(Azure).await;
    for algorithm in [AzureAlgorithm::RsaOaep256, AzureAlgorithm::A256Gcm] {
        let provider = make(&server, algorithm, None);
        let wrapped = provider.wrap(&key(), LABEL).await.unwrap();
        for at in [33, 50, 70] {
            let changed = with_part(&wrapped, |part| part[at] ^= 1);
            assert!(matches!(provider.unwrap(&changed, LABEL).await, Err(ProviderError::Refused)), "{at}");
        }
        let gone = with_part(&wrapped, |part| part[1] = b'0');
        assert!(matches!(provider.unwrap(&gone, LABEL).await, Err(ProviderError::Misconfigured(_))));
    }
}

#[tokio::test]
async fn statuses_mean_what_they_should() {
    let sound = start(Azure).await;
    let wrapped = make(&sound, AzureAlgorithm::RsaOaep256, None).wrap(&key(), LABEL).await.unwrap();
    for (status, code, unavailable) in [
        (401, "Unauthorized", false),
        (403, "Forbidden", false),
        (404, "KeyNotFound", false),
        (429, "Throttled", true),
        (500, "InternalError", true),
    ] {
        let server = start(Azure::fault(status, code)).await;
        let provider = make(&server, AzureAlgorithm::RsaOaep256, Some(NEWEST));
        for error in [provider.wrap(&key(), LABEL).await.err(), provider.unwrap(&wrapped, LABEL).await.err()] {
            match error.unwrap() {
                ProviderError::Unavailable(_) => assert!(unavailable, "{status}"),
                ProviderError::Misconfigured(text) => assert!(!unavailable && text.contains(code), "{text}"),
                ProviderError::Refused => panic!("{status}"),
            }
        }
    }
}
