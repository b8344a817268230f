//! Backs single keys up, hands them into escrow, and takes them back from there.
//!
//! A copy counts when it was read back from where it was put, unwrapped and compared; only then the key says that it has one.

use super::{
    KeyDestination, KeyRef, KeyState, KeyVersion, StoredMaterial,
    copies::{CopyError, CopyOrFailure},
};
use crate::{
    Instance,
    access::{Call, Denied},
    approvals::{ApprovalError, Deed, DeedKind},
    audit::{Detail, Event},
    faults::Faults,
    ids::{ApprovalId, KeyId},
    instance::{Failure, fails},
};

mod make;
mod restore;

pub use make::{backup, escrow};
pub use restore::restore;

/// Why a key was not copied or taken back.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The request is not valid: among others an unknown location.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is no such key in the tenant.
    #[error("no such key")]
    NotFound,
    /// It has no version whose material is here: they live in a provider, or are destroyed.
    #[error("the key has no material that could be copied")]
    NoMaterial,
    /// The destination did not do it.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The approval does not do.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(CustodyError);

impl From<CopyOrFailure> for CustodyError {
    fn from(error: CopyOrFailure) -> Self {
        match error {
            CopyOrFailure::Copy(error) => Self::Copy(error),
            CopyOrFailure::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Whether there is something of it to copy: it is neither destroyed nor in a provider.
pub(super) fn has_material(version: &KeyVersion) -> bool {
    matches!(version.material, StoredMaterial::Wrapped { .. }) && version.state != KeyState::Destroyed
}

pub(super) fn destination(instance: &Instance, location: &str) -> Result<std::sync::Arc<dyn KeyDestination>, Faults> {
    if !(1..=500).contains(&location.chars().count()) {
        return Err(Faults::one("/location", "length", "use 1 to 500 characters"));
    }
    let unknown = || Faults::one("/location", "unknown", "no destination of this name is configured");
    instance.destinations().iter().find(|found| found.name() == location).cloned().ok_or_else(unknown)
}

/// Whether the key that wraps there is one that holds the platform root.
fn holds_root(instance: &Instance, destination: &dyn KeyDestination) -> bool {
    let (kind, label) = (destination.provider().kind(), destination.provider().label());
    instance.providers().iter().any(|ours| ours.kind() == kind && ours.label() == label)
}

fn deed(kind: DeedKind, id: KeyId, destination: &dyn KeyDestination, versions: &[KeyVersion]) -> Deed {
    Deed::new(kind, "key", id)
        .of_versions(versions.iter().filter(|version| has_material(version)).map(|version| version.version))
        .with("location", Detail::Names(vec![destination.name().to_owned()]))
        .with("provider", Detail::Code(destination.provider().kind().as_str()))
}

async fn read(instance: &Instance, call: &Call, id: KeyId) -> Result<KeyRef, CustodyError> {
    let mut view = instance.store().view(call.tenant()).await?;
    let key = view.key(id).await?.ok_or(CustodyError::NotFound)?;
    let versions = view.key_versions(id).await?;
    Ok(KeyRef { key, versions })
}

/// The event with the approval that it happens under.
pub(super) fn of(event: Event, approval: Option<ApprovalId>) -> Event {
    match approval {
        Some(approval) => event.with("approval", Detail::Id(approval.to_string())),
        None => event,
    }
}
