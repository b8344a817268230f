//! Proves that a store is whole: every log gives its root again, every key unwraps.

use chancery_crypto::{
    merkle::{Frontier, leaf_hash},
    tiles::{TileId, WIDTH},
};
use serde_json::Value;

use crate::{
    Instance, TenantId,
    audit::{EventFilter, QueuedEvent, retention::Purged},
    instance::Failure,
    keyring::{KeyState, KeyringError, Managed, StoredMaterial},
    store::{StoreError, View},
};

const PAGE: u32 = 500;

/// What was proven of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proven {
    /// Events whose leaves give the log's root.
    pub events: u64,
    /// Key versions that unwrapped.
    pub keys: u64,
}

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The events of a tenant do not give the root that its log has.
    #[error("the events of {0} do not give the root of its log")]
    Log(TenantId),
    /// A key version does not unwrap.
    #[error("the key version {1} of {0} does not unwrap")]
    Key(TenantId, String),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<StoreError> for ProofError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Hashes every event of `tenant` again and unwraps every key that is not destroyed.
///
/// # Errors
///
/// [`ProofError`] of the first that does not hold.
pub async fn prove(instance: &Instance, tenant: TenantId) -> Result<Proven, ProofError> {
    let ring = instance.keyring(tenant).await.map_err(|failure| match failure {
        Failure::Keyring(KeyringError::Unwrap) => ProofError::Key(tenant, "managed".to_owned()),
        failure => failure.into(),
    })?;
    for managed in Managed::ALL {
        ring.require_whole(*managed).map_err(|_| ProofError::Key(tenant, format!("managed/{managed}")))?;
    }
    let mut view = instance.store().view(tenant).await?;
    let mut keys = 0;
    let mut after = None;
    loop {
        let page = view.keys(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for key in page {
            for version in view.key_versions(key.id).await? {
                let wrapped = matches!(version.material, StoredMaterial::Wrapped { .. });
                if version.state == KeyState::Destroyed || !wrapped {
                    continue;
                }
                let unwrapped = ring.tenant_keys.unwrap(&key.wrap_purpose(), &version);
                unwrapped.map_err(|_| ProofError::Key(tenant, version.key_id.clone()))?;
                keys += 1;
            }
        }
    }
    let head = view.log_head().await?;
    let purged = Purged::told(&mut *view, &ring).await?;
    let mut tree = Frontier::default();
    while tree.size() < head.size {
        let filter = EventFilter::after(tree.size().checked_sub(1), PAGE);
        let page = view.logged_events(&filter).await?;
        if page.is_empty() {
            break;
        }
        for logged in page {
            while tree.size() < logged.index && purged.covers(tree.size()) {
                let leaf = stored_leaf(&mut *view, tree.size()).await?.ok_or(ProofError::Log(tenant))?;
                tree.push(leaf);
            }
            // Of what a purge left, the kind is counted below: it is what the leaf says.
            let counted = purged.meets(logged.index, logged.index + 1);
            if logged.index != tree.size() || (counted && !is_of_its_kind(&logged.event)) {
                return Err(ProofError::Log(tenant));
            }
            tree.push(leaf_hash(logged.event.core.as_bytes()));
        }
    }
    let exact = purged.overdone(&mut *view).await?.is_empty();
    if tree.size() != head.size || tree.root() != head.root || !exact {
        return Err(ProofError::Log(tenant));
    }
    Ok(Proven { events: head.size, keys })
}

/// Whether the column by which an event is found says what its bytes say.
fn is_of_its_kind(event: &QueuedEvent) -> bool {
    let core = serde_json::from_str::<Value>(&event.core).ok();
    core.is_some_and(|core| core.pointer("/type").and_then(Value::as_str) == Some(event.kind.as_str()))
}

/// The leaf at a place, of which nothing else is left.
async fn stored_leaf(view: &mut dyn View, index: u64) -> Result<Option<[u8; 32]>, StoreError> {
    let width = u64::from(WIDTH);
    let tile = view.tile(TileId { level: 0, index: index / width }).await?.unwrap_or_default();
    let place = usize::try_from(index % width).unwrap_or(usize::MAX);
    Ok(tile.as_chunks::<32>().0.get(place).copied())
}
