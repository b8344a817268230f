//! What roles there are, the tenant's own, and why somebody may do something.

use axum::{Json, extract::State, http::StatusCode};
use chancery_domain::{
    Faults,
    access::{Permission, Role},
    ids::{ApiKeyId, UserId},
    roles::{self, DefinedRole, Explanation, Held, Holder, Question, Reason, RoleSpec, Subject},
};
use chancery_middleware::{Authenticated, Body, Code, OptionalBody, PathOf, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, idempotency::Nothing, page::ListBody};

/// A role.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Role)]
pub(crate) struct RoleBody {
    /// Its name.
    name: String,
    /// The built-in role of which it is a part; none for a built-in one.
    #[schema(required)]
    base: Option<String>,
    /// What a holder may do.
    permissions: Vec<String>,
    /// Which roles a holder may give to others.
    may_grant: Vec<String>,
    /// What it is for.
    #[schema(required)]
    description: Option<String>,
    /// Since when it is as it is.
    #[schema(required)]
    changed_at: Option<String>,
}

impl From<Role> for RoleBody {
    fn from(role: Role) -> Self {
        Self {
            name: role.to_string(),
            base: None,
            permissions: role.permissions().iter().map(ToString::to_string).collect(),
            may_grant: role.may_grant().iter().map(ToString::to_string).collect(),
            description: None,
            changed_at: None,
        }
    }
}

impl From<DefinedRole> for RoleBody {
    fn from(role: DefinedRole) -> Self {
        Self {
            permissions: role.effective().iter().map(|permission| permission.to_string()).collect(),
            name: role.name,
            base: Some(role.base.to_string()),
            may_grant: Vec::new(),
            description: Some(role.description),
            changed_at: Some(role.changed_at.to_string()),
        }
    }
}

/// A tenant's own role and who holds it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HeldRole)]
pub(crate) struct HeldRoleBody {
    #[serde(flatten)]
    role: RoleBody,
    /// The ids of the users and API keys that hold it, at most 1,000.
    holders: Vec<String>,
}

impl From<Held> for HeldRoleBody {
    fn from(held: Held) -> Self {
        Self { role: held.role.into(), holders: held.holders }
    }
}

/// What a role shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DefineRole)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefineRoleBody {
    /// The built-in role of which it is a part; fixed once the role is there.
    #[schema(value_type = String, example = "staff")]
    base: Role,
    /// What a holder may do: at least one of the base's permissions.
    #[schema(value_type = Vec<String>, example = json!(["data.seal", "data.open.public"]))]
    permissions: Vec<Permission>,
    /// What it is for: at most 255 characters.
    #[serde(default)]
    description: String,
}

/// A permission and the built-in roles that have it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Permission)]
pub(crate) struct PermissionBody {
    /// Its name.
    name: String,
    /// The built-in roles that have it.
    roles: Vec<String>,
}

/// List the roles that the tenant can give: its part of the eight built-in ones, and its own.
#[utoipa::path(get, path = "/v1/roles", tag = "roles",
    responses((status = 200, description = "All roles of the tenant.", body = ListBody<RoleBody>)))]
pub(crate) async fn list_roles(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<ListBody<RoleBody>>, Problem> {
    let found = roles::list(&app.instance, &call).await.or_problem()?;
    let built_in = found.built_in.into_iter().map(RoleBody::from);
    Ok(Json(ListBody {
        items: built_in.chain(found.defined.into_iter().map(RoleBody::from)).collect(),
        next_cursor: None,
    }))
}

/// List every permission, with the built-in roles that have it.
#[utoipa::path(get, path = "/v1/permissions", tag = "roles",
    responses((status = 200, description = "All permissions.", body = ListBody<PermissionBody>)))]
pub(crate) async fn list_permissions(
    Authenticated(call): Authenticated,
) -> Result<Json<ListBody<PermissionBody>>, Problem> {
    let found = roles::permissions(&call).or_problem()?;
    let items = found.into_iter().map(|(permission, roles)| PermissionBody {
        name: permission.to_string(),
        roles: roles.iter().map(ToString::to_string).collect(),
    });
    Ok(Json(ListBody { items: items.collect(), next_cursor: None }))
}

/// Get one of the tenant's own roles, and who holds it.
#[utoipa::path(get, path = "/v1/roles/{name}", tag = "roles",
    params(("name" = String, Path, description = "The role's name.")),
    responses((status = 200, description = "The role.", body = HeldRoleBody)))]
pub(crate) async fn get_role(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(name): PathOf<String>,
) -> Result<Json<HeldRoleBody>, Problem> {
    Ok(Json(roles::get(&app.instance, &call, &name).await.or_problem()?.into()))
}

