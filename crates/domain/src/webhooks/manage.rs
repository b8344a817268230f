//! Sets sources of webhooks up, changes them and takes them away.

use chancery_crypto::Secret;

use super::{
    MAX_DEVICES, MAX_SECRETS, MAX_SOURCES, NewSecret, SecretKind, SourceChanges, SourceSpec, WebhookOwner,
    WebhookSecret, WebhookSource, source::GRACE_SECONDS,
};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    fields::system,
    ids::{WebhookSecretId, WebhookSourceId},
    instance::{Failure, fails},
    keyring::{Keyring, ring::Place},
    lockdown::refuse_suspects,
    store::StoreError,
};

/// What the code of a secret is derived for.
const CODE: &str = "chancery/webhook/secret/1";

/// Why nothing was done with webhooks.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no such source, secret, subscription or delivery.
    #[error("no such webhook source, secret or delivery")]
    NotFound,
    /// The source has or had this secret, or this device.
    #[error("the source has or had this secret or device")]
    Used,
    /// How it stands does not allow it.
    #[error("how it stands does not allow this")]
    State,
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(WebhookError);

/// Sets a source up in the caller's tenant.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn create(
    instance: &Instance,
    call: &Call,
    spec: SourceSpec,
) -> Result<(WebhookSource, Vec<WebhookSecret>), WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let now = instance.now();
    let source = WebhookSource {
        id: WebhookSourceId::make(now, instance.random())?,
        name: spec.name.trim().to_owned(),
        provider: spec.provider,
        layout: spec.layout,
        client_id: spec.client_id,
        app_ids: spec.app_ids,
        upstream: spec.upstream,
        enabled: spec.enabled,
        stalled_at: None,
        created_at: now,
        changed_at: now,
    };
    source.check()?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    refuse_suspects::<WebhookError>(instance, change.rows(), &[("/name", &source.name)]).await?;
    change.rows().hold_tenant().await?;
    if change.rows().webhook_sources().await?.len() >= MAX_SOURCES {
        let message = format!("a tenant has at most {MAX_SOURCES}; delete one that is not needed");
        return Err(Faults::one("", "too_many", message).into());
    }
    let mut secrets = Vec::with_capacity(spec.secrets.len());
    for (at, new) in spec.secrets.into_iter().enumerate() {
        let secret = seal(instance, &change, &source, &new, &format!("/secrets/{at}"), &secrets)?;
        change.rows().put_webhook_secret(&secret).await?;
        secrets.push(secret);
    }
    source.check_enabled(&secrets, now)?;
    change.rows().put_webhook_source(&source).await?;
    change.commit_new(told(EventKind::WebhookSourceCreated, &source)).await?;
    Ok((source, secrets))
}

/// Changes a source. Its messages are judged by the new rules from the next one on.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn update(
    instance: &Instance,
    call: &Call,
    id: WebhookSourceId,
    changes: SourceChanges,
) -> Result<(WebhookSource, Vec<WebhookSecret>), WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    // Held, or the last secret could end while the source is enabled.
    change.rows().hold_tenant().await?;
    let before = change.rows().webhook_source(id).await?.ok_or(WebhookError::NotFound)?;
    let source = WebhookSource {
        name: changes.name.map_or(before.name, |name| name.trim().to_owned()),
        layout: changes.layout.or(before.layout),
        client_id: changes.client_id.or(before.client_id),
        app_ids: changes.app_ids.unwrap_or(before.app_ids),
        upstream: changes.upstream.unwrap_or(before.upstream),
        enabled: changes.enabled.unwrap_or(before.enabled),
        changed_at: instance.now(),
        ..before
    };
    source.check()?;
    refuse_suspects::<WebhookError>(instance, change.rows(), &[("/name", &source.name)]).await?;
    let secrets = change.rows().webhook_secrets(WebhookOwner::Source(id)).await?;
    source.check_enabled(&secrets, instance.now())?;
    change.rows().put_webhook_source(&source).await?;
    change.commit(told(EventKind::WebhookSourceUpdated, &source)).await?;
    instance.webhook_secrets.forget(call.tenant(), WebhookOwner::Source(id));
    Ok((source, secrets))
}

/// Takes a source and its secrets away. What came of it is still handed on.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn delete(instance: &Instance, call: &Call, id: WebhookSourceId) -> Result<(), WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    match change.rows().delete_webhook_source(id).await {
        Err(StoreError::Changed(_)) => return Err(WebhookError::NotFound),
        deleted => deleted?,
    }
    change.commit(Event::new(EventKind::WebhookSourceDeleted).on("webhook_source", id)).await?;
    instance.webhook_secrets.forget(call.tenant(), WebhookOwner::Source(id));
    Ok(())
}

/// The sources of the caller's tenant with their secrets, by id.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn list(instance: &Instance, call: &Call) -> Result<Vec<(WebhookSource, Vec<WebhookSecret>)>, WebhookError> {
    call.require(Permission::SettingsRead)?;
    let mut rows = instance.store().view(call.tenant()).await?;
    let mut found = Vec::new();
    for source in rows.webhook_sources().await? {
        let secrets = rows.webhook_secrets(WebhookOwner::Source(source.id)).await?;
        found.push((source, secrets));
    }
    drop(rows);
    note(instance, call, call.tenant(), Event::new(EventKind::WebhookRead)).await?;
    Ok(found)
}

