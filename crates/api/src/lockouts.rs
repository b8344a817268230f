//! Who is kept out for now, and letting them in again.

use axum::{Json, extract::State};
use chancery_domain::{
    ids::LockoutId,
    lockouts::{self, Lockout},
};
use chancery_middleware::{Asked, Authenticated, PathOf, Problem};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    error::IntoProblem,
    page::{self, ListBody, Page},
};

/// A user, an API key or a session that is kept out for now.
#[derive(Serialize, ToSchema)]
#[schema(as = Lockout)]
pub(crate) struct LockoutBody {
    #[schema(example = "loc_01J9Z3K0Q5V8WXYZ0123456789")]
    id: String,
    /// `account`: logins pause after failed ones; `api_key`: suspended, `session`: stopped, both after many refusals by limits.
    #[schema(example = "api_key")]
    kind: &'static str,
    /// The id of the user, the API key or the session.
    #[schema(example = "apk_01J9Z3K0Q5V8WXYZ0123456789")]
    subject: String,
    /// The user: that pauses, whose session it is, as whom the key acts.
    #[schema(required)]
    user_id: Option<String>,
    /// The limit that refused.
    #[schema(required)]
    policy: Option<String>,
    created_at: String,
    /// It ends by itself then; a stopped session ends for good.
    expires_at: String,
}

impl From<Lockout> for LockoutBody {
    fn from(lockout: Lockout) -> Self {
        Self {
            id: lockout.id.to_string(),
            kind: lockout.kind.as_str(),
            subject: lockout.subject,
            user_id: lockout.user.map(|user| user.to_string()),
            policy: lockout.policy,
            created_at: lockout.made_at.to_string(),
            expires_at: lockout.expires_at.to_string(),
        }
    }
}

/// List who is kept out for now: users whose logins pause, suspended API keys, stopped sessions.
#[utoipa::path(get, path = "/v1/lockouts", tag = "limits", params(Page),
    responses((status = 200, description = "A page of lockouts, by id.", body = ListBody<LockoutBody>)))]
pub(crate) async fn list_lockouts(
    State(app): State<App>,
    Asked(call, page): Asked<Page>,
) -> Result<Json<ListBody<LockoutBody>>, Problem> {
    let (after, limit) = (page.after::<LockoutId>()?, page.limit()?);
    let found = lockouts::list(&app.instance, &call, after, limit).await.or_problem()?;
    Ok(Json(page::list(found, limit, |lockout| lockout.id.to_string())))
}

/// Let in who is kept out: a user logs in at once, a suspended key works again, a stopped session goes on.
///
/// Nothing that was revoked or ended meanwhile comes back.
#[utoipa::path(delete, path = "/v1/lockouts/{id}", tag = "limits", params(("id" = String, Path)),
    responses((status = 204, description = "Let in.")))]
pub(crate) async fn delete_lockout(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<LockoutId>,
) -> Result<StatusCode, Problem> {
    lockouts::lift(&app.instance, &call, id).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}
