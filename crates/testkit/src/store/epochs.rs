//! What holds of epochs: what a node has in memory is known to be old.

use std::time::Instant;

use chancery_domain::TenantId;
use chancery_domain::keyring::{KeyState, KeyVersion, Managed, Standing};
use chancery_domain::subjects::SubjectReferences;
use chancery_domain::tenants::TenantState;

use super::{Backend, begin, commit, view};
use crate::samples::{
    NOW, OURS, THEIRS, api_key, field, key, key_version, managed_key, queued_event, subject_references, tenant,
    tenant_key, user,
};

async fn epoch(store: &impl Backend, tenant: TenantId) -> u64 {
    let shown = view(store, tenant).await.standing().await.unwrap().epoch;
    assert_eq!(store.epochs(&[tenant]).await.unwrap().of(tenant), shown);
    shown
}

/// A tenant begins at 0, and each change of what nodes hold in memory raises its epoch, and only its.
pub async fn every_change_of_what_nodes_hold_raises_it(store: &impl Backend) {
    assert_eq!(epoch(store, OURS).await, 0);
    let mut last = 0;
    macro_rules! raises {
        ($(.$call:ident($($arg:expr),*))+) => {{
            commit!(store, OURS, $(.$call($($arg),*))+);
            let now = epoch(store, OURS).await;
            assert!(now > last, stringify!($($call)+));
            last = now;
        }};
    }
    let (data, version) =
        (managed_key(1, Managed::Data), key_version(&managed_key(1, Managed::Data), 1, KeyState::Active));
    raises!(.insert_tenant_key(&tenant_key(1)));
    raises!(.insert_key(&data));
    raises!(.insert_key_version(&version));
    let rotating = KeyVersion { state: KeyState::Rotating, ..version.clone() };
    raises!(.swap_key_version(&version, &rotating));
    raises!(.insert_key_version(&key_version(&data, 2, KeyState::Active)) .put_field(&field(1)));
    raises!(.put_field(&field(1)));
    let mut changed = field(1);
    changed.encrypt = !changed.encrypt;
    raises!(.put_field(&changed));
    let references = subject_references(1);
    raises!(.insert_subject_references(&references));
    raises!(.rewrap_subject_references(&SubjectReferences { root_key: "kv_3".to_owned(), ..references.clone() }, &references.root_key));
    assert_eq!(epoch(store, THEIRS).await, 0);
    commit!(store, OURS, .insert_user(&user(1)) .insert_api_key(&api_key(2)) .queue_event(&queued_event(OURS, 1))
        .count_key_uses(&version.key_id, 7, NOW));
    assert_eq!(epoch(store, OURS).await, last, "nothing of that is in a lease");
}

/// A tenant's state is a row of the platform; what it raises is the tenant's epoch.
pub async fn a_tenants_state_raises_the_tenants_own(store: &impl Backend) {
    let id = tenant(1).id;
    commit!(store, TenantId::PLATFORM, .insert_tenant(&tenant(1)));
    let (before, platform) = (epoch(store, id).await, epoch(store, TenantId::PLATFORM).await);
    commit!(store, TenantId::PLATFORM, .set_tenant_state(id, TenantState::Active, TenantState::Suspended));
    let standing = view(store, id).await.standing().await.unwrap();
    assert!(standing.epoch > before);
    assert_eq!(standing.state, Some(TenantState::Suspended));
    let platforms = view(store, TenantId::PLATFORM).await.standing().await.unwrap();
    assert_eq!(platforms, Standing { epoch: platform, state: None });
}

/// What was rolled back raised nothing, and a view shows the epoch of its own moment.
pub async fn it_rises_with_the_commit(store: &impl Backend) {
    let mut tx = begin(store, OURS).await;
    tx.insert_key(&key(1)).await.unwrap();
    drop(tx);
    assert_eq!(epoch(store, OURS).await, 0);
    let mut early = view(store, OURS).await;
    commit!(store, OURS, .insert_key(&key(1)));
    assert_eq!(early.standing().await.unwrap().epoch, 0);
    assert!(epoch(store, OURS).await > 0);
}

