//! The first half of a login: a right password, and a token for the second.

use chancery_crypto::Secret;

use super::{FactorError, Method, Standing, needed};
use crate::{
    Instance, TenantId,
    access::{Call, RequestInfo, authenticate::caller_halfway},
    audit::{Change, Detail, Event, EventKind},
    ids::OneTimeId,
    instance::Failure,
    one_time::{self, Issued, OneTimeKind},
    sessions::Person,
    store::TenantEntry,
    users::{User, UserState, hold_unchanged},
};

/// What a login waits for.
#[derive(Debug)]
pub struct SecondFactor {
    /// The token for the second step. Shown once.
    pub token: Issued,
    /// How it can go on.
    pub methods: Vec<Method>,
}

/// Asks a user who has shown a right password for a second factor, if it has one or needs one. A better password hash, if there
/// is one, is kept in the same commit.
pub(crate) async fn challenge(
    instance: &Instance,
    request: &RequestInfo,
    (tenant, slug): (TenantId, &str),
    user: &User,
    better_hash: Option<&str>,
) -> Result<Option<SecondFactor>, Failure> {
    let mut view = instance.store().fresh_view(tenant).await?;
    let standing = Standing::of(&mut *view, user.id).await?;
    let needed = needed(&mut *view, user).await?;
    drop(view);
    let (kind, methods) = match standing.is_enrolled() {
        // Also where passkeys are no longer offered: who has none but those goes on with a recovery code, or not at all.
        true => {
            let offered = standing.passkeys > 0 && instance.passkey_verifier().is_some();
            let (totp, codes) = (standing.totp_since.is_some(), standing.codes > 0);
            let all = [(offered, Method::Passkey), (totp, Method::Totp), (codes, Method::RecoveryCode)];
            (OneTimeKind::Factor, all.into_iter().filter(|(there, _)| *there).map(|(_, method)| method).collect())
        }
        false if needed => (OneTimeKind::Enrol, vec![Method::Enroll]),
        false => return Ok(None),
    };
    let call = call(request, (tenant, slug), user);
    let mut change = Change::begin(instance, &call, tenant).await?;
    hold_unchanged(change.rows(), user).await?;
    if let Some(hash) = better_hash {
        change.rows().set_password_hash(user.id, hash).await?;
    }
    let token = one_time::issue(instance, change.rows(), (tenant, user.id), kind).await?;
    let names = methods.iter().map(|method| method.as_str().to_owned()).collect();
    let event = Event::new(EventKind::UserChallenged).on("user", user.id).with("methods", Detail::Names(names));
    change.commit(event).await?;
    Ok(Some(SecondFactor { token, methods }))
}

fn call(request: &RequestInfo, (tenant, slug): (TenantId, &str), user: &User) -> Call {
    Call { caller: caller_halfway(tenant, slug.to_owned(), user), request: request.clone(), once: None }
}

/// Somebody who has shown a right password, on the way to the second step.
pub(crate) struct Halfway {
    /// The tenant.
    pub(crate) entry: TenantEntry,
    /// The token of this login.
    pub(crate) token: OneTimeId,
    /// Who.
    pub(crate) user: User,
    /// In whose name events are written: without any right.
    pub(crate) call: Call,
}

impl Halfway {
    /// Who, and where.
    pub(super) fn person(&self) -> Person<'_> {
        Person { tenant: self.entry.id, slug: &self.entry.slug, user: &self.user }
    }

    /// Of a token of this kind.
    pub(crate) async fn find(
        instance: &Instance,
        request: &RequestInfo,
        text: &Secret<String>,
        kind: OneTimeKind,
    ) -> Result<Self, FactorError> {
        let found = one_time::find(instance, text, &[kind]).await?;
        let (entry, token) = found.ok_or(FactorError::Refused("no such token"))?;
        let user = instance.store().view(entry.id).await?.user(token.user).await?;
        let user =
            user.filter(|user| user.state == UserState::Active).ok_or(FactorError::Refused("user not active"))?;
        let call = call(request, (entry.id, entry.slug.as_str()), &user);
        Ok(Self { entry, token: token.id, user, call })
    }
}
