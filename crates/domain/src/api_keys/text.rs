//! The text of an API key: `chy_<env>_<id>_<secret>_<crc>`, the parts in base 62.
//!
//! The CRC-32 turns garbage away with no I/O and lets secret scanners recognise a key; the id finds
//! the row; the secret is drawn as 43 letters, a little over 256 bits.

use chancery_crypto::{
    MacKey, Secret,
    random::{Random, RandomError},
};

use crate::{ids::ApiKeyId, instance::Environment};

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_LETTERS: usize = 22;
const SECRET_LETTERS: usize = 43;
const CRC_LETTERS: usize = 6;

codes! {
    /// The environment in a key's text, so that a glance tells a live key.
    pub enum KeyEnv {
        /// Production.
        Live = "live",
        /// Staging.
        Test = "test",
        /// Development.
        Dev = "dev",
    }
}

impl From<Environment> for KeyEnv {
    fn from(environment: Environment) -> Self {
        match environment {
            Environment::Production => Self::Live,
            Environment::Staging => Self::Test,
            Environment::Development => Self::Dev,
        }
    }
}

/// An API key as its holder has it.
#[derive(Debug)]
pub struct ApiKeyText {
    /// Its environment.
    pub env: KeyEnv,
    /// Which key.
    pub id: ApiKeyId,
    secret: Secret<String>,
}

/// A text that is no API key: wrong form or wrong checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an API key")]
pub struct NotAnApiKey;

impl ApiKeyText {
    /// Draws a secret for a key.
    ///
    /// # Errors
    ///
    /// [`RandomError`].
    pub fn make(env: KeyEnv, id: ApiKeyId, rng: &dyn Random) -> Result<Self, RandomError> {
        let mut secret = String::with_capacity(SECRET_LETTERS);
        while secret.len() < SECRET_LETTERS {
            let [byte] = chancery_crypto::random::array(rng)?;
            // 248 is the largest multiple of 62 in a byte: every letter is equally likely.
            if byte < 248 {
                secret.push(char::from(LETTERS.get(usize::from(byte % 62)).copied().unwrap_or(b'0')));
            }
        }
        Ok(Self { env, id, secret: Secret::new(secret) })
    }

    /// The whole text, to be shown once.
    pub fn reveal(&self) -> Secret<String> {
        let id = base62(u128::from_be_bytes(self.id.to_bytes()), ID_LETTERS);
        let body = format!("chy_{}_{id}_{}", self.env, self.secret.expose());
        let crc = base62(u128::from(crc32fast::hash(body.as_bytes())), CRC_LETTERS);
        Secret::new(format!("{body}_{crc}"))
    }

    /// Reads a key's text; checks form and checksum, nothing else.
    ///
    /// # Errors
    ///
    /// [`NotAnApiKey`].
    pub fn parse(text: &str) -> Result<Self, NotAnApiKey> {
        let (body, crc) = text.rsplit_once('_').ok_or(NotAnApiKey)?;
        let mut parts = body.split('_');
        let (Some("chy"), Some(env), Some(id), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAnApiKey);
        };
        let lengths = id.len() == ID_LETTERS && secret.len() == SECRET_LETTERS && crc.len() == CRC_LETTERS;
        let letters = secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !lengths || !letters || from_base62(crc) != Some(u128::from(crc32fast::hash(body.as_bytes()))) {
            return Err(NotAnApiKey);
        }
        let id = from_base62(id).ok_or(NotAnApiKey)?;
        Ok(Self {
            env: env.parse().map_err(|_| NotAnApiKey)?,
            id: ApiKeyId::from_bytes(id.to_be_bytes()),
            secret: Secret::new(secret.to_owned()),
        })
    }

    /// What is stored of it.
    pub fn digest(&self, pepper: &MacKey) -> [u8; 32] {
        pepper.mac(&[&self.id.to_bytes(), self.secret.expose().as_bytes()])
    }

    /// Whether it is the key with this digest, in constant time.
    pub fn fits(&self, pepper: &MacKey, digest: &[u8; 32]) -> bool {
        pepper.verify(&[&self.id.to_bytes(), self.secret.expose().as_bytes()], digest)
    }
}

fn base62(mut value: u128, letters: usize) -> String {
    let mut out = vec![b'0'; letters];
    for slot in out.iter_mut().rev() {
        let digit = usize::try_from(value % 62).unwrap_or(0);
        *slot = LETTERS.get(digit).copied().unwrap_or(b'0');
        value /= 62;
    }
    String::from_utf8(out).unwrap_or_default()
}

fn from_base62(text: &str) -> Option<u128> {
    text.bytes().try_fold(0u128, |value, byte| {
        // Not looked for among `LETTERS`: every request with a key reads 28 of them.
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        value.checked_mul(62)?.checked_add(u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use chancery_crypto::{Key256, SystemRandom};

    fn key() -> ApiKeyText {
        let id = ApiKeyId::make(Timestamp::from_seconds(1_700_000_000), &SystemRandom).unwrap();
        ApiKeyText::make(KeyEnv::Dev, id, &SystemRandom).unwrap()
    }

    #[test]
    fn a_key_reads_back_and_fits_its_digest() {
        let pepper = MacKey::from(&Key256::make(&SystemRandom).unwrap());
        let made = key();
        let text = made.reveal();
        assert!(text.expose().starts_with("chy_dev_"));
        let read = ApiKeyText::parse(text.expose()).unwrap();
        assert_eq!(read.id, made.id);
        assert!(read.fits(&pepper, &made.digest(&pepper)));
        assert!(!key().fits(&pepper, &made.digest(&pepper)));
    }

    #[test]
    fn every_changed_letter_fails_the_checksum() {
        let text = key().reveal();
        let text = text.expose();
        for position in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[position] = if bytes[position] == b'x' { b'y' } else { b'x' };
            assert!(ApiKeyText::parse(std::str::from_utf8(&bytes).unwrap()).is_err(), "{position}");
        }
        assert!(ApiKeyText::parse("chy_dev").is_err());
        assert!(ApiKeyText::parse("").is_err());
    }

    #[test]
    fn every_letter_is_read_as_it_is_written() {
        for value in 0..62 {
            let letter = base62(value, 1);
            assert_eq!(letter.as_bytes(), [LETTERS[usize::try_from(value).unwrap()]]);
            assert_eq!(from_base62(&letter), Some(value));
        }
        for other in ["_", "-", "/", ":", "@", "[", "`", "{", "é", "zzzzzzzzzzzzzzzzzzzzzzz"] {
            assert_eq!(from_base62(other), None, "{other}");
        }
        assert_eq!(from_base62(&base62(u128::MAX, ID_LETTERS)), Some(u128::MAX));
    }

    #[test]
    fn it_does_not_print_its_secret() {
        let made = key();
        assert!(!format!("{made:?}").contains(made.secret.expose().as_str()));
    }
}
