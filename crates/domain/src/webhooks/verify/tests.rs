use chancery_crypto::{Ed25519SigningKey, P256SigningKey, Secret};
use data_encoding::BASE64;
use serde_json::Value;

use super::super::{Material, Message, Provider, Rejection, SecretKind, Signer, sign};
use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_780_000_000);

/// A provider's vectors, each judged; how many there were.
fn judge(text: &str) -> usize {
    let file: Value = serde_json::from_str(text).unwrap();
    let of = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
    let rules = Rules {
        provider: of(&file, "provider").unwrap().parse().unwrap(),
        layout: file.get("layout").map(|layout| serde_json::from_value(layout.clone()).unwrap()),
        client_id: of(&file, "client_id"),
        app_ids: file.get("app_ids").map(|ids| serde_json::from_value(ids.clone()).unwrap()).unwrap_or_default(),
    };
    let form = rules.layout.clone().or_else(|| rules.provider.layout()).map(|layout| layout.key).unwrap_or_default();
    let secrets: Vec<Material> = serde_json::from_value::<Vec<(SecretKind, String)>>(file["secrets"].clone())
        .unwrap()
        .into_iter()
        .map(|(kind, text)| Material::read(rules.provider, &form, kind, &Secret::new(text)).unwrap())
        .collect();
    let cases = file["cases"].as_array().unwrap();
    for case in cases {
        let headers: Vec<(String, String)> = serde_json::from_value(case["headers"].clone()).unwrap();
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let body = BASE64.decode(case["body_base64"].as_str().unwrap().as_bytes()).unwrap();
        let message = Message { headers: &headers, path_token: case["path_token"].as_str(), body: &body };
        let judged = verify(&rules, &secrets, &message, Timestamp::from_seconds(case["now"].as_i64().unwrap()));
        let told = match &judged {
            Ok(_) => "valid",
            Err(rejection) => rejection.as_str(),
        };
        assert_eq!(told, case["expect"], "{} {}", rules.provider, case["name"]);
        if let Ok(verified) = judged {
            assert_eq!(verified.secret as u64, case["secret"].as_u64().unwrap(), "{}", case["name"]);
        }
    }
    cases.len()
}

#[test]
fn every_vector_is_judged_as_it_should_be() {
    let mut seen = 0;
    for file in [
        include_str!("../../../../../testdata/vectors/webhooks/oura.json"),
        include_str!("../../../../../testdata/vectors/webhooks/whoop.json"),
        include_str!("../../../../../testdata/vectors/webhooks/whoop_partner.json"),
        include_str!("../../../../../testdata/vectors/webhooks/fitbit.json"),
        include_str!("../../../../../testdata/vectors/webhooks/google_health.json"),
        include_str!("../../../../../testdata/vectors/webhooks/garmin.json"),
        include_str!("../../../../../testdata/vectors/webhooks/apple_health.json"),
        include_str!("../../../../../testdata/vectors/webhooks/strava.json"),
        include_str!("../../../../../testdata/vectors/webhooks/suunto.json"),
        include_str!("../../../../../testdata/vectors/webhooks/standard.json"),
        include_str!("../../../../../testdata/vectors/webhooks/standard_published.json"),
        include_str!("../../../../../testdata/vectors/webhooks/generic_github.json"),
        include_str!("../../../../../testdata/vectors/webhooks/generic_slack.json"),
    ] {
        seen += judge(file);
    }
    assert!(seen > 120, "{seen}");
}

fn rules(provider: Provider) -> Rules {
    let layout = (provider == Provider::Generic).then(|| {
        serde_json::from_value(serde_json::json!({
            "header": "x-signature", "encoding": "base64url", "hash": "sha256", "key": "hex", "id": "x-id",
            "form": { "pairs": "s" }, "stamp": { "place": "at", "unit": "milliseconds" }, "signed": "{id}:{timestamp}:{body}",
        }))
        .unwrap()
    });
    Rules { provider, layout, client_id: Some("client-1".to_owned()), app_ids: vec!["TEAM.app".to_owned()] }
}

