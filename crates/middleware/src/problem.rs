//! What a refusal looks like: `application/problem+json` (RFC 9457) with a stable code.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use chancery_domain::Faults;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// How many digits a place in a list has at most, to be repeated.
const MAX_INDEX: usize = 5;

macro_rules! problems {
    ($($(#[$meta:meta])* $variant:ident = $code:literal, $status:ident, $title:literal;)+) => {
        /// Why a request was not done. The text codes and statuses are a public promise.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$meta])* $variant,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable text code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The status it comes with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// A sentence for people, always the same for the code.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

problems! {
    /// No credential where one is needed.
    CredentialMissing = "auth.credential_missing", UNAUTHORIZED, "A credential is needed";
    /// A credential that is not accepted, for whatever reason.
    CredentialInvalid = "auth.credential_invalid", UNAUTHORIZED, "The credential is not valid";
    /// Two credentials that are not the same.
    CredentialConflict = "auth.credential_conflict", UNAUTHORIZED, "More than one credential was presented";
    /// A proof of a key that is not accepted, for whatever reason (RFC 9449).
    ProofInvalid = "auth.proof_invalid", UNAUTHORIZED, "The proof of the key is not valid";
    /// A wrong name or password.
    LoginFailed = "auth.login_failed", UNAUTHORIZED, "Login failed";
    /// The person must prove again who it is (RFC 9470).
    StepUpRequired = "auth.step_up_required", UNAUTHORIZED, "Prove again who you are";
    /// There is no such tenant, or nobody registers there in this way.
    RegistrationClosed = "registration.closed", FORBIDDEN, "Nobody registers here in this way";
    /// A refresh token was used before; its session has ended.
    RefreshReused = "auth.refresh_reused", UNAUTHORIZED, "The refresh token was used before; log in again";
    /// A webhook that is not from whom it says, not fresh, or a copy; why is not told.
    WebhookRejected = "webhook.rejected", UNAUTHORIZED, "The webhook was refused";
    /// A request with a browser's cookies that no page of ours has made.
    CsrfFailed = "auth.csrf_failed", FORBIDDEN, "The request does not come from a page of this origin";
    /// A tenant was named that is not the caller's.
    TenantMismatch = "tenant.mismatch", FORBIDDEN, "The named tenant is not the caller's";
    /// The caller may not do this.
    AuthzDenied = "authz.denied", FORBIDDEN, "Not allowed";
    /// Chancery's own keys take no bytes of callers.
    KeyManaged = "key.managed", FORBIDDEN, "The key is managed by Chancery";
    /// The address is blocked, whoever calls.
    AddressBlocked = "address.blocked", FORBIDDEN, "Requests from this address are not answered";
    /// Missing, or another tenant's: the two look the same.
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = "method.not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// The state does not allow it.
    StateConflict = "state.conflict", CONFLICT, "The current state does not allow this";
    /// A unique value is in use.
    Taken = "taken", CONFLICT, "Already taken";
    /// Two people are needed, and these are not two.
    ApprovalSamePerson = "approval.same_person", FORBIDDEN, "Another person is needed";
    /// The approval is not given, over, or for something else.
    ApprovalUnusable = "approval.unusable", CONFLICT, "The approval cannot be used";
    /// The key seals and signs no more.
    KeyRetired = "key.retired", CONFLICT, "The key is retired";
    /// What was to be taken back for the key is another key.
    KeyMismatch = "key.mismatch", CONFLICT, "The copy is of another key";
    /// Nothing tells whether what was to be taken back is the key.
    KeyUnproven = "key.unproven", CONFLICT, "Nothing tells whether the copy is of this key";
    /// The key's type, purpose or the algorithm does not do that.
    KeyUnsuited = "key.unsuited", UNPROCESSABLE_ENTITY, "The key does not do this";
    /// The key does not open it; why is not told.
    CiphertextRefused = "ciphertext.refused", UNPROCESSABLE_ENTITY, "The key refuses this input";
    /// The event is durable, but not yet in the tree.
    NotYetSequenced = "audit.not_yet_sequenced", CONFLICT, "The event is not yet in the log";
    /// What is stored of the log is not what was logged; the detail says where, and what to do.
    AuditDamaged = "audit.damaged", CONFLICT, "The audit log is damaged";
    /// Not HTTP or not JSON.
    RequestMalformed = "request.malformed", BAD_REQUEST, "The request is malformed";
    /// The path can be read in two ways.
    PathAmbiguous = "request.path_ambiguous", BAD_REQUEST, "The path can be read in two ways";
    /// The body is not `application/json`.
    MediaType = "request.media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be application/json";
    /// The body is too long.
    TooLarge = "request.too_large", PAYLOAD_TOO_LARGE, "The request is too large";
    /// The range begins behind the end of what it is a range of.
    RangeUnsatisfiable = "request.range", RANGE_NOT_SATISFIABLE, "The range begins behind the end";
    /// Fields that are not valid; the problem lists them.
    RequestInvalid = "request.invalid", UNPROCESSABLE_ENTITY, "The request is not valid";
    /// What looks like personal data, where a tenant refuses that; the problem lists the places.
    PhiSuspected = "phi.suspected", UNPROCESSABLE_ENTITY, "It looks as if personal data were in it";
    /// The column is not registered.
    FieldUnknown = "field.unknown", UNPROCESSABLE_ENTITY, "The field is not registered";
    /// The table has no such index.
    IndexUnknown = "index.unknown", UNPROCESSABLE_ENTITY, "The index is not defined";
    /// Some rows may lack the index's terms, so a query would miss them and not say so.
    IndexNotReady = "index.not_ready", CONFLICT, "The index does not cover all rows yet";
    /// The field is bound to its row.
    RowRequired = "row.required", UNPROCESSABLE_ENTITY, "The field needs a row";
    /// The field is kept in clear.
    FieldNotEncrypted = "field.not_encrypted", UNPROCESSABLE_ENTITY, "The field is not encrypted";
    /// Not a sealed value at all.
    SealedMalformed = "sealed.malformed", UNPROCESSABLE_ENTITY, "Not a sealed value";
    /// Sealed for another place or with another key.
    SealedWrongContext = "sealed.wrong_context", UNPROCESSABLE_ENTITY, "The value was sealed for another context";
    /// Changed after sealing.
    SealedTampered = "sealed.tampered", UNPROCESSABLE_ENTITY, "The sealed value was changed";
    /// Sealed for a person whose key was destroyed. 410 and not 422: the request is right, and it will never open again.
    SubjectErased = "subject.erased", GONE, "The person was erased";
    /// The same `Idempotency-Key` with another request.
    IdempotencyMismatch = "idempotency.mismatch", UNPROCESSABLE_ENTITY, "The Idempotency-Key belongs to another request";
    /// More requests than a limit allows.
    RateLimited = "ratelimit.exceeded", TOO_MANY_REQUESTS, "Too many requests";
    /// Failed logins cost a pause. Says nothing of whether there is such a user.
    AccountLocked = "auth.account_locked", TOO_MANY_REQUESTS, "Too many failed logins";
    /// The API key waits: its limits refused it again and again.
    KeySuspended = "auth.key_suspended", TOO_MANY_REQUESTS, "The API key is suspended for a while";
    /// The log takes no event, so nothing was done.
    AuditUnavailable = "audit.unavailable", SERVICE_UNAVAILABLE, "The audit log is not available";
    /// The store was put back to an earlier state, and nobody accepted that yet.
    AuditRolledBack = "audit.rolled_back", SERVICE_UNAVAILABLE, "The audit log is behind what was signed of it";
    /// Something we depend on does not answer.
    DependencyUnavailable = "dependency.unavailable", SERVICE_UNAVAILABLE, "A dependency is not available";
    /// Something we depend on is not set up as it must be: waiting does not help. Which setting is the operator's to know.
    DependencyMisconfigured = "dependency.misconfigured", SERVICE_UNAVAILABLE,
        "A dependency is not set up as it must be; the server's log names the setting";
    /// Too many requests at once.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Too busy";
    /// It took too long.
    Timeout = "timeout", SERVICE_UNAVAILABLE, "The request took too long";
    /// The application behind the gateway does not answer, or not in HTTP.
    UpstreamBadGateway = "upstream.bad_gateway", BAD_GATEWAY, "The application does not answer";
    /// The application behind the gateway takes too long.
    UpstreamTimeout = "upstream.timeout", GATEWAY_TIMEOUT, "The application took too long";
    /// A fault of ours.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal error";
}

/// A refusal on its way to the client.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: Option<Cow<'static, str>>,
    faults: Faults,
    max_age: Option<u32>,
    bound: bool,
    retry_after: Option<u32>,
    status: Option<StatusCode>,
    violated: Vec<String>,
}

impl Problem {
    /// With the code's title and nothing else.
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            faults: Faults(Vec::new()),
            max_age: None,
            bound: false,
            retry_after: None,
            status: None,
            violated: Vec::new(),
        }
    }

    /// The person must prove who it is, at most so many seconds before the request.
    pub fn step_up(max_age: u32) -> Self {
        let detail =
            Cow::Borrowed("POST /v1/auth/reauthenticate, then repeat the request with the token that it gives");
        let problem = Self::new(Code::StepUpRequired);
        Self { detail: Some(detail), max_age: Some(max_age), ..problem }
    }

    /// With a sentence on what to do about it. Must not repeat input; dropped from a 5xx.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Fields that are not valid, or that look like personal data where none may be.
    pub fn invalid(faults: Faults) -> Self {
        let code = if faults.are_suspicions() { Code::PhiSuspected } else { Code::RequestInvalid };
        Self::new(code).with_faults(faults)
    }

    /// Whether the credential is one that is bound to a key (RFC 9449).
    #[must_use]
    pub(crate) const fn bound(mut self, bound: bool) -> Self {
        self.bound = bound;
        self
    }

    /// Worth another try after so many seconds.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The names of the limits that refuse; they are the operator's.
    #[must_use]
    pub(crate) fn violating(mut self, policies: Vec<String>) -> Self {
        self.violated = policies;
        self
    }

    /// With another status than the code's, for clients of older versions.
    #[must_use]
    pub const fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// With an entry per bad field.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// A fault of ours or of something we depend on. The chain of causes goes to the log, here and only here.
    pub fn failed(code: Code, error: &(dyn std::error::Error + 'static)) -> Self {
        log_chain(error, code);
        Self::new(code)
    }

    /// Its bad fields.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Its code.
    pub const fn code(&self) -> Code {
        self.code
    }
}

fn log_chain(error: &(dyn std::error::Error + 'static), code: Code) {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        chain.push_str(": ");
        chain.push_str(&next.to_string());
        cause = next.source();
    }
    tracing::error!(code = code.as_str(), error = %chain, "Request failed");
}

impl Problem {
    /// What kind of problem it is, for programs: one that IANA knows where there is one, or ours.
    fn type_uri(&self) -> Cow<'static, str> {
        match self.code {
            // draft-ietf-httpapi-ratelimit-headers: with `violated-policies`.
            Code::RateLimited => Cow::Borrowed("https://iana.org/assignments/http-problem-types#quota-exceeded"),
            // The same draft: refused for how it was used, and not for one quota.
            Code::KeySuspended => {
                Cow::Borrowed("https://iana.org/assignments/http-problem-types#abnormal-usage-detected")
            }
            // The same draft: limits that let nobody through while they cannot be counted.
            Code::DependencyUnavailable if !self.violated.is_empty() => {
                Cow::Borrowed("https://iana.org/assignments/http-problem-types#temporary-reduced-capacity")
            }
            code => Cow::Owned(format!("urn:chancery:problem:{}", code.as_str())),
        }
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status.unwrap_or(self.code.status());
        let mut body = json!({
            "type": self.type_uri(),
            "title": self.code.title(),
            "status": status.as_u16(),
            "code": self.code.as_str(),
        });
        if let Some(fields) = body.as_object_mut() {
            let detail = self.detail.filter(|_| !status.is_server_error());
            fields.insert("detail".into(), detail.unwrap_or(Cow::Borrowed(self.code.title())).into());
            if let Some(max_age) = self.max_age {
                fields.insert("max_age".into(), max_age.into());
            }
            if !self.violated.is_empty() {
                fields.insert("violated-policies".into(), self.violated.into());
            }
            if !self.faults.0.is_empty() {
                let entries: Vec<_> = self
                    .faults
                    .0
                    .iter()
                    .map(|fault| json!({"pointer": told(&fault.pointer), "code": fault.code, "message": fault.message}))
                    .collect();
                fields.insert("errors".into(), entries.into());
            }
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, challenge(self.code, self.bound, self.max_age));
        }
        let wait = self.retry_after.or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(1));
        if let Some(seconds) = wait {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self.code);
        response
    }
}

