//! Servers that answer as recorded, and the parts of a wrap.

pub(crate) mod aws;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest,
};
use chancery_crypto::{Random as _, SystemRandom};
use serde_json::Value;
use wiremock::{Request, ResponseTemplate};

/// The provider's part of a wrap: `F9 32 01 00`, its length, the part, our own wrap.
pub(crate) fn part_of(wrapped: &[u8]) -> &[u8] {
    let length = usize::from(u16::from_be_bytes([wrapped[4], wrapped[5]]));
    &wrapped[6..6 + length]
}

/// The same wrap with another provider's part. Our own check of the part is made to agree, so that the provider has to refuse.
pub(crate) fn with_part(wrapped: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut part = part_of(wrapped).to_vec();
    let mut inner = wrapped[6 + part.len()..].to_vec();
    change(&mut part);
    inner[4..12].copy_from_slice(&digest::digest(&digest::SHA256, &part).as_ref()[..8]);
    let length = u16::try_from(part.len()).unwrap().to_be_bytes();
    [&wrapped[..4], &length, &part, &inner].concat()
}

/// AES-256-GCM: nonce, ciphertext, tag.
pub(crate) fn seal(key: &[u8; 32], associated_data: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut nonce = [0; 12];
    SystemRandom.fill(&mut nonce).unwrap();
    let mut sealed = plaintext.to_vec();
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    cipher
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated_data), &mut sealed)
        .unwrap();
    [nonce.as_slice(), &sealed].concat()
}

pub(crate) fn open(key: &[u8; 32], associated_data: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<12>()?;
    let mut opened = sealed.to_vec();
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = cipher.open_in_place(nonce, Aad::from(associated_data), &mut opened).ok()?.len();
    opened.truncate(length);
    Some(opened)
}

pub(crate) fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

pub(crate) fn answer(status: u16, body: Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

pub(crate) fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}
