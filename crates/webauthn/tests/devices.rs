//! Whose devices are believed: certificates of a root that is trusted, and Apple's own example.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use chancery_crypto::sha256;
use chancery_domain::{
    Timestamp,
    webhooks::{Attested, DeviceCertificates as _, DeviceEnvironment, Unattested, attested},
};
use chancery_testkit::phone::Phone;
use chancery_webauthn::{APPLE_ROOT, AppleDevices, NoRoots};
use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm,
};

const APP: &str = "TEAM.app";
const CHALLENGE: &[u8] = b"a challenge";
/// Within the thousands of years for which rcgen's certificates are valid.
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// The phone's key, for a certificate.
struct Point([u8; 65]);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// A root as Apple has one, and the authority below it.
fn apple() -> (Issuer, Issuer) {
    let key = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let root = CertifiedIssuer::self_signed(authority("App Attestation Root"), key()).unwrap();
    let below = CertifiedIssuer::signed_by(authority("App Attestation CA 1"), key(), &root).unwrap();
    (root, below)
}

/// What an extension with a nonce holds.
fn nonce_extension(nonce: &[u8; 32]) -> CustomExtension {
    let content = [&[0x30, 0x24, 0xA1, 0x22, 0x04, 0x20], &nonce[..]].concat();
    CustomExtension::from_oid_content(&[1, 2, 840, 113_635, 100, 8, 2], content)
}

/// A certificate of the phone's key, changed by whoever wants.
fn certificate(phone: &Phone, by: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::ExplicitNoCa;
    params.distinguished_name.push(DnType::CommonName, "a device");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.custom_extensions = vec![nonce_extension(&phone.nonce(CHALLENGE))];
    change(&mut params);
    params.signed_by(&Point(phone.point()), by).unwrap().der().to_vec()
}

fn judge(root: &Issuer, phone: &Phone, chain: [&[u8]; 2], now: Timestamp) -> Result<Attested, Unattested> {
    let devices = AppleDevices::new(&root.pem()).unwrap();
    attested(&devices, &[APP.to_owned()], &sha256(CHALLENGE), &phone.object(chain), now)
}

#[test]
fn a_key_is_taken_whose_certificate_leads_to_the_root() {
    let ((root, below), phone) = (apple(), Phone::new(APP));
    let leaf = certificate(&phone, &below, |_| {});
    let taken = judge(&root, &phone, [&leaf, below.der()], NOW).unwrap();
    assert_eq!((*taken.key.as_bytes(), taken.environment), (phone.point(), DeviceEnvironment::Production));
}

#[test]
fn certificates_that_do_not_lead_there_are_refused() {
    let ((root, below), (other_root, other), phone) = (apple(), apple(), Phone::new(APP));
    let leaf = certificate(&phone, &below, |_| {});
    let theirs = certificate(&phone, &other, |_| {});
    let refused = Err(Unattested::Certificates);
    assert_eq!(judge(&other_root, &phone, [&leaf, below.der()], NOW), refused, "another root");
    assert_eq!(judge(&root, &phone, [&theirs, other.der()], NOW), refused, "another root's authority");
    // Both authorities have one name.
    assert_eq!(judge(&root, &phone, [&theirs, below.der()], NOW), refused, "signed by somebody else");
    assert_eq!(judge(&root, &phone, [below.der(), root.der()], NOW), refused, "an authority is no device");
    let long_ago = Timestamp::from_seconds(86_400);
    assert_eq!(judge(&root, &phone, [&leaf, below.der()], long_ago), refused, "not valid yet");
    let past = rcgen::date_time_ymd(2020, 1, 1);
    let over = certificate(&phone, &below, |params| params.not_after = past);
    assert_eq!(judge(&root, &phone, [&over, below.der()], NOW), refused, "over");
    let server =
        |params: &mut CertificateParams| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert_eq!(judge(&root, &phone, [&certificate(&phone, &below, server), below.der()], NOW), refused, "of a server");
    // Whoever has a device has a key that Apple vouches for; that key vouches for nobody.
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let mut leaf_as_issuer = authority("App Attestation CA 1");
    leaf_as_issuer.is_ca = IsCa::ExplicitNoCa;
    let leaf_as_issuer = CertifiedIssuer::signed_by(leaf_as_issuer, key, &root).unwrap();
    let forged = certificate(&phone, &leaf_as_issuer, |_| {});
    assert_eq!(judge(&root, &phone, [&forged, leaf_as_issuer.der()], NOW), refused, "no authority");
}

