//! Changes what of a key may change: who may use it, how long its versions live, when it rotates.

use super::{
    AccessPolicy, Key, KeyError, KeyRef,
    create::{check_policy, check_schedule, check_users},
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{KeyId, UserId},
};

/// What shall be otherwise; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// Who may use it.
    pub access_policy: Option<AccessPolicy>,
    /// Whom [`AccessPolicy::UserSpecific`] means.
    pub allowed_users: Option<Vec<UserId>>,
    /// The life of each new version in days.
    pub expires_in_days: Option<u32>,
    /// Whether the scheduler rotates it.
    pub auto_rotate: Option<bool>,
    /// Days between two rotations.
    pub rotation_interval_days: Option<u32>,
}

/// Changes a key of the caller's tenant. A managed key has a schedule and nothing else to change.
///
/// # Errors
///
/// [`KeyError`].
pub async fn update(instance: &Instance, call: &Call, id: KeyId, to: KeyChange) -> Result<KeyRef, KeyError> {
    call.require(Permission::KeysCreate)?;
    // Who may use it is a right.
    if to.access_policy.is_some() || to.allowed_users.is_some() {
        instance.require_recent(call)?;
    }
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let key = change.rows().seize_key(id).await?.ok_or(KeyError::NotFound)?;
    if key.managed.is_some()
        && (to.access_policy.is_some() || to.allowed_users.is_some() || to.expires_in_days.is_some())
    {
        return Err(KeyError::Managed);
    }
    let key = changed(key, to);
    let mut faults = Faults::default();
    check_schedule(key.expires_in_days, key.auto_rotate, key.rotation_interval_days, &mut faults);
    check_policy(key.access_policy, &key.allowed_users, &mut faults);
    faults.check()?;
    check_users(change.rows(), &key.allowed_users).await?;
    change.rows().update_key(&key).await?;
    let versions = change.rows().key_versions(id).await?;
    let event = Event::new(EventKind::KeyUpdated)
        .on("key", id)
        .with("policy", Detail::Code(key.access_policy.as_str()))
        .with("auto_rotate", Detail::Code(if key.auto_rotate { "yes" } else { "no" }));
    change.commit(event).await?;
    Ok(KeyRef { key, versions })
}

fn changed(key: Key, to: KeyChange) -> Key {
    let access_policy = to.access_policy.unwrap_or(key.access_policy);
    // Another policy without its own list has none.
    let kept = if access_policy == key.access_policy { key.allowed_users } else { Vec::new() };
    Key {
        access_policy,
        allowed_users: to.allowed_users.unwrap_or(kept),
        expires_in_days: to.expires_in_days.or(key.expires_in_days),
        auto_rotate: to.auto_rotate.unwrap_or(key.auto_rotate),
        rotation_interval_days: to.rotation_interval_days.or(key.rotation_interval_days),
        ..key
    }
}
