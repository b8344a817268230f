//! Gives a session for a refresh token of the older system, once.

use chancery_crypto::Secret;

use super::verify::{LegacyUser, Use, against, verify};
use crate::{
    Instance,
    access::{RequestInfo, authenticate::AuthenticateError},
    audit::{Change, Event, EventKind},
    factors::{self, Standing},
    instance::Failure,
    revocations::{Revocation, deny},
    sessions::{Amr, Authentication, Opening, Person, RefreshError, SessionTokens},
    store::StoreError,
};

/// Exchanges it. Whoever needs a second factor logs in instead: the older token proves none.
///
/// # Errors
///
/// [`RefreshError`].
pub(crate) async fn exchange(
    instance: &Instance,
    request: &RequestInfo,
    text: &Secret<String>,
) -> Result<SessionTokens, RefreshError> {
    let invalid = RefreshError::Invalid;
    let found = match verify(instance, text.expose(), Use::Refresh).await {
        Ok(found) => found,
        Err(AuthenticateError::Invalid(_, reason)) => return Err(invalid(reason)),
        Err(AuthenticateError::Suspended(_)) => return Err(invalid("suspended")),
        Err(AuthenticateError::Failed(failure)) => return Err(failure.into()),
    };
    let LegacyUser { tenant, slug, user, jti, issued_at, expires_at, .. } = found;
    // The older system's login, not this moment, is when the person proved who it is.
    let authentication = Authentication { methods: vec![Amr::Password], at: issued_at };
    let person = Person { tenant, slug: &slug, user: &user };
    let opening = Opening::prepare(instance, request, person, authentication).await?;
    let mut change = Change::begin(instance, opening.call(), tenant).await?;
    let rows = change.rows();
    // INVARIANT: held, and asked again. Of two at once the second finds the first's row; and whoever ends everything of a user, or
    // gives it a second factor, comes before this or after it.
    rows.hold_user(user.id).await?.ok_or(invalid("unknown or disabled user"))?;
    if against(rows, &jti, user.id).await?.iter().any(|row| row.stops(issued_at)) {
        return Err(invalid("revoked or exchanged before"));
    }
    if factors::needed(rows, &user).await? || Standing::of(rows, user.id).await?.is_enrolled() {
        return Err(invalid("a second factor is needed: log in"));
    }
    deny(rows, &Revocation::of_foreign(&jti, expires_at, Some(user.id), "exchanged", instance.now())).await?;
    change.record(Event::new(EventKind::TokenExchanged).on("user", user.id)).await?;
    match opening.commit(change, None).await {
        Ok(()) => Ok(opening.tokens()),
        Err(Failure::Store(StoreError::Changed("user"))) => Err(invalid("user changed meanwhile")),
        Err(failure) => Err(failure.into()),
    }
}
