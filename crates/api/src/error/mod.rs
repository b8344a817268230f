//! What each use case's errors look like over HTTP. Every match is complete, so that a new variant
//! asks for its status at compile time.

mod access;
mod api_keys;
mod approvals;
mod audit;
mod blocks;
mod certificates;
mod csp;
mod datasets;
mod factors;
mod fields;
mod identity_providers;
mod indexes;
mod keyring;
mod passwords;
mod records;
mod revocations;
mod roles;
mod routes;
mod sessions;
mod subjects;
mod tenants;
mod tokens;
mod users;
mod webhooks;

pub(crate) use factors::LoginStep;

use chancery_middleware::{Code, Problem};

/// An error with a place in HTTP.
pub(crate) trait ToProblem {
    /// The refusal that it becomes.
    fn to_problem(self) -> Problem;
}

/// Turns the error of a result into a refusal.
pub(crate) trait IntoProblem<T> {
    /// The value, or the refusal.
    fn or_problem(self) -> Result<T, Problem>;
}

impl<T, E: ToProblem> IntoProblem<T> for Result<T, E> {
    fn or_problem(self) -> Result<T, Problem> {
        self.map_err(ToProblem::to_problem)
    }
}
fn may_not_grant() -> Problem {
    Problem::new(Code::AuthzDenied).detail("the caller may not grant one of these roles")
}
