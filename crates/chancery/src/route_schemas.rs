//! The documents that routes hold requests to: read from files, or asked of the applications until they answer.

use std::{path::Path, sync::Arc, time::Duration};

use chancery_gateway::{
    Table,
    schema::{
        Contract, NoContract, Schemas,
        inventory::{Protection, inventory},
    },
};
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{
    config::{SchemaConfig, SchemaSource},
    guarded::{Answer, Fault, Guarded, Reach},
};

/// The longest document.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// From the first packet to the last.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long until the application is asked again, at first and at most.
const AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// Why a document is not at work.
#[derive(Debug, thiserror::Error)]
pub enum NoDocument {
    /// It could not be read.
    #[error("could not read it")]
    File(#[from] std::io::Error),
    /// It could not be fetched.
    #[error("could not fetch it")]
    Fetch(#[from] Fault),
    /// There is no client for it.
    #[error("{0}")]
    Client(String),
    /// The application answered otherwise.
    #[error("the application answered {0}")]
    Status(u16),
    /// It is too long.
    #[error("it is longer than 16 MiB")]
    Long,
    /// It is no JSON.
    #[error("it is no JSON")]
    Json(#[from] serde_json::Error),
    /// It cannot be held to.
    #[error("it {0}")]
    Contract(#[from] NoContract),
}

/// Puts documents to work as they come. An application may start after us: until its document is there, routes that name it and
/// enforce refuse with 503. Dropping this stops asking.
#[derive(Debug, Default)]
pub struct RouteSchemas {
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for RouteSchemas {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Begins, and goes on by itself. `table` is what the inventory in the log is taken of.
pub fn begin(schemas: &Arc<Schemas>, configured: Vec<SchemaConfig>, table: &Arc<Table>) -> RouteSchemas {
    let task = |config: SchemaConfig| {
        let (schemas, table) = (Arc::clone(schemas), Arc::clone(table));
        tokio::spawn(async move { put(&schemas, &config, &table).await })
    };
    RouteSchemas { tasks: configured.into_iter().map(task).collect() }
}

async fn put(schemas: &Schemas, config: &SchemaConfig, table: &Table) {
    let name = config.name.as_str();
    let [mut wait, most] = AGAIN;
    loop {
        match read(config).await {
            Ok(contract) => {
                tell(name, table, &contract);
                schemas.put(name, contract);
                return;
            }
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(error, "The document `{name}` is not at work yet");
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(most);
    }
}

/// Reads a document and makes a contract of it.
///
/// # Errors
///
/// [`NoDocument`].
pub async fn read(config: &SchemaConfig) -> Result<Contract, NoDocument> {
    let bytes = match &config.source {
        SchemaSource::File(path) => file(path)?,
        SchemaSource::Url(url, reach) => fetched(url, reach).await?,
    };
    let document: Value = serde_json::from_slice(&bytes)?;
    Ok(Contract::read(&document, config.rules.clone())?)
}

fn file(path: &Path) -> Result<Vec<u8>, NoDocument> {
    let bytes = std::fs::read(path)?;
    if bytes.len() > MAX_BYTES { Err(NoDocument::Long) } else { Ok(bytes) }
}

/// Of an address that the operator wrote; whoever answers with another place is not followed.
async fn fetched(url: &str, reach: &Reach) -> Result<Vec<u8>, NoDocument> {
    let client = Guarded::new(reach, PATIENCE, PATIENCE).map_err(|error| NoDocument::Client(format!("{error:#}")))?;
    match client.ask(Method::GET, url, HeaderMap::new(), Vec::new(), MAX_BYTES).await? {
        Answer { status: 200, body, .. } => Ok(body),
        Answer { status, .. } => Err(NoDocument::Status(status)),
    }
}

/// What is unprotected and what is undocumented, once for each document that is put to work.
fn tell(name: &str, table: &Table, contract: &Contract) {
    let found = inventory(table, name, contract);
    let of = |wanted| found.operations.iter().filter(move |entry| entry.protection == wanted);
    let (operations, enforced) = (found.operations.len(), of(Protection::Enforced).count());
    tracing::info!(
        operations,
        enforced,
        "The document `{name}` is at work: {enforced} of {operations} operations are enforced"
    );
    for entry in of(Protection::Open).chain(of(Protection::Watched)) {
        let operation = entry.operation.as_str();
        tracing::warn!("`{operation}` of `{name}` is not protected");
    }
    for pattern in &found.undocumented {
        tracing::warn!("The route {pattern} leads to nothing that `{name}` documents");
    }
}
