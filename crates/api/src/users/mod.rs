//! People who log in.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_crypto::{Phi, Secret};
use chancery_domain::{
    TenantId,
    access::{Call, Permission, Role},
    ids::UserId,
    instance::Failure,
    records::WipedJson,
    users::{self, NewUser, User, UserProfile, UserState},
};
use chancery_middleware::{Asked, Authenticated, Code, Creation, PathOf, Problem, Unique};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    error::IntoProblem,
    idempotency::{self, Once},
    page::{self, ListBody},
    tenants::object,
    wiped,
};

pub(crate) mod changes;
pub(crate) mod import;
pub(crate) mod passwords;

/// A page's length if nothing is asked for.
const DEFAULT_LIMIT: u32 = 50;
/// The longest page: an event names everyone whose data it shows.
const MAX_LIMIT: u32 = 100;

/// What a new user shall be.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewUser)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUserBody {
    /// Its name at login: 1 to 100 characters, unique in the tenant.
    username: String,
    /// Its e-mail; kept sealed.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    email: Phi<String>,
    /// Its password: at least 12 characters with upper, lower, digit and symbol. Without one it cannot log in.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(write_only, value_type = Option<String>)]
    password: Option<Secret<String>>,
    /// Its roles, at least one.
    #[schema(value_type = Vec<String>, example = json!(["clinician"]))]
    roles: Vec<Role>,
    /// Its first name; kept sealed.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    first_name: Option<Phi<String>>,
    /// Its last name; kept sealed.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    last_name: Option<Phi<String>>,
    /// A JSON object of your own; kept sealed.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Unique>,
}

/// A user as its maker sees it: what identifies the person is sealed by now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedUser)]
pub(crate) struct CreatedUserBody {
    /// Its id.
    id: String,
    /// Its name at login.
    username: String,
    /// Its roles.
    #[schema(value_type = Vec<String>)]
    roles: Vec<Role>,
    /// `active`, `disabled` or `locked`.
    #[schema(value_type = String)]
    state: UserState,
    /// Since when.
    created_at: String,
}

/// A user with its personal data.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserBody {
    #[serde(flatten)]
    user: CreatedUserBody,
    /// Its e-mail.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    email: Phi<String>,
    /// Whether somebody vouches for the e-mail: an administrator gave it. One that its user gave alone logs nobody in.
    email_proven: bool,
    /// Its first name.
    #[serde(serialize_with = "wiped::shown_if_any")]
    #[schema(required, value_type = Option<String>)]
    first_name: Option<Phi<String>>,
    /// Its last name.
    #[serde(serialize_with = "wiped::shown_if_any")]
    #[schema(required, value_type = Option<String>)]
    last_name: Option<Phi<String>>,
    /// The JSON object that was sent.
    #[serde(serialize_with = "wiped::shown_if_any")]
    #[schema(required, value_type = Option<Object>)]
    metadata: Option<WipedJson>,
}

impl From<User> for CreatedUserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id.to_string(),
            username: user.username,
            roles: user.roles.iter().collect(),
            state: user.state,
            created_at: user.created_at.to_string(),
        }
    }
}

impl From<UserProfile> for UserBody {
    fn from(profile: UserProfile) -> Self {
        Self {
            email_proven: profile.user.email_proven,
            user: profile.user.into(),
            email: profile.email,
            first_name: profile.first_name,
            last_name: profile.last_name,
            metadata: profile.metadata.and_then(|json| serde_json::from_str(json.expose()).ok()).map(WipedJson::new),
        }
    }
}

async fn create(
    app: &App,
    call: &Call,
    tenant: TenantId,
    creation: Creation<NewUserBody>,
) -> Result<Response, Problem> {
    let Creation { body, key } = creation;
    let once = match idempotency::begin(app, call, tenant, key.as_ref()).await? {
        Once::Make(call) => call,
        Once::Made(id) => return replay(app, call, tenant, id).await,
    };
    let new = NewUser {
        username: body.username,
        email: body.email,
        password: body.password,
        roles: body.roles,
        first_name: body.first_name,
        last_name: body.last_name,
        metadata: object(body.metadata)?,
    };
    match users::create(&app.instance, &once, tenant, new).await.or_problem() {
        Ok(user) => Ok((StatusCode::CREATED, Json(CreatedUserBody::from(user))).into_response()),
        Err(problem) => {
            let id = idempotency::made_meanwhile(app, call, tenant, key.as_ref(), problem).await?;
            replay(app, call, tenant, id).await
        }
    }
}

