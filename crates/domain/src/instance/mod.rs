//! One running Chancery: its ports, its keys, its settings.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use chancery_crypto::random::Random;

use crate::{
    access::{Call, Denied, Permission, RECENT_SECONDS, RefusedCredentials, authenticate::CallerCache},
    api_keys::{ApiKeyShelf, last_used::LastUsed},
    audit::{
        Appender,
        archives::{self, ArchiveStore},
        counters::Counters,
        failures::OpenFailures,
        guard::Guard,
        intent::{Openings, Writing},
        refusals::AnonymousCounts,
        screen::Suspected,
        sinks::AuditSink,
    },
    blocks::Blocks,
    csp_reports::Reports,
    datasets::DatasetTables,
    identity_providers::{KeyFetches, KeySets},
    ids::{NodeId, TenantId, Ulid},
    keyring::{
        KeyDestination, KeyProvider, KeyUses, Leases, OwnProvider, PlatformRoot, RootError, habits::Habits,
        resident::ResidentKeys,
    },
    limits::{KeyLimits, LimitCounts, Limiter, LocalLimiter, Violations},
    lockouts::{Ladders, LocalLadders, PausedAccounts},
    passkeys::PasskeyVerifier,
    passwords::PasswordQueue,
    replays::{LocalReplays, Replays},
    routes::{self, RouteTable},
    store::{Directory, Store},
    tenants::TenantState,
    time::Timestamp,
    tls::Standing,
    webhooks::{DeviceCertificates, HeldSecrets, KeyAddress, WebhookCounts},
};

mod epochs;
mod failure;
mod leases;
mod ports;
mod root;
mod settings;

pub use failure::Failure;
pub(crate) use failure::{Fails, fails};
pub use ports::{Node, Ports};
pub use settings::{Deployment, Environment, Settings, TenantMismatch};

use epochs::{Followed, KnownEpochs};
use root::HeldRoot;

