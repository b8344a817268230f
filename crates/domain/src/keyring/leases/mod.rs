//! Unwrapped keys are lent for a bounded time, for so many uses and so many bytes; loaded once however many ask.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64, atomic::Ordering},
    time::{Duration, Instant},
};

use chancery_crypto::random::{self, Random};

use super::{Keyring, KeyringError, PlatformRoot, Standing, tenant_keys::OwnProviders};
use crate::{
    Instance,
    fields::Field,
    ids::{FieldId, TableId, TenantId},
    indexes::{Index, IndexKind},
    instance::Failure,
    time::Timestamp,
};

mod kept;

use kept::Kept;

/// Absolute age of a lease. Whatever happens, its keys are not used after that.
const MAX_AGE: Duration = Duration::from_secs(30);
/// Leases end up to so much earlier, each by a random part of it, so that those loaded together do not end together.
const JITTER: Duration = Duration::from_secs(6);
/// Looked up again in the background when no more than this is left.
const RENEW_AHEAD: Duration = Duration::from_secs(6);
/// How often one lease is lent.
const MAX_USES: u64 = 1 << 20;
/// How many bytes are sealed and opened under one lease.
const MAX_BYTES: u64 = 4 << 30;
/// How many leases one round of renewing looks up again; a round is a quarter of a second.
const MAX_RENEWED: usize = 128;

/// A tenant's unwrapped keys and registered fields, as of one moment.
pub struct Lease {
    /// The keys.
    pub keyring: Arc<Keyring>,
    fields: HashMap<String, HashMap<String, Arc<Field>>>,
    compounds: HashMap<String, Vec<Arc<Index>>>,
    /// Since when.
    pub loaded_at: Timestamp,
    /// How the tenant stood at that moment.
    pub standing: Standing,
    loaded: Instant,
    lasts: Duration,
    uses: AtomicU64,
}

impl Lease {
    /// The id of a table that has registered fields.
    pub fn table(&self, table: &str) -> Option<TableId> {
        self.fields.get(table)?.values().next().map(|field| field.table_id)
    }

    /// A registered field by its names.
    pub fn field(&self, table: &str, column: &str) -> Option<&Arc<Field>> {
        self.fields.get(table)?.get(column)
    }

    /// A registered field of a table by its id.
    pub fn field_by_id(&self, table: &str, id: FieldId) -> Option<&Arc<Field>> {
        self.fields.get(table)?.values().find(|field| field.id == id)
    }

    /// The compound indexes of a table that are in use.
    pub fn compounds(&self, table: &str) -> &[Arc<Index>] {
        self.compounds.get(table).map_or(&[], Vec::as_slice)
    }

    /// Roughly how many bytes of memory it takes, with all that it may come to keep ready.
    fn weight(&self) -> usize {
        let fields = self.fields.values().flat_map(HashMap::values);
        let (count, bytes) = fields.fold((0, 0), |(count, bytes), field| (count + 1, bytes + weight_of(field)));
        size_of::<Self>() + bytes + self.keyring.weight(count)
    }

    /// Lends it once more, if it is not spent.
    fn lend(self: &Arc<Self>, now: Timestamp) -> Option<Arc<Self>> {
        let spent = self.uses.load(Ordering::Relaxed) >= MAX_USES || self.keyring.used_bytes() >= MAX_BYTES;
        if spent || self.left(now).is_zero() {
            return None;
        }
        self.uses.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(self))
    }

    /// How long it still lasts: by the clock that nobody sets, and by the one that tells the time. A clock set back ends it.
    fn left(&self, now: Timestamp) -> Duration {
        let told = now.as_micros().saturating_sub(self.loaded_at.as_micros());
        let told = u64::try_from(told).map_or(self.lasts, Duration::from_micros);
        self.lasts.saturating_sub(self.loaded.elapsed().max(told))
    }
}

fn weight_of(field: &Field) -> usize {
    // The entry, its names once in the map and once in the field, and the hash tables' own part.
    size_of::<Field>() + 2 * (field.table.len() + field.column.len()) + 96 + 256 * field.indexes.len()
}

/// The leases of this process.
pub struct Leases {
    kept: RwLock<Kept>,
    ended: AtomicU64,
    loading: Mutex<HashMap<TenantId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Leases {
    /// None yet, and at most so many bytes of them at a time.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { kept: RwLock::new(Kept::new(max_bytes)), ended: AtomicU64::default(), loading: Mutex::default() }
    }

