//! Google Cloud KMS, as its REST reference describes it. The real service was not asked.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chancery_crypto::Key256;
use chancery_domain::keyring::{KeyProvider as _, ProviderError, WrapLabel};
use chancery_kms::{
    GoogleKms, GoogleKmsSettings,
    http::{HttpSettings, MetadataServer},
};
use data_encoding::BASE64;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use crate::servers::{answer, body, header, open as unseal, seal, with_part};

const LABEL: WrapLabel<'_> = WrapLabel { environment: "production", purpose: "platform-root", version: 1 };
const KEY: &str = "projects/clinic/locations/europe-west3/keyRings/chancery/cryptoKeys/root";

/// What goes wrong.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The plaintext's checksum was not checked.
    Unverified,
    /// A bit of the answer fell over.
    Damaged,
    /// Another key answered.
    OtherKey,
    /// Tokens are good for one call.
    ShortTokens,
}

/// The service, and the metadata server of a machine on it.
struct Google {
    fault: Fault,
    issued: AtomicU32,
}

/// Apart from the one under test: this one goes by a table.
fn crc32c(bytes: &[u8]) -> String {
    let table: Vec<u32> = (0..256_u32)
        .map(|byte| (0..8).fold(byte, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 }))
        .collect();
    let crc = bytes.iter().fold(!0_u32, |crc, byte| table[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8));
    (!crc).to_string()
}

impl Google {
    fn checked(asked: &Value, name: &str) -> Vec<u8> {
        let bytes = BASE64.decode(asked[name].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(asked[format!("{name}Crc32c")], crc32c(&bytes), "{name}");
        bytes
    }

    fn fault(status: u16, code: &str) -> ResponseTemplate {
        answer(status, json!({ "error": { "code": status, "message": "said", "status": code } }))
    }
}

impl Respond for Google {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let path = request.url.path();
        if path == "/computeMetadata/v1/instance/service-accounts/default/token" {
            assert_eq!(header(request, "metadata-flavor"), "Google");
            let token = format!("ya29.{}", self.issued.fetch_add(1, Ordering::SeqCst) + 1);
            return answer(200, json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" }));
        }
        if header(request, "authorization") != format!("Bearer ya29.{}", self.issued.load(Ordering::SeqCst)) {
            return Self::fault(401, "UNAUTHENTICATED");
        }
        if self.fault == Fault::ShortTokens {
            self.issued.fetch_add(1, Ordering::SeqCst);
        }
        let asked = body(request);
        let bound = Self::checked(&asked, "additionalAuthenticatedData");
        let key = [9; 32];
        if path == format!("/v1/{KEY}:encrypt") {
            let mut ciphertext = seal(&key, &bound, &Self::checked(&asked, "plaintext"));
            let crc = crc32c(&ciphertext);
            if self.fault == Fault::Damaged {
                ciphertext[5] ^= 1;
            }
            let name = if self.fault == Fault::OtherKey { format!("{KEY}2") } else { KEY.to_owned() };
            return answer(
                200,
                json!({
                    "name": format!("{name}/cryptoKeyVersions/1"),
                    "ciphertext": BASE64.encode(&ciphertext),
                    "ciphertextCrc32c": crc,
                    "verifiedPlaintextCrc32c": self.fault != Fault::Unverified,
                    "verifiedAdditionalAuthenticatedDataCrc32c": true,
                    "protectionLevel": "HSM",
                }),
            );
        }
        assert_eq!(path, format!("/v1/{KEY}:decrypt"));
        match unseal(&key, &bound, &Self::checked(&asked, "ciphertext")) {
            Some(plaintext) => {
                let crc = crc32c(&plaintext);
                answer(
                    200,
                    json!({ "plaintext": BASE64.encode(&plaintext), "plaintextCrc32c": crc, "usedPrimary": true }),
                )
            }
            None => Self::fault(400, "INVALID_ARGUMENT"),
        }
    }
}

async fn start(server: impl Respond + 'static) -> MockServer {
    let keep = MockServer::start().await;
    Mock::given(any()).respond_with(server).mount(&keep).await;
    keep
}

async fn google(fault: Fault) -> MockServer {
    start(Google { fault, issued: AtomicU32::new(0) }).await
}

fn settings(server: &MockServer) -> GoogleKmsSettings {
    GoogleKmsSettings { key: KEY.to_owned(), endpoint: Some(server.uri()), http: HttpSettings::default() }
}

async fn reopen(server: &MockServer) -> GoogleKms {
    let tokens = MetadataServer::google(Some(&server.uri())).unwrap();
    GoogleKms::new(&settings(server), Box::new(tokens)).unwrap()
}

async fn open() -> Option<(MockServer, GoogleKms)> {
    let server = google(Fault::None).await;
    let provider = reopen(&server).await;
    Some((server, provider))
}

mod conformance {
    use super::{open, reopen};

