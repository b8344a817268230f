//! Who is told of our own events.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_crypto::Secret;
use chancery_domain::{
    ids::WebhookSubscriptionId,
    webhooks::{self, SubscriptionChanges, WebhookSecret, WebhookSubscription},
};
use chancery_middleware::{Authenticated, Body, Code, OptionalBody, PathOf, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SecretBody;
use crate::{App, error::IntoProblem, idempotency::Nothing, page::ListBody, wiped};

/// Who shall be told of events.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewWebhookSubscription)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSubscriptionBody {
    /// What it is called here: 1 to 63 characters.
    name: String,
    /// Where events are sent.
    #[schema(example = "https://siem.example/chancery")]
    url: String,
    /// Of which kinds: of the catalogue, but webhooks' own, or an application's `app.*`.
    #[schema(example = json!(["key.rotated", "certificate.issued"]))]
    kinds: Vec<String>,
    /// Whether it gets a new secret by itself every 180 days. `true` if absent.
    auto_rotate: Option<bool>,
}

/// What shall be another way with a subscription. What is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WebhookSubscriptionChanges)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionChangesBody {
    /// What it is called here.
    name: Option<String>,
    /// Where events are sent.
    url: Option<String>,
    /// Of which kinds.
    kinds: Option<Vec<String>>,
    /// Whether they are.
    enabled: Option<bool>,
    /// Whether it gets a new secret by itself every 180 days.
    auto_rotate: Option<bool>,
}

/// Who is told of events.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSubscription)]
pub(crate) struct SubscriptionBody {
    /// Its id.
    id: String,
    /// What it is called.
    name: String,
    /// Where events are sent.
    url: String,
    /// Of which kinds.
    kinds: Vec<String>,
    /// Whether they are.
    enabled: bool,
    /// Whether it gets a new secret by itself every 180 days.
    auto_rotate: bool,
    /// Since when it takes none of them, if that was told.
    #[schema(required)]
    stalled_at: Option<String>,
    /// Its secrets, ended ones too.
    secrets: Vec<SecretBody>,
    /// The secret (`whsec_…`), when it was just made: shown this once.
    #[serde(serialize_with = "wiped::shown_if_any", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    secret: Option<Secret<String>>,
    /// Since when.
    created_at: String,
    /// Since when it is as it is.
    changed_at: String,
}

impl SubscriptionBody {
    fn of(subscription: WebhookSubscription, secrets: Vec<WebhookSecret>, secret: Option<Secret<String>>) -> Self {
        Self {
            id: subscription.id.to_string(),
            name: subscription.name,
            url: subscription.url,
            kinds: subscription.kinds,
            enabled: subscription.enabled,
            auto_rotate: subscription.auto_rotate,
            stalled_at: subscription.stalled_at.map(|at| at.to_string()),
            secrets: secrets.into_iter().map(SecretBody::from).collect(),
            secret,
            created_at: subscription.created_at.to_string(),
            changed_at: subscription.changed_at.to_string(),
        }
    }
}

/// A new secret of a subscription.
#[derive(Serialize, ToSchema)]
#[schema(as = RotatedWebhookSecret)]
pub(crate) struct RotatedBody {
    /// Its id.
    id: String,
    /// The secret (`whsec_…`): shown this once.
    #[serde(serialize_with = "wiped::shown_if_any")]
    #[schema(value_type = String)]
    secret: Option<Secret<String>>,
}

/// Subscribe to events from now on. The secret is shown this once.
#[utoipa::path(post, path = "/v1/webhook-subscriptions", tag = "webhooks", request_body = NewSubscriptionBody,
    responses((status = 201, description = "The subscription and its secret.", body = SubscriptionBody)))]
pub(crate) async fn create_webhook_subscription(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<NewSubscriptionBody>,
) -> Result<Response, Problem> {
    let NewSubscriptionBody { name, url, kinds, auto_rotate } = body;
    let (name, url, kinds) = (Some(name), Some(url), Some(kinds));
    let wanted = SubscriptionChanges { name, url, kinds, enabled: None, auto_rotate };
    let (made, secrets, secret) = webhooks::subscribe(&app.instance, &call, wanted).await.or_problem()?;
    Ok((StatusCode::CREATED, Json(SubscriptionBody::of(made, secrets, Some(secret)))).into_response())
}

