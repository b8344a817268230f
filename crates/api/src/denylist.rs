//! The denylist of an older system, line by line.

use axum::{Json, extract::State};
use chancery_domain::{
    Faults, Timestamp,
    revocations::{self, ForeignRevocation, ImportedRevocation},
};
use chancery_middleware::{Authenticated, Lines, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, users::import::ImportFaultBody};

/// How many lines one request takes.
const MAX_LINES: usize = 2_000;
/// What is kept if a row says nothing.
const NO_REASON: &str = "imported";

/// One row: a token that is refused.
#[derive(Deserialize, ToSchema)]
#[schema(as = DeniedToken)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeniedTokenBody {
    /// The token's `jti`, as its issuer gave it.
    #[schema(example = "3f0e7c1a-8d7e-4d0e-9f50-4b8c7c7f3a10")]
    jti: String,
    /// When the token expires.
    #[schema(value_type = String)]
    expires_at: Timestamp,
    /// Whose it was, by the name at login here.
    user: Option<String>,
    /// Why: 1 to 255 characters.
    reason: Option<String>,
}

/// What became of one line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeniedLine)]
pub(crate) struct DeniedLineBody {
    /// Which line, from 1.
    line: usize,
    /// `revoked`, `over` for a token that has expired, or `refused`.
    outcome: &'static str,
    /// An entry per bad field of a refused line.
    errors: Vec<ImportFaultBody>,
}

/// What became of an import.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DenylistImport)]
pub(crate) struct DenylistImportBody {
    /// How many tokens are refused from here on.
    revoked: usize,
    /// How many had expired.
    over: usize,
    /// How many lines were refused.
    refused: usize,
    /// The lines that were refused.
    items: Vec<DeniedLineBody>,
}

/// Bring the denylist of an older system, or deny tokens of an identity provider, by `jti`.
///
/// The body is NDJSON: one token a line, at most 2,000 lines, in one commit. Bad lines are told and change nothing.
#[utoipa::path(post, path = "/v1/revocations/import", tag = "auth",
    request_body(content = DeniedTokenBody, content_type = "application/x-ndjson"),
    responses((status = 200, description = "What became of the lines.", body = DenylistImportBody)))]
pub(crate) async fn import_revocations(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Lines(lines): Lines<DeniedTokenBody, MAX_LINES>,
) -> Result<Json<DenylistImportBody>, Problem> {
    let (mut items, mut places, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    let refused = |line, faults: &Faults| DeniedLineBody {
        line,
        outcome: "refused",
        errors: faults.0.iter().map(ImportFaultBody::from).collect(),
    };
    for (line, read) in lines {
        match read {
            Ok(DeniedTokenBody { jti, expires_at, user, reason }) => {
                let reason = reason.unwrap_or_else(|| NO_REASON.to_owned());
                places.push(line);
                rows.push(ForeignRevocation { jti, expires_at, user, reason });
            }
            Err(problem) => items.push(refused(line, problem.faults())),
        }
    }
    let outcomes = revocations::import(&app.instance, &call, rows).await.or_problem()?;
    let (mut revoked, mut over) = (0, 0);
    for (line, outcome) in places.into_iter().zip(outcomes) {
        match outcome {
            Ok(ImportedRevocation::Revoked) => revoked += 1,
            Ok(ImportedRevocation::Over) => over += 1,
            Err(faults) => items.push(refused(line, &faults)),
        }
    }
    items.sort_by_key(|item| item.line);
    Ok(Json(DenylistImportBody { revoked, over, refused: items.len(), items }))
}
