//! Why somebody may do something, or why not, and which role would change that.

use super::{DefinedRole, Holder, RoleError, list::offered, permissions_of};
use crate::{
    Instance,
    access::{Call, Permission, PermissionSet, RoleSet},
    audit::{Detail, Event, EventKind, receipt::note},
    store::View,
    users::UserState,
};

/// Who is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The caller, with the credential of this very call.
    Caller,
    /// Somebody of the caller's tenant, with the best credential they can have.
    Other(Holder),
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// Who.
    pub subject: Subject,
    /// May do what.
    pub permission: Permission,
}

codes! {
    /// Why the answer is as it is.
    pub enum Reason {
        /// A role gives it.
        Granted = "granted",
        /// No role that the subject holds gives it.
        NoRole = "no_role",
        /// A role gives it, but this credential does not carry that role: it was given after the token was issued.
        NotInCredential = "not_in_credential",
        /// The user is not active.
        UserNotActive = "user_not_active",
        /// The API key is revoked or has expired.
        KeyOver = "key_over",
        /// The key has it, the user it acts as has not.
        NotOfUser = "not_of_user",
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Who was asked about: an id.
    pub subject: String,
    /// Whether they may.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The roles that the subject holds.
    pub holds: Vec<String>,
    /// Those of them that give it.
    pub through: Vec<String>,
    /// The roles of the tenant that would give it.
    pub would: Vec<String>,
}

/// What somebody holds.
struct Standing {
    roles: RoleSet,
    defined: Vec<DefinedRole>,
    /// What stands in the way of all of it.
    blocked: Option<Reason>,
    /// The most it may do whatever its roles say, and what is said then.
    within: Option<(PermissionSet, Reason)>,
}

/// Explains. Everybody may ask about themselves; about others, who may see them.
///
/// # Errors
///
/// [`RoleError`].
pub async fn explain(instance: &Instance, call: &Call, question: Question) -> Result<Explanation, RoleError> {
    let permission = question.permission;
    match question.subject {
        Subject::Caller => {}
        Subject::Other(Holder::User(_)) => call.require(Permission::UsersRead)?,
        Subject::Other(Holder::ApiKey(_)) => call.require(Permission::ApiKeysRead)?,
    }
    let mut view = instance.store().view(call.tenant()).await?;
    let (subject, standing) = match question.subject {
        Subject::Caller => {
            let key = call.caller.api_key().map(Holder::ApiKey);
            let holder = key.or_else(|| call.caller.user().map(Holder::User)).ok_or(RoleError::NotFound)?;
            let mut standing = standing(instance, holder, &mut *view).await?;
            standing.within = Some((call.caller.permissions(), Reason::NotInCredential));
            (holder, standing)
        }
        Subject::Other(holder) => (holder, standing(instance, holder, &mut *view).await?),
    };
    let all = view.defined_roles().await?;
    drop(view);
    let answer = answer(call, subject, permission, &standing, &all);
    let event = Event::new(EventKind::AccessExplained).with("permission", Detail::Code(permission.as_str()));
    note(instance, call, call.tenant(), event.on("subject", subject)).await?;
    Ok(answer)
}

async fn standing(instance: &Instance, holder: Holder, view: &mut dyn View) -> Result<Standing, RoleError> {
    match holder {
        Holder::User(id) => {
            let user = view.user(id).await?.ok_or(RoleError::NotFound)?;
            let blocked = (user.state != UserState::Active).then_some(Reason::UserNotActive);
            let defined = view.roles_of(&id.to_string()).await?;
            Ok(Standing { roles: user.roles, defined, blocked, within: None })
        }
        Holder::ApiKey(id) => {
            let key = view.api_key(id).await?.ok_or(RoleError::NotFound)?;
            let defined = view.roles_of(&id.to_string()).await?;
            let mut blocked = key.is_over(instance.now()).then_some(Reason::KeyOver);
            let mut within = None;
            if let Some(user) = key.user {
                let user = view.user(user).await?.ok_or(RoleError::NotFound)?;
                if user.state != UserState::Active {
                    blocked = blocked.or(Some(Reason::UserNotActive));
                }
                let theirs = permissions_of(&view.roles_of(&user.id.to_string()).await?);
                within = Some((user.roles.permissions().union(theirs), Reason::NotOfUser));
            }
            Ok(Standing { roles: key.roles, defined, blocked, within })
        }
    }
}

fn answer(
    call: &Call,
    subject: Holder,
    permission: Permission,
    standing: &Standing,
    all: &[DefinedRole],
) -> Explanation {
    let built_in = |role: &crate::access::Role| role.as_str().to_owned();
    let gives = |role: &crate::access::Role| role.permissions().contains(&permission);
    let defined = |roles: &[DefinedRole]| -> Vec<String> {
        roles.iter().filter(|role| role.effective().contains(permission)).map(|role| role.name.clone()).collect()
    };
    let holds = standing.roles.iter().map(|role| built_in(&role));
    let holds = holds.chain(standing.defined.iter().map(|role| role.name.clone())).collect();
    let mut through: Vec<String> = standing.roles.iter().filter(gives).map(|role| built_in(&role)).collect();
    through.extend(defined(&standing.defined));
    let mut would: Vec<String> = offered(call).filter(gives).map(|role| built_in(&role)).collect();
    would.extend(defined(all));
    let beyond = standing.within.filter(|(within, _)| !within.contains(permission)).map(|(_, reason)| reason);
    let reason = match (standing.blocked, through.is_empty(), beyond) {
        (Some(blocked), ..) => blocked,
        (None, true, _) => Reason::NoRole,
        (None, false, Some(beyond)) => beyond,
        (None, false, None) => Reason::Granted,
    };
    Explanation { subject: subject.to_string(), allowed: reason == Reason::Granted, reason, holds, through, would }
}
