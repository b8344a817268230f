//! Backs single keys up, hands them into escrow, and takes them back from there.
//!
//! A copy counts when it was read back from where it was put, unwrapped and compared; only then the key says that it has one.

use chancery_crypto::{KeyMaterial, Secret};
use subtle::ConstantTimeEq as _;

use super::{
    BackupState, Key, KeyBackup, KeyCopy, KeyDestination, KeyRef, KeyState, KeyVersion, StoredMaterial,
    copies::{self, Copied, CopyError, CopyOrFailure},
};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    approvals::{self, ApprovalError, Carried, Deed, DeedKind},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{ApprovalId, KeyId},
    instance::{Failure, fails},
    store::StoreError,
};

/// Why a key was not copied or taken back.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The request is not valid: among others an unknown location.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is no such key in the tenant.
    #[error("no such key")]
    NotFound,
    /// It has no version whose material is here: they live in a provider, or are destroyed.
    #[error("the key has no material that could be copied")]
    NoMaterial,
    /// The destination did not do it.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The approval does not do.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(CustodyError);

impl From<CopyOrFailure> for CustodyError {
    fn from(error: CopyOrFailure) -> Self {
        match error {
            CopyOrFailure::Copy(error) => Self::Copy(error),
            CopyOrFailure::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Copies a key to `location`, which wraps with a key that also holds the platform root: whoever has that one has the key
/// anyway. Any other location is [`escrow`], which takes two people.
///
/// # Errors
///
/// [`CustodyError`]; then the key does not say that it is backed up.
pub async fn backup(instance: &Instance, call: &Call, id: KeyId, location: &str) -> Result<KeyRef, CustodyError> {
    call.require(Permission::KeysBackup)?;
    instance.require_recent(call)?;
    read(instance, call, id).await?;
    let destination = destination(instance, location)?;
    if !holds_root(instance, &*destination) {
        let message = "its key does not hold the platform root; ask for escrow, which takes two people";
        return Err(Faults::one("/location", "apart", message).into());
    }
    copy(instance, call, id, &*destination, None).await
}

/// As [`backup`], into the custody of a provider that is no recipient of the platform root: whoever holds that has this
/// key without us, so it takes two people.
///
/// # Errors
///
/// [`CustodyError`].
pub async fn escrow(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    location: &str,
    approval: Option<ApprovalId>,
) -> Result<Carried<KeyRef>, CustodyError> {
    call.require(Permission::KeysBackup)?;
    instance.require_recent(call)?;
    let (_, versions) = read(instance, call, id).await?;
    let destination = destination(instance, location)?;
    if holds_root(instance, &*destination) {
        return Err(Faults::one("/location", "not_apart", "escrow is for another provider than the root's").into());
    }
    let Some(approval) = approval else {
        let deed = deed(DeedKind::KeyEscrow, id, &*destination, &versions);
        return Ok(Carried::waits(approvals::request(instance, call, &deed).await?));
    };
    copy(instance, call, id, &*destination, Some(approval)).await.map(Carried::Done)
}

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
    let (_, versions) = read(instance, call, id).await?;
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
        check(&key, &version, &found.material, ring.tenant_keys.unwrap(&key.wrap_purpose(), &version).ok())?;
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

/// Whether there is something of it to copy: it is neither destroyed nor in a provider.
fn has_material(version: &KeyVersion) -> bool {
    matches!(version.material, StoredMaterial::Wrapped { .. }) && version.state != KeyState::Destroyed
}

pub(super) fn destination(instance: &Instance, location: &str) -> Result<std::sync::Arc<dyn KeyDestination>, Faults> {
    if !(1..=500).contains(&location.chars().count()) {
        return Err(Faults::one("/location", "length", "use 1 to 500 characters"));
    }
    let unknown = || Faults::one("/location", "unknown", "no destination of this name is configured");
    instance.destinations().iter().find(|found| found.name() == location).cloned().ok_or_else(unknown)
}

/// Whether the key that wraps there is one that holds the platform root.
fn holds_root(instance: &Instance, destination: &dyn KeyDestination) -> bool {
    let (kind, label) = (destination.provider().kind(), destination.provider().label());
    instance.providers().iter().any(|ours| ours.kind() == kind && ours.label() == label)
}

/// Whether this is the material of `version`. Whoever holds the destination's key can write any material under its name, so
/// the name does not tell: the public half does, and what is `stored`, as long as that unwraps.
fn check(
    key: &Key,
    version: &KeyVersion,
    material: &Secret<Vec<u8>>,
    stored: Option<Secret<Vec<u8>>>,
) -> Result<(), CopyError> {
    let read = KeyMaterial::from_material(key.key_type.maths(), material.expose()).map_err(|_| CopyError::Damaged)?;
    let named = read.public().is_none_or(|public| public.jwk().thumbprint() == version.key_id);
    let same = stored.is_none_or(|stored| stored.expose().ct_eq(material.expose()).into());
    if named && same { Ok(()) } else { Err(CopyError::Damaged) }
}

fn deed(kind: DeedKind, id: KeyId, destination: &dyn KeyDestination, versions: &[KeyVersion]) -> Deed {
    Deed::new(kind, "key", id)
        .of_versions(versions.iter().filter(|version| has_material(version)).map(|version| version.version))
        .with("location", Detail::Names(vec![destination.name().to_owned()]))
        .with("provider", Detail::Code(destination.provider().kind().as_str()))
}

async fn read(instance: &Instance, call: &Call, id: KeyId) -> Result<(Key, Vec<KeyVersion>), CustodyError> {
    let mut view = instance.store().view(call.tenant()).await?;
    let key = view.key(id).await?.ok_or(CustodyError::NotFound)?;
    let versions = view.key_versions(id).await?;
    Ok((key, versions))
}

async fn copy(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    destination: &dyn KeyDestination,
    approval: Option<ApprovalId>,
) -> Result<KeyRef, CustodyError> {
    let tenant = call.tenant();
    let (key, versions) = read(instance, call, id).await?;
    let ring = instance.keyring(tenant).await?;
    let mut copied = Vec::new();
    for version in versions.iter().filter(|version| has_material(version)) {
        let material = ring.tenant_keys.unwrap(&key.wrap_purpose(), version)?;
        copied.push(Copied { version: version.version, key_id: version.key_id.clone(), material });
    }
    let newest = copied.iter().map(|copied| copied.version).max().ok_or(CustodyError::NoMaterial)?;
    // Of what is copied here: a version made meanwhile is in neither.
    let deed = deed(DeedKind::KeyEscrow, id, destination, &versions);
    let backup = KeyBackup {
        state: BackupState::Verified,
        version: Some(newest),
        location: Some(destination.name().to_owned()),
        at: Some(instance.now()),
        by: Some(call.caller.subject().to_string()),
    };
    let begun =
        begin(instance, call, &copied, KeyCopy::of(id, &backup), approval.map(|id| (id, &deed)), destination).await?;
    let place = (tenant, id, instance.settings().environment.as_str());
    let text = copies::wrap(destination, place, &copied, instance.random()).await?;
    let name = copies::name(tenant, id);
    destination.put(&name, &text).await?;
    let back = copies::unwrap(destination, place, &destination.take(&name).await?).await?;
    let same = |(one, other): (&Copied, &Copied)| {
        let material = one.material.expose().ct_eq(other.material.expose());
        one.version == other.version && one.key_id == other.key_id && bool::from(material)
    };
    if back.len() != copied.len() || !copied.iter().zip(&back).all(same) {
        return Err(CopyError::Damaged.into());
    }

    let mut change = Change::begin(instance, call, tenant).await?;
    let mut key = change.rows().seize_key(id).await?.ok_or(CustodyError::NotFound)?;
    // Destroyed meanwhile, or taken away, or made once more: what was verified says nothing of that.
    let versions = standing(&mut change, id, &copied).await?;
    if !change.rows().key_copies(id).await?.contains(&begun) {
        return Err(StoreError::Changed("key_copy").into());
    }
    let backup = KeyBackup { at: Some(instance.now()), ..backup };
    change.rows().put_key_copy(&KeyCopy::of(id, &backup)).await?;
    key.backup = Some(backup);
    change.rows().update_key(&key).await?;
    let event = Event::new(EventKind::KeyBackedUp)
        .on("key", id)
        .with("provider", Detail::Code(destination.provider().kind().as_str()))
        .with("version", Detail::Count(newest.into()));
    change.commit(of(event, approval)).await?;
    Ok(KeyRef { key, versions })
}

/// The log knows before the material leaves, and the store knows where to: whatever becomes of the copy, and of the key
/// meanwhile, a destruction counts it from here on. An approval is used up here, so that none that was taken back lets it leave.
async fn begin(
    instance: &Instance,
    call: &Call,
    copied: &[Copied],
    copy: KeyCopy,
    approved: Option<(ApprovalId, &Deed)>,
    destination: &dyn KeyDestination,
) -> Result<KeyCopy, CustodyError> {
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().seize_key(copy.key).await?.ok_or(CustodyError::NotFound)?;
    standing(&mut change, copy.key, copied).await?;
    if let Some((approval, deed)) = approved {
        approvals::consume(instance, call, &mut change, approval, deed).await?;
    }
    let known = change.rows().key_copies(copy.key).await?.into_iter().find(|known| known.location == copy.location);
    let begun = match known {
        Some(known) if known.state == BackupState::Removing => return Err(StoreError::Changed("key_copy").into()),
        // One that was read back there and holds as much says more.
        Some(known) if known.state == BackupState::Verified && known.version >= copy.version => known,
        _ => KeyCopy { state: BackupState::Claimed, ..copy },
    };
    change.rows().put_key_copy(&begun).await?;
    let event = Event::new(EventKind::KeyCopying)
        .on("key", begun.key)
        .with("location", Detail::Names(vec![destination.name().to_owned()]))
        .with("provider", Detail::Code(destination.provider().kind().as_str()));
    change.commit(of(event, approved.map(|(id, _)| id))).await?;
    Ok(begun)
}

/// The key's versions, if what is copied still stands.
async fn standing(change: &mut Change<'_>, id: KeyId, copied: &[Copied]) -> Result<Vec<KeyVersion>, StoreError> {
    let versions = change.rows().key_versions(id).await?;
    let stands = |copied: &Copied| {
        versions.iter().any(|version| version.version == copied.version && version.state != KeyState::Destroyed)
    };
    if copied.iter().all(stands) { Ok(versions) } else { Err(StoreError::Changed("key_version")) }
}

/// The event with the approval that it happens under.
fn of(event: Event, approval: Option<ApprovalId>) -> Event {
    match approval {
        Some(approval) => event.with("approval", Detail::Id(approval.to_string())),
        None => event,
    }
}
