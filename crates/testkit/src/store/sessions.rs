//! Logins that go on by refresh tokens.

use chancery_domain::ids::UserId;
use chancery_domain::sessions::{Amr, Authentication, Head, Session, SessionState};

use super::{Backend, begin, changed, commit, view};
use crate::samples::{NOW, OURS, THEIRS, bytes, session, user};

/// Nothing of a session is lost.
pub async fn a_session_reads_back(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_session(&session(1)) .insert_session(&session(2)));
    let mut view = view(store, OURS).await;
    for n in [1, 2] {
        assert_eq!(view.session(session(n).id).await.unwrap(), Some(session(n)));
    }
    assert_eq!(view.session(session(3).id).await.unwrap(), None);
    assert_eq!(view.active_sessions(user(1).id).await.unwrap(), [session(1), session(2)]);
    assert_eq!(view.active_sessions(user(2).id).await.unwrap(), []);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_session(&session(1)));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.session(session(1).id).await.unwrap(), None);
    assert_eq!(view.active_sessions(user(1).id).await.unwrap(), []);
}

/// And out of reach.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    let late = NOW.plus_seconds(1 << 30);
    commit!(store, OURS, .insert_user(&user(1)) .insert_session(&session(1)));
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.advance_session(session(1).id, 7, &session(2).head).await, "session"));
    assert!(changed(tx.end_session(session(1).id, SessionState::Ended, NOW).await, "session"));
    assert!(changed(tx.try_session(session(1).id, 5).await, "session"));
    assert!(changed(tx.prove_session(session(1).id, &session(2).authentication).await, "session"));
    assert_eq!(tx.end_sessions_of(user(1).id, NOW).await.unwrap(), 0);
    assert_eq!(tx.forget_sessions(late, 10).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(view(store, OURS).await.session(session(1).id).await.unwrap(), Some(session(1)));
}

/// Of two that use the same head, one wins.
pub async fn a_head_moves_by_compare_and_swap(store: &impl Backend) {
    let next = Head { generation: 8, since: NOW.plus_seconds(5), ..session(2).head };
    commit!(store, OURS, .insert_user(&user(1)) .insert_session(&session(1)));
    commit!(store, OURS, .advance_session(session(1).id, 7, &next));
    assert!(changed(begin(store, OURS).await.advance_session(session(1).id, 7, &next).await, "session"));
    let moved = Session { head: next, ..session(1) };
    assert_eq!(view(store, OURS).await.session(moved.id).await.unwrap(), Some(moved));
}

/// An end is an end.
pub async fn it_ends_once_and_goes_on_no_more(store: &impl Backend) {
    let id = session(2).id;
    commit!(store, OURS, .insert_user(&user(1)) .insert_session(&session(2)));
    commit!(store, OURS, .end_session(id, SessionState::Reused, NOW));
    let mut tx = begin(store, OURS).await;
    assert!(changed(tx.end_session(id, SessionState::Ended, NOW.plus_seconds(9)).await, "session"));
    assert!(changed(tx.advance_session(id, 7, &session(1).head).await, "session"));
    drop(tx);
    let mut view = view(store, OURS).await;
    let over = Session { state: SessionState::Reused, ended_at: Some(NOW), ..session(2) };
    assert_eq!(view.session(id).await.unwrap(), Some(over));
    assert_eq!(view.active_sessions(user(1).id).await.unwrap(), []);
}

/// Those of another user go on.
pub async fn all_of_a_user_end_at_once(store: &impl Backend) {
    let other = Session { user: UserId::from_bytes(bytes(2)), ..session(3) };
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)) .insert_session(&session(1)) .insert_session(&session(2))
        .insert_session(&other));
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.end_sessions_of(user(1).id, NOW).await.unwrap(), 2);
    assert_eq!(tx.end_sessions_of(user(1).id, NOW).await.unwrap(), 0);
    tx.commit().await.unwrap();
    let mut view = view(store, OURS).await;
    assert_eq!(view.session(session(1).id).await.unwrap().unwrap().state, SessionState::Ended);
    assert_eq!(view.active_sessions(user(2).id).await.unwrap(), [other]);
}

/// Those of another tenant go on, and what had ended stays as it was.
pub async fn all_of_a_tenant_end_at_once(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_session(&session(1)) .insert_session(&session(2)));
    commit!(store, OURS, .end_session(session(2).id, SessionState::Reused, NOW));
    commit!(store, THEIRS, .insert_user(&user(1)) .insert_session(&session(1)));
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.end_all_sessions(NOW).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let mut ours = view(store, OURS).await;
    let ended = Session { state: SessionState::Ended, ended_at: Some(NOW), ..session(1) };
    assert_eq!(ours.session(session(1).id).await.unwrap(), Some(ended));
    assert_eq!(ours.session(session(2).id).await.unwrap().unwrap().state, SessionState::Reused);
    drop(ours);
    assert_eq!(view(store, THEIRS).await.session(session(1).id).await.unwrap(), Some(session(1)));
}

/// What has ended by its time, whether somebody ended it before or not; not more at once than asked for.
pub async fn what_is_long_over_is_forgotten(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_session(&session(1)) .insert_session(&session(2)));
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.forget_sessions(session(1).expires_at, 10).await.unwrap(), 0);
    assert_eq!(tx.forget_sessions(session(1).expires_at.plus_seconds(1), 1).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let mut view = view(store, OURS).await;
    assert_eq!(view.session(session(1).id).await.unwrap(), None);
    assert_eq!(view.session(session(2).id).await.unwrap(), Some(session(2)));
}

/// A proof is kept and gives new tries; a session that is over takes neither.
pub async fn tries_are_counted_until_a_proof(store: &impl Backend) {
    let id = session(2).id;
    let proof = Authentication { methods: vec![Amr::Password, Amr::MultiFactor], at: NOW.plus_seconds(60) };
    commit!(store, OURS, .insert_user(&user(1)) .insert_session(&session(2)));
    commit!(store, OURS, .try_session(id, 2) .try_session(id, 2));
    assert!(changed(begin(store, OURS).await.try_session(id, 2).await, "session"));
    commit!(store, OURS, .prove_session(id, &proof) .try_session(id, 2));
    let proved = Session { authentication: proof.clone(), ..session(2) };
    assert_eq!(view(store, OURS).await.session(id).await.unwrap(), Some(proved));
    commit!(store, OURS, .end_session(id, SessionState::Ended, NOW));
    let mut tx = begin(store, OURS).await;
    assert!(changed(tx.try_session(id, 9).await, "session"));
    assert!(changed(tx.prove_session(id, &proof).await, "session"));
}
