//! What a tenant chooses for itself.

use super::Registration;
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    instance::{Failure, fails},
    store::StoreError,
};

/// What a tenant has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantSettings {
    /// How people become its users.
    pub registration: Registration,
}

/// What shall be chosen; what is `None` stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct TenantSettingsPatch {
    /// How people become its users.
    pub registration: Option<Registration>,
}

/// Why settings were not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// They are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(SettingsError);

/// What the caller's tenant has chosen.
///
/// # Errors
///
/// [`SettingsError`].
pub async fn settings(instance: &Instance, call: &Call) -> Result<TenantSettings, SettingsError> {
    call.require(Permission::SettingsRead)?;
    let found = stored(instance, call).await?;
    note(instance, call, call.tenant(), Event::new(EventKind::SettingsRead)).await?;
    Ok(found)
}

async fn stored(instance: &Instance, call: &Call) -> Result<TenantSettings, Failure> {
    let entry = instance.directory().tenant(call.tenant()).await?;
    let registration = entry.ok_or(Failure::Internal("a caller without a tenant"))?.registration;
    Ok(TenantSettings { registration })
}

/// Chooses for the caller's tenant.
///
/// # Errors
///
/// [`SettingsError`].
pub async fn change_settings(
    instance: &Instance,
    call: &Call,
    patch: TenantSettingsPatch,
) -> Result<TenantSettings, SettingsError> {
    call.require(Permission::SettingsWrite)?;
    let Some(registration) = patch.registration else { return Ok(stored(instance, call).await?) };
    if call.tenant().is_platform() && registration != Registration::Closed {
        let message = "whoever runs the platform is made by its administrators";
        return Err(Faults::one("/registration", "platform", message).into());
    }
    if registration != Registration::Closed {
        instance.require_recent(call)?;
    }
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    match change.rows().set_registration(registration).await {
        Err(StoreError::Changed(_)) => return Err(Failure::Internal("a caller without a tenant").into()),
        set => set?,
    }
    let event = Event::new(EventKind::SettingsChanged).with("registration", Detail::Code(registration.as_str()));
    change.commit(event).await?;
    Ok(TenantSettings { registration })
}
