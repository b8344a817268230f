//! `openapi.json`: what the handlers say of themselves, and what holds for all of them.

use std::sync::LazyLock;

use axum::response::IntoResponse;
use chancery_middleware::Request;
use http::header;
use utoipa::{
    ToSchema,
    openapi::{
        ContentBuilder, HeaderBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Paths, Ref,
        ResponseBuilder, SecurityRequirement, ServerBuilder, Type,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
        tag::TagBuilder,
    },
};

use crate::oauth::OAuthErrorBody;

/// The operations that need no credential, by operation id. Every other one answers 401 without.
pub const PUBLIC: [&str; 27] = [
    "login",
    "login_compat",
    "register",
    "register_compat",
    "login_with_totp",
    "login_with_recovery_code",
    "enroll_in_login",
    "confirm_in_login",
    "passkey_login_options",
    "login_with_passkey",
    "passkey_step_options",
    "finish_with_passkey",
    "enroll_passkey_options",
    "enroll_passkey",
    "set_password",
    "refresh",
    "refresh_compat",
    "livez",
    "readyz",
    "jwks",
    "openid_configuration",
    "authorization_server",
    "protected_resource",
    "trust",
    "security_txt",
    "receive_csp_reports",
    "openapi_document",
];

/// The operations of OAuth, by operation id: they take forms, authenticate clients in OAuth's ways, and refuse in its words.
pub const OAUTH: [&str; 3] = ["oauth_token", "oauth_introspect", "oauth_revoke"];

const DESCRIPTION: &str = "The security layer of multi-tenant applications that hold personal data.\n\n\
    The tenant comes from the credential and from nowhere else. Every response carries `x-request-id`. \
    Refusals are `application/problem+json` (RFC 9457) with a stable `code`; another tenant's thing is \
    answered exactly as a missing one. Bytes are base64url without padding, times RFC 3339 in UTC.";

/// A refusal (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes what `chancery_middleware::Problem` writes")]
struct ProblemBody {
    /// `urn:chancery:problem:` and the code; of `ratelimit.exceeded` and `auth.key_suspended` the type that IANA registers.
    #[schema(example = "urn:chancery:problem:not_found")]
    r#type: String,
    /// A sentence that is always the same for the code.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The stable code.
    #[schema(example = "not_found")]
    code: String,
    /// What to do about it.
    detail: String,
    /// With `auth.step_up_required`: how many seconds ago the person may have proved who it is.
    max_age: Option<u32>,
    /// One entry per bad field.
    errors: Option<Vec<FaultBody>>,
}

/// One bad field.
#[derive(ToSchema)]
#[schema(as = Fault)]
#[expect(dead_code, reason = "describes what `chancery_middleware::Problem` writes")]
struct FaultBody {
    /// Where: a JSON pointer (RFC 6901).
    #[schema(example = "/items/0/column")]
    pointer: String,
    /// A stable code.
    code: String,
    /// What to do about it.
    message: String,
}

/// The document before any operation is in it.
pub(crate) fn bare() -> OpenApi {
    #[derive(utoipa::OpenApi)]
    #[openapi(components(schemas(ProblemBody, FaultBody, OAuthErrorBody)))]
    struct Schemas;

    let tags = [
        ("tenants", "Who owns data."),
        ("users", "People who log in."),
        ("auth", "Logging in."),
        ("api-keys", "How programs log in."),
        ("roles", "Who may do what, and why."),
        ("identity-providers", "Issuers outside whose tokens the tenant takes."),
        ("webhooks", "Who sends webhooks, and what is on its way."),
        ("keys", "Cryptographic keys and their versions."),
        ("fields", "Which columns hold personal data."),
        ("records", "Sealing and opening values."),
        ("approvals", "What takes two people."),
        ("subjects", "The keys of single persons, and their erasure."),
        ("datasets", "Tables of applications that are counted and re-sealed."),
        ("certificates", "Signed statements that anyone can verify offline."),
        ("audit", "What happened, in a log that nobody can quietly edit."),
        ("gateway", "Routes to applications behind this node."),
        ("limits", "How often things may be done, and addresses that are not answered."),
        ("operations", "For those who run it."),
    ];
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Chancery")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build())),
        )
        // The same as none at all, said so that linters see it.
        .servers(Some([ServerBuilder::new().url("/").description(Some("The instance that serves this.")).build()]))
        .paths(Paths::new())
        .components(<Schemas as utoipa::OpenApi>::openapi().components)
        .tags(Some(tags.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build())))
        .build()
}

/// The OpenAPI 3.1 document of this version.
pub fn openapi() -> OpenApi {
    let mut document = crate::operations().into_openapi();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("An access token of `POST /v1/auth/login`, or an API key (`chy_…`)."))
                .build(),
        ),
    );
    components.add_security_scheme(
        "client",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Basic)
                .description(Some("The id of an API key (`apk_…`) and the key (`chy_…`), at the OAuth endpoints only."))
                .build(),
        ),
    );
    components.add_security_scheme(
        "api_key",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("x-api-key", "An API key (`chy_…`)."))),
    );
    let session = "The access token of a login that asked for cookies; `chancery-access` in development.";
    components.add_security_scheme(
        "cookie",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description("__Host-chancery-access", session))),
    );
    components.responses.insert("Problem".into(), problem().into());
    components.responses.insert("OAuthError".into(), oauth_error().into());
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch, &mut item.head];
        for operation in operations.into_iter().flatten() {
            complete(operation);
        }
    }
    document
}

/// What holds for every operation.
fn complete(operation: &mut Operation) {
    if operation.description.is_none() {
        operation.description.clone_from(&operation.summary);
    }
    let id = operation.operation_id.clone().unwrap_or_default();
    let oauth = OAUTH.contains(&id.as_str());
    for status in ["4XX", "5XX"] {
        let refusal = Ref::from_response_name(if oauth { "OAuthError" } else { "Problem" });
        operation.responses.responses.insert(status.into(), refusal.into());
    }
    let scheme = |name: &str| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
    operation.security = Some(match id.as_str() {
        id if PUBLIC.contains(&id) => Vec::new(),
        "oauth_introspect" => vec![scheme("client"), scheme("bearer"), scheme("api_key")],
        // A person's token is its own proof.
        id if OAUTH.contains(&id) => vec![scheme("client"), SecurityRequirement::default()],
        _ => vec![scheme("bearer"), scheme("api_key"), scheme("cookie")],
    });
}

fn oauth_error() -> utoipa::openapi::Response {
    ResponseBuilder::new()
        .description("A refusal in OAuth's words (RFC 6749 §5.2).")
        .content("application/json", ContentBuilder::new().schema(Some(Ref::from_schema_name("OAuthError"))).build())
        .build()
}

fn problem() -> utoipa::openapi::Response {
    let text = |description: &str| {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some(description))
            .build()
    };
    ResponseBuilder::new()
        .description("A refusal.")
        .header("x-request-id", text("The id of this request, also in its log lines and events."))
        .header("www-authenticate", text("With 401: how to authenticate."))
        .header("retry-after", text("With 429 and 503: how many seconds to wait."))
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build(),
        )
        .build()
}

/// The document as it is checked in at the root of the repository.
pub fn openapi_json() -> String {
    openapi().to_pretty_json().map(|text| text + "\n").unwrap_or_default()
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operations",
    responses((status = 200, description = "The OpenAPI 3.1 document.", content_type = "application/json", body = Object))
)]
pub(crate) async fn openapi_document(_: Request) -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(openapi_json);
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=300")], TEXT.as_str())
}
