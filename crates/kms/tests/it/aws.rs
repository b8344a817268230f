//! AWS KMS: moto's server for what works, recorded answers for what does not (moto does not enforce the state of keys).

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use chancery_crypto::{Key256, Secret};
use chancery_domain::{
    keyring::{
        KeyProvider as _, ProviderError, WrapLabel,
        resident::{Decryption, Destruction, ResidentError, ResidentKeys as _, ResidentType, ResidentUse, Signing},
    },
    time::Timestamp,
};
use chancery_kms::{AwsCredentials, AwsKms, AwsKmsSettings};
use chancery_testkit::resident_keys::Offer;
use serde_json::json;
use wiremock::{Mock, MockServer, Respond, ResponseTemplate, matchers::any};

use crate::servers::{answer, body, header, part_of, with_part};

const LABEL: WrapLabel<'_> = WrapLabel { environment: "production", purpose: "platform-root", version: 1 };
const REGION: &str = "eu-central-1";

/// One server for the whole run; it ends with the process, because its shell waits for the pipe to close.
struct Moto {
    url: String,
    _shell: Option<Child>,
}

/// `CHANCERY_TEST_MOTO_URL`, or a server from `venv` in the target folder.
pub(crate) fn moto() -> Option<&'static str> {
    static MOTO: OnceLock<Option<Moto>> = OnceLock::new();
    let moto = MOTO.get_or_init(|| {
        if let Ok(url) = std::env::var("CHANCERY_TEST_MOTO_URL") {
            return Some(Moto { url, _shell: None });
        }
        let Some(program) = program() else {
            assert!(std::env::var_os("CHANCERY_TEST_REQUIRE_MOTO").is_none(), "no moto_server in target/venv");
            eprintln!("skipped: no moto_server in target/venv; see docs/guides/key-providers.md");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = r#""$0" -H 127.0.0.1 -p "$1" >/dev/null 2>&1 & M=$!; cat >/dev/null; kill $M"#;
        let shell = Command::new("sh")
            .args(["-c", script, program.to_str().unwrap(), &port.to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "moto does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Moto { url: format!("http://127.0.0.1:{port}"), _shell: Some(shell) })
    });
    moto.as_ref().map(|moto| moto.url.as_str())
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHANCERY_TEST_MOTO_SERVER") {
        return Some(named.into());
    }
    let here = std::env::current_exe().unwrap();
    let target = here.ancestors().nth(3).unwrap();
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target"));
    [target, &workspace].into_iter().map(|folder| folder.join("venv/bin/moto_server")).find(|path| path.exists())
}

fn settings(endpoint: &str, key: &str) -> AwsKmsSettings {
    AwsKmsSettings {
        key: key.to_owned(),
        region: Some(REGION.to_owned()),
        endpoint: Some(endpoint.to_owned()),
        credentials: Some(AwsCredentials {
            access_key_id: "AKIATEST".to_owned(),
            secret_access_key: Secret::new("test".to_owned()),
            session_token: None,
        }),
        // Generous: other tests keep the machine busy.
        timeout: Duration::from_secs(30),
        deletion_days: 7,
    }
}

/// A new symmetric key, made past our code.
async fn make_key(endpoint: &str) -> String {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("AKIATEST", "test", None, None, "test"))
        .build();
    let made = aws_sdk_kms::Client::from_conf(config).create_key().send().await.unwrap();
    made.key_metadata.unwrap().arn.unwrap()
}

async fn open() -> Option<(String, AwsKms)> {
    let endpoint = moto()?;
    let key = make_key(endpoint).await;
    let provider = reopen(&key).await;
    Some((key, provider))
}

async fn reopen(key: &str) -> AwsKms {
    AwsKms::open(settings(moto().unwrap(), key)).await.unwrap()
}

mod conformance {
    use super::{open, reopen};

    chancery_testkit::key_provider_conformance!(open, reopen);
}

/// What moto can: it signs a digest's digest, PSS with another salt, knows no RSA decryption, and does not find a key to delete by its ARN.
mod resident_in_moto {
    use super::*;

    async fn open() -> Option<(String, AwsKms, Offer)> {
        let (key, provider) = super::open().await?;
        let offer = Offer { types: ResidentType::ALL, decryptions: &[], hashes_again: true };
        Some((key, provider, offer))
    }

    chancery_testkit::resident_keys_conformance! { @cases open;
        two_keys_are_not_one, a_key_signs_only_as_its_type_does,
        a_digest_of_another_length_is_refused, a_key_does_only_what_it_was_made_for, a_curve_does_not_decrypt,
    }
}

