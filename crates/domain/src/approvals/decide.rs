//! Gives consent, refuses it, or takes the question back.

use super::{Approval, ApprovalError, ApprovalState, request::told};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, EventKind},
    ids::ApprovalId,
};

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes, by another person.
    Approve,
    /// No, by another person.
    Deny,
    /// Never mind, by whoever asked.
    Cancel,
}

/// Decides on an approval of the caller's tenant that waits. An approval given but not used may still be taken back.
///
/// # Errors
///
/// [`ApprovalError`].
pub async fn decide(
    instance: &Instance,
    call: &Call,
    id: ApprovalId,
    decision: Decision,
) -> Result<Approval, ApprovalError> {
    if decision != Decision::Cancel {
        call.require(Permission::ApprovalsApprove)?;
    }
    if decision == Decision::Approve {
        instance.require_recent(call)?;
    }
    let now = instance.now();
    let me = call.caller.subject().to_string();
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let found = change.rows().approval(id).await?;
    // To those who may neither see nor decide, another's approval is as missing as none.
    let visible = |approval: &Approval| approval.requested_by == me || call.caller.may(Permission::ApprovalsApprove);
    let mut approval = found.filter(visible).ok_or(ApprovalError::NotFound)?;
    let mine = approval.requested_by == me;
    let (state, kind) = match decision {
        // The subject is the person: a key that acts as a user is that user.
        Decision::Approve | Decision::Deny if mine => return Err(ApprovalError::SamePerson),
        Decision::Cancel if !mine => return Err(ApprovalError::AnotherPerson),
        Decision::Approve => (ApprovalState::Approved, EventKind::ApprovalApproved),
        Decision::Deny => (ApprovalState::Denied, EventKind::ApprovalDenied),
        Decision::Cancel => (ApprovalState::Cancelled, EventKind::ApprovalCancelled),
    };
    match (approval.state_at(now), decision) {
        (ApprovalState::Pending, _) | (ApprovalState::Approved, Decision::Cancel | Decision::Deny) => {}
        (other, _) => return Err(ApprovalError::WrongState(other)),
    }
    approval.state = state;
    approval.decided_by = Some(me);
    approval.decided_at = Some(now);
    if decision == Decision::Approve {
        approval.expires_at = now.plus_seconds(approval.kind.usable_seconds());
    }
    approval.revision += 1;
    change.rows().update_approval(&approval).await?;
    let event = told(kind, &approval);
    change.commit(event).await?;
    Ok(approval)
}
