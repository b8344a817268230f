//! Apple Health: nothing leaves a phone by itself, so our own ingest there sends, and shows that it is the application that we know on a
//! device that we know: an App Attest assertion
//! ([validating assertions](https://developer.apple.com/documentation/devicecheck/validating-apps-that-connect-to-your-server)).
//!
//! The client data that the assertion is over is the moment, a dot and the body.

use chancery_crypto::sha256;
use data_encoding::BASE64;

use super::super::{Device, Material, Message, Rejection, Unit};
use super::{
    Rules, Verified,
    cbor::{self, BYTES, MAP, TEXT},
    digest, moment, note,
};
use crate::Timestamp;

/// The headers of our ingest.
pub(in super::super) const ASSERTION: &str = "x-app-attest-assertion";
pub(in super::super) const KEY_ID: &str = "x-app-attest-key-id";
pub(in super::super) const TIMESTAMP: &str = "x-app-attest-timestamp";
/// The digest of the application's id, flags, the counter.
const DATA_BYTES: usize = 37;

/// Verifies with the keys that are among the secrets, and with that of the device that was enrolled, whose place is behind them.
pub(in super::super) fn verify(
    rules: &Rules,
    secrets: &[Material],
    enrolled: Option<&Device>,
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Verified, Rejection> {
    let assertion = decode(message.one(ASSERTION)?)?;
    let key_id = key_id(message)?;
    let stamp = message.one(TIMESTAMP)?;
    let (data, signature) = read(&assertion).ok_or(Rejection::Malformed)?;
    let (app, rest) = data.split_first_chunk::<32>().ok_or(Rejection::Malformed)?;
    let counter = rest.last_chunk::<4>().copied().map(u32::from_be_bytes).ok_or(Rejection::Malformed)?;
    let nonce = nonce(data, stamp, message.body);
    let brought = secrets.iter().enumerate().filter_map(|(index, secret)| match secret {
        Material::Device(device) => Some((index, device)),
        _ => None,
    });
    let (mut found, mut counted_on) = (None, false);
    // The key's id is public: it chooses, and proves nothing.
    for (index, device) in brought.chain(enrolled.map(|device| (secrets.len(), device))) {
        if found.is_none() && device.key_id()[..] == key_id[..] {
            note(&mut found, index, device.key.verify_der(&nonce, signature));
            counted_on = counter > device.counter;
        }
    }
    let ours = rules.app_ids.iter().any(|id| sha256(id.as_bytes()) == *app);
    let secret = found.filter(|_| ours).ok_or(Rejection::WrongSignature)?;
    let sent_at = Some(moment(stamp, Unit::Seconds, now)?);
    if !counted_on {
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

/// What a message says whose key it is signed with: SHA-256 of a point.
pub(in super::super) fn key_id(message: &Message<'_>) -> Result<Vec<u8>, Rejection> {
    decode(message.one(KEY_ID)?)
}

fn decode(text: &str) -> Result<Vec<u8>, Rejection> {
    BASE64.decode(text.as_bytes()).map_err(|_| Rejection::Malformed)
}

/// The authenticator data and the signature of an assertion: a map of two byte strings.
fn read(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes;
    let (mut data, mut signature) = (None, None);
    for _ in 0..cbor::count(&mut rest, MAP).filter(|count| *count == 2)? {
        match cbor::string(&mut rest, TEXT)? {
            b"authenticatorData" => data = Some(cbor::string(&mut rest, BYTES)?),
            b"signature" => signature = Some(cbor::string(&mut rest, BYTES)?),
            _ => return None,
        }
    }
    let data = data.filter(|data| data.len() == DATA_BYTES)?;
    rest.is_empty().then_some((data, signature?))
}

/// An assertion in CBOR, in the order of Apple's.
pub(in super::super) fn write(data: &[u8], signature: &[u8]) -> Vec<u8> {
    let string = |kind, content: &[u8]| [&cbor::head(kind, content.len())[..], content].concat();
    [
        cbor::head(MAP, 2),
        string(TEXT, b"signature"),
        string(BYTES, signature),
        string(TEXT, b"authenticatorData"),
        string(BYTES, data),
    ]
    .concat()
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
