//! Routes of the gateway in this process: what is at work, what it saw and did not refuse yet, and another table in its place.
//!
//! The table is the operator's file, on each node its own. Nothing of it is kept here: what a restart would bring is what there is,
//! and who changes it through the API only says when.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use tokio::sync::{Mutex, MutexGuard};

use crate::{
    access::Denied,
    faults::Faults,
    instance::{Failure, fails},
};

mod change;
mod show;

pub use change::{Cause, apply, reload, roll_back};
pub use show::{examine, list, observed, upstreams};

/// Why nothing was done with routes.
#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no gateway in this process.
    #[error("there is no gateway in this process")]
    NotFound,
    /// The operator's table cannot be put to work.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is no table before this one.
    #[error("there is no table before this one")]
    Nothing,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(RoutesError);

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

/// What a route saw and let pass since the process began: counts, and nothing of any request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSight {
    /// The pattern of its path.
    pub path: String,
    /// So many requests came while it did not enforce.
    pub requests: u64,
    /// So many reasons to refuse them were found, by their code.
    pub would_refuse: BTreeMap<&'static str, u64>,
    /// So many answers of the application set these headers otherwise than the route's profile.
    pub headers_differ: BTreeMap<String, u64>,
    /// So many requests came that the route's document does not name, whether they were refused or not.
    pub undocumented: u64,
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

    /// What they saw and let pass.
    fn sights(&self) -> Vec<RouteSight>;

    /// The digest of what the table at work was read from: by it the log tells one table from another.
    fn digest(&self) -> [u8; 32];

    /// Reads the operator's table as it stands now, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Faults`]: what is wrong with it, and that it stays where it is. The code of the first one is the reason in the log.
    fn read(&self) -> Result<Box<dyn ReadyTable>, Faults>;

    /// The table before the one at work, if there is one.
    fn before(&self) -> Option<Box<dyn ReadyTable>>;
}

/// A table that could be put to work.
pub trait ReadyTable: Send + Sync {
    /// How many routes it has.
    fn routes(&self) -> u64;

    /// The digest of what it was read from.
    fn digest(&self) -> [u8; 32];

    /// Puts it to work; requests that are on their way keep theirs.
    fn apply(self: Box<Self>);
}

/// The gateway, once there is one.
#[derive(Default)]
pub(crate) struct Held {
    table: OnceLock<Arc<dyn RouteTable>>,
    changing: Mutex<()>,
}

impl Held {
    pub(crate) fn hold(&self, table: Arc<dyn RouteTable>) {
        let _ = self.table.set(table);
    }

    fn table(&self) -> Result<&Arc<dyn RouteTable>, RoutesError> {
        self.table.get().ok_or(RoutesError::NotFound)
    }

    /// One change at a time, from its reading to its end: tables follow each other as the log says.
    async fn turn(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }
}
