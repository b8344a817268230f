//! What a program states of a column that holds sealed values.

use chancery_domain::fields::{Bind, Field, IndexSpec, Normalizer};

use crate::value::{Searchable, Value};

/// How a sealed value lies in its SQL column. Reading takes either form, so a column can move from one to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// `chy1.` and base64url: `TEXT`, `VARCHAR`.
    Text,
    /// The bytes: `BYTEA`, `BLOB`. A quarter shorter.
    Bytes,
}

/// A column of sealed values. One unit struct per column: the compiler then knows which values belong where, and no
/// call can forget the place that a value is bound to.
///
/// ```
/// use chancery_sealed::{Column, Email, Indexed, Normalizer};
///
/// pub struct PatientEmail;
///
/// impl Column for PatientEmail {
///     type Value = Email;
///     const TABLE: &'static str = "patients";
///     const COLUMN: &'static str = "email";
///     const MAX: usize = 254;
/// }
///
/// // Only where the application looks a value up by equality.
/// impl Indexed for PatientEmail {
///     const NORMALIZER: Normalizer = Normalizer::Email;
/// }
/// ```
pub trait Column: Send + Sync + 'static {
    /// What a sealed value holds.
    type Value: Value;
    /// The table's name. Values are bound to it: after a rename in SQL, the old name stays here.
    const TABLE: &'static str;
    /// The column's name, alike.
    const COLUMN: &'static str;
    /// Whether values are bound to their row as well: moved to another row they do not open.
    const BIND: Bind = Bind::Row;
    /// The longest value: characters of text, bytes of anything else.
    const MAX: usize = chancery_crypto::PLAINTEXT_MAX;
    /// The form in SQL.
    const STORED: Stored = Stored::Text;

    /// The characters (or bytes, by [`Self::STORED`]) that the SQL column must hold: the `n` of `VARCHAR(n)`.
    fn stored_length() -> usize {
        // A character of UTF-8 has at most four bytes.
        let bytes = (Self::MAX.saturating_mul(4)).min(chancery_crypto::PLAINTEXT_MAX) + chancery_crypto::OVERHEAD;
        match Self::STORED {
            Stored::Text => chancery_crypto::TEXT_PREFIX.len() + (bytes * 4).div_ceil(3),
            Stored::Bytes => bytes,
        }
    }
}

/// A column whose values are found by equality, through a blind-index term in a column beside it.
pub trait Indexed: Column<Value: Searchable> {
    /// What counts as equal.
    const NORMALIZER: Normalizer;
    /// Length of a term: a multiple of 8, from 8 to 256. Fewer bits leak less and hit falsely more often.
    const BITS: u16 = 256;

    /// Whether two values count as equal: what a search does after opening, for terms can meet by chance.
    fn same(one: &Self::Value, other: &Self::Value) -> bool {
        let normal = |value: &Self::Value| {
            let text = value.search_text();
            chancery_crypto::Phi::new(Self::NORMALIZER.normalise(text.expose()))
        };
        normal(one).expose() == normal(other).expose()
    }
}

pub(crate) fn sealed_field<C: Column>() -> Field {
    Field::stated(C::TABLE, C::COLUMN, <C::Value as Value>::TYPE, C::BIND, None)
}

pub(crate) fn indexed_field<C: Indexed>() -> Field {
    const { assert!(C::BITS >= 8 && C::BITS <= 256 && C::BITS.is_multiple_of(8), "8 to 256 bits in steps of 8") }
    let index = IndexSpec::exact(C::NORMALIZER, C::BITS);
    Field::stated(C::TABLE, C::COLUMN, <C::Value as Value>::TYPE, C::BIND, Some(index))
}
