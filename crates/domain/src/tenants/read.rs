//! Reads tenant records; never their data.

use chancery_crypto::{Phi, Sealed};

use super::{Tenant, TenantError, create::email_terms};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Detail, Event, EventKind, OpenFailure, OpenIntent, append, open_failed, receipt::note},
    fields::{Normalizer, system},
    ids::TenantId,
    instance::Failure,
    keyring::{KeyringError, ring::Place},
};

/// A tenant with what is sealed of its record in clear.
#[derive(Debug)]
pub struct TenantProfile {
    /// The record as stored.
    pub tenant: Tenant,
    /// Its contact e-mail.
    pub email: Option<Phi<String>>,
    /// What the operator notes of it: a JSON object.
    pub metadata: Option<Phi<String>>,
}

/// One tenant's record, and what is sealed of it.
///
/// # Errors
///
/// [`TenantError`].
pub async fn get(instance: &Instance, call: &Call, id: TenantId) -> Result<TenantProfile, TenantError> {
    call.require(Permission::TenantsRead)?;
    let tenant = instance.store().view(TenantId::PLATFORM).await?.tenant_record(id).await?;
    let tenant = tenant.ok_or(TenantError::NotFound)?;
    Ok(profile(instance, call, tenant).await?)
}

/// One tenant's record, with nothing of it opened.
///
/// # Errors
///
/// [`TenantError`].
pub async fn record(instance: &Instance, call: &Call, id: TenantId) -> Result<Tenant, TenantError> {
    call.require(Permission::TenantsRead)?;
    let tenant = instance.store().view(TenantId::PLATFORM).await?.tenant_record(id).await?;
    let tenant = tenant.ok_or(TenantError::NotFound)?;
    note(instance, call, TenantId::PLATFORM, Event::new(EventKind::TenantRead).on("tenant", id)).await?;
    Ok(tenant)
}

/// The tenants with this contact e-mail: found by term, compared again after opening.
///
/// # Errors
///
/// [`TenantError`].
pub async fn find_by_email(
    instance: &Instance,
    call: &Call,
    email: Phi<String>,
) -> Result<Vec<TenantProfile>, TenantError> {
    call.require(Permission::TenantsRead)?;
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let terms = email_terms(&ring, &email)?;
    let tenants = instance.store().view(TenantId::PLATFORM).await?.tenants_by_email_terms(&terms).await?;
    if tenants.is_empty() {
        // Asking whether somebody is here is a read too.
        let event = Event::new(EventKind::TenantRead).with("count", Detail::Count(0));
        note(instance, call, TenantId::PLATFORM, event).await?;
    }
    let same =
        |one: &Phi<String>| Normalizer::Email.normalise(one.expose()) == Normalizer::Email.normalise(email.expose());
    let mut found = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        let profile = profile(instance, call, tenant).await?;
        if profile.email.as_ref().is_some_and(same) {
            found.push(profile);
        }
    }
    Ok(found)
}

/// Opens what is sealed of a record under a receipt.
async fn profile(instance: &Instance, call: &Call, tenant: Tenant) -> Result<TenantProfile, Failure> {
    let platform = TenantId::PLATFORM;
    let event = Event::new(EventKind::TenantRead).on("tenant", tenant.id);
    let (fields, row) = ([system::tenant_email(), system::tenant_metadata()], tenant.id.to_string());
    let mut values = Vec::new();
    for (field, bytes) in fields.iter().zip([&tenant.email, &tenant.metadata]) {
        if let Some(bytes) = bytes {
            let sealed = Sealed::from_bytes(bytes.clone()).map_err(KeyringError::from)?;
            values.push((Place { field, row: row.as_str() }, sealed));
        }
    }
    if values.is_empty() {
        note(instance, call, platform, event).await?;
        return Ok(TenantProfile { tenant, email: None, metadata: None });
    }
    let values: Vec<(Place<'_>, &Sealed)> = values.iter().map(|(place, sealed)| (*place, sealed)).collect();
    let intent = OpenIntent::new(system::TENANTS, values.len(), event);
    let (receipt, fence) = append(instance, call, platform, vec![intent]).await?.single()?;
    let lease = fence.lease(instance).await?;
    let mut opened = match lease.keyring.open(receipt, system::TENANTS, &values) {
        Ok(opened) => opened.into_iter(),
        Err((_, error)) => {
            open_failed(instance, call, platform, system::TENANTS, OpenFailure::from(&error)).await?;
            return Err(error.into());
        }
    };
    let mut next = |there: bool| -> Result<Option<Phi<String>>, Failure> {
        let value = if there { opened.next() } else { None };
        let text = value.map(|value| value.try_map(|bytes| String::from_utf8(bytes.clone()))).transpose();
        text.map_err(|_| Failure::Internal("a tenant's field is not UTF-8"))
    };
    let (email, metadata) = (next(tenant.email.is_some())?, next(tenant.metadata.is_some())?);
    fence.release(instance, &lease, TenantProfile { tenant, email, metadata }).await
}

/// Tenants, ordered by id.
///
/// # Errors
///
/// [`TenantError`].
pub async fn list(
    instance: &Instance,
    call: &Call,
    after: Option<TenantId>,
    limit: u32,
) -> Result<Vec<Tenant>, TenantError> {
    call.require(Permission::TenantsRead)?;
    let tenants = instance.store().view(TenantId::PLATFORM).await?.tenant_records(after, limit).await?;
    note(instance, call, TenantId::PLATFORM, Event::new(EventKind::TenantRead)).await?;
    Ok(tenants)
}
