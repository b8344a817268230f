//! Enrols devices with a source, looks at them and revokes them.
//!
//! Who a device belongs to is the application's business: it asks for a challenge for somebody who has logged in there, and brings what
//! the device answered. A challenge is good for one device of one source, for five minutes, once.

use chancery_crypto::sha256;

use super::{
    Attested, DeviceEnvironment, Unattested, WebhookDevice, WebhookError, WebhookSource,
    attestation::{DeviceCertificates, attested},
};
use crate::{
    Instance, TenantId,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind, Outcome, receipt::note},
    faults::Faults,
    ids::{WebhookDeviceId, WebhookSourceId},
    instance::{Environment, Failure},
    passkeys::challenge::{Bound, Purpose},
    store::StoreError,
    time::Timestamp,
};

/// The most devices of a source whose messages are taken.
pub const MAX_ENROLLED: u64 = 100_000;

/// What a device is to answer.
#[derive(Debug)]
pub struct DeviceChallenge {
    /// It; SHA-256 of it is the client data of the attestation.
    pub bytes: Vec<u8>,
    /// Until when.
    pub expires_at: Timestamp,
}

fn bound(tenant: TenantId, source: WebhookSourceId) -> Bound {
    Bound { purpose: Purpose::Device, tenant, user: None, within: Some(source.to_bytes()) }
}

/// A source with which devices are enrolled.
fn enrolling(source: Option<WebhookSource>) -> Result<WebhookSource, WebhookError> {
    let source = source.ok_or(WebhookError::NotFound)?;
    if source.provider.enrolls_devices() { Ok(source) } else { Err(WebhookError::State) }
}

/// A challenge for a device that shall be enrolled. Nothing is stored.
///
/// # Errors
///
/// [`WebhookError`]; [`WebhookError::State`] of a source whose provider has no devices.
pub async fn challenge_device(
    instance: &Instance,
    call: &Call,
    id: WebhookSourceId,
) -> Result<DeviceChallenge, WebhookError> {
    call.require(Permission::DevicesEnroll)?;
    enrolling(instance.store().view(call.tenant()).await?.webhook_source(id).await?)?;
    let challenge = bound(call.tenant(), id).challenge(instance).await?;
    let event = Event::new(EventKind::WebhookDeviceChallenged).on("webhook_source", id);
    note(instance, call, call.tenant(), event).await?;
    Ok(DeviceChallenge { bytes: challenge.bytes, expires_at: challenge.expires_at })
}

/// Takes the key of a device that Apple vouches for. Its messages are taken from now on.
///
/// # Errors
///
/// [`WebhookError`]; [`WebhookError::Used`] of a key that was enrolled before, be it revoked since.
pub async fn enroll_device(
    instance: &Instance,
    call: &Call,
    id: WebhookSourceId,
    challenge: Vec<u8>,
    attestation: &[u8],
) -> Result<WebhookDevice, WebhookError> {
    call.require(Permission::DevicesEnroll)?;
    let (tenant, now) = (call.tenant(), instance.now());
    let source = enrolling(instance.store().view(tenant).await?.webhook_source(id).await?)?;
    let certificates = instance.device_certificates().ok_or(WebhookError::State)?;
    let challenge = bound(tenant, id).check(instance, challenge).await?;
    let judged = challenge.ok_or(Unattested::Challenge).and_then(|challenge| {
        let attested = judge(instance, &**certificates, &source, &challenge.bytes, attestation)?;
        Ok((challenge, attested))
    });
    let mut change = Change::begin(instance, call, tenant).await?;
    let (challenge, Attested { key, environment }) = match judged {
        Ok(judged) => judged,
        Err(why) => return Err(refuse(change, id, why).await?),
    };
    // Held, or two at once could be one too many; and the source may be gone meanwhile.
    change.rows().hold_tenant().await?;
    enrolling(change.rows().webhook_source(id).await?)?;
    let key_id = sha256(key.as_bytes());
    if change.rows().webhook_device_by_key(id, &key_id).await?.is_some() {
        return Err(WebhookError::Used);
    }
    match change.rows().spend_challenge(&challenge.mark, challenge.expires_at, now).await {
        Err(StoreError::Changed(_)) => return Err(refuse(change, id, Unattested::Challenge).await?),
        spent => spent?,
    }
    if change.rows().enrolled_webhook_devices(id).await? >= MAX_ENROLLED {
        let message = format!("a source has at most {MAX_ENROLLED} devices; revoke those that are not used");
        return Err(Faults::one("", "too_many", message).into());
    }
    let device = WebhookDevice {
        id: WebhookDeviceId::make(now, instance.random())?,
        source: id,
        key_id,
        public_key: *key.as_bytes(),
        environment,
        counter: 0,
        digest: [0; 32],
        pepper_version: 0,
        enrolled_at: now,
        seen_at: None,
        revoked_at: None,
    };
    let device = device.signed(instance, tenant).await?;
    change.rows().insert_webhook_device(&device).await?;
    let event = of_device(EventKind::WebhookDeviceEnrolled, id, device.id);
    change.commit_new(event.with("environment", Detail::Code(environment.as_str()))).await?;
    Ok(device)
}

