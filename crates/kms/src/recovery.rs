//! A recovery key: printed once, kept by people.

use async_trait::async_trait;
use chancery_crypto::{Key256, Secret, random::SystemRandom};
use chancery_domain::keyring::{KeyProvider, ProviderError, ProviderKind, WrapLabel};
use data_encoding::{Encoding, Specification};
use zeroize::Zeroizing;

use crate::wrapper::Wrapper;

const PREFIX: &str = "chyr";
/// 32 bytes and their CRC-32.
const BYTES: usize = 36;
/// Letters between two hyphens.
const GROUP: usize = 5;

/// A key that exists on paper or in a vault, and on this machine only while it is used.
///
/// Its text is `chyr_` and 58 letters of Crockford's base 32 in groups of five; the last 32 bits
/// are a CRC-32 that catches slips of the pen. Small letters, `O` for `0`, `I` and `L` for `1` read well.
///
/// ```
/// use chancery_domain::keyring::KeyProvider as _;
/// use chancery_kms::Recovery;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (provider, text) = Recovery::make()?;
/// let typed = text.expose().to_lowercase().replace('-', " ");
/// assert_eq!(Recovery::parse(&typed)?.label(), provider.label());
/// # Ok(()) }
/// ```
pub struct Recovery(Wrapper);

/// A text that is no recovery key. Does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseRecoveryKeyError {
    /// It does not begin with `chyr_`, has other letters, or another length.
    #[error("not a recovery key: it begins with `chyr_` and has 58 letters and digits after that")]
    Malformed,
    /// The checksum differs.
    #[error("a letter or digit of the recovery key is wrong or missing")]
    Mistyped,
}

impl Recovery {
    /// Draws a new one and gives its text, which is nowhere else.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] without randomness.
    pub fn make() -> Result<(Self, Secret<String>), ProviderError> {
        let unavailable = |error| ProviderError::Unavailable(error);
        let key = Key256::make(&SystemRandom).map_err(|error| unavailable(Box::new(error)))?;
        let encoding = crockford().map_err(|error| unavailable(Box::new(error)))?;
        let text = to_text(&encoding, &key);
        Ok((Self(Wrapper::new("recovery", key)), text))
    }

    /// Reads the text that [`Self::make`] gave.
    ///
    /// # Errors
    ///
    /// [`ParseRecoveryKeyError`] says whether it is worth to look for a slip of the pen.
    pub fn parse(text: &str) -> Result<Self, ParseRecoveryKeyError> {
        use ParseRecoveryKeyError::{Malformed, Mistyped};
        let (prefix, body) = text.trim().split_once('_').ok_or(Malformed)?;
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            return Err(Malformed);
        }
        let encoding = crockford().map_err(|_| Malformed)?;
        let bytes = Zeroizing::new(encoding.decode(body.as_bytes()).map_err(|_| Malformed)?);
        let (key, crc) = bytes.split_first_chunk::<32>().ok_or(Malformed)?;
        if bytes.len() != BYTES {
            return Err(Malformed);
        }
        if crc != crc32fast::hash(key).to_be_bytes() {
            return Err(Mistyped);
        }
        Ok(Self(Wrapper::new("recovery", Key256::from_slice(key).ok_or(Malformed)?)))
    }
}

fn to_text(encoding: &Encoding, key: &Key256) -> Secret<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
    bytes.extend_from_slice(key.expose());
    bytes.extend_from_slice(&crc32fast::hash(key.expose()).to_be_bytes());
    let letters = Zeroizing::new(encoding.encode(&bytes));
    // Room for everything at once: growing would leave copies behind.
    let mut text = String::with_capacity(PREFIX.len() + letters.len() * 2);
    text.push_str(PREFIX);
    text.push('_');
    for (place, letter) in letters.chars().enumerate() {
        if place > 0 && place % GROUP == 0 {
            text.push('-');
        }
        text.push(letter);
    }
    Secret::new(text)
}

/// Crockford's base 32 as people write it down.
fn crockford() -> Result<Encoding, data_encoding::SpecificationError> {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    specification.translate.from.push_str("abcdefghjkmnpqrstvwxyzOoIiLl");
    specification.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ001111");
    specification.ignore.push_str("- \t\r\n");
    specification.encoding()
}

#[async_trait]
impl KeyProvider for Recovery {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Recovery
    }

    fn label(&self) -> String {
        self.0.fingerprint()
    }

    async fn wrap(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
        self.0.wrap(key, label)
    }

    async fn unwrap(&self, wrapped: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError> {
        self.0.unwrap(wrapped, label)
    }
}

impl std::fmt::Debug for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recovery({}, ..)", self.0.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slip_of_the_pen_is_caught() {
        let (_, text) = Recovery::make().unwrap();
        let text = text.expose();
        for (at, letter) in text.char_indices().skip(5).filter(|(_, letter)| *letter != '-') {
            let other = if letter == '7' { '8' } else { '7' };
            let mut wrong = text.clone();
            wrong.replace_range(at..=at, &other.to_string());
            assert!(Recovery::parse(&wrong).is_err(), "place {at}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        use ParseRecoveryKeyError::Malformed;
        let (_, text) = Recovery::make().unwrap();
        for wrong in ["", "chyr_", "chy_live_x", "chyr_AAAA", &text.expose()[5..], &format!("{}0", text.expose())] {
            assert_eq!(Recovery::parse(wrong).err(), Some(Malformed));
        }
    }

    #[test]
    fn it_has_the_promised_form() {
        let (_, text) = Recovery::make().unwrap();
        let letters: Vec<&str> = text.expose().strip_prefix("chyr_").unwrap().split('-').collect();
        assert_eq!(letters.len(), 12);
        assert_eq!(letters.concat().len(), 58);
    }
}
