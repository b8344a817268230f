//! Challenges: what a ceremony begins with and its answer brings back.
//!
//! One is version 1, purpose 1, pepper version 4, end 8, random 16, MAC 32. The MAC binds it to the tenant, the user and the
//! session, the login or the source that it was made for, so nothing is stored when a ceremony begins, however many strangers begin
//! one. When one ends well its challenge is put into the store, where it cannot be put twice.

use chancery_crypto::random;

use crate::{Instance, TenantId, ids::UserId, instance::Failure, time::Timestamp};

/// For how long a ceremony may take.
pub const CHALLENGE_SECONDS: i64 = 5 * 60;

const LABEL: &[u8] = b"chancery/passkey-challenge/1";
const VERSION: u8 = 1;
/// Without the MAC.
const HEAD: usize = 30;

/// What a challenge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Registering within a session.
    Register = 1,
    /// Registering within a login that waits for a first factor.
    RegisterInLogin = 2,
    /// Logging in without a password.
    Login = 3,
    /// The second step of a login.
    Step = 4,
    /// Proving again who one is, within a session.
    Again = 5,
    /// Enrolling a device with a source of webhooks, which it is made within.
    Device = 6,
}

/// For whom and what a challenge is good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// What for.
    pub(crate) purpose: Purpose,
    /// Whose data.
    pub(crate) tenant: TenantId,
    /// Whose ceremony; nobody's before a login without a password.
    pub(crate) user: Option<UserId>,
    /// In which session or login, or with which source.
    pub(crate) within: Option<[u8; 16]>,
}

/// One that is good.
#[derive(Debug)]
pub(crate) struct Challenge {
    /// All of it.
    pub(crate) bytes: Vec<u8>,
    /// What the store keeps of it once it is used.
    pub(crate) mark: [u8; 32],
    /// Until when.
    pub(crate) expires_at: Timestamp,
}

impl Bound {
    fn parts<'a>(&self, head: &'a [u8], ids: &'a [Vec<u8>; 3]) -> [&'a [u8]; 5] {
        let [tenant, user, within] = ids;
        [LABEL, head, tenant, user, within]
    }

    fn ids(&self) -> [Vec<u8>; 3] {
        let user = self.user.map(|user| user.to_bytes().to_vec()).unwrap_or_default();
        [self.tenant.to_bytes().to_vec(), user, self.within.map(|id| id.to_vec()).unwrap_or_default()]
    }

    /// A new challenge.
    pub(crate) async fn challenge(&self, instance: &Instance) -> Result<Challenge, Failure> {
        let root = instance.leased_root().await?;
        let (pepper_version, pepper) = root.pepper();
        let expires_at = super::settings::end(instance.now());
        let drawn: [u8; 16] = random::array(instance.random())?;
        let mut bytes = Vec::with_capacity(HEAD + 32);
        bytes.extend([VERSION, self.purpose as u8]);
        bytes.extend(pepper_version.to_be_bytes());
        bytes.extend(expires_at.as_seconds().to_be_bytes());
        bytes.extend(drawn);
        let mark = pepper.mac(&self.parts(&bytes, &self.ids()));
        bytes.extend(mark);
        Ok(Challenge { bytes, mark, expires_at })
    }

    /// The challenge in `bytes`, if we made it for this and it is not over.
    pub(crate) async fn check(&self, instance: &Instance, bytes: Vec<u8>) -> Result<Option<Challenge>, Failure> {
        let Some((head, mac)) = bytes.split_at_checked(HEAD) else { return Ok(None) };
        let Some((version, end)) = read(head, self.purpose) else { return Ok(None) };
        let Ok(mark) = <[u8; 32]>::try_from(mac) else { return Ok(None) };
        // A version that this node does not know yet is another node's new root: whoever asked begins again.
        let root = instance.leased_root().await?;
        let ids = self.ids();
        let ours = root.pepper_of(version).is_some_and(|pepper| pepper.verify(&self.parts(head, &ids), &mark));
        let expires_at = Timestamp::from_micros(end.saturating_mul(1_000_000));
        let good = ours && instance.now() < expires_at;
        Ok(good.then_some(Challenge { mark, expires_at, bytes }))
    }
}

/// The pepper's version and the end, in seconds.
fn read(head: &[u8], purpose: Purpose) -> Option<(u32, i64)> {
    let (start, rest) = head.split_first_chunk::<2>()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (end, _) = rest.split_first_chunk::<8>()?;
    (*start == [VERSION, purpose as u8]).then(|| (u32::from_be_bytes(*version), i64::from_be_bytes(*end)))
}
