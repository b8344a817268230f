//! Routes of the gateway in this process: what is at work, what it saw and did not refuse yet, and another table in its place.
//!
//! The table is the operator's file, on each node its own. Nothing of it is kept here: what a restart would bring is what there is,
//! and who changes it through the API only says when.

use std::{collections::BTreeMap, sync::Arc};

use crate::faults::Faults;

mod manage;

pub use manage::{RoutesError, apply, examine, list, observed, roll_back, upstreams};

/// A route at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFacts {
    /// The pattern of its path.
    pub path: String,
    /// Its methods; all if there are none.
    pub methods: Vec<String>,
    /// The application's name.
    pub upstream: String,
    /// Whether it observes, is in shadow, or enforces.
    pub mode: &'static str,
    /// Whether it needs a credential.
    pub authentication: &'static str,
    /// One of these roles; any if there are none.
    pub roles: Vec<String>,
    /// The limits that count its requests.
    pub limits: Vec<String>,
    /// What browsers are told of its answers.
    pub headers: Option<String>,
    /// Whose webhooks it takes.
    pub webhook: Option<String>,
    /// The document that requests are held to.
    pub schema: Option<String>,
    /// Whether each request is in its tenant's log.
    pub audit: bool,
}

/// What a route that does not enforce saw since the process began: counts, and nothing of any request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSight {
    /// The pattern of its path.
    pub path: String,
    /// So many requests came.
    pub requests: u64,
    /// So many reasons to refuse were found, by their code.
    pub would_refuse: BTreeMap<&'static str, u64>,
}

/// An application behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamFacts {
    /// Its name.
    pub name: String,
    /// The path by which it is found out whether servers are well.
    pub health: Option<String>,
    /// Its servers, each with whether it is well.
    pub servers: Vec<(String, bool)>,
}

/// The gateway of this process.
pub trait RouteTable: Send + Sync {
    /// The routes at work, in the order in which they are tried.
    fn routes(&self) -> Vec<RouteFacts>;

    /// The applications that they lead to.
    fn upstreams(&self) -> Vec<UpstreamFacts>;

    /// What those that do not enforce saw.
    fn sights(&self) -> Vec<RouteSight>;

    /// Reads the operator's table as it stands now, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Faults`]: what is wrong with it, and that it stays where it is.
    fn read(&self) -> Result<Box<dyn ReadyTable>, Faults>;

    /// The table before the one at work, if there is one.
    fn before(&self) -> Option<Box<dyn ReadyTable>>;
}

/// A table that could be put to work.
pub trait ReadyTable: Send + Sync {
    /// How many routes it has.
    fn routes(&self) -> u64;

    /// Puts it to work; requests that are on their way keep theirs.
    fn apply(self: Box<Self>);
}

/// The gateway, once there is one.
pub(crate) type Held = std::sync::OnceLock<Arc<dyn RouteTable>>;
