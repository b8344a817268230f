//! Keeps the checks of keys that were made before checks were kept.

use super::StoredMaterial;
use crate::{Instance, ids::TenantId, instance::Failure, store::StoreError};

/// Keys of one turn.
const BATCH: u32 = 200;

/// Gives the symmetric keys of `tenant` that have none the check of their material ([`KeyCheck`](super::KeyCheck)); how many those
/// were. What does not unwrap gets none: nobody could say of what.
///
/// # Errors
///
/// [`Failure`]; what was kept until then stays.
pub async fn fill(instance: &Instance, tenant: TenantId) -> Result<u32, Failure> {
    let unchecked = instance.store().view(tenant).await?.versions_unchecked(BATCH).await?;
    if unchecked.is_empty() {
        return Ok(0);
    }
    let ring = instance.keyring(tenant).await?;
    let mut tx = instance.store().begin(tenant).await?;
    let mut kept = 0;
    for (key, version) in unchecked {
        let purpose = key.wrap_purpose();
        let Ok(material) = ring.tenant_keys.unwrap(&purpose, &version) else {
            tracing::debug!(%tenant, key = %key.id, version = version.version, "A key without a check does not unwrap");
            continue;
        };
        let Some(check) = ring.tenant_keys.check(&purpose, &version, material.expose()) else { continue };
        match tx.keep_key_check(&version, check).await {
            Ok(()) => kept += 1,
            // Rotated, wrapped anew or destroyed meanwhile.
            Err(StoreError::Changed(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    tx.commit().await?;
    Ok(kept)
}

/// The check that is kept of a version's material.
pub(super) fn kept(material: &StoredMaterial) -> Option<super::KeyCheck> {
    match material {
        StoredMaterial::Wrapped { check, .. } => *check,
        StoredMaterial::Resident { .. } => None,
    }
}
