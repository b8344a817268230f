//! Tokens that are good for one thing, once, and not for long: the second step of a login, an invitation, a new password.
//!
//! Their text is `cho_<env>_<base64url>`: tenant 16, id 16, secret 32, CRC-32 of all before. Stored is a keyed digest only, under
//! the pepper of the platform root, as for API keys.

use async_trait::async_trait;
use chancery_crypto::{
    MacKey, Secret,
    random::{self, Random, RandomError},
};
use data_encoding::BASE64URL_NOPAD;

use crate::{
    Instance, TenantId,
    api_keys::KeyEnv,
    ids::{OneTimeId, UserId},
    instance::Failure,
    store::{StoreError, TenantEntry, Tx},
    tenants::TenantState,
    time::Timestamp,
};

const LABEL: &[u8] = b"chancery/one-time/1";
const LENGTH: usize = 68;

codes! {
    /// What a token is good for.
    pub enum OneTimeKind {
        /// The second step of a login.
        Factor = "factor",
        /// Enrolling the first second factor, within a login.
        Enrol = "enrol",
        /// Setting the first password.
        Invite = "invite",
        /// Setting a new password.
        Reset = "reset",
    }
}

impl OneTimeKind {
    /// For how long it is good, in seconds.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Factor => 5 * 60,
            Self::Enrol => 15 * 60,
            Self::Invite => 7 * 86_400,
            Self::Reset => 3_600,
        }
    }
}

/// A token as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTimeToken {
    /// Its id.
    pub id: OneTimeId,
    /// For whom.
    pub user: UserId,
    /// What for.
    pub kind: OneTimeKind,
    /// HMAC-SHA-256 of its secret under the pepper.
    pub digest: [u8; 32],
    /// The version of the root that the pepper derives from.
    pub pepper_version: u32,
    /// How often it was tried.
    pub tries: u32,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Reads one-time tokens.
#[async_trait]
pub trait OneTimeRows {
    /// By id.
    async fn one_time_token(&mut self, id: OneTimeId) -> Result<Option<OneTimeToken>, StoreError>;
}

/// Changes one-time tokens.
#[async_trait]
pub trait OneTimeWrites {
    /// Adds one.
    async fn insert_one_time_token(&mut self, token: &OneTimeToken) -> Result<(), StoreError>;
    /// Counts a try: [`StoreError::Changed`]`("one_time_token")` if it is gone or was tried `most` times.
    async fn try_one_time_token(&mut self, id: OneTimeId, most: u32) -> Result<(), StoreError>;
    /// Uses it up: [`StoreError::Changed`]`("one_time_token")` if it is gone.
    async fn take_one_time_token(&mut self, id: OneTimeId) -> Result<(), StoreError>;
    /// Ends all tokens of a user; how many.
    async fn end_one_time_tokens_of(&mut self, user: UserId) -> Result<u64, StoreError>;
    /// Forgets what expired before `now`.
    async fn forget_one_time_tokens(&mut self, now: Timestamp) -> Result<(), StoreError>;
}

/// A token as its holder has it.
#[derive(Debug)]
struct Text {
    env: KeyEnv,
    tenant: TenantId,
    id: OneTimeId,
    secret: Secret<[u8; 32]>,
}

impl Text {
    fn make(env: KeyEnv, tenant: TenantId, id: OneTimeId, rng: &dyn Random) -> Result<Self, RandomError> {
        Ok(Self { env, tenant, id, secret: Secret::new(random::array(rng)?) })
    }

    fn parse(text: &str) -> Option<Self> {
        let (env, body) = text.strip_prefix("cho_")?.split_once('_')?;
        let bytes = Secret::new(BASE64URL_NOPAD.decode(body.as_bytes()).ok()?);
        let (before, crc) = bytes.expose().split_at_checked(LENGTH - 4)?;
        if crc != crc32fast::hash(before).to_be_bytes() {
            return None;
        }
        let (tenant, rest) = before.split_first_chunk()?;
        let (id, secret) = rest.split_first_chunk()?;
        Some(Self {
            env: env.parse().ok()?,
            tenant: TenantId::from_bytes(*tenant),
            id: OneTimeId::from_bytes(*id),
            secret: Secret::new(secret.try_into().ok()?),
        })
    }

    fn reveal(&self) -> Secret<String> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend(self.tenant.to_bytes());
        bytes.extend(self.id.to_bytes());
        bytes.extend(self.secret.expose());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        let bytes = Secret::new(bytes);
        let mut text = format!("cho_{}_", self.env);
        BASE64URL_NOPAD.encode_append(bytes.expose(), &mut text);
        Secret::new(text)
    }

    /// What it is for is part of it: a token of one kind is none of another.
    fn parts<'a>(&'a self, kind: OneTimeKind, ids: &'a [[u8; 16]; 2]) -> [&'a [u8]; 5] {
        let [tenant, id] = ids;
        [LABEL, kind.as_str().as_bytes(), tenant, id, self.secret.expose()]
    }

    fn ids(&self) -> [[u8; 16]; 2] {
        [self.tenant.to_bytes(), self.id.to_bytes()]
    }

    fn digest(&self, kind: OneTimeKind, pepper: &MacKey) -> [u8; 32] {
        pepper.mac(&self.parts(kind, &self.ids()))
    }

    fn fits(&self, token: &OneTimeToken, pepper: &MacKey) -> bool {
        pepper.verify(&self.parts(token.kind, &self.ids()), &token.digest)
    }
}

