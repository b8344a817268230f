//! Sources of webhooks, their secrets, and what is on its way.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_crypto::Secret;
use chancery_domain::{
    access::{Call, Permission},
    ids::{WebhookSecretId, WebhookSourceId},
    instance::Failure,
    webhooks::{
        self, Layout, NewSecret, Provider, SecretKind, SourceChanges, SourceSpec, WebhookOwner, WebhookSecret,
        WebhookSource,
    },
};
use chancery_middleware::{Authenticated, Body, Code, Creation, PathOf, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    error::IntoProblem,
    idempotency::{self, Once},
    page::ListBody,
    wiped,
};

pub(crate) mod deliveries;
pub(crate) mod devices;
pub(crate) mod subscriptions;

/// A secret that a source shall take.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewWebhookSecret)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSecretBody {
    /// What it is for: `shared` (the sender signs with it), `public_key` (the public half of what it signs with), `token` (it shows it
    /// in a handshake or a path).
    #[schema(value_type = String, example = "shared")]
    kind: SecretKind,
    /// The secret, in the form that the provider gives it. Kept sealed and never shown again.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    value: Secret<String>,
    /// Whether those of its kind that are there end after 72 hours.
    #[serde(default)]
    replaces: bool,
}

impl From<NewSecretBody> for NewSecret {
    fn from(body: NewSecretBody) -> Self {
        Self { kind: body.kind, value: body.value, replaces: body.replaces }
    }
}

/// What a source of webhooks shall be.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewWebhookSource)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSourceBody {
    /// What it is called here: 1 to 63 characters.
    name: String,
    /// Who sends: `oura`, `whoop`, `whoop_partner`, `fitbit`, `google_health`, `garmin`, `apple_health`, `strava`, `suunto`,
    /// `standard`, `generic`.
    #[schema(value_type = String, example = "oura")]
    provider: Provider,
    /// How a `generic` sender signs.
    #[schema(value_type = Option<Object>)]
    layout: Option<Layout>,
    /// What Garmin calls the application.
    client_id: Option<String>,
    /// Whose devices may send, of `apple_health`: `TEAMID.bundle.id`.
    #[serde(default)]
    app_ids: Vec<String>,
    /// Where messages are handed on: an address of the application, or `gateway:/path` of the one behind the gateway.
    #[schema(example = "https://app.example/hooks/oura")]
    upstream: String,
    /// Whether messages are taken; needs a secret. `false` if absent.
    #[serde(default)]
    enabled: bool,
    /// The secrets to begin with.
    #[serde(default)]
    secrets: Vec<NewSecretBody>,
}

/// What shall be another way with a source. What is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WebhookSourceChanges)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceChangesBody {
    /// What it is called here.
    name: Option<String>,
    /// How a `generic` sender signs.
    #[schema(value_type = Option<Object>)]
    layout: Option<Layout>,
    /// What Garmin calls the application.
    client_id: Option<String>,
    /// Whose devices may send.
    app_ids: Option<Vec<String>>,
    /// Where messages are handed on.
    upstream: Option<String>,
    /// Whether messages are taken.
    enabled: Option<bool>,
}

/// A secret of a source. What it is is never shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub(crate) struct SecretBody {
    /// Its id.
    id: String,
    /// What it is for.
    #[schema(value_type = String)]
    kind: SecretKind,
    /// Since when.
    created_at: String,
    /// From when on it should be replaced.
    #[schema(required)]
    due_at: Option<String>,
    /// Until when it is taken.
    #[schema(required)]
    ends_at: Option<String>,
    /// Whether it is taken still; of one that is not only a code is kept.
    active: bool,
    /// Whether it was drawn by itself and nobody was shown it yet.
    unshown: bool,
}

impl From<WebhookSecret> for SecretBody {
    fn from(secret: WebhookSecret) -> Self {
        Self {
            id: secret.id.to_string(),
            kind: secret.kind,
            created_at: secret.created_at.to_string(),
            due_at: secret.due_at().map(|at| at.to_string()),
            ends_at: secret.ends_at.map(|at| at.to_string()),
            active: secret.sealed.is_some(),
            unshown: secret.unshown,
        }
    }
}

/// A source of webhooks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSource)]
pub(crate) struct SourceBody {
    /// Its id.
    id: String,
    /// What it is called.
    name: String,
    /// Who sends.
    #[schema(value_type = String)]
    provider: Provider,
    /// How a `generic` sender signs.
    #[schema(value_type = Option<Object>, required)]
    layout: Option<Layout>,
    /// What Garmin calls the application.
    #[schema(required)]
    client_id: Option<String>,
    /// Whose devices may send.
    app_ids: Vec<String>,
    /// Where messages are handed on.
    upstream: String,
    /// Whether messages are taken.
    enabled: bool,
    /// Since when the application takes none of its messages, if that was told.
    #[schema(required)]
    stalled_at: Option<String>,
    /// Where the provider sends: behind the address of this server.
    #[schema(example = "/hooks/northside/whs_01J9Z3K0Q5V8WXYZ0123456789")]
    path: String,
    /// Its secrets, ended ones too.
    secrets: Vec<SecretBody>,
    /// Since when.
    created_at: String,
    /// Since when it is as it is.
    changed_at: String,
}

impl SourceBody {
    fn of(call: &Call, (source, secrets): (WebhookSource, Vec<WebhookSecret>)) -> Self {
        Self {
            path: format!("/hooks/{}/{}", call.caller.tenant_slug(), source.id),
            id: source.id.to_string(),
            name: source.name,
            provider: source.provider,
            layout: source.layout,
            client_id: source.client_id,
            app_ids: source.app_ids,
            upstream: source.upstream,
            enabled: source.enabled,
            stalled_at: source.stalled_at.map(|at| at.to_string()),
            secrets: secrets.into_iter().map(SecretBody::from).collect(),
            created_at: source.created_at.to_string(),
            changed_at: source.changed_at.to_string(),
        }
    }
}

