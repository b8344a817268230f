//! Blocked networks.

use chancery_domain::blocks::Block;
use chancery_domain::ids::BlockId;
use chancery_domain::store::StoreError;

use super::{Backend, commit, view};
use crate::samples::{NOW, OURS, TEXT, THEIRS, bytes};

fn block(n: u64, network: &str) -> Block {
    Block {
        id: BlockId::from_bytes(bytes(n)),
        network: network.parse().unwrap(),
        reason: TEXT.to_owned(),
        automatic: n % 2 == 1,
        made_at: NOW,
        expires_at: (n % 2 == 1).then_some(NOW.plus_seconds(60)),
    }
}

/// By id, in pages; what has expired is not told.
pub async fn blocks_are_listed_until_they_expire(store: &impl Backend) {
    let (one, two, three) = (block(1, "203.0.113.9/32"), block(2, "198.51.100.0/24"), block(3, "2001:db8::/48"));
    commit!(store, OURS, .insert_block(&two) .insert_block(&three) .insert_block(&one));
    let mut view = view(store, OURS).await;
    assert_eq!(view.blocks(NOW, None, 2).await.unwrap(), [one.clone(), two.clone()]);
    assert_eq!(view.blocks(NOW, Some(two.id), 2).await.unwrap(), [three]);
    assert_eq!(view.blocks(NOW.plus_seconds(60), None, 9).await.unwrap(), [two]);
    assert_eq!(view.find_block(one.id).await.unwrap(), Some(one));
}

/// A network is blocked once; one that has expired makes room when it is forgotten.
pub async fn a_network_is_blocked_once(store: &impl Backend) {
    commit!(store, OURS, .insert_block(&block(1, "203.0.113.9/32")));
    let mut tx = store.begin(OURS).await.unwrap();
    let again = tx.insert_block(&block(2, "203.0.113.9/32")).await;
    assert!(matches!(again, Err(StoreError::Taken("ip_block"))), "{again:?}");
    drop(tx);
    commit!(store, OURS, .forget_blocks(NOW.plus_seconds(60)) .insert_block(&block(2, "203.0.113.9/32")));
    assert_eq!(view(store, OURS).await.blocks(NOW, None, 9).await.unwrap(), [block(2, "203.0.113.9/32")]);
}

/// One goes, the others stay.
pub async fn one_is_taken_away(store: &impl Backend) {
    let (one, two) = (block(1, "203.0.113.9/32"), block(2, "198.51.100.0/24"));
    commit!(store, OURS, .insert_block(&one) .insert_block(&two));
    commit!(store, OURS, .remove_block(one.id) .remove_block_of("198.51.100.0/25".parse().unwrap()));
    assert_eq!(view(store, OURS).await.blocks(NOW, None, 9).await.unwrap(), std::slice::from_ref(&two));
    commit!(store, OURS, .remove_block_of(two.network));
    assert_eq!(view(store, OURS).await.blocks(NOW, None, 9).await.unwrap(), []);
}

/// The rows of one tenant are out of sight for another, and out of reach.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    let one = block(1, "203.0.113.9/32");
    commit!(store, OURS, .insert_block(&one));
    assert_eq!(view(store, THEIRS).await.blocks(NOW, None, 9).await.unwrap(), []);
    commit!(store, THEIRS, .remove_block(one.id) .forget_blocks(NOW.plus_seconds(99)));
    assert_eq!(view(store, OURS).await.blocks(NOW, None, 9).await.unwrap(), [one]);
}