/// A new token, shown once.
#[derive(Debug)]
pub struct Issued {
    /// Its text.
    pub text: Secret<String>,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// Makes a token of a user, within the change that gives a reason for it.
pub(crate) async fn issue(
    instance: &Instance,
    rows: &mut (dyn Tx + '_),
    (tenant, user): (TenantId, UserId),
    kind: OneTimeKind,
) -> Result<Issued, Failure> {
    let root = instance.leased_root().await?;
    let (pepper_version, pepper) = root.pepper();
    let now = instance.now();
    let id = OneTimeId::make(now, instance.random())?;
    let text = Text::make(instance.settings().environment.into(), tenant, id, instance.random())?;
    let expires_at = now.plus_seconds(kind.seconds());
    let digest = text.digest(kind, pepper);
    rows.forget_one_time_tokens(now).await?;
    rows.insert_one_time_token(&OneTimeToken {
        id,
        user,
        kind,
        digest,
        pepper_version,
        tries: 0,
        created_at: now,
        expires_at,
    })
    .await?;
    Ok(Issued { text: text.reveal(), expires_at })
}

/// The token with this text, and its tenant: if it is of one of these kinds, still good, and the tenant is served.
pub(crate) async fn find(
    instance: &Instance,
    text: &Secret<String>,
    kinds: &[OneTimeKind],
) -> Result<Option<(TenantEntry, OneTimeToken)>, Failure> {
    let Some(text) = Text::parse(text.expose()) else { return Ok(None) };
    if text.env != instance.settings().environment.into() {
        return Ok(None);
    }
    let entry = instance.directory().tenant(text.tenant).await?;
    let Some(entry) = entry.filter(|entry| entry.state == TenantState::Active) else { return Ok(None) };
    let Some(token) = instance.store().view(entry.id).await?.one_time_token(text.id).await? else { return Ok(None) };
    let mut root = instance.leased_root().await?;
    if root.pepper_of(token.pepper_version).is_none() {
        // Another node rotated the root.
        root = instance.renewed_root().await?;
    }
    let fits = root.pepper_of(token.pepper_version).is_some_and(|pepper| text.fits(&token, pepper));
    let good = fits && kinds.contains(&token.kind) && instance.now() < token.expires_at;
    Ok(good.then_some((entry, token)))
}

#[cfg(test)]
mod tests {
    use chancery_crypto::{Key256, SystemRandom};

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

    fn pepper(byte: u8) -> MacKey {
        MacKey::from(&Key256::from_bytes([byte; 32]))
    }

    fn text() -> Text {
        Text::make(KeyEnv::Dev, TenantId::from_bytes([3; 16]), OneTimeId::from_bytes([4; 16]), &SystemRandom).unwrap()
    }

    fn token(text: &Text, kind: OneTimeKind) -> OneTimeToken {
        OneTimeToken {
            id: text.id,
            user: UserId::from_bytes([5; 16]),
            kind,
            digest: text.digest(kind, &pepper(1)),
            pepper_version: 1,
            tries: 0,
            created_at: NOW,
            expires_at: NOW,
        }
    }

    #[test]
    fn a_token_reads_back_and_fits_its_row_alone() {
        let made = text();
        let read = Text::parse(made.reveal().expose()).unwrap();
        assert_eq!((read.env, read.tenant, read.id), (made.env, made.tenant, made.id));
        let stored = token(&made, OneTimeKind::Reset);
        assert!(read.fits(&stored, &pepper(1)));
        assert!(!read.fits(&stored, &pepper(2)));
        assert!(!text().fits(&stored, &pepper(1)), "another secret");
        let other = OneTimeToken { kind: OneTimeKind::Invite, ..stored };
        assert!(!read.fits(&other, &pepper(1)), "another kind");
    }

    #[test]
    fn every_changed_letter_is_refused() {
        let text = text().reveal();
        for at in 0..text.expose().len() {
            let mut bytes = text.expose().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(Text::parse(std::str::from_utf8(&bytes).unwrap()).is_none(), "{at}");
        }
        for odd in ["", "cho_", "cho_dev_", "cho_dev_AAAA", "chy_dev_AAAA"] {
            assert!(Text::parse(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn it_does_not_print_its_secret() {
        let made = text();
        assert!(format!("{made:?}").contains("Secret(..)"));
    }
}
