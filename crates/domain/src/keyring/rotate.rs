//! Adds a version to a key; the old one opens and verifies on.

use super::{
    HsmLink, Key, KeyError, KeyPurpose, KeyRef, KeyState, KeyType, KeyVersion, Keyring, Managed, ProviderKind,
    completed::{self, Retired},
    create::{self, Drawn},
    hierarchy,
    reference::Reference,
    ring::RingVersion,
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    faults::Faults,
    ids::{KeyId, TenantId},
    tenants::create::activation,
};

/// Rotates a key of the caller's tenant.
///
/// All versions are held exclusively until the commit: whoever uses one holds it shared, so nothing is logged under it
/// after its retirement. A key whose newest version expired or was revoked gets a new active one. The key that signs
/// certificates may go on as another type, here or in a provider of keys: old versions verify on as what they are. It stays where
/// it is if nothing is said.
///
/// # Errors
///
/// [`KeyError`]; then nothing changed.
pub async fn rotate(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    to: Option<KeyType>,
    provider: Option<ProviderKind>,
) -> Result<KeyRef, KeyError> {
    call.require(Permission::KeysRotate)?;
    let outcome = rotate_as(instance, Actor::Call(call), call.tenant(), id, to, provider).await;
    if let Err(error) = &outcome
        && !matches!(error, KeyError::NotFound)
    {
        super::uses::note_failure(instance, call, id, "rotate", error).await?;
    }
    outcome
}

/// Rotates a key for whoever asks; the right to do so was proven before.
pub(super) async fn rotate_as(
    instance: &Instance,
    actor: Actor<'_>,
    tenant: TenantId,
    id: KeyId,
    to: Option<KeyType>,
    provider: Option<ProviderKind>,
) -> Result<KeyRef, KeyError> {
    let mut view = instance.store().view(tenant).await?;
    let key = view.key(id).await?.ok_or(KeyError::NotFound)?;
    let versions = view.key_versions(id).await?;
    drop(view);
    let certifies = key.managed == Some(Managed::Certificate);
    let place = match (provider, versions.last()) {
        (None, Some(newest)) if certifies && to.is_none() => {
            instance.keyring_with(tenant, &newest.key_id).await?.lives_at(&newest.key_id)
        }
        (provider, _) => provider,
    };
    check_goal(tenant, &key, to, provider, place)?;
    // Others must know a token key before it is used; when there is none in force, nothing is lost by using it at once.
    if key.managed == Some(Managed::Token) && versions.iter().any(|version| version.state == KeyState::Active) {
        return super::staged::stage(instance, actor, id).await;
    }
    // Drawn before anything is held: an RSA key takes seconds, and a provider may take as long.
    let goal = to.unwrap_or(key.key_type);
    let there = match place {
        Some(place) => Some(Reference::make(instance, &key, goal, place).await?),
        None => None,
    };
    let drawn = match key.managed {
        Some(_) => None,
        None => Some(create::draw(instance, &key).await?),
    };
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, actor, tenant, ring).await?;
    let key = change.rows().seize_key(id).await?.ok_or(KeyError::NotFound)?;
    // What was made elsewhere is of the type that the key had then.
    let key = Key { key_type: if there.is_some() { goal } else { to.unwrap_or(key.key_type) }, ..key };
    let versions = change.rows().seize_versions(id).await?;
    let newest = versions.last().ok_or(KeyError::NotActive)?;
    let old = versions.iter().find(|version| version.state == KeyState::Active);
    // A tenant is not left without a key that Chancery manages, whatever became of the last one.
    let ended = matches!(newest.state, KeyState::Expired | KeyState::Revoked)
        || key.managed.is_some() && newest.state == KeyState::Destroyed;
    if old.is_none() && !ended {
        return Err(KeyError::NotActive);
    }
    let ring = std::sync::Arc::clone(change.keyring());
    // A rotation of the tenant key does not look again for keys under the old one.
    change.rows().hold_tenant_key(ring.tenant_keys.active()).await?;
    let link = there.as_ref().map(|there| HsmLink { provider: there.provider, key_id: there.id.clone() });
    let (new, lent) = match there {
        Some(there) => {
            let (number, previous, now) = (newest.version + 1, Some(newest.key_id.clone()), instance.now());
            let tenant_keys = &ring.tenant_keys;
            let (new, lent) =
                hierarchy::make_reference(&key, there, number, previous, tenant_keys, now, instance.random())?;
            (new, Some(lent))
        }
        None => next_version(instance, &ring, &key, newest, drawn)?,
    };
    if let Some(old) = old {
        let superseded = KeyVersion {
            state: superseded_state(&key),
            next: Some(new.key_id.clone()),
            retired_at: Some(new.created_at),
            ..old.clone()
        };
        change.rows().swap_key_version(old, &superseded).await?;
        change.record(retirement(&key, old)).await?;
    } else {
        let linked = KeyVersion { next: Some(new.key_id.clone()), ..newest.clone() };
        change.rows().swap_key_version(newest, &linked).await?;
    }
    let hsm = if certifies { link } else { super::resides::link(&new.material).or(key.hsm.clone()) };
    let key = super::staged::typed(Key { last_rotated_at: Some(new.created_at), reminded_at: None, hsm, ..key }, &new)?;
    change.rows().update_key(&key).await?;
    change.rows().insert_key_version(&new).await?;
    change.record(activation(&key, &new)).await?;
    // The key that signs certificates states its own rotation with its new version, which only this change knows yet.
    if let Some(lent) = lent {
        change.lend(lent);
    }
    if let Some(retired) = old.filter(|_| superseded_state(&key) == KeyState::Inactive) {
        completed::certify(instance, &mut change, &Retired::Version(&key, retired)).await?;
    }
    let versions = change.rows().key_versions(id).await?;
    change.commit(Event::new(EventKind::KeyRotated).on("key", id).with("key_id", Detail::Id(new.key_id))).await?;
    instance.end_lease(tenant);
    Ok(KeyRef { key, versions })
}

