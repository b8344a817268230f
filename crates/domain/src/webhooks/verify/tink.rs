//! Google Health: an ECDSA signature over P-256 by one key of a Tink key set, over the body.
//!
//! The signature is `0x01`, the key's id in four bytes, then the signature in DER
//! ([Tink's wire format](https://developers.google.com/tink/wire-format)).

use std::sync::Arc;

use chancery_crypto::P256PublicKey;
use data_encoding::BASE64;
use serde_json::Value;

use super::super::{Material, Message, Rejection};
use super::{Verified, digest, note, same};

/// What the header is called, in what has been seen.
const HEADERS: [&str; 2] = ["x-healthapi-signature", "google-health-api-signature"];
/// What a key of this kind is called.
const TYPE: &str = "type.googleapis.com/google.crypto.tink.EcdsaPublicKey";
/// The most keys of a set.
const MAX_KEYS: usize = 16;
/// The first byte of a signature with a key's id.
const PREFIX: u8 = 1;

/// One key of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    id: u32,
    key: P256PublicKey,
}

impl Key {
    /// The key of this id.
    pub const fn new(id: u32, key: P256PublicKey) -> Self {
        Self { id, key }
    }

    /// Its id.
    pub(in super::super) const fn id(&self) -> u32 {
        self.id
    }
}

/// Key sets that were fetched, each with the place of the secret that says from where.
pub(in super::super) type Fetched = [(usize, Arc<Vec<Key>>)];

/// Reads a public key set in JSON. Every key that may be used must be ECDSA over P-256 with SHA-256 in DER.
pub(in super::super) fn read(text: &str) -> Result<Vec<Key>, &'static str> {
    let set: Value = serde_json::from_str(text).map_err(|_| "not a Tink key set in JSON")?;
    let keys = set.get("key").and_then(Value::as_array).ok_or("not a Tink key set in JSON")?;
    let enabled = keys.iter().filter(|key| key.get("status").and_then(Value::as_str) == Some("ENABLED"));
    let read: Vec<Key> = enabled.map(key).collect::<Option<_>>().ok_or("a key that is not ECDSA P-256 SHA-256 DER")?;
    if read.is_empty() || read.len() > MAX_KEYS { Err("use 1 to 16 enabled keys") } else { Ok(read) }
}

fn key(entry: &Value) -> Option<Key> {
    let data = entry.get("keyData")?;
    let is = |value: &Value, name: &str, wanted: &str| value.get(name).and_then(Value::as_str) == Some(wanted);
    if !is(data, "typeUrl", TYPE) || !is(entry, "outputPrefixType", "TINK") {
        return None;
    }
    let id = u32::try_from(entry.get("keyId")?.as_u64()?).ok()?;
    let bytes = BASE64.decode(data.get("value")?.as_str()?.as_bytes()).ok()?;
    let (mut params, mut x, mut y) = (None, None, None);
    for field in fields(&bytes)? {
        match field {
            // The version is 0 and then not written.
            (1, Content::Number(version)) if version != 0 => return None,
            (2, Content::Bytes(bytes)) => params = Some(bytes),
            (3, Content::Bytes(bytes)) => x = coordinate(bytes),
            (4, Content::Bytes(bytes)) => y = coordinate(bytes),
            _ => {}
        }
    }
    let (mut hash, mut curve, mut encoding) = (0, 0, 0);
    for field in fields(params?)? {
        match field {
            (1, Content::Number(value)) => hash = value,
            (2, Content::Number(value)) => curve = value,
            (3, Content::Number(value)) => encoding = value,
            _ => {}
        }
    }
    // SHA256, NIST_P256, DER.
    if (hash, curve, encoding) != (3, 2, 2) {
        return None;
    }
    let point = [&[4][..], &x?, &y?].concat();
    Some(Key { id, key: P256PublicKey::from_bytes(point.try_into().ok()?).ok()? })
}

