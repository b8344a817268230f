//! Apple Health: nothing leaves a phone by itself, so our own ingest there sends, and shows that it is the application that we know on a
//! device that we know: an App Attest assertion
//! ([validating assertions](https://developer.apple.com/documentation/devicecheck/validating-apps-that-connect-to-your-server)).
//!
//! The client data that the assertion is over is the moment, a dot and the body.

use chancery_crypto::sha256;
use data_encoding::BASE64;

use super::super::{Material, Message, Rejection, Unit};
use super::{Rules, Verified, digest, moment, note};
use crate::Timestamp;

/// The headers of our ingest.
pub(in super::super) const ASSERTION: &str = "x-app-attest-assertion";
pub(in super::super) const KEY_ID: &str = "x-app-attest-key-id";
pub(in super::super) const TIMESTAMP: &str = "x-app-attest-timestamp";
/// The digest of the application's id, flags, the counter.
const DATA_BYTES: usize = 37;

pub(super) fn verify(
    rules: &Rules,
    secrets: &[Material],
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Verified, Rejection> {
    let decode = |text: &str| BASE64.decode(text.as_bytes()).map_err(|_| Rejection::Malformed);
    let assertion = decode(message.one(ASSERTION)?)?;
    let key_id = decode(message.one(KEY_ID)?)?;
    let stamp = message.one(TIMESTAMP)?;
    let (data, signature) = read(&assertion).ok_or(Rejection::Malformed)?;
    let (app, rest) = data.split_first_chunk::<32>().ok_or(Rejection::Malformed)?;
    let counter = rest.last_chunk::<4>().copied().map(u32::from_be_bytes).ok_or(Rejection::Malformed)?;
    let nonce = nonce(data, stamp, message.body);
    let mut found = None;
    for (index, secret) in secrets.iter().enumerate() {
        // The key's id is public: it chooses, and proves nothing.
        if let Material::Device(device) = secret
            && device.key_id()[..] == key_id[..]
        {
            note(&mut found, index, device.key.verify_der(&nonce, signature));
        }
    }
    let ours = rules.app_ids.iter().any(|id| sha256(id.as_bytes()) == *app);
    let secret = found.filter(|_| ours).ok_or(Rejection::WrongSignature)?;
    let sent_at = Some(moment(stamp, Unit::Seconds, now)?);
    if !matches!(secrets.get(secret), Some(Material::Device(device)) if counter > device.counter) {
        return Err(Rejection::Replayed);
    }
    // A device counts on for each attempt: whatever comes with a count that was there is no attempt anew.
    let copy = digest(b"webhook copy\n", &[&nonce]);
    Ok(Verified { secret, sent_at, identity: copy, has_id: false, copy: Some(copy), counter: Some(counter) })
}

/// What a device signs: SHA-256 of the authenticator data and of SHA-256 of the client data.
pub(in super::super) fn nonce(data: &[u8], stamp: &str, body: &[u8]) -> [u8; 32] {
    sha256(&[data, &sha256(&[stamp.as_bytes(), b".", body].concat())].concat())
}

/// The authenticator data and the signature of an assertion: a map of two byte strings in CBOR (RFC 8949).
fn read(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes.strip_prefix(&[0xA2])?;
    let (mut data, mut signature) = (None, None);
    for _ in 0..2 {
        let name = item(&mut rest, 0x60)?;
        let value = item(&mut rest, 0x40)?;
        match name {
            b"authenticatorData" => data = Some(value),
            b"signature" => signature = Some(value),
            _ => return None,
        }
    }
    let data = data.filter(|data| data.len() == DATA_BYTES)?;
    rest.is_empty().then_some((data, signature?))
}

/// A text or a byte string, whose first byte begins with `major`, of up to 255 bytes.
fn item<'a>(rest: &mut &'a [u8], major: u8) -> Option<&'a [u8]> {
    let (first, behind) = rest.split_first()?;
    let (length, behind) = match first.checked_sub(major)? {
        short @ 0..=23 => (short, behind),
        24 => behind.split_first().map(|(length, behind)| (*length, behind))?,
        _ => return None,
    };
    let (content, behind) = behind.split_at_checked(usize::from(length))?;
    *rest = behind;
    Some(content)
}

/// An assertion in CBOR, in the order of Apple's.
pub(in super::super) fn write(data: &[u8], signature: &[u8]) -> Vec<u8> {
    let short = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
    let mut out = vec![0xA2, 0x69];
    out.extend_from_slice(b"signature");
    out.extend_from_slice(&[0x58, short(signature.len())]);
    out.extend_from_slice(signature);
    out.push(0x71);
    out.extend_from_slice(b"authenticatorData");
    out.extend_from_slice(&[0x58, short(data.len())]);
    out.extend_from_slice(data);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_is_a_map_of_two_and_nothing_behind_it() {
        let good = write(&[7; DATA_BYTES], &[9; 70]);
        assert_eq!(read(&good), Some((&[7; DATA_BYTES][..], &[9; 70][..])));
        for at in 0..good.len() {
            assert_eq!(read(&good[..at]), None, "{at}");
        }
        assert_eq!(read(&[&good[..], &[0]].concat()), None);
        assert_eq!(read(&write(&[7; DATA_BYTES + 1], &[9; 70])), None);
        let twice = [&[0xA2, 0x69][..], b"signature", &[0x41, 1, 0x69], b"signature", &[0x41, 1]].concat();
        assert_eq!(read(&twice), None);
    }
}
