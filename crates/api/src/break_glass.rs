//! How an opening is asked for in an emergency, and how every opening answers.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use chancery_crypto::Phi;
use chancery_domain::{
    approvals::Carried,
    ids::ApprovalId,
    records::{BreakGlass, RecordError},
};
use chancery_middleware::{Exchange, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    approvals::WaitsBody,
    error::{IntoProblem as _, ToProblem},
    wiped,
};

/// Why the glass is broken. Without `approval_id` the answer is 202 with the id of an approval that another officer
/// gives; the same call with that id opens, for one hour.
#[derive(Deserialize, ToSchema)]
#[schema(as = BreakGlass)]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakGlassBody {
    /// The ticket of the emergency: 1 to 32 of A-Z, 0-9, _ . and -; it stands in the log in clear.
    #[schema(example = "INC-20261126")]
    ticket: String,
    /// Why, in 1 to 200 characters; sealed, for the approver.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    reason: Phi<String>,
    /// The approval.
    #[schema(value_type = Option<String>)]
    approval_id: Option<ApprovalId>,
}

impl From<BreakGlassBody> for BreakGlass {
    fn from(body: BreakGlassBody) -> Self {
        Self { ticket: body.ticket, reason: body.reason, approval: body.approval_id }
    }
}

/// The outcome of what opens. A value that did not open has an event of its own, which says more than that of a refusal.
pub(crate) fn told<T, E>(exchange: &Exchange, outcome: Result<T, E>) -> Result<T, Problem>
where
    E: ToProblem + AsRef<RecordError>,
{
    use RecordError as E;
    if let Err(error) = &outcome
        && matches!(error.as_ref(), E::WrongContext(_) | E::Tampered(_) | E::KeyStopped(_) | E::Erased(_))
    {
        exchange.already_told();
    }
    outcome.or_problem()
}

/// What was opened, or that it waits for another person.
pub(crate) fn answer<T, B: Serialize>(opened: Carried<T>, body: impl FnOnce(T) -> B) -> Response {
    match opened {
        Carried::Done(opened) => Json(body(opened)).into_response(),
        Carried::Waits(approval) => WaitsBody::from(*approval).into_response(),
    }
}
