//! Public keys in DER, and back from what tokens give.

use chancery_domain::keyring::resident::ResidentType;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;

/// `OBJECT IDENTIFIER` 1.2.840.10045.3.1.7, as `CKA_EC_PARAMS` has it.
pub(super) const P256: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
/// `OBJECT IDENTIFIER` 1.3.132.0.34.
pub(super) const P384: &[u8] = &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22];
/// `OBJECT IDENTIFIER` 1.2.840.10045.2.1.
const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
/// `OBJECT IDENTIFIER` 1.2.840.113549.1.1.1 and `NULL`.
const RSA_ENCRYPTION: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00];

/// The type of curve that `CKA_EC_PARAMS` names.
pub(super) fn curve(parameters: &[u8]) -> Option<ResidentType> {
    match parameters {
        P256 => Some(ResidentType::EcP256),
        P384 => Some(ResidentType::EcP384),
        _ => None,
    }
}

/// The public key of a point as `CKA_EC_POINT` has it: in an `OCTET STRING`, or, with some modules, bare.
pub(super) fn ec(key_type: ResidentType, point: &[u8]) -> Option<Vec<u8>> {
    let (curve, length) = match key_type {
        ResidentType::EcP256 => (P256, 65),
        ResidentType::EcP384 => (P384, 97),
        ResidentType::Rsa2048 | ResidentType::Rsa4096 => return None,
    };
    let bare = if point.len() == length { point } else { unwrap_octets(point)? };
    if bare.len() != length || bare.first() != Some(&4) {
        return None;
    }
    Some(public_key(&[EC_PUBLIC_KEY, curve].concat(), bare))
}

/// The public key of a modulus and an exponent.
pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    public_key(RSA_ENCRYPTION, &element(SEQUENCE, &[integer(modulus), integer(exponent)].concat()))
}

fn public_key(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let bits = element(BIT_STRING, &[&[0], key].concat());
    element(SEQUENCE, &[element(SEQUENCE, algorithm), bits].concat())
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let mut content = bytes.get(start..).unwrap_or_default().to_vec();
    if content.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.insert(0, 0);
    }
    element(INTEGER, &content)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let short = length.iter().position(|byte| *byte != 0).and_then(|start| length.get(start..)).unwrap_or(&[0]);
    let mut out = vec![tag];
    match short {
        [length @ 0..=0x7F] => out.push(*length),
        // INVARIANT: at most eight bytes, so no carry into the high bit.
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

/// The content of an `OCTET STRING` of at most 127 bytes.
fn unwrap_octets(der: &[u8]) -> Option<&[u8]> {
    let [OCTET_STRING, length @ 0..=0x7F, content @ ..] = der else { return None };
    (content.len() == usize::from(*length)).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_der() {
        assert_eq!(element(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(element(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(element(4, &[0; 256])[..4], [4, 0x82, 1, 0]);
        assert_eq!(element(4, &[]), [4, 0]);
        assert_eq!(integer(&[0, 0, 1, 0, 1]), [2, 3, 1, 0, 1]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0]), [2, 1, 0]);
    }

    #[test]
    fn a_point_is_taken_bare_and_wrapped() {
        let point = [&[4][..], &[7; 64]].concat();
        let wrapped = [&[4, 65][..], &point].concat();
        assert_eq!(ec(ResidentType::EcP256, &point), ec(ResidentType::EcP256, &wrapped));
        assert_eq!(ec(ResidentType::EcP256, &point).unwrap().len(), 91);
        assert_eq!(ec(ResidentType::EcP384, &point), None);
        assert_eq!(ec(ResidentType::EcP256, &[]), None);
        assert_eq!(ec(ResidentType::EcP256, &[4, 200]), None);
    }
}
