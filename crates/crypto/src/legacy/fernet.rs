//! Fernet ([specification](https://github.com/fernet/spec/blob/master/Spec.md)): AES-128-CBC, then HMAC-SHA-256.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::{BASE64URL, BASE64URL_NOPAD};
use zeroize::Zeroizing;

use super::{LegacyError, base64, hex};
use crate::hazmat::{Prf, open_cbc};
use crate::secret::{Key256, Secret};

/// What tokens of any likely date begin with: version 0x80 and the upper bytes of the time.
pub const FERNET_PREFIX: &str = "gAAAAA";

const VERSION: u8 = 0x80;
/// Version and time; the time is authenticated and not looked at.
const HEAD: usize = 9;
const IV: usize = 16;
const MAC: usize = 32;
const BLOCK: usize = 16;

/// One Fernet key: 16 bytes to sign, 16 to encrypt. Never prints.
pub struct FernetKey {
    signing: Prf,
    encryption: Zeroizing<[u8; 16]>,
}

impl FernetKey {
    /// Takes the 32 bytes; any other length gives `None`.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (signing, rest) = bytes.split_first_chunk::<16>()?;
        Some(Self { signing: Prf::new(signing), encryption: Zeroizing::new(rest.try_into().ok()?) })
    }

    /// Reads base64url of 32 bytes, as `Fernet.generate_key()` writes it; anything else gives `None`.
    pub fn from_text(text: &str) -> Option<Self> {
        let form = if text.ends_with('=') { BASE64URL } else { BASE64URL_NOPAD };
        Self::from_bytes(&Zeroizing::new(crate::base64::decode_as(&form, text)?))
    }

    /// `None` when the HMAC does not match; only then is anything decrypted.
    fn open(&self, signed: &[u8], mac: &[u8]) -> Option<Vec<u8>> {
        let mut wanted = [0; MAC];
        self.signing.mac_into(signed, &mut wanted);
        verify_slices_are_equal(&wanted, mac).ok()?;
        let (iv, ciphertext) = signed.get(HEAD..)?.split_first_chunk::<IV>()?;
        open_cbc(&self.encryption, iv, ciphertext).ok()
    }
}

impl std::fmt::Debug for FernetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FernetKey(..)")
    }
}

/// Several Fernet keys, tried in order as `MultiFernet` does.
#[derive(Debug)]
pub struct FernetKeys(Vec<FernetKey>);

impl From<Vec<FernetKey>> for FernetKeys {
    fn from(keys: Vec<FernetKey>) -> Self {
        Self(keys)
    }
}

impl FernetKeys {
    /// Opens a token under the first key whose HMAC matches. Tokens do not expire here: stored data has no time to live.
    ///
    /// # Errors
    ///
    /// [`LegacyError`].
    pub fn open(&self, token: &str) -> Result<Secret<Vec<u8>>, LegacyError> {
        let form = if token.ends_with('=') { BASE64URL } else { BASE64URL_NOPAD };
        let bytes = crate::base64::decode_as(&form, token).ok_or(LegacyError::NotThisForm)?;
        let signed = bytes.len().checked_sub(MAC).ok_or(LegacyError::NotThisForm)?;
        let blocks = signed.checked_sub(HEAD + IV).ok_or(LegacyError::NotThisForm)?;
        if bytes.first() != Some(&VERSION) || blocks == 0 || !blocks.is_multiple_of(BLOCK) {
            return Err(LegacyError::NotThisForm);
        }
        let (signed, mac) = bytes.split_at(signed);
        let opened = self.0.iter().find_map(|key| key.open(signed, mac));
        opened.map(Secret::new).ok_or(LegacyError::WrongKeyOrTampered)
    }

    /// Opens a token that holds a data key: 32 bytes, raw or in base64 or hex.
    ///
    /// # Errors
    ///
    /// [`LegacyError`]; [`LegacyError::NotThisForm`] too when a token opens to something else.
    pub fn open_data_key(&self, token: &str) -> Result<Key256, LegacyError> {
        let plaintext = self.open(token)?;
        if let Some(key) = Key256::from_slice(plaintext.expose()) {
            return Ok(key);
        }
        let text = std::str::from_utf8(plaintext.expose()).map_err(|_| LegacyError::NotThisForm)?;
        let bytes = if text.len() == 64 { hex(text) } else { base64(text) };
        let bytes = Zeroizing::new(bytes.ok_or(LegacyError::NotThisForm)?);
        Key256::from_slice(&bytes).ok_or(LegacyError::NotThisForm)
    }
}