/// A pointer up to the first member whose name is mostly a number: a map's keys may be somebody's.
fn told(pointer: &str) -> String {
    let is_index = |part: &str| part.len() <= MAX_INDEX && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = pointer.split('/').take_while(|part| is_index(part) || crate::json::is_name(part) || part.is_empty());
    parts.collect::<Vec<_>>().join("/")
}

/// RFC 6750 §3: an error only when a credential was presented.
fn challenge(code: Code, bound: bool, max_age: Option<u32>) -> HeaderValue {
    let fixed = match code {
        // RFC 9449 §7.1.
        Code::ProofInvalid => r#"DPoP error="invalid_dpop_proof", algs="ES256 EdDSA RS256""#,
        Code::CredentialInvalid if bound => r#"DPoP error="invalid_token", algs="ES256 EdDSA RS256""#,
        Code::CredentialInvalid => r#"Bearer realm="chancery", error="invalid_token""#,
        Code::CredentialConflict => r#"Bearer realm="chancery", error="invalid_request""#,
        Code::StepUpRequired => r#"Bearer realm="chancery", error="insufficient_user_authentication""#,
        _ => r#"Bearer realm="chancery""#,
    };
    let text = max_age.map(|seconds| {
        // RFC 9470 §3.
        format!(r#"{fixed}, error_description="More recent authentication is required", max_age="{seconds}""#)
    });
    let text = text.and_then(|text| HeaderValue::from_str(&text).ok());
    text.unwrap_or(HeaderValue::from_static(fixed))
}

#[cfg(test)]
mod tests {
    use chancery_domain::instance::Failure;

    use super::*;

    #[test]
    fn a_server_fault_says_nothing_more() {
        let problem = Problem::new(Code::Internal).detail("row 7 of table users");
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[tokio::test]
    async fn a_limit_that_lets_nobody_through_uncounted_is_named() {
        let body = async |failure: Failure| {
            let response = Problem::from(failure).into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(response.headers().contains_key(header::RETRY_AFTER));
            let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            serde_json::from_slice::<serde_json::Value>(&body).unwrap()
        };
        let told = body(Failure::Uncounted(vec!["login".to_owned()], "away".into())).await;
        assert_eq!(told["type"], "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity");
        assert_eq!((&told["code"], &told["violated-policies"]), (&json!("dependency.unavailable"), &json!(["login"])));
        let told = body(Failure::Shared("away".into())).await;
        assert_eq!(told["type"], "urn:chancery:problem:dependency.unavailable");
        assert_eq!(told.get("violated-policies"), None);
    }

    /// Found by the canaries: the name of a detail and of a field that is not registered was repeated, whatever it was.
    #[test]
    fn a_pointer_ends_before_a_members_name_that_is_a_number() {
        for (pointer, expected) in [
            ("", ""),
            ("/items/17/fields/ssn", "/items/17/fields/ssn"),
            ("/items/0/fields/mrn73519284", "/items/0/fields"),
            ("/details/n987_65_4320/x", "/details"),
            ("/details/987654320", "/details"),
            ("/items/0/sha256", "/items/0/sha256"),
            ("/params/Jane Doe", "/params"),
        ] {
            assert_eq!(told(pointer), expected, "{pointer}");
        }
    }

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
    }
}
