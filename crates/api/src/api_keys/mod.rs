//! How programs log in.

pub(crate) mod change;
pub(crate) mod import;
pub(crate) mod usage;

use std::str::FromStr;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_crypto::Secret;
use chancery_domain::{
    Faults, TenantId,
    access::{Call, Permission, Role},
    api_keys::{self, ApiKey, IssuedApiKey, NewApiKey},
    ids::{ApiKeyId, UserId},
    instance::Failure,
};
use chancery_middleware::{Asked, Authenticated, Body, Code, Creation, OptionalBody, PathOf, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    error::IntoProblem,
    idempotency::{self, Nothing, Once},
    page::{self, ListBody, Page},
    wiped,
};

/// What a new API key shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewApiKey)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewApiKeyBody {
    /// What it is for: 1 to 255 characters.
    description: String,
    /// Its roles, at least one: built-in ones and the tenant's own.
    roles: Vec<String>,
    /// The user it acts as; its roles are at most that user's.
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    /// Its life in days, 1 to 3650.
    expires_in_days: Option<u32>,
    /// From where it may be used, such as `10.0.0.0/8`; anywhere if absent.
    allowed_cidrs: Option<Vec<String>>,
    /// How often it may be used in a minute, 1 to 1,000,000; as often as the operator says for all if absent.
    rate_limit: Option<u32>,
}

/// An API key.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct ApiKeyBody {
    /// Its id.
    id: String,
    /// Its text. Shown once, when it was made.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "wiped::shown_if_any")]
    #[schema(value_type = Option<String>)]
    key: Option<Secret<String>>,
    /// What it is for.
    description: String,
    /// Its roles: built-in ones, then the tenant's own.
    roles: Vec<String>,
    /// The user it acts as.
    #[schema(required)]
    user_id: Option<String>,
    /// Since when.
    created_at: String,
    /// Until when.
    #[schema(required)]
    expires_at: Option<String>,
    /// When it was revoked.
    #[schema(required)]
    revoked_at: Option<String>,
    /// Until when it is suspended, because its limits refused it again and again.
    #[schema(required)]
    suspended_until: Option<String>,
    /// When it was used last, give or take a minute.
    #[schema(required)]
    last_used_at: Option<String>,
    /// The id of the key that replaces it.
    #[schema(required)]
    replaced_by: Option<String>,
    /// From where it may be used; anywhere if empty.
    allowed_cidrs: Vec<String>,
    /// How often it may be used in a minute; as often as the operator says for all if `null`.
    #[schema(required)]
    rate_limit: Option<u32>,
}

impl From<ApiKey> for ApiKeyBody {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            key: None,
            description: key.description,
            roles: key.roles.iter().map(|role| role.to_string()).chain(key.defined_roles).collect(),
            user_id: key.user.map(|id| id.to_string()),
            created_at: key.created_at.to_string(),
            expires_at: key.expires_at.map(|at| at.to_string()),
            revoked_at: key.revoked_at.map(|at| at.to_string()),
            suspended_until: key.suspended_until.map(|at| at.to_string()),
            last_used_at: key.last_used_at.map(|at| at.to_string()),
            replaced_by: key.replaced_by.map(|id| id.to_string()),
            allowed_cidrs: key.allowed_cidrs.iter().map(ToString::to_string).collect(),
            rate_limit: key.rate_limit,
        }
    }
}

impl From<IssuedApiKey> for ApiKeyBody {
    fn from(issued: IssuedApiKey) -> Self {
        Self { key: Some(issued.text), ..issued.key.into() }
    }
}

impl NewApiKeyBody {
    fn parsed(self) -> Result<NewApiKey, Problem> {
        let allowed_cidrs = cidrs("", &self.allowed_cidrs.unwrap_or_default()).map_err(Problem::invalid)?;
        let (mut roles, mut defined_roles) = (Vec::new(), Vec::new());
        for name in self.roles {
            match name.parse() {
                Ok(role) => roles.push(role),
                Err(_) => defined_roles.push(name),
            }
        }
        Ok(NewApiKey {
            description: self.description,
            roles,
            defined_roles,
            user: self.user_id,
            expires_in_days: self.expires_in_days,
            allowed_cidrs,
            rate_limit: self.rate_limit,
        })
    }
}

/// The networks that are written so, below this place of the body.
fn cidrs<T: FromStr>(place: &str, texts: &[String]) -> Result<Vec<T>, Faults> {
    let mut faults = Faults::default();
    let mut nets = Vec::with_capacity(texts.len());
    for (position, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(net) => nets.push(net),
            Err(_) => {
                faults.add(format!("{place}/allowed_cidrs/{position}"), "invalid", "use a form such as 10.0.0.0/8");
            }
        }
    }
    faults.check().map(|()| nets)
}

async fn create(
    app: &App,
    call: &Call,
    tenant: TenantId,
    creation: Creation<NewApiKeyBody>,
) -> Result<Response, Problem> {
    let Creation { body, key } = creation;
    let once = match idempotency::begin(app, call, tenant, key.as_ref()).await? {
        Once::Make(call) => call,
        Once::Made(id) => return replay(app, call, tenant, id).await,
    };
    match api_keys::create(&app.instance, &once, tenant, body.parsed()?).await.or_problem() {
        Ok(issued) => Ok((StatusCode::CREATED, Json(ApiKeyBody::from(issued))).into_response()),
        Err(problem) => {
            let id = idempotency::made_meanwhile(app, call, tenant, key.as_ref(), problem).await?;
            replay(app, call, tenant, id).await
        }
    }
}

