//! People who log in.

use chancery_domain::access::{Role, RoleSet};
use chancery_domain::users::{User, UserState};

use super::{Backend, begin, changed, commit, taken, view};
use crate::samples::{OURS, THEIRS, user};

/// Nothing of a user is lost: nulls, empty bytes, Unicode, the order of terms.
pub async fn a_user_reads_back(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)) .insert_user(&user(4)));
    let mut view = view(store, OURS).await;
    for n in [1, 2, 4] {
        assert_eq!(view.user(user(n).id).await.unwrap(), Some(user(n)));
    }
    assert_eq!(view.user(user(3).id).await.unwrap(), None);
}

/// However the name is spelled.
pub async fn a_user_is_found_by_name(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)));
    let mut view = view(store, OURS).await;
    for spelled in [user(1).username, user(1).username.to_lowercase(), user(1).username.to_uppercase()] {
        assert_eq!(view.user_by_username(&spelled).await.unwrap(), Some(user(1)), "{spelled:?}");
    }
    assert_eq!(view.user_by_username("").await.unwrap(), None);
    assert_eq!(view.unfolded_users(None, 9).await.unwrap(), []);
}

/// Any of the terms finds a user, who comes once whatever matched.
pub async fn users_are_found_by_terms(store: &impl Backend) {
    let (one, three) = (user(1), user(3));
    commit!(store, OURS, .insert_user(&one) .insert_user(&three));
    let mut view = view(store, OURS).await;
    let all = [three.email_terms.clone(), one.email_terms.clone(), vec!["\"'; --".to_owned()]].concat();
    assert_eq!(view.users_by_email_terms(&all).await.unwrap(), [one, three.clone()]);
    assert_eq!(view.users_by_email_terms(&three.email_terms[..1]).await.unwrap(), [three]);
    assert_eq!(view.users_by_email_terms(&["term".to_owned()]).await.unwrap(), []);
    assert_eq!(view.users_by_email_terms(&[]).await.unwrap(), []);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.user(user(1).id).await.unwrap(), None);
    assert_eq!(view.user_by_username(&user(1).username).await.unwrap(), None);
    assert_eq!(view.users_by_email_terms(&user(1).email_terms).await.unwrap(), []);
    assert_eq!(view.count_users_with_role(Role::Staff).await.unwrap(), 0);
}

/// And out of reach.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)));
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.set_password_hash(user(1).id, "theirs").await, "user"));
    assert!(changed(tx.clear_password_hash(user(1).id).await, "user"));
    assert!(changed(tx.update_user(&user(1)).await, "user"));
    assert_eq!(tx.hold_user(user(1).id).await.unwrap(), None);
    assert_eq!(tx.users(None, 10).await.unwrap(), []);
    drop(tx);
    assert_eq!(view(store, OURS).await.user(user(1).id).await.unwrap(), Some(user(1)));
}

/// A name is unique in its tenant, in every spelling, and free in another.
pub async fn a_name_is_taken_once_in_a_tenant(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)));
    let mut double = user(2);
    for spelled in [user(1).username, user(1).username.to_lowercase()] {
        double.username = spelled;
        assert!(taken(begin(store, OURS).await.insert_user(&double).await, "username"), "{:?}", double.username);
    }
    commit!(store, THEIRS, .insert_user(&double));
    // Who has another name from now on leaves the old one to others, and is found by the new one.
    commit!(store, OURS, .update_user(&User { username: "Other".to_owned(), ..user(1) }) .insert_user(&double));
    let mut view = view(store, OURS).await;
    assert_eq!(view.user_by_username("other").await.unwrap().map(|found| found.id), Some(user(1).id));
    assert_eq!(view.user_by_username(&user(1).username).await.unwrap().map(|found| found.id), Some(double.id));
}

/// Only active users count, and a role's name within another's does not.
pub async fn active_holders_of_a_role_are_counted(store: &impl Backend) {
    let mut disabled = user(3);
    disabled.state = UserState::Disabled;
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)) .insert_user(&disabled));
    let mut view = view(store, OURS).await;
    assert_eq!(view.count_users_with_role(Role::Staff).await.unwrap(), 2);
    assert_eq!(view.count_users_with_role(Role::Auditor).await.unwrap(), 2);
    assert_eq!(view.count_users_with_role(Role::PlatformAuditor).await.unwrap(), 0);
    assert_eq!(view.count_users_with_role(Role::Service).await.unwrap(), 0);
}

/// A better hash replaces the old one and nothing else.
pub async fn a_password_hash_is_replaced(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)) .set_password_hash(user(1).id, "$argon2id$new"));
    let mut expected = user(1);
    expected.password_hash = Some("$argon2id$new".to_owned());
    assert_eq!(view(store, OURS).await.user(expected.id).await.unwrap(), Some(expected));
    assert!(changed(begin(store, OURS).await.set_password_hash(user(9).id, "x").await, "user"));
    commit!(store, OURS, .clear_password_hash(user(1).id));
    assert_eq!(view(store, OURS).await.user(user(1).id).await.unwrap().unwrap().password_hash, None);
}

/// By id; who was deleted is not among them.
pub async fn users_come_in_pages(store: &impl Backend) {
    let deleted = User { state: UserState::Deleted, ..user(2) };
    let locked = User { state: UserState::Locked, ..user(3) };
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&deleted) .insert_user(&locked) .insert_user(&user(4)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.users(None, 2).await.unwrap(), [user(1), locked.clone()]);
    assert_eq!(view.users(Some(locked.id), 2).await.unwrap(), [user(4)]);
    assert_eq!(view.users(Some(user(4).id), 2).await.unwrap(), []);
}

/// Everything but the password; old terms find nobody.
pub async fn a_user_is_updated_with_its_terms(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(3)) .insert_user(&user(1)));
    let mut changed_user = User { id: user(3).id, password_hash: Some("ignored".to_owned()), ..user(6) };
    changed_user.roles = RoleSet::of(&[Role::Clinician]);
    changed_user.state = UserState::Disabled;
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.hold_user(user(3).id).await.unwrap(), Some(user(3)));
    tx.update_user(&changed_user).await.unwrap();
    tx.commit().await.unwrap();
    let mut now = view(store, OURS).await;
    let expected = User { password_hash: user(3).password_hash, ..changed_user };
    assert_eq!(now.user(expected.id).await.unwrap(), Some(expected.clone()));
    assert_eq!(now.users_by_email_terms(&user(3).email_terms).await.unwrap(), []);
    assert_eq!(now.users_by_email_terms(&expected.email_terms).await.unwrap(), std::slice::from_ref(&expected));
    drop(now);
    let double = User { username: user(1).username, ..expected };
    assert!(taken(begin(store, OURS).await.update_user(&double).await, "username"));
    assert!(changed(begin(store, OURS).await.update_user(&user(9)).await, "user"));
}

/// Nodes forget a caller whose rights changed, and go on with one whose name did.
pub async fn a_change_of_rights_raises_the_epoch(store: &impl Backend) {
    let epoch = async || store.epochs(&[OURS]).await.unwrap().of(OURS);
    commit!(store, OURS, .insert_user(&user(1)));
    commit!(store, OURS, .update_user(&User { username: "other".to_owned(), ..user(1) }) .set_password_hash(user(1).id, "x"));
    assert_eq!(epoch().await, 0);
    let locked = User { state: UserState::Locked, ..user(1) };
    commit!(store, OURS, .update_user(&locked));
    let after_state = epoch().await;
    assert!(after_state > 0);
    commit!(store, OURS, .update_user(&User { roles: RoleSet::of(&[Role::Staff]), ..locked }));
    assert!(epoch().await > after_state);
}
