//! Issuers outside whose tokens a tenant takes.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_crypto::Secret;
use chancery_domain::{
    Timestamp,
    access::{Call, Permission, Role},
    identity_providers::{
        self, AudienceClaim, Check, ClaimShown, ForeignAlgorithm, IdentityProvider, IdentityProviderSpec, MappedRole,
        Profile, SecondFactor, Step, TokenType, Verdict,
    },
    ids::IdentityProviderId,
    instance::Failure,
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

/// The longest body of a test: a token is at most 8 KiB, and a longer one is judged too.
const MAX_TEST_BYTES: usize = 64 * 1024;

/// A claim and the value that it must have.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ClaimValue)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimValueBody {
    /// The claim's name, or with a `/` in front a pointer to it.
    #[schema(example = "org_id")]
    claim: String,
    /// Its value.
    #[schema(example = "org_AbC123")]
    value: String,
}

/// Which role a group or role of the issuer gives.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = MappedRole)]
#[serde(deny_unknown_fields)]
pub(crate) struct MappedRoleBody {
    /// What the issuer calls it.
    #[schema(example = "clinic-doctors")]
    value: String,
    /// The role here: one of the eight, or one that the tenant has defined. `user` and `admin` are taken for `staff` and `tenant_admin`.
    #[schema(example = "clinician")]
    role: String,
}

/// What an identity provider shall be. What is left out comes from the profile.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewIdentityProvider)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewIdentityProviderBody {
    /// What it is called here: 1 to 63 characters.
    name: String,
    /// By which rules its tokens are read: `auth0`, `okta`, `entra`, `cognito`, `keycloak`, `oidc`.
    #[schema(value_type = String, example = "auth0")]
    profile: Profile,
    /// The `iss` of its tokens, to the letter; a slash at the end counts. A provider keeps it.
    #[schema(example = "https://clinic.eu.auth0.com/")]
    issuer: String,
    /// Where its keys are; asked of the issuer's discovery document if absent.
    jwks_uri: Option<String>,
    /// For whom its tokens must be, 1 to 10: at Auth0 the API's identifier, at Cognito the app client's id.
    audiences: Vec<String>,
    /// Where a token says so: `aud`, `client_id` or `azp`.
    #[schema(value_type = Option<String>)]
    audience_claim: Option<AudienceClaim>,
    /// How its tokens may be signed, of `RS256`, `PS256`, `ES256`, `ES384`, `EdDSA`.
    #[schema(value_type = Option<Vec<String>>)]
    algorithms: Option<Vec<ForeignAlgorithm>>,
    /// What their `typ` must be: `at+jwt`, or `any` for issuers that do not say it.
    #[schema(value_type = Option<String>)]
    token_type: Option<TokenType>,
    /// A claim that must have this value, for issuers and audiences that several tenants share.
    tenant_claim: Option<ClaimValueBody>,
    /// The claim with groups or roles: a name, or a pointer such as `/realm_access/roles`.
    role_claim: Option<String>,
    /// Which role a value of it gives; others give none. The caller must be allowed to grant them.
    role_map: Option<Vec<MappedRoleBody>>,
    /// What proves a second factor, without which the token gives no privileged role: `claim` (`amr` has `mfa`), or
    /// `provider` if the issuer asks everybody for one.
    #[schema(value_type = Option<String>)]
    second_factor: Option<SecondFactor>,
    /// How far its clock may differ from ours: 0 to 60 seconds.
    leeway_seconds: Option<u8>,
    /// How long a token may live: 60 to 86400 seconds.
    max_age_seconds: Option<u32>,
    /// Whether its tokens are taken; `true` if absent.
    enabled: Option<bool>,
    /// When they are not taken any more, whatever `enabled` says.
    #[schema(value_type = Option<String>)]
    ends_at: Option<Timestamp>,
}

/// An identity provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IdentityProvider)]
pub(crate) struct IdentityProviderBody {
    /// Its id.
    id: String,
    /// What it is called.
    name: String,
    /// By which rules its tokens are read.
    #[schema(value_type = String)]
    profile: Profile,
    /// The `iss` of its tokens.
    issuer: String,
    /// Where its keys are; `null` if its discovery document says so.
    #[schema(required)]
    jwks_uri: Option<String>,
    /// For whom its tokens must be.
    audiences: Vec<String>,
    /// Where a token says so.
    #[schema(value_type = String)]
    audience_claim: AudienceClaim,
    /// How its tokens may be signed.
    #[schema(value_type = Vec<String>)]
    algorithms: Vec<ForeignAlgorithm>,
    /// What their `typ` must be.
    #[schema(value_type = String)]
    token_type: TokenType,
    /// A claim that must have this value.
    #[schema(required)]
    tenant_claim: Option<ClaimValueBody>,
    /// The claim with groups or roles.
    role_claim: String,
    /// Which role a value of it gives.
    role_map: Vec<MappedRoleBody>,
    /// What proves a second factor.
    #[schema(value_type = String)]
    second_factor: SecondFactor,
    /// How far its clock may differ, in seconds.
    leeway_seconds: u8,
    /// How long a token may live, in seconds.
    max_age_seconds: u32,
    /// Whether its tokens are taken.
    enabled: bool,
    /// When they are not taken any more.
    #[schema(required)]
    ends_at: Option<String>,
    /// Since when.
    created_at: String,
    /// Since when it is as it is.
    changed_at: String,
}

