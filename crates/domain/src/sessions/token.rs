//! The text of a refresh token: `chr_<env>_<base64url>`, opaque to clients.
//!
//! ```text
//!  0  4  version of the pepper   20 16  session       40 32  HMAC(pepper, all before)
//!  4 16  tenant                  36  4  generation    72  4  CRC-32 of all before
//! ```
//!
//! The CRC turns garbage away at once, the HMAC turns forgeries away before anything is looked up.

use chancery_crypto::{MacKey, Secret, sha256};
use data_encoding::BASE64URL_NOPAD;

use crate::{
    access::RequestInfo,
    api_keys::KeyEnv,
    ids::{SessionId, TenantId},
};

/// What else than API keys is computed with the pepper.
const LABEL: &[u8] = b"chancery/refresh/1";
const CLIENT_LABEL: &[u8] = b"chancery/refresh-client/1";
const SIGNED: usize = 40;
const LENGTH: usize = 76;

/// A refresh token as its holder has it.
pub struct RefreshToken {
    env: KeyEnv,
    bytes: Secret<[u8; LENGTH]>,
}

/// A text that is no refresh token: wrong form or wrong checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token")]
pub struct NotARefreshToken;

impl RefreshToken {
    /// The token of this generation: the same whenever it is computed.
    pub fn compute(
        env: KeyEnv,
        (pepper_version, pepper): (u32, &MacKey),
        tenant: TenantId,
        session: SessionId,
        generation: u32,
    ) -> Self {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend(pepper_version.to_be_bytes());
        bytes.extend(tenant.to_bytes());
        bytes.extend(session.to_bytes());
        bytes.extend(generation.to_be_bytes());
        bytes.extend(pepper.mac(&[LABEL, &bytes]));
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        let bytes = Secret::new(bytes);
        let mut whole = [0; LENGTH];
        whole.iter_mut().zip(bytes.expose()).for_each(|(slot, byte)| *slot = *byte);
        Self { env, bytes: Secret::new(whole) }
    }

    /// Reads a token's text; checks form and checksum, nothing else.
    ///
    /// # Errors
    ///
    /// [`NotARefreshToken`].
    pub fn parse(text: &str) -> Result<Self, NotARefreshToken> {
        let (env, body) = text.strip_prefix("chr_").and_then(|rest| rest.split_once('_')).ok_or(NotARefreshToken)?;
        let env = env.parse().map_err(|_| NotARefreshToken)?;
        let bytes = Secret::new(BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| NotARefreshToken)?);
        let whole: [u8; LENGTH] = bytes.expose().as_slice().try_into().map_err(|_| NotARefreshToken)?;
        let (before, crc) = whole.split_at(LENGTH - 4);
        if crc != crc32fast::hash(before).to_be_bytes() {
            return Err(NotARefreshToken);
        }
        Ok(Self { env, bytes: Secret::new(whole) })
    }

    /// The whole text.
    pub fn reveal(&self) -> Secret<String> {
        let mut text = format!("chr_{}_", self.env);
        BASE64URL_NOPAD.encode_append(self.bytes.expose(), &mut text);
        Secret::new(text)
    }

    fn part<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes.expose().get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    /// In which environment it was made.
    pub fn env(&self) -> KeyEnv {
        self.env
    }

    /// The version of the pepper that it was computed with.
    pub fn pepper_version(&self) -> u32 {
        u32::from_be_bytes(self.part(0))
    }

    /// Whose data. To be believed once it [`fits`](Self::fits).
    pub fn tenant(&self) -> TenantId {
        TenantId::from_bytes(self.part(4))
    }

    /// Which session. To be believed once it [`fits`](Self::fits).
    pub fn session(&self) -> SessionId {
        SessionId::from_bytes(self.part(20))
    }

    /// How many tokens came before it. To be believed once it [`fits`](Self::fits).
    pub fn generation(&self) -> u32 {
        u32::from_be_bytes(self.part(36))
    }

    /// Whether it was computed with this pepper, in constant time.
    pub fn fits(&self, pepper: &MacKey) -> bool {
        let mac: [u8; 32] = self.part(SIGNED);
        let signed: [u8; SIGNED] = self.part(0);
        pepper.verify(&[LABEL, &signed], &mac)
    }

    /// What is stored of it.
    pub fn digest(&self) -> [u8; 32] {
        let mac: [u8; 32] = self.part(SIGNED);
        sha256(&mac)
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RefreshToken({}, {})", self.session(), self.generation())
    }
}

/// What tells one client from another: a keyed digest of its user agent. Its address may change between two requests.
pub(super) fn client_digest(pepper: &MacKey, session: SessionId, request: &RequestInfo) -> [u8; 32] {
    let agent = request.user_agent.as_deref().unwrap_or_default();
    pepper.mac(&[CLIENT_LABEL, &session.to_bytes(), agent.as_bytes()])
}

#[cfg(test)]
mod tests {
    use chancery_crypto::Key256;

    use super::*;

    fn pepper(byte: u8) -> MacKey {
        MacKey::from(&Key256::from_bytes([byte; 32]))
    }

    fn token(generation: u32) -> RefreshToken {
        let (tenant, session) = (TenantId::from_bytes([3; 16]), SessionId::from_bytes([4; 16]));
        RefreshToken::compute(KeyEnv::Dev, (7, &pepper(1)), tenant, session, generation)
    }

    #[test]
    fn it_reads_back_and_is_the_same_whenever_it_is_computed() {
        let text = token(9).reveal();
        assert_eq!(text.expose(), token(9).reveal().expose());
        let read = RefreshToken::parse(text.expose()).unwrap();
        assert_eq!((read.pepper_version(), read.generation(), read.env()), (7, 9, KeyEnv::Dev));
        assert_eq!((read.tenant(), read.session()), (TenantId::from_bytes([3; 16]), SessionId::from_bytes([4; 16])));
        assert!(read.fits(&pepper(1)) && !read.fits(&pepper(2)));
        assert_eq!(read.digest(), token(9).digest());
        assert_ne!(read.digest(), token(10).digest());
    }

    #[test]
    fn every_changed_letter_is_refused() {
        let text = token(1).reveal();
        for at in 0..text.expose().len() {
            let mut bytes = text.expose().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let read = RefreshToken::parse(std::str::from_utf8(&bytes).unwrap());
            assert!(read.is_err(), "{at}");
        }
        for odd in ["", "chr_", "chr_dev_", "chr_dev_AAAA", "chy_dev_AAAA"] {
            assert!(RefreshToken::parse(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_right_checksum_over_another_generation_does_not_fit() {
        let mut bytes = *token(1).bytes.expose();
        bytes[39] = 2;
        let crc = crc32fast::hash(&bytes[..72]).to_be_bytes();
        bytes[72..].copy_from_slice(&crc);
        let forged = RefreshToken { env: KeyEnv::Dev, bytes: Secret::new(bytes) };
        let read = RefreshToken::parse(forged.reveal().expose()).unwrap();
        assert_eq!(read.generation(), 2);
        assert!(!read.fits(&pepper(1)));
    }

    #[test]
    fn it_does_not_print_its_secret() {
        let made = token(1);
        assert!(!format!("{made:?}").contains(&made.reveal().expose()[20..]));
    }
}
