//! The tables of datasets, by files that the operator keeps.

use std::sync::Arc;

use async_trait::async_trait;
use chancery_crypto::Secret;
use chancery_domain::TenantId;
use chancery_domain::datasets::{Dataset, DatasetTable, DatasetTables, TableError};

use crate::database::{Database, DatabaseError};
use crate::table::SealedTable;

/// Reads the files with databases' addresses. The binary knows where they are and what makes one trustworthy.
pub trait UrlFiles: Send + Sync {
    /// The address in a tenant's file of this name.
    ///
    /// # Errors
    ///
    /// [`TableError::UrlFile`].
    fn read(&self, tenant: TenantId, name: &str) -> Result<Secret<String>, TableError>;
}

/// Opens datasets' tables.
pub struct Tables(Arc<dyn UrlFiles>);

impl Tables {
    /// With addresses from these files.
    pub fn new(files: Arc<dyn UrlFiles>) -> Self {
        Self(files)
    }
}

#[async_trait]
impl DatasetTables for Tables {
    async fn open(&self, tenant: TenantId, dataset: &Dataset) -> Result<Box<dyn DatasetTable>, TableError> {
        let url = self.0.read(tenant, &dataset.url_file)?;
        let database = Database::open(url.expose().trim()).await.map_err(|error| match error {
            DatabaseError::Address => TableError::UrlFile("holds no postgres:// or sqlite: address"),
            error => TableError::Unavailable(error.into()),
        })?;
        Ok(Box::new(SealedTable::open(database, dataset).await?))
    }
}
