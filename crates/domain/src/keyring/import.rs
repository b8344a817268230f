//! Brings keys of other systems: their private halves under the tenant key, their old versions to verify and open only.

use chancery_crypto::{KeyMaterial, Secret};

use super::{
    AccessPolicy, BackupState, Key, KeyBackup, KeyCopy, KeyError, KeyOrigin, KeyPurpose, KeyRef, KeyState, KeyType,
    KeyVersion, Revocation, RevocationReason,
    create::{self, Drawn, check_policy, check_schedule, check_users, claim_name},
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{KeyId, UserId},
    lockdown::refuse_suspects,
    store::StoreError,
    tenants::create::activation,
    text::{check_key_name, key_name},
    time::Timestamp,
};

/// The most versions that one import brings.
const MAX_VERSIONS: usize = 100;

codes! {
    /// The states that other systems knew.
    pub enum ImportedState {
        /// Signs and encrypts.
        Active = "active",
        /// Superseded there: verifies and opens.
        Rotated = "rotated",
        /// The same, by another name.
        Inactive = "inactive",
        /// The same, while it was being replaced.
        Rotating = "rotating",
        /// Its time was over.
        Expired = "expired",
        /// Compromised.
        Revoked = "revoked",
        /// Waiting for its deletion: stopped here, until somebody decides.
        PendingDeletion = "pending_deletion",
    }
}

impl ImportedState {
    /// What it is here. What was superseded verifies and opens, and never signs again.
    pub const fn here(self) -> KeyState {
        match self {
            Self::Active => KeyState::Active,
            Self::Rotated | Self::Inactive | Self::Rotating => KeyState::Inactive,
            Self::Expired => KeyState::Expired,
            Self::Revoked => KeyState::Revoked,
            Self::PendingDeletion => KeyState::Suspended,
        }
    }
}

/// One version as another system had it.
#[derive(Debug)]
pub struct ImportedVersion {
    /// A private key as PEM, or 32 bytes of an AES key.
    pub material: ImportedMaterial,
    /// What it was there.
    pub state: ImportedState,
    /// Since when; now if it is not known.
    pub created_at: Option<Timestamp>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
}

/// The secret half of an imported version.
#[derive(Debug)]
pub enum ImportedMaterial {
    /// A private key as PEM.
    Pem(Secret<String>),
    /// 32 bytes.
    Bytes(Secret<Vec<u8>>),
}

/// A backup of which another system says that there is one.
#[derive(Debug, Clone)]
pub struct ImportedBackup {
    /// Where.
    pub location: Option<String>,
    /// Since when.
    pub at: Option<Timestamp>,
}

/// A key of another system, its versions oldest first.
#[derive(Debug)]
pub struct ImportedKey {
    /// Its name: 1 to 255 characters.
    pub name: String,
    /// What it is for; if its system did not say, a private key signs and an AES key encrypts.
    pub purpose: Option<KeyPurpose>,
    /// Who may use it.
    pub access_policy: AccessPolicy,
    /// Whom [`AccessPolicy::UserSpecific`] means.
    pub allowed_users: Vec<UserId>,
    /// Whether the scheduler rotates it from now on.
    pub auto_rotate: bool,
    /// Days between two rotations.
    pub rotation_interval_days: Option<u32>,
    /// Its backup, as far as that system says.
    pub backup: Option<ImportedBackup>,
    /// Its versions, oldest first: at least one, at most one of them active.
    pub versions: Vec<ImportedVersion>,
}

