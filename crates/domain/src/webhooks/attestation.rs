//! An App Attest attestation: Apple vouches that a key was made by a certain application, on a device that keeps it
//! ([validating it](https://developer.apple.com/documentation/devicecheck/validating-apps-that-connect-to-your-server)).

use chancery_crypto::{P256PublicKey, sha256};

use super::verify::cbor::{self, BYTES, LIST, MAP, TEXT};
use crate::Timestamp;

/// The longest attestation object; Apple's have five to six thousand bytes.
pub const MAX_ATTESTATION_BYTES: usize = 32 * 1024;
/// What the object is called in it.
const FORMAT: &[u8] = b"apple-appattest";
/// The device's certificate and those that lead from it to the root, which is not among them.
const CHAIN: std::ops::RangeInclusive<usize> = 2..=4;
/// A flag of the authenticator data: a credential follows.
const ATTESTED: u8 = 0x40;

/// What the certificate of a device says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    /// The key, as an uncompressed point of P-256.
    pub point: [u8; 65],
    /// What Apple was shown of what the device said: the extension 1.2.840.113635.100.8.2.
    pub nonce: [u8; 32],
}

/// Reads certificates of devices. Pure; the domain itself knows no X.509.
pub trait DeviceCertificates: Send + Sync {
    /// What the first certificate says, if the others lead from it to a root that is trusted and all of them are valid at `now`.
    fn vouched(&self, chain: &[&[u8]], now: Timestamp) -> Option<Vouched>;
}

codes! {
    /// In which of Apple's two environments a key was made.
    pub enum DeviceEnvironment {
        /// Of an application under development.
        Development = "development",
        /// Of one from TestFlight, the App Store or an enterprise.
        Production = "production",
    }
}

codes! {
    /// Why an attestation is not taken. For the log alone.
    pub enum Unattested {
        /// The challenge is none of ours, not for this source, over, or was used.
        Challenge = "challenge",
        /// It has another form.
        Malformed = "malformed",
        /// Its certificates do not lead to a root that is trusted, or say nothing of a key and a nonce.
        Certificates = "certificates",
        /// It was made over something else than the challenge.
        Nonce = "nonce",
        /// It is of another application.
        Application = "application",
        /// The key signed before.
        Counter = "counter",
        /// It says no environment that is known, or one that is not taken here.
        Environment = "environment",
        /// It names another key than its certificate.
        Credential = "credential",
    }
}

/// A key that Apple vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attested {
    /// The key.
    pub key: P256PublicKey,
    /// In which environment it was made.
    pub environment: DeviceEnvironment,
}

/// Verifies an attestation object for one of these applications (`TEAMID.bundle.id`), which was made over this client data.
///
/// # Errors
///
/// [`Unattested`].
pub fn attested(
    certificates: &dyn DeviceCertificates,
    app_ids: &[String],
    client_data_hash: &[u8],
    object: &[u8],
    now: Timestamp,
) -> Result<Attested, Unattested> {
    let (chain, bytes) = read(object).ok_or(Unattested::Malformed)?;
    let data = AuthenticatorData::read(bytes).ok_or(Unattested::Malformed)?;
    let Vouched { point, nonce } = certificates.vouched(&chain, now).ok_or(Unattested::Certificates)?;
    // All that follows is what Apple was shown.
    if sha256(&[bytes, client_data_hash].concat()) != nonce {
        return Err(Unattested::Nonce);
    }
    if !app_ids.iter().any(|id| sha256(id.as_bytes()) == *data.application) {
        return Err(Unattested::Application);
    }
    if data.counter != 0 {
        return Err(Unattested::Counter);
    }
    let environment = match data.environment {
        b"appattest\0\0\0\0\0\0\0" => DeviceEnvironment::Production,
        b"appattestdevelop" => DeviceEnvironment::Development,
        _ => return Err(Unattested::Environment),
    };
    if data.credential != sha256(&point) {
        return Err(Unattested::Credential);
    }
    let key = P256PublicKey::from_bytes(point).map_err(|_| Unattested::Certificates)?;
    Ok(Attested { key, environment })
}

