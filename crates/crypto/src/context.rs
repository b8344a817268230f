//! Where a sealed value may live. Moved elsewhere, it does not open.

use crate::digest::sha256;
use crate::frame;

/// The place of one value. Ids are logical ones from the schema registry, never names that somebody may change.
///
/// An absent `row` or `generation` is the empty slice.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The tenant's id.
    pub tenant: &'a [u8],
    /// The domain the key serves.
    pub domain: &'a [u8],
    /// The table's id.
    pub table: &'a [u8],
    /// The column's id. Empty in the header of a record.
    pub column: &'a [u8],
    /// The row's id, or empty for a value that is bound to its column only.
    pub row: &'a [u8],
    /// The generation that a stale copy lacks, or empty.
    pub generation: &'a [u8],
    /// The type of the value, such as `text`: a value does not come back as another type.
    pub schema_type: &'a [u8],
}

impl Context<'_> {
    /// `SHA-256("chancery/ctx/1" ‖ LV(tenant) ‖ LV(domain) ‖ LV(table) ‖ LV(column) ‖ LV(row) ‖ LV(generation) ‖ LV(type))`.
    pub fn digest(&self) -> ContextDigest {
        ContextPrefix::new(self.tenant, self.domain, self.table, self.column).digest(
            self.row,
            self.generation,
            self.schema_type,
        )
    }
}

/// The hash of a [`Context`]; 32 bytes, not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextDigest(pub(crate) [u8; 32]);

impl ContextDigest {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The part of a [`Context`] that repeats for every row of a column, framed once.
#[derive(Debug, Clone)]
pub struct ContextPrefix(Vec<u8>);

impl ContextPrefix {
    /// Frames tenant, domain, table and column.
    pub fn new(tenant: &[u8], domain: &[u8], table: &[u8], column: &[u8]) -> Self {
        Self(frame::labelled(b"chancery/ctx/1", &[tenant, domain, table, column]))
    }

    /// The digest of the whole context, equal to [`Context::digest`].
    pub fn digest(&self, row: &[u8], generation: &[u8], schema_type: &[u8]) -> ContextDigest {
        let mut bytes = Vec::with_capacity(self.0.len() + row.len() + generation.len() + schema_type.len() + 12);
        bytes.extend_from_slice(&self.0);
        for part in [row, generation, schema_type] {
            frame::lv(&mut bytes, part);
        }
        ContextDigest(sha256(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Context<'static> = Context {
        tenant: b"ten_1",
        domain: b"data",
        table: b"patients",
        column: b"name",
        row: b"42",
        generation: b"",
        schema_type: b"text",
    };

    #[test]
    fn every_member_counts() {
        let digest = PLACE.digest();
        for other in [
            Context { tenant: b"ten_2", ..PLACE },
            Context { domain: b"index", ..PLACE },
            Context { table: b"visits", ..PLACE },
            Context { column: b"nam", ..PLACE },
            Context { row: b"43", ..PLACE },
            Context { generation: b"1", ..PLACE },
            Context { schema_type: b"bytes", ..PLACE },
            Context { column: b"name4", row: b"2", ..PLACE },
        ] {
            assert_ne!(digest, other.digest());
        }
    }

    #[test]
    fn the_prefix_gives_the_same_digest() {
        let prefix = ContextPrefix::new(PLACE.tenant, PLACE.domain, PLACE.table, PLACE.column);
        assert_eq!(prefix.digest(b"42", b"", b"text"), PLACE.digest());
    }
}
