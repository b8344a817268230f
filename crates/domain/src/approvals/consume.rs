//! Uses an approval, in the commit of the deed.

use super::{Approval, ApprovalError, ApprovalState, Deed, request::told};
use crate::{
    Instance,
    access::Call,
    audit::{Change, Detail, EventKind},
    ids::ApprovalId,
    time::Timestamp,
};

/// Marks an approval used, in the transaction that does the deed: both happen, or neither.
///
/// # Errors
///
/// [`ApprovalError`]: among others if another one was approved, or this one is used up. Then do nothing.
pub async fn consume(
    instance: &Instance,
    call: &Call,
    change: &mut Change<'_>,
    id: ApprovalId,
    deed: &Deed,
) -> Result<Approval, ApprovalError> {
    let now = instance.now();
    let found = change.rows().approval(id).await?;
    let mut approval = check(found, call, deed, now)?;
    approval.uses = approval.uses.saturating_add(1);
    approval.used_at = Some(now);
    if !approval.kind.is_repeated() {
        approval.state = ApprovalState::Used;
    }
    approval.revision += 1;
    change.rows().update_approval(&approval).await?;
    let used = told(EventKind::ApprovalUsed, &approval).with("uses", Detail::Count(approval.uses.into()));
    change.record(used).await?;
    Ok(approval)
}

/// The approval, if the caller may do `deed` under it now.
fn check(found: Option<Approval>, call: &Call, deed: &Deed, now: Timestamp) -> Result<Approval, ApprovalError> {
    // Another's is as missing as none: who asked is nobody's business.
    let mine = |approval: &Approval| approval.requested_by == call.caller.subject().to_string();
    let approval = found.filter(mine).ok_or(ApprovalError::NotFound)?;
    match approval.state_at(now) {
        ApprovalState::Approved => {}
        other => return Err(ApprovalError::WrongState(other)),
    }
    if approval.request != deed.digest()? || approval.kind != deed.kind {
        return Err(ApprovalError::AnotherDeed);
    }
    // What the rows say is compared again: an approval by the person who asked is none.
    if approval.decided_by.as_deref().is_none_or(|by| by == approval.requested_by) {
        return Err(ApprovalError::SamePerson);
    }
    Ok(approval)
}
