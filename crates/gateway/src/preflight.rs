//! Browsers that ask first, whether a page of another origin may call. They ask without a credential, so an application of a route that
//! demands one would never be called from such a page: it is asked as by a stranger, and of its answer goes back what CORS has words for.

use axum::{
    body::{Body, HttpBody as _},
    response::Response,
};
use chancery_middleware::{Code, Problem, preflight};
use http::{HeaderName, Method, Request, header};

use crate::{Match, Mode, Route, Table};

/// The route of a request. A preflight has that of the method that it asks for, where OPTIONS has none.
pub(crate) fn find(table: &Table, request: &Request<Body>) -> Match {
    let path = request.uri().path();
    let found = table.find(request.method(), path);
    if !matches!(found, Match::Method(_)) {
        return found;
    }
    match asked_for(request).map(|method| table.find(&method, path)) {
        Some(Match::Route(route, path)) if passes(&route) => Match::Route(route, path),
        _ => found,
    }
}

fn asked_for(request: &Request<Body>) -> Option<Method> {
    preflight(request.method(), request.headers()).filter(|_| request.body().is_end_stream())
}

/// Whether a route lets preflights through. No webhook comes from a page.
fn passes(route: &Route) -> bool {
    route.preflights && route.webhook.is_none()
}

/// A preflight that a route would refuse, whoever sends it.
pub(crate) struct Preflight {
    enforced: bool,
    instead: Option<Problem>,
}

impl Preflight {
    /// If this is one.
    pub(crate) fn of(route: &Route, request: &Request<Body>) -> Option<Self> {
        asked_for(request)?;
        let taken = route.takes(request.method());
        let demands = !taken || route.needs_caller() || route.schema.is_some();
        (demands && passes(route)).then(|| Self {
            enforced: route.mode == Mode::Enforce,
            instead: (!taken).then(|| Code::MethodNotAllowed.into()),
        })
    }

    /// What was judged. A credential, which no preflight has, and a document, which names none, refuse it for an answer that is none to a
    /// preflight alone.
    pub(crate) fn pass<T: Default>(this: &mut Option<Self>, judged: Result<T, Problem>) -> Result<T, Problem> {
        match (judged, this) {
            (Err(problem), Some(this)) if matches!(problem.code(), Code::CredentialMissing | Code::NotFound) => {
                if this.instead.is_none() {
                    this.instead = Some(problem);
                }
                Ok(T::default())
            }
            (judged, _) => judged,
        }
    }

    /// Whether the path alone goes on: no application asks the query who may call.
    pub(crate) fn is_bare(this: Option<&Self>) -> bool {
        this.is_some_and(|this| this.enforced)
    }

    /// What the client gets. An application that takes every method as if it were GET would otherwise answer strangers: without a word
    /// of CORS it is the refusal, and with one the status and those words.
    pub(crate) fn answered(this: Option<Self>, response: Response) -> Result<Response, Problem> {
        let Some(Self { enforced: true, instead: Some(instead) }) = this else { return Ok(response) };
        if !response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return Err(instead);
        }
        let (told, _) = response.into_parts();
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = told.status;
        let is_said = |name: &HeaderName| name.as_str().starts_with("access-control-") || *name == header::VARY;
        for (name, value) in told.headers.iter().filter(|(name, _)| is_said(name)) {
            answer.headers_mut().append(name.clone(), value.clone());
        }
        Ok(answer)
    }
}
