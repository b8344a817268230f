//! Who owns data. The cryptographic boundary is the tenant boundary.

use async_trait::async_trait;

use crate::{ids::TenantId, store::StoreError, time::Timestamp};

pub mod create;
pub mod lifecycle;
mod read;
mod settings;
mod update;

pub use create::{CreateTenantError, NewTenant, create};
pub use lifecycle::{TenantError, resume, suspend};
pub use read::{TenantProfile, find_by_email, get, list, record};
pub use settings::{SettingsError, TenantSettings, TenantSettingsPatch, change_settings, settings};
pub use update::{TenantPatch, UpdateTenantError, update};

codes! {
    /// What may happen to a tenant's data.
    pub enum TenantState {
        /// Served.
        Active = "active",
        /// Kept, not served: no credential of it is accepted.
        Suspended = "suspended",
        /// Its keys are destroyed; its log still proves.
        Erased = "erased",
    }
}

codes! {
    /// How people become users of a tenant.
    pub enum Registration {
        /// By its administrators alone.
        Closed = "closed",
        /// By themselves, with an invitation.
        Invited = "invited",
        /// By themselves; without a role until an administrator gives them one.
        Open = "open",
    }
}

/// A tenant. Its record lives with the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its short name, unique: 2 to 63 of `a-z 0-9 -`.
    pub slug: String,
    /// Its name: 1 to 255 characters.
    pub name: String,
    /// Its state.
    pub state: TenantState,
    /// Its contact e-mail, sealed with the platform's keys.
    pub email: Option<Vec<u8>>,
    /// What it is found by: the platform's terms of its e-mail.
    pub email_terms: Vec<String>,
    /// Whatever the operator notes of it as JSON, sealed with the platform's keys.
    pub metadata: Option<Vec<u8>>,
    /// Since when.
    pub created_at: Timestamp,
}

/// Reads tenant records; there are some in the platform's rows only.
#[async_trait]
pub trait TenantRows {
    /// One.
    async fn tenant_record(&mut self, id: TenantId) -> Result<Option<Tenant>, StoreError>;
    /// Ordered by id, `limit` at a time, those after `after`.
    async fn tenant_records(&mut self, after: Option<TenantId>, limit: u32) -> Result<Vec<Tenant>, StoreError>;
    /// Those that have one of these terms, ordered by id.
    async fn tenants_by_email_terms(&mut self, terms: &[String]) -> Result<Vec<Tenant>, StoreError>;
}

/// Changes tenant records, and the directory's entry with them.
#[async_trait]
pub trait TenantWrites {
    /// Adds one. [`StoreError::Taken`]`("slug")`.
    async fn insert_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError>;
    /// One, as it stays until the commit: nobody else changes it meanwhile.
    async fn hold_tenant_record(&mut self, id: TenantId) -> Result<Option<Tenant>, StoreError>;
    /// Replaces its name, its e-mail and its metadata: [`StoreError::Changed`]`("tenant")` if there is none.
    async fn update_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError>;
    /// Moves it from one state to another. [`StoreError::Changed`]`("tenant")` if it is not in `from`.
    async fn set_tenant_state(&mut self, id: TenantId, from: TenantState, to: TenantState) -> Result<(), StoreError>;
    /// Holds the transaction's own tenant until its end: who reads and then decides on all its fields or
    /// all its administrators does so one after the other.
    async fn hold_tenant(&mut self) -> Result<(), StoreError>;
    /// Notes how many personal fields the transaction's own tenant keeps in clear.
    async fn set_clear_fields(&mut self, count: u32) -> Result<(), StoreError>;
    /// Says how people become users of the transaction's own tenant: [`StoreError::Changed`]`("tenant")` if there is none.
    async fn set_registration(&mut self, registration: Registration) -> Result<(), StoreError>;
}
