//! Looks at what was done in an emergency. Somebody must.

use chancery_crypto::Phi;

use super::{Approval, ApprovalError, request::told};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, EventKind},
    faults::Faults,
    ids::ApprovalId,
};

/// Notes that the uses of an approval were looked at, by another person than the one who used it.
///
/// # Errors
///
/// The outer error: [`ApprovalError`]; the inner one: the note is not valid.
pub async fn review(
    instance: &Instance,
    call: &Call,
    id: ApprovalId,
    note: Phi<String>,
) -> Result<Result<Approval, Faults>, ApprovalError> {
    call.require(Permission::ApprovalsApprove)?;
    let mut faults = Faults::default();
    crate::text::check_name("/note", note.expose(), 200, &mut faults);
    if let Err(faults) = faults.check() {
        return Ok(Err(faults));
    }
    let me = call.caller.subject().to_string();
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let mut approval = change.rows().approval(id).await?.ok_or(ApprovalError::NotFound)?;
    if approval.requested_by == me {
        return Err(ApprovalError::SamePerson);
    }
    if !approval.wants_review() {
        return Err(ApprovalError::WrongState(approval.state_at(instance.now())));
    }
    // While it can be used there is something left to look at: a review ends it.
    approval.expires_at = approval.expires_at.min(instance.now());
    approval.reviewed_by = Some(me);
    approval.reviewed_at = Some(instance.now());
    approval.revision += 1;
    change.rows().update_approval(&approval).await?;
    let event = told(EventKind::ApprovalReviewed, &approval).personal("note", note.expose().clone());
    change.commit(event).await?;
    Ok(Ok(approval))
}
