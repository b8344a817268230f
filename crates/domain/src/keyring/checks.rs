//! Keeps the checks of keys that were made before checks were kept.

use super::{Key, KeyVersion, StoredMaterial};
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
    let (mut kept, mut after) = (0, None);
    loop {
        let unchecked = instance.store().view(tenant).await?.versions_unchecked(after, BATCH).await?;
        // Those that do not unwrap stay: the next page begins behind them.
        let Some((key, last)) = unchecked.last() else { return Ok(kept) };
        after = Some((key.id, last.version));
        kept += keep(instance, tenant, unchecked).await?;
    }
}

async fn keep(instance: &Instance, tenant: TenantId, unchecked: Vec<(Key, KeyVersion)>) -> Result<u32, Failure> {
    let ring = instance.keyring(tenant).await?;
    let mut tx = instance.store().begin(tenant).await?;
    let (mut kept, mut damaged) = (0, 0_u32);
    for (key, version) in unchecked {
        let purpose = key.wrap_purpose();
        let Ok(material) = ring.tenant_keys.unwrap(&purpose, &version) else {
            damaged += 1;
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
    if damaged > 0 {
        tracing::warn!(%tenant, damaged, "Keys without a check do not unwrap: bring their copies back");
    }
    Ok(kept)
}

/// The check that is kept of a version's material.
pub(super) fn kept(material: &StoredMaterial) -> Option<super::KeyCheck> {
    match material {
        StoredMaterial::Wrapped { check, .. } => *check,
        StoredMaterial::Resident { .. } => None,
    }
}
