//! Begins a session: at every login a new one, whatever the client brought along (ID-22).

use chancery_crypto::Secret;

use super::{
    Amr, Authentication, Head, Person, Session, SessionState,
    token::{RefreshToken, client_digest},
};
use crate::{
    Instance,
    access::{Call, RequestInfo},
    audit::{Change, Detail, Event, EventKind},
    factors,
    ids::SessionId,
    instance::Failure,
    store::StoreError,
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
/// others by now than in `user`, or if a second factor is asked of it that this proof lacks.
pub async fn open(
    instance: &Instance,
    request: &RequestInfo,
    person: Person<'_>,
    authentication: Authentication,
    better_hash: Option<&str>,
) -> Result<SessionTokens, Failure> {
    let opening = Opening::prepare(instance, request, person, authentication).await?;
    let change = Change::begin(instance, opening.call(), person.tenant).await?;
    opening.commit(change, better_hash).await?;
    Ok(opening.tokens())
}

/// A session that is about to begin, with its first tokens: none of it counts before its commit.
pub(crate) struct Opening<'a> {
    person: Person<'a>,
    session: Session,
    access: AccessToken,
    refresh: RefreshToken,
    call: Call,
}

impl<'a> Opening<'a> {
    /// Makes its tokens.
    pub(crate) async fn prepare(
        instance: &Instance,
        request: &RequestInfo,
        person: Person<'a>,
        authentication: Authentication,
    ) -> Result<Self, Failure> {
        let root = instance.leased_root().await?;
        let (pepper_version, pepper) = root.pepper();
        let (now, settings) = (instance.now(), instance.settings());
        let id = SessionId::make(now, instance.random())?;
        let peppered = (pepper_version, pepper);
        let refresh = RefreshToken::compute(settings.environment.into(), peppered, person.tenant, id, 0);
        let expires_at = now.plus_days(i64::from(settings.session_days));
        let head = Head {
            generation: 0,
            digest: refresh.digest(),
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
        Ok(Self { person, session, access, refresh, call })
    }

    /// In whose name it begins.
    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    /// Begins it in a change that was begun with [`Self::call`]; as [`open`].
    pub(crate) async fn commit(&self, mut change: Change<'_>, better_hash: Option<&str>) -> Result<(), Failure> {
        let (user, now) = (self.person.user, self.session.created_at);
        if let Some(key) = &self.call.request.key {
            key.take(change.rows(), now).await?;
        }
        hold_unchanged(change.rows(), user).await?;
        // Of a login that looked before its user had a factor, or a role that needs one.
        let password_alone = self.session.authentication.methods == [Amr::Password];
        if password_alone && factors::asked(change.rows(), user).await? {
            return Err(StoreError::Changed("user").into());
        }
        change.rows().insert_session(&self.session).await?;
        if let Some(hash) = better_hash {
            change.rows().set_password_hash(user.id, hash).await?;
        }
        change.rows().forget_sessions(now.plus_seconds(-KEPT_SECONDS), 100).await?;
        let event = Event::new(EventKind::UserLoggedIn)
            .on("user", user.id)
            .with("session", Detail::Id(self.session.id.to_string()))
            .with("token", Detail::Id(self.access.id.to_string()));
        change.commit(event).await
    }

    /// What its person gets, once it has begun.
    pub(crate) fn tokens(self) -> SessionTokens {
        SessionTokens::of(&self.session, self.access, &self.refresh)
    }
}

/// How long a session is kept after its end, so that a copied token is still recognised as such.
const KEPT_SECONDS: i64 = 30 * 86_400;

/// When a head ends that nobody uses.
pub(super) fn idle_end(instance: &Instance, now: Timestamp, session_end: Timestamp) -> Timestamp {
    now.plus_days(i64::from(instance.settings().refresh_days)).min(session_end)
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
