//! A store that fails when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use chancery_crypto::{Handle, tiles::TileId};
use chancery_domain::TenantId;
use chancery_domain::access::{Bearer, BearerRows, Role, Stands};
use chancery_domain::api_keys::{ApiKey, ApiKeyRows, ApiKeyWrites};
use chancery_domain::approvals::{Approval, ApprovalRows, ApprovalState, ApprovalWrites, DeedKind};
use chancery_domain::audit::archives::{Archive, ArchiveRows, ArchiveWrites};
use chancery_domain::audit::guard::{Cosignature, GuardRows, GuardWrites, RawCheckpoint, RawEntry, RawQueued, Scrub};
use chancery_domain::audit::intent::Left;
use chancery_domain::audit::months::MonthPart;
use chancery_domain::audit::retention::{Hold, Month, Purge, Retention, RetentionRows, RetentionWrites, SpanFacts};
use chancery_domain::audit::sinks::{SinkCursor, SinkRows, SinkWrites};
use chancery_domain::audit::{
    AuditRows, AuditWrites, EventFilter, EventKind, LogHead, LoggedEvent, QueuedEvent, StoredCheckpoint,
};
use chancery_domain::backups::{Backup, BackupRows, BackupWrites};
use chancery_domain::blocks::{Block, BlockRows, BlockWrites, Network};
use chancery_domain::census::{CensusRows, CensusWrites, Counted, OwnValue};
use chancery_domain::certificates::{Certificate, CertificateEnd, CertificateRows, CertificateWrites};
use chancery_domain::csp_reports::{CspReport, CspReportRows, CspReportWrites};
use chancery_domain::datasets::{Dataset, DatasetJob, DatasetRows, DatasetWrites};
use chancery_domain::factors::{FactorRows, FactorWrites, RecoveryCode, Totp};
use chancery_domain::fields::{Field, FieldRows, FieldWrites};
use chancery_domain::idempotency::{IdempotencyRows, IdempotencyWrites, Remembered};
use chancery_domain::identity_providers::{
    AudienceClaim, IdentityProvider, IdentityProviderEntry, IdentityProviderRows, IdentityProviderWrites,
};
use chancery_domain::ids::{
    ApiKeyId, ApprovalId, CertificateId, DatasetId, DatasetJobId, EventId, IdentityProviderId, KeyId, NodeId,
    OneTimeId, PasskeyId, RecipientId, RequestId, SessionId, SubjectId, TokenId, UserId, WebhookDeliveryId,
    WebhookDeviceId, WebhookSecretId, WebhookSourceId, WebhookSubscriptionId,
};
use chancery_domain::ids::{BlockId, LockoutId};
use chancery_domain::indexes::{Index, IndexRows, IndexWrites};
use chancery_domain::jobs::JobWrites;
use chancery_domain::keyring::{
    Key, KeyCheck, KeyCopy, KeyCopyRows, KeyCopyWrites, KeyRows, KeyVersion, KeyWrites, Managed, RootRecipient,
    RootRows, RootSecret, RootVersion, RootWrites, Standing, TenantKey, TenantKeyRows, TenantKeyWrites, Tombstone,
    TombstoneRows, TombstoneWrites,
};
use chancery_domain::lockouts::{Lockout, LockoutKind, LockoutRows, LockoutWrites};
use chancery_domain::one_time::{OneTimeRows, OneTimeToken, OneTimeWrites};
use chancery_domain::passkeys::{Passkey, PasskeyRows, PasskeyWrites};
use chancery_domain::revocations::{Revocation, RevocationRows, RevocationWrites};
use chancery_domain::roles::{DefinedRole, RoleRows, RoleWrites};
use chancery_domain::sessions::{Authentication, Head, Session, SessionRows, SessionState, SessionWrites};
use chancery_domain::store::{ApiKeyEntry, Directory, Epochs, Store, StoreError, TenantEntry, Tx, View};
use chancery_domain::subjects::{SubjectHoldings, SubjectKey, SubjectReferences, SubjectRows, SubjectWrites};
use chancery_domain::tenants::{Registration, Tenant, TenantRows, TenantState, TenantWrites};
use chancery_domain::time::Timestamp;
use chancery_domain::tokens::ProofWrites;
use chancery_domain::users::{User, UserRows, UserWrites};
use chancery_domain::webhooks::{
    Backlog, DeliveryFilter, Direction, DueSecrets, Seen, Sighting, WebhookDelivery, WebhookDevice, WebhookOwner,
    WebhookRows, WebhookSecret, WebhookSource, WebhookSubscription, WebhookWrites,
};