/// An append tells how its tenants stand at that moment.
pub async fn an_append_tells_the_epochs_of_its_tenants(store: &impl Backend) {
    commit!(store, OURS, .insert_key(&key(1)));
    let before = Instant::now();
    let told = store.append_events(&[queued_event(OURS, 1), queued_event(THEIRS, 2)]).await.unwrap();
    assert_eq!((told.of(OURS), told.of(THEIRS)), (epoch(store, OURS).await, 0));
    assert!(told.read_at >= before && told.read_at <= Instant::now());
    commit!(store, OURS, .put_field(&field(1)));
    let again = store.append_events(&[queued_event(OURS, 3)]).await.unwrap();
    assert!(again.of(OURS) > told.of(OURS));
}

/// Whoever asks with the mark of the time before hears of every change, also of one that was under way when it asked.
pub async fn changes_since_a_mark_are_told(store: &impl Backend) {
    commit!(store, OURS, .insert_key(&key(1)));
    let (nothing, mark) = store.epochs_since(None).await.unwrap();
    assert!(nothing.of.is_empty());
    let mut under_way = begin(store, THEIRS).await;
    under_way.insert_key(&key(2)).await.unwrap();
    let (told, mark) = store.epochs_since(Some(mark)).await.unwrap();
    assert!(!told.of.contains_key(&THEIRS));
    under_way.commit().await.unwrap();
    let (told, mark) = store.epochs_since(Some(mark)).await.unwrap();
    assert_eq!(told.of.get(&THEIRS), Some(&epoch(store, THEIRS).await));
    commit!(store, OURS, .put_field(&field(1)));
    let (told, _) = store.epochs_since(Some(mark)).await.unwrap();
    assert_eq!(told.of.get(&OURS), Some(&epoch(store, OURS).await));
}

/// A transaction knows whether it takes keys out of use.
pub async fn a_transaction_knows_whether_it_stops_keys(store: &impl Backend) {
    let data = managed_key(1, Managed::Data);
    commit!(store, TenantId::PLATFORM, .insert_tenant(&tenant(1)));
    let active = key_version(&data, 1, KeyState::Active);
    let [rotating, revoked] =
        [KeyState::Rotating, KeyState::Revoked].map(|state| KeyVersion { state, ..active.clone() });
    commit!(store, OURS, .insert_key(&data) .insert_key_version(&active));
    let mut tx = begin(store, OURS).await;
    tx.put_field(&field(1)).await.unwrap();
    tx.swap_key_version(&active, &rotating).await.unwrap();
    assert!(!tx.stops_keys(), "a superseded version opens");
    tx.swap_key_version(&rotating, &revoked).await.unwrap();
    assert!(tx.stops_keys());
    drop(tx);
    let mut tx = begin(store, TenantId::PLATFORM).await;
    assert!(!tx.stops_keys());
    tx.set_tenant_state(tenant(1).id, TenantState::Active, TenantState::Suspended).await.unwrap();
    assert!(tx.stops_keys());
}

/// Changes of one tenant at once neither wait for each other's end nor cross.
pub async fn changes_at_once_all_land(store: &impl Backend) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut tx = begin(&store, OURS).await;
            // In both orders: with a lock held from the first change on, some of these would wait in a circle.
            if n % 2 == 0 {
                tx.insert_key(&key(n)).await?;
                tokio::task::yield_now().await;
                tx.put_field(&field(n)).await?;
            } else {
                tx.put_field(&field(n)).await?;
                tokio::task::yield_now().await;
                tx.insert_key(&key(n)).await?;
            }
            tx.commit().await
        });
    }
    let done = tasks.join_all().await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert!(epoch(store, OURS).await >= 16);
}