async fn replay(app: &App, call: &Call, tenant: TenantId, id: UserId) -> Result<Response, Problem> {
    call.require_within(tenant, Permission::UsersCreate, Permission::TenantsBootstrap).or_problem()?;
    let mut rows = app.instance.store().view(tenant).await.map_err(Failure::from)?;
    let user = rows.user(id).await.map_err(Failure::from)?.ok_or(Code::NotFound)?;
    Ok(idempotency::replayed(StatusCode::CREATED, CreatedUserBody::from(user)))
}

/// Make a user.
#[utoipa::path(post, path = "/v1/users", tag = "users", request_body = NewUserBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The user.", body = CreatedUserBody)))]
pub(crate) async fn create_user(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    creation: Creation<NewUserBody>,
) -> Result<Response, Problem> {
    create(&app, &call, call.tenant(), creation).await
}

/// Make a user in a tenant, as the platform's admin.
#[utoipa::path(post, path = "/v1/tenants/{id}/users", tag = "users", request_body = NewUserBody,
    params(("id" = String, Path, description = "The tenant."),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The user.", body = CreatedUserBody)))]
pub(crate) async fn create_tenant_user(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(tenant): PathOf<TenantId>,
    creation: Creation<NewUserBody>,
) -> Result<Response, Problem> {
    create(&app, &call, tenant, creation).await
}

/// Whom to look for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UserQuery {
    /// The e-mail; compared without regard to case. Everybody, page by page, if absent.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[param(value_type = Option<String>)]
    email: Option<Phi<String>>,
    /// How many at most: 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

async fn find(app: &App, call: &Call, tenant: TenantId, query: UserQuery) -> Result<Json<ListBody<UserBody>>, Problem> {
    let (limit, after) = (page::limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT)?, page::after(query.cursor.as_deref())?);
    let Some(email) = query.email else {
        let found = users::list(&app.instance, call, tenant, after, limit).await.or_problem()?;
        return Ok(Json(page::list(found, limit, |profile| profile.user.id.to_string())));
    };
    let found = users::find_by_email(&app.instance, call, tenant, email).await.or_problem()?;
    Ok(Json(ListBody { items: found.into_iter().map(UserBody::from).collect(), next_cursor: None }))
}

/// List users, or find them by e-mail.
#[utoipa::path(get, path = "/v1/users", tag = "users", params(UserQuery),
    responses((status = 200, description = "The users.", body = ListBody<UserBody>)))]
pub(crate) async fn find_users(
    State(app): State<App>,
    Asked(call, query): Asked<UserQuery>,
) -> Result<Json<ListBody<UserBody>>, Problem> {
    find(&app, &call, call.tenant(), query).await
}

/// List a tenant's users, or find them by e-mail, as that tenant's own admin.
#[utoipa::path(get, path = "/v1/tenants/{id}/users", tag = "users",
    params(("id" = String, Path, description = "The tenant."), UserQuery),
    responses((status = 200, description = "The users.", body = ListBody<UserBody>)))]
pub(crate) async fn find_tenant_users(
    State(app): State<App>,
    Asked(call, query): Asked<UserQuery>,
    PathOf(tenant): PathOf<TenantId>,
) -> Result<Json<ListBody<UserBody>>, Problem> {
    find(&app, &call, tenant, query).await
}

/// Get one user.
#[utoipa::path(get, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The user.")),
    responses((status = 200, description = "The user.", body = UserBody)))]
pub(crate) async fn get_user(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<UserId>,
) -> Result<Json<UserBody>, Problem> {
    Ok(Json(users::get(&app.instance, &call, id).await.or_problem()?.into()))
}
