//! Second factors of people.

use chancery_crypto::Handle;
use chancery_domain::census::OwnColumn;
use chancery_domain::factors::{RecoveryCode, Totp};

use super::{Backend, begin, changed, commit, view};
use crate::samples::{NOW, OURS, THEIRS, recovery_code, totp, user};

/// Nothing of a secret is lost, and it counts among Chancery's own sealed values.
pub async fn one_time_codes_read_back(store: &impl Backend) {
    let mut sealed = totp(1);
    sealed.secret = [&[0xF9, 0x11, 1, 1][..], &[7; 8], &[0; 72]].concat();
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)) .put_totp(&sealed) .put_totp(&totp(2)));
    let mut now = view(store, OURS).await;
    assert_eq!(now.totp(user(1).id).await.unwrap(), Some(sealed.clone()));
    assert_eq!(now.totp(user(2).id).await.unwrap(), Some(totp(2)));
    assert_eq!(now.totp(user(3).id).await.unwrap(), None);
    let found = now.own_under(Handle([7; 8]), None, 10).await.unwrap();
    assert_eq!((found.len(), found[0].column, &found[0].row), (1, OwnColumn::UserTotp, &sealed.user.to_string()));
    drop(now);
    let mut tx = begin(store, OURS).await;
    assert!(tx.swap_own(&found[0], &[1]).await.unwrap());
    assert!(!tx.swap_own(&found[0], &[2]).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(view(store, OURS).await.totp(sealed.user).await.unwrap().unwrap().secret, [1]);
}

/// Only what nobody has confirmed may be begun again; its failures stay.
pub async fn a_confirmed_secret_is_not_replaced(store: &impl Backend) {
    let again = Totp { secret: vec![9], created_at: NOW.plus_seconds(5), ..totp(2) };
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)) .put_totp(&totp(1)) .put_totp(&totp(2)));
    assert!(changed(begin(store, OURS).await.put_totp(&Totp { user: user(1).id, ..again.clone() }).await, "totp"));
    commit!(store, OURS, .fail_totp(user(2).id, 0, NOW));
    commit!(store, OURS, .put_totp(&again));
    let expected = Totp { failures: 1, failed_at: Some(NOW), ..again };
    assert_eq!(view(store, OURS).await.totp(user(2).id).await.unwrap(), Some(expected));
}

/// Of two that saw the same count, one counts.
pub async fn failures_are_counted_one_by_one(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .put_totp(&totp(1)));
    commit!(store, OURS, .fail_totp(user(1).id, 0, NOW));
    assert!(changed(begin(store, OURS).await.fail_totp(user(1).id, 0, NOW).await, "totp"));
    commit!(store, OURS, .fail_totp(user(1).id, 1, NOW.plus_seconds(1)));
    let expected = Totp { failures: 2, failed_at: Some(NOW.plus_seconds(1)), ..totp(1) };
    assert_eq!(view(store, OURS).await.totp(user(1).id).await.unwrap(), Some(expected));
}

/// A step and those before it are used up, failures are forgotten, and the first one confirms.
pub async fn a_step_is_used_once(store: &impl Backend) {
    let (fresh, at) = (totp(2), NOW.plus_seconds(30));
    commit!(store, OURS, .insert_user(&user(2)) .put_totp(&fresh));
    commit!(store, OURS, .fail_totp(fresh.user, 0, NOW));
    commit!(store, OURS, .pass_totp(&fresh, 7, at));
    let passed = Totp { last_step: Some(7), confirmed_at: Some(at), ..fresh };
    assert_eq!(view(store, OURS).await.totp(passed.user).await.unwrap(), Some(passed.clone()));
    for used in [7, 6, 0] {
        assert!(changed(begin(store, OURS).await.pass_totp(&passed, used, at).await, "totp"), "{used}");
    }
    let other = Totp { secret: vec![1], ..passed.clone() };
    assert!(changed(begin(store, OURS).await.pass_totp(&other, 8, at).await, "totp"), "another secret");
    commit!(store, OURS, .pass_totp(&passed, 8, at.plus_seconds(30)));
    let later = Totp { last_step: Some(8), ..passed };
    assert_eq!(view(store, OURS).await.totp(later.user).await.unwrap(), Some(later));
}

