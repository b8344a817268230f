//! Passkeys of people, and the challenges that were used.

use chancery_domain::passkeys::Passkey;
use chancery_domain::store::StoreError;

use super::{Backend, begin, changed, commit, view};
use crate::samples::{NOW, OURS, THEIRS, passkey, user};

/// By its user and by what its authenticator calls it.
pub async fn a_passkey_reads_back(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_passkey(&passkey(2)) .insert_passkey(&passkey(1)));
    let mut now = view(store, OURS).await;
    assert_eq!(now.passkeys(user(1).id).await.unwrap(), [passkey(1), passkey(2)]);
    assert_eq!(now.passkeys(user(2).id).await.unwrap(), []);
    assert_eq!(now.passkey_by_credential(&passkey(2).credential).await.unwrap(), Some(passkey(2)));
    assert_eq!(now.passkey_by_credential(&passkey(3).credential).await.unwrap(), None);
    assert_eq!(now.passkey_by_credential(&[]).await.unwrap(), None);
}

/// Nobody else in the tenant has it; in another tenant somebody may.
pub async fn a_credential_is_one_users(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)) .insert_passkey(&passkey(1)));
    let theirs = Passkey { id: passkey(2).id, user: user(2).id, ..passkey(1) };
    let taken = begin(store, OURS).await.insert_passkey(&theirs).await;
    assert!(matches!(taken, Err(StoreError::Taken("passkey"))), "{taken:?}");
    commit!(store, THEIRS, .insert_user(&user(2)) .insert_passkey(&theirs));
    let found = view(store, THEIRS).await.passkey_by_credential(&theirs.credential).await.unwrap();
    assert_eq!(found, Some(theirs));
}

/// Of two that saw the same count, one counts.
pub async fn a_use_counts_on_from_what_was_read(store: &impl Backend) {
    let (read, at) = (passkey(2), NOW.plus_seconds(9));
    commit!(store, OURS, .insert_user(&user(1)) .insert_passkey(&read));
    commit!(store, OURS, .use_passkey(&read, u32::MAX, false, at));
    assert!(changed(begin(store, OURS).await.use_passkey(&read, u32::MAX, true, NOW).await, "passkey"));
    let used = Passkey { sign_count: u32::MAX, backed_up: false, last_used_at: Some(at), ..read };
    assert_eq!(view(store, OURS).await.passkeys(user(1).id).await.unwrap(), [used]);
}

/// By its user alone.
pub async fn one_is_renamed_and_removed(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)) .insert_passkey(&passkey(1)) .insert_passkey(&passkey(2)));
    let mut tx = begin(store, OURS).await;
    assert!(changed(tx.rename_passkey(user(2).id, passkey(1).id, "x").await, "passkey"));
    assert!(changed(tx.remove_passkey(user(2).id, passkey(1).id).await, "passkey"));
    tx.rename_passkey(user(1).id, passkey(1).id, "phone").await.unwrap();
    tx.remove_passkey(user(1).id, passkey(2).id).await.unwrap();
    assert!(changed(tx.remove_passkey(user(1).id, passkey(2).id).await, "passkey"));
    tx.commit().await.unwrap();
    let left = Passkey { name: "phone".to_owned(), ..passkey(1) };
    assert_eq!(view(store, OURS).await.passkeys(user(1).id).await.unwrap(), [left]);
}

/// With the other factors; those of another user stay.
pub async fn all_of_a_user_are_removed(store: &impl Backend) {
    let theirs = Passkey { user: user(2).id, ..passkey(2) };
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)) .insert_passkey(&passkey(1)) .insert_passkey(&theirs));
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.remove_totp(user(1).id).await.unwrap(), 0);
    assert_eq!(tx.remove_factors(user(1).id).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let mut view = view(store, OURS).await;
    assert_eq!(view.passkeys(user(1).id).await.unwrap(), []);
    assert_eq!(view.passkeys(user(2).id).await.unwrap(), [theirs]);
}

/// Once, and a second try spoils nothing else in its transaction.
pub async fn a_challenge_is_used_once(store: &impl Backend) {
    let end = NOW.plus_seconds(300);
    commit!(store, OURS, .insert_user(&user(1)) .spend_challenge(&[1; 32], end, NOW));
    let mut tx = begin(store, OURS).await;
    assert!(changed(tx.spend_challenge(&[1; 32], end, NOW).await, "passkey_challenge"));
    tx.spend_challenge(&[2; 32], end, NOW).await.unwrap();
    tx.insert_passkey(&passkey(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert!(changed(begin(store, OURS).await.spend_challenge(&[2; 32], end, NOW).await, "passkey_challenge"));
    assert_eq!(view(store, OURS).await.passkeys(user(1).id).await.unwrap(), [passkey(1)]);
    // Another tenant's are its own.
    commit!(store, THEIRS, .spend_challenge(&[1; 32], end, NOW));
}

/// When another is used.
pub async fn what_expired_is_forgotten(store: &impl Backend) {
    let (end, later) = (NOW.plus_seconds(300), NOW.plus_seconds(301));
    commit!(store, OURS, .spend_challenge(&[1; 32], end, NOW) .spend_challenge(&[2; 32], later, NOW));
    commit!(store, OURS, .spend_challenge(&[3; 32], later, later));
    let mut tx = begin(store, OURS).await;
    tx.spend_challenge(&[1; 32], end, NOW).await.unwrap();
    assert!(changed(tx.spend_challenge(&[2; 32], later, NOW).await, "passkey_challenge"));
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_passkey(&passkey(1)));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.passkeys(user(1).id).await.unwrap(), []);
    assert_eq!(view.passkey_by_credential(&passkey(1).credential).await.unwrap(), None);
}

/// And out of reach.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_passkey(&passkey(1)));
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.use_passkey(&passkey(1), u32::MAX, true, NOW).await, "passkey"));
    assert!(changed(tx.rename_passkey(user(1).id, passkey(1).id, "x").await, "passkey"));
    assert!(changed(tx.remove_passkey(user(1).id, passkey(1).id).await, "passkey"));
    assert_eq!(tx.remove_factors(user(1).id).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(view(store, OURS).await.passkeys(user(1).id).await.unwrap(), [passkey(1)]);
}

/// A passkey belongs to a user who is there.
pub async fn they_belong_to_a_user_who_is_there(store: &impl Backend) {
    assert!(begin(store, OURS).await.insert_passkey(&passkey(1)).await.is_err());
}
