//! The columns of keys, their versions and what wraps them: from a row, and into one.

use chancery_crypto::Handle;
use chancery_domain::ids::UserId;
use chancery_domain::keyring::{
    HsmLink, Key, KeyBackup, KeyCheck, KeyVersion, OwnWrap, Revocation, RootRecipient, StoredMaterial, TenantKey,
};
use chancery_domain::store::StoreError;

use crate::{Row, Value};

macro_rules! select_key {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, type, purpose, managed, access_policy, allowed_users, origin, provider, expires_in_days,
                auto_rotate, rotation_interval_days, last_rotated_at, reminded_at, hsm_provider, hsm_key_id,
                backup, backup_version, backup_location, backup_at, backup_by, created_at
             FROM keys WHERE tenant_id = $1 ",
            $rest
        )
    };
}

macro_rules! select_recipients {
    ($rest:literal) => {
        concat!(
            "SELECT id, root_version, root_handle, provider, label, environment, wrapped, created_at, proven_at, failed_at
             FROM root_recipients WHERE tenant_id = $1 ORDER BY id",
            $rest
        )
    };
}
pub(crate) use select_recipients;

macro_rules! version_columns {
    () => {
        "v.key, v.version, v.key_id, v.handle, v.state, v.wrapped, v.tenant_key_version, v.provider, v.resident_id,
         v.key_check, v.public_jwk, v.previous, v.next, v.created_at, v.activated_at, v.retired_at, v.expires_at, v.resumes_to,
         v.cancels_to, v.deletion_due_at, v.revoked_reason, v.last_valid_index, v.uses, v.last_used_at"
    };
}

macro_rules! select_version {
    ($rest:literal) => {
        concat!("SELECT ", version_columns!(), " FROM key_versions AS v WHERE v.tenant_id = $1 AND v.key = $2 ", $rest)
    };
}

pub(crate) use version_columns;

pub(super) use {select_key, select_version};

