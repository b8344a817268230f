//! How the tokens of a session reach their client: in the body, or in cookies that no script sees.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use chancery_domain::{
    Faults,
    access::RequestInfo,
    sessions::SessionTokens,
    tokens::{self, AccessToken},
};
use chancery_middleware::{Exchange, Problem, ProvenKey, Request, SessionCookies, cookies};
use http::{HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{App, auth::TokensBody, metrics::TokenType};

/// An answer, and the cookies that come with it.
pub(crate) struct Delivered<T> {
    body: T,
    cookies: Vec<HeaderValue>,
}

impl<T> Delivered<T> {
    /// Without cookies.
    pub(crate) fn plain(body: T) -> Self {
        Self { body, cookies: Vec::new() }
    }

    /// With another body.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Delivered<U> {
        Delivered { body: change(self.body), cookies: self.cookies }
    }
}

impl<T: Serialize> IntoResponse for Delivered<T> {
    fn into_response(self) -> Response {
        with(Json(self.body).into_response(), self.cookies)
    }
}

/// A response, and cookies.
pub(crate) fn with(mut response: Response, cookies: Vec<HeaderValue>) -> Response {
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// A response that takes the session's cookies away, if the request brought any.
pub(crate) fn without(app: &App, brought: &SessionCookies, response: Response) -> Response {
    if brought.any() { with(response, cookies::cleared(app.instance.settings())) } else { response }
}

/// A session whose tokens are in cookies.
#[derive(Serialize, ToSchema)]
#[schema(as = CookieSession)]
pub(crate) struct CookieSessionBody {
    /// The session.
    session_id: String,
    /// The life of the access token in seconds: refresh before that.
    expires_in: i64,
    /// When the refresh token ends unless it is used.
    refresh_expires_at: String,
}

/// What a login or a refresh gives.
#[derive(Serialize, ToSchema)]
#[schema(as = GivenSession)]
#[serde(untagged)]
pub(crate) enum GivenBody {
    /// Tokens, for a program.
    Tokens(Box<TokensBody>),
    /// No tokens: they are in cookies.
    Cookies(CookieSessionBody),
}

/// What is known of a request that begins a session or goes on with one. Its tokens are in cookies or bound to a key, not both: a
/// browser sends a cookie without a proof.
pub(crate) fn arrival(request: &Request, proven: ProvenKey, cookies: bool) -> Result<RequestInfo, Problem> {
    let info = proven.on(request.0.info());
    if cookies && info.key.is_some() {
        let message = "a token in a cookie is not bound to a key: leave the header DPoP out";
        return Err(Problem::invalid(Faults::one("/cookies", "unexpected", message)));
    }
    Ok(info)
}

/// Hands over the tokens of a login that has just been done: in cookies, if they are `wanted`. Whatever the browser brought along
/// from before is worth nothing from here on, whoever put it there (ID-22).
pub(crate) async fn begun(
    app: &App,
    exchange: &Exchange,
    brought: &SessionCookies,
    wanted: bool,
    tokens: SessionTokens,
) -> Result<Delivered<GivenBody>, Problem> {
    if wanted || app.instance.settings().access_token_cookie {
        for before in brought.before() {
            tokens::revoke(&app.instance, exchange.info(), None, before).await?;
        }
    }
    Ok(given(app, wanted, tokens))
}

/// Hands over tokens.
pub(crate) fn given(app: &App, wanted: bool, tokens: SessionTokens) -> Delivered<GivenBody> {
    app.metrics.issued(TokenType::access);
    app.metrics.issued(TokenType::refresh);
    let settings = app.instance.settings();
    let mut cookies: Vec<HeaderValue> = cookies::compat(settings, &tokens.access).into_iter().collect();
    if !wanted {
        return Delivered { body: GivenBody::Tokens(Box::new(tokens.into())), cookies };
    }
    let seconds = tokens.refresh_expires_at.as_seconds() - app.instance.now().as_seconds();
    cookies.extend(cookies::given(settings, &tokens, seconds));
    let body = CookieSessionBody {
        session_id: tokens.session.to_string(),
        expires_in: tokens.access.expires_in,
        refresh_expires_at: tokens.refresh_expires_at.to_string(),
    };
    Delivered { body: GivenBody::Cookies(body), cookies }
}

/// Hands over another access token of a session: in the cookie, if the one before was there. `body` is told whether to show it.
pub(crate) fn renewed<T>(
    app: &App,
    brought: &SessionCookies,
    access: AccessToken,
    body: impl FnOnce(Option<AccessToken>) -> T,
) -> Delivered<T> {
    app.metrics.issued(TokenType::access);
    let settings = app.instance.settings();
    let mut cookies: Vec<HeaderValue> = cookies::compat(settings, &access).into_iter().collect();
    let hidden = brought.has_ours();
    if hidden {
        cookies.extend(cookies::renewed(settings, &access));
    }
    Delivered { body: body(Some(access).filter(|_| !hidden)), cookies }
}
