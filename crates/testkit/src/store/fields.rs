//! Registered fields.

use chancery_domain::ids::{FieldId, TableId};

use super::{Backend, begin, commit, taken, view};
use crate::samples::{OURS, THEIRS, bytes, field};

/// Nothing of a field is lost; they come by table and column, compared byte by byte.
pub async fn fields_read_back(store: &impl Backend) {
    let mut upper = field(3);
    upper.table = "Visits".to_owned();
    let mut first = field(4);
    first.column = "Birth_date".to_owned();
    commit!(store, OURS, .put_field(&field(2)) .put_field(&field(1)) .put_field(&upper) .put_field(&first));
    assert_eq!(view(store, OURS).await.fields().await.unwrap(), [upper, first, field(1), field(2)]);
}

/// The same id again replaces everything else.
pub async fn a_field_is_replaced(store: &impl Backend) {
    let mut changed = field(2);
    changed.id = field(1).id;
    changed.table_id = TableId::from_bytes(bytes(7));
    changed.table = "renamed".to_owned();
    changed.indexes = field(1).indexes;
    commit!(store, OURS, .put_field(&field(1)) .put_field(&changed));
    assert_eq!(view(store, OURS).await.fields().await.unwrap(), [changed]);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .put_field(&field(1)));
    assert_eq!(view(store, THEIRS).await.fields().await.unwrap(), []);
}

/// And out of reach: the same id in another tenant is another field.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    let mut theirs = field(2);
    theirs.id = field(1).id;
    commit!(store, OURS, .put_field(&field(1)));
    commit!(store, THEIRS, .put_field(&theirs));
    assert_eq!(view(store, OURS).await.fields().await.unwrap(), [field(1)]);
    assert_eq!(view(store, THEIRS).await.fields().await.unwrap(), [theirs]);
}

/// A column is registered once.
pub async fn a_column_is_taken_once(store: &impl Backend) {
    let mut double = field(1);
    double.id = FieldId::from_bytes(bytes(9));
    commit!(store, OURS, .put_field(&field(1)));
    assert!(taken(begin(store, OURS).await.put_field(&double).await, "field"));
}
