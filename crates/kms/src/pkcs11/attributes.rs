//! Templates of resident keys, and what tokens say about them.

use chancery_domain::keyring::resident::{ResidentType, ResidentUse};
use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};

use super::{Fault, module::fault, spki};

/// How a pair of this type is made.
pub(super) const fn mechanism(key_type: ResidentType) -> Mechanism<'static> {
    match key_type {
        ResidentType::EcP256 | ResidentType::EcP384 => Mechanism::EccKeyPairGen,
        ResidentType::Rsa2048 | ResidentType::Rsa4096 => Mechanism::RsaPkcsKeyPairGen,
    }
}

/// The templates of the public and the private half.
pub(super) fn templates(
    name: &str,
    id: &[u8],
    key_type: ResidentType,
    r#use: ResidentUse,
) -> (Vec<Attribute>, Vec<Attribute>) {
    let signs = r#use == ResidentUse::Sign;
    let both = [Attribute::Token(true), Attribute::Id(id.to_vec()), Attribute::Label(name.as_bytes().to_vec())];
    let mut public = both.to_vec();
    public.extend([Attribute::Private(false), Attribute::Verify(signs), Attribute::Encrypt(!signs)]);
    public.extend(match key_type {
        ResidentType::EcP256 => vec![Attribute::EcParams(spki::P256.to_vec())],
        ResidentType::EcP384 => vec![Attribute::EcParams(spki::P384.to_vec())],
        ResidentType::Rsa2048 => rsa(2048),
        ResidentType::Rsa4096 => rsa(4096),
    });
    let mut private = both.to_vec();
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(signs),
        Attribute::Decrypt(!signs),
    ]);
    (public, private)
}

fn rsa(bits: u64) -> Vec<Attribute> {
    let bits = cryptoki::types::Ulong::from(bits);
    vec![Attribute::ModulusBits(bits), Attribute::PublicExponent(vec![1, 0, 1])]
}

/// The half of a pair with this id.
pub(super) fn find(session: &Session, class: ObjectClass, id: &[u8]) -> Result<ObjectHandle, Fault> {
    let template = [Attribute::Class(class), Attribute::Token(true), Attribute::Id(id.to_vec())];
    match session.find_objects(&template).map_err(fault)?.as_slice() {
        [] => Err(Fault::NotFound),
        [object] => Ok(*object),
        _ => Err(Fault::Misconfigured("the token has several keys of one id".to_owned())),
    }
}

/// Type and public key of the public half.
pub(super) fn public(session: &Session, object: ObjectHandle) -> Result<(ResidentType, Vec<u8>), Fault> {
    let get = |wanted: &[AttributeType]| session.get_attributes(object, wanted).map_err(fault);
    let found = match get(&[AttributeType::KeyType])?.as_slice() {
        [Attribute::KeyType(KeyType::EC)] => {
            match get(&[AttributeType::EcParams, AttributeType::EcPoint])?.as_slice() {
                [Attribute::EcParams(parameters), Attribute::EcPoint(point)] => {
                    spki::curve(parameters).and_then(|curve| Some((curve, spki::ec(curve, point)?)))
                }
                _ => None,
            }
        }
        [Attribute::KeyType(KeyType::RSA)] => {
            match get(&[AttributeType::Modulus, AttributeType::PublicExponent])?.as_slice() {
                [Attribute::Modulus(modulus), Attribute::PublicExponent(exponent)] => {
                    let length = modulus.iter().skip_while(|byte| **byte == 0).count();
                    let key_type = match length {
                        256 => Some(ResidentType::Rsa2048),
                        512 => Some(ResidentType::Rsa4096),
                        _ => None,
                    };
                    key_type.map(|key_type| (key_type, spki::rsa(modulus, exponent)))
                }
                _ => None,
            }
        }
        _ => None,
    };
    found.ok_or(Fault::Unsupported)
}
