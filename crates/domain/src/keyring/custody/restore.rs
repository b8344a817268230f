//! Takes the material of keys back from where copies of them are.

use chancery_crypto::{KeyMaterial, PublicKey, Secret};
use subtle::ConstantTimeEq as _;

use super::{CustodyError, deed, destination, read};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::{self, Carried, DeedKind},
    audit::{Change, Detail, Event, EventKind},
    ids::{ApprovalId, KeyId},
    keyring::{
        Key, KeyRef, KeyState, KeyVersion, Managed, checks,
        copies::{self, CopyError},
        reference::Reference,
        tenant_keys::TenantKeys,
    },
};

/// Takes the material of a key back from `location`, for versions that are not destroyed.
///
/// # Errors
///
/// [`CustodyError`]; nothing was changed then.
pub async fn restore(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    location: &str,
    approval: Option<ApprovalId>,
) -> Result<Carried<KeyRef>, CustodyError> {
    call.require(Permission::KeysBackup)?;
    instance.require_recent(call)?;
    let KeyRef { versions, .. } = read(instance, call, id).await?;
    let (tenant, destination) = (call.tenant(), destination(instance, location)?);
    let Some(approval) = approval else {
        let deed = deed(DeedKind::KeyEscrowRestore, id, &*destination, &versions);
        return Ok(Carried::waits(approvals::request(instance, call, &deed).await?));
    };
    // Asked outside of any transaction: it may take long.
    let taken = destination.take(&copies::name(tenant, id)).await?;
    let place = (tenant, id, instance.settings().environment.as_str());
    let copied = copies::unwrap(&*destination, place, &taken).await?;
    let mut change = Change::begin(instance, call, tenant).await?;
    let key = change.rows().seize_key(id).await?.ok_or(CustodyError::NotFound)?;
    let versions = change.rows().seize_versions(id).await?;
    let deed = deed(DeedKind::KeyEscrowRestore, id, &*destination, &versions);
    approvals::consume(instance, call, &mut change, approval, &deed).await?;
    let ring = std::sync::Arc::clone(change.keyring());
    // A rotation of the tenant key does not look again for keys under the old one.
    change.rows().hold_tenant_key(ring.tenant_keys.active()).await?;
    let mut restored = Vec::new();
    for version in versions {
        let found = copied.iter().find(|copied| copied.version == version.version && copied.key_id == version.key_id);
        let Some(found) = found.filter(|_| version.state != KeyState::Destroyed) else { continue };
        check(&ring.tenant_keys, &key, &version, &found.material)?;
        let purpose = key.wrap_purpose();
        let material =
            ring.tenant_keys.wrap(id, &purpose, version.version, found.material.expose(), instance.random())?;
        change.rows().swap_key_version(&version, &KeyVersion { material, ..version.clone() }).await?;
        restored.push(version.version.to_string());
    }
    if restored.is_empty() {
        return Err(CustodyError::NoMaterial);
    }
    let versions = change.rows().key_versions(id).await?;
    let event = Event::new(EventKind::KeyRestored)
        .on("key", id)
        .with("versions", Detail::Names(restored))
        .with("provider", Detail::Code(destination.provider().kind().as_str()))
        .with("approval", Detail::Id(approval.to_string()));
    change.commit(event).await?;
    instance.end_lease(tenant);
    Ok(Carried::Done(KeyRef { key, versions }))
}

/// Whether this is the material of `version`. Whoever holds the destination's key can write any material under its name, so
/// the name does not tell: the public half does, what is stored as long as that unwraps, and the check that is kept of it. Two
/// people consent to taking a key back, not to another one in its place: what nothing tells of is refused.
fn check(
    tenant_keys: &TenantKeys,
    key: &Key,
    version: &KeyVersion,
    material: &Secret<Vec<u8>>,
) -> Result<(), CopyError> {
    let certifies = key.managed == Some(Managed::Certificate);
    let public = match Reference::read(material.expose()).filter(|_| certifies) {
        // The key lives in a provider; what was copied says where, and its public half.
        Some(reference) => Some(reference.map_err(|_| CopyError::Damaged)?.public),
        None => {
            // Versions of one managed key may be of several types; the public half says which.
            let public = version.public_jwk.as_ref().and_then(|jwk| PublicKey::try_from(jwk).ok());
            let maths = public.and_then(|public| public.key_type()).unwrap_or(key.key_type.maths());
            let read = KeyMaterial::from_material(maths, material.expose()).map_err(|_| CopyError::Damaged)?;
            read.public().map(|public| public.jwk())
        }
    };
    let purpose = key.wrap_purpose();
    let proofs = [
        public.map(|public| public.thumbprint() == version.key_id),
        tenant_keys.unwrap(&purpose, version).ok().map(|stored| bool::from(stored.expose().ct_eq(material.expose()))),
        checks::kept(&version.material).map(|kept| kept.is(tenant_keys.check(&purpose, version, material.expose()))),
    ];
    if proofs.contains(&Some(false)) {
        return Err(CopyError::AnotherKey);
    }
    if proofs.contains(&Some(true)) { Ok(()) } else { Err(CopyError::Unproven) }
}