/// 32 bytes of a big-endian number, however many zeros are before them.
fn coordinate(bytes: &[u8]) -> Option<[u8; 32]> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let number = bytes.get(start..)?;
    let mut out = [0; 32];
    out.get_mut(32_usize.checked_sub(number.len())?..)?.copy_from_slice(number);
    Some(out)
}

/// What a field of Protocol Buffers holds, of the two kinds that stand in keys.
enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message in Protocol Buffers, in order.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Content<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = number(&mut bytes)?;
        let content = match tag & 7 {
            0 => Content::Number(number(&mut bytes)?),
            2 => {
                let length = usize::try_from(number(&mut bytes)?).ok()?;
                let (content, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Content::Bytes(content)
            }
            _ => return None,
        };
        found.push((tag >> 3, content));
    }
    Some(found)
}

/// A number in base 128, of at most five bytes.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..5 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7F) << (7 * shift);
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The id of the key that a message says it is signed with, and the signature.
pub(in super::super) fn signed(message: &Message<'_>) -> Result<(u32, Vec<u8>), Rejection> {
    let header = match message.maybe(HEADERS[0])? {
        Some(header) => header,
        None => message.one(HEADERS[1])?,
    };
    let bytes = BASE64.decode(header.as_bytes()).map_err(|_| Rejection::Malformed)?;
    let (prefix, signature) = bytes.split_at_checked(5).ok_or(Rejection::Malformed)?;
    let [PREFIX, id @ ..] = prefix else { return Err(Rejection::Malformed) };
    let id = u32::from_be_bytes(id.try_into().map_err(|_| Rejection::Malformed)?);
    Ok((id, signature.to_vec()))
}

/// Verifies with the key sets that are among the secrets, and with those that were fetched.
pub(in super::super) fn verify(
    secrets: &[Material],
    fetched: &Fetched,
    message: &Message<'_>,
) -> Result<Verified, Rejection> {
    let (id, signature) = signed(message)?;
    let mut found = None;
    let held = secrets.iter().enumerate().filter_map(|(index, secret)| match secret {
        Material::KeySet(keys) => Some((index, keys)),
        _ => None,
    });
    for (index, keys) in held.chain(fetched.iter().map(|(index, keys)| (*index, &**keys))) {
        // An id is a hint of four bytes that two keys may share.
        for key in keys.iter().filter(|key| key.id == id) {
            note(&mut found, index, key.key.verify_der(message.body, &signature));
        }
    }
    let secret = found.ok_or(Rejection::WrongSignature)?;
    // Some events come without it; one that comes must be right.
    if let Some(shown) = message.maybe("authorization")?
        && !shows_token(secrets, shown).unwrap_or(true)
    {
        return Err(Rejection::WrongSignature);
    }
    let identity = digest(b"webhook body\n", &[message.body]);
    Ok(Verified { secret, sent_at: None, identity, has_id: false, copy: None, counter: None })
}

/// Whether this is a token of the source; `None` if it has none.
pub(in super::super) fn shows_token(secrets: &[Material], shown: &str) -> Option<bool> {
    let (mut any, mut right) = (false, false);
    for secret in secrets {
        if let Material::Token(token) = secret {
            any = true;
            right |= same(token.expose(), shown);
        }
    }
    any.then_some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_32_bytes_whatever_zeros_are_before_it() {
        assert_eq!(coordinate(&[0, 0, 7]).unwrap()[31], 7);
        assert_eq!(coordinate(&[&[0][..], &[9; 32]].concat()), Some([9; 32]));
        assert_eq!(coordinate(&[9; 33]), None);
        assert_eq!(coordinate(&[]), Some([0; 32]));
    }

    #[test]
    fn fields_end_where_they_say() {
        assert!(fields(&[0x0A, 2, 1, 2]).is_some_and(|fields| fields.len() == 1));
        for bad in [&[0x0A, 3, 1, 2][..], &[0x0A], &[0x80], &[0x09, 0], &[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 1]] {
            assert!(fields(bad).is_none(), "{bad:?}");
        }
    }
}