    chancery_testkit::key_provider_conformance! { @cases open;
        what_it_wrapped_it_unwraps, two_wraps_of_one_key_differ, a_wrap_with_any_byte_changed_is_refused,
        a_shortened_or_lengthened_wrap_is_refused, a_wrap_under_another_label_is_refused, the_wrap_does_not_hold_the_key,
        it_has_a_label,
    }

    #[tokio::test]
    async fn what_it_wrapped_it_unwraps_after_being_opened_again() {
        let (server, provider) = open().await.unwrap();
        chancery_testkit::key_provider::another_handle_unwraps(&provider, &reopen(&server).await).await;
    }
}

fn key() -> Key256 {
    Key256::from_bytes([0x42; 32])
}

#[tokio::test]
async fn what_google_refuses_is_refused() {
    let (_server, provider) = open().await.unwrap();
    let wrapped = provider.wrap(&key(), LABEL).await.unwrap();
    for at in [0, 12, 40] {
        let changed = with_part(&wrapped, |part| part[at] ^= 1);
        assert!(matches!(provider.unwrap(&changed, LABEL).await, Err(ProviderError::Refused)));
    }
}

#[tokio::test]
async fn damage_on_the_way_is_noticed() {
    for fault in [Fault::Unverified, Fault::Damaged, Fault::OtherKey] {
        let server = google(fault).await;
        let outcome = reopen(&server).await.wrap(&key(), LABEL).await;
        assert!(matches!(outcome, Err(ProviderError::Unavailable(_))));
    }
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_again_when_it_is_refused() {
    let server = google(Fault::None).await;
    let provider = reopen(&server).await;
    for _ in 0..3 {
        provider.wrap(&key(), LABEL).await.unwrap();
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 1 + 3);

    let server = google(Fault::ShortTokens).await;
    let provider = reopen(&server).await;
    provider.wrap(&key(), LABEL).await.unwrap();
    provider.wrap(&key(), LABEL).await.unwrap();
    assert_eq!(server.received_requests().await.unwrap().len(), 2 + 3, "token, call; call refused, token, call");
}

#[tokio::test]
async fn statuses_mean_what_they_should() {
    let sound = google(Fault::None).await;
    let wrapped = reopen(&sound).await.wrap(&key(), LABEL).await.unwrap();
    for (status, code, unavailable) in [
        (400, "FAILED_PRECONDITION", false),
        (401, "UNAUTHENTICATED", false),
        (403, "PERMISSION_DENIED", false),
        (404, "NOT_FOUND", false),
        (429, "RESOURCE_EXHAUSTED", true),
        (500, "INTERNAL", true),
        (503, "UNAVAILABLE", true),
    ] {
        let server = MockServer::start().await;
        let token = json!({ "access_token": "t", "expires_in": 3599 });
        let metadata = wiremock::matchers::path_regex("^/computeMetadata/");
        Mock::given(metadata).respond_with(answer(200, token)).mount(&server).await;
        Mock::given(any()).respond_with(Google::fault(status, code)).mount(&server).await;
        let provider = reopen(&server).await;
        for error in [provider.wrap(&key(), LABEL).await.err(), provider.unwrap(&wrapped, LABEL).await.err()] {
            match error.unwrap() {
                ProviderError::Unavailable(_) => assert!(unavailable, "{status}"),
                ProviderError::Misconfigured(text) => assert!(!unavailable && text.contains(code), "{text}"),
                ProviderError::Refused => panic!("{status}"),
            }
        }
    }
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let server = google(Fault::None).await;
    for bad in [
        "",
        "projects/p",
        "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
        "projects/p/locations/l/keyRings/../cryptoKeys/k",
    ] {
        let tokens = MetadataServer::google(Some(&server.uri())).unwrap();
        let settings = GoogleKmsSettings { key: bad.to_owned(), ..settings(&server) };
        assert!(matches!(GoogleKms::new(&settings, Box::new(tokens)), Err(ProviderError::Misconfigured(_))), "{bad}");
    }
    let slow = start(answer(200, json!({})).set_delay(Duration::from_secs(30))).await;
    assert!(matches!(reopen(&slow).await.wrap(&key(), LABEL).await, Err(ProviderError::Unavailable(_))));
}