/// Whether the key goes on so: as this type, and in this place if in a provider.
fn check_goal(
    tenant: TenantId,
    key: &Key,
    to: Option<KeyType>,
    provider: Option<ProviderKind>,
    place: Option<ProviderKind>,
) -> Result<(), Faults> {
    let goal = to.unwrap_or(key.key_type);
    if key.managed != Some(Managed::Certificate) {
        if goal != key.key_type {
            return Err(Faults::one("/type", "unsuited", "only the certificate key changes its type"));
        }
        return match provider {
            None => Ok(()),
            Some(_) => {
                let message = "only the certificate key says at its rotation where it goes on";
                Err(Faults::one("/provider", "unsuited", message))
            }
        };
    }
    if tenant.is_platform() && place.is_some() {
        return Err(Faults::one("/provider", "unsuited", "the platform's trust key lives here"));
    }
    let suits = match place {
        Some(_) => matches!(goal, KeyType::EcP256 | KeyType::Rsa2048 | KeyType::Rsa4096),
        None => matches!(goal, KeyType::Ed25519 | KeyType::EcP256),
    };
    if suits {
        return Ok(());
    }
    let message = "the certificate key is ed25519 or ec_p256 here, and ec_p256, rsa_2048 or rsa_4096 in a provider";
    Err(Faults::one("/type", "unsuited", message))
}

/// The version after `newest`, active from now; unwrapped too, if Chancery manages the key.
pub(super) fn next_version(
    instance: &Instance,
    ring: &Keyring,
    key: &Key,
    newest: &KeyVersion,
    drawn: Option<Drawn>,
) -> Result<(KeyVersion, Option<RingVersion>), KeyError> {
    // Whoever used the old version has committed by now: nothing is logged under it after this moment.
    let now = instance.now();
    let (number, previous) = (newest.version + 1, Some(newest.key_id.clone()));
    match (key.managed, drawn) {
        (Some(managed), _) => {
            let tenant_keys = &ring.tenant_keys;
            let managed = (managed, instance.settings().token_algorithm);
            let made = hierarchy::make_version(key, managed, number, previous, tenant_keys, now, instance.random());
            let (version, lent) = made?;
            Ok((version, Some(lent)))
        }
        (None, Some(drawn)) => Ok((create::version(instance, ring, key, number, previous, drawn, now)?, None)),
        (None, None) => Err(KeyError::NotActive),
    }
}

/// The event that tells of a key version's last moment as the active one.
pub(super) fn retirement(key: &Key, version: &KeyVersion) -> Event {
    Event::new(EventKind::KeyRetired)
        .on("key", key.id)
        .with("key_id", Detail::Id(version.key_id.clone()))
        .with("managed", Detail::Code(key.managed.map_or("none", Managed::as_str)))
        .with("version", Detail::Count(u64::from(version.version)))
}

/// What becomes of the version before: values under an encryption key remain; signatures need no re-sealing.
const fn superseded_state(key: &Key) -> KeyState {
    match key.managed {
        Some(Managed::Certificate | Managed::Log | Managed::Token) => KeyState::Inactive,
        Some(Managed::Data | Managed::Index | Managed::Subject | Managed::Audit) => KeyState::Rotating,
        None => match key.purpose {
            KeyPurpose::Signing | KeyPurpose::Jwt | KeyPurpose::ApiKey => KeyState::Inactive,
            KeyPurpose::Encryption | KeyPurpose::Database | KeyPurpose::Backup | KeyPurpose::HsmWrapping => {
                KeyState::Rotating
            }
        },
    }
}
