//! What the OAuth endpoints take and how they refuse (RFC 6749): forms, clients, and errors in the standard's own words.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::{Code, Problem};

macro_rules! errors {
    ($($(#[$meta:meta])* $variant:ident = $error:literal, $status:ident, $code:ident;)+) => {
        /// Why an OAuth endpoint refuses (RFC 6749 §5.2, RFC 7009 §2.2.1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum OAuthCode { $($(#[$meta])* $variant,)+ }

        impl OAuthCode {
            /// The standard's word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $error,)+ }
            }

            const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// Our own word, for counts and the log.
            const fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code,)+ }
            }
        }
    };
}

errors! {
    /// Not the form that is needed.
    InvalidRequest = "invalid_request", BAD_REQUEST, RequestMalformed;
    /// No client, or not the one that it says.
    InvalidClient = "invalid_client", UNAUTHORIZED, CredentialInvalid;
    /// A refresh token that is not valid.
    InvalidGrant = "invalid_grant", BAD_REQUEST, CredentialInvalid;
    /// A proof of a key that is not valid (RFC 9449 §5).
    InvalidDpopProof = "invalid_dpop_proof", BAD_REQUEST, ProofInvalid;
    /// The client may not do this.
    UnauthorizedClient = "unauthorized_client", BAD_REQUEST, AuthzDenied;
    /// Not a grant that there is.
    UnsupportedGrantType = "unsupported_grant_type", BAD_REQUEST, RequestInvalid;
    /// More than the client has.
    InvalidScope = "invalid_scope", BAD_REQUEST, RequestInvalid;
    /// Something we depend on does not answer.
    TemporarilyUnavailable = "temporarily_unavailable", SERVICE_UNAVAILABLE, DependencyUnavailable;
    /// A fault of ours.
    ServerError = "server_error", INTERNAL_SERVER_ERROR, Internal;
}

/// A refusal of an OAuth endpoint on its way to the client.
#[derive(Debug, Clone)]
pub struct OAuthError {
    error: OAuthCode,
    description: &'static str,
}

impl OAuthError {
    /// With a sentence on what to do about it. It never repeats input.
    pub const fn new(error: OAuthCode, description: &'static str) -> Self {
        Self { error, description }
    }

    /// What it is.
    pub const fn code(&self) -> OAuthCode {
        self.error
    }

    /// The client is not who it says.
    pub(crate) const fn client() -> Self {
        Self::new(OAuthCode::InvalidClient, "the client did not authenticate")
    }

    /// The request is no form of the kind that is needed.
    pub(crate) const fn request(description: &'static str) -> Self {
        Self::new(OAuthCode::InvalidRequest, description)
    }
}

/// What fails beneath was told to the log when the problem was made.
impl From<Problem> for OAuthError {
    fn from(problem: Problem) -> Self {
        let code = problem.code();
        let error = match code.status() {
            StatusCode::UNAUTHORIZED if code == Code::ProofInvalid => OAuthCode::InvalidDpopProof,
            StatusCode::UNAUTHORIZED => return Self::client(),
            StatusCode::FORBIDDEN => OAuthCode::UnauthorizedClient,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => OAuthCode::TemporarilyUnavailable,
            status if status.is_server_error() => OAuthCode::ServerError,
            _ => OAuthCode::InvalidRequest,
        };
        Self::new(error, code.title())
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let status = self.error.status();
        let body = json!({"error": self.error.as_str(), "error_description": self.description});
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6749 §5.2 wants the scheme that the client used, and Basic is the one that all must know.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="chancery""#));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(self.error.code());
        response
    }
}
