//! Webhooks on their way.

use axum::{Json, extract::State};
use chancery_domain::{
    Faults,
    ids::WebhookDeliveryId,
    webhooks::{self, DeliveryFilter, DeliveryState, WebhookDelivery},
};
use chancery_middleware::{Asked, Authenticated, OptionalBody, PathOf, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    error::IntoProblem,
    idempotency::Nothing,
    page::{ListBody, Page},
};

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveriesQuery {
    /// Of this source or subscription.
    of: Option<String>,
    /// That stand so: `queued`, `delivered`, `quarantined`.
    #[param(value_type = Option<String>)]
    state: Option<DeliveryState>,
    /// How many items at most: 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A webhook on its way. What is in it is not shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub(crate) struct DeliveryBody {
    /// Its id.
    id: String,
    /// Of which source, or for which subscription.
    of: String,
    /// How it stands.
    #[schema(value_type = String)]
    state: DeliveryState,
    /// How long its body is.
    bytes: u32,
    /// What makes it the same to whoever gets it twice.
    idempotency_key: String,
    /// How often it was tried.
    attempts: u32,
    /// When it is tried next, while it is queued.
    #[schema(required)]
    next_at: Option<String>,
    /// Why the last try was in vain.
    #[schema(required)]
    reason: Option<String>,
    /// When it came.
    received_at: String,
    /// Since when it stands so.
    changed_at: String,
}

impl From<WebhookDelivery> for DeliveryBody {
    fn from(delivery: WebhookDelivery) -> Self {
        let queued = delivery.state == DeliveryState::Queued;
        Self {
            id: delivery.id.to_string(),
            of: delivery.owner.to_string(),
            state: delivery.state,
            bytes: delivery.bytes,
            idempotency_key: delivery.idempotency_key,
            attempts: delivery.attempts,
            next_at: queued.then(|| delivery.next_at.to_string()),
            reason: delivery.reason,
            received_at: delivery.received_at.to_string(),
            changed_at: delivery.changed_at.to_string(),
        }
    }
}

/// List webhooks on their way, in the order in which they came.
#[utoipa::path(get, path = "/v1/webhook-deliveries", tag = "webhooks", params(DeliveriesQuery),
    responses((status = 200, description = "A page of them.", body = ListBody<DeliveryBody>)))]
pub(crate) async fn list_webhook_deliveries(
    State(app): State<App>,
    Asked(call, query): Asked<DeliveriesQuery>,
) -> Result<Json<ListBody<DeliveryBody>>, Problem> {
    let page = Page { limit: query.limit, cursor: query.cursor };
    let limit = page.limit()?;
    let odd = |_| Problem::invalid(Faults::one("", "form", "query: `of` is no id of a source or a subscription"));
    let owner = query.of.map(|of| of.parse().map_err(odd)).transpose()?;
    let filter = DeliveryFilter { owner, state: query.state, after: page.after()?, limit };
    let found = webhooks::list_deliveries(&app.instance, &call, &filter).await.or_problem()?;
    let full = u32::try_from(found.len()).is_ok_and(|length| length >= limit);
    let next_cursor = found.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(Json(ListBody { items: found.into_iter().map(DeliveryBody::from).collect(), next_cursor }))
}

/// Let a webhook that was tried in vain be tried from the beginning, now.
#[utoipa::path(post, path = "/v1/webhook-deliveries/{id}/redrive", tag = "webhooks",
    params(("id" = String, Path, description = "The delivery.")),
    responses((status = 200, description = "It waits for its next try.", body = DeliveryBody)))]
pub(crate) async fn redrive_webhook_delivery(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookDeliveryId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<DeliveryBody>, Problem> {
    Ok(Json(webhooks::redrive(&app.instance, &call, id).await.or_problem()?.into()))
}

/// Discard a webhook that waits, with its message. It is handed to nobody any more.
#[utoipa::path(delete, path = "/v1/webhook-deliveries/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The delivery.")),
    responses((status = 204, description = "There is no such delivery any more.")))]
pub(crate) async fn discard_webhook_delivery(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<WebhookDeliveryId>,
) -> Result<StatusCode, Problem> {
    webhooks::discard(&app.instance, &call, id).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}
