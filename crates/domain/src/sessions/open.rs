//! Begins a session: at every login a new one, whatever the client brought along (ID-22).

use chancery_crypto::Secret;

use super::{
    Authentication, Head, Person, Session, SessionState,
    token::{RefreshToken, client_digest},
};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{Change, Event, EventKind},
    ids::SessionId,
    instance::Failure,
    time::Timestamp,
    tokens::{self, AccessToken, Holder},
    users::hold_unchanged,
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

impl SessionTokens {
    /// Of a session whose head is this refresh token.
    pub(super) fn of(session: &Session, access: AccessToken, refresh: &RefreshToken) -> Self {
        let refresh_expires_at = session.head.expires_at;
        Self { session: session.id, access, refresh: refresh.reveal(), refresh_expires_at }
    }
}

/// Begins a session of a person who has proved who it is, in one commit with the event of the login. A better password hash, if
/// there is one, is kept in the same commit.
///
/// # Errors
///
/// [`Failure`]; a [`StoreError::Changed`](crate::store::StoreError::Changed)`("user")` if the user's state, roles or password are
/// others by now than in `user`.
pub async fn open(
    instance: &Instance,
    request: &RequestInfo,
    person: Person<'_>,
    authentication: Authentication,
    better_hash: Option<&str>,
) -> Result<SessionTokens, Failure> {
    let root = instance.leased_root().await?;
    let (pepper_version, pepper) = root.pepper();
    let (now, settings) = (instance.now(), instance.settings());
    let id = SessionId::make(now, instance.random())?;
    let token = RefreshToken::compute(settings.environment.into(), (pepper_version, pepper), person.tenant, id, 0);
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
        user: person.user.id,
        state: SessionState::Active,
        authentication,
        head,
        created_at: now,
        expires_at,
        ended_at: None,
        key: request.key.as_ref().map(|key| key.thumbprint.clone()),
    };
    let access = access_token(instance, person, &session).await?;
    let call = person.call(request, &session, Some(&access));
    let mut change = Change::begin(instance, &call, person.tenant).await?;
    if let Some(key) = &request.key {
        key.take(change.rows(), now).await?;
    }
    hold_unchanged(change.rows(), person.user).await?;
    change.rows().insert_session(&session).await?;
    if let Some(hash) = better_hash {
        change.rows().set_password_hash(person.user.id, hash).await?;
    }
    change.rows().forget_sessions(now.plus_seconds(-KEPT_SECONDS), 100).await?;
    change.commit(Event::new(EventKind::UserLoggedIn).on("user", person.user.id)).await?;
    Ok(SessionTokens::of(&session, access, &token))
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
    person: Person<'_>,
    session: &Session,
) -> Result<AccessToken, Failure> {
    let holder = Holder {
        tenant: person.tenant,
        user: person.user.id,
        username: &person.user.username,
        roles: person.user.roles,
        session: Some(session.id),
        authentication: &session.authentication,
        key: session.key.as_deref(),
    };
    tokens::issue(instance, holder).await
}
