//! Makes copies: wrapped, put where they belong, read back and compared.

use subtle::ConstantTimeEq as _;

use super::{CustodyError, deed, destination, has_material, holds_root, of, read};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::{self, Carried, Deed, DeedKind},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{ApprovalId, KeyId},
    keyring::{
        BackupState, Key, KeyBackup, KeyCopy, KeyDestination, KeyRef, KeyState, KeyVersion,
        copies::{self, Copied, CopyError},
    },
    store::StoreError,
};

/// Copies a key to `location`, which wraps with a key that also holds the platform root: whoever has that one has the key
/// anyway. Any other location is [`escrow`], which takes two people.
///
/// # Errors
///
/// [`CustodyError`]; then the key does not say that it is backed up.
pub async fn backup(instance: &Instance, call: &Call, id: KeyId, location: &str) -> Result<KeyRef, CustodyError> {
    call.require(Permission::KeysBackup)?;
    instance.require_recent(call)?;
    let found = read(instance, call, id).await?;
    let destination = destination(instance, location)?;
    if !holds_root(instance, &*destination) {
        let message = "its key does not hold the platform root; ask for escrow, which takes two people";
        return Err(Faults::one("/location", "apart", message).into());
    }
    copy(instance, call, &*destination, found, None).await
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
    let found = read(instance, call, id).await?;
    let destination = destination(instance, location)?;
    if holds_root(instance, &*destination) {
        return Err(Faults::one("/location", "not_apart", "escrow is for another provider than the root's").into());
    }
    let deed = deed(DeedKind::KeyEscrow, id, &*destination, &found.versions);
    let Some(approval) = approval else {
        return Ok(Carried::waits(approvals::request(instance, call, &deed).await?));
    };
    // Of what is copied here: a version made meanwhile is in neither.
    copy(instance, call, &*destination, found, Some((approval, deed))).await.map(Carried::Done)
}

async fn copy(
    instance: &Instance,
    call: &Call,
    destination: &dyn KeyDestination,
    KeyRef { key, versions }: KeyRef,
    approved: Option<(ApprovalId, Deed)>,
) -> Result<KeyRef, CustodyError> {
    let ring = instance.keyring(call.tenant()).await?;
    let mut copied = Vec::new();
    for version in versions.iter().filter(|version| has_material(version)) {
        let material = ring.tenant_keys.unwrap(&key.wrap_purpose(), version)?;
        copied.push(Copied { version: version.version, key_id: version.key_id.clone(), material });
    }
    let newest = copied.iter().map(|copied| copied.version).max().ok_or(CustodyError::NoMaterial)?;
    let backup = KeyBackup {
        state: BackupState::Verified,
        version: Some(newest),
        location: Some(destination.name().to_owned()),
        at: Some(instance.now()),
        by: Some(call.caller.subject().to_string()),
    };
    let making = Making { instance, call, destination, key, copied, approved };
    let begun = making.begin(KeyCopy::of(making.key.id, &backup)).await?;
    making.put().await?;
    making.end(&begun, KeyBackup { at: Some(instance.now()), ..backup }).await
}

/// A copy that is being made.
struct Making<'a> {
    instance: &'a Instance,
    call: &'a Call,
    destination: &'a dyn KeyDestination,
    /// The key as it was when it was asked for.
    key: Key,
    copied: Vec<Copied>,
    approved: Option<(ApprovalId, Deed)>,
}

impl Making<'_> {
    /// The log knows before the material leaves, and the store knows where to: whatever becomes of the copy, and of the key
    /// meanwhile, a destruction counts it from here on. An approval is used up here, so that none that was taken back lets it leave.
    async fn begin(&self, copy: KeyCopy) -> Result<KeyCopy, CustodyError> {
        let mut change = Change::begin(self.instance, self.call, self.call.tenant()).await?;
        change.rows().seize_key(copy.key).await?.ok_or(CustodyError::NotFound)?;
        self.standing(&mut change).await?;
        if let Some((approval, deed)) = &self.approved {
            approvals::consume(self.instance, self.call, &mut change, *approval, deed).await?;
        }
        let known = change.rows().key_copies(copy.key).await?.into_iter().find(|known| known.location == copy.location);
        let begun = match known {
            Some(known) if known.state == BackupState::Removing => return Err(StoreError::Changed("key_copy").into()),
            // One that was read back there and holds as much says more.
            Some(known) if known.state == BackupState::Verified && known.version >= copy.version => known,
            _ => KeyCopy { state: BackupState::Claimed, ..copy },
        };
        change.rows().put_key_copy(&begun).await?;
        let event = self.told(EventKind::KeyCopying).with("location", Detail::Names(vec![begun.location.clone()]));
        change.commit(event).await?;
        Ok(begun)
    }

    /// Puts it where it belongs, takes it back from there and compares.
    async fn put(&self) -> Result<(), CustodyError> {
        let (tenant, destination) = (self.call.tenant(), self.destination);
        let place = (tenant, self.key.id, self.instance.settings().environment.as_str());
        let text = copies::wrap(destination, place, &self.copied, self.instance.random()).await?;
        let name = copies::name(tenant, self.key.id);
        destination.put(&name, &text).await?;
        let back = copies::unwrap(destination, place, &destination.take(&name).await?).await?;
        let same = |(one, other): (&Copied, &Copied)| {
            let material = one.material.expose().ct_eq(other.material.expose());
            one.version == other.version && one.key_id == other.key_id && bool::from(material)
        };
        let is_whole = back.len() == self.copied.len() && self.copied.iter().zip(&back).all(same);
        if is_whole { Ok(()) } else { Err(CopyError::Damaged.into()) }
    }

    /// Says that the key has it.
    async fn end(&self, begun: &KeyCopy, backup: KeyBackup) -> Result<KeyRef, CustodyError> {
        let (mut change, id) = (Change::begin(self.instance, self.call, self.call.tenant()).await?, self.key.id);
        let mut key = change.rows().seize_key(id).await?.ok_or(CustodyError::NotFound)?;
        // Destroyed meanwhile, or taken away, or made once more: what was verified says nothing of that.
        let versions = self.standing(&mut change).await?;
        if !change.rows().key_copies(id).await?.contains(begun) {
            return Err(StoreError::Changed("key_copy").into());
        }
        let newest = backup.version.unwrap_or_default();
        change.rows().put_key_copy(&KeyCopy::of(id, &backup)).await?;
        key.backup = Some(backup);
        change.rows().update_key(&key).await?;
        let event = self.told(EventKind::KeyBackedUp).with("version", Detail::Count(newest.into()));
        change.commit(event).await?;
        Ok(KeyRef { key, versions })
    }

    /// The key's versions, if what is copied still stands.
    async fn standing(&self, change: &mut Change<'_>) -> Result<Vec<KeyVersion>, StoreError> {
        let versions = change.rows().key_versions(self.key.id).await?;
        let stands = |copied: &Copied| {
            versions.iter().any(|version| version.version == copied.version && version.state != KeyState::Destroyed)
        };
        if self.copied.iter().all(stands) { Ok(versions) } else { Err(StoreError::Changed("key_version")) }
    }

    fn told(&self, kind: EventKind) -> Event {
        let provider = Detail::Code(self.destination.provider().kind().as_str());
        of(
            Event::new(kind).on("key", self.key.id).with("provider", provider),
            self.approved.as_ref().map(|(id, _)| *id),
        )
    }
}