/// Ids as words with blanks between.
pub(super) fn words(ids: &[UserId]) -> Value {
    Value::text(ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

pub(super) fn opt_number(number: Option<u32>) -> Value {
    Value::Int(number.map(i64::from))
}

fn read_opt_number<T: TryFrom<i64>>(row: &mut Row) -> Result<Option<T>, StoreError> {
    row.opt_int()?.map(|number| T::try_from(number).map_err(|_| row.damaged())).transpose()
}

fn read_link(row: &mut Row) -> Result<Option<HsmLink>, StoreError> {
    match (row.opt_parsed()?, row.opt_parsed()?) {
        (Some(provider), Some(key_id)) => Ok(Some(HsmLink { provider, key_id })),
        (None, None) => Ok(None),
        _ => Err(row.damaged()),
    }
}

fn read_backup(row: &mut Row) -> Result<Option<KeyBackup>, StoreError> {
    let state = row.opt_parsed()?;
    let (version, location) = (read_opt_number(row)?, row.opt_text()?);
    let (at, by) = (row.opt_time()?, row.opt_text()?);
    Ok(state.map(|state| KeyBackup { state, version, location, at, by }))
}

fn read_material(row: &mut Row) -> Result<StoredMaterial, StoreError> {
    let (bytes, tenant_key_version) = (row.bytes()?, row.number()?);
    let (provider, id, check) = (row.opt_parsed()?, row.opt_parsed()?, row.opt_bytes()?);
    match (provider, id) {
        (Some(provider), Some(id)) => Ok(StoredMaterial::Resident { provider, id }),
        (None, None) => {
            let check = check.map(|check| check.try_into().map(KeyCheck).map_err(|_| row.damaged())).transpose()?;
            Ok(StoredMaterial::Wrapped { bytes, tenant_key_version, check })
        }
        _ => Err(row.damaged()),
    }
}

/// The columns of a material: wrapped, tenant key version, provider, resident id, check.
pub(super) fn material_values(material: &StoredMaterial) -> [Value; 5] {
    match material {
        StoredMaterial::Wrapped { bytes, tenant_key_version, check } => [
            Value::bytes(bytes),
            (*tenant_key_version).into(),
            Value::Text(None),
            Value::Text(None),
            Value::opt_bytes(check.as_ref().map(|check| check.0.as_slice())),
        ],
        StoredMaterial::Resident { provider, id } => {
            [Value::bytes(&[]), 0_u32.into(), Value::text(*provider), Value::text(id), Value::opt_bytes(None)]
        }
    }
}

pub(super) fn last_valid_index(revocation: Option<Revocation>) -> Value {
    let index = revocation.and_then(|revocation| revocation.last_valid_index);
    Value::Int(index.map(|index| i64::try_from(index).unwrap_or(i64::MAX)))
}

pub(super) fn link_values(link: Option<&HsmLink>) -> [Value; 2] {
    [Value::opt_text(link.map(|link| link.provider)), Value::opt_text(link.map(|link| &link.key_id))]
}

pub(super) fn backup_values(backup: Option<&KeyBackup>) -> [Value; 5] {
    [
        Value::opt_text(backup.map(|backup| backup.state)),
        opt_number(backup.and_then(|backup| backup.version)),
        Value::opt_text(backup.and_then(|backup| backup.location.as_deref())),
        Value::opt_time(backup.and_then(|backup| backup.at)),
        Value::opt_text(backup.and_then(|backup| backup.by.as_deref())),
    ]
}

fn read_revocation(row: &mut Row) -> Result<Option<Revocation>, StoreError> {
    let reason = row.opt_parsed()?;
    let last_valid_index = read_opt_number(row)?;
    Ok(reason.map(|reason| Revocation { reason, last_valid_index }))
}

pub(crate) fn read_key(row: &mut Row) -> Result<Key, StoreError> {
    Ok(Key {
        id: row.parsed()?,
        name: row.text()?,
        key_type: row.parsed()?,
        purpose: row.parsed()?,
        managed: row.opt_parsed()?,
        access_policy: row.parsed()?,
        allowed_users: {
            let text = row.text()?;
            let parsed = text.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>();
            parsed.map_err(|_| row.damaged())?
        },
        origin: row.parsed()?,
        provider: row.opt_parsed()?,
        expires_in_days: read_opt_number(row)?,
        auto_rotate: row.boolean()?,
        rotation_interval_days: read_opt_number(row)?,
        last_rotated_at: row.opt_time()?,
        reminded_at: row.opt_time()?,
        hsm: read_link(row)?,
        backup: read_backup(row)?,
        created_at: row.time()?,
    })
}

pub(crate) fn read_version(row: &mut Row) -> Result<KeyVersion, StoreError> {
    Ok(KeyVersion {
        key: row.parsed()?,
        version: row.number()?,
        key_id: row.text()?,
        handle: Handle(row.array()?),
        state: row.parsed()?,
        material: read_material(row)?,
        public_jwk: row.opt_text()?.map(|jwk| serde_json::from_str(&jwk).map_err(|_| row.damaged())).transpose()?,
        previous: row.opt_text()?,
        next: row.opt_text()?,
        created_at: row.time()?,
        activated_at: row.opt_time()?,
        retired_at: row.opt_time()?,
        expires_at: row.opt_time()?,
        resumes_to: row.opt_parsed()?,
        cancels_to: row.opt_parsed()?,
        deletion_due_at: row.opt_time()?,
        revocation: read_revocation(row)?,
        uses: row.number()?,
        last_used_at: row.opt_time()?,
    })
}

pub(super) fn read_tenant_key(row: &mut Row) -> Result<TenantKey, StoreError> {
    Ok(TenantKey {
        version: row.number()?,
        handle: Handle(row.array()?),
        wrapped: row.bytes()?,
        root_version: row.number()?,
        state: row.parsed()?,
        created_at: row.time()?,
        own: match (row.opt_text()?, row.opt_parsed()?, row.opt_bytes()?) {
            (Some(provider), Some(mode), Some(wrapped)) => Some(OwnWrap { provider, mode, wrapped }),
            (None, None, None) => None,
            _ => return Err(row.damaged()),
        },
    })
}

pub(crate) fn read_recipient(row: &mut Row) -> Result<RootRecipient, StoreError> {
    Ok(RootRecipient {
        id: row.parsed()?,
        root_version: row.number()?,
        root_handle: Handle(row.array()?),
        provider: row.parsed()?,
        label: row.text()?,
        environment: row.text()?,
        wrapped: row.bytes()?,
        created_at: row.time()?,
        proven_at: row.time()?,
        failed_at: row.opt_time()?,
    })
}
