//! Readers for what other systems sealed, so that it can be sealed anew. Nothing here writes.
//!
//! | form | reader |
//! | --- | --- |
//! | Fernet tokens, under one of several keys; data keys wrapped in them | [`FernetKeys`] |
//! | base64 of nonce ‖ ciphertext ‖ tag, AES-256-GCM under an HKDF of a master or data key | [`GcmKey`], [`KeyDerivation`] |
//! | certificates that another system signed | [`verify_bundle`] |
//! | codes of senders that know nothing but HMAC-SHA-1 | [`hmac_sha1`] |
//! | ciphertext, salt, nonce and tag in four columns, AES-256-GCM under PBKDF2 of a password | [`FourPartRow`], [`Iterations`] |
//!
//! These forms commit to nothing: a wrong key and a changed byte look alike, and a value moved to another place opens there.

mod bundle;
mod code;
mod fernet;
mod gcm;
mod row;
#[cfg(test)]
mod tests;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};

pub use self::bundle::{BundleVerdict, bundle_id, verify_bundle};
pub use self::code::hmac_sha1;
pub use self::fernet::{FERNET_PREFIX, FernetKey, FernetKeys};
pub use self::gcm::{GcmKey, HkdfHash, KeyDerivation};
pub use self::row::{FourPartRow, Iterations};

/// Why a foreign value did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LegacyError {
    /// The shape is another one: try another reader, or it is a value in the clear.
    #[error("not of this form")]
    NotThisForm,
    /// The shape is right and the code or tag does not match under any key given: a wrong key, place or parameter, or changed bytes.
    #[error("wrong key, or tampered")]
    WrongKeyOrTampered,
}

/// Base64 of either alphabet, with padding or without, and nothing else.
fn base64(text: &str) -> Option<Vec<u8>> {
    [BASE64, BASE64URL, BASE64_NOPAD, BASE64URL_NOPAD].iter().find_map(|form| crate::base64::decode_as(form, text))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

/// `N` bytes in hex or base64: the length of the text tells which.
fn exactly<const N: usize>(text: &str) -> Result<[u8; N], LegacyError> {
    let bytes = if text.len() == 2 * N { hex(text) } else { base64(text) };
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(LegacyError::NotThisForm)
}
