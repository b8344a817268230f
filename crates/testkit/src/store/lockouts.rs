//! Who is kept out for now.

use chancery_domain::ids::LockoutId;
use chancery_domain::lockouts::{Ladder, LadderKind, Lockout, LockoutKind};

use super::{Backend, commit, view};
use crate::samples::{NOW, OURS, THEIRS, api_key, bytes, session, user};

fn lockout(n: u64, kind: LockoutKind) -> Lockout {
    let (subject, user, policy) = match kind {
        LockoutKind::Account => (user(n).id.to_string(), Some(user(n).id), None),
        LockoutKind::ApiKey => (api_key(n).id.to_string(), None, Some("api_key".to_owned())),
        LockoutKind::Session => (session(n).id.to_string(), Some(session(n).user), Some("account".to_owned())),
    };
    let ladder = |kind| Ladder { kind, of: bytes(n) };
    let ladders = match kind {
        LockoutKind::Account => vec![ladder(LadderKind::Pair), ladder(LadderKind::Account)],
        LockoutKind::ApiKey | LockoutKind::Session => Vec::new(),
    };
    let id = LockoutId::from_bytes(bytes(n));
    let expires_at = NOW.plus_seconds(i64::try_from(n).unwrap() * 60);
    Lockout { id, kind, subject, user, policy, ladders, made_at: NOW, expires_at }
}

/// By id, in pages; what has expired is not told.
pub async fn lockouts_are_listed_until_they_expire(store: &impl Backend) {
    let [one, two, three] =
        [lockout(1, LockoutKind::Account), lockout(2, LockoutKind::ApiKey), lockout(3, LockoutKind::Session)];
    commit!(store, OURS, .put_lockout(&three) .put_lockout(&one) .put_lockout(&two));
    let mut view = view(store, OURS).await;
    assert_eq!(view.lockouts(NOW, None, 2).await.unwrap(), [one.clone(), two.clone()]);
    assert_eq!(view.lockouts(NOW, Some(two.id), 2).await.unwrap(), std::slice::from_ref(&three));
    assert_eq!(view.lockouts(NOW.plus_seconds(60), None, 9).await.unwrap(), [two.clone(), three]);
    assert_eq!(view.find_lockout(one.id).await.unwrap(), Some(one));
    assert_eq!(view.lockout_of(LockoutKind::ApiKey, &two.subject, NOW).await.unwrap(), Some(two.clone()));
    assert_eq!(view.lockout_of(LockoutKind::ApiKey, &two.subject, two.expires_at).await.unwrap(), None);
    assert_eq!(view.lockout_of(LockoutKind::Session, &two.subject, NOW).await.unwrap(), None);
}

/// A subject is kept out once, by what was said last; its id stays.
pub async fn a_subject_is_kept_out_once(store: &impl Backend) {
    let first = lockout(1, LockoutKind::Account);
    let last = Lockout {
        id: LockoutId::from_bytes(bytes(9)),
        ladders: vec![Ladder { kind: LadderKind::Pair, of: bytes(7) }],
        made_at: NOW.plus_seconds(1),
        expires_at: NOW.plus_seconds(99),
        ..first.clone()
    };
    commit!(store, OURS, .put_lockout(&first) .put_lockout(&last));
    let expected = Lockout { id: first.id, ..last };
    assert_eq!(view(store, OURS).await.lockouts(NOW, None, 9).await.unwrap(), [expected]);
}

/// By its subject, or because its time is over; the others stay.
pub async fn one_is_taken_away(store: &impl Backend) {
    let (one, two) = (lockout(1, LockoutKind::ApiKey), lockout(2, LockoutKind::ApiKey));
    commit!(store, OURS, .put_lockout(&one) .put_lockout(&two));
    commit!(store, OURS, .remove_lockout_of(LockoutKind::Session, &one.subject) .forget_lockouts(NOW.plus_seconds(59)));
    assert_eq!(view(store, OURS).await.lockouts(NOW, None, 9).await.unwrap(), [one.clone(), two.clone()]);
    commit!(store, OURS, .forget_lockouts(NOW.plus_seconds(60)));
    assert_eq!(view(store, OURS).await.find_lockout(one.id).await.unwrap(), None);
    commit!(store, OURS, .remove_lockout_of(LockoutKind::ApiKey, &two.subject));
    assert_eq!(view(store, OURS).await.lockouts(NOW, None, 9).await.unwrap(), []);
}

/// Who is authenticated is looked up again once a credential is kept out or let in; strangers that fail to log in make nobody look.
pub async fn what_stops_a_credential_raises_the_epoch(store: &impl Backend) {
    let epoch = async || store.epochs(&[OURS]).await.unwrap().of(OURS);
    commit!(store, OURS, .put_lockout(&lockout(1, LockoutKind::Account)));
    commit!(store, OURS, .forget_lockouts(NOW.plus_seconds(60)));
    let mut last = epoch().await;
    assert_eq!(last, 0);
    for kind in [LockoutKind::ApiKey, LockoutKind::Session] {
        let lockout = lockout(2, kind);
        commit!(store, OURS, .put_lockout(&lockout));
        let kept_out = epoch().await;
        commit!(store, OURS, .remove_lockout_of(kind, &lockout.subject));
        let let_in = epoch().await;
        assert!(last < kept_out && kept_out < let_in, "{kind}: {last} {kept_out} {let_in}");
        last = let_in;
    }
    assert_eq!(store.epochs(&[THEIRS]).await.unwrap().of(THEIRS), 0);
}

/// The rows of one tenant are out of sight for another, and out of reach.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    let one = lockout(1, LockoutKind::ApiKey);
    commit!(store, OURS, .put_lockout(&one));
    let mut theirs = view(store, THEIRS).await;
    assert_eq!(theirs.lockouts(NOW, None, 9).await.unwrap(), []);
    assert_eq!(theirs.find_lockout(one.id).await.unwrap(), None);
    drop(theirs);
    commit!(store, THEIRS, .remove_lockout_of(one.kind, &one.subject) .forget_lockouts(NOW.plus_seconds(99)));
    assert_eq!(view(store, OURS).await.lockouts(NOW, None, 9).await.unwrap(), [one]);
}