/// Set up a source of webhooks. Without a secret it cannot be enabled.
#[utoipa::path(post, path = "/v1/webhook-sources", tag = "webhooks", request_body = NewSourceBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The source.", body = SourceBody)))]
pub(crate) async fn create_webhook_source(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    creation: Creation<NewSourceBody>,
) -> Result<Response, Problem> {
    let Creation { body, key } = creation;
    let tenant = call.tenant();
    let once = match idempotency::begin(&app, &call, tenant, key.as_ref()).await? {
        Once::Make(call) => call,
        Once::Made(id) => return replay(&app, &call, id).await,
    };
    let spec = SourceSpec {
        name: body.name,
        provider: body.provider,
        layout: body.layout,
        client_id: body.client_id,
        app_ids: body.app_ids,
        upstream: body.upstream,
        enabled: body.enabled,
        secrets: body.secrets.into_iter().map(NewSecret::from).collect(),
    };
    match webhooks::create(&app.instance, &once, spec).await.or_problem() {
        Ok(made) => Ok((StatusCode::CREATED, Json(SourceBody::of(&call, made))).into_response()),
        Err(problem) => {
            let id = idempotency::made_meanwhile(&app, &call, tenant, key.as_ref(), problem).await?;
            replay(&app, &call, id).await
        }
    }
}

async fn replay(app: &App, call: &Call, id: WebhookSourceId) -> Result<Response, Problem> {
    call.require(Permission::SettingsWrite).or_problem()?;
    let mut rows = app.instance.store().view(call.tenant()).await.map_err(Failure::from)?;
    let found = rows.webhook_source(id).await.map_err(Failure::from)?.ok_or(Code::NotFound)?;
    let secrets = rows.webhook_secrets(WebhookOwner::Source(id)).await.map_err(Failure::from)?;
    Ok(idempotency::replayed(StatusCode::CREATED, SourceBody::of(call, (found, secrets))))
}

/// List the tenant's sources of webhooks.
#[utoipa::path(get, path = "/v1/webhook-sources", tag = "webhooks",
    responses((status = 200, description = "All of them: at most 100.", body = ListBody<SourceBody>)))]
pub(crate) async fn list_webhook_sources(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<ListBody<SourceBody>>, Problem> {
    let found = webhooks::list(&app.instance, &call).await.or_problem()?;
    let items = found.into_iter().map(|source| SourceBody::of(&call, source)).collect();
    Ok(Json(ListBody { items, next_cursor: None }))
}

/// Get a source of webhooks.
#[utoipa::path(get, path = "/v1/webhook-sources/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The source.")),
    responses((status = 200, description = "The source.", body = SourceBody)))]
pub(crate) async fn get_webhook_source(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookSourceId>,
) -> Result<Json<SourceBody>, Problem> {
    let found = webhooks::get(&app.instance, &call, id).await.or_problem()?;
    Ok(Json(SourceBody::of(&call, found)))
}

/// Change a source of webhooks. Without a secret it cannot be enabled.
#[utoipa::path(patch, path = "/v1/webhook-sources/{id}", tag = "webhooks", request_body = SourceChangesBody,
    params(("id" = String, Path, description = "The source.")),
    responses((status = 200, description = "The source.", body = SourceBody)))]
pub(crate) async fn update_webhook_source(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookSourceId>,
    Body(body): Body<SourceChangesBody>,
) -> Result<Json<SourceBody>, Problem> {
    let SourceChangesBody { name, layout, client_id, app_ids, upstream, enabled } = body;
    let changes = SourceChanges { name, layout, client_id, app_ids, upstream, enabled };
    let found = webhooks::update(&app.instance, &call, id, changes).await.or_problem()?;
    Ok(Json(SourceBody::of(&call, found)))
}

/// Take a source of webhooks away, with its secrets. What came of it already waits for somebody.
#[utoipa::path(delete, path = "/v1/webhook-sources/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The source.")),
    responses((status = 204, description = "There is no such source any more.")))]
pub(crate) async fn delete_webhook_source(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookSourceId>,
) -> Result<StatusCode, Problem> {
    webhooks::delete(&app.instance, &call, id).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a source a further secret; those that are there are taken beside it, or end after 72 hours.
#[utoipa::path(post, path = "/v1/webhook-sources/{id}/secrets", tag = "webhooks", request_body = NewSecretBody,
    params(("id" = String, Path, description = "The source.")),
    responses((status = 201, description = "The secret, without what it is.", body = SecretBody)))]
pub(crate) async fn add_webhook_secret(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookSourceId>,
    Body(body): Body<NewSecretBody>,
) -> Result<Response, Problem> {
    let added = webhooks::add_secret(&app.instance, &call, id, body.into()).await.or_problem()?;
    Ok((StatusCode::CREATED, Json(SecretBody::from(added))).into_response())
}

/// End a secret at once. The last one that an enabled source needs stays.
#[utoipa::path(delete, path = "/v1/webhook-sources/{id}/secrets/{secret_id}", tag = "webhooks",
    params(("id" = String, Path, description = "The source."), ("secret_id" = String, Path, description = "The secret.")),
    responses((status = 204, description = "It is not taken any more.")))]
pub(crate) async fn end_webhook_secret(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((id, secret)): PathOf<(WebhookSourceId, WebhookSecretId)>,
) -> Result<StatusCode, Problem> {
    webhooks::end_secret(&app.instance, &call, id, secret).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}
