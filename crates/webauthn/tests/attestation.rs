//! Whose authenticators are registered.
#![cfg(feature = "library")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use chancery_domain::passkeys::{NewCredential, PasskeyVerifier, RegistrationAnswer, RelyingParty, Unverified};
use chancery_testkit::authenticator::{Authenticator, Maker};
use chancery_webauthn::{BadVerifier, Makers, verifier};
use data_encoding::BASE64URL_NOPAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};

const ORIGIN: &str = "https://clinic.test";
const CHALLENGE: &[u8] = &[7; 62];
const MODEL: [u8; 16] = [0xA5; 16];
const MODEL_TEXT: &str = "a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5";

fn party() -> RelyingParty {
    RelyingParty::new("clinic.test", "Clinic", vec![ORIGIN.to_owned()]).unwrap()
}

/// A maker's root in PEM, and an authenticator of the model that it vouches for.
fn made_by(name: &str, model: [u8; 16]) -> (String, Authenticator) {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.distinguished_name.push(DnType::CommonName, name);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let mut leaf = CertificateParams::default();
    leaf.is_ca = IsCa::ExplicitNoCa;
    for (what, value) in [
        (DnType::CountryName, "SE"),
        (DnType::OrganizationName, name),
        (DnType::OrganizationalUnitName, "Authenticator Attestation"),
        (DnType::CommonName, "Batch 1"),
    ] {
        leaf.distinguished_name.push(what, value);
    }
    let named = [&[0x04, 0x10][..], &model].concat();
    leaf.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4], named)];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &root).unwrap();
    let mut authenticator = Authenticator::new(ORIGIN, "clinic.test");
    authenticator.aaguid = model;
    authenticator.maker = Some(Maker::new(key.serialized_der(), certificate.der().to_vec()));
    (root.pem(), authenticator)
}

fn decoded(value: &Value) -> Vec<u8> {
    BASE64URL_NOPAD.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn register(verifier: &dyn PasskeyVerifier, authenticator: &mut Authenticator) -> Result<NewCredential, Unverified> {
    let options = json!({"challenge": BASE64URL_NOPAD.encode(CHALLENGE), "user": {"id": "AAAA"}});
    let made = authenticator.create(&options);
    let answer = RegistrationAnswer {
        credential: decoded(&made["rawId"]),
        client_data: decoded(&made["response"]["clientDataJSON"]),
        attestation_object: decoded(&made["response"]["attestationObject"]),
        transports: Vec::new(),
    };
    verifier.registered(CHALLENGE, &answer)
}

#[test]
fn a_model_that_is_allowed_by_a_maker_that_is_known_is_registered() {
    let (root, mut ours) = made_by("Maker", MODEL);
    let models = [MODEL_TEXT.to_owned()];
    let verifier = verifier(party(), Some(&Makers { roots: &root, models: &models })).unwrap();
    assert!(verifier.relying_party().wants_attestation());
    let made = register(&*verifier, &mut ours).unwrap();
    assert_eq!((made.aaguid, made.attested), (MODEL, true));

    // Another maker's, though it says that it is the same model.
    let (_, mut copied) = made_by("Maker", MODEL);
    register(&*verifier, &mut copied).unwrap_err();
    // Another model of the same maker: its certificate says so, and then nothing says so.
    ours.aaguid = [0x5A; 16];
    register(&*verifier, &mut ours).unwrap_err();
    ours.aaguid = MODEL;
    ours.maker = None;
    register(&*verifier, &mut ours).unwrap_err();
}

#[test]
fn another_model_of_a_known_maker_is_not_registered() {
    let (root, mut ours) = made_by("Maker", [0x5A; 16]);
    let models = [MODEL_TEXT.to_owned()];
    let verifier = verifier(party(), Some(&Makers { roots: &root, models: &models })).unwrap();
    register(&*verifier, &mut ours).unwrap_err();
}

#[test]
fn without_a_policy_any_authenticator_is_registered() {
    let verifier = verifier(party(), None).unwrap();
    assert!(!verifier.relying_party().wants_attestation());
    let (_, mut vouched) = made_by("Maker", MODEL);
    assert!(!register(&*verifier, &mut vouched).unwrap().attested);
    let mut plain = Authenticator::new(ORIGIN, "clinic.test");
    assert_eq!(register(&*verifier, &mut plain).unwrap().sign_count, 0);
}

#[test]
fn a_policy_that_cannot_be_kept_is_refused() {
    let (root, _) = made_by("Maker", MODEL);
    let refused = |roots: &str, models: &[&str]| {
        let models: Vec<String> = models.iter().map(|model| (*model).to_owned()).collect();
        verifier(party(), Some(&Makers { roots, models: &models })).err()
    };
    assert_eq!(refused(&root, &[]), Some(BadVerifier::NoModel));
    assert_eq!(refused(&root, &["a5a5"]), Some(BadVerifier::Model));
    assert_eq!(refused("", &[MODEL_TEXT]), Some(BadVerifier::NoCertificate));
    let cut = root.replace("MI", "");
    assert_eq!(refused(&cut, &[MODEL_TEXT]), Some(BadVerifier::Certificate));
    assert_eq!(refused(&root, &[MODEL_TEXT]), None);
    assert_eq!(refused(&format!("{root}{root}"), &[MODEL_TEXT]), None);
}
