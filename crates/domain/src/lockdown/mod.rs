//! Zero PHI: a tenant may ask that whatever looks like personal data is refused (CT-11).

mod report;
mod shapes;
mod suspects;

use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    certificates::{CertificateError, Claim},
    faults::Faults,
    store::{StoreError, View},
    time::Timestamp,
};

pub use report::{LockdownReport, Suspicion, report};
pub use shapes::{Detector, suspect};
pub(crate) use suspects::{Suspect, suspects_in};

/// Since when the caller's tenant is locked down; `None` if it is not.
///
/// # Errors
///
/// [`CertificateError`].
pub async fn lockdown(instance: &Instance, call: &Call) -> Result<Option<Timestamp>, CertificateError> {
    call.require(Permission::SettingsRead)?;
    let since = instance.store().view(call.tenant()).await?.lockdown_since().await?;
    note(instance, call, call.tenant(), Event::new(EventKind::SettingsRead)).await?;
    Ok(since)
}

/// Locks the caller's tenant down, or ends that. Who ends it proves again who it is.
///
/// # Errors
///
/// [`CertificateError`].
pub async fn set_lockdown(instance: &Instance, call: &Call, on: bool) -> Result<Option<Timestamp>, CertificateError> {
    call.require(Permission::SettingsWrite)?;
    if !on {
        instance.require_recent(call)?;
    }
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let before = change.rows().lockdown_since().await?;
    let since = on.then(|| before.unwrap_or(instance.now()));
    if since != before {
        change.rows().set_lockdown(since).await?;
    }
    let code = if on { "on" } else { "off" };
    change.commit(Event::new(EventKind::SettingsChanged).with("lockdown", Detail::Code(code))).await?;
    Ok(since)
}

/// Refuses a claim that looks as if personal data were in it, where the tenant is locked down. What Chancery states of itself is
/// not concerned.
pub(crate) async fn check(instance: &Instance, view: &mut dyn View, claim: &Claim) -> Result<(), CertificateError> {
    if claim.is_own() || view.lockdown_since().await?.is_none() {
        return Ok(());
    }
    let found = suspects::suspects(claim, instance.now());
    found.iter().for_each(|suspect| instance.suspected().count(suspect.detector));
    let found: Vec<_> = found.into_iter().map(|one| (one.pointer, one.detector)).collect();
    if found.is_empty() { Ok(()) } else { Err(CertificateError::PhiSuspected(found)) }
}

/// Refuses texts that are kept in clear and look as if personal data were in them, where the tenant of the view is locked down; each
/// with its place. Elsewhere they are counted, and stay: a name of a column that was left out could hide that the column is opened.
///
/// # Errors
///
/// [`Faults::suspected`].
pub(crate) async fn refuse_suspects<E: From<Faults> + From<StoreError>>(
    instance: &Instance,
    view: &mut dyn View,
    texts: &[(&str, &str)],
) -> Result<(), E> {
    let now = instance.now();
    let look = |(pointer, text): &(&str, &str)| Some(((*pointer).to_owned(), suspect(text, now)?));
    let found: Vec<(String, Detector)> = texts.iter().filter_map(look).collect();
    found.iter().for_each(|(_, detector)| instance.suspected().count(*detector));
    if found.is_empty() || view.lockdown_since().await?.is_none() {
        return Ok(());
    }
    Err(Faults::suspected(found).into())
}