    /// The lease of a tenant: the one held, or a new one.
    pub(crate) async fn of(&self, tenant: TenantId, instance: &Instance) -> Result<Arc<Lease>, Failure> {
        match self.fresh(tenant, instance.now()) {
            Some(lease) => Ok(lease),
            None => self.load(tenant, instance, |leases, now| leases.fresh(tenant, now)).await,
        }
    }

    /// Loads the lease of a tenant; of many who ask at once one does it, and the others take theirs from it.
    async fn load(
        &self,
        tenant: TenantId,
        instance: &Instance,
        found: impl Fn(&Self, Timestamp) -> Option<Arc<Lease>>,
    ) -> Result<Arc<Lease>, Failure> {
        let flight = Flight::join(self, tenant);
        let _turn = flight.turn.lock().await;
        loop {
            if let Some(lease) = found(self, instance.now()) {
                return Ok(lease);
            }
            let ended = self.ended.load(Ordering::Acquire);
            let lease = Arc::new(load(tenant, instance).await?);
            let weight = lease.weight();
            let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
            // INVARIANT: a lease loaded before a revocation is never kept after it.
            if self.ended.load(Ordering::Acquire) == ended {
                kept.insert(tenant, Arc::clone(&lease), weight);
                return Ok(lease);
            }
        }
    }

    fn fresh(&self, tenant: TenantId, now: Timestamp) -> Option<Arc<Lease>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).find(tenant)?.lend(now)
    }

    /// Looks up again, ahead of their end, the leases that were used since the last round.
    pub(crate) async fn renew(&self, instance: &Instance) -> usize {
        let now = instance.now();
        let due = |lease: &Lease| lease.left(now) <= RENEW_AHEAD;
        let due = self.kept.read().unwrap_or_else(PoisonError::into_inner).used(due, MAX_RENEWED);
        let mut renewed = 0;
        for (tenant, old) in due {
            let newer = |leases: &Self, _: Timestamp| {
                let kept = leases.kept.read().unwrap_or_else(PoisonError::into_inner);
                kept.find(tenant).filter(|lease| !Arc::ptr_eq(lease, &old)).map(Arc::clone)
            };
            // If it cannot be: the one that is there serves to its end, and then whoever asks is told.
            renewed += usize::from(self.load(tenant, instance, newer).await.is_ok());
        }
        renewed
    }

    /// Ends a tenant's lease if it is older than this epoch.
    pub(crate) fn outdate(&self, tenant: TenantId, epoch: u64) {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let older = kept.peek(tenant).is_some_and(|lease| lease.standing.epoch < epoch);
        drop(kept);
        if older {
            self.end(tenant);
        }
    }

    /// Ends a tenant's lease at once.
    pub(crate) fn end(&self, tenant: TenantId) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        self.ended.fetch_add(1, Ordering::AcqRel);
        kept.remove(tenant);
    }

    /// Ends all of them.
    pub(crate) fn end_all(&self) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        self.ended.fetch_add(1, Ordering::AcqRel);
        kept.clear();
    }

    /// How many there are, and roughly how many bytes they take.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).size()
    }
}

/// One who waits for a tenant's keys to be loaded. The last one takes the turnstile away.
struct Flight<'a> {
    leases: &'a Leases,
    tenant: TenantId,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl<'a> Flight<'a> {
    fn join(leases: &'a Leases, tenant: TenantId) -> Self {
        let mut loading = leases.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = Arc::clone(loading.entry(tenant).or_default());
        Self { leases, tenant, turn }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut loading = self.leases.loading.lock().unwrap_or_else(PoisonError::into_inner);
        // Ours and the map's: whoever joins does so under this lock.
        if Arc::strong_count(&self.turn) == 2 {
            loading.remove(&self.tenant);
        }
    }
}

async fn load(tenant: TenantId, instance: &Instance) -> Result<Lease, Failure> {
    match load_under(tenant, instance, &*instance.leased_root().await?).await {
        // Another node rotated the root.
        Err(Failure::Keyring(KeyringError::Root(_))) => {
            load_under(tenant, instance, &*instance.renewed_root().await?).await
        }
        loaded => loaded,
    }
}

