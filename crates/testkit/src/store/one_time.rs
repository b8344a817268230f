//! Tokens that are good for one thing, once.

use chancery_domain::ids::UserId;
use chancery_domain::one_time::OneTimeToken;

use super::{Backend, begin, changed, commit, view};
use crate::samples::{NOW, OURS, THEIRS, bytes, one_time_token, user};

/// Nothing of a token is lost.
pub async fn a_token_reads_back(store: &impl Backend) {
    let (one, two) = (one_time_token(1), one_time_token(2));
    commit!(store, OURS, .insert_user(&user(1)) .insert_one_time_token(&one) .insert_one_time_token(&two));
    let mut view = view(store, OURS).await;
    assert_eq!(view.one_time_token(one.id).await.unwrap(), Some(one));
    assert_eq!(view.one_time_token(two.id).await.unwrap(), Some(two));
    assert_eq!(view.one_time_token(one_time_token(3).id).await.unwrap(), None);
}

/// Not more tries than allowed, however they come.
pub async fn tries_are_counted_up_to_their_end(store: &impl Backend) {
    let token = one_time_token(1);
    commit!(store, OURS, .insert_user(&user(1)) .insert_one_time_token(&token));
    commit!(store, OURS, .try_one_time_token(token.id, 2));
    commit!(store, OURS, .try_one_time_token(token.id, 2));
    assert!(changed(begin(store, OURS).await.try_one_time_token(token.id, 2).await, "one_time_token"));
    let tried = OneTimeToken { tries: 2, ..token.clone() };
    assert_eq!(view(store, OURS).await.one_time_token(token.id).await.unwrap(), Some(tried));
    assert!(changed(begin(store, OURS).await.try_one_time_token(one_time_token(9).id, 2).await, "one_time_token"));
}

/// Once.
pub async fn it_is_taken_once(store: &impl Backend) {
    let token = one_time_token(1);
    commit!(store, OURS, .insert_user(&user(1)) .insert_one_time_token(&token));
    commit!(store, OURS, .take_one_time_token(token.id));
    assert!(changed(begin(store, OURS).await.take_one_time_token(token.id).await, "one_time_token"));
    assert_eq!(view(store, OURS).await.one_time_token(token.id).await.unwrap(), None);
}

/// Those of another user stay.
pub async fn all_of_a_user_end_at_once(store: &impl Backend) {
    let other = OneTimeToken { user: UserId::from_bytes(bytes(2)), ..one_time_token(3) };
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)) .insert_one_time_token(&one_time_token(1))
        .insert_one_time_token(&one_time_token(2)) .insert_one_time_token(&other));
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.end_one_time_tokens_of(user(1).id).await.unwrap(), 2);
    assert_eq!(tx.end_one_time_tokens_of(user(1).id).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(view(store, OURS).await.one_time_token(other.id).await.unwrap(), Some(other));
}

/// What is over goes.
pub async fn what_expired_is_forgotten(store: &impl Backend) {
    let (one, two) = (one_time_token(1), one_time_token(2));
    commit!(store, OURS, .insert_user(&user(1)) .insert_one_time_token(&one) .insert_one_time_token(&two));
    commit!(store, OURS, .forget_one_time_tokens(two.expires_at));
    let mut view = view(store, OURS).await;
    assert_eq!(view.one_time_token(one.id).await.unwrap(), None);
    assert_eq!(view.one_time_token(two.id).await.unwrap(), Some(two));
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_one_time_token(&one_time_token(1)));
    assert_eq!(view(store, THEIRS).await.one_time_token(one_time_token(1).id).await.unwrap(), None);
}

/// And out of reach.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    let token = one_time_token(1);
    commit!(store, OURS, .insert_user(&user(1)) .insert_one_time_token(&token));
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.try_one_time_token(token.id, 5).await, "one_time_token"));
    assert!(changed(tx.take_one_time_token(token.id).await, "one_time_token"));
    assert_eq!(tx.end_one_time_tokens_of(token.user).await.unwrap(), 0);
    tx.forget_one_time_tokens(NOW.plus_seconds(1 << 30)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(view(store, OURS).await.one_time_token(token.id).await.unwrap(), Some(token));
}
