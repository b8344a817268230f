//! What takes two people.

use chancery_domain::approvals::{Approval, ApprovalState, DeedKind};

use super::{Backend, begin, changed, commit, taken, view};
use crate::samples::{NOW, OURS, THEIRS, approval};

/// Nothing of an approval is lost.
pub async fn an_approval_reads_back(store: &impl Backend) {
    commit!(store, OURS, .insert_approval(&approval(1)) .insert_approval(&approval(2)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.approval(approval(1).id).await.unwrap(), Some(approval(1)));
    assert_eq!(view.approval(approval(2).id).await.unwrap(), Some(approval(2)));
    assert_eq!(view.approval(approval(3).id).await.unwrap(), None);
}

/// By id, after the one named; a state is that of the given moment.
pub async fn approvals_come_in_pages_and_by_state(store: &impl Backend) {
    commit!(store, OURS, .insert_approval(&approval(1)) .insert_approval(&approval(2)) .insert_approval(&approval(4)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.approvals(None, NOW, None, 2).await.unwrap(), [approval(1), approval(2)]);
    assert_eq!(view.approvals(None, NOW, Some(approval(2).id), 2).await.unwrap(), [approval(4)]);
    let later = approval(1).expires_at;
    for (state, now, found) in [
        (ApprovalState::Pending, NOW, vec![approval(2), approval(4)]),
        (ApprovalState::Approved, NOW, vec![approval(1)]),
        (ApprovalState::Expired, NOW, vec![]),
        (ApprovalState::Pending, later, vec![]),
        (ApprovalState::Expired, later, vec![approval(1), approval(2), approval(4)]),
    ] {
        assert_eq!(view.approvals(Some(state), now, None, 10).await.unwrap(), found, "{state}");
    }
}

/// Of two who decide at once one loses; what an approval is for never changes.
pub async fn a_change_is_a_compare_and_swap(store: &impl Backend) {
    let before = approval(2);
    let after = Approval { revision: before.revision + 1, resource: before.resource.clone(), ..approval(1) };
    let after = Approval { id: before.id, request: before.request, reason: before.reason.clone(), ..after };
    commit!(store, OURS, .insert_approval(&before));
    commit!(store, OURS, .update_approval(&Approval { resource: "other".to_owned(), ..after.clone() }));
    assert!(changed(begin(store, OURS).await.update_approval(&after).await, "approval"));
    assert_eq!(view(store, OURS).await.approval(before.id).await.unwrap(), Some(after));
}

/// Used and not looked at: only these.
pub async fn unreviewed_ones_are_found(store: &impl Backend) {
    let used = Approval { reviewed_at: None, reviewed_by: None, ..approval(3) };
    let other = Approval { reviewed_at: None, kind: DeedKind::KeyDelete, ..approval(5) };
    commit!(store, OURS, .insert_approval(&approval(1)) .insert_approval(&approval(2)));
    commit!(store, OURS, .insert_approval(&used) .insert_approval(&other));
    let found = view(store, OURS).await.unreviewed_approvals(DeedKind::BreakGlass, 10).await.unwrap();
    assert_eq!(found, [used]);
}

/// Used up, of this kind, for this resource: only these, by id.
pub async fn used_ones_are_found_by_kind_and_resource(store: &impl Backend) {
    let used = |n: u64, kind: DeedKind, resource: &str| Approval {
        kind,
        resource: resource.to_owned(),
        state: ApprovalState::Used,
        ..approval(n)
    };
    let wanted = [used(1, DeedKind::KeyDelete, "key_1"), used(4, DeedKind::KeyDelete, "key_1")];
    let pending = Approval { state: ApprovalState::Approved, ..used(2, DeedKind::KeyDelete, "key_1") };
    commit!(store, OURS, .insert_approval(&wanted[1]) .insert_approval(&wanted[0]) .insert_approval(&pending)
        .insert_approval(&used(3, DeedKind::KeyForceDelete, "key_1"))
        .insert_approval(&used(5, DeedKind::KeyDelete, "key_2")));
    let mut ours = view(store, OURS).await;
    assert_eq!(ours.used_approvals(DeedKind::KeyDelete, "key_1").await.unwrap(), wanted);
    assert_eq!(ours.used_approvals(DeedKind::KeyDelete, "key_3").await.unwrap(), []);
    drop(ours);
    assert_eq!(view(store, THEIRS).await.used_approvals(DeedKind::KeyDelete, "key_1").await.unwrap(), []);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    let used = Approval { reviewed_at: None, ..approval(1) };
    commit!(store, OURS, .insert_approval(&used));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.approval(used.id).await.unwrap(), None);
    assert_eq!(view.approvals(None, NOW, None, 10).await.unwrap(), []);
    assert_eq!(view.unreviewed_approvals(DeedKind::BreakGlass, 10).await.unwrap(), []);
}

/// And out of reach.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    commit!(store, OURS, .insert_approval(&approval(1)));
    let after = Approval { revision: approval(1).revision + 1, uses: 9, ..approval(1) };
    assert!(changed(begin(store, THEIRS).await.update_approval(&after).await, "approval"));
    assert_eq!(view(store, OURS).await.approval(after.id).await.unwrap(), Some(approval(1)));
}

/// An id is taken once in a tenant.
pub async fn an_id_is_taken_once(store: &impl Backend) {
    commit!(store, OURS, .insert_approval(&approval(1)));
    assert!(taken(begin(store, OURS).await.insert_approval(&approval(1)).await, "approval"));
}
