//! One running Chancery: its ports, its keys, its settings.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use chancery_crypto::{password, random::Random, random::RandomError};

use crate::{
    access::{Call, Denied, Permission, RECENT_SECONDS, RefusedCredentials, authenticate::CallerCache},
    api_keys::last_used::LastUsed,
    audit::{Appender, counters::Counters, failures::OpenFailures, guard::Guard, refusals::AnonymousCounts},
    datasets::DatasetTables,
    identity_providers::{DocumentFetcher, FetchError, KeySets},
    ids::{NodeId, TenantId, Ulid},
    keyring::{
        KeyDestination, KeyProvider, KeyUses, Keyring, KeyringError, Lease, Leases, OwnProvider, PlatformRoot,
        RootError, habits::Habits, resident::ResidentKeys,
    },
    legacy_tokens::LegacyKey,
    limits::{KeyLimits, Limiter, LocalLimiter},
    passkeys::PasskeyVerifier,
    passwords::PasswordQueue,
    store::{Directory, Store, StoreError},
    tenants::TenantState,
    time::{Clock, Timestamp},
    tokens::TokenAlgorithm,
};

codes! {
    /// Where an instance runs. Keys of one environment do not open in another.
    pub enum Environment {
        /// On a developer's machine.
        Development = "development",
        /// Before production.
        Staging = "staging",
        /// With real data.
        Production = "production",
    }
}

codes! {
    /// Whom an instance serves; all but `single_hospital` must encrypt every personal field (TN-10).
    pub enum Deployment {
        /// One organisation on its own machines.
        SingleHospital = "single_hospital",
        /// Several tenants.
        MultiTenant = "multi_tenant",
        /// On somebody else's machines.
        Cloud = "cloud",
        /// Covered by HIPAA or its like.
        Healthcare = "healthcare",
    }
}

codes! {
    /// What happens when a request names another tenant than its credential's.
    pub enum TenantMismatch {
        /// The name is ignored; an event is written.
        Ignore = "ignore",
        /// 403; an event is written.
        Reject = "reject",
    }
}

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The instance's name: a part of log origins and of the trust file.
    pub name: String,
    /// The `iss` of access tokens: the public base URL.
    pub issuer: String,
    /// Where it runs.
    pub environment: Environment,
    /// Whom it serves.
    pub deployment: Deployment,
    /// What a foreign tenant's name in a request does.
    pub tenant_mismatch: TenantMismatch,
    /// For how long the unwrapped platform root is used before its providers are asked again.
    pub root_lease_seconds: u32,
    /// How many MiB the unwrapped keys of tenants may take; those used least make room.
    pub lease_memory_mib: u32,
    /// Life of an access token in minutes, 5 to 15.
    pub access_minutes: u8,
    /// How access tokens are signed. Another one than before is published before it is used.
    pub token_algorithm: TokenAlgorithm,
    /// After how many days the key that signs access tokens gets a successor.
    pub token_rotation_days: u16,
    /// Life of a refresh token that nobody uses, in days.
    pub refresh_days: u16,
    /// Life of a session, whatever happens, in days.
    pub session_days: u16,
    /// Whether logins also set, and requests may bring, the cookie of older installations: `access_token=Bearer <token>`.
    pub access_token_cookie: bool,
    /// Cost of a password hash.
    pub password_cost: password::Cost,
    /// Verifies tokens of an older system, for a few days.
    pub legacy: Option<Arc<LegacyKey>>,
    /// How often an API key without a limit of its own may be used in a minute; without end if 0.
    pub api_key_per_minute: u32,
    /// Whether a refused login answers 400, as older versions did, and not 401.
    pub login_400: bool,
}

impl Settings {
    /// Whether a newcomer may be helped along: any role by the platform's admin.
    pub const fn is_dev(&self) -> bool {
        matches!(self.environment, Environment::Development)
    }
}

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

/// This process, in events: which node, and which start of it.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// Which node.
    pub id: NodeId,
    /// Which start of it.
    pub boot: Ulid,
}

/// A node that could not read epochs for so long lends no keys (design §4): it may not know what was revoked.
const STALE_AFTER: Duration = Duration::from_secs(2);

/// Up to where epochs are known.
struct Followed {
    mark: i64,
    /// What was told last.
    told: BTreeMap<TenantId, u64>,
}

