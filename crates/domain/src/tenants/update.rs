//! Changes a tenant's record: its name, its contact, what the operator notes of it.

use std::sync::Arc;

use chancery_crypto::Phi;

use super::{Tenant, create::email_terms};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    fields::{Field, system},
    ids::TenantId,
    instance::{Failure, fails},
    keyring::KeyringError,
    lockdown::refuse_suspects,
    text::check_name,
    users::form::{check_email, check_metadata, seal, trimmed},
};

/// What shall be another. What is `None` stays; what is `Some(None)` goes.
#[derive(Debug, Default)]
pub struct TenantPatch {
    /// Its name: 1 to 255 characters.
    pub name: Option<String>,
    /// Its contact e-mail.
    pub email: Option<Option<Phi<String>>>,
    /// A JSON object, as a whole.
    pub metadata: Option<Option<Phi<String>>>,
}

/// Why a tenant's record was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateTenantError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is none with this id.
    #[error("no such tenant")]
    NotFound,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(UpdateTenantError);

/// Changes a tenant's record. What identifies a person is sealed with the platform's keys.
///
/// # Errors
///
/// [`UpdateTenantError`].
pub async fn update(
    instance: &Instance,
    call: &Call,
    id: TenantId,
    patch: TenantPatch,
) -> Result<Tenant, UpdateTenantError> {
    call.require(Permission::TenantsCreate)?;
    let TenantPatch { name, email, metadata } = patch;
    let email = email.map(|email| email.map(trimmed));
    check(name.as_deref(), email.as_ref().and_then(Option::as_ref), metadata.as_ref().and_then(Option::as_ref))?;
    let mut change = Change::begin(instance, call, TenantId::PLATFORM).await?;
    let tenant = change.rows().hold_tenant_record(id).await?.filter(|tenant| !tenant.id.is_platform());
    let mut tenant = tenant.ok_or(UpdateTenantError::NotFound)?;
    let (ring, row) = (Arc::clone(change.keyring()), id.to_string());
    let mut names = Vec::new();
    if let Some(name) = name {
        refuse_suspects::<UpdateTenantError>(instance, change.rows(), &[("/name", &name)]).await?;
        tenant.name = name.trim().to_owned();
        names.push("name".to_owned());
    }
    let sealed = |field: &Field, value: &Phi<String>| {
        seal(instance, &ring, field, &row, value).map_err(|error| match error {
            KeyringError::Seal(_) => {
                UpdateTenantError::Invalid(Faults::one("", "not_sealable", "a value looks like a sealed one"))
            }
            error => error.into(),
        })
    };
    if let Some(email) = &email {
        let terms = email.as_ref().map(|email| email_terms(&ring, email)).transpose()?;
        tenant.email_terms = terms.unwrap_or_default();
    }
    let parts = [
        ("email", system::tenant_email(), email, &mut tenant.email),
        ("metadata", system::tenant_metadata(), metadata, &mut tenant.metadata),
    ];
    for (name, field, value, slot) in parts {
        if let Some(value) = value {
            *slot = value.map(|value| sealed(&field, &value)).transpose()?;
            names.push(name.to_owned());
        }
    }
    change.rows().update_tenant(&tenant).await?;
    change.commit(Event::new(EventKind::TenantUpdated).on("tenant", id).with("changed", Detail::Names(names))).await?;
    Ok(tenant)
}

/// What is wrong with what a tenant's record shall hold.
pub(super) fn check(
    name: Option<&str>,
    email: Option<&Phi<String>>,
    metadata: Option<&Phi<String>>,
) -> Result<(), Faults> {
    let mut faults = Faults::default();
    if let Some(name) = name {
        check_name("/name", name, 255, &mut faults);
    }
    if let Some(metadata) = metadata {
        check_metadata(metadata, &mut faults);
    }
    if let Some(email) = email {
        check_email(email, &mut faults);
    }
    faults.check()
}