/// Imports a key into the caller's tenant, in one commit.
///
/// # Errors
///
/// [`KeyError`]; [`KeyError::Invalid`] with `taken` at a version that this tenant has already.
pub async fn import(instance: &Instance, call: &Call, brought: ImportedKey) -> Result<KeyRef, KeyError> {
    call.require(Permission::KeysCreate)?;
    check(&brought)?;
    let (key_type, materials) = read(&brought)?;
    let purpose = purpose_of(brought.purpose, key_type)?;
    let now = instance.now();
    let newest = brought.versions.last().map(|version| version.state.here());
    let key = Key {
        id: KeyId::make(now, instance.random())?,
        name: key_name(&brought.name),
        key_type,
        purpose,
        managed: None,
        access_policy: brought.access_policy,
        allowed_users: brought.allowed_users,
        origin: KeyOrigin::Imported,
        provider: None,
        expires_in_days: None,
        auto_rotate: brought.auto_rotate,
        rotation_interval_days: brought.rotation_interval_days,
        last_rotated_at: None,
        reminded_at: None,
        hsm: None,
        backup: brought.backup.map(claimed),
        created_at: now,
    };
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    refuse_suspects::<KeyError>(instance, change.rows(), &[("/name", &key.name)]).await?;
    // Told last: that its versions are here already says more.
    let named = claim_name(change.rows(), &key.name).await;
    check_users(change.rows(), &key.allowed_users).await?;
    let ring = std::sync::Arc::clone(change.keyring());
    // A rotation of the tenant key does not look again for keys under the old one.
    change.rows().hold_tenant_key(ring.tenant_keys.active()).await?;
    change.rows().insert_key(&key).await?;
    if let Some(backup) = &key.backup {
        change.rows().put_key_copy(&KeyCopy::of(key.id, backup)).await?;
    }
    let mut versions: Vec<KeyVersion> = Vec::new();
    for ((number, material), stated) in (1..).zip(materials).zip(&brought.versions) {
        let previous = versions.last().map(|version| version.key_id.clone());
        let made = create::version(instance, &ring, &key, number, previous, Drawn::Here(material), now)?;
        if let Some(before) = versions.last_mut() {
            before.next = Some(made.key_id.clone());
        }
        versions.push(as_stated(made, stated, now));
    }
    for (position, version) in versions.iter().enumerate() {
        match change.rows().insert_key_version(version).await {
            Err(StoreError::Taken("key_id")) => {
                let pointer = format!("/versions/{position}");
                return Err(Faults::one(pointer, "taken", "this tenant has this key already").into());
            }
            inserted => inserted?,
        }
    }
    named?;
    if let (Some(KeyState::Active), Some(version)) = (newest, versions.last()) {
        change.record(activation(&key, version)).await?;
    }
    let count = u64::try_from(versions.len()).unwrap_or(u64::MAX);
    let event = Event::new(EventKind::KeyImported)
        .on("key", key.id)
        .with("key_ids", Detail::Names(versions.iter().map(|version| version.key_id.clone()).collect()))
        .with("key_type", Detail::Code(key.key_type.as_str()))
        .with("purpose", Detail::Code(key.purpose.as_str()))
        .with("policy", Detail::Code(key.access_policy.as_str()))
        .with("versions", Detail::Count(count));
    change.commit_new(event).await?;
    Ok(KeyRef { key, versions })
}

/// A backup that nobody read back is worth what a word is worth.
fn claimed(backup: ImportedBackup) -> KeyBackup {
    KeyBackup { state: BackupState::Claimed, version: None, location: backup.location, at: backup.at, by: None }
}

fn as_stated(made: KeyVersion, stated: &ImportedVersion, now: Timestamp) -> KeyVersion {
    let state = stated.state.here();
    let created_at = stated.created_at.map_or(now, |at| at.min(now));
    let active = state == KeyState::Active;
    KeyVersion {
        state,
        created_at,
        // Here it signs since now, whatever it did elsewhere.
        activated_at: active.then_some(now),
        retired_at: (!active).then_some(now),
        expires_at: stated.expires_at,
        resumes_to: (state == KeyState::Suspended).then_some(KeyState::Inactive),
        revocation: (state == KeyState::Revoked)
            .then_some(Revocation { reason: RevocationReason::Unspecified, last_valid_index: None }),
        ..made
    }
}

