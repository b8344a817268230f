//! Adds a version to a key; the old one opens and verifies on.

use super::{KeyError, KeyRef, KeyState, KeyVersion, Managed, hierarchy};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind},
    ids::KeyId,
    tenants::create::activation,
};

/// Rotates a managed key of the caller's tenant.
///
/// The active version is held exclusively until the commit: whoever signs with it holds it shared,
/// so nothing is logged under it after its retirement.
///
/// # Errors
///
/// [`KeyError`].
pub async fn rotate(instance: &Instance, call: &Call, id: KeyId) -> Result<KeyRef, KeyError> {
    call.require(Permission::KeysRotate)?;
    let tenant = call.tenant();
    let mut change = Change::begin(instance, call, tenant).await?;
    let key = change.rows().seize_key(id).await?.ok_or(KeyError::NotFound)?;
    let managed = key.managed.ok_or(KeyError::NotActive)?;
    let old = change.rows().seize_active_version(id).await?.ok_or(KeyError::NotActive)?;
    // Whoever signed with it has committed by now: nothing is issued after this moment under the old version.
    let now = instance.now();
    let ring = std::sync::Arc::clone(change.keyring());
    // A rotation of the tenant key does not look again for keys under the old one.
    change.rows().hold_tenant_key(ring.tenant_keys.active()).await?;
    let previous = Some(old.key_id.clone());
    let (new, _) =
        hierarchy::make_version(&key, managed, old.version + 1, previous, &ring.tenant_keys, now, instance.random())?;
    let superseded = KeyVersion {
        state: superseded_state(managed),
        next: Some(new.key_id.clone()),
        retired_at: Some(now),
        ..old.clone()
    };
    change.rows().swap_key_version(&old, &superseded).await?;
    change.rows().insert_key_version(&new).await?;
    let retired = Event::new(EventKind::KeyRetired)
        .on("key", id)
        .with("key_id", Detail::Id(old.key_id))
        .with("managed", Detail::Code(managed.as_str()))
        .with("version", Detail::Count(u64::from(old.version)));
    change.record(retired).await?;
    change.record(activation(&key, &new)).await?;
    let versions = change.rows().key_versions(id).await?;
    change.commit(Event::new(EventKind::KeyRotated).on("key", id).with("key_id", Detail::Id(new.key_id))).await?;
    instance.end_lease(tenant);
    Ok(KeyRef { key, versions })
}

/// What becomes of the version before: values sealed with roots remain; signatures need no re-sealing.
const fn superseded_state(managed: Managed) -> KeyState {
    match managed {
        Managed::Certificate | Managed::Log | Managed::Token => KeyState::Inactive,
        Managed::Data | Managed::Index | Managed::Subject | Managed::Audit => KeyState::Rotating,
    }
}