/// One running Chancery.
pub struct Instance {
    ports: Ports,
    settings: Settings,
    node: Node,
    root: RwLock<HeldRoot>,
    /// Who looks the root up again; until when nobody does so again.
    renewing: tokio::sync::Mutex<Option<Timestamp>>,
    leases: Leases,
    followed: tokio::sync::Mutex<Option<Followed>>,
    followed_at: Mutex<Option<Instant>>,
    appender: Appender,
    pub(crate) counters: Arc<Counters>,
    pub(crate) anonymous: AnonymousCounts,
    destinations: OnceLock<Vec<Arc<dyn KeyDestination>>>,
    passkeys: OnceLock<Arc<dyn PasskeyVerifier>>,
    pub(crate) open_failures: OpenFailures,
    pub(crate) habits: Habits,
    pub(crate) forked: Mutex<BTreeSet<TenantId>>,
    guard: Guard,
    pub(crate) callers: CallerCache,
    refused_credentials: RefusedCredentials,
    pub(crate) last_used: LastUsed,
    pub(crate) passwords: PasswordQueue,
    pub(crate) key_limits: KeyLimits,
    limiter: OnceLock<Arc<dyn Limiter>>,
    local_limiter: LocalLimiter,
    pub(crate) key_uses: KeyUses,
    due_datasets: Mutex<BTreeSet<TenantId>>,
    key_sets: Arc<KeySets>,
}

/// How long a root that was looked up again stays as it is: those who waited for it share it.
const RENEWED_MICROS: i64 = 50_000;
/// How long providers that did not give the root are left alone.
const REFUSED_MICROS: i64 = 1_000_000;

/// The platform root, and since when it is held.
struct HeldRoot {
    root: Arc<PlatformRoot>,
    since: Timestamp,
}

