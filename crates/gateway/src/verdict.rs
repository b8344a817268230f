//! Who calls, and whether the route lets them.

use std::sync::Arc;

use chancery_domain::access::Caller;
use chancery_middleware::{Code, Problem, Standing};
use http::request::Parts;

use crate::{
    Authentication, Mode, Route,
    observed::{Observed, Watch},
};

/// In a response's headers where a route is in shadow: what would have come of it.
pub(crate) const VERDICT: &str = "x-chancery-verdict";

/// Authenticates as the route demands it, and asks for one of its roles.
pub(crate) async fn admit(route: &Route, parts: &Parts, upgrade: bool) -> Result<Option<Standing>, Problem> {
    // A role is nobody's unless somebody proves it: a route that names one asks, whatever else it says.
    if route.authentication == Authentication::None && route.roles.is_empty() {
        return Ok(None);
    }
    let standing = Standing::of(parts, upgrade).await?;
    match &standing {
        None if route.needs_caller() => Err(Code::CredentialMissing.into()),
        Some(standing) if !has_role(route, &standing.call().caller) => Err(Code::AuthzDenied.into()),
        _ => Ok(standing),
    }
}

/// Whether the caller has its credential still: what read the body here may have waited long for it.
pub(crate) async fn remains(standing: Option<&Standing>) -> Result<(), Problem> {
    let Some(standing) = standing.filter(|standing| !standing.is_fresh()) else { return Ok(()) };
    if standing.has_ended().await? { Err(Code::CredentialInvalid.into()) } else { Ok(()) }
}

fn has_role(route: &Route, caller: &Caller) -> bool {
    let holds = |role: &String| {
        caller.roles().iter().any(|held| held.as_str() == role) || caller.defined_roles().contains(role)
    };
    route.roles.is_empty() || route.roles.iter().any(holds)
}

/// What would have been refused, in a route that does not enforce.
pub(crate) struct Verdicts {
    watch: Option<Watch>,
    found: Vec<Code>,
}

impl Verdicts {
    /// Of a request that came to this route.
    pub(crate) fn of(route: &Route, observed: &Arc<Observed>) -> Self {
        let watch = (route.mode != Mode::Enforce).then(|| Observed::watch(observed, route));
        Self { watch, found: Vec::new() }
    }

    /// What notes reasons to refuse that are found later; nothing where the route enforces.
    pub(crate) fn watch(&self) -> Option<Watch> {
        self.watch.clone()
    }

    /// What is given, or nothing and a note; the refusal itself where the route enforces.
    pub(crate) fn take<T: Default>(&mut self, judged: Result<T, Problem>) -> Result<T, Problem> {
        match (judged, &self.watch) {
            (Err(problem), Some(watch)) => {
                let code = problem.code();
                tracing::info!(code = code.as_str(), "Would refuse: {}", code.as_str());
                watch.would_refuse(code);
                self.found.push(code);
                Ok(T::default())
            }
            (judged, _) => judged,
        }
    }

    /// For the response's header.
    pub(crate) fn told(&self) -> String {
        match self.found.first() {
            None => "pass".to_owned(),
            Some(code) => format!("would-refuse; code={}", code.as_str()),
        }
    }
}