/// Signs `body` as `provider` does, and verifies it at `now` with the right secret behind a wrong one.
fn there_and_back(
    provider: Provider,
    body: &[u8],
    now: Timestamp,
    change: impl Fn(&mut Vec<u8>),
) -> Result<Verified, Rejection> {
    let (ed, p256) = (Ed25519SigningKey::from_seed(&[7; 32]).unwrap(), P256SigningKey::make().unwrap());
    let rules = rules(provider);
    let device =
        |key: &P256SigningKey| Material::Device(super::super::material::Device { key: key.public(), counter: 4 });
    let mut path_token = None;
    let (signer, right, wrong) = match provider {
        Provider::AppleHealth => (Signer::Device(&p256, 5), device(&p256), device(&P256SigningKey::make().unwrap())),
        Provider::GoogleHealth => {
            let set = |key: &P256SigningKey| Material::KeySet(vec![tink::Key::new(9, key.public())]);
            (Signer::Tink(&p256, 9), set(&p256), set(&P256SigningKey::make().unwrap()))
        }
        Provider::Garmin => {
            path_token = Some("right");
            let token = |text: &str| Material::Token(Secret::new(text.to_owned()));
            (Signer::Nothing, token("right"), token("wrong"))
        }
        Provider::Standard => {
            (Signer::Ed25519(&ed), Material::Ed25519(ed.public()), Material::Mac(Secret::new(vec![1; 32])))
        }
        _ => (Signer::Mac(&[3; 32]), Material::Mac(Secret::new(vec![3; 32])), Material::Mac(Secret::new(vec![1; 32]))),
    };
    let signed = sign(&rules, signer, "msg_1", body, NOW).unwrap();
    let headers: Vec<(&str, &[u8])> = signed.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let mut body = body.to_vec();
    change(&mut body);
    verify(&rules, &[wrong, right], &Message { headers: &headers, path_token, body: &body }, now)
}

fn notice(provider: Provider, padding: usize) -> Vec<u8> {
    match provider {
        Provider::Garmin => format!(r#"{{"dailies":[{{"userId":"u","x":"{}"}}]}}"#, "a".repeat(padding)).into_bytes(),
        _ => [vec![0xFF; padding], b"{}".to_vec()].concat(),
    }
}

#[test]
fn what_the_generator_signs_the_verifier_takes_for_every_provider() {
    for provider in Provider::ALL.iter().copied() {
        let verified = there_and_back(provider, &notice(provider, 3), NOW, |_| {}).unwrap();
        assert_eq!(verified.secret, 1, "{provider}");
        let changed = there_and_back(provider, &notice(provider, 3), NOW, |body| body.push(b' '));
        let untouched = provider == Provider::Garmin; // which signs nothing
        assert_eq!(changed.is_ok(), untouched, "{provider}");
    }
}

#[test]
fn ten_megabytes_are_verified_and_more_than_sixteen_are_not_read() {
    for provider in
        [Provider::Oura, Provider::Fitbit, Provider::Standard, Provider::GoogleHealth, Provider::AppleHealth]
    {
        there_and_back(provider, &notice(provider, 10_000_000), NOW, |_| {}).unwrap();
        let changed = there_and_back(provider, &notice(provider, 10_000_000), NOW, |body| body[9_999_999] ^= 1);
        assert_eq!(changed, Err(Rejection::WrongSignature), "{provider}");
    }
    let long = there_and_back(Provider::Oura, &notice(Provider::Oura, MAX_BODY_BYTES), NOW, |_| {});
    assert_eq!(long, Err(Rejection::TooLong));
}

#[test]
fn what_says_its_moment_is_out_of_time_after_five_minutes() {
    for provider in Provider::ALL.iter().copied() {
        let at = |seconds| there_and_back(provider, &notice(provider, 0), NOW.plus_seconds(seconds), |_| {});
        let stamped = at(0).unwrap().sent_at.is_some();
        for (seconds, good) in [(299, true), (300, true), (301, false), (599, false), (-300, true), (-301, false)] {
            assert_eq!(at(seconds).is_ok(), good || !stamped, "{provider} {seconds}");
        }
    }
}

#[test]
fn an_attempt_anew_is_the_same_message_and_another_copy() {
    let rules = rules(Provider::Standard);
    let secrets = [Material::Mac(Secret::new(vec![3; 32]))];
    let at = |seconds, id: &str| {
        let now = NOW.plus_seconds(seconds);
        let signed = sign(&rules, Signer::Mac(&[3; 32]), id, b"{}", now).unwrap();
        let headers: Vec<(&str, &[u8])> =
            signed.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        verify(&rules, &secrets, &Message { headers: &headers, path_token: None, body: b"{}" }, now).unwrap()
    };
    let (first, again, other) = (at(0, "msg_1"), at(5, "msg_1"), at(0, "msg_2"));
    assert!(first.identity == again.identity && first.copy != again.copy);
    assert_ne!(first.identity, other.identity);
}
