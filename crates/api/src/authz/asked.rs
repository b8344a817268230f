//! What stands in the address that Traefik and nginx are configured with.

use std::collections::HashSet;

use chancery_domain::Faults;
use chancery_middleware::{Code, Problem};
use http::request::Parts;
use utoipa::IntoParams;

use super::Wanted;

/// What the proxy's configuration says.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AskedBy {
    /// What the application is called: the audience of the assertion. Needed.
    #[param(example = "clinic")]
    route: Option<String>,
    /// Roles, with commas between them; the caller must have one.
    #[param(example = "clinician,staff")]
    roles: Option<String>,
    /// `pass` lets browsers' preflights through to an application that answers them itself, with a stranger's assertion.
    #[param(example = "pass")]
    preflights: Option<String>,
    /// `true`: an event `request.forwarded` in the tenant's log before the request goes on; if the log does not take it, it does not.
    #[param(example = "true")]
    audit: Option<String>,
}

impl AskedBy {
    /// Of the query; whatever else is in it is refused, as elsewhere.
    pub(super) fn read(parts: &Parts) -> Result<Self, Problem> {
        let pairs: Vec<_> = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).collect();
        let mut seen = HashSet::new();
        if !pairs.iter().all(|(name, _)| seen.insert(name)) {
            return Err(Problem::new(Code::RequestMalformed).detail("a query parameter is given twice"));
        }
        let mut asked = Self::default();
        for (name, value) in &pairs {
            let place = match &**name {
                "route" => &mut asked.route,
                "roles" => &mut asked.roles,
                "preflights" => &mut asked.preflights,
                "audit" => &mut asked.audit,
                _ => return Err(Problem::invalid(Faults::one("", "unknown", "query: no such parameter"))),
            };
            *place = Some(value.clone().into_owned());
        }
        Ok(asked)
    }

    pub(super) fn wanted(&self) -> Result<Wanted, Problem> {
        let said = [&self.route, &self.roles, &self.preflights, &self.audit].map(Option::as_deref);
        Wanted::read(said)
    }
}