#[test]
fn a_certificate_says_one_nonce_and_says_it_whole() {
    let ((root, below), phone) = (apple(), Phone::new(APP));
    let refused = |change: &dyn Fn(&mut CertificateParams)| {
        let leaf = certificate(&phone, &below, change);
        judge(&root, &phone, [&leaf, below.der()], NOW).unwrap_err()
    };
    assert_eq!(refused(&|params| params.custom_extensions.clear()), Unattested::Certificates);
    let oid = [1, 2, 840, 113_635, 100, 8, 2];
    for content in [Vec::new(), vec![7; 38], [vec![0x30, 0x24, 0xA1, 0x22, 0x04, 0x20], vec![7; 31]].concat()] {
        let odd = || CustomExtension::from_oid_content(&oid, content.clone());
        assert_eq!(refused(&|params| params.custom_extensions = vec![odd()]), Unattested::Certificates);
    }
    let another = || nonce_extension(&phone.nonce(b"another challenge"));
    assert_eq!(refused(&|params| params.custom_extensions = vec![another()]), Unattested::Nonce);
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let ((root, below), phone) = (apple(), Phone::new(APP));
    // The other phone's certificate over what this one said.
    let leaf = certificate(&Phone::new(APP), &below, |params| {
        params.custom_extensions = vec![nonce_extension(&phone.nonce(CHALLENGE))];
    });
    assert_eq!(judge(&root, &phone, [&leaf, below.der()], NOW), Err(Unattested::Credential));
}

/// The example of Apple's "Attestation Object Validation Guide". There the challenge itself is the client data hash.
#[test]
fn apples_own_example_is_taken_in_its_days_and_changed_it_is_not() {
    let vector = include_str!("../../../testdata/vectors/webhooks/app_attest_apple.json");
    let vector: serde_json::Value = serde_json::from_str(vector).unwrap();
    let text = |name: &str| vector[name].as_str().unwrap().to_owned();
    let decoded = |name: &str| BASE64.decode(text(name).as_bytes()).unwrap();
    let (object, app) = (decoded("attestation_base64"), text("app_id"));
    let now = Timestamp::from_seconds(vector["now"].as_i64().unwrap());
    let devices = AppleDevices::new(APPLE_ROOT).unwrap();
    let judge = |app: &str, hash: &[u8], object: &[u8], now| attested(&devices, &[app.to_owned()], hash, object, now);
    let hash = text("client_data_hash");
    let taken = judge(&app, hash.as_bytes(), &object, now).unwrap();
    assert_eq!(sha256(taken.key.as_bytes()).to_vec(), decoded("key_id_base64"));
    assert_eq!(taken.environment, DeviceEnvironment::Production);
    assert_eq!(judge("0352187391.com.apple.other", hash.as_bytes(), &object, now), Err(Unattested::Application));
    assert_eq!(judge(&app, b"another challenge", &object, now), Err(Unattested::Nonce));
    let later = now.plus_seconds(3 * 86_400);
    assert_eq!(judge(&app, hash.as_bytes(), &object, later), Err(Unattested::Certificates));
    for at in (0..object.len()).step_by(7) {
        let mut changed = object.clone();
        changed[at] ^= 1;
        assert!(judge(&app, hash.as_bytes(), &changed, now).is_err(), "{at}");
        assert!(judge(&app, hash.as_bytes(), &object[..at], now).is_err(), "cut off at {at}");
    }
}

#[test]
fn garbage_is_no_certificate() {
    let devices = AppleDevices::new(APPLE_ROOT).unwrap();
    let ((_, below), phone) = (apple(), Phone::new(APP));
    let leaf = certificate(&phone, &below, |_| {});
    for at in 0..leaf.len() {
        let mut changed = leaf.clone();
        changed[at] ^= 0xFF;
        assert_eq!(devices.vouched(&[&changed, below.der()], NOW), None);
        assert_eq!(devices.vouched(&[&leaf[..at], below.der()], NOW), None);
    }
    assert_eq!(devices.vouched(&[], NOW), None);
    assert_eq!(devices.vouched(&[b"", b""], NOW), None);
}

#[test]
fn without_a_root_there_is_nobody_to_believe() {
    assert_eq!(AppleDevices::new("").err(), Some(NoRoots));
    assert_eq!(AppleDevices::new(&APPLE_ROOT.replace("MII", "MI")).err(), Some(NoRoots));
    assert!(AppleDevices::new(&format!("{APPLE_ROOT}{APPLE_ROOT}")).is_ok());
}
