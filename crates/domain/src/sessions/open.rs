//! Begins a session: at every login a new one, whatever the client brought along (ID-22).

use chancery_crypto::Secret;

use super::{
    Authentication, Head, Session, SessionState,
    token::{RefreshToken, client_digest},
};
use crate::{
    Instance, TenantId,
    access::{Call, RequestInfo, authenticate::caller_of_user},
    audit::{Change, Event, EventKind},
    ids::SessionId,
    instance::Failure,
    time::Timestamp,
    tokens::{self, AccessToken, Holder},
    users::User,
};

/// What a login or a refresh gives.
#[derive(Debug)]
pub struct SessionTokens {
    /// Which session.
    pub session: SessionId,
    /// An access token.
    pub access: AccessToken,
    /// The token for the next refresh. Shown once.
    pub refresh: Secret<String>,
    /// When it ends unless it is used.
    pub refresh_expires_at: Timestamp,
}

/// Begins a session of a user who has proved who it is, in one commit with the event of the login.
///
/// `slug` is the tenant's. A better password hash, if there is one, is kept in the same commit.
///
/// # Errors
///
/// [`Failure`].
pub async fn open(
    instance: &Instance,
    request: &RequestInfo,
    (tenant, slug): (TenantId, &str),
    user: &User,
    authentication: Authentication,
    better_hash: Option<&str>,
) -> Result<SessionTokens, Failure> {
    let root = instance.leased_root().await?;
    let (pepper_version, pepper) = root.pepper();
    let (now, settings) = (instance.now(), instance.settings());
    let id = SessionId::make(now, instance.random())?;
    let token = RefreshToken::compute(settings.environment.into(), (pepper_version, pepper), tenant, id, 0);
    let expires_at = now.plus_seconds(i64::from(settings.session_days) * 86_400);
    let head = Head {
        generation: 0,
        digest: token.digest(),
        pepper_version,
        client: client_digest(pepper, id, request),
        since: now,
        expires_at: idle_end(instance, now, expires_at),
    };
    let session = Session {
        id,
        user: user.id,
        state: SessionState::Active,
        authentication,
        head,
        created_at: now,
        expires_at,
        ended_at: None,
    };
    let access = access_token(instance, tenant, user, &session).await?;
    let call = call(request, (tenant, slug), user, &session, &access);
    let mut change = Change::begin(instance, &call, tenant).await?;
    change.rows().insert_session(&session).await?;
    if let Some(hash) = better_hash {
        change.rows().set_password_hash(user.id, hash).await?;
    }
    change.rows().forget_sessions(now.plus_seconds(-KEPT_SECONDS), 100).await?;
    change.commit(Event::new(EventKind::UserLoggedIn).on("user", user.id)).await?;
    Ok(SessionTokens { session: id, access, refresh: token.reveal(), refresh_expires_at: head.expires_at })
}

/// How long a session is kept after its end, so that a copied token is still recognised as such.
const KEPT_SECONDS: i64 = 30 * 86_400;

/// When a head ends that nobody uses.
pub(super) fn idle_end(instance: &Instance, now: Timestamp, session_end: Timestamp) -> Timestamp {
    now.plus_seconds(i64::from(instance.settings().refresh_days) * 86_400).min(session_end)
}

/// An access token for a session, with its user's roles of now.
pub(super) async fn access_token(
    instance: &Instance,
    tenant: TenantId,
    user: &User,
    session: &Session,
) -> Result<AccessToken, Failure> {
    let holder = Holder {
        tenant,
        user: user.id,
        username: &user.username,
        roles: user.roles,
        session: Some(session.id),
        authentication: &session.authentication,
    };
    tokens::issue(instance, holder).await
}

/// The call in which a user gets a token, for the event.
pub(super) fn call(
    request: &RequestInfo,
    (tenant, slug): (TenantId, &str),
    user: &User,
    session: &Session,
    access: &AccessToken,
) -> Call {
    let mut caller = caller_of_user(
        tenant,
        slug.to_owned(),
        user.id,
        user.username.clone(),
        user.roles,
        access.id,
        access.expires_at,
    );
    caller.session = Some(session.id);
    caller.authentication = Some(session.authentication.clone());
    Call { caller, request: request.clone(), once: None }
}