/// How many webhooks of more than a megabyte are handed on at once.
const LONG_WEBHOOKS: usize = 2;

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
    openings: Openings,
    pub(crate) counters: Arc<Counters>,
    pub(crate) anonymous: AnonymousCounts,
    pub(crate) csp_reports: Reports,
    destinations: OnceLock<Vec<Arc<dyn KeyDestination>>>,
    pub(crate) sinks: OnceLock<Vec<Arc<dyn AuditSink>>>,
    pub(crate) archives: OnceLock<Vec<Arc<dyn ArchiveStore>>>,
    pub(crate) archives_seen: archives::Seen,
    passkeys: OnceLock<Arc<dyn PasskeyVerifier>>,
    device_certificates: OnceLock<Arc<dyn DeviceCertificates>>,
    pub(crate) routes: routes::Held,
    pub(crate) open_failures: OpenFailures,
    pub(crate) habits: Habits,
    pub(crate) forked: Mutex<BTreeSet<TenantId>>,
    guard: Guard,
    tls: Standing,
    pub(crate) callers: CallerCache,
    refused_credentials: RefusedCredentials,
    suspected: Suspected,
    pub(crate) last_used: LastUsed,
    pub(crate) passwords: PasswordQueue,
    pub(crate) key_limits: KeyLimits,
    limiter: OnceLock<Arc<dyn Limiter>>,
    local_limiter: LocalLimiter,
    pub(crate) limit_counts: LimitCounts,
    blocks: Blocks,
    pub(crate) violations: Violations,
    replays: OnceLock<Arc<dyn Replays>>,
    ladders: OnceLock<Arc<dyn Ladders>>,
    api_key_shelf: OnceLock<Arc<dyn ApiKeyShelf>>,
    pub(crate) shelf_hits: AtomicU64,
    known_epochs: KnownEpochs,
    local_ladders: LocalLadders,
    pub(crate) paused_accounts: PausedAccounts,
    local_replays: LocalReplays,
    pub(crate) key_uses: KeyUses,
    due_datasets: Mutex<BTreeSet<TenantId>>,
    due_webhooks: Mutex<BTreeSet<TenantId>>,
    pub(crate) webhook_secrets: HeldSecrets,
    pub(crate) webhook_counts: WebhookCounts,
    key_sets: Arc<KeySets>,
    webhook_keys: Arc<KeySets<KeyAddress>>,
    pub(crate) long_webhooks: tokio::sync::Semaphore,
}

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
        let node = Node { id: node, boot: Ulid::make(ports.clock.now(), &*ports.random)? };
        let appender = Appender::start(Arc::clone(&ports.store));
        let counters = Arc::<Counters>::default();
        let openings = Openings::start(Writing {
            store: Arc::clone(&ports.store),
            clock: Arc::clone(&ports.clock),
            random: Arc::clone(&ports.random),
            node,
            counters: Arc::clone(&counters),
            appender: appender.clone(),
        });
        Ok(Self {
            node,
            root: RwLock::new(HeldRoot { root: Arc::new(root), since: ports.clock.now() }),
            renewing: tokio::sync::Mutex::default(),
            leases: Leases::new(
                usize::try_from(settings.lease_memory_mib).unwrap_or(usize::MAX).saturating_mul(1 << 20),
            ),
            followed: tokio::sync::Mutex::default(),
            followed_at: Mutex::default(),
            appender,
            openings,
            counters,
            anonymous: AnonymousCounts::default(),
            csp_reports: Reports::default(),
            destinations: OnceLock::new(),
            sinks: OnceLock::new(),
            archives: OnceLock::new(),
            archives_seen: archives::Seen::default(),
            passkeys: OnceLock::new(),
            device_certificates: OnceLock::new(),
            routes: routes::Held::default(),
            open_failures: OpenFailures::default(),
            habits: Habits::default(),
            forked: Mutex::default(),
            guard: Guard::default(),
            tls: Standing::default(),
            callers: CallerCache::default(),
            refused_credentials: RefusedCredentials::default(),
            suspected: Suspected::default(),
            last_used: LastUsed::default(),
            passwords: PasswordQueue::new(settings.password_cost),
            key_limits: KeyLimits::default(),
            limiter: OnceLock::new(),
            local_limiter: LocalLimiter::default(),
            limit_counts: LimitCounts::default(),
            blocks: Blocks::default(),
            violations: Violations::default(),
            replays: OnceLock::new(),
            ladders: OnceLock::new(),
            api_key_shelf: OnceLock::new(),
            shelf_hits: AtomicU64::default(),
            known_epochs: KnownEpochs::default(),
            local_ladders: LocalLadders::default(),
            paused_accounts: PausedAccounts::default(),
            local_replays: LocalReplays::default(),
            key_uses: KeyUses::default(),
            due_datasets: Mutex::default(),
            due_webhooks: Mutex::default(),
            webhook_secrets: HeldSecrets::default(),
            webhook_counts: WebhookCounts::default(),
            key_sets: Arc::new(KeySets::new(Arc::clone(&ports.documents), Arc::clone(&ports.clock))),
            webhook_keys: Arc::new(KeySets::new(Arc::clone(&ports.documents), Arc::clone(&ports.clock))),
            long_webhooks: tokio::sync::Semaphore::new(LONG_WEBHOOKS),
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

    /// Says what the gateway of this process is; once.
    pub fn show_routes(&self, table: Arc<dyn RouteTable>) {
        self.routes.hold(table);
    }

    /// Who verifies passkeys; nobody where none are offered.
    pub fn passkey_verifier(&self) -> Option<&Arc<dyn PasskeyVerifier>> {
        self.passkeys.get()
    }

    /// Says who reads the certificates of devices; once, before the instance is used.
    pub fn enroll_devices_with(&self, certificates: Arc<dyn DeviceCertificates>) {
        let _ = self.device_certificates.set(certificates);
    }

    /// Who reads the certificates of devices; without it none is enrolled.
    pub(crate) fn device_certificates(&self) -> Option<&Arc<dyn DeviceCertificates>> {
        self.device_certificates.get()
    }

    /// The providers that belong to tenants.
    pub fn own_providers(&self) -> &[OwnProvider] {
        &self.ports.own
    }

    /// What it was opened with.
    pub(crate) fn outside(&self) -> (&Ports, &Settings) {
        (&self.ports, &self.settings)
    }

    /// The providers in which keys may live.
    pub fn resident(&self) -> &[Arc<dyn ResidentKeys>] {
        &self.ports.resident
    }

    /// The keys of identity providers.
    pub(crate) fn key_sets(&self) -> &Arc<KeySets> {
        &self.key_sets
    }

    /// The keys of senders of webhooks that publish them.
    pub(crate) fn webhook_keys(&self) -> &Arc<KeySets<KeyAddress>> {
        &self.webhook_keys
    }

    /// How often identity providers were asked for their keys, and senders of webhooks.
    pub fn key_fetches(&self) -> (KeyFetches, KeyFetches) {
        (self.key_sets.fetches(), self.webhook_keys.fetches())
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

    /// Notes that a tenant has a webhook to be handed on.
    pub(crate) fn note_due_webhooks(&self, tenant: TenantId) {
        self.due_webhooks.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant);
    }

    /// The tenants that got a webhook to be handed on in this process since the last call.
    pub fn take_due_webhooks(&self) -> BTreeSet<TenantId> {
        std::mem::take(&mut *self.due_webhooks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What came of webhooks.
    pub fn webhook_counts(&self) -> &WebhookCounts {
        &self.webhook_counts
    }

    /// How often something looked like personal data, by detector.
    pub fn suspected(&self) -> &Suspected {
        &self.suspected
    }

    /// A number that changes whenever something was revoked, here or on another node.
    pub fn revocations_seen(&self) -> u64 {
        self.callers.epoch()
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

    /// Who counts against limits in this process alone.
    pub(crate) fn local_limiter(&self) -> &LocalLimiter {
        &self.local_limiter
    }

    /// Who counts against limits, if not this process alone.
    pub(crate) fn shared_limiter(&self) -> Option<&dyn Limiter> {
        self.limiter.get().map(|limiter| &**limiter)
    }

    /// Who counts against limits.
    pub(crate) fn limiter(&self) -> &dyn Limiter {
        self.shared_limiter().unwrap_or(&self.local_limiter)
    }

    /// Addresses whose requests are not answered, as this node knows them.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// How often limits were nearly reached, and reached.
    pub fn limit_counts(&self) -> &LimitCounts {
        &self.limit_counts
    }

    /// Says who remembers what must not count twice; once, before the instance is used. Without, each node remembers for itself.
    pub fn remember_with(&self, replays: Arc<dyn Replays>) {
        let _ = self.replays.set(replays);
    }

    /// Says who counts failed logins; once, before the instance is used. Without, each node counts for itself.
    pub fn climb_with(&self, ladders: Arc<dyn Ladders>) {
        let _ = self.ladders.set(ladders);
    }

    /// Says where verified API keys are left for other nodes; once, before the instance is used. Without, each node looks them up itself.
    pub fn share_api_keys_on(&self, shelf: Arc<dyn ApiKeyShelf>) {
        let _ = self.api_key_shelf.set(shelf);
    }

    /// Where verified API keys are left for other nodes, if anywhere.
    pub(crate) fn api_key_shelf(&self) -> Option<&dyn ApiKeyShelf> {
        self.api_key_shelf.get().map(|shelf| &**shelf)
    }

    /// How often an API key was found there, and the store was not asked.
    pub fn shelf_hits(&self) -> u64 {
        self.shelf_hits.load(Ordering::Relaxed)
    }

    /// Who counts failed logins.
    pub(crate) fn ladders(&self) -> &dyn Ladders {
        match self.ladders.get() {
            Some(ladders) => &**ladders,
            None => &self.local_ladders,
        }
    }

    /// Who remembers for all nodes what must not count twice, if anybody does.
    pub(crate) fn shared_replays(&self) -> Option<&dyn Replays> {
        self.replays.get().map(|replays| &**replays)
    }

    /// Who remembers what must not count twice.
    pub fn replays(&self) -> &dyn Replays {
        match self.replays.get() {
            Some(replays) => &**replays,
            None => &self.local_replays,
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

    /// How the certificate of the listeners stands.
    pub fn tls(&self) -> &Standing {
        &self.tls
    }

    /// How its logs are guarded.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The uses of personal data that have no outcome yet.
    pub fn openings(&self) -> &Openings {
        &self.openings
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
}
