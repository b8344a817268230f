//! Reads approvals. The reason is personal data: it opens under a receipt, like any other.

use chancery_crypto::{Phi, Sealed};
use serde_json::Value;

use super::{Approval, ApprovalError, ApprovalState, DeedKind};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Event, EventKind, OpenIntent, append, receipt::note},
    fields::system,
    ids::{ApprovalId, KeyId},
    instance::Failure,
    keyring::{KeyringError, ring::Place},
    store::{StoreError, View},
    time::Timestamp,
};

/// An approval with its reason in clear.
#[derive(Debug)]
pub struct ApprovalView {
    /// The approval as stored.
    pub approval: Approval,
    /// Why, in words.
    pub reason: Option<Phi<String>>,
}

/// Which approvals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApprovalFilter {
    /// All.
    #[default]
    All,
    /// Those in this state now.
    In(ApprovalState),
    /// Those that were used in an emergency and that nobody has looked at.
    Unreviewed,
}

/// The approvals of the caller's tenant, ordered by id, without their reasons.
///
/// # Errors
///
/// [`ApprovalError`].
pub async fn list(
    instance: &Instance,
    call: &Call,
    filter: ApprovalFilter,
    after: Option<ApprovalId>,
    limit: u32,
) -> Result<Vec<Approval>, ApprovalError> {
    call.require(Permission::ApprovalsApprove)?;
    let mut view = instance.store().view(call.tenant()).await?;
    let found = match filter {
        ApprovalFilter::All => view.approvals(None, instance.now(), after, limit).await?,
        ApprovalFilter::In(state) => view.approvals(Some(state), instance.now(), after, limit).await?,
        ApprovalFilter::Unreviewed => view.unreviewed_approvals(DeedKind::BreakGlass, limit).await?,
    };
    drop(view);
    note(instance, call, call.tenant(), Event::new(EventKind::ApprovalRead)).await?;
    Ok(found)
}

/// One approval of the caller's tenant, for approvers and for whoever asked.
///
/// # Errors
///
/// [`ApprovalError`].
pub async fn get(instance: &Instance, call: &Call, id: ApprovalId) -> Result<ApprovalView, ApprovalError> {
    let tenant = call.tenant();
    let found = instance.store().view(tenant).await?.approval(id).await?;
    let mine = found.as_ref().is_some_and(|found| found.requested_by == call.caller.subject().to_string());
    if !mine {
        call.require(Permission::ApprovalsApprove)?;
    }
    let approval = found.ok_or(ApprovalError::NotFound)?;
    let event = Event::new(EventKind::ApprovalRead).on("approval", id);
    let Some(sealed) = &approval.reason else {
        note(instance, call, tenant, event).await?;
        return Ok(ApprovalView { approval, reason: None });
    };
    let sealed = Sealed::from_bytes(sealed.clone()).map_err(KeyringError::from)?;
    let (field, row) = (system::approval_reason(), id.to_string());
    let intent = OpenIntent::new(system::APPROVALS, 1, event);
    let (receipt, fence) = append(instance, call, tenant, vec![intent]).await?.single()?;
    let lease = fence.lease(instance).await?;
    let place = Place { field: &field, row: &row };
    let opened = lease.keyring.open(receipt, system::APPROVALS, &[(place, &sealed)]).map_err(|(_, error)| error)?;
    let text = opened.into_iter().next().ok_or(Failure::Internal("an open without a value"))?;
    let reason = text.try_map(|bytes| String::from_utf8(bytes.clone()));
    let reason = reason.map_err(|_| Failure::Internal("a reason is not UTF-8"))?;
    Ok(fence.release(instance, &lease, ApprovalView { approval, reason: Some(reason) }).await?)
}

/// How long lies at most between the use of an approval and what is stored of its deed, in seconds.
const SAME_COMMIT: i64 = 60;
/// Under which approval it was decided that this version of a key goes at `due`; none if it took none.
pub(crate) async fn decided(
    rows: &mut (dyn View + '_),
    (key, version): (KeyId, u32),
    due: Timestamp,
) -> Result<Option<ApprovalId>, StoreError> {
    let (key, version) = (key.to_string(), version.to_string());
    let mut used = rows.used_approvals(DeedKind::KeyDelete, &key).await?;
    used.extend(rows.used_approvals(DeedKind::KeyForceDelete, &key).await?);
    Ok(used.iter().filter(|approval| ends(approval, &version, due)).map(|approval| approval.id).max())
}

/// Whether an approval was used to have this version go at `due`, and not at another time that was taken back.
fn ends(approval: &Approval, version: &str, due: Timestamp) -> bool {
    let details: Value = serde_json::from_str(&approval.details).unwrap_or_default();
    let versions = details.get("versions").and_then(Value::as_array);
    let of_it = versions.is_some_and(|all| all.iter().any(|one| one == version));
    let days = details.get("days").and_then(Value::as_i64).unwrap_or_default();
    let then = approval.used_at.map(|used| used.plus_days(days));
    let apart = then.map(|then| due.as_seconds() - then.as_seconds());
    of_it && apart.is_some_and(|apart| apart.abs() <= SAME_COMMIT)
}
