//! The token key, which others must know before it is used: each version is published, then put in force, then published on until
//! the last token under it has expired (ADR 0015).
//!
//! | state | in the JWKS | signs | verifies |
//! | --- | --- | --- | --- |
//! | `pending`: the next one | yes | no | yes: another node may have put it in force a moment ago |
//! | `active` | yes | yes | yes |
//! | `inactive`: retiring | for 16 minutes | no | yes |
//! | anything else | no | no | no |

use super::{
    Key, KeyError, KeyRef, KeyState, KeyVersion, KeyringError, Managed,
    hierarchy::{self, TokenMaterial},
    rotate::retirement,
};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::{KeyId, RequestId, TenantId},
    instance::Failure,
    tenants::create::activation,
    time::Timestamp,
    tokens::{MAX_SECONDS, TokenAlgorithm},
};

/// For how long a version is published before its first use, in seconds: the JWKS may be kept for 300 by whoever fetched it just
/// before, and as long again by a proxy.
pub const PUBLISHED_SECONDS: i64 = 600;
/// For how long a version is published after its last use: the longest life of a token, and a minute for clocks that differ.
pub(crate) const RETIRING_SECONDS: i64 = MAX_SECONDS + 60;
/// How many versions are published at most.
pub(crate) const MAX_PUBLISHED: usize = 3;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tended {
    /// Nothing was due.
    Nothing,
    /// A next version was published.
    Staged,
    /// The next version was put in force.
    Activated,
}

