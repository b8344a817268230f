//! Roles that tenants define, and who holds them.

use chancery_domain::access::{Permission, PermissionSet};
use chancery_domain::roles::DefinedRole;

use super::{Backend, begin, changed, commit, unavailable, view};
use crate::samples::{NOW, OURS, THEIRS, role};

const ANN: &str = "usr_00000000000000000000000001";
const BOB: &str = "usr_00000000000000000000000002";

/// Nothing of a role is lost, and they come in the order of their names.
pub async fn a_role_reads_back(store: &impl Backend) {
    commit!(store, OURS, .put_role(&role(2)) .put_role(&role(1)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.defined_roles().await.unwrap(), [role(1), role(2)]);
    assert_eq!(view.defined_role(&role(2).name).await.unwrap(), Some(role(2)));
    assert_eq!(view.defined_role("nobody").await.unwrap(), None);
}

/// A role is replaced as a whole, and its holders keep it.
pub async fn a_role_is_replaced(store: &impl Backend) {
    let name = role(1).name;
    commit!(store, OURS, .put_role(&role(1)) .give_role(&name, ANN, NOW));
    let narrower = DefinedRole {
        permissions: PermissionSet::of(&[Permission::DataSeal]),
        changed_at: NOW.plus_seconds(1),
        ..role(1)
    };
    commit!(store, OURS, .put_role(&narrower));
    assert_eq!(view(store, OURS).await.roles_of(ANN).await.unwrap(), [narrower]);
}

/// Given twice is given once; taken is taken.
pub async fn holders_come_and_go(store: &impl Backend) {
    let (one, two) = (role(1).name, role(2).name);
    commit!(store, OURS, .put_role(&role(1)) .put_role(&role(2)) .give_role(&one, BOB, NOW) .give_role(&one, ANN, NOW)
        .give_role(&one, ANN, NOW) .give_role(&two, ANN, NOW));
    assert_eq!(view(store, OURS).await.role_holders(&one, 9).await.unwrap(), [ANN, BOB]);
    assert_eq!(view(store, OURS).await.role_holders(&one, 1).await.unwrap(), [ANN]);
    assert_eq!(view(store, OURS).await.roles_of(ANN).await.unwrap(), [role(1), role(2)]);
    commit!(store, OURS, .take_role(&one, ANN));
    assert_eq!(view(store, OURS).await.role_holders(&one, 9).await.unwrap(), [BOB]);
    assert!(changed(begin(store, OURS).await.take_role(&one, ANN).await, "role"));
}

/// What somebody holds is not deleted, and what is not there is neither given nor deleted.
pub async fn a_held_role_stays(store: &impl Backend) {
    let name = role(1).name;
    commit!(store, OURS, .put_role(&role(1)) .give_role(&name, ANN, NOW));
    assert!(unavailable(begin(store, OURS).await.delete_role(&name).await));
    commit!(store, OURS, .take_role(&name, ANN) .delete_role(&name));
    assert_eq!(view(store, OURS).await.defined_roles().await.unwrap(), []);
    assert!(changed(begin(store, OURS).await.delete_role(&name).await, "role"));
    assert!(unavailable(begin(store, OURS).await.give_role(&name, ANN, NOW).await));
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    let name = role(1).name;
    commit!(store, OURS, .put_role(&role(1)) .give_role(&name, ANN, NOW));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.defined_roles().await.unwrap(), []);
    assert_eq!(view.defined_role(&name).await.unwrap(), None);
    assert_eq!(view.roles_of(ANN).await.unwrap(), []);
    assert_eq!(view.role_holders(&name, 9).await.unwrap(), [""; 0]);
}

/// And out of reach; both may have a role of one name.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    let name = role(1).name;
    commit!(store, OURS, .put_role(&role(1)) .give_role(&name, ANN, NOW));
    assert!(changed(begin(store, THEIRS).await.delete_role(&name).await, "role"));
    assert!(changed(begin(store, THEIRS).await.take_role(&name, ANN).await, "role"));
    let theirs = DefinedRole { description: "theirs".to_owned(), ..role(1) };
    commit!(store, THEIRS, .put_role(&theirs));
    assert_eq!(view(store, OURS).await.roles_of(ANN).await.unwrap(), [role(1)]);
}

/// Nodes learn of each change that matters to a caller.
pub async fn changes_raise_the_epoch(store: &impl Backend) {
    let epoch = async || store.epochs(&[OURS]).await.unwrap().of(OURS);
    let name = role(1).name;
    commit!(store, OURS, .put_role(&role(1)));
    let mut last = epoch().await;
    macro_rules! raises {
        (.$call:ident($($arg:expr),*)) => {{
            commit!(store, OURS, .$call($($arg),*));
            let now = epoch().await;
            assert!(now > last, stringify!($call));
            last = now;
        }};
    }
    raises!(.give_role(&name, ANN, NOW));
    raises!(.put_role(&role(1)));
    raises!(.take_role(&name, ANN));
    raises!(.delete_role(&name));
    assert_eq!(epoch().await, last);
}
