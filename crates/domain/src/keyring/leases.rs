//! Unwrapped keys are lent for a bounded time, loaded once however many ask.

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Keyring, KeyringError, PlatformRoot, Standing, tenant_keys::OwnProviders};
use crate::{
    Instance,
    fields::Field,
    ids::FieldId,
    ids::TenantId,
    indexes::{Index, IndexKind},
    instance::Failure,
    time::Timestamp,
};

/// Absolute age of a lease, in seconds. What another node changed is known here after that at the latest.
const MAX_AGE_SECONDS: i64 = 30;
/// How many tenants' leases are kept.
const MAX_LEASES: usize = 10_000;

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
}

impl Lease {
    /// The id of a table that has registered fields.
    pub fn table(&self, table: &str) -> Option<crate::ids::TableId> {
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
}

/// The leases of this process.
#[derive(Default)]
pub struct Leases {
    held: RwLock<HashMap<TenantId, Arc<Lease>>>,
    epoch: AtomicU64,
    loading: [tokio::sync::Mutex<()>; 16],
}

impl Leases {
    /// The lease of a tenant: the one held, or a new one.
    pub(crate) async fn of(&self, tenant: TenantId, instance: &Instance) -> Result<Arc<Lease>, Failure> {
        if let Some(lease) = self.fresh(tenant, instance.now()) {
            return Ok(lease);
        }
        let lane = usize::from(tenant.to_bytes()[15] & 15);
        let lane = self.loading.get(lane).ok_or(Failure::Internal("lease lane"))?;
        let _single_flight = lane.lock().await;
        loop {
            if let Some(lease) = self.fresh(tenant, instance.now()) {
                return Ok(lease);
            }
            let epoch = self.epoch.load(Ordering::Acquire);
            let lease = Arc::new(load(tenant, instance).await?);
            let mut held = self.held.write().unwrap_or_else(|poison| poison.into_inner());
            // INVARIANT: a lease loaded before a revocation is never kept after it.
            if self.epoch.load(Ordering::Acquire) == epoch {
                if held.len() >= MAX_LEASES {
                    evict_oldest(&mut held);
                }
                held.insert(tenant, Arc::clone(&lease));
                return Ok(lease);
            }
        }
    }

    fn fresh(&self, tenant: TenantId, now: Timestamp) -> Option<Arc<Lease>> {
        let held = self.held.read().unwrap_or_else(|poison| poison.into_inner());
        let lease = held.get(&tenant)?;
        (now < lease.loaded_at.plus_seconds(MAX_AGE_SECONDS)).then(|| Arc::clone(lease))
    }

    /// Ends a tenant's lease if it is older than this epoch. Whether it was.
    pub(crate) fn outdate(&self, tenant: TenantId, epoch: u64) -> bool {
        let older = |lease: &Arc<Lease>| lease.standing.epoch < epoch;
        if !self.held.read().unwrap_or_else(|poison| poison.into_inner()).get(&tenant).is_some_and(older) {
            return false;
        }
        self.end(tenant);
        true
    }

    /// Ends all of them.
    pub(crate) fn end_all(&self) {
        let mut held = self.held.write().unwrap_or_else(|poison| poison.into_inner());
        self.epoch.fetch_add(1, Ordering::AcqRel);
        held.clear();
    }

    /// Ends a tenant's lease at once.
    pub(crate) fn end(&self, tenant: TenantId) {
        let mut held = self.held.write().unwrap_or_else(|poison| poison.into_inner());
        self.epoch.fetch_add(1, Ordering::AcqRel);
        held.remove(&tenant);
    }
}

fn evict_oldest(held: &mut HashMap<TenantId, Arc<Lease>>) {
    if let Some(oldest) = held.iter().min_by_key(|(_, lease)| lease.loaded_at).map(|(tenant, _)| *tenant) {
        held.remove(&oldest);
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
    let loaded_at = instance.now();
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
    Ok(Lease { keyring: Arc::new(keyring), fields, compounds, loaded_at, standing })
}