/// Does what is due: puts the next version in force when it has been published long enough, and stages one when the
/// active one is older than the configuration wants, or of another algorithm. Called every minute, on one node at a time.
///
/// # Errors
///
/// [`KeyError`]; then nothing changed, and the next call tries again.
pub async fn tend(instance: &Instance) -> Result<Tended, KeyError> {
    let mut view = instance.store().view(TenantId::PLATFORM).await?;
    let key = view.managed_key(Managed::Token).await?.ok_or(Failure::Internal("no token key"))?;
    let versions = view.key_versions(key.id).await?;
    drop(view);
    let (now, settings) = (instance.now(), instance.settings());
    let due = due(&versions, settings.token_algorithm, settings.token_rotation_days, now);
    if due == Tended::Nothing {
        return Ok(due);
    }
    let request = RequestInfo {
        id: RequestId::make(now, instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "token-keys",
        method: "JOB",
    };
    let actor = Actor::System(&request);
    match due {
        Tended::Staged => stage(instance, actor, key.id).await?,
        _ => activate(instance, actor, key.id).await?,
    };
    Ok(due)
}

fn due(versions: &[KeyVersion], algorithm: TokenAlgorithm, rotation_days: u16, now: Timestamp) -> Tended {
    if let Some(next) = versions.iter().find(|version| version.state == KeyState::Pending) {
        let known = next.created_at.plus_seconds(PUBLISHED_SECONDS) <= now;
        return if known { Tended::Activated } else { Tended::Nothing };
    }
    let Some(active) = versions.iter().find(|version| version.state == KeyState::Active) else {
        return Tended::Nothing;
    };
    let other = active.public_jwk.as_ref().and_then(TokenAlgorithm::of) != Some(algorithm);
    let since = active.activated_at.unwrap_or(active.created_at);
    let old = since.plus_days(i64::from(rotation_days)) <= now;
    if (other || old) && has_room(versions, now) { Tended::Staged } else { Tended::Nothing }
}

/// Whether a further version can be published without taking one away that is still needed.
fn has_room(versions: &[KeyVersion], now: Timestamp) -> bool {
    let published = versions.iter().filter(|version| is_published(version.state, version.retired_at, now)).count();
    published < MAX_PUBLISHED
}

/// Whether a version is in the JWKS.
pub(crate) fn is_published(state: KeyState, retired_at: Option<Timestamp>, now: Timestamp) -> bool {
    match state {
        KeyState::Pending | KeyState::Active => true,
        KeyState::Inactive => retired_at.is_some_and(|at| now < at.plus_seconds(RETIRING_SECONDS)),
        _ => false,
    }
}

/// Publishes a next version, of the configured algorithm. It is put in force by [`tend`].
///
/// # Errors
///
/// [`KeyError::AlreadyStaged`] while there is one already, or three are published.
pub(super) async fn stage(instance: &Instance, actor: Actor<'_>, id: KeyId) -> Result<KeyRef, KeyError> {
    // Drawn before anything is held: an RSA key takes up to seconds.
    let material = draw(instance).await?;
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let mut change = Change::begin_with(instance, actor, TenantId::PLATFORM, ring).await?;
    let key = change.rows().seize_key(id).await?.ok_or(KeyError::NotFound)?;
    let versions = change.rows().seize_versions(id).await?;
    let newest = versions.last().ok_or(KeyError::NotActive)?;
    let now = instance.now();
    if newest.state == KeyState::Pending || !has_room(&versions, now) {
        return Err(KeyError::AlreadyStaged);
    }
    let ring = std::sync::Arc::clone(change.keyring());
    change.rows().hold_tenant_key(ring.tenant_keys.active()).await?;
    let (number, previous) = (newest.version + 1, Some(newest.key_id.clone()));
    let made = hierarchy::token_version(&key, number, previous, &ring.tenant_keys, &material, now, instance.random())?;
    let next = KeyVersion { state: KeyState::Pending, activated_at: None, ..made };
    let linked = KeyVersion { next: Some(next.key_id.clone()), ..newest.clone() };
    change.rows().swap_key_version(newest, &linked).await?;
    // A schedule counts from here.
    let key = Key { last_rotated_at: Some(now), reminded_at: None, ..key };
    change.rows().update_key(&key).await?;
    change.rows().insert_key_version(&next).await?;
    let versions = change.rows().key_versions(id).await?;
    change.commit(Event::new(EventKind::KeyStaged).on("key", id).with("key_id", Detail::Id(next.key_id))).await?;
    instance.end_lease(TenantId::PLATFORM);
    Ok(KeyRef { key, versions })
}

async fn draw(instance: &Instance) -> Result<TokenMaterial, KeyError> {
    let (algorithm, random) = (instance.settings().token_algorithm, instance.random_shared());
    let made = tokio::task::spawn_blocking(move || TokenMaterial::make(algorithm, &*random)).await;
    made.map_err(|_| Failure::Internal("drawing a key panicked"))?.map_err(KeyError::from)
}

/// Puts the next version in force.
async fn activate(instance: &Instance, actor: Actor<'_>, id: KeyId) -> Result<KeyRef, KeyError> {
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let mut change = Change::begin_with(instance, actor, TenantId::PLATFORM, ring).await?;
    let key = change.rows().seize_key(id).await?.ok_or(KeyError::NotFound)?;
    let versions = change.rows().seize_versions(id).await?;
    let next = versions.iter().find(|version| version.state == KeyState::Pending).ok_or(KeyError::NotActive)?;
    let now = instance.now();
    if let Some(old) = versions.iter().find(|version| version.state == KeyState::Active) {
        let retired = KeyVersion { state: KeyState::Inactive, retired_at: Some(now), ..old.clone() };
        change.rows().swap_key_version(old, &retired).await?;
        change.record(retirement(&key, old)).await?;
    }
    let active = in_force(next, now);
    change.rows().swap_key_version(next, &active).await?;
    let key = typed(key, &active)?;
    change.rows().update_key(&key).await?;
    change.record(activation(&key, &active)).await?;
    let versions = change.rows().key_versions(id).await?;
    change.commit(Event::new(EventKind::KeyRotated).on("key", id).with("key_id", Detail::Id(active.key_id))).await?;
    instance.end_lease(TenantId::PLATFORM);
    Ok(KeyRef { key, versions })
}

/// A staged version as it is when it signs.
pub(super) fn in_force(next: &KeyVersion, now: Timestamp) -> KeyVersion {
    KeyVersion { state: KeyState::Active, activated_at: Some(now), ..next.clone() }
}

/// The token key, with the type of the version that signs. Other keys keep their type for life.
pub(super) fn typed(key: Key, active: &KeyVersion) -> Result<Key, KeyringError> {
    if key.managed != Some(Managed::Token) {
        return Ok(key);
    }
    let algorithm = active.public_jwk.as_ref().and_then(TokenAlgorithm::of).ok_or(KeyringError::Unwrap)?;
    Ok(Key { key_type: algorithm.key_type(), ..key })
}

#[cfg(test)]
mod tests {
    use chancery_crypto::{Curve, Jwk};

    use super::*;
    use crate::keyring::StoredMaterial;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const DAYS: u16 = 90;

    fn version(state: KeyState, age: i64) -> KeyVersion {
        let wrapped = StoredMaterial::Wrapped { bytes: Vec::new(), tenant_key_version: 1, check: None };
        let jwk = Jwk::Ec { crv: Curve::P256, x: vec![1; 32], y: vec![2; 32] };
        let id = KeyId::from_bytes([1; 16]);
        let active = crate::keyring::create::tests::version(id, "kid".to_owned(), wrapped, Some(jwk));
        let since = NOW.plus_seconds(-age);
        let retired_at = (state == KeyState::Inactive).then_some(since);
        KeyVersion { state, created_at: since, activated_at: Some(since), retired_at, ..active }
    }

    #[test]
    fn the_next_version_is_put_in_force_when_everybody_can_know_it() {
        let es256 = TokenAlgorithm::Es256;
        let staged = |age| [version(KeyState::Active, 10_000), version(KeyState::Pending, age)];
        assert_eq!(due(&staged(PUBLISHED_SECONDS - 1), es256, DAYS, NOW), Tended::Nothing);
        assert_eq!(due(&staged(PUBLISHED_SECONDS), es256, DAYS, NOW), Tended::Activated);
    }

    #[test]
    fn another_algorithm_in_the_configuration_stages_a_key() {
        let active = [version(KeyState::Active, 10)];
        assert_eq!(due(&active, TokenAlgorithm::Es256, DAYS, NOW), Tended::Nothing);
        assert_eq!(due(&active, TokenAlgorithm::Rs256, DAYS, NOW), Tended::Staged);
        assert_eq!(due(&active, TokenAlgorithm::EdDsa, DAYS, NOW), Tended::Staged);
        // One that was staged before comes first.
        let staged = [version(KeyState::Active, 10), version(KeyState::Pending, 10)];
        assert_eq!(due(&staged, TokenAlgorithm::Rs256, DAYS, NOW), Tended::Nothing);
        assert_eq!(due(&[version(KeyState::Suspended, 10)], TokenAlgorithm::Rs256, DAYS, NOW), Tended::Nothing);
    }

    #[test]
    fn a_key_that_signed_for_long_gets_a_successor() {
        let (es256, long) = (TokenAlgorithm::Es256, i64::from(DAYS) * 86_400);
        assert_eq!(due(&[version(KeyState::Active, long - 1)], es256, DAYS, NOW), Tended::Nothing);
        assert_eq!(due(&[version(KeyState::Active, long)], es256, DAYS, NOW), Tended::Staged);
        assert_eq!(due(&[version(KeyState::Suspended, long)], es256, DAYS, NOW), Tended::Nothing);
    }

    #[test]
    fn no_more_than_three_are_published_and_none_is_dropped_that_is_needed() {
        let retiring = |age| version(KeyState::Inactive, age);
        let full = [retiring(900), retiring(600), version(KeyState::Active, 600)];
        assert_eq!(due(&full, TokenAlgorithm::Rs256, DAYS, NOW), Tended::Nothing);
        let room = [retiring(RETIRING_SECONDS), retiring(600), version(KeyState::Active, 600)];
        assert_eq!(due(&room, TokenAlgorithm::Rs256, DAYS, NOW), Tended::Staged);
        assert!(is_published(KeyState::Inactive, Some(NOW.plus_seconds(1 - RETIRING_SECONDS)), NOW));
        assert!(!is_published(KeyState::Inactive, Some(NOW.plus_seconds(-RETIRING_SECONDS)), NOW));
        for state in [KeyState::Suspended, KeyState::Revoked, KeyState::Expired, KeyState::PendingDeletion] {
            assert!(!is_published(state, None, NOW), "{state}");
        }
    }
}
