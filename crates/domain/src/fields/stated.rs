//! A field that a program states in its source instead of registering it: its ids follow from its names.

use chancery_crypto::{lv, sha256};

use super::{Bind, Class, Field, FieldType, IndexSpec};
use crate::{
    ids::{FieldId, IndexId, TableId},
    indexes::{Index, IndexKind, IndexState, IndexVersion, Rule},
    time::Timestamp,
};

impl Field {
    /// The field of these names, the same in every process that states it.
    ///
    /// Sealed values are bound to the names given here. Where a table or column is renamed in SQL, keep the old names here.
    pub fn stated(table: &str, column: &str, field_type: FieldType, bind: Bind, index: Option<IndexSpec>) -> Self {
        let (field_id, created_at) = (id("chancery/stated/field/1", &[table, column]), Timestamp::from_micros(0));
        let table_id = TableId::from_bytes(id("chancery/stated/table/1", &[table]));
        let stated = |rule: Rule| {
            let kind = rule.kind();
            let index_id = match kind {
                IndexKind::Exact => field_id,
                _ => id("chancery/stated/index/1", &[table, column, kind.as_str()]),
            };
            let (state, ready_at, retired_at) = (IndexState::Ready, Some(created_at), None);
            Index {
                id: IndexId::from_bytes(index_id),
                table_id,
                name: String::new(),
                kind,
                fields: vec![FieldId::from_bytes(field_id)],
                versions: vec![IndexVersion { version: 1, rule, state, created_at, ready_at, retired_at }],
            }
        };
        Self {
            id: FieldId::from_bytes(field_id),
            table_id,
            table: table.to_owned(),
            column: column.to_owned(),
            class: Class::Restricted,
            field_type,
            bind,
            indexes: index.unwrap_or_default().rules().into_iter().map(stated).collect(),
            encrypt: true,
            created_at,
        }
    }
}

/// The first 16 bytes of a hash of label and names.
fn id(label: &str, names: &[&str]) -> [u8; 16] {
    let mut framed = label.as_bytes().to_vec();
    for name in names {
        lv(&mut framed, name.as_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(sha256(&framed).split_at(16).0);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_names_and_from_nothing_else() {
        let text = |table, column| Field::stated(table, column, FieldType::Text, Bind::Row, None);
        let one = text("patients", "ssn");
        assert_eq!(one, text("patients", "ssn"));
        assert_eq!(one.id, Field::stated("patients", "ssn", FieldType::Date, Bind::Column, None).id);
        assert_eq!(one.table_id, text("patients", "name").table_id);
        assert_ne!(one.id, text("patients", "name").id);
        assert_ne!(one.id, text("patientss", "sn").id);
        assert_ne!(one.table_id, text("visits", "ssn").table_id);
        // Frozen: values that were sealed under it are in somebody's database.
        assert_eq!(one.id.to_string(), "fld_482JQP9BF7V97Z191JHVN3QNAN");
    }
}