async fn replay(app: &App, call: &Call, tenant: TenantId, id: ApiKeyId) -> Result<Response, Problem> {
    call.require_within(tenant, Permission::ApiKeysCreate, Permission::TenantsBootstrap).or_problem()?;
    let mut rows = app.instance.store().view(tenant).await.map_err(Failure::from)?;
    let found = rows.api_key(id).await.map_err(Failure::from)?.ok_or(Code::NotFound)?;
    Ok(idempotency::replayed(StatusCode::CREATED, ApiKeyBody::from(found)))
}

async fn list(app: &App, call: &Call, tenant: TenantId, page: Page) -> Result<Json<ListBody<ApiKeyBody>>, Problem> {
    let limit = page.limit()?;
    let found = api_keys::list(&app.instance, call, tenant, page.after()?, limit).await.or_problem()?;
    Ok(Json(page::list(found, limit, |key| key.id.to_string())))
}

/// Make an API key. Its text is answered once.
#[utoipa::path(post, path = "/v1/api-keys", tag = "api-keys", request_body = NewApiKeyBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The key with its text.", body = ApiKeyBody)))]
pub(crate) async fn create_api_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    creation: Creation<NewApiKeyBody>,
) -> Result<Response, Problem> {
    create(&app, &call, call.tenant(), creation).await
}

/// Make an API key in a tenant, as the platform's admin.
#[utoipa::path(post, path = "/v1/tenants/{id}/api-keys", tag = "api-keys", request_body = NewApiKeyBody,
    params(("id" = String, Path, description = "The tenant."),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The key with its text.", body = ApiKeyBody)))]
pub(crate) async fn create_tenant_api_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(tenant): PathOf<TenantId>,
    creation: Creation<NewApiKeyBody>,
) -> Result<Response, Problem> {
    create(&app, &call, tenant, creation).await
}

/// List API keys, never their texts.
#[utoipa::path(get, path = "/v1/api-keys", tag = "api-keys", params(Page),
    responses((status = 200, description = "A page of keys.", body = ListBody<ApiKeyBody>)))]
pub(crate) async fn list_api_keys(
    State(app): State<App>,
    Asked(call, page): Asked<Page>,
) -> Result<Json<ListBody<ApiKeyBody>>, Problem> {
    list(&app, &call, call.tenant(), page).await
}

/// List a tenant's API keys, as its own admin or the platform's auditor.
#[utoipa::path(get, path = "/v1/tenants/{id}/api-keys", tag = "api-keys",
    params(("id" = String, Path, description = "The tenant."), Page),
    responses((status = 200, description = "A page of keys.", body = ListBody<ApiKeyBody>)))]
pub(crate) async fn list_tenant_api_keys(
    State(app): State<App>,
    Asked(call, page): Asked<Page>,
    PathOf(tenant): PathOf<TenantId>,
) -> Result<Json<ListBody<ApiKeyBody>>, Problem> {
    list(&app, &call, tenant, page).await
}

/// Revoke an API key.
#[utoipa::path(post, path = "/v1/api-keys/{id}/revoke", tag = "api-keys",
    params(("id" = String, Path, description = "The API key.")),
    responses((status = 200, description = "The revoked key.", body = ApiKeyBody)))]
pub(crate) async fn revoke_api_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<ApiKeyId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<ApiKeyBody>, Problem> {
    Ok(Json(api_keys::revoke(&app.instance, &call, id).await.or_problem()?.into()))
}

/// What a new API key shall be, in the older form.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewApiKeyCompat)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewApiKeyCompatBody {
    /// The user it acts as.
    #[schema(value_type = String)]
    user_id: UserId,
    /// What it is for.
    description: String,
    /// `user` or `admin`.
    role: OldRole,
    /// Its life in days, 1 to 3650; needed for an admin's in production.
    expires_in_days: Option<u32>,
    /// From where it may be used, such as `10.0.0.0/8`; needed for an admin's in production.
    allowed_cidrs: Option<Vec<String>>,
}

/// The two roles of older versions.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OldRole {
    /// Now `staff`.
    User,
    /// Now `tenant_admin`.
    Admin,
}

impl From<OldRole> for Role {
    fn from(old: OldRole) -> Self {
        match old {
            OldRole::User => Self::Staff,
            OldRole::Admin => Self::TenantAdmin,
        }
    }
}

/// Make an API key, in the older form.
#[utoipa::path(post, path = "/admin/api-keys", tag = "api-keys", request_body = NewApiKeyCompatBody,
    responses((status = 201, description = "The key with its text.", body = ApiKeyBody)))]
pub(crate) async fn create_api_key_compat(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<NewApiKeyCompatBody>,
) -> Result<(StatusCode, Json<ApiKeyBody>), Problem> {
    let role = Role::from(body.role);
    let new = NewApiKeyBody {
        description: body.description,
        roles: vec![role.to_string()],
        user_id: Some(body.user_id),
        expires_in_days: body.expires_in_days,
        allowed_cidrs: body.allowed_cidrs,
        rate_limit: None,
    };
    let issued = api_keys::create(&app.instance, &call, call.tenant(), new.parsed()?).await.or_problem()?;
    Ok((StatusCode::CREATED, Json(issued.into())))
}