/// What fails from now on. Each is a switch.
#[derive(Debug, Default)]
pub struct Faults {
    begin: AtomicBool,
    view: AtomicBool,
    commit: AtomicBool,
    /// How many commits are left before they fail; more than anybody makes, unless told.
    commits: Countdown,
    append: AtomicBool,
    /// How often events were appended.
    appends: AtomicU64,
    hang: AtomicBool,
    answer: AtomicBool,
    queue: AtomicBool,
    directory: AtomicBool,
    rooms: AtomicBool,
}

macro_rules! switches {
    ($($(#[$meta:meta])* $set:ident $field:ident,)+) => {
        impl Faults {
            $($(#[$meta])* pub fn $set(&self, fails: bool) { self.$field.store(fails, Ordering::SeqCst); })+
        }
    };
}

switches! {
    /// Opening a transaction, and [`Store::ping`].
    fail_begin begin,
    /// Opening a view.
    fail_view view,
    /// Committing: everything is rolled back.
    fail_commit commit,
    /// [`Store::append_events`]: nothing is queued.
    fail_append append,
    /// [`Store::append_events`]: it answers nothing until this ends, as when a disk hangs, and is done then.
    hang_append hang,
    /// What commits is done and then answered with an error, as when `fsync` fails or the connection is cut at the last moment.
    lose_answers answer,
    /// Putting an event into the queue within a transaction.
    fail_queue queue,
    /// Every question to the directory.
    fail_directory directory,
    /// There is no room for the running month in the log.
    fail_rooms rooms,
}

fn check(fault: &AtomicBool) -> Result<(), StoreError> {
    if fault.load(Ordering::SeqCst) { Err(StoreError::Unavailable("told to fail".into())) } else { Ok(()) }
}

/// A store that fails when told to, and otherwise does as the one within. Clones share the switches.
#[derive(Debug, Clone)]
pub struct Faulty<S> {
    within: S,
    faults: Arc<Faults>,
}

/// Counts down to the moment of failure.
#[derive(Debug)]
struct Countdown(AtomicU64);

impl Default for Countdown {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Faults {
    /// So many commits work and none after them, as if the process had died; `u64::MAX` ends that.
    pub fn fail_commits_after(&self, commits: u64) {
        self.commits.0.store(commits, Ordering::SeqCst);
    }

    /// How often [`Store::append_events`] was called so far.
    pub fn appends(&self) -> u64 {
        self.appends.load(Ordering::SeqCst)
    }

    fn commit(&self) -> Result<(), StoreError> {
        check(&self.commit)?;
        let spent = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        let left = self.commits.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spent);
        left.map(|_| ()).map_err(|_| StoreError::Unavailable("told to fail".into()))
    }
}

impl<S> Faulty<S> {
    /// Nothing fails yet.
    pub fn new(within: S) -> Self {
        Self { within, faults: Arc::default() }
    }

    /// The switches.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The store that never fails.
    pub const fn within(&self) -> &S {
        &self.within
    }
}

#[async_trait]
impl<S: Store> Store for Faulty<S> {
    async fn begin(&self, tenant: TenantId) -> Result<Box<dyn Tx>, StoreError> {
        check(&self.faults.begin)?;
        let within = self.within.begin(tenant).await?;
        Ok(Box::new(FaultyTx { within, faults: Arc::clone(&self.faults) }))
    }

    async fn view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        check(&self.faults.view)?;
        self.within.view(tenant).await
    }

    async fn fresh_view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        check(&self.faults.view)?;
        self.within.fresh_view(tenant).await
    }

    async fn bearer(&self, tenant: TenantId, bearer: &Bearer) -> Result<Stands, StoreError> {
        check(&self.faults.view)?;
        self.within.bearer(tenant, bearer).await
    }

    async fn append_events(&self, events: &[QueuedEvent]) -> Result<Epochs, StoreError> {
        self.faults.appends.fetch_add(1, Ordering::SeqCst);
        check(&self.faults.append)?;
        while self.faults.hang.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let done = self.within.append_events(events).await?;
        check(&self.faults.answer)?;
        Ok(done)
    }

    fn take_grown(&self) -> Vec<TenantId> {
        self.within.take_grown()
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        check(&self.faults.begin)?;
        self.within.scrub().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        check(&self.faults.begin)?;
        self.within.ping().await
    }

    async fn make_room(&self, moments: &[Timestamp]) -> Result<(), StoreError> {
        check(&self.faults.begin)?;
        self.within.make_room(moments).await
    }

    async fn months_open(&self, now: Timestamp, most: u64) -> Result<Option<u64>, StoreError> {
        if self.faults.rooms.load(Ordering::SeqCst) {
            return Ok(Some(0));
        }
        self.within.months_open(now, most).await
    }

    async fn take_out_spent(&self, before: Month) -> Result<Vec<MonthPart>, StoreError> {
        self.within.take_out_spent(before).await
    }

    async fn is_month_spent(&self, part: MonthPart) -> Result<bool, StoreError> {
        self.within.is_month_spent(part).await
    }

    async fn drop_month(&self, part: MonthPart) -> Result<bool, StoreError> {
        self.within.drop_month(part).await
    }

    async fn put_back(&self, part: MonthPart) -> Result<(), StoreError> {
        self.within.put_back(part).await
    }
}

#[async_trait]
impl<S: Directory> Directory for Faulty<S> {
    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKeyEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.api_key(id).await
    }

    async fn old_api_keys(&self, prefix: &str) -> Result<Vec<ApiKeyEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.old_api_keys(prefix).await
    }

    async fn identity_providers(
        &self,
        issuer: &str,
        audiences: &[(AudienceClaim, &str)],
    ) -> Result<Vec<IdentityProviderEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.identity_providers(issuer, audiences).await
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<TenantEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.tenant(id).await
    }

    async fn tenant_by_slug(&self, slug: &str) -> Result<Option<TenantEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.tenant_by_slug(slug).await
    }

    async fn tenants(&self, after: Option<TenantId>, limit: u32) -> Result<Vec<TenantEntry>, StoreError> {
        check(&self.faults.directory)?;
        self.within.tenants(after, limit).await
    }

    async fn epochs(&self, tenants: &[TenantId]) -> Result<Epochs, StoreError> {
        check(&self.faults.directory)?;
        self.within.epochs(tenants).await
    }

    async fn epochs_since(&self, mark: Option<i64>) -> Result<(Epochs, i64), StoreError> {
        check(&self.faults.directory)?;
        self.within.epochs_since(mark).await
    }
}

