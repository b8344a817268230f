//! Standard Webhooks 1.0.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`, and the same as Svix names them.

use chancery_crypto::MacKey;
use data_encoding::BASE64;
use subtle::ConstantTimeEq as _;

use super::super::{Material, Message, Rejection, Unit};
use super::{Verified, codes::MAX_CODES, digest, moment, note};
use crate::Timestamp;

/// The longest id.
const MAX_ID: usize = 256;

pub(super) fn verify(secrets: &[Material], message: &Message<'_>, now: Timestamp) -> Result<Verified, Rejection> {
    // One family or the other: an id of one beside a signature of the other is nobody's message.
    let [id, stamp, signature] = match message.maybe("webhook-id")? {
        Some(id) => [id, message.one("webhook-timestamp")?, message.one("webhook-signature")?],
        None => [message.one("svix-id")?, message.one("svix-timestamp")?, message.one("svix-signature")?],
    };
    // A dot ends the id in what is signed.
    if id.is_empty() || id.len() > MAX_ID || id.contains('.') {
        return Err(Rejection::Malformed);
    }
    let written: Vec<(&str, &str)> = signature.split(' ').filter_map(|one| one.split_once(',')).collect();
    if written.is_empty() || written.len() > MAX_CODES {
        return Err(Rejection::Malformed);
    }
    let of = |version: &str| -> Vec<Vec<u8>> {
        let these = written.iter().filter(|(name, _)| *name == version);
        these.filter_map(|(_, text)| BASE64.decode(text.as_bytes()).ok()).collect()
    };
    let (codes, signatures) = (of("v1"), of("v1a"));
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", stamp.as_bytes(), b".", message.body];
    let whole = if signatures.is_empty() { Vec::new() } else { parts.concat() };
    let mut found = None;
    for (index, secret) in secrets.iter().enumerate() {
        match secret {
            Material::Mac(key) => {
                let expected = MacKey::of_others(key.expose()).raw_parts(&parts);
                for code in &codes {
                    note(&mut found, index, expected[..].ct_eq(code).into());
                }
            }
            Material::Ed25519(key) => {
                for signature in &signatures {
                    note(&mut found, index, key.verify(&whole, signature));
                }
            }
            _ => {}
        }
    }
    let secret = found.ok_or(Rejection::WrongSignature)?;
    let sent_at = Some(moment(stamp, Unit::Seconds, now)?);
    let identity = digest(b"webhook id\n", &[id.as_bytes()]);
    let copy = Some(digest(b"webhook copy\n", &parts));
    Ok(Verified { secret, sent_at, identity, has_id: true, copy, counter: None })
}