/// One of them.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn get(
    instance: &Instance,
    call: &Call,
    id: WebhookSourceId,
) -> Result<(WebhookSource, Vec<WebhookSecret>), WebhookError> {
    call.require(Permission::SettingsRead)?;
    let mut rows = instance.store().view(call.tenant()).await?;
    let source = rows.webhook_source(id).await?.ok_or(WebhookError::NotFound)?;
    let secrets = rows.webhook_secrets(WebhookOwner::Source(id)).await?;
    drop(rows);
    note(instance, call, call.tenant(), Event::new(EventKind::WebhookRead).on("webhook_source", id)).await?;
    Ok((source, secrets))
}

/// Gives a source a further secret. If it replaces others of its kind, those are taken for the grace and no longer.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn add_secret(
    instance: &Instance,
    call: &Call,
    id: WebhookSourceId,
    new: NewSecret,
) -> Result<WebhookSecret, WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    let source = change.rows().webhook_source(id).await?.ok_or(WebhookError::NotFound)?;
    let before = change.rows().webhook_secrets(WebhookOwner::Source(id)).await?;
    let secret = seal(instance, &change, &source, &new, "", &before)?;
    if new.replaces {
        let ends_at = instance.now().plus_seconds(GRACE_SECONDS);
        for old in before.into_iter().filter(|old| old.kind == new.kind && old.sealed.is_some()) {
            let ends_at = old.ends_at.map_or(ends_at, |earlier| earlier.min(ends_at));
            change.rows().put_webhook_secret(&WebhookSecret { ends_at: Some(ends_at), ..old }).await?;
        }
    }
    change.rows().put_webhook_secret(&secret).await?;
    let event = of_secret(EventKind::WebhookSecretAdded, &secret)
        .with("replaces", Detail::Code(if new.replaces { "true" } else { "false" }));
    change.commit_new(event).await?;
    instance.webhook_secrets.forget(call.tenant(), WebhookOwner::Source(id));
    Ok(secret)
}

/// Ends a secret at once. The last one that an enabled source needs stays.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn end_secret(
    instance: &Instance,
    call: &Call,
    id: WebhookSourceId,
    secret: WebhookSecretId,
) -> Result<(), WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let now = instance.now();
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    let source = change.rows().webhook_source(id).await?.ok_or(WebhookError::NotFound)?;
    let mut secrets = change.rows().webhook_secrets(WebhookOwner::Source(id)).await?;
    let found = secrets.iter_mut().find(|other| other.id == secret && other.sealed.is_some());
    let found = found.ok_or(WebhookError::NotFound)?;
    (found.sealed, found.ends_at) = (None, Some(now));
    let ended = found.clone();
    source.check_enabled(&secrets, now).map_err(|_| WebhookError::State)?;
    change.rows().put_webhook_secret(&ended).await?;
    change.commit(of_secret(EventKind::WebhookSecretEnded, &ended)).await?;
    instance.webhook_secrets.forget(call.tenant(), WebhookOwner::Source(id));
    Ok(())
}

/// Checks and seals a secret.
fn seal(
    instance: &Instance,
    change: &Change<'_>,
    source: &WebhookSource,
    new: &NewSecret,
    pointer: &str,
    others: &[WebhookSecret],
) -> Result<WebhookSecret, WebhookError> {
    let now = instance.now();
    if let Err(why) = source.read_secret(new.kind, &new.value) {
        return Err(Faults::one(format!("{pointer}/value"), "form", why).into());
    }
    let most = if new.kind == SecretKind::PublicKey { MAX_DEVICES } else { MAX_SECRETS };
    if others.iter().filter(|other| other.kind == new.kind && other.stands(now)).count() >= most {
        return Err(Faults::one(pointer, "too_many", format!("a source takes at most {most} of a kind")).into());
    }
    let secret = sealed(instance, change.keyring(), WebhookOwner::Source(source.id), new.kind, &new.value)?;
    if others.iter().any(|other| other.kind == new.kind && other.code == secret.code) {
        return Err(WebhookError::Used);
    }
    Ok(secret)
}

/// A secret as it is kept.
pub(super) fn sealed(
    instance: &Instance,
    ring: &Keyring,
    owner: WebhookOwner,
    kind: SecretKind,
    value: &Secret<String>,
) -> Result<WebhookSecret, Failure> {
    let now = instance.now();
    let code = ring.mark(CODE, &[owner.to_string().as_bytes(), value.expose().as_bytes()])?;
    let id = WebhookSecretId::make(now, instance.random())?;
    let (field, row) = (system::webhook_secret(), id.to_string());
    let place = Place { field: &field, row: &row };
    let sealed = ring.seal(place, value.expose().as_bytes(), instance.random())?;
    Ok(WebhookSecret {
        id,
        owner,
        kind,
        sealed: Some(sealed.into_bytes()),
        code,
        counter: 0,
        created_at: now,
        ends_at: None,
        due_told_at: None,
        unshown: false,
    })
}

/// What the log tells of a source. Names and addresses are under seal.
fn told(kind: EventKind, source: &WebhookSource) -> Event {
    Event::new(kind)
        .on("webhook_source", source.id)
        .with("provider", Detail::Code(source.provider.as_str()))
        .with("enabled", Detail::Code(if source.enabled { "true" } else { "false" }))
        .personal("name", source.name.clone())
        .personal("upstream", source.upstream.clone())
}

/// What the log tells of a secret.
pub(super) fn of_secret(kind: EventKind, secret: &WebhookSecret) -> Event {
    Event::new(kind)
        .on("webhook_secret", secret.id)
        .with("of", Detail::Id(secret.owner.to_string()))
        .with("kind", Detail::Code(secret.kind.as_str()))
}
