//! The ports to what is remembered.
//!
//! A store is opened *for* a tenant, so a query that forgets the tenant cannot be written.
//! Adapters keep [`View`] and [`Tx`] from ever seeing a row of another tenant, and pass
//! `chancery_testkit::store_conformance!`.

use std::{collections::BTreeMap, time::Instant};

use async_trait::async_trait;

use crate::{
    access::{Bearer, BearerRows, Stands},
    api_keys::ApiKeyRows,
    api_keys::ApiKeyWrites,
    approvals::ApprovalRows,
    approvals::ApprovalWrites,
    audit::AuditRows,
    audit::AuditWrites,
    audit::QueuedEvent,
    audit::archives::{ArchiveRows, ArchiveWrites},
    audit::guard::GuardRows,
    audit::guard::GuardWrites,
    audit::months::MonthPart,
    audit::retention::Month,
    audit::retention::{RetentionRows, RetentionWrites},
    audit::sinks::{SinkRows, SinkWrites},
    backups::BackupRows,
    backups::BackupWrites,
    blocks::{BlockRows, BlockWrites},
    census::CensusRows,
    census::CensusWrites,
    certificates::CertificateRows,
    certificates::CertificateWrites,
    csp_reports::{CspReportRows, CspReportWrites},
    datasets::DatasetRows,
    datasets::DatasetWrites,
    factors::FactorRows,
    factors::FactorWrites,
    fields::FieldRows,
    fields::FieldWrites,
    idempotency::IdempotencyRows,
    idempotency::IdempotencyWrites,
    identity_providers::AudienceClaim,
    identity_providers::IdentityProviderEntry,
    identity_providers::IdentityProviderRows,
    identity_providers::IdentityProviderWrites,
    ids::{ApiKeyId, TenantId},
    indexes::IndexRows,
    indexes::IndexWrites,
    jobs::JobWrites,
    keyring::KeyRows,
    keyring::KeyWrites,
    keyring::RootRows,
    keyring::RootWrites,
    keyring::TenantKeyRows,
    keyring::TenantKeyWrites,
    keyring::TombstoneRows,
    keyring::TombstoneWrites,
    keyring::{KeyCopyRows, KeyCopyWrites},
    lockouts::{LockoutRows, LockoutWrites},
    one_time::OneTimeRows,
    one_time::OneTimeWrites,
    passkeys::PasskeyRows,
    passkeys::PasskeyWrites,
    revocations::RevocationRows,
    revocations::RevocationWrites,
    roles::RoleRows,
    roles::RoleWrites,
    sessions::SessionRows,
    sessions::SessionWrites,
    subjects::SubjectRows,
    subjects::SubjectWrites,
    tenants::Registration,
    tenants::TenantRows,
    tenants::TenantState,
    tenants::TenantWrites,
    time::Timestamp,
    tokens::ProofWrites,
    users::UserRows,
    users::UserWrites,
    webhooks::WebhookRows,
    webhooks::WebhookWrites,
};

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer, or refused. Trying later may help.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another row already has this unique value; names what is unique, such as `slug`.
    #[error("`{0}` is already taken")]
    Taken(&'static str),
    /// The row changed since it was read: a compare-and-swap found another value.
    #[error("`{0}` changed meanwhile")]
    Changed(&'static str),
    /// A stored value is not what was written.
    #[error("a stored `{0}` is damaged")]
    Damaged(&'static str),
}

/// The rows of one tenant, as they were when the view was opened. Dropping it ends it.
#[async_trait]
pub trait View:
    TenantRows
    + UserRows
    + SessionRows
    + RevocationRows
    + BlockRows
    + LockoutRows
    + OneTimeRows
    + FactorRows
    + PasskeyRows
    + ApiKeyRows
    + KeyRows
    + RootRows
    + TenantKeyRows
    + FieldRows
    + SubjectRows
    + DatasetRows
    + CensusRows
    + CertificateRows
    + AuditRows
    + SinkRows
    + GuardRows
    + RetentionRows
    + ArchiveRows
    + IdempotencyRows
    + ApprovalRows
    + TombstoneRows
    + KeyCopyRows
    + CspReportRows
    + BackupRows
    + IndexRows
    + RoleRows
    + BearerRows
    + IdentityProviderRows
    + WebhookRows
    + Send
{
}

/// Every row of one tenant, in one transaction. Dropping it rolls back.
#[async_trait]
pub trait Tx:
    View
    + TenantWrites
    + UserWrites
    + SessionWrites
    + RevocationWrites
    + BlockWrites
    + LockoutWrites
    + OneTimeWrites
    + ProofWrites
    + FactorWrites
    + PasskeyWrites
    + ApiKeyWrites
    + KeyWrites
    + RootWrites
    + TenantKeyWrites
    + FieldWrites
    + IndexWrites
    + SubjectWrites
    + DatasetWrites
    + CensusWrites
    + CertificateWrites
    + AuditWrites
    + SinkWrites
    + GuardWrites
    + RetentionWrites
    + ArchiveWrites
    + IdempotencyWrites
    + JobWrites
    + ApprovalWrites
    + TombstoneWrites
    + KeyCopyWrites
    + CspReportWrites
    + BackupWrites
    + RoleWrites
    + IdentityProviderWrites
    + WebhookWrites
{
    /// Makes it all durable at once. After `Ok`, no crash loses it.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;

    /// Whether something in it takes keys out of use: a version stopped, a key destroyed, a tenant suspended.
    /// Whoever commits that answers only when no node releases anything under them any more ([`crate::keyring::fence`]).
    fn stops_keys(&self) -> bool;
}

/// Epochs of tenants: numbers that rise in the transaction of every change of what a node may hold of a tenant in
/// memory (keys, their versions, tenant keys, fields, the tenant's state).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epochs {
    /// A moment before they were read, on this machine's clock that nobody sets.
    pub read_at: Instant,
    /// Those asked for. A tenant that never changed anything is missing, and its epoch is 0.
    pub of: BTreeMap<TenantId, u64>,
}

impl Epochs {
    /// The epoch of a tenant.
    pub fn of(&self, tenant: TenantId) -> u64 {
        self.of.get(&tenant).copied().unwrap_or_default()
    }
}

/// What is remembered.
#[async_trait]
pub trait Store: Send + Sync {
    /// Opens a transaction that sees and changes the rows of `tenant` alone.
    async fn begin(&self, tenant: TenantId) -> Result<Box<dyn Tx>, StoreError>;

    /// Opens a read-only view of the rows of `tenant` alone.
    async fn view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError>;

    /// As [`Self::view`], and whatever any node committed before is in it: never a replica's, which may lag behind the other
    /// nodes. Who asks whether a credential still stands asks here.
    async fn fresh_view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        self.view(tenant).await
    }

    /// How it stands with a bearer, as of [`Self::fresh_view`]. A store for which one statement is a view of its own need not open
    /// another.
    async fn bearer(&self, tenant: TenantId, bearer: &Bearer) -> Result<Stands, StoreError> {
        self.fresh_view(tenant).await?.bearer(bearer).await
    }

    /// Puts many tenants' events into their queues in one commit; all or none.
    ///
    /// This is the one door through which rows of several tenants pass at once: reads of
    /// personal data share it, because a commit costs a disk flush.
    ///
    /// An intent is noted with it, and forgotten with its outcome ([`crate::audit::intent::mark`]). An outcome whose intent is not
    /// noted is left out: it was written before, or somebody else wrote one.
    ///
    /// Gives the epochs of these tenants, read in the same transaction after everything else in it.
    async fn append_events(&self, events: &[QueuedEvent]) -> Result<Epochs, StoreError>;

    /// The tenants whose queue grew through this store since the last call.
    fn take_grown(&self) -> Vec<TenantId>;

    /// Moves what was written into its final place, so that deleted bytes do not linger in a write-ahead log, as
    /// far as the engine lets us.
    async fn scrub(&self) -> Result<(), StoreError>;

    /// Answers if the store can be written to.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Makes room for events of these moments, where the engine keeps the log by the month. Who moves events into a log need not
    /// ask: then it is made on the way.
    async fn make_room(&self, _moments: &[Timestamp]) -> Result<(), StoreError> {
        Ok(())
    }

    /// For how many months from that of `now` on there is room without a gap, counted to `most`; `None` of an engine where
    /// none has to be made.
    async fn months_open(&self, _now: Timestamp, _most: u64) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// Takes the tables of months before `before` in which nobody has anything out of the log; gives those that are out. It is
    /// one node's at a time.
    async fn take_out_spent(&self, _before: Month) -> Result<Vec<MonthPart>, StoreError> {
        Ok(Vec::new())
    }

    /// Whether nobody has anything in a table that was taken out.
    async fn is_month_spent(&self, _part: MonthPart) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Drops a table that was taken out of the log; `false` if it is not out, or there is something in it.
    async fn drop_month(&self, _part: MonthPart) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Puts a table that was taken out back into the log.
    async fn put_back(&self, _part: MonthPart) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What authentication knows of a tenant before it is entered. No personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantEntry {
    /// Whose.
    pub id: TenantId,
    /// Its short name.
    pub slug: String,
    /// Whether it may be served.
    pub state: TenantState,
    /// How many personal fields it keeps in clear.
    pub clear_fields: u32,
    /// How people become its users.
    pub registration: Registration,
}

/// What authentication knows of an API key before its tenant is entered. No personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyEntry {
    /// Which key.
    pub id: ApiKeyId,
    /// Whose.
    pub tenant: TenantId,
    /// HMAC-SHA-256 of the secret under the pepper.
    pub digest: [u8; 32],
    /// The version of the root that the pepper derives from.
    pub pepper_version: u32,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// Finds the tenant of a credential. Its tables hold no personal data and have no row security;
/// they change only in the transactions of [`Tx`].
#[async_trait]
pub trait Directory: Send + Sync {
    /// The entry of an API key.
    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKeyEntry>, StoreError>;

    /// The entries of the keys of other systems that share this beginning of a SHA-256, of all tenants; few, or none. Those that
    /// were revoked are left out.
    async fn old_api_keys(&self, prefix: &str) -> Result<Vec<ApiKeyEntry>, StoreError>;

    /// The enabled providers, of all tenants that are served, with this issuer and one of these audiences in the claim where they
    /// look for it; a provider may come twice.
    async fn identity_providers(
        &self,
        issuer: &str,
        audiences: &[(AudienceClaim, &str)],
    ) -> Result<Vec<IdentityProviderEntry>, StoreError>;

    /// The tenant with this id.
    async fn tenant(&self, id: TenantId) -> Result<Option<TenantEntry>, StoreError>;

    /// The tenant with this short name.
    async fn tenant_by_slug(&self, slug: &str) -> Result<Option<TenantEntry>, StoreError>;

    /// All tenants, ordered by id, `limit` at a time, those after `after`. For jobs.
    async fn tenants(&self, after: Option<TenantId>, limit: u32) -> Result<Vec<TenantEntry>, StoreError>;

    /// The epochs of these tenants.
    async fn epochs(&self, tenants: &[TenantId]) -> Result<Epochs, StoreError>;

    /// The epochs that changed since `mark`, and the mark for next time; without one, only the mark. No change that
    /// commits is ever missed; one may be told of twice.
    async fn epochs_since(&self, mark: Option<i64>) -> Result<(Epochs, i64), StoreError>;
}
