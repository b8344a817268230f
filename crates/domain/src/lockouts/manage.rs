//! Lists who is kept out, and lets them in again.

use super::{Lockout, LockoutKind};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Event, EventKind, receipt::note},
    ids::LockoutId,
    instance::{Failure, fails},
};

/// Why nobody was listed or let in.
#[derive(Debug, thiserror::Error)]
pub enum LockoutError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Nobody is kept out by this id.
    #[error("no such lockout")]
    NotFound,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(LockoutError);

/// Who of the caller's tenant is kept out now, by id.
///
/// # Errors
///
/// [`LockoutError`].
pub async fn list(
    instance: &Instance,
    call: &Call,
    after: Option<LockoutId>,
    limit: u32,
) -> Result<Vec<Lockout>, LockoutError> {
    call.require(Permission::UsersRead)?;
    call.require(Permission::ApiKeysRead)?;
    let found = instance.store().fresh_view(call.tenant()).await?.lockouts(instance.now(), after, limit).await?;
    note(instance, call, call.tenant(), Event::new(EventKind::LockoutRead)).await?;
    Ok(found)
}

/// Lets in who is kept out: a user may log in at once, a suspended API key works again, a stopped session goes on until its own end.
/// Nothing that was revoked or ended meanwhile comes back.
///
/// # Errors
///
/// [`LockoutError`].
pub async fn lift(instance: &Instance, call: &Call, id: LockoutId) -> Result<(), LockoutError> {
    call.require(Permission::UsersRead)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let found = change.rows().find_lockout(id).await?.filter(|found| instance.now() < found.expires_at);
    let Lockout { kind, subject, ladders, .. } = found.ok_or(LockoutError::NotFound)?;
    let (permission, event) = match kind {
        LockoutKind::Account => (Permission::UsersUpdate, Event::new(EventKind::LimitsReset).on("user", &subject)),
        LockoutKind::ApiKey => {
            (Permission::ApiKeysRevoke, Event::new(EventKind::ApiKeyResumed).on("api_key", &subject))
        }
        LockoutKind::Session => {
            (Permission::TokensRevoke, Event::new(EventKind::SessionResumed).on("session", &subject))
        }
    };
    call.require(permission)?;
    change.rows().remove_lockout_of(kind, &subject).await?;
    change.commit(event).await?;
    if !ladders.is_empty() {
        instance.ladders().clear(&call.tenant().to_bytes(), &ladders).await?;
    }
    Ok(())
}
