//! What phones send: an attestation to be enrolled, an assertion with each message.

use chancery_crypto::P256SigningKey;
use chancery_domain::{
    Timestamp,
    webhooks::{
        DeviceCertificates, MAX_ATTESTATION_BYTES, Message, Provider, Rejection, Rules, Unattested, Vouched, assertion,
        attested, verify,
    },
};
use data_encoding::BASE64;
use serde_json::Value;

const APP: &str = "TEAM.app";
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// Believes any certificates, but not that Apple was shown what is said here.
struct Believing;

impl DeviceCertificates for Believing {
    fn vouched(&self, chain: &[&[u8]], _: Timestamp) -> Option<Vouched> {
        assert!((2..=4).contains(&chain.len()), "a chain of {}", chain.len());
        Some(Vouched { point: [4; 65], nonce: [0; 32] })
    }
}

/// An attestation or an assertion. Nothing is believed of one that no key has signed.
pub(crate) fn app_attest(data: &[u8]) {
    let refused = attested(&Believing, &[APP.to_owned()], b"hash", data, NOW).unwrap_err();
    assert!(matches!(refused, Unattested::Malformed | Unattested::Nonce), "{refused}");
    assert!(refused == Unattested::Malformed || data.len() <= MAX_ATTESTATION_BYTES, "{} bytes", data.len());
    let rules = Rules { provider: Provider::AppleHealth, layout: None, client_id: None, app_ids: vec![APP.to_owned()] };
    let said = BASE64.encode(data);
    let headers: [(&str, &[u8]); 3] = [
        ("x-app-attest-assertion", said.as_bytes()),
        ("x-app-attest-key-id", b"AAAA"),
        ("x-app-attest-timestamp", b"1790000000"),
    ];
    let message = Message { headers: &headers, path_token: None, body: b"{}" };
    let refused = verify(&rules, &[], &message, NOW).unwrap_err();
    assert!(matches!(refused, Rejection::Malformed | Rejection::WrongSignature), "{refused}");
}

pub(crate) fn app_attest_seeds() -> Vec<Vec<u8>> {
    let apple = include_str!("../../testdata/vectors/webhooks/app_attest_apple.json");
    let apple: Value = serde_json::from_str(apple).unwrap();
    let object = BASE64.decode(apple.get("attestation_base64").and_then(Value::as_str).unwrap().as_bytes()).unwrap();
    let key = P256SigningKey::make().unwrap();
    vec![object, assertion(&key, APP, 1, "1790000000", b"{}").unwrap()]
}