fn judge(
    instance: &Instance,
    certificates: &dyn DeviceCertificates,
    source: &WebhookSource,
    challenge: &[u8],
    attestation: &[u8],
) -> Result<Attested, Unattested> {
    let attested = attested(certificates, &source.app_ids, &sha256(challenge), attestation, instance.now())?;
    // Whoever builds the application can make such keys on any device of his.
    let strict = instance.settings().environment == Environment::Production;
    if strict && attested.environment == DeviceEnvironment::Development {
        return Err(Unattested::Environment);
    }
    Ok(attested)
}

/// Notes that an attestation was not taken. Who brings it is told one thing for every reason.
async fn refuse(change: Change<'_>, id: WebhookSourceId, why: Unattested) -> Result<WebhookError, Failure> {
    tracing::info!(reason = why.as_str(), "Refused an attestation of a device");
    let event = Event::new(EventKind::WebhookDeviceRefused)
        .on("webhook_source", id)
        .with("reason", Detail::Code(why.as_str()))
        .outcome(Outcome::MinorFailure);
    change.commit(event).await?;
    let message = "not an attestation of this application over a challenge that is good here; ask for another one";
    Ok(Faults::one("/attestation", "not_attested", message).into())
}

/// Takes no message of a device any more.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn revoke_device(
    instance: &Instance,
    call: &Call,
    id: WebhookSourceId,
    device: WebhookDeviceId,
) -> Result<(), WebhookError> {
    call.require(Permission::DevicesEnroll)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    match change.rows().revoke_webhook_device(id, device, instance.now()).await {
        Err(StoreError::Changed(_)) => return Err(WebhookError::NotFound),
        revoked => revoked?,
    }
    Ok(change.commit(of_device(EventKind::WebhookDeviceRevoked, id, device)).await?)
}

/// Devices of a source in the order in which they were enrolled, revoked ones too: at most `limit` after one of them.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn list_devices(
    instance: &Instance,
    call: &Call,
    id: WebhookSourceId,
    after: Option<WebhookDeviceId>,
    limit: u32,
) -> Result<Vec<WebhookDevice>, WebhookError> {
    call.require(Permission::SettingsRead)?;
    let mut rows = instance.store().view(call.tenant()).await?;
    rows.webhook_source(id).await?.ok_or(WebhookError::NotFound)?;
    let found = rows.webhook_devices(id, after, limit).await?;
    drop(rows);
    note(instance, call, call.tenant(), Event::new(EventKind::WebhookRead).on("webhook_source", id)).await?;
    Ok(found)
}

fn of_device(kind: EventKind, source: WebhookSourceId, device: WebhookDeviceId) -> Event {
    Event::new(kind).on("webhook_device", device).with("of", Detail::Id(source.to_string()))
}
