//! Replaces an API key by a new one; the old one works on for a while, so that nobody is locked out meanwhile.

use super::{
    ApiKey, ApiKeyText, ChangeApiKeyError, IssuedApiKey,
    create::{check_privileged, names_of},
    update::{may_give, save},
};
use crate::{
    Instance,
    access::{Call, Permission, Role},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::ApiKeyId,
    users::UserState,
};

/// How long the old key works on at most: 30 days.
pub const MAX_OVERLAP_SECONDS: u32 = 30 * 86_400;

/// Makes a new API key with the description, roles, user and networks of an old one, and as long a life from now on. The old one ends
/// after `overlap_seconds`, or before if it would anyway.
///
/// # Errors
///
/// [`ChangeApiKeyError`].
pub async fn rotate(
    instance: &Instance,
    call: &Call,
    id: ApiKeyId,
    overlap_seconds: u32,
) -> Result<IssuedApiKey, ChangeApiKeyError> {
    call.require(Permission::ApiKeysRevoke)?;
    instance.require_recent(call)?;
    if overlap_seconds > MAX_OVERLAP_SECONDS {
        let message = format!("use 0 to {MAX_OVERLAP_SECONDS} seconds");
        return Err(Faults::one("/overlap_seconds", "range", message).into());
    }
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    // Held, or two at once would both find it without a successor, and leave two.
    let mut old = change.rows().hold_api_key(id).await?.ok_or(ChangeApiKeyError::NotFound)?;
    let now = instance.now();
    if let Some(successor) = old.replaced_by {
        return Err(ChangeApiKeyError::Replaced(successor));
    }
    if old.is_over(now) {
        return Err(ChangeApiKeyError::Over);
    }
    let given = may_give(instance, call, &old, change.rows()).await?;
    if let Some(user) = old.user {
        let holder = change.rows().user(user).await?;
        if holder.is_none_or(|user| user.state != UserState::Active) {
            return Err(ChangeApiKeyError::Over);
        }
    }
    let successor = ApiKeyId::make(now, instance.random())?;
    let text = ApiKeyText::make(instance.settings().environment.into(), successor, instance.random())?;
    let root = instance.root();
    let (pepper_version, pepper) = root.pepper();
    let life = |end: crate::Timestamp| end.as_micros().saturating_sub(old.created_at.as_micros()) / 1_000_000;
    let key = ApiKey {
        id: successor,
        digest: text.digest(pepper),
        pepper_version,
        created_at: now,
        expires_at: old.expires_at.map(|end| now.plus_seconds(life(end))),
        suspended_until: None,
        last_used_at: None,
        ..old.clone()
    };
    let mut faults = Faults::default();
    let privileged = given.iter().any(Role::is_privileged);
    check_privileged(instance, privileged, key.expires_at.is_some(), &key.allowed_cidrs, "", &mut faults);
    faults.check()?;
    change.rows().insert_api_key(&key).await?;
    let end = now.plus_seconds(i64::from(overlap_seconds));
    old.expires_at = Some(old.expires_at.map_or(end, |planned| planned.min(end)));
    old.replaced_by = Some(successor);
    save(change.rows(), &old).await?;
    let made =
        Event::new(EventKind::ApiKeyCreated).on("api_key", successor).with("replaces", Detail::Id(id.to_string()));
    change.record(made.with("roles", Detail::Names(names_of(&key)))).await?;
    let rotated = Event::new(EventKind::ApiKeyRotated).on("api_key", id);
    let rotated = rotated.with("replaced_by", Detail::Id(successor.to_string()));
    change.commit(rotated.with("overlap_seconds", Detail::Count(overlap_seconds.into()))).await?;
    instance.callers.forget_all();
    instance.unshelve(id).await;
    Ok(IssuedApiKey { key, text: text.reveal() })
}
