//! Gives a session its next tokens.

use std::sync::Arc;

use chancery_crypto::{MacKey, Secret};

use super::{
    Amr, Head, Person, Session, SessionState, SessionTokens,
    open::{access_token, idle_end},
    token::{RefreshToken, client_digest},
};
use crate::{
    Instance, TenantId,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, Outcome, receipt::note},
    factors,
    instance::{Failure, fails},
    keyring::{KeyringError, PlatformRoot},
    legacy_tokens,
    lockouts::LockoutKind,
    store::StoreError,
    tenants::TenantState,
    time::Timestamp,
    tokens::{self, AccessToken, HeldKey, ProofError},
    users::{User, UserState},
};

/// For how long the token before the head gives the same successor again: its answer may have been lost.
const RETRY_MICROS: i64 = 10_000_000;
/// By how much the clocks of two nodes may differ: one's head may be younger than another's now.
const SKEW_MICROS: i64 = 5_000_000;
/// How often a swap that another request won is tried again.
const ATTEMPTS: u32 = 4;

/// Why there are no next tokens.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// Unknown, ended, expired, or of somebody who may not log in: nobody is told which.
    #[error("the refresh token is not valid: {0}")]
    Invalid(&'static str),
    /// It was used before: somebody has a copy. Its session is over.
    #[error("the refresh token was used before; its session has ended")]
    Reused,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(RefreshError);

/// What a presented token is to its session.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// The newest.
    Head,
    /// The one before it, so lately and from the same client that its answer may have been lost.
    Retry,
    /// Older.
    Copy,
    /// There is no going on.
    Over(&'static str),
}

fn judge(session: &Session, token: &RefreshToken, client: &[u8; 32], now: Timestamp) -> Standing {
    let head = &session.head;
    match session.state {
        SessionState::Active => {}
        SessionState::Ended => return Standing::Over("session ended"),
        SessionState::Reused => return Standing::Over("session ended by a copied token"),
    }
    if session.expires_at <= now || head.expires_at <= now {
        return Standing::Over("session expired");
    }
    if is_head(session, token) {
        return Standing::Head;
    }
    let lately = (-SKEW_MICROS..=RETRY_MICROS).contains(&(now.as_micros() - head.since.as_micros()));
    let before = token.generation().checked_add(1) == Some(head.generation);
    if before && lately && *client == head.client { Standing::Retry } else { Standing::Copy }
}

/// Whether a token is the newest of its session.
pub(super) fn is_head(session: &Session, token: &RefreshToken) -> bool {
    token.generation() == session.head.generation && token.digest() == session.head.digest
}

/// Uses a refresh token: the head gives its successor and an access token with the roles of now; the one before it gives the same
/// successor again for 10 s and the same client; anything older ends the session.
///
/// # Errors
///
/// [`RefreshError`].
pub async fn refresh(
    instance: &Instance,
    request: &RequestInfo,
    text: &Secret<String>,
) -> Result<SessionTokens, RefreshError> {
    let invalid = RefreshError::Invalid;
    if legacy_tokens::is_legacy(instance, text.expose()) {
        return legacy_tokens::exchange(instance, request, text).await;
    }
    let (token, mut root) = genuine(instance, text).await?;
    let entry = instance.directory().tenant(token.tenant()).await?.ok_or(invalid("unknown tenant"))?;
    if entry.state != TenantState::Active {
        return Err(invalid("tenant not active"));
    }
    let mut proof = request.key.as_ref();
    for _ in 0..ATTEMPTS {
        let found = held(instance, &token).await?.filter(Held::may_go_on);
        let Some(Held { session, user, .. }) = found else { return Err(invalid("unknown session")) };
        // A thief of the refresh token lacks the key; that is no reason to end its owner's session.
        let held = request.key.as_ref().map(|key| key.thumbprint.as_str());
        if session.key.is_some() && session.key.as_deref() != held {
            return Err(invalid("no proof of the session's key"));
        }
        // Once, and before anything is judged: whoever sends a copied request again gets no successor by it, and ends nobody's session.
        if let Some(key) = proof.take() {
            use_up(instance, entry.id, key).await?;
        }
        // With the pepper of the head: a retry compares with what was stored when the successor was made. Another node may
        // have rotated the root before it made that one.
        let version = session.head.pepper_version;
        if root.pepper_of(version).is_none() {
            root = root_of(instance, version).await?.ok_or(KeyringError::Root(version))?;
        }
        let stored = root.pepper_of(version).ok_or(KeyringError::Root(version))?;
        let client = client_digest(stored, session.id, request);
        let person = Person { tenant: entry.id, slug: &entry.slug, user: &user };
        let (version, newest) = root.pepper();
        match judge(&session, &token, &client, instance.now()) {
            Standing::Over(reason) => return Err(invalid(reason)),
            Standing::Copy => {
                end_copied(instance, request, person, &session).await?;
                return Err(RefreshError::Reused);
            }
            Standing::Retry => {
                return again(instance, request, person, &session, stored).await.map_err(Into::into);
            }
            Standing::Head => match advance(instance, request, person, session, (version, newest)).await? {
                Some(tokens) => return Ok(tokens),
                None => continue,
            },
        }
    }
    Err(Failure::Store(StoreError::Changed("session")).into())
}

/// Notes that a proof is used, whatever comes of the refresh: [`StoreError::Changed`]`("proof")` if it was before.
async fn use_up(instance: &Instance, tenant: TenantId, key: &HeldKey) -> Result<(), Failure> {
    match tokens::take(instance, tenant, key).await {
        Ok(()) => Ok(()),
        Err(ProofError::Invalid(_)) => Err(StoreError::Changed("proof").into()),
        Err(ProofError::Failed(failure)) => Err(failure),
    }
}

/// A refresh token that we made, and the root with whose pepper. Whether its session goes on is another question.
pub(super) async fn genuine(
    instance: &Instance,
    text: &Secret<String>,
) -> Result<(RefreshToken, Arc<PlatformRoot>), RefreshError> {
    let invalid = RefreshError::Invalid;
    let token = RefreshToken::parse(text.expose()).map_err(|_| invalid("malformed"))?;
    if token.env() != instance.settings().environment.into() {
        return Err(invalid("another environment"));
    }
    let root = root_of(instance, token.pepper_version()).await?.ok_or(invalid("unknown pepper"))?;
    let pepper = root.pepper_of(token.pepper_version()).ok_or(invalid("unknown pepper"))?;
    if !token.fits(pepper) {
        return Err(invalid("forged"));
    }
    Ok((token, root))
}

/// A root that has the pepper of this version, looked up again if another node rotated it; none if there is no such version.
/// The store is asked first: a number that a stranger made up sends nobody to the key providers.
async fn root_of(instance: &Instance, version: u32) -> Result<Option<Arc<PlatformRoot>>, Failure> {
    let root = instance.leased_root().await?;
    if root.pepper_of(version).is_some() {
        return Ok(Some(root));
    }
    let versions = instance.store().fresh_view(TenantId::PLATFORM).await?.roots().await?;
    if versions.iter().all(|known| known.version != version) {
        return Ok(None);
    }
    let root = instance.renewed_root().await?;
    Ok(Some(root).filter(|root| root.pepper_of(version).is_some()))
}

/// The session of a token and its person, whether it goes on or not.
pub(super) struct Held {
    pub(super) session: Session,
    pub(super) user: User,
    /// Whether the person logs in with a second factor only.
    needs_factor: bool,
    /// Whether limits stopped it.
    stopped: bool,
}

impl Held {
    /// Whether the person may still log in, and needs no more for it than it has shown.
    pub(super) fn may_go_on(&self) -> bool {
        let strong = self.session.authentication.methods.contains(&Amr::MultiFactor);
        // A session from before its user needed a second factor does not go on without one.
        self.user.state == UserState::Active && (strong || !self.needs_factor) && !self.stopped
    }
}

pub(super) async fn held(instance: &Instance, token: &RefreshToken) -> Result<Option<Held>, Failure> {
    let mut view = instance.store().fresh_view(token.tenant()).await?;
    let Some(session) = view.session(token.session()).await? else { return Ok(None) };
    let Some(user) = view.user(session.user).await? else { return Ok(None) };
    let needs_factor = factors::needed(&mut *view, &user).await?;
    let stopped = view.lockout_of(LockoutKind::Session, &session.id.to_string(), instance.now()).await?.is_some();
    Ok(Some(Held { session, user, needs_factor, stopped }))
}

/// Makes the successor the head; `None` if another request was quicker.
async fn advance(
    instance: &Instance,
    request: &RequestInfo,
    person: Person<'_>,
    mut session: Session,
    (pepper_version, pepper): (u32, &MacKey),
) -> Result<Option<SessionTokens>, Failure> {
    let (now, from) = (instance.now(), session.head.generation);
    let generation = from.checked_add(1).ok_or(Failure::Internal("too many refreshes"))?;
    let env = instance.settings().environment.into();
    let next = RefreshToken::compute(env, (pepper_version, pepper), person.tenant, session.id, generation);
    session.head = Head {
        generation,
        digest: next.digest(),
        pepper_version,
        client: client_digest(pepper, session.id, request),
        since: now,
        expires_at: idle_end(instance, now, session.expires_at),
    };
    let access = access_token(instance, person, &session).await?;
    let call = person.call(request, &session, Some(&access));
    let mut change = Change::begin(instance, &call, person.tenant).await?;
    match change.rows().advance_session(session.id, from, &session.head).await {
        Ok(()) => {}
        Err(StoreError::Changed(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    change.commit(refreshed(&session, &access, false)).await?;
    Ok(Some(SessionTokens::of(&session, access, &next)))
}

/// The successor that is there already, once more.
async fn again(
    instance: &Instance,
    request: &RequestInfo,
    person: Person<'_>,
    session: &Session,
    pepper: &MacKey,
) -> Result<SessionTokens, Failure> {
    let (env, head) = (instance.settings().environment.into(), &session.head);
    let next = RefreshToken::compute(env, (head.pepper_version, pepper), person.tenant, session.id, head.generation);
    let access = access_token(instance, person, session).await?;
    let call = person.call(request, session, Some(&access));
    note(instance, &call, person.tenant, refreshed(session, &access, true)).await?;
    Ok(SessionTokens::of(session, access, &next))
}

fn refreshed(session: &Session, access: &AccessToken, repeated: bool) -> Event {
    let event = Event::new(EventKind::SessionRefreshed)
        .on("session", session.id)
        .with("generation", Detail::Count(session.head.generation.into()))
        .with("token", Detail::Id(access.id.to_string()));
    if repeated { event.with("repeated", Detail::Count(1)) } else { event }
}

/// Ends a session of which somebody has a copied token. No token is made for it: whether one can be signed now does not matter.
async fn end_copied(
    instance: &Instance,
    request: &RequestInfo,
    person: Person<'_>,
    session: &Session,
) -> Result<(), Failure> {
    let call = person.call(request, session, None);
    let mut change = Change::begin(instance, &call, person.tenant).await?;
    match change.rows().end_session(session.id, SessionState::Reused, instance.now()).await {
        Ok(()) => {}
        // Another copy was quicker.
        Err(StoreError::Changed(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let event = Event::new(EventKind::SessionReused).on("session", session.id).outcome(Outcome::MinorFailure);
    change.commit(event).await?;
    instance.callers.forget_all();
    tracing::warn!(session.id = %session.id, "A refresh token of `{}` was used twice; its session has ended", session.id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use chancery_crypto::Key256;

    use super::*;
    use crate::{
        api_keys::KeyEnv,
        ids::{SessionId, UserId},
        sessions::{Amr, Authentication},
    };

    const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
    const MINE: [u8; 32] = [1; 32];

    fn token(generation: u32) -> RefreshToken {
        let pepper = MacKey::from(&Key256::from_bytes([5; 32]));
        let (tenant, session) = (TenantId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
        RefreshToken::compute(KeyEnv::Dev, (1, &pepper), tenant, session, generation)
    }

    fn session(generation: u32) -> Session {
        let head = Head {
            generation,
            digest: token(generation).digest(),
            pepper_version: 1,
            client: MINE,
            since: NOW,
            expires_at: NOW.plus_seconds(7 * 86_400),
        };
        Session {
            id: SessionId::from_bytes([2; 16]),
            user: UserId::from_bytes([3; 16]),
            state: SessionState::Active,
            authentication: Authentication { methods: vec![Amr::Password], at: NOW },
            head,
            created_at: NOW,
            expires_at: NOW.plus_seconds(30 * 86_400),
            ended_at: None,
            key: None,
        }
    }

    #[test]
    fn the_head_goes_on_and_the_one_before_it_for_ten_seconds_from_the_same_client() {
        let session = session(5);
        assert_eq!(judge(&session, &token(5), &MINE, NOW), Standing::Head);
        assert_eq!(judge(&session, &token(5), &[9; 32], NOW.plus_seconds(86_400)), Standing::Head);
        assert_eq!(judge(&session, &token(4), &MINE, NOW), Standing::Retry);
        assert_eq!(judge(&session, &token(4), &MINE, NOW.plus_seconds(10)), Standing::Retry);
        assert_eq!(judge(&session, &token(4), &MINE, NOW.plus_seconds(11)), Standing::Copy);
        // Another node used it, whose clock is ahead.
        assert_eq!(judge(&session, &token(4), &MINE, NOW.plus_seconds(-5)), Standing::Retry);
        assert_eq!(judge(&session, &token(4), &MINE, NOW.plus_seconds(-6)), Standing::Copy, "the clock was set back");
        assert_eq!(judge(&session, &token(4), &[9; 32], NOW), Standing::Copy);
        assert_eq!(judge(&session, &token(3), &MINE, NOW), Standing::Copy);
        assert_eq!(judge(&session, &token(6), &MINE, NOW), Standing::Copy, "nobody was given that one");
    }

    #[test]
    fn what_is_over_does_not_go_on() {
        for state in [SessionState::Ended, SessionState::Reused] {
            let over = Session { state, ..session(0) };
            assert!(matches!(judge(&over, &token(0), &MINE, NOW), Standing::Over(_)));
        }
        let late = NOW.plus_seconds(7 * 86_400);
        assert_eq!(judge(&session(0), &token(0), &MINE, late), Standing::Over("session expired"));
        let short = Session { expires_at: NOW, ..session(0) };
        assert_eq!(judge(&short, &token(0), &MINE, NOW), Standing::Over("session expired"));
    }
}
