//! What stands in the address that Traefik and nginx are configured with.

use chancery_domain::Faults;
use chancery_middleware::Problem;
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
}

impl AskedBy {
    /// Of the query; whatever else is in it is refused, as elsewhere.
    pub(super) fn read(parts: &Parts) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            let place = match &*name {
                "route" => &mut asked.route,
                "roles" => &mut asked.roles,
                _ => return Err(Problem::invalid(Faults::one("", "unknown", "query: no such parameter"))),
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(Problem::invalid(Faults::one("", "invalid", "query: a parameter is given twice")));
            }
        }
        Ok(asked)
    }

    pub(super) fn wanted(&self) -> Result<Wanted, Problem> {
        Wanted::read(self.route.as_deref(), self.roles.as_deref())
    }
}