impl From<IdentityProvider> for IdentityProviderBody {
    fn from(provider: IdentityProvider) -> Self {
        let mapped = |(value, role): (String, MappedRole)| MappedRoleBody { value, role: role.to_string() };
        Self {
            id: provider.id.to_string(),
            name: provider.name,
            profile: provider.profile,
            issuer: provider.issuer,
            jwks_uri: provider.jwks_uri,
            audiences: provider.audiences,
            audience_claim: provider.audience_claim,
            algorithms: provider.algorithms,
            token_type: provider.token_type,
            tenant_claim: provider.tenant_claim.map(|(claim, value)| ClaimValueBody { claim, value }),
            role_claim: provider.role_claim,
            role_map: provider.role_map.into_iter().map(mapped).collect(),
            second_factor: provider.second_factor,
            leeway_seconds: provider.leeway_seconds,
            max_age_seconds: provider.max_age_seconds,
            enabled: provider.enabled,
            ends_at: provider.ends_at.map(|at| at.to_string()),
            created_at: provider.created_at.to_string(),
            changed_at: provider.changed_at.to_string(),
        }
    }
}

impl NewIdentityProviderBody {
    fn parsed(self) -> IdentityProviderSpec {
        let role_map = self.role_map.unwrap_or_default().into_iter().map(|mapped| {
            let role = match mapped.role.as_str() {
                "user" => MappedRole::BuiltIn(Role::Staff),
                "admin" => MappedRole::BuiltIn(Role::TenantAdmin),
                name => MappedRole::named(name),
            };
            (mapped.value, role)
        });
        IdentityProviderSpec {
            name: self.name,
            profile: self.profile,
            issuer: self.issuer,
            jwks_uri: self.jwks_uri,
            audiences: self.audiences,
            audience_claim: self.audience_claim,
            algorithms: self.algorithms,
            token_type: self.token_type,
            tenant_claim: self.tenant_claim.map(|must| (must.claim, must.value)),
            role_claim: self.role_claim,
            role_map: role_map.collect(),
            second_factor: self.second_factor,
            leeway_seconds: self.leeway_seconds,
            max_age_seconds: self.max_age_seconds,
            enabled: self.enabled.unwrap_or(true),
            ends_at: self.ends_at,
        }
    }
}

/// A token that is to be judged.
#[derive(Deserialize, ToSchema)]
#[schema(as = TestToken)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestTokenBody {
    /// The token, with or without `Bearer` in front. It is judged, and neither kept nor answered.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    token: Secret<String>,
}

/// One thing that was checked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenCheck)]
pub(crate) struct StepBody {
    /// What, such as `audience`.
    #[schema(value_type = String)]
    check: Check,
    /// Whether it is right.
    ok: bool,
    /// What was found, and what to do.
    detail: String,
}

/// A claim of the token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenClaim)]
pub(crate) struct ClaimBody {
    /// Its name.
    name: String,
    /// Its value as JSON text, or what kind of value it is where that may be somebody's.
    value: String,
    /// Whether that is the value.
    shown: bool,
}

/// What comes of a token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenVerdict)]
pub(crate) struct VerdictBody {
    /// Whether it would be accepted.
    accepted: bool,
    /// What was checked, up to the first thing that is wrong.
    steps: Vec<StepBody>,
    /// What it claims.
    claims: Vec<ClaimBody>,
    /// The roles that it would give.
    roles: Vec<String>,
}

impl From<Verdict> for VerdictBody {
    fn from(verdict: Verdict) -> Self {
        let step = |Step { check, ok, detail }| StepBody { check, ok, detail };
        let claim = |ClaimShown { name, value, shown }| ClaimBody { name, value, shown };
        Self {
            accepted: verdict.accepted,
            steps: verdict.steps.into_iter().map(step).collect(),
            claims: verdict.claims.into_iter().map(claim).collect(),
            roles: verdict.roles,
        }
    }
}