/// Define a role of the tenant, or change it: some of a built-in role's permissions.
#[utoipa::path(put, path = "/v1/roles/{name}", tag = "roles", request_body = DefineRoleBody,
    params(("name" = String, Path, description = "The role's name: 2 to 63 of a-z 0-9 _ -.")),
    responses((status = 200, description = "The role.", body = RoleBody)))]
pub(crate) async fn define_role(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(name): PathOf<String>,
    Body(body): Body<DefineRoleBody>,
) -> Result<Json<RoleBody>, Problem> {
    let spec = RoleSpec { base: body.base, permissions: body.permissions, description: body.description };
    Ok(Json(roles::define(&app.instance, &call, &name, spec).await.or_problem()?.into()))
}

/// Give up one of the tenant's own roles that nobody holds.
#[utoipa::path(delete, path = "/v1/roles/{name}", tag = "roles",
    params(("name" = String, Path, description = "The role's name.")),
    responses((status = 204, description = "There is no such role any more.")))]
pub(crate) async fn delete_role(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(name): PathOf<String>,
) -> Result<StatusCode, Problem> {
    roles::delete(&app.instance, &call, &name).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give one of the tenant's own roles to a user or an API key.
#[utoipa::path(put, path = "/v1/roles/{name}/holders/{holder}", tag = "roles",
    params(("name" = String, Path, description = "The role's name."),
           ("holder" = String, Path, description = "A user's or an API key's id.")),
    responses((status = 204, description = "They hold it.")))]
pub(crate) async fn give_role(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((name, holder)): PathOf<(String, String)>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<StatusCode, Problem> {
    let holder: Holder = holder.parse().map_err(|_| Code::NotFound)?;
    roles::give(&app.instance, &call, &name, holder).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take one of the tenant's own roles from a user or an API key.
#[utoipa::path(delete, path = "/v1/roles/{name}/holders/{holder}", tag = "roles",
    params(("name" = String, Path, description = "The role's name."),
           ("holder" = String, Path, description = "A user's or an API key's id.")),
    responses((status = 204, description = "They do not hold it any more.")))]
pub(crate) async fn take_role(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((name, holder)): PathOf<(String, String)>,
) -> Result<StatusCode, Problem> {
    let holder: Holder = holder.parse().map_err(|_| Code::NotFound)?;
    roles::take(&app.instance, &call, &name, holder).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether somebody may do something.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ExplainAccess)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainBody {
    /// May do what, such as `data.open.restricted`.
    #[schema(value_type = String)]
    permission: Permission,
    /// Which user; the caller if neither is named.
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    /// Which API key.
    #[schema(value_type = Option<String>)]
    api_key_id: Option<ApiKeyId>,
}

/// Why somebody may do something, or why not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessExplanation)]
pub(crate) struct ExplanationBody {
    /// Who: a user's or an API key's id.
    subject: String,
    /// May do what.
    permission: String,
    /// Whether they may.
    allowed: bool,
    /// `granted`, `no_role`, `not_in_credential`, `user_not_active`, `key_over` or `not_of_user`.
    #[schema(value_type = String)]
    reason: Reason,
    /// The roles they hold.
    holds: Vec<String>,
    /// Those of them that give it.
    through: Vec<String>,
    /// The tenant's roles that would give it.
    would: Vec<String>,
}

impl ExplanationBody {
    fn of(permission: Permission, explained: Explanation) -> Self {
        Self {
            subject: explained.subject,
            permission: permission.to_string(),
            allowed: explained.allowed,
            reason: explained.reason,
            holds: explained.holds,
            through: explained.through,
            would: explained.would,
        }
    }
}

/// Explain why somebody may do something, or why not, and which role would change that.
#[utoipa::path(post, path = "/v1/authz/explain", tag = "roles", request_body = ExplainBody,
    responses((status = 200, description = "Why, or why not.", body = ExplanationBody)))]
pub(crate) async fn explain_access(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<ExplainBody>,
) -> Result<Json<ExplanationBody>, Problem> {
    let subject = match (body.user_id, body.api_key_id) {
        (None, None) => Subject::Caller,
        (Some(id), None) => Subject::Other(Holder::User(id)),
        (None, Some(id)) => Subject::Other(Holder::ApiKey(id)),
        (Some(_), Some(_)) => {
            let both = "name a user or an API key, not both";
            return Err(Problem::invalid(Faults::one("/api_key_id", "conflict", both)));
        }
    };
    let question = Question { subject, permission: body.permission };
    let explained = roles::explain(&app.instance, &call, question).await.or_problem()?;
    Ok(Json(ExplanationBody::of(body.permission, explained)))
}