/// All of it, against a server that does it as AWS documents it.
mod resident {
    use super::*;
    use crate::servers::aws::Kms;

    async fn open() -> Option<(MockServer, AwsKms, Offer)> {
        let (server, provider) = recorded(Kms::default(), Duration::from_secs(30)).await;
        let offer = Offer { types: ResidentType::ALL, decryptions: Decryption::ALL, hashes_again: false };
        Some((server, provider, offer))
    }

    async fn reopen(server: &MockServer) -> AwsKms {
        AwsKms::open(settings(&server.uri(), ARN)).await.unwrap()
    }

    chancery_testkit::resident_keys_conformance!(open, reopen);
}

fn key() -> Key256 {
    Key256::from_bytes([0x42; 32])
}

#[tokio::test]
async fn what_moto_refuses_is_refused() {
    let Some((_, provider)) = open().await else { return };
    let wrapped = provider.wrap(&key(), LABEL).await.unwrap();
    // The id of the key, the nonce, the tag, the ciphertext.
    for at in [0, 35, 40, 55, part_of(&wrapped).len() - 1] {
        let changed = with_part(&wrapped, |part| part[at] ^= 1);
        let outcome = provider.unwrap(&changed, LABEL).await;
        assert!(matches!(outcome, Err(ProviderError::Refused)), "byte {at}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_wrap_under_another_key_of_ours_is_refused() {
    let Some((_, ours)) = open().await else { return };
    let Some((_, theirs)) = open().await else { return };
    let wrapped = ours.wrap(&key(), LABEL).await.unwrap();
    assert!(matches!(theirs.unwrap(&wrapped, LABEL).await, Err(ProviderError::Refused)));
}

#[tokio::test]
async fn a_resident_key_waits_before_it_is_destroyed() {
    let (_keep, provider) = recorded(crate::servers::aws::Kms::default(), Duration::from_secs(30)).await;
    let id = provider.generate("clinic", ResidentType::EcP256, ResidentUse::Sign).await.unwrap();
    assert!(id.as_str().starts_with("arn:"), "{id}");
    let Destruction::Scheduled(at) = provider.destroy(&id).await.unwrap() else { panic!("it did not wait") };
    assert!(at > Timestamp::from_seconds(1_700_000_000), "{at}");
}

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn fault(status: u16, code: &str) -> ResponseTemplate {
    answer(status, json!({ "__type": code, "message": "said" }))
}

/// A server that gives one answer, and a provider that asks it.
async fn recorded(server: impl Respond + 'static, timeout: Duration) -> (MockServer, AwsKms) {
    let keep = MockServer::start().await;
    Mock::given(any()).respond_with(server).mount(&keep).await;
    let provider = AwsKms::open(AwsKmsSettings { timeout, ..settings(&keep.uri(), ARN) }).await.unwrap();
    (keep, provider)
}

/// A wrap by a server that encrypts nothing.
async fn a_wrap() -> Vec<u8> {
    let body = json!({ "CiphertextBlob": "AQID", "KeyId": ARN, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" });
    let (_keep, provider) = recorded(answer(200, body), Duration::from_secs(10)).await;
    provider.wrap(&key(), LABEL).await.unwrap()
}

#[derive(Debug, PartialEq)]
enum Is {
    Refused,
    Unavailable,
    Misconfigured,
}

fn kind<T>(outcome: Result<T, ProviderError>) -> Is {
    match outcome.err().unwrap() {
        ProviderError::Refused => Is::Refused,
        ProviderError::Unavailable(_) => Is::Unavailable,
        ProviderError::Misconfigured(text) => {
            assert!(text.contains(ARN), "{text}");
            Is::Misconfigured
        }
    }
}

#[tokio::test]
async fn errors_mean_what_they_should() {
    use Is::{Misconfigured, Refused, Unavailable};
    let wrapped = a_wrap().await;
    for (status, code, wrapping, unwrapping) in [
        (400, "AccessDeniedException", Misconfigured, Refused),
        (400, "InvalidCiphertextException", Refused, Refused),
        (400, "IncorrectKeyException", Refused, Refused),
        (400, "ValidationException", Misconfigured, Refused),
        (400, "DisabledException", Misconfigured, Misconfigured),
        (400, "NotFoundException", Misconfigured, Misconfigured),
        (400, "KMSInvalidStateException", Misconfigured, Misconfigured),
        (400, "InvalidKeyUsageException", Misconfigured, Misconfigured),
        (403, "InvalidSignatureException", Misconfigured, Misconfigured),
        (400, "UnrecognizedClientException", Misconfigured, Misconfigured),
        (400, "ExpiredTokenException", Unavailable, Unavailable),
        (400, "ThrottlingException", Unavailable, Unavailable),
        (500, "KMSInternalException", Unavailable, Unavailable),
        (500, "KeyUnavailableException", Unavailable, Unavailable),
        (503, "DependencyTimeoutException", Unavailable, Unavailable),
        (429, "", Unavailable, Unavailable),
        (502, "", Unavailable, Unavailable),
    ] {
        let (_keep, provider) = recorded(fault(status, code), Duration::from_secs(10)).await;
        assert_eq!(kind(provider.wrap(&key(), LABEL).await), wrapping, "{code} on wrapping");
        assert_eq!(kind(provider.unwrap(&wrapped, LABEL).await), unwrapping, "{code} on unwrapping");
    }
}

#[tokio::test]
async fn a_resident_key_that_waits_or_is_disabled_says_so() {
    let id = ARN.parse().unwrap();
    for (code, right) in [
        ("KMSInvalidStateException", (|error| matches!(error, ResidentError::Misconfigured(_))) as fn(_) -> bool),
        ("DisabledException", |error| matches!(error, ResidentError::Misconfigured(_))),
        ("AccessDeniedException", |error| matches!(error, ResidentError::Misconfigured(_))),
        ("NotFoundException", |error| matches!(error, ResidentError::NotFound)),
        ("InvalidKeyUsageException", |error| matches!(error, ResidentError::Unsupported)),
        ("InvalidCiphertextException", |error| matches!(error, ResidentError::Refused)),
        ("ThrottlingException", |error| matches!(error, ResidentError::Unavailable(_))),
    ] {
        let (_keep, provider) = recorded(fault(400, code), Duration::from_secs(10)).await;
        assert!(right(provider.sign(&id, Signing::Es256, &[7; 32]).await.unwrap_err()), "{code}");
        assert!(right(provider.decrypt(&id, Decryption::RsaOaep256, &[7; 256]).await.unwrap_err()), "{code}");
    }
}

#[tokio::test]
async fn a_service_that_is_slow_gone_or_endless_is_unavailable() {
    let slow = answer(200, json!({})).set_delay(Duration::from_secs(30));
    let endless = ResponseTemplate::new(200).set_body_bytes(vec![b' '; 1 << 20]);
    for server in [slow, endless] {
        let (_keep, provider) = recorded(server, Duration::from_millis(500)).await;
        let begun = Instant::now();
        assert_eq!(kind(provider.wrap(&key(), LABEL).await), Is::Unavailable);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    let gone = AwsKmsSettings { timeout: Duration::from_secs(1), ..settings("http://127.0.0.1:1", ARN) };
    let gone = AwsKms::open(gone).await.unwrap();
    assert_eq!(kind(gone.wrap(&key(), LABEL).await), Is::Unavailable);
}

#[tokio::test]
async fn it_says_what_the_key_policy_can_ask_for_and_never_sends_the_key() {
    let body_of_answer = json!({ "CiphertextBlob": "AQID", "KeyId": ARN });
    let (keep, provider) = recorded(answer(200, body_of_answer), Duration::from_secs(10)).await;
    provider.wrap(&key(), LABEL).await.unwrap();
    let requests = keep.received_requests().await.unwrap();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(header(request, "x-amz-target"), "TrentService.Encrypt");
    assert!(header(request, "authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKIATEST/"));
    let sent = body(request);
    let context =
        json!({ "chancery:environment": "production", "chancery:purpose": "platform-root", "chancery:version": "1" });
    assert_eq!(sent["EncryptionContext"], context);
    assert_eq!(sent["KeyId"], ARN);
    assert!(!sent["Plaintext"].as_str().unwrap().contains("QkJCQkJC"));
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let good = || settings("https://kms.eu-central-1.amazonaws.com", ARN);
    assert!(AwsKms::open(AwsKmsSettings { region: None, ..good() }).await.is_ok(), "the ARN names the region");
    for bad in [
        AwsKmsSettings { key: String::new(), ..good() },
        AwsKmsSettings { key: "alias/root".to_owned(), region: None, ..good() },
        AwsKmsSettings { endpoint: Some("http://kms.example".to_owned()), ..good() },
        AwsKmsSettings { deletion_days: 6, ..good() },
        AwsKmsSettings { deletion_days: 31, ..good() },
    ] {
        assert!(matches!(AwsKms::open(bad).await, Err(ProviderError::Misconfigured(_))));
    }
    assert!(!format!("{:?}", good()).contains("test"), "no secret prints");
}