/// In the order of their making, and only the newest set.
pub async fn recovery_codes_read_back(store: &impl Backend) {
    let (first, second) = ([recovery_code(1), recovery_code(2)], [recovery_code(4)]);
    commit!(store, OURS, .insert_user(&user(1)) .put_recovery_codes(user(1).id, &first));
    assert_eq!(view(store, OURS).await.recovery_codes(user(1).id).await.unwrap(), first);
    assert_eq!(view(store, OURS).await.recovery_codes(user(2).id).await.unwrap(), []);
    commit!(store, OURS, .put_recovery_codes(user(1).id, &second));
    assert_eq!(view(store, OURS).await.recovery_codes(user(1).id).await.unwrap(), second);
}

/// Once.
pub async fn a_recovery_code_is_used_once(store: &impl Backend) {
    let (codes, at) = ([recovery_code(2), recovery_code(4)], NOW.plus_seconds(9));
    commit!(store, OURS, .insert_user(&user(1)) .put_recovery_codes(user(1).id, &codes));
    commit!(store, OURS, .use_recovery_code(user(1).id, &codes[0].digest, at));
    let again = begin(store, OURS).await.use_recovery_code(user(1).id, &codes[0].digest, at).await;
    assert!(changed(again, "recovery_code"));
    let unknown = begin(store, OURS).await.use_recovery_code(user(1).id, &[1; 32], at).await;
    assert!(changed(unknown, "recovery_code"));
    let [used, unused] = codes;
    let expected = [RecoveryCode { used_at: Some(at), ..used }, unused];
    assert_eq!(view(store, OURS).await.recovery_codes(user(1).id).await.unwrap(), expected);
}

/// Those of another user stay.
pub async fn all_of_a_user_are_removed(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)) .put_totp(&totp(1)) .put_totp(&totp(2))
        .put_recovery_codes(user(1).id, &[recovery_code(2)]) .put_recovery_codes(user(2).id, &[recovery_code(4)]));
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.remove_factors(user(1).id).await.unwrap(), 1);
    assert_eq!(tx.remove_factors(user(1).id).await.unwrap(), 0);
    tx.commit().await.unwrap();
    let mut view = view(store, OURS).await;
    assert_eq!(view.totp(user(1).id).await.unwrap(), None);
    assert_eq!(view.recovery_codes(user(1).id).await.unwrap(), []);
    assert_eq!(view.totp(user(2).id).await.unwrap(), Some(totp(2)));
    assert_eq!(view.recovery_codes(user(2).id).await.unwrap(), [recovery_code(4)]);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .put_totp(&totp(1)) .put_recovery_codes(user(1).id, &[recovery_code(2)]));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.totp(user(1).id).await.unwrap(), None);
    assert_eq!(view.recovery_codes(user(1).id).await.unwrap(), []);
    assert_eq!(view.own_under(Handle([7; 8]), None, 10).await.unwrap(), []);
}

/// And out of reach.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .put_totp(&totp(1)) .put_recovery_codes(user(1).id, &[recovery_code(2)]));
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.fail_totp(user(1).id, 0, NOW).await, "totp"));
    assert!(changed(tx.pass_totp(&totp(1), u64::from(u32::MAX), NOW).await, "totp"));
    assert!(changed(tx.use_recovery_code(user(1).id, &recovery_code(2).digest, NOW).await, "recovery_code"));
    assert_eq!(tx.remove_factors(user(1).id).await.unwrap(), 0);
    tx.put_recovery_codes(user(1).id, &[]).await.unwrap();
    tx.commit().await.unwrap();
    let mut view = view(store, OURS).await;
    assert_eq!(view.totp(user(1).id).await.unwrap(), Some(totp(1)));
    assert_eq!(view.recovery_codes(user(1).id).await.unwrap(), [recovery_code(2)]);
}

/// A factor belongs to a user who is there.
pub async fn they_belong_to_a_user_who_is_there(store: &impl Backend) {
    assert!(begin(store, OURS).await.put_totp(&totp(1)).await.is_err());
    assert!(begin(store, OURS).await.put_recovery_codes(user(1).id, &[recovery_code(2)]).await.is_err());
}