/// What may fail beneath every use case, whatever it does.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The store did not do it.
    #[error("the store did not do it")]
    Store(#[source] StoreError),
    /// The event could not be made durable, so nothing was done and nothing is released.
    #[error("the audit log cannot take an event")]
    Audit(#[source] StoreError),
    /// A key is missing, stopped or damaged.
    #[error("a key could not be used")]
    Keyring(#[from] KeyringError),
    /// The system gives no randomness.
    #[error("no randomness")]
    Random(#[from] RandomError),
    /// An identity provider's keys could not be had.
    #[error("the issuer's keys could not be had")]
    Issuer(#[source] FetchError),
    /// Something that cannot happen did; says where.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A use case's error, of which something beneath may be the reason.
pub(crate) trait Fails {
    /// What failed beneath, if that is why.
    fn failure(&self) -> Option<&Failure>;
}

/// Lets `?` carry what a [`Failure`] is made of into a use case's own error.
macro_rules! fails {
    ($($error:ty),+ $(,)?) => {$(
        impl $crate::instance::Fails for $error {
            fn failure(&self) -> Option<&$crate::instance::Failure> {
                match self {
                    Self::Failed(failure) => Some(failure),
                    _ => None,
                }
            }
        }
        impl From<$crate::instance::Failure> for $error {
            fn from(failure: $crate::instance::Failure) -> Self { Self::Failed(failure) }
        }
        impl From<$crate::store::StoreError> for $error {
            fn from(error: $crate::store::StoreError) -> Self { Self::Failed(error.into()) }
        }
        impl From<$crate::keyring::KeyringError> for $error {
            fn from(error: $crate::keyring::KeyringError) -> Self { Self::Failed(error.into()) }
        }
        impl From<chancery_crypto::random::RandomError> for $error {
            fn from(error: chancery_crypto::random::RandomError) -> Self { Self::Failed(error.into()) }
        }
    )+};
}
pub(crate) use fails;

impl Instance {
    /// Opens an initialised store: unwraps the platform root and starts the group commit.
    ///
    /// # Errors
    ///
    /// [`RootError`]: not initialised, no provider opens the root, or another environment's root.
    pub async fn open(ports: Ports, settings: Settings, node: NodeId) -> Result<Arc<Self>, RootError> {
        let root = crate::keyring::root::open(&ports, &settings).await?;
        Ok(Arc::new(Self::assemble(ports, settings, node, root)?))
    }

    /// An instance around a root, whether the store knows it yet or not.
    pub(crate) fn assemble(
        ports: Ports,
        settings: Settings,
        node: NodeId,
        root: PlatformRoot,
    ) -> Result<Self, RootError> {
        let boot = Ulid::make(ports.clock.now(), &*ports.random)?;
        Ok(Self {
            node: Node { id: node, boot },
            root: RwLock::new(HeldRoot { root: Arc::new(root), since: ports.clock.now() }),
            renewing: tokio::sync::Mutex::default(),
            leases: Leases::new(
                usize::try_from(settings.lease_memory_mib).unwrap_or(usize::MAX).saturating_mul(1 << 20),
            ),
            followed: tokio::sync::Mutex::default(),
            followed_at: Mutex::default(),
            appender: Appender::start(Arc::clone(&ports.store)),
            counters: Arc::default(),
            anonymous: AnonymousCounts::default(),
            destinations: OnceLock::new(),
            passkeys: OnceLock::new(),
            open_failures: OpenFailures::default(),
            habits: Habits::default(),
            forked: Mutex::default(),
            guard: Guard::default(),
            callers: CallerCache::default(),
            refused_credentials: RefusedCredentials::default(),
            last_used: LastUsed::default(),
            passwords: PasswordQueue::new(settings.password_cost),
            key_limits: KeyLimits::default(),
            limiter: OnceLock::new(),
            local_limiter: LocalLimiter::default(),
            key_uses: KeyUses::default(),
            due_datasets: Mutex::default(),
            key_sets: Arc::new(KeySets::new(Arc::clone(&ports.documents), Arc::clone(&ports.clock))),
            ports,
            settings,
        })
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// What the operator chose.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// This process.
    pub fn node(&self) -> Node {
        self.node
    }

    /// What is remembered.
    pub fn store(&self) -> &dyn Store {
        &*self.ports.store
    }

    /// Finds the tenant of a credential.
    pub fn directory(&self) -> &dyn Directory {
        &*self.ports.directory
    }

    /// Draws randomness.
    pub fn random(&self) -> &dyn Random {
        &*self.ports.random
    }

    /// The same source, for work on another thread.
    pub(crate) fn random_shared(&self) -> Arc<dyn Random> {
        Arc::clone(&self.ports.random)
    }

    /// What may unwrap the platform root.
    pub fn providers(&self) -> &[Arc<dyn KeyProvider>] {
        &self.ports.providers
    }

    /// Says where copies of single keys may go; once, before the instance is used.
    pub fn keep_copies_at(&self, destinations: Vec<Arc<dyn KeyDestination>>) {
        let _ = self.destinations.set(destinations);
    }

    /// Where copies of single keys may go.
    pub fn destinations(&self) -> &[Arc<dyn KeyDestination>] {
        self.destinations.get().map_or(&[], Vec::as_slice)
    }

    /// Says who verifies passkeys; once, before the instance is used.
    pub fn offer_passkeys(&self, verifier: Arc<dyn PasskeyVerifier>) {
        let _ = self.passkeys.set(verifier);
    }

    /// Who verifies passkeys; nobody where none are offered.
    pub fn passkey_verifier(&self) -> Option<&Arc<dyn PasskeyVerifier>> {
        self.passkeys.get()
    }

    /// The providers that belong to tenants.
    pub fn own_providers(&self) -> &[OwnProvider] {
        &self.ports.own
    }

    /// What it was opened with.
    pub(crate) fn outside(&self) -> (&Ports, &Settings) {
        (&self.ports, &self.settings)
    }

    /// Takes the root as it is stored by now: this process has just changed it.
    pub(crate) async fn follow_root(&self) -> Result<(), RootError> {
        let root = crate::keyring::root::open(&self.ports, &self.settings).await?;
        self.hold_root(root);
        Ok(())
    }

    /// The providers in which keys may live.
    pub fn resident(&self) -> &[Arc<dyn ResidentKeys>] {
        &self.ports.resident
    }

    /// The platform root, as this process knows it.
    pub fn root(&self) -> Arc<PlatformRoot> {
        Arc::clone(&self.root.read().unwrap_or_else(|poison| poison.into_inner()).root)
    }

    /// The platform root, looked up again if that was not done a moment ago: somebody named a version that is not here.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the store does not answer. Providers that do not leave the root as it was.
    pub async fn renewed_root(&self) -> Result<Arc<PlatformRoot>, Failure> {
        let mut renewed = self.renewing.lock().await;
        if renewed.is_none_or(|until| self.now() >= until) {
            let pause = match crate::keyring::root::open(&self.ports, &self.settings).await {
                Ok(root) => {
                    self.hold_root(root);
                    RENEWED_MICROS
                }
                Err(RootError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "The platform root could not be looked up again");
                    REFUSED_MICROS
                }
            };
            // From its end: whoever waited meanwhile does not wait as long again.
            *renewed = Some(Timestamp::from_micros(self.now().as_micros().saturating_add(pause)));
        }
        Ok(self.root())
    }

    /// The keys of identity providers.
    pub fn key_sets(&self) -> &Arc<KeySets> {
        &self.key_sets
    }

    /// Opens the tables of datasets.
    pub fn tables(&self) -> &dyn DatasetTables {
        &*self.ports.tables
    }

    /// Notes that a tenant has a job over a dataset to be taken up.
    pub(crate) fn note_due_datasets(&self, tenant: TenantId) {
        self.due_datasets.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant);
    }

    /// The tenants that got a job over a dataset in this process since the last call.
    pub fn take_due_datasets(&self) -> BTreeSet<TenantId> {
        std::mem::take(&mut *self.due_datasets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The platform root, as long as its lease lasts: past that it is asked of the providers again, and without one that
    /// gives it nothing more is unwrapped here.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NoRoot`] if the lease is over and no provider gives the root.
    pub(crate) async fn leased_root(&self) -> Result<Arc<PlatformRoot>, Failure> {
        if let Some(root) = self.unexpired_root() {
            return Ok(root);
        }
        self.renewed_root().await?;
        self.unexpired_root().ok_or_else(|| KeyringError::NoRoot.into())
    }

    fn unexpired_root(&self) -> Option<Arc<PlatformRoot>> {
        let held = self.root.read().unwrap_or_else(|poison| poison.into_inner());
        let until = held.since.plus_seconds(i64::from(self.settings.root_lease_seconds));
        (self.now() < until).then(|| Arc::clone(&held.root))
    }

    fn hold_root(&self, root: PlatformRoot) {
        let held = HeldRoot { root: Arc::new(root), since: self.now() };
        *self.root.write().unwrap_or_else(|poison| poison.into_inner()) = held;
    }

    /// How many credentials were refused, by class.
    pub fn refused_credentials(&self) -> &RefusedCredentials {
        &self.refused_credentials
    }

    /// How many opens failed, by class.
    pub fn open_failures(&self) -> &OpenFailures {
        &self.open_failures
    }

    /// Says who counts against limits; once, before the instance is used. Without, each node counts for itself.
    pub fn count_with(&self, limiter: Arc<dyn Limiter>) {
        let _ = self.limiter.set(limiter);
    }

    /// Who counts against limits.
    pub(crate) fn limiter(&self) -> &dyn Limiter {
        match self.limiter.get() {
            Some(limiter) => &**limiter,
            None => &self.local_limiter,
        }
    }

    /// Where passwords are hashed.
    pub fn passwords(&self) -> &PasswordQueue {
        &self.passwords
    }

    /// What is usual for the keys that this node uses.
    pub fn habits(&self) -> &Habits {
        &self.habits
    }

    /// The first tenant whose log was found not to match its root, if there is one. It was changed outside of Chancery.
    pub fn forked_log(&self) -> Option<TenantId> {
        self.forked.lock().unwrap_or_else(|poison| poison.into_inner()).first().copied()
    }

    /// How its logs are guarded.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The group commit of events.
    pub(crate) fn appender(&self) -> &Appender {
        &self.appender
    }

    /// Asks for `permission` in `tenant`, named by a path; in a foreign one, for `across` instead. A foreign
    /// tenant must exist and not be erased; whether it does is told only to those who may look across.
    ///
    /// # Errors
    ///
    /// [`Failure`]; inside, why the call may not go on.
    pub async fn enter(
        &self,
        call: &Call,
        tenant: TenantId,
        permission: Permission,
        across: Permission,
    ) -> Result<Result<(), Denied>, Failure> {
        if let Err(denied) = call.require_within(tenant, permission, across) {
            return Ok(Err(denied));
        }
        if tenant == call.tenant() {
            return Ok(Ok(()));
        }
        let entry = self.directory().tenant(tenant).await?.filter(|entry| entry.state != TenantState::Erased);
        Ok(entry.map(|_| ()).ok_or(Denied::NoSuchTenant))
    }

    /// Asks that a person who calls has proved who it is a short while ago ([`Call::require_recent`]).
    ///
    /// # Errors
    ///
    /// [`Denied::StepUp`].
    pub fn require_recent(&self, call: &Call) -> Result<(), Denied> {
        call.require_recent(self.now(), RECENT_SECONDS)
    }

    /// Looks a tenant's keys up again, if they were not looked up a moment ago: somebody named a key that is
    /// not among those lent. Another node may have made it.
    ///
    /// # Errors
    ///
    /// As [`Self::lease`].
    pub(crate) async fn renewed_lease(&self, tenant: TenantId, held: &Lease) -> Result<Option<Arc<Lease>>, Failure> {
        if self.now() < held.loaded_at.plus_seconds(1) {
            return Ok(None);
        }
        self.leases.end(tenant);
        self.lease(tenant).await.map(Some)
    }

    /// A tenant's unwrapped keys and fields, for a bounded time.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the store or a key does not answer.
    pub async fn lease(&self, tenant: TenantId) -> Result<Arc<Lease>, Failure> {
        self.keep_following().await?;
        self.leases.of(tenant, self).await
    }

    /// A tenant's lease, looked up again if it is older than `epoch`. The store may not show that one yet.
    pub(crate) async fn lease_since(&self, tenant: TenantId, epoch: u64) -> Result<Arc<Lease>, Failure> {
        self.learn(tenant, epoch);
        self.lease(tenant).await
    }

    /// Looks up leases that are in use again before they end, so that nobody waits for it; gives how many.
    pub async fn renew_leases(&self) -> usize {
        self.leases.renew(self).await
    }

    /// How many tenants' keys are in memory, and roughly how many bytes they take.
    pub fn leases_held(&self) -> (usize, usize) {
        self.leases.size()
    }

    /// A tenant's epoch was read: a lease that is older ends.
    pub(crate) fn learn(&self, tenant: TenantId, epoch: u64) {
        self.leases.outdate(tenant, epoch);
    }

    /// Reads which epochs changed, and ends what is older: leases, and the callers that authenticated a moment ago.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn follow_epochs(&self) -> Result<(), StoreError> {
        let mut followed = self.followed.lock().await;
        self.follow(&mut followed).await
    }

    /// As [`Self::follow_epochs`], if nobody did within the time that a node may go on without.
    async fn keep_following(&self) -> Result<(), StoreError> {
        if self.is_current() {
            return Ok(());
        }
        let mut followed = self.followed.lock().await;
        if self.is_current() { Ok(()) } else { self.follow(&mut followed).await }
    }

    /// Whether epochs were read within the time that a node may go on without.
    fn is_current(&self) -> bool {
        let followed_at = *self.followed_at.lock().unwrap_or_else(|poison| poison.into_inner());
        followed_at.is_some_and(|at| at.elapsed() < STALE_AFTER)
    }

    async fn follow(&self, followed: &mut Option<Followed>) -> Result<(), StoreError> {
        let mark = followed.as_ref().map(|followed| followed.mark);
        let (epochs, mark_next) = self.directory().epochs_since(mark).await?;
        match followed {
            // What was looked up before the first mark may have changed unseen.
            None => {
                self.leases.end_all();
                self.callers.forget_all();
            }
            Some(followed) => {
                for (tenant, epoch) in &epochs.of {
                    self.learn(*tenant, *epoch);
                }
                // A change may be told of twice.
                if epochs.of.iter().any(|(tenant, epoch)| followed.told.get(tenant) != Some(epoch)) {
                    self.callers.forget_all();
                }
            }
        }
        *self.followed_at.lock().unwrap_or_else(|poison| poison.into_inner()) = Some(epochs.read_at);
        *followed = Some(Followed { mark: mark_next, told: epochs.of });
        Ok(())
    }

    /// A tenant's unwrapped keys.
    ///
    /// # Errors
    ///
    /// As [`Self::lease`].
    pub async fn keyring(&self, tenant: TenantId) -> Result<Arc<Keyring>, Failure> {
        Ok(Arc::clone(&self.lease(tenant).await?.keyring))
    }

    /// A tenant's unwrapped keys, looked up again if the key with this id is not among those lent.
    ///
    /// # Errors
    ///
    /// As [`Self::lease`].
    pub(crate) async fn keyring_with(&self, tenant: TenantId, key_id: &str) -> Result<Arc<Keyring>, Failure> {
        let lease = self.lease(tenant).await?;
        if lease.keyring.knows_id(key_id) {
            return Ok(Arc::clone(&lease.keyring));
        }
        let renewed = self.renewed_lease(tenant, &lease).await?;
        Ok(Arc::clone(&renewed.unwrap_or(lease).keyring))
    }

    /// Ends the leases of a tenant at once, in this process.
    pub fn end_lease(&self, tenant: TenantId) {
        self.leases.end(tenant);
    }
}
