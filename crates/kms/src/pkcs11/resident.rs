//! Keys that live in the token: the module's side.

use chancery_crypto::{Random as _, SystemRandom};
use chancery_domain::keyring::resident::{Decryption, ResidentPublic, ResidentType, ResidentUse, Signing};
use cryptoki::{
    context::Function,
    error::{Error, RvError},
    mechanism::{
        Mechanism, MechanismType,
        rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams},
    },
    object::ObjectClass,
};
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::{
    Fault, attributes,
    module::{Module, fault, refused},
};

/// `DigestInfo` of SHA-256 without the digest (RFC 8017 §9.2).
const SHA256_INFO: &[u8] =
    &[0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

impl Module {
    /// Makes a pair and gives its id: the hex of `CKA_ID`.
    pub(super) fn generate(&self, name: &str, key_type: ResidentType, r#use: ResidentUse) -> Result<Vec<u8>, Fault> {
        if r#use == ResidentUse::Decrypt && matches!(key_type, ResidentType::EcP256 | ResidentType::EcP384) {
            return Err(Fault::Unsupported);
        }
        let mut id = [0; 16];
        SystemRandom.fill(&mut id).map_err(|error| Fault::Unavailable(error.to_string()))?;
        let (public, private) = attributes::templates(name, &id, key_type, r#use);
        self.session.generate_key_pair(&attributes::mechanism(key_type), &public, &private).map_err(fault)?;
        Ok(HEXLOWER.encode(&id).into_bytes())
    }

    pub(super) fn public(&self, id: &str) -> Result<ResidentPublic, Fault> {
        let object = attributes::find(&self.session, ObjectClass::PUBLIC_KEY, &parse(id)?)?;
        let (key_type, spki) = attributes::public(&self.session, object)?;
        Ok(ResidentPublic { key_type, spki })
    }

    pub(super) fn sign(&self, id: &str, signing: Signing, digest: &[u8]) -> Result<Vec<u8>, Fault> {
        if digest.len() != signing.digest_len() {
            return Err(Fault::Refused);
        }
        if !signing.suits(self.public(id)?.key_type) {
            return Err(Fault::Unsupported);
        }
        let key = attributes::find(&self.session, ObjectClass::PRIVATE_KEY, &parse(id)?)?;
        let (mechanism, data) = match signing {
            Signing::Es256 | Signing::Es384 => (Mechanism::Ecdsa, digest.to_vec()),
            Signing::Rs256 => (Mechanism::RsaPkcs, [SHA256_INFO, digest].concat()),
            Signing::Ps256 => {
                let parameters =
                    PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: 32.into() };
                (Mechanism::RsaPkcsPss(parameters), digest.to_vec())
            }
        };
        self.session.sign(&mechanism, key, &data).map_err(fault)
    }

    pub(super) fn unseal(&self, id: &str, decryption: Decryption, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let key = attributes::find(&self.session, ObjectClass::PRIVATE_KEY, &parse(id)?)?;
        let (hash, mgf) = match decryption {
            Decryption::RsaOaep256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
            Decryption::RsaOaep => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
        };
        let mechanism = Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mgf, PkcsOaepSource::empty()));
        match self.session.decrypt(&mechanism, key, sealed) {
            Ok(opened) => Ok(Zeroizing::new(opened)),
            // SoftHSM says so of any OAEP but SHA-1.
            Err(Error::Pkcs11(RvError::ArgumentsBad, Function::DecryptInit)) => Err(Fault::Unsupported),
            Err(error) => Err(refused(error)),
        }
    }

    /// Destroys both halves, the private one first.
    pub(super) fn destroy(&self, id: &str) -> Result<(), Fault> {
        let id = parse(id)?;
        let private = attributes::find(&self.session, ObjectClass::PRIVATE_KEY, &id)?;
        self.session.destroy_object(private).map_err(fault)?;
        match attributes::find(&self.session, ObjectClass::PUBLIC_KEY, &id) {
            Ok(public) => self.session.destroy_object(public).map_err(fault),
            Err(Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

fn parse(id: &str) -> Result<Vec<u8>, Fault> {
    HEXLOWER.decode(id.as_bytes()).ok().filter(|id| id.len() == 16).ok_or(Fault::NotFound)
}