/// List the tenant's subscriptions.
#[utoipa::path(get, path = "/v1/webhook-subscriptions", tag = "webhooks",
    responses((status = 200, description = "All of them: at most 100.", body = ListBody<SubscriptionBody>)))]
pub(crate) async fn list_webhook_subscriptions(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<ListBody<SubscriptionBody>>, Problem> {
    let found = webhooks::subscriptions(&app.instance, &call, None).await.or_problem()?;
    let items = found.into_iter().map(|(one, secrets)| SubscriptionBody::of(one, secrets, None)).collect();
    Ok(Json(ListBody { items, next_cursor: None }))
}

/// Get a subscription.
#[utoipa::path(get, path = "/v1/webhook-subscriptions/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The subscription.")),
    responses((status = 200, description = "The subscription.", body = SubscriptionBody)))]
pub(crate) async fn get_webhook_subscription(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookSubscriptionId>,
) -> Result<Json<SubscriptionBody>, Problem> {
    let found = webhooks::subscriptions(&app.instance, &call, Some(id)).await.or_problem()?;
    let (one, secrets) = found.into_iter().next().ok_or(Code::NotFound)?;
    Ok(Json(SubscriptionBody::of(one, secrets, None)))
}

/// Change a subscription.
#[utoipa::path(patch, path = "/v1/webhook-subscriptions/{id}", tag = "webhooks", request_body = SubscriptionChangesBody,
    params(("id" = String, Path, description = "The subscription.")),
    responses((status = 200, description = "The subscription.", body = SubscriptionBody)))]
pub(crate) async fn update_webhook_subscription(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookSubscriptionId>,
    Body(body): Body<SubscriptionChangesBody>,
) -> Result<Json<SubscriptionBody>, Problem> {
    let SubscriptionChangesBody { name, url, kinds, enabled, auto_rotate } = body;
    let changes = SubscriptionChanges { name, url, kinds, enabled, auto_rotate };
    let (one, secrets) = webhooks::update_subscription(&app.instance, &call, id, changes).await.or_problem()?;
    Ok(Json(SubscriptionBody::of(one, secrets, None)))
}

/// Take a subscription away, with its secrets.
#[utoipa::path(delete, path = "/v1/webhook-subscriptions/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The subscription.")),
    responses((status = 204, description = "There is no such subscription any more.")))]
pub(crate) async fn delete_webhook_subscription(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookSubscriptionId>,
) -> Result<StatusCode, Problem> {
    webhooks::unsubscribe(&app.instance, &call, id).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a subscription a new secret. For 72 hours events are signed with the old one too.
#[utoipa::path(post, path = "/v1/webhook-subscriptions/{id}/rotate-secret", tag = "webhooks",
    params(("id" = String, Path, description = "The subscription.")),
    responses((status = 200, description = "The new secret, shown this once.", body = RotatedBody)))]
pub(crate) async fn rotate_webhook_secret(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookSubscriptionId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<RotatedBody>, Problem> {
    let (secret, text) = webhooks::rotate_secret(&app.instance, &call, id).await.or_problem()?;
    Ok(Json(RotatedBody { id: secret.id.to_string(), secret: Some(text) }))
}

/// Show the secret that a subscription was given by itself. Its old one signs too, until it ends.
#[utoipa::path(post, path = "/v1/webhook-subscriptions/{id}/show-secret", tag = "webhooks",
    params(("id" = String, Path, description = "The subscription.")),
    responses((status = 200, description = "The new secret, shown this once.", body = RotatedBody)))]
pub(crate) async fn show_webhook_secret(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookSubscriptionId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<RotatedBody>, Problem> {
    let (secret, text) = webhooks::show_secret(&app.instance, &call, id).await.or_problem()?;
    Ok(Json(RotatedBody { id: secret.id.to_string(), secret: Some(text) }))
}
