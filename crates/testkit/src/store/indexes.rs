//! Indexes and their versions.

use chancery_domain::ids::TableId;
use chancery_domain::indexes::{BucketUnit, BucketWidth, IndexKind, IndexState, Rule};

use super::{Backend, begin, commit, taken, view};
use crate::samples::{NOW, OURS, THEIRS, bytes, compound_index, exact_index, field, index_version};

/// Nothing of an index is lost; they come by id, their versions by number.
pub async fn indexes_read_back(store: &impl Backend) {
    let (compound, other) = (compound_index(5), compound_index(4));
    commit!(store, OURS, .put_index(&compound) .put_index(&other));
    assert_eq!(view(store, OURS).await.indexes().await.unwrap(), [other, compound]);
}

/// A field comes with its own indexes, by kind; compound ones stand beside.
pub async fn a_field_has_its_own_and_no_others(store: &impl Backend) {
    let mut both = field(1);
    let mut bucket = exact_index(7);
    bucket.kind = IndexKind::Bucket;
    bucket.fields = vec![both.id];
    let rule = Rule::Bucket { width: BucketWidth { width: 3, unit: BucketUnit::Month }, bits: 16 };
    bucket.versions = vec![index_version(1, rule)];
    both.indexes.push(bucket);
    commit!(store, OURS, .put_field(&both) .put_field(&field(2)) .put_index(&compound_index(8)));
    assert_eq!(view(store, OURS).await.fields().await.unwrap(), [both, field(2)]);
    assert_eq!(view(store, OURS).await.indexes().await.unwrap().len(), 3);
}

/// Putting it again moves its versions' states and adds new ones.
pub async fn a_version_moves_and_another_is_added(store: &impl Backend) {
    let mut index = exact_index(1);
    commit!(store, OURS, .put_index(&index));
    index.versions[0].state = IndexState::Retired;
    index.versions[0].retired_at = Some(NOW.plus_seconds(9));
    index.versions.push(index_version(2, index.versions[0].rule.clone()));
    commit!(store, OURS, .put_index(&index));
    assert_eq!(view(store, OURS).await.indexes().await.unwrap(), [index]);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .put_index(&compound_index(1)));
    assert_eq!(view(store, THEIRS).await.indexes().await.unwrap(), []);
}

/// And out of reach: the same id in another tenant is another index.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    let mut theirs = compound_index(1);
    theirs.versions[0].state = IndexState::Retired;
    commit!(store, OURS, .put_index(&compound_index(1)));
    commit!(store, THEIRS, .put_index(&theirs));
    assert_eq!(view(store, OURS).await.indexes().await.unwrap(), [compound_index(1)]);
    assert_eq!(view(store, THEIRS).await.indexes().await.unwrap(), [theirs]);
}

/// Compound indexes of a table differ by name; those of single fields have none.
pub async fn a_name_is_taken_once_in_a_table(store: &impl Backend) {
    let mut double = compound_index(2);
    double.name = compound_index(1).name;
    commit!(store, OURS, .put_index(&compound_index(1)) .put_index(&exact_index(3)) .put_index(&exact_index(4)));
    assert!(taken(begin(store, OURS).await.put_index(&double).await, "index"));
    double.table_id = TableId::from_bytes(bytes(2));
    commit!(store, OURS, .put_index(&double));
}
