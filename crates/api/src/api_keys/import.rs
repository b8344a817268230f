//! Keys that another system issued go on working here.

use axum::{Json, extract::State};
use chancery_domain::{
    Faults, Timestamp,
    access::Role,
    api_keys::{self, OldApiKey},
    ids::UserId,
};
use chancery_middleware::{Authenticated, Body, Problem};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OldRole, cidrs};
use crate::{App, error::IntoProblem, page::ListBody};

/// A role by its name of today, or of older versions.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum AnyRole {
    Today(Role),
    Older(OldRole),
}

/// A key of another system.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OldApiKey)]
#[serde(deny_unknown_fields)]
pub(crate) struct OldApiKeyBody {
    /// The SHA-256 of its text: 64 hex digits.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    sha256: String,
    /// What it is for: 1 to 255 characters.
    description: String,
    /// Its roles, at least one; `user` means `staff`, `admin` means `tenant_admin`.
    #[schema(value_type = Vec<String>)]
    roles: Vec<AnyRole>,
    /// The user it acts as; its roles are at most that user's.
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    /// Until when.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// From where it may be used; anywhere if absent.
    allowed_cidrs: Option<Vec<String>>,
}

/// Keys of another system.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ImportApiKeys)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportBody {
    /// The keys, 1 to 1,000.
    items: Vec<OldApiKeyBody>,
}

/// What became of a key of another system.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportedApiKey)]
pub(crate) struct ImportedBody {
    /// Its id here.
    id: String,
    /// Whether an earlier call brought it; then it stays as it is.
    was_there: bool,
}

/// Bring API keys of another system by their SHA-256: their holders go on using them. All or none.
#[utoipa::path(post, path = "/v1/api-keys/import", tag = "api-keys", request_body = ImportBody,
    responses((status = 200, description = "The keys in their order.", body = ListBody<ImportedBody>)))]
pub(crate) async fn import_api_keys(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<ImportBody>,
) -> Result<Json<ListBody<ImportedBody>>, Problem> {
    let mut faults = Faults::default();
    let mut keys = Vec::with_capacity(body.items.len().min(api_keys::MAX_IMPORTED));
    for (position, item) in body.items.into_iter().enumerate() {
        let place = format!("/items/{position}");
        let sha256: Option<[u8; 32]> =
            HEXLOWER_PERMISSIVE.decode(item.sha256.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        if sha256.is_none() {
            faults.add(format!("{place}/sha256"), "format", "use 64 hex digits");
        }
        let allowed_cidrs = cidrs(&place, &item.allowed_cidrs.unwrap_or_default()).unwrap_or_else(|bad| {
            faults.0.extend(bad.0);
            Vec::new()
        });
        let today = |role| match role {
            AnyRole::Today(role) => role,
            AnyRole::Older(old) => old.into(),
        };
        keys.push(OldApiKey {
            sha256: sha256.unwrap_or_default(),
            description: item.description,
            roles: item.roles.into_iter().map(today).collect(),
            user: item.user_id,
            expires_at: item.expires_at,
            allowed_cidrs,
        });
    }
    faults.check().map_err(Problem::invalid)?;
    let imported = api_keys::import(&app.instance, &call, keys).await.or_problem()?;
    let items =
        imported.into_iter().map(|key| ImportedBody { id: key.id.to_string(), was_there: key.was_there }).collect();
    Ok(Json(ListBody { items, next_cursor: None }))
}
