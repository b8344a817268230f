//! Addresses whose requests are not answered.

use axum::{Json, extract::State};
use chancery_domain::{
    Faults,
    blocks::{self, Block, NewBlock},
    ids::BlockId,
};
use chancery_middleware::{Asked, Authenticated, Body, PathOf, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    error::IntoProblem,
    page::{self, ListBody, Page},
};

/// What is to be blocked.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewIpBlock)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBlockBody {
    /// An address, or a network of at most a /8 of IPv4 or a /19 of IPv6. Not one that holds the caller's own address.
    #[schema(example = "203.0.113.0/24")]
    network: String,
    /// Why: 1 to 255 characters. The log keeps it under seal.
    reason: String,
    /// For how many seconds, at most 366 days; for good if left out.
    seconds: Option<u32>,
}

/// A network whose requests are not answered.
#[derive(Serialize, ToSchema)]
#[schema(as = IpBlock)]
pub(crate) struct BlockBody {
    #[schema(example = "blk_01J9Z3K0Q5V8WXYZ0123456789")]
    id: String,
    #[schema(example = "203.0.113.0/24")]
    network: String,
    reason: String,
    /// Whether it is an answer to abuse that nobody decided.
    automatic: bool,
    created_at: String,
    /// `null` if it holds for good.
    #[schema(required)]
    expires_at: Option<String>,
}

impl From<Block> for BlockBody {
    fn from(block: Block) -> Self {
        Self {
            id: block.id.to_string(),
            network: block.network.to_string(),
            reason: block.reason,
            automatic: block.automatic,
            created_at: block.made_at.to_string(),
            expires_at: block.expires_at.map(|end| end.to_string()),
        }
    }
}

/// Answer requests from an address or a network no more, for all tenants.
///
/// They get 403 `address.blocked` before anything else is looked at; within seconds on every node. A block of the same network is replaced.
#[utoipa::path(post, path = "/v1/ip-blocks", tag = "limits", request_body = NewBlockBody,
    responses((status = 201, description = "Blocked.", body = BlockBody)))]
pub(crate) async fn create_ip_block(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<NewBlockBody>,
) -> Result<(StatusCode, Json<BlockBody>), Problem> {
    let address = || body.network.parse::<std::net::IpAddr>().map(|address| address.to_canonical().into());
    let network = body.network.parse().or_else(|_| address());
    let network = network.map_err(|_| {
        Problem::invalid(Faults::one("/network", "format", "must be an address or a network, such as 203.0.113.0/24"))
    })?;
    let new = NewBlock { network, reason: body.reason, seconds: body.seconds };
    let block = blocks::block(&app.instance, &call, new).await.or_problem()?;
    Ok((StatusCode::CREATED, Json(block.into())))
}

/// List the addresses and networks whose requests are not answered.
#[utoipa::path(get, path = "/v1/ip-blocks", tag = "limits", params(Page),
    responses((status = 200, description = "A page of blocks, by id.", body = ListBody<BlockBody>)))]
pub(crate) async fn list_ip_blocks(
    State(app): State<App>,
    Asked(call, page): Asked<Page>,
) -> Result<Json<ListBody<BlockBody>>, Problem> {
    let (after, limit) = (page.after::<BlockId>()?, page.limit()?);
    let found = blocks::list(&app.instance, &call, after, limit).await.or_problem()?;
    Ok(Json(page::list(found, limit, |block| block.id.to_string())))
}

/// Answer requests from a network again.
#[utoipa::path(delete, path = "/v1/ip-blocks/{id}", tag = "limits", params(("id" = String, Path)),
    responses((status = 204, description = "They are answered again.")))]
pub(crate) async fn delete_ip_block(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<BlockId>,
) -> Result<StatusCode, Problem> {
    blocks::unblock(&app.instance, &call, id).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}