/// Set up an identity provider whose access tokens the tenant takes.
#[utoipa::path(post, path = "/v1/identity-providers", tag = "identity-providers", request_body = NewIdentityProviderBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The provider.", body = IdentityProviderBody)))]
pub(crate) async fn create_identity_provider(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    creation: Creation<NewIdentityProviderBody>,
) -> Result<Response, Problem> {
    let Creation { body, key } = creation;
    let tenant = call.tenant();
    let once = match idempotency::begin(&app, &call, tenant, key.as_ref()).await? {
        Once::Make(call) => call,
        Once::Made(id) => return replay(&app, &call, id).await,
    };
    match identity_providers::create(&app.instance, &once, body.parsed()).await.or_problem() {
        Ok(made) => Ok((StatusCode::CREATED, Json(IdentityProviderBody::from(made))).into_response()),
        Err(problem) => {
            let id = idempotency::made_meanwhile(&app, &call, tenant, key.as_ref(), problem).await?;
            replay(&app, &call, id).await
        }
    }
}

async fn replay(app: &App, call: &Call, id: IdentityProviderId) -> Result<Response, Problem> {
    call.require(Permission::SettingsWrite).or_problem()?;
    let mut rows = app.instance.store().view(call.tenant()).await.map_err(Failure::from)?;
    let found = rows.identity_provider(id).await.map_err(Failure::from)?.ok_or(Code::NotFound)?;
    Ok(idempotency::replayed(StatusCode::CREATED, IdentityProviderBody::from(found)))
}

/// List the tenant's identity providers.
#[utoipa::path(get, path = "/v1/identity-providers", tag = "identity-providers",
    responses((status = 200, description = "All of them: at most 50.", body = ListBody<IdentityProviderBody>)))]
pub(crate) async fn list_identity_providers(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<ListBody<IdentityProviderBody>>, Problem> {
    let found = identity_providers::list(&app.instance, &call).await.or_problem()?;
    Ok(Json(ListBody { items: found.into_iter().map(IdentityProviderBody::from).collect(), next_cursor: None }))
}

/// Get an identity provider.
#[utoipa::path(get, path = "/v1/identity-providers/{id}", tag = "identity-providers",
    params(("id" = String, Path, description = "The provider.")),
    responses((status = 200, description = "The provider.", body = IdentityProviderBody)))]
pub(crate) async fn get_identity_provider(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<IdentityProviderId>,
) -> Result<Json<IdentityProviderBody>, Problem> {
    Ok(Json(identity_providers::get(&app.instance, &call, id).await.or_problem()?.into()))
}

/// Replace what an identity provider is; what is left out is the profile's again. Its issuer stays.
///
/// Tokens are judged by the new rules from the next request on, within half a second on other nodes.
#[utoipa::path(put, path = "/v1/identity-providers/{id}", tag = "identity-providers",
    request_body = NewIdentityProviderBody, params(("id" = String, Path, description = "The provider.")),
    responses((status = 200, description = "The provider.", body = IdentityProviderBody)))]
pub(crate) async fn replace_identity_provider(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<IdentityProviderId>,
    Body(body): Body<NewIdentityProviderBody>,
) -> Result<Json<IdentityProviderBody>, Problem> {
    Ok(Json(identity_providers::replace(&app.instance, &call, id, body.parsed()).await.or_problem()?.into()))
}

/// Take an identity provider away: its tokens are refused from the next request on, within half a second on other nodes.
#[utoipa::path(delete, path = "/v1/identity-providers/{id}", tag = "identity-providers",
    params(("id" = String, Path, description = "The provider.")),
    responses((status = 204, description = "There is no such provider any more.")))]
pub(crate) async fn delete_identity_provider(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<IdentityProviderId>,
) -> Result<StatusCode, Problem> {
    identity_providers::delete(&app.instance, &call, id).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Explain what comes of a token of this provider, check by check. Nobody is let in by it.
///
/// Values of claims that may be somebody's are not shown, and the token is neither kept nor answered.
#[utoipa::path(post, path = "/v1/identity-providers/{id}/test", tag = "identity-providers", request_body = TestTokenBody,
    params(("id" = String, Path, description = "The provider.")),
    responses((status = 200, description = "The verdict.", body = VerdictBody)))]
pub(crate) async fn test_identity_provider(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<IdentityProviderId>,
    Body(body): Body<TestTokenBody, MAX_TEST_BYTES>,
) -> Result<Json<VerdictBody>, Problem> {
    Ok(Json(identity_providers::test(&app.instance, &call, id, &body.token).await.or_problem()?.into()))
}