/// The certificates and the authenticator data of an attestation object (WebAuthn §6.5.4).
fn read(bytes: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let mut rest = bytes;
    if bytes.len() > MAX_ATTESTATION_BYTES || cbor::count(&mut rest, MAP)? != 3 {
        return None;
    }
    let (mut format, mut chain, mut data) = (None, None, None);
    for _ in 0..3 {
        match cbor::string(&mut rest, TEXT)? {
            b"fmt" => format = Some(cbor::string(&mut rest, TEXT)?),
            b"attStmt" => chain = Some(statement(&mut rest)?),
            b"authData" => data = Some(cbor::string(&mut rest, BYTES)?),
            _ => return None,
        }
    }
    (rest.is_empty() && format == Some(FORMAT)).then_some((chain?, data?))
}

/// The certificates of a statement. Its receipt is for Apple's own service of risks, which is not asked.
fn statement<'a>(rest: &mut &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let mut chain = None;
    for _ in 0..cbor::count(rest, MAP).filter(|count| *count == 2)? {
        match cbor::string(rest, TEXT)? {
            b"x5c" => {
                let length = cbor::count(rest, LIST).filter(|length| CHAIN.contains(length))?;
                chain = Some((0..length).map(|_| cbor::string(rest, BYTES)).collect::<Option<Vec<_>>>()?);
            }
            b"receipt" => {
                cbor::string(rest, BYTES)?;
            }
            _ => return None,
        }
    }
    chain
}

/// What is said of a credential (WebAuthn §6.1, §6.5.1). Behind its name stands its key, once more: that of the certificate counts.
struct AuthenticatorData<'a> {
    application: &'a [u8; 32],
    counter: u32,
    environment: &'a [u8; 16],
    credential: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (application, rest) = bytes.split_first_chunk()?;
        let (flags, rest) = rest.split_first()?;
        let (counter, rest) = rest.split_first_chunk()?;
        let (environment, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (credential, _) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let counter = u32::from_be_bytes(*counter);
        (flags & ATTESTED != 0).then_some(Self { application, counter, environment, credential })
    }
}

#[cfg(test)]
mod tests {
    use chancery_crypto::P256SigningKey;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const HASH: &[u8] = b"the hash of what the device was asked";

    /// Certificates that are a point and a nonce, and a root that is called so.
    struct Plain;

    impl DeviceCertificates for Plain {
        fn vouched(&self, chain: &[&[u8]], _: Timestamp) -> Option<Vouched> {
            let [leaf, root] = chain else { return None };
            let (point, nonce) = leaf.split_first_chunk()?;
            (*root == b"root").then_some(Vouched { point: *point, nonce: nonce.try_into().ok()? })
        }
    }

    /// What is said in an attestation, to be changed.
    struct Said {
        format: &'static str,
        root: &'static [u8],
        app: &'static str,
        flags: u8,
        counter: u32,
        environment: [u8; 16],
        credential: Option<Vec<u8>>,
        nonce: Option<[u8; 32]>,
    }

    impl Default for Said {
        fn default() -> Self {
            Self {
                format: "apple-appattest",
                root: b"root",
                app: "TEAM.app",
                flags: ATTESTED,
                counter: 0,
                environment: *b"appattest\0\0\0\0\0\0\0",
                credential: None,
                nonce: None,
            }
        }
    }

    fn string(kind: u8, content: &[u8]) -> Vec<u8> {
        [&cbor::head(kind, content.len())[..], content].concat()
    }

