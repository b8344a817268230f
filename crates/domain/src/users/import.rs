//! Brings users of another system, with the hashes of their passwords.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chancery_crypto::password;

use super::{
    CreateUserError, NewUser, User, UserState,
    create::{check, sealed},
    name::name_key,
};
use crate::{
    Instance,
    access::{Call, Permission, Role, RoleSet, grant},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::UserId,
    lockdown::refuse_suspects,
};

/// One user as another system has it.
#[derive(Debug)]
pub struct ImportedUser {
    /// The user, without a password.
    pub user: NewUser,
    /// The hash of its password: Argon2id in PHC form, or bcrypt. It becomes an Argon2id hash of ours at the first login.
    pub password_hash: Option<String>,
    /// Whether it may log in.
    pub is_active: bool,
}

/// Makes users of the caller's tenant in one commit: for each one its id, or why it was not made. The others are made all the same.
///
/// # Errors
///
/// [`CreateUserError`]; then nobody was made.
pub async fn import(
    instance: &Instance,
    call: &Call,
    users: Vec<ImportedUser>,
) -> Result<Vec<Result<UserId, CreateUserError>>, CreateUserError> {
    let tenant = call.tenant();
    call.require(Permission::UsersCreate)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, tenant).await?;
    let ring = Arc::clone(change.keyring());
    let (mut outcomes, mut names, mut made) = (Vec::with_capacity(users.len()), BTreeSet::new(), Vec::new());
    let mut grants: BTreeMap<String, Result<(), Role>> = BTreeMap::new();
    for ImportedUser { user: new, password_hash, is_active } in users {
        let new = new.trimmed();
        let roles = RoleSet::of(&new.roles);
        if let Err(faults) = check_imported(&new, password_hash.as_deref()) {
            outcomes.push(Err(faults.into()));
            continue;
        }
        match refuse_suspects(instance, change.rows(), &[("/username", &new.username)]).await {
            Err(error @ CreateUserError::Invalid(_)) => {
                outcomes.push(Err(error));
                continue;
            }
            looked => looked?,
        }
        let granted = match grants.get(&roles.to_text()) {
            Some(granted) => *granted,
            None => {
                let granted = grant::check(instance, call, tenant, roles, change.rows()).await?;
                grants.insert(roles.to_text(), granted);
                granted
            }
        };
        if let Err(role) = granted {
            outcomes.push(Err(CreateUserError::MayNotGrant(role)));
            continue;
        }
        // A failed insert would spoil the whole commit.
        let taken = change.rows().user_by_username(&new.username).await?.is_some();
        if taken || !names.insert(name_key(&new.username)) {
            outcomes.push(Err(CreateUserError::UsernameTaken));
            continue;
        }
        let id = UserId::make(instance.now(), instance.random())?;
        let user = match sealed(instance, &ring, id, new, password_hash) {
            Ok(user) => user,
            Err(error @ CreateUserError::Invalid(_)) => {
                outcomes.push(Err(error));
                continue;
            }
            Err(error) => return Err(error),
        };
        let state = if is_active { UserState::Active } else { UserState::Disabled };
        change.rows().insert_user(&User { state, ..user }).await?;
        made.push(id.to_string());
        outcomes.push(Ok(id));
    }
    if !made.is_empty() {
        let count = Detail::Count(u64::try_from(made.len()).unwrap_or(u64::MAX));
        let event = Event::new(EventKind::UsersImported).with("count", count).with("users", Detail::Names(made));
        change.commit(event).await?;
    }
    Ok(outcomes)
}

fn check_imported(new: &NewUser, password_hash: Option<&str>) -> Result<(), Faults> {
    let mut faults = check(new).err().unwrap_or_default();
    if password_hash.is_some_and(|hash| password::check_stored(hash).is_err()) {
        let message = "use an Argon2id hash in PHC form (up to m=262144,t=16,p=8) or a bcrypt hash of cost 4 to 15";
        faults.add("/password_hash", "format", message);
    }
    faults.check()
}