async fn load_under(tenant: TenantId, instance: &Instance, root: &PlatformRoot) -> Result<Lease, Failure> {
    let (loaded_at, loaded) = (instance.now(), Instant::now());
    let lasts = lasts(instance.random())?;
    let mut view = instance.store().view(tenant).await?;
    let standing = view.standing().await?;
    let stored = super::hierarchy::read(tenant, &mut *view).await?;
    let mut fields: HashMap<String, HashMap<String, Arc<Field>>> = HashMap::new();
    let mut tables = HashMap::new();
    for field in view.fields().await? {
        tables.insert(field.table_id, field.table.clone());
        fields.entry(field.table.clone()).or_default().insert(field.column.clone(), Arc::new(field));
    }
    let mut compounds: HashMap<String, Vec<Arc<Index>>> = HashMap::new();
    for index in view.indexes().await?.into_iter().filter(|index| index.kind == IndexKind::Compound) {
        if let (Some(table), true) = (tables.get(&index.table_id), index.newest().is_some()) {
            compounds.entry(table.clone()).or_default().push(Arc::new(index));
        }
    }
    drop(view);
    let own = OwnProviders { providers: instance.own_providers(), environment: instance.settings().environment };
    let keyring = super::hierarchy::unwrap(stored, root, own).await?;
    let uses = AtomicU64::default();
    Ok(Lease { keyring: Arc::new(keyring), fields, compounds, loaded_at, standing, loaded, lasts, uses })
}

/// A lease's life: the most, less a random part of the jitter.
fn lasts(rng: &dyn Random) -> Result<Duration, Failure> {
    let [part]: [u8; 1] = random::array(rng)?;
    Ok(MAX_AGE - JITTER * u32::from(part) / 255)
}

#[cfg(test)]
mod tests {
    use chancery_crypto::{Handle, Key256, SystemRandom, WrappingKey};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    pub(super) fn lease(tenant: TenantId) -> Arc<Lease> {
        let wrapping = WrappingKey::new(&Key256::from_bytes([9; 32]), Handle([9; 8]));
        Arc::new(Lease {
            keyring: Arc::new(Keyring::embedded(tenant, wrapping, Vec::new())),
            fields: HashMap::new(),
            compounds: HashMap::new(),
            loaded_at: NOW,
            standing: Standing { epoch: 3, state: None },
            loaded: Instant::now(),
            lasts: MAX_AGE,
            uses: AtomicU64::default(),
        })
    }

    #[test]
    fn it_ends_by_age_by_uses_and_by_bytes_and_when_the_clock_is_set_back() {
        let lent = lease(TenantId::PLATFORM);
        assert!(lent.lend(NOW).is_some());
        assert!(lent.lend(NOW.plus_seconds(29)).is_some());
        assert!(lent.lend(NOW.plus_seconds(30)).is_none());
        assert!(lent.lend(NOW.plus_seconds(-1)).is_none());
        lent.uses.store(MAX_USES - 1, Ordering::Relaxed);
        assert!(lent.lend(NOW).is_some());
        assert!(lent.lend(NOW).is_none(), "the budget of uses is spent");

        let lent = lease(TenantId::PLATFORM);
        lent.keyring.count_bytes(usize::try_from(MAX_BYTES).unwrap());
        assert!(lent.lend(NOW).is_none(), "the budget of bytes is spent");
    }

    #[test]
    fn leases_loaded_together_do_not_end_together() {
        let lives: Vec<Duration> = (0..64).map(|_| lasts(&SystemRandom).unwrap()).collect();
        assert!(lives.iter().all(|life| (MAX_AGE - JITTER..=MAX_AGE).contains(life)));
        assert!(lives.iter().min() < lives.iter().max());
    }

    /// The keys' own memory is wiped when they are dropped (`chancery-crypto` proves that); what a lease must do is drop them.
    #[test]
    fn an_ended_lease_is_dropped_with_its_keys_when_the_last_use_is_over() {
        let leases = Leases::new(1 << 20);
        let (tenant, lent) = (TenantId::PLATFORM, lease(TenantId::PLATFORM));
        let (probe, keys) = (Arc::downgrade(&lent), Arc::downgrade(&lent.keyring));
        leases.kept.write().unwrap().insert(tenant, lent, 100);
        let in_use = leases.fresh(tenant, NOW).unwrap();
        leases.outdate(tenant, 3);
        assert!(leases.fresh(tenant, NOW).is_some(), "it is as new as that");
        leases.outdate(tenant, 4);
        assert!(leases.fresh(tenant, NOW).is_none());
        assert!(probe.upgrade().is_some());
        drop(in_use);
        assert!(probe.upgrade().is_none() && keys.upgrade().is_none());
        assert_eq!(leases.size(), (0, 0));
    }
}
