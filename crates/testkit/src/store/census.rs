//! How many values key versions hold.

use chancery_crypto::Handle;
use chancery_domain::approvals::Approval;
use chancery_domain::census::{Counted, OwnColumn, OwnValue, Source};
use chancery_domain::ids::{DatasetId, KeyId};

use super::{Backend, begin, commit, view};
use crate::samples::{NOW, OURS, THEIRS, approval, bytes, user};

fn count(version: u32, source: Source, count: u64) -> Counted {
    Counted { key: KeyId::from_bytes(bytes(1)), version, source, count, counted_at: NOW }
}

fn column(field: &str) -> Source {
    Source::Dataset(DatasetId::from_bytes(bytes(4)), field.to_owned())
}

/// They come by version and source.
pub async fn counts_read_back(store: &impl Backend) {
    let counts = [
        count(1, Source::Reported("usr_a".to_owned()), 0),
        count(1, Source::Reported("usr_b".to_owned()), 2),
        count(1, column("a"), 7),
        count(1, column("b"), 1 << 40),
        count(2, column("a"), 3),
    ];
    commit!(store, OURS, .put_count(&counts[4]) .put_count(&counts[3]) .put_count(&counts[2]) .put_count(&counts[0])
        .put_count(&counts[1]));
    assert_eq!(view(store, OURS).await.counts(counts[0].key).await.unwrap(), counts);
    assert_eq!(view(store, OURS).await.counts(KeyId::from_bytes(bytes(2))).await.unwrap(), []);
}

/// The newest count of a source is the one that counts.
pub async fn a_count_is_replaced(store: &impl Backend) {
    let (first, mut second) = (count(1, column("a"), 7), count(1, column("a"), 0));
    second.counted_at = NOW.plus_seconds(60);
    commit!(store, OURS, .put_count(&first) .put_count(&second));
    assert_eq!(view(store, OURS).await.counts(first.key).await.unwrap(), [second]);
}

/// What Chancery itself keeps sealed is counted by the handle inside.
pub async fn own_values_are_counted(store: &impl Backend) {
    let sealed = |handle: u8| [&[0xF9, 0x11, 1, 1][..], &[handle; 8], &[0; 72]].concat();
    let (mut first, mut second) = (user(1), user(2));
    (first.email, first.first_name, first.last_name, first.metadata) =
        (sealed(9), Some(sealed(8)), Some(sealed(9)), None);
    (second.email, second.metadata) = (sealed(9), Some(sealed(8)));
    commit!(store, OURS, .insert_user(&first) .insert_user(&second));
    let own = view(store, OURS).await.own_sealed().await.unwrap();
    assert_eq!(own, [(Handle([8; 8]), 2), (Handle([9; 8]), 3)]);
    // Why consent was asked for is kept for years: no key goes from under it.
    let asked = Approval { reason: Some(sealed(7)), ..approval(1) };
    commit!(store, OURS, .insert_approval(&asked));
    assert_eq!(view(store, OURS).await.own_sealed().await.unwrap()[0], (Handle([7; 8]), 1));
    let reason = view(store, OURS).await.own_under(Handle([7; 8]), None, 9).await.unwrap();
    let wanted = OwnValue { column: OwnColumn::ApprovalReason, row: asked.id.to_string(), sealed: sealed(7) };
    assert_eq!(reason, [wanted]);
    let mut tx = begin(store, OURS).await;
    assert!(tx.swap_own(&reason[0], &sealed(6)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(view(store, OURS).await.approval(asked.id).await.unwrap().unwrap().reason, Some(sealed(6)));
    let terms = first.email_terms.len() + second.email_terms.len();
    assert_eq!(view(store, OURS).await.own_terms().await.unwrap(), u64::try_from(terms).unwrap());
    assert_eq!(view(store, THEIRS).await.own_sealed().await.unwrap(), []);
    assert_eq!(view(store, THEIRS).await.own_terms().await.unwrap(), 0);
}

/// A value is replaced only while it is the one that was read.
pub async fn own_values_are_swapped(store: &impl Backend) {
    let sealed = |handle: u8| [&[0xF9, 0x11, 1, 1][..], &[handle; 8], &[0; 72]].concat();
    let (mut first, mut second) = (user(1), user(2));
    (first.email, first.first_name, first.metadata) = (sealed(9), Some(sealed(9)), Some(sealed(8)));
    second.email = sealed(8);
    commit!(store, OURS, .insert_user(&first) .insert_user(&second));
    let found = view(store, OURS).await.own_under(Handle([9; 8]), None, 10).await.unwrap();
    let own = |column| OwnValue { column, row: first.id.to_string(), sealed: sealed(9) };
    assert_eq!(found, [own(OwnColumn::UserEmail), own(OwnColumn::UserFirstName)]);
    assert_eq!(view(store, OURS).await.own_under(Handle([9; 8]), None, 1).await.unwrap(), found[..1]);
    assert_eq!(view(store, OURS).await.own_under(Handle([9; 8]), Some(&found[0]), 10).await.unwrap(), found[1..]);
    assert_eq!(view(store, OURS).await.own_under(Handle([9; 8]), Some(&found[1]), 10).await.unwrap(), []);
    assert_eq!(view(store, THEIRS).await.own_under(Handle([9; 8]), None, 10).await.unwrap(), []);
    assert!(!begin(store, THEIRS).await.swap_own(&found[0], &sealed(7)).await.unwrap());
    let mut tx = begin(store, OURS).await;
    assert!(tx.swap_own(&found[0], &sealed(7)).await.unwrap());
    assert!(!tx.swap_own(&found[0], &sealed(6)).await.unwrap());
    tx.commit().await.unwrap();
    let now = view(store, OURS).await.user(first.id).await.unwrap().unwrap();
    assert_eq!((now.email, now.first_name), (sealed(7), Some(sealed(9))));
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    let counted = count(1, Source::Reported(String::new()), 5);
    commit!(store, OURS, .put_count(&counted));
    assert_eq!(view(store, THEIRS).await.counts(counted.key).await.unwrap(), []);
}
