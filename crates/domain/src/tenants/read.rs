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
    let found = profiles(instance, call, vec![tenant]).await?.pop();
    found.ok_or_else(|| Failure::Internal("a record without a profile").into())
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
        return Ok(Vec::new());
    }
    let same =
        |one: &Phi<String>| Normalizer::Email.normalise(one.expose()) == Normalizer::Email.normalise(email.expose());
    let mut found = profiles(instance, call, tenants).await?;
    found.retain(|profile| profile.email.as_ref().is_some_and(same));
    Ok(found)
}

/// Opens what is sealed of records: a receipt and an event for each, made durable in one commit.
async fn profiles(instance: &Instance, call: &Call, tenants: Vec<Tenant>) -> Result<Vec<TenantProfile>, Failure> {
    let platform = TenantId::PLATFORM;
    let fields = [system::tenant_email(), system::tenant_metadata()];
    let (mut records, mut intents) = (Vec::with_capacity(tenants.len()), Vec::with_capacity(tenants.len()));
    for tenant in tenants {
        let sealed = |bytes: &Option<Vec<u8>>| bytes.clone().map(Sealed::from_bytes).transpose();
        let sealed = [sealed(&tenant.email), sealed(&tenant.metadata)].map(|sealed| sealed.map_err(KeyringError::from));
        let [email, metadata] = sealed;
        let sealed = [email?, metadata?];
        let event = Event::new(EventKind::TenantRead).on("tenant", tenant.id);
        intents.push(OpenIntent::new(system::TENANTS, sealed.iter().flatten().count(), event));
        records.push((tenant, sealed));
    }
    let told = append(instance, call, platform, intents).await?;
    let Some(fence) = told.fence else { return Ok(Vec::new()) };
    let lease = fence.lease(instance).await?;
    let mut found = Vec::with_capacity(records.len());
    for ((tenant, sealed), receipt) in records.into_iter().zip(told.receipts) {
        let row = tenant.id.to_string();
        let place = |(field, sealed)| Some((Place { field, row: row.as_str() }, Option::as_ref(sealed)?));
        let values: Vec<(Place<'_>, &Sealed)> = fields.iter().zip(&sealed).filter_map(place).collect();
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
        found.push(TenantProfile { tenant, email, metadata });
    }
    fence.release(instance, &lease, found).await
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
