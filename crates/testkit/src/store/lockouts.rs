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

/// What is over is told until it is taken away; who looks compares. Once more, it is the later end that counts.
pub async fn an_address_is_known_until_its_end(store: &impl Backend) {
    let (ann, later) = (user(1).id, NOW.plus_seconds(60));
    commit!(store, OURS, .know_address(ann, "home", NOW, 9) .know_address(ann, "away", later, 9));
    assert_eq!(view(store, OURS).await.known_address(ann, "home").await.unwrap(), Some(NOW));
    commit!(store, OURS, .know_address(ann, "home", later, 9) .forget_addresses(NOW));
    for address in ["home", "away"] {
        assert_eq!(view(store, OURS).await.known_address(ann, address).await.unwrap(), Some(later), "{address}");
    }
    commit!(store, OURS, .forget_addresses(later));
    assert_eq!(view(store, OURS).await.known_address(ann, "home").await.unwrap(), None);
}

/// However many a user logs in from; another's do not count.
pub async fn of_each_user_the_last_addresses_stay(store: &impl Backend) {
    let (ann, bob) = (user(1).id, user(2).id);
    commit!(store, OURS, .know_address(bob, "0", NOW, 3));
    for n in 0..7 {
        commit!(store, OURS, .know_address(ann, &n.to_string(), NOW.plus_seconds(n), 3));
    }
    let mut view = view(store, OURS).await;
    for n in 0..7 {
        let known = view.known_address(ann, &n.to_string()).await.unwrap();
        assert_eq!(known, (n >= 4).then(|| NOW.plus_seconds(n)), "{n}");
    }
    assert_eq!(view.known_address(bob, "0").await.unwrap(), Some(NOW));
}

/// Those of another user stay, and those of another tenant are neither seen nor taken.
pub async fn addresses_go_with_their_user(store: &impl Backend) {
    let (ann, bob) = (user(1).id, user(2).id);
    commit!(store, OURS, .know_address(ann, "home", NOW, 9) .know_address(bob, "home", NOW, 9));
    assert_eq!(view(store, THEIRS).await.known_address(ann, "home").await.unwrap(), None);
    commit!(store, THEIRS, .forget_addresses_of(ann) .forget_addresses(NOW.plus_seconds(1)));
    commit!(store, OURS, .forget_addresses_of(ann));
    let mut view = view(store, OURS).await;
    assert_eq!(view.known_address(ann, "home").await.unwrap(), None);
    assert_eq!(view.known_address(bob, "home").await.unwrap(), Some(NOW));
}
