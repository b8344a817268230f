//! Who owns data.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_crypto::Phi;
use chancery_domain::{
    TenantId,
    access::Call,
    records::WipedJson,
    tenants::{self, NewTenant, Tenant, TenantPatch, TenantProfile, TenantState},
};
use chancery_middleware::{Asked, Authenticated, Body, Creation, OptionalBody, PathOf, Problem, Unique};
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    error::IntoProblem,
    idempotency::{self, Nothing, Once},
    page::{self, ListBody, Page},
    wiped,
};

/// What a new tenant shall be.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewTenant)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenantBody {
    /// Its name: 1 to 255 characters.
    #[schema(example = "Northside Clinic")]
    name: String,
    /// Its short name, unique: 2 to 63 of `a-z 0-9 -`.
    #[schema(example = "northside")]
    slug: String,
    /// Its contact e-mail; kept sealed.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    email: Option<Phi<String>>,
    /// A JSON object of your own; kept sealed.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Unique>,
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(crate) struct TenantBody {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// Its short name.
    slug: String,
    /// `active`, `suspended` or `erased`.
    #[schema(value_type = String)]
    state: TenantState,
    /// Since when.
    created_at: String,
}

impl From<Tenant> for TenantBody {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name,
            slug: tenant.slug,
            state: tenant.state,
            created_at: tenant.created_at.to_string(),
        }
    }
}

/// A tenant with what is sealed of its record.
#[derive(Serialize, ToSchema)]
#[schema(as = TenantProfile)]
pub(crate) struct TenantProfileBody {
    #[serde(flatten)]
    tenant: TenantBody,
    /// Its contact e-mail.
    #[serde(serialize_with = "wiped::shown_if_any")]
    #[schema(required, value_type = Option<String>)]
    email: Option<Phi<String>>,
    /// The JSON object that was sent.
    #[serde(serialize_with = "wiped::shown_if_any")]
    #[schema(required, value_type = Option<Object>)]
    metadata: Option<WipedJson>,
}

impl From<TenantProfile> for TenantProfileBody {
    fn from(profile: TenantProfile) -> Self {
        Self {
            tenant: profile.tenant.into(),
            email: profile.email,
            metadata: profile.metadata.and_then(|json| serde_json::from_str(json.expose()).ok()).map(WipedJson::new),
        }
    }
}

/// What of a tenant shall be another. What is absent stays; an e-mail or metadata that is `null` goes.
#[derive(Deserialize, ToSchema)]
#[schema(as = TenantPatch)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantPatchBody {
    /// Its name: 1 to 255 characters.
    name: Option<String>,
    /// Its contact e-mail; kept sealed.
    #[serde(default, deserialize_with = "wiped::given")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<Phi<String>>>,
    /// A JSON object of your own, as a whole; kept sealed.
    #[serde(default, deserialize_with = "unique")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Option<Unique>>,
}

/// Tells `null` from nothing.
pub(crate) fn unique<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Unique>>, D::Error> {
    Option::<Unique>::deserialize(deserializer).map(Some)
}

/// A JSON object on its way to being sealed.
pub(crate) fn object(value: Option<Unique>) -> Result<Option<Phi<String>>, Problem> {
    match value {
        None => Ok(None),
        Some(value) if value.expose().is_object() => Ok(Some(Phi::new(value.expose().to_string()))),
        Some(_) => Err(Problem::invalid(chancery_domain::Faults::one("/metadata", "type", "must be a JSON object"))),
    }
}

/// Make a tenant with keys and a log of its own.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenantBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The tenant.", body = TenantBody)))]
pub(crate) async fn create_tenant(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Creation { body, key }: Creation<NewTenantBody>,
) -> Result<Response, Problem> {
    let (home, key) = (TenantId::PLATFORM, key.as_ref());
    let once = match idempotency::begin(&app, &call, home, key).await? {
        Once::Make(call) => call,
        Once::Made(id) => return replay(&app, &call, id).await,
    };
    let new = NewTenant { name: body.name, slug: body.slug, email: body.email, metadata: object(body.metadata)? };
    match tenants::create(&app.instance, &once, new).await.or_problem() {
        Ok(tenant) => Ok((StatusCode::CREATED, Json(TenantBody::from(tenant))).into_response()),
        Err(problem) => {
            let id = idempotency::made_meanwhile(&app, &call, home, key, problem).await?;
            replay(&app, &call, id).await
        }
    }
}

