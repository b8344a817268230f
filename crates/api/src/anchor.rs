//! The heads of a tenant's log, as the platform's log tells of them.

use axum::{Json, extract::State};
use chancery_domain::audit::{guard::Anchor, query};
use chancery_middleware::{Authenticated, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{App, error::IntoProblem};

/// A signed head of the tenant's log, and the proof that the platform's log tells of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditAnchor)]
pub(crate) struct AnchorBody {
    /// How many events the head speaks of.
    size: u64,
    /// The head of the tenant's log, a C2SP signed note.
    checkpoint: String,
    /// The exact text of the event of the platform's log: `type` is `log.head_noted`, `resource.id` this log's origin, `detail`
    /// has the head's `size` and `root`.
    core: String,
    /// The event's place in the platform's log.
    index: u64,
    /// The proof that it is there, in C2SP tlog-proof form; its checkpoint carries the signatures of witnesses.
    proof: String,
}

impl From<Anchor> for AnchorBody {
    fn from(anchor: Anchor) -> Self {
        Self {
            size: anchor.head.size,
            checkpoint: anchor.head.note,
            core: anchor.noted.event.core,
            index: anchor.noted.index,
            proof: anchor.proof.to_text(),
        }
    }
}

/// Get the newest head of the log that the platform's log tells of, with its proof.
///
/// Heads are told of once a minute, if the log grew. Until the first one there is none.
#[utoipa::path(get, path = "/v1/audit/anchor", tag = "audit",
    responses((status = 200, description = "The head and its proof.", body = AnchorBody)))]
pub(crate) async fn get_anchor(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<AnchorBody>, Problem> {
    Ok(Json(query::anchor(&app.instance, &call, call.tenant()).await.or_problem()?.into()))
}