struct FaultyTx {
    within: Box<dyn Tx>,
    faults: Arc<Faults>,
}

#[async_trait]
impl View for FaultyTx {}

#[async_trait]
impl Tx for FaultyTx {
    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.faults.commit()?;
        self.within.commit().await?;
        check(&self.faults.answer)
    }

    fn stops_keys(&self) -> bool {
        self.within.stops_keys()
    }
}

/// Hands each call on to the transaction within.
macro_rules! hand_on {
    ($row:ident { $(fn $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)+ }) => {
        #[async_trait]
        impl $row for FaultyTx {
            $(async fn $name(&mut self, $($arg: $type),*) -> Result<$answer, StoreError> {
                self.within.$name($($arg),*).await
            })+
        }
    };
}

hand_on!(TenantRows {
    fn tenant_record(id: TenantId) -> Option<Tenant>;
    fn tenant_records(after: Option<TenantId>, limit: u32) -> Vec<Tenant>;
    fn tenants_by_email_terms(terms: &[String]) -> Vec<Tenant>;
});
hand_on!(TenantWrites {
    fn insert_tenant(tenant: &Tenant) -> ();
    fn hold_tenant() -> ();
    fn set_tenant_state(id: TenantId, from: TenantState, to: TenantState) -> ();
    fn set_clear_fields(count: u32) -> ();
    fn hold_tenant_record(id: TenantId) -> Option<Tenant>;
    fn update_tenant(tenant: &Tenant) -> ();
    fn set_registration(registration: Registration) -> ();
});
hand_on!(UserRows {
    fn user(id: UserId) -> Option<User>;
    fn user_by_username(username: &str) -> Option<User>;
    fn users_by_email_terms(terms: &[String]) -> Vec<User>;
    fn users(after: Option<UserId>, limit: u32) -> Vec<User>;
    fn unfolded_users(after: Option<UserId>, limit: u32) -> Vec<(UserId, String)>;
    fn count_users_with_role(role: Role) -> u32;
});
hand_on!(UserWrites {
    fn insert_user(user: &User) -> ();
    fn hold_user(id: UserId) -> Option<User>;
    fn update_user(user: &User) -> ();
    fn clear_password_hash(id: UserId) -> ();
    fn fold_username(id: UserId, key: &str) -> bool;
    fn set_password_hash(id: UserId, hash: &str) -> ();
});
hand_on!(SessionRows {
    fn session(id: SessionId) -> Option<Session>;
    fn active_sessions(user: UserId) -> Vec<Session>;
});
hand_on!(SessionWrites {
    fn insert_session(session: &Session) -> ();
    fn advance_session(id: SessionId, from: u32, head: &Head) -> ();
    fn try_session(id: SessionId, most: u32) -> ();
    fn prove_session(id: SessionId, proof: &Authentication) -> ();
    fn end_session(id: SessionId, state: SessionState, at: Timestamp) -> ();
    fn end_sessions_of(user: UserId, at: Timestamp) -> u64;
    fn end_all_sessions(at: Timestamp) -> u64;
    fn forget_sessions(at: Timestamp, limit: u32) -> u64;
});
hand_on!(OneTimeRows { fn one_time_token(id: OneTimeId) -> Option<OneTimeToken>; });
hand_on!(OneTimeWrites {
    fn insert_one_time_token(token: &OneTimeToken) -> ();
    fn try_one_time_token(id: OneTimeId, most: u32) -> ();
    fn take_one_time_token(id: OneTimeId) -> ();
    fn end_one_time_tokens_of(user: UserId) -> u64;
    fn forget_one_time_tokens(now: Timestamp) -> ();
});
hand_on!(ProofWrites {
    fn use_proof(digest: &[u8; 32], expires_at: Timestamp) -> ();
    fn forget_proofs(now: Timestamp) -> ();
});
hand_on!(FactorRows {
    fn totp(user: UserId) -> Option<Totp>;
    fn recovery_codes(user: UserId) -> Vec<RecoveryCode>;
});
hand_on!(FactorWrites {
    fn put_totp(totp: &Totp) -> ();
    fn fail_totp(user: UserId, failures: u32, at: Timestamp) -> ();
    fn pass_totp(totp: &Totp, step: u64, at: Timestamp) -> ();
    fn remove_totp(user: UserId) -> u64;
    fn remove_factors(user: UserId) -> u64;
    fn put_recovery_codes(user: UserId, codes: &[RecoveryCode]) -> ();
    fn use_recovery_code(user: UserId, digest: &[u8; 32], at: Timestamp) -> ();
});
hand_on!(PasskeyRows {
    fn passkeys(user: UserId) -> Vec<Passkey>;
    fn passkey_by_credential(credential: &[u8]) -> Option<Passkey>;
});
hand_on!(PasskeyWrites {
    fn insert_passkey(passkey: &Passkey) -> ();
    fn use_passkey(passkey: &Passkey, sign_count: u32, backed_up: bool, at: Timestamp) -> ();
    fn rename_passkey(user: UserId, id: PasskeyId, name: &str) -> ();
    fn remove_passkey(user: UserId, id: PasskeyId) -> ();
    fn spend_challenge(challenge: &[u8; 32], expires_at: Timestamp, now: Timestamp) -> ();
});
hand_on!(BlockRows {
    fn blocks(now: Timestamp, after: Option<BlockId>, limit: u32) -> Vec<Block>;
    fn find_block(id: BlockId) -> Option<Block>;
});
hand_on!(BlockWrites {
    fn insert_block(block: &Block) -> ();
    fn remove_block_of(network: Network) -> ();
    fn remove_block(id: BlockId) -> ();
    fn forget_blocks(now: Timestamp) -> ();
});
hand_on!(LockoutRows {
    fn lockouts(now: Timestamp, after: Option<LockoutId>, limit: u32) -> Vec<Lockout>;
    fn find_lockout(id: LockoutId) -> Option<Lockout>;
    fn lockout_of(kind: LockoutKind, subject: &str, now: Timestamp) -> Option<Lockout>;
    fn known_address(user: UserId, address: &str) -> Option<Timestamp>;
});
hand_on!(LockoutWrites {
    fn put_lockout(lockout: &Lockout) -> ();
    fn remove_lockout_of(kind: LockoutKind, subject: &str) -> ();
    fn forget_lockouts(now: Timestamp) -> ();
    fn know_address(user: UserId, address: &str, until: Timestamp, most: u32) -> ();
    fn forget_addresses(now: Timestamp) -> ();
    fn forget_addresses_of(user: UserId) -> ();
});
hand_on!(RevocationRows {
    fn revocations_of(token: TokenId, user: Option<UserId>) -> Vec<Revocation>;
    fn revocations(now: Timestamp, after: Option<&str>, limit: u32) -> Vec<Revocation>;
    fn foreign_revocations_of(jti: Option<&str>) -> Vec<Revocation>;
});
hand_on!(RevocationWrites {
    fn revoke(revocation: &Revocation) -> ();
    fn forget_revocations(now: Timestamp) -> ();
});
hand_on!(ApiKeyRows {
    fn api_key(id: ApiKeyId) -> Option<ApiKey>;
    fn api_keys(after: Option<ApiKeyId>, limit: u32) -> Vec<ApiKey>;
    fn count_api_keys_with_role(role: Role, now: Timestamp) -> u32;
    fn old_api_keys_of(prefixes: &[String]) -> Vec<(String, ApiKeyEntry)>;
});
hand_on!(ApiKeyWrites {
    fn hold_api_key(id: ApiKeyId) -> Option<ApiKey>;
    fn insert_api_key(key: &ApiKey) -> ();
    fn revoke_api_key(id: ApiKeyId, at: Timestamp) -> ();
    fn update_api_key(key: &ApiKey) -> ();
    fn touch_api_keys(used: &[(ApiKeyId, Timestamp)]) -> ();
    fn insert_old_api_key(id: ApiKeyId, prefix: &str) -> ();
    fn set_api_key_digest(id: ApiKeyId, from: u32, digest: &[u8; 32], pepper_version: u32) -> ();
});
hand_on!(IdentityProviderRows {
    fn identity_providers() -> Vec<IdentityProvider>;
    fn identity_provider(id: IdentityProviderId) -> Option<IdentityProvider>;
});
hand_on!(IdentityProviderWrites {
    fn hold_issuer(issuer: &str) -> Vec<IdentityProviderEntry>;
    fn put_identity_provider(provider: &IdentityProvider) -> ();
    fn delete_identity_provider(id: IdentityProviderId) -> ();
});
hand_on!(BearerRows {
    fn bearer(bearer: &Bearer) -> Stands;
});
hand_on!(RoleRows {
    fn defined_roles() -> Vec<DefinedRole>;
    fn defined_role(name: &str) -> Option<DefinedRole>;
    fn roles_of(holder: &str) -> Vec<DefinedRole>;
    fn role_holders(name: &str, limit: u32) -> Vec<String>;
});
hand_on!(RoleWrites {
    fn put_role(role: &DefinedRole) -> ();
    fn delete_role(name: &str) -> ();
    fn give_role(name: &str, holder: &str, at: Timestamp) -> ();
    fn take_role(name: &str, holder: &str) -> ();
});
hand_on!(KeyRows {
    fn standing() -> Standing;
    fn root_recipients() -> Vec<RootRecipient>;
    fn tenant_keys() -> Vec<TenantKey>;
    fn key(id: KeyId) -> Option<Key>;
    fn keys(after: Option<KeyId>, limit: u32) -> Vec<Key>;
    fn key_named(name: &str) -> Option<Key>;
    fn managed_key(managed: Managed) -> Option<Key>;
    fn key_versions(id: KeyId) -> Vec<KeyVersion>;
    fn managed_versions() -> Vec<(Managed, KeyVersion)>;
    fn keys_due(now: Timestamp) -> Vec<Key>;
    fn versions_to_destroy(now: Timestamp) -> Vec<KeyVersion>;
    fn versions_expired(now: Timestamp) -> Vec<KeyVersion>;
});
hand_on!(KeyWrites {
    fn insert_root_recipient(recipient: &RootRecipient) -> ();
    fn prove_root_recipient(id: RecipientId, at: Timestamp) -> ();
    fn insert_tenant_key(key: &TenantKey) -> ();
    fn insert_key(key: &Key) -> ();
    fn insert_key_version(version: &KeyVersion) -> ();
    fn hold_active_version(id: KeyId) -> Option<KeyVersion>;
    fn seize_key(id: KeyId) -> Option<Key>;
    fn seize_versions(id: KeyId) -> Vec<KeyVersion>;
    fn hold_version(id: KeyId, version: u32) -> Option<KeyVersion>;
    fn swap_key_version(from: &KeyVersion, to: &KeyVersion) -> ();
    fn update_key(key: &Key) -> ();
    fn count_key_uses(key_id: &str, uses: u64, last: Timestamp) -> ();
});
hand_on!(JobWrites {
    fn claim_job(name: &str, node: NodeId, now: Timestamp, until: Timestamp) -> bool;
    fn renew_job(name: &str, node: NodeId, from: Timestamp, until: Timestamp) -> bool;
    fn release_job(name: &str, node: NodeId) -> ();
});
hand_on!(RootRows {
    fn roots() -> Vec<RootVersion>;
    fn root_secrets() -> Vec<RootSecret>;
});
hand_on!(RootWrites {
    fn insert_root(root: &RootVersion) -> ();
    fn hold_root(version: u32) -> ();
    fn supersede_root(version: u32, at: Timestamp) -> ();
    fn retire_root(version: u32, at: Timestamp) -> ();
    fn put_root_secret(secret: &RootSecret) -> ();
    fn seize_root_recipients() -> Vec<RootRecipient>;
    fn remove_root_recipient(id: RecipientId) -> ();
    fn fail_root_recipient(id: RecipientId, at: Timestamp) -> ();
});
hand_on!(TenantKeyRows {
    fn versions_under_others(newest: u32, limit: u32) -> Vec<(Key, KeyVersion)>;
    fn versions_unchecked(after: Option<(KeyId, u32)>, limit: u32) -> Vec<(Key, KeyVersion)>;
});
hand_on!(TenantKeyWrites {
    fn hold_tenant_key(version: u32) -> ();
    fn supersede_tenant_key(version: u32) -> ();
    fn rewrap_tenant_key(from: &TenantKey, to: &TenantKey) -> ();
    fn destroy_tenant_key(version: u32) -> ();
    fn rewrap_key_version(from: &KeyVersion, to: &KeyVersion) -> ();
    fn keep_key_check(version: &KeyVersion, check: KeyCheck) -> ();
});
hand_on!(FieldRows { fn fields() -> Vec<Field>; });
hand_on!(FieldWrites { fn put_field(field: &Field) -> (); });
hand_on!(IndexRows { fn indexes() -> Vec<Index>; });
hand_on!(IndexWrites { fn put_index(index: &Index) -> (); });
hand_on!(SubjectRows {
    fn subject_keys_of(references: &[String]) -> Vec<SubjectKey>;
    fn subject_keys_by_handle(handles: &[Handle]) -> Vec<SubjectKey>;
    fn subject_keys(after: Option<SubjectId>, limit: u32) -> Vec<SubjectKey>;
    fn subject_keys_under(root_key: &str, after: Option<SubjectId>, limit: u32) -> Vec<SubjectKey>;
    fn subject_holdings(root_key: &str) -> SubjectHoldings;
    fn subject_references() -> Vec<SubjectReferences>;
});
hand_on!(SubjectWrites {
    fn insert_subject_key(key: &SubjectKey) -> ();
    fn destroy_subject_key(id: SubjectId, at: Timestamp) -> ();
    fn rewrap_subject_key(key: &SubjectKey, from: &str) -> ();
    fn insert_subject_references(references: &SubjectReferences) -> ();
    fn rewrap_subject_references(references: &SubjectReferences, from: &str) -> ();
});
hand_on!(DatasetRows {
    fn datasets() -> Vec<Dataset>;
    fn dataset(name: &str) -> Option<Dataset>;
    fn dataset_job(id: DatasetJobId) -> Option<DatasetJob>;
    fn open_dataset_jobs() -> Vec<DatasetJob>;
});
hand_on!(DatasetWrites {
    fn put_dataset(dataset: &Dataset) -> ();
    fn delete_dataset(id: DatasetId) -> ();
    fn insert_dataset_job(job: &DatasetJob) -> ();
    fn claim_dataset_job(id: DatasetJobId, node: &str, now: Timestamp, until: Timestamp) -> bool;
    fn save_dataset_job(job: &DatasetJob, node: &str) -> ();
});
hand_on!(CensusRows {
    fn counts(key: KeyId) -> Vec<Counted>;
    fn own_sealed() -> Vec<(Handle, u64)>;
    fn own_under(handle: Handle, after: Option<&OwnValue>, limit: u32) -> Vec<OwnValue>;
    fn own_terms() -> u64;
});
hand_on!(CensusWrites {
    fn put_count(count: &Counted) -> ();
    fn swap_own(value: &OwnValue, sealed: &[u8]) -> bool;
});
hand_on!(CertificateRows {
    fn certificate(id: CertificateId) -> Option<Certificate>;
    fn certificate_ends(id: CertificateId) -> Vec<CertificateEnd>;
    fn certificates_about(reference: &str, after: Option<CertificateId>, limit: u32) -> Vec<CertificateId>;
    fn is_certificate_about(id: CertificateId, reference: &str) -> bool;
    fn certificates(kind: Option<&str>, after: Option<CertificateId>, limit: u32) -> Vec<Certificate>;
    fn lockdown_since() -> Option<Timestamp>;
});
hand_on!(CertificateWrites {
    fn insert_certificate(certificate: &Certificate) -> ();
    fn insert_certificate_subject(id: CertificateId, reference: &str) -> ();
    fn insert_certificate_end(end: &CertificateEnd) -> ();
    fn set_lockdown(since: Option<Timestamp>) -> ();
});
hand_on!(AuditRows {
    fn log_head() -> LogHead;
    fn queued_events(limit: u32) -> Vec<QueuedEvent>;
    fn logged_event(id: EventId) -> Option<LoggedEvent>;
    fn logged_events(filter: &EventFilter) -> Vec<LoggedEvent>;
    fn logged_places(filter: &EventFilter) -> Vec<u64>;
    fn outcomes(span: (Timestamp, Timestamp), requests: &[RequestId]) -> Vec<LoggedEvent>;
    fn outcome_places(span: (Timestamp, Timestamp), requests: &[RequestId]) -> Vec<u64>;
    fn queued_outcomes(requests: &[RequestId]) -> Vec<QueuedEvent>;
    fn events_on(resource: &str, kinds: &[EventKind]) -> Vec<LoggedEvent>;
    fn tile(id: TileId) -> Option<Vec<u8>>;
    fn checkpoint() -> Option<StoredCheckpoint>;
    fn log_origin() -> Option<String>;
    fn left_intents(left: &Left) -> Vec<EventId>;
    fn open_intents(ids: &[EventId]) -> Vec<EventId>;
});
hand_on!(WebhookRows {
    fn webhook_sources() -> Vec<WebhookSource>;
    fn webhook_source(id: WebhookSourceId) -> Option<WebhookSource>;
    fn webhook_subscriptions() -> Vec<WebhookSubscription>;
    fn webhook_subscription(id: WebhookSubscriptionId) -> Option<WebhookSubscription>;
    fn webhook_secrets(owner: WebhookOwner) -> Vec<WebhookSecret>;
    fn due_webhook_secrets(due: &DueSecrets) -> Vec<WebhookSecret>;
    fn webhook_devices(source: WebhookSourceId, after: Option<WebhookDeviceId>, limit: u32) -> Vec<WebhookDevice>;
    fn webhook_device_by_key(source: WebhookSourceId, key_id: &[u8]) -> Option<WebhookDevice>;
    fn enrolled_webhook_devices(source: WebhookSourceId) -> u64;
    fn webhook_deliveries(filter: &DeliveryFilter) -> Vec<WebhookDelivery>;
    fn webhook_delivery(id: WebhookDeliveryId) -> Option<WebhookDelivery>;
    fn due_webhook_deliveries(now: Timestamp, limit: u32) -> Vec<WebhookDelivery>;
    fn webhook_parts(id: WebhookDeliveryId) -> Vec<Vec<u8>>;
    fn waiting_webhook_deliveries(direction: Direction) -> u64;
    fn webhook_taken_since(owner: WebhookOwner, since: Timestamp) -> bool;
    fn webhook_backlog() -> Vec<Backlog>;
});
hand_on!(WebhookWrites {
    fn put_webhook_source(source: &WebhookSource) -> ();
    fn delete_webhook_source(id: WebhookSourceId) -> ();
    fn put_webhook_subscription(subscription: &WebhookSubscription) -> ();
    fn move_webhook_subscription(id: WebhookSubscriptionId, from: u64, to: u64) -> ();
    fn delete_webhook_subscription(id: WebhookSubscriptionId) -> ();
    fn put_webhook_secret(secret: &WebhookSecret) -> ();
    fn stall_webhooks(owner: WebhookOwner, since: Option<Timestamp>) -> ();
    fn count_webhook_device(id: WebhookSecretId, counter: u32) -> ();
    fn insert_webhook_device(device: &WebhookDevice) -> ();
    fn use_webhook_device(id: WebhookDeviceId, counter: u32, now: Timestamp) -> ();
    fn revoke_webhook_device(source: WebhookSourceId, id: WebhookDeviceId, now: Timestamp) -> ();
    fn see_webhook(source: WebhookSourceId, sighting: &Sighting, now: Timestamp) -> Seen;
    fn bound_webhook_sightings(most: u64) -> u64;
    fn forget_webhooks(now: Timestamp, delivered: Timestamp) -> u64;
    fn insert_webhook_delivery(delivery: &WebhookDelivery) -> ();
    fn delete_webhook_delivery(id: WebhookDeliveryId) -> ();
    fn insert_webhook_part(id: WebhookDeliveryId, at: u32, sealed: &[u8]) -> ();
    fn save_webhook_delivery(delivery: &WebhookDelivery, from: &WebhookDelivery) -> ();
});
hand_on!(SinkRows { fn sink_cursors() -> Vec<SinkCursor>; });
hand_on!(SinkWrites { fn save_sink_cursor(cursor: &SinkCursor, from: Option<u64>) -> (); });
hand_on!(GuardRows {
    fn raw_entries(first: u64, limit: u32) -> Vec<RawEntry>;
    fn personal_parts(events: &[EventId]) -> Vec<EventId>;
    fn references_between(first: u64, end: u64) -> Vec<(u64, String)>;
    fn raw_queue(limit: u32) -> Vec<RawQueued>;
    fn raw_checkpoints(after: (i64, i64), limit: u32) -> Vec<RawCheckpoint>;
    fn raw_checkpoints_before(before: (i64, i64), limit: u32) -> Vec<RawCheckpoint>;
    fn checkpoint_of(size: u64) -> Option<StoredCheckpoint>;
    fn checkpoint_with(size: u64, note: &str) -> Option<StoredCheckpoint>;
    fn scrub() -> Option<Scrub>;
    fn head_told_before(origin: &str, place: u64) -> Option<LoggedEvent>;
    fn head_with_proof_before(origin: &str, place: u64) -> Option<LoggedEvent>;
    fn cosignatures(size: u64) -> Vec<Cosignature>;
    fn newest_cosignature(witness: &str) -> Option<Cosignature>;
    fn newest_cosigned(upto: u64, quorum: u32) -> Option<u64>;
    fn first_cosigned(after: u64, quorum: u32) -> Option<u64>;
});
hand_on!(GuardWrites {
    fn quarantine(seq: i64, told_by: EventId, at: Timestamp) -> ();
    fn quarantine_entry(index: u64, told_by: EventId, at: Timestamp) -> ();
    fn put_scrub(scrub: &Scrub) -> ();
    fn put_cosignature(cosignature: &Cosignature) -> ();
});
hand_on!(RetentionRows {
    fn retention() -> Option<Retention>;
    fn holds() -> Vec<Hold>;
    fn unfiled_rules() -> Vec<u64>;
    fn purges() -> Vec<Purge>;
    fn purge_places() -> Vec<u64>;
    fn unreadable_rows() -> u64;
    fn first_event(from: u64) -> Option<(u64, Timestamp)>;
    fn first_recorded(from: u64, at: Timestamp) -> Option<u64>;
    fn span_facts(first: u64, end: u64, kept: &[EventKind]) -> SpanFacts;
});
hand_on!(RetentionWrites {
    fn hold_log() -> ();
    fn put_retention(retention: &Retention) -> ();
    fn insert_hold(hold: &Hold) -> ();
    fn remove_hold(name: &str) -> ();
    fn insert_purge(purge: &Purge) -> ();
    fn purge_events(purge: &Purge, end: u64, kept: &[EventKind]) -> u64;
    fn end_purge(first: u64, at: Timestamp) -> ();
});
hand_on!(ArchiveRows {
    fn archives() -> Vec<Archive>;
});
hand_on!(ArchiveWrites {
    fn insert_archive(archive: &Archive) -> ();
});
hand_on!(ApprovalRows {
    fn approval(id: ApprovalId) -> Option<Approval>;
    fn approvals(
        state: Option<ApprovalState>, now: Timestamp, after: Option<ApprovalId>, limit: u32
    ) -> Vec<Approval>;
    fn unreviewed_approvals(kind: DeedKind, limit: u32) -> Vec<Approval>;
    fn used_approvals(kind: DeedKind, resource: &str) -> Vec<Approval>;
});
hand_on!(ApprovalWrites {
    fn insert_approval(approval: &Approval) -> ();
    fn update_approval(approval: &Approval) -> ();
});
hand_on!(TombstoneRows {
    fn tombstones() -> Vec<Tombstone>;
    fn destroyed_keys() -> u64;
});
hand_on!(TombstoneWrites { fn insert_tombstone(tombstone: &Tombstone) -> (); });
hand_on!(CspReportRows { fn csp_reports() -> Vec<CspReport>; });
hand_on!(CspReportWrites {
    fn add_csp_report(report: &CspReport, most: u32) -> ();
    fn forget_csp_reports(before: Timestamp) -> ();
});
hand_on!(KeyCopyRows { fn key_copies(key: KeyId) -> Vec<KeyCopy>; });
hand_on!(KeyCopyWrites {
    fn put_key_copy(copy: &KeyCopy) -> ();
    fn remove_key_copy(copy: &KeyCopy) -> ();
});
hand_on!(BackupRows { fn newest_backup() -> Option<Backup>; });
hand_on!(BackupWrites { fn insert_backup(backup: &Backup) -> (); });
hand_on!(IdempotencyRows { fn remembered(key: &[u8; 32]) -> Option<Remembered>; });
hand_on!(IdempotencyWrites {
    fn remember(entry: &Remembered) -> ();
    fn forget_remembered_before(moment: Timestamp) -> ();
});

#[async_trait]
impl AuditWrites for FaultyTx {
    async fn create_log(&mut self, origin: &str) -> Result<(), StoreError> {
        self.within.create_log(origin).await
    }

    async fn queue_event(&mut self, event: &QueuedEvent) -> Result<(), StoreError> {
        check(&self.faults.queue)?;
        self.within.queue_event(event).await
    }

    async fn log_events(&mut self, events: &[LoggedEvent]) -> Result<(), StoreError> {
        self.within.log_events(events).await
    }
    async fn drop_queued(&mut self, events: &[EventId]) -> Result<(), StoreError> {
        self.within.drop_queued(events).await
    }

    async fn put_tile(&mut self, id: TileId, hashes: &[u8]) -> Result<(), StoreError> {
        self.within.put_tile(id, hashes).await
    }

    async fn advance_log(&mut self, from: LogHead, to: LogHead) -> Result<(), StoreError> {
        self.within.advance_log(from, to).await
    }

    async fn close_intent(&mut self, id: EventId) -> Result<bool, StoreError> {
        self.within.close_intent(id).await
    }

    async fn insert_checkpoint(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), StoreError> {
        self.within.insert_checkpoint(checkpoint).await
    }
}
