//! What an instance needs from outside, and which process it is.

use std::sync::Arc;

use chancery_crypto::random::Random;

use crate::{
    datasets::{DatasetTables, tables::NoTables},
    identity_providers::{DocumentFetcher, NoDocuments},
    ids::{NodeId, Ulid},
    keyring::{KeyProvider, OwnProvider, resident::ResidentKeys},
    store::{Directory, Store},
    time::Clock,
};

/// What an instance needs from outside.
#[derive(Clone)]
pub struct Ports {
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// Finds the tenant of a credential.
    pub directory: Arc<dyn Directory>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws randomness.
    pub random: Arc<dyn Random>,
    /// What may unwrap the platform root.
    pub providers: Vec<Arc<dyn KeyProvider>>,
    /// Providers that belong to tenants.
    pub own: Vec<OwnProvider>,
    /// Providers in which keys may live; at most one of a kind counts, the first.
    pub resident: Vec<Arc<dyn ResidentKeys>>,
    /// Opens the tables of datasets.
    pub tables: Arc<dyn DatasetTables>,
    /// Fetches the documents of identity providers.
    pub documents: Arc<dyn DocumentFetcher>,
}

impl Ports {
    /// What an application of one's own begins with: one provider of the root, no datasets, no identity providers.
    pub fn new<S: Store + Directory + 'static>(
        store: Arc<S>,
        root: Arc<dyn KeyProvider>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            store: Arc::<S>::clone(&store),
            directory: store,
            clock,
            random,
            providers: vec![root],
            own: Vec::new(),
            resident: Vec::new(),
            tables: Arc::new(NoTables),
            documents: Arc::new(NoDocuments),
        }
    }
}

/// This process, in events: which node, and which start of it.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// Which node.
    pub id: NodeId,
    /// Which start of it.
    pub boot: Ulid,
}