/// The keys themselves: all of one type.
fn read(brought: &ImportedKey) -> Result<(KeyType, Vec<KeyMaterial>), Faults> {
    let mut faults = Faults::default();
    let mut materials: Vec<KeyMaterial> = Vec::with_capacity(brought.versions.len());
    for (position, version) in brought.versions.iter().enumerate() {
        let (member, read) = match &version.material {
            ImportedMaterial::Pem(text) => ("pem", KeyMaterial::from_pem(text.expose().trim())),
            ImportedMaterial::Bytes(bytes) => {
                ("key", KeyMaterial::from_material(KeyType::Aes256.maths(), bytes.expose()))
            }
        };
        let pointer = format!("/versions/{position}/{member}");
        match read {
            Ok(material) if materials.first().is_some_and(|first| first.key_type() != material.key_type()) => {
                faults.add(pointer, "type", "all versions of a key are of one type");
            }
            Ok(material) => materials.push(material),
            Err(_) => faults.add(
                pointer,
                "format",
                "use one PEM private key without a passphrase (RSA 2048 or 4096, P-256, P-384, Ed25519), or 32 bytes",
            ),
        }
    }
    let key_type = materials.first().map(|material| KeyType::of(material.key_type()));
    if let Some(key_type) = key_type {
        faults.0.extend(purpose_of(brought.purpose, key_type).err().into_iter().flat_map(|unsuited| unsuited.0));
    }
    faults.check()?;
    let key_type = key_type.ok_or_else(|| Faults::one("/versions", "empty", "give at least one version"))?;
    Ok((key_type, materials))
}

/// What a key of this type is for: what is asked, if it can be.
fn purpose_of(asked: Option<KeyPurpose>, key_type: KeyType) -> Result<KeyPurpose, Faults> {
    let usual = if key_type == KeyType::Aes256 { KeyPurpose::Encryption } else { KeyPurpose::Signing };
    let purpose = asked.unwrap_or(usual);
    if purpose.suits(key_type) {
        return Ok(purpose);
    }
    Err(Faults::one("/purpose", "unsuited", format!("a key of type {key_type} does not serve this purpose")))
}

fn check(brought: &ImportedKey) -> Result<(), Faults> {
    let mut faults = Faults::default();
    check_key_name("/name", &brought.name, &mut faults);
    if brought.versions.is_empty() || brought.versions.len() > MAX_VERSIONS {
        faults.add("/versions", "length", "give 1 to 100 versions, oldest first");
    }
    let older = brought.versions.len().saturating_sub(1);
    for (position, version) in brought.versions.iter().take(older).enumerate() {
        if version.state == ImportedState::Active {
            faults.add(format!("/versions/{position}/state"), "order", "only the newest version is active");
        }
    }
    let location = brought.backup.as_ref().and_then(|backup| backup.location.as_ref());
    if location.is_some_and(|text| text.len() > 500 || text.chars().any(char::is_control)) {
        faults.add("/backup/location", "length", "use at most 500 bytes, no control characters");
    }
    check_schedule(None, brought.auto_rotate, brought.rotation_interval_days, &mut faults);
    check_policy(brought.access_policy, &brought.allowed_users, &mut faults);
    faults.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_no_purpose_gets_one_that_it_serves() {
        for key_type in KeyType::ALL {
            let purpose = purpose_of(None, *key_type).unwrap();
            assert!(purpose.suits(*key_type), "{key_type} {purpose}");
        }
        assert!(purpose_of(Some(KeyPurpose::Encryption), KeyType::EcP256).is_err());
    }

    #[test]
    fn what_was_superseded_elsewhere_verifies_here_and_never_signs() {
        let table: Vec<String> = ImportedState::ALL.iter().map(|state| format!("{state} → {}", state.here())).collect();
        assert_eq!(
            table,
            [
                "active → active",
                "rotated → inactive",
                "inactive → inactive",
                "rotating → inactive",
                "expired → expired",
                "revoked → revoked",
                "pending_deletion → suspended",
            ]
        );
        for state in ImportedState::ALL.iter().filter(|state| **state != ImportedState::Active) {
            assert!(!state.here().seals(), "{state}");
        }
    }
}