async fn replay(app: &App, call: &Call, id: TenantId) -> Result<Response, Problem> {
    let found = tenants::record(&app.instance, call, id).await.or_problem()?;
    Ok(idempotency::replayed(StatusCode::CREATED, TenantBody::from(found)))
}

/// Which tenants to look for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TenantQuery {
    /// The contact e-mail; compared without regard to case. All of them, page by page, if absent.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[param(value_type = Option<String>)]
    email: Option<Phi<String>>,
    /// How many items at most: 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List tenants, or find them by their contact e-mail.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(TenantQuery),
    responses((status = 200, description = "A page of tenants.", body = ListBody<TenantBody>)))]
pub(crate) async fn list_tenants(
    State(app): State<App>,
    Asked(call, query): Asked<TenantQuery>,
) -> Result<Json<ListBody<TenantBody>>, Problem> {
    let page = Page { limit: query.limit, cursor: query.cursor };
    let limit = page.limit()?;
    let Some(email) = query.email else {
        let found = tenants::list(&app.instance, &call, page.after()?, limit).await.or_problem()?;
        return Ok(Json(page::list(found, limit, |tenant| tenant.id.to_string())));
    };
    let found = tenants::find_by_email(&app.instance, &call, email).await.or_problem()?;
    Ok(Json(ListBody { items: found.into_iter().map(|found| found.tenant.into()).collect(), next_cursor: None }))
}

/// Get one tenant.
#[utoipa::path(get, path = "/v1/tenants/{id}", tag = "tenants",
    params(("id" = String, Path, description = "The tenant.")),
    responses((status = 200, description = "The tenant.", body = TenantProfileBody)))]
pub(crate) async fn get_tenant(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<TenantId>,
) -> Result<Json<TenantProfileBody>, Problem> {
    Ok(Json(tenants::get(&app.instance, &call, id).await.or_problem()?.into()))
}

/// Change a tenant's name, e-mail or metadata.
#[utoipa::path(patch, path = "/v1/tenants/{id}", tag = "tenants", request_body = TenantPatchBody,
    params(("id" = String, Path, description = "The tenant.")),
    responses((status = 200, description = "The tenant.", body = TenantBody)))]
pub(crate) async fn update_tenant(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<TenantId>,
    Body(body): Body<TenantPatchBody>,
) -> Result<Json<TenantBody>, Problem> {
    let patch = TenantPatch { name: body.name, email: body.email, metadata: body.metadata.map(object).transpose()? };
    Ok(Json(tenants::update(&app.instance, &call, id, patch).await.or_problem()?.into()))
}

/// Stop serving a tenant: none of its credentials is accepted.
#[utoipa::path(post, path = "/v1/tenants/{id}/suspend", tag = "tenants",
    params(("id" = String, Path, description = "The tenant.")),
    responses((status = 200, description = "The tenant.", body = TenantBody)))]
pub(crate) async fn suspend_tenant(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<TenantId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<TenantBody>, Problem> {
    Ok(Json(tenants::suspend(&app.instance, &call, id).await.or_problem()?.into()))
}

/// Serve a suspended tenant again.
#[utoipa::path(post, path = "/v1/tenants/{id}/resume", tag = "tenants",
    params(("id" = String, Path, description = "The tenant.")),
    responses((status = 200, description = "The tenant.", body = TenantBody)))]
pub(crate) async fn resume_tenant(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<TenantId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<TenantBody>, Problem> {
    Ok(Json(tenants::resume(&app.instance, &call, id).await.or_problem()?.into()))
}
