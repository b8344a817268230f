//! Shows a tenant what was reported of its pages.

use super::{CspReport, address};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Event, EventKind, receipt::note},
    instance::{Failure, fails},
};

/// Why reports were not shown.
#[derive(Debug, thiserror::Error)]
pub enum ReportsError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ReportsError);

/// Where the pages of the caller's tenant report, and what was reported so far, the most frequent first.
///
/// # Errors
///
/// [`ReportsError`].
pub async fn reports(instance: &Instance, call: &Call) -> Result<(String, Vec<CspReport>), ReportsError> {
    call.require(Permission::SettingsRead)?;
    let address = address(instance, call.tenant()).await?;
    let reports = instance.store().view(call.tenant()).await?.csp_reports().await?;
    note(instance, call, call.tenant(), Event::new(EventKind::SettingsRead)).await?;
    Ok((address, reports))
}