    fn object(point: &[u8], said: &Said) -> Vec<u8> {
        let credential = said.credential.clone().unwrap_or_else(|| sha256(point).to_vec());
        let data = [
            &sha256(said.app.as_bytes())[..],
            &[said.flags],
            &said.counter.to_be_bytes(),
            &said.environment,
            &u16::try_from(credential.len()).unwrap().to_be_bytes(),
            &credential,
            b"its key in COSE",
        ]
        .concat();
        let nonce = said.nonce.unwrap_or_else(|| sha256(&[&data[..], HASH].concat()));
        let chain = [cbor::head(LIST, 2), string(BYTES, &[point, &nonce[..]].concat()), string(BYTES, said.root)];
        let receipt = [string(TEXT, b"receipt"), string(BYTES, &[7; 300])].concat();
        let statement = [cbor::head(MAP, 2), string(TEXT, b"x5c"), chain.concat(), receipt].concat();
        [
            cbor::head(MAP, 3),
            string(TEXT, b"fmt"),
            string(TEXT, said.format.as_bytes()),
            string(TEXT, b"attStmt"),
            statement,
            string(TEXT, b"authData"),
            string(BYTES, &data),
        ]
        .concat()
    }

    fn judge(object: &[u8]) -> Result<Attested, Unattested> {
        attested(&Plain, &["OTHER.app".to_owned(), "TEAM.app".to_owned()], HASH, object, NOW)
    }

    #[test]
    fn a_key_is_taken_if_all_that_is_said_of_it_is_right() {
        let key = P256SigningKey::make().unwrap().public();
        let good = object(key.as_bytes(), &Said::default());
        assert_eq!(judge(&good), Ok(Attested { key, environment: DeviceEnvironment::Production }));
        let develop = Said { environment: *b"appattestdevelop", ..Said::default() };
        let develop = judge(&object(key.as_bytes(), &develop)).unwrap();
        assert_eq!(develop.environment, DeviceEnvironment::Development);
    }

    #[test]
    fn each_wrong_thing_has_it_refused() {
        let key = P256SigningKey::make().unwrap().public();
        let said = Said::default;
        for (said, why) in [
            (Said { format: "packed", ..said() }, Unattested::Malformed),
            (Said { flags: 0, ..said() }, Unattested::Malformed),
            (Said { root: b"another root", ..said() }, Unattested::Certificates),
            (Said { nonce: Some([7; 32]), ..said() }, Unattested::Nonce),
            (Said { app: "THIRD.app", ..said() }, Unattested::Application),
            (Said { app: "TEAM.app2", ..said() }, Unattested::Application),
            (Said { counter: 1, ..said() }, Unattested::Counter),
            (Said { environment: [0; 16], ..said() }, Unattested::Environment),
            (Said { environment: *b"appattest\0\0\0\0\0\0\x01", ..said() }, Unattested::Environment),
            (Said { credential: Some(vec![7; 32]), ..said() }, Unattested::Credential),
            (Said { credential: Some(Vec::new()), ..said() }, Unattested::Credential),
        ] {
            assert_eq!(judge(&object(key.as_bytes(), &said)), Err(why), "{why}");
        }
        let mut none = *key.as_bytes();
        none[64] ^= 1;
        assert_eq!(judge(&object(&none, &said())), Err(Unattested::Certificates), "no point of the curve");
    }

    #[test]
    fn what_is_cut_off_longer_or_changed_is_never_another_key() {
        let key = P256SigningKey::make().unwrap().public();
        let good = object(key.as_bytes(), &Said::default());
        for at in 0..good.len() {
            assert!(judge(&good[..at]).is_err(), "cut off at {at}");
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[at] ^= 1 << bit;
                assert!(judge(&changed).is_ok_and(|taken| taken.key == key) || judge(&changed).is_err());
            }
        }
        assert_eq!(judge(&[&good[..], &[0]].concat()), Err(Unattested::Malformed));
        assert_eq!(judge(&vec![0xA3; MAX_ATTESTATION_BYTES + 1]), Err(Unattested::Malformed));
    }
}
