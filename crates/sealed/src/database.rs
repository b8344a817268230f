//! sqlx: sealed values, terms and documents as columns of PostgreSQL and SQLite.
//!
//! Decoding checks the shape and opens nothing. Encoding takes what is sealed by now: a legacy token is refused, so the
//! next save of its row is what renews it (FE-02).

use sqlx::{Database, Decode, Encode, Type, encode::IsNull, error::BoxDynError, types::Json as SqlJson};

use crate::{
    column::{Column, Indexed, Stored},
    json::{Document, SealedJson, has_legacy},
    sealed::{Held, Sealed},
    term::{Term, Terms},
};

/// A legacy value is about to be stored again.
#[derive(Debug, thiserror::Error)]
#[error("a legacy value is not written again: save what `renewed` gives")]
struct LegacyNotWritten;

impl<C: Column> Sealed<C> {
    fn write<'q, DB: Database>(&self, buffer: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError>
    where
        String: Encode<'q, DB>,
        Vec<u8>: Encode<'q, DB>,
    {
        match (self.held(), C::STORED) {
            (Held::Fernet(_), _) => Err(LegacyNotWritten.into()),
            (Held::Envelope(sealed), Stored::Text) => <String as Encode<'q, DB>>::encode(sealed.to_text(), buffer),
            (Held::Envelope(sealed), Stored::Bytes) => {
                <Vec<u8> as Encode<'q, DB>>::encode(sealed.as_bytes().to_vec(), buffer)
            }
        }
    }
}

impl<D: Document> SealedJson<D> {
    fn checked(&self) -> Result<SqlJson<&serde_json::Value>, BoxDynError> {
        if has_legacy(self) { Err(LegacyNotWritten.into()) } else { Ok(SqlJson(self.as_stored())) }
    }
}

macro_rules! columns_of {
    ($database:ty, $terms:ty, $to_terms:expr) => {
        impl<C: Column> Type<$database> for Sealed<C> {
            fn type_info() -> <$database as Database>::TypeInfo {
                match C::STORED {
                    Stored::Text => <String as Type<$database>>::type_info(),
                    Stored::Bytes => <Vec<u8> as Type<$database>>::type_info(),
                }
            }

            fn compatible(found: &<$database as Database>::TypeInfo) -> bool {
                <String as Type<$database>>::compatible(found) || <Vec<u8> as Type<$database>>::compatible(found)
            }
        }

        impl<'q, C: Column> Encode<'q, $database> for Sealed<C> {
            fn encode_by_ref(
                &self,
                buffer: &mut <$database as Database>::ArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                self.write::<$database>(buffer)
            }
        }

        impl<C: Indexed> Type<$database> for Term<C> {
            fn type_info() -> <$database as Database>::TypeInfo {
                <String as Type<$database>>::type_info()
            }

            fn compatible(found: &<$database as Database>::TypeInfo) -> bool {
                <String as Type<$database>>::compatible(found)
            }
        }

        impl<'q, C: Indexed> Encode<'q, $database> for Term<C> {
            fn encode_by_ref(
                &self,
                buffer: &mut <$database as Database>::ArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                <String as Encode<'q, $database>>::encode(self.as_str().to_owned(), buffer)
            }
        }

        impl<C: Indexed> Type<$database> for Terms<C> {
            fn type_info() -> <$database as Database>::TypeInfo {
                <$terms as Type<$database>>::type_info()
            }
        }

        impl<'q, C: Indexed> Encode<'q, $database> for Terms<C> {
            fn encode_by_ref(
                &self,
                buffer: &mut <$database as Database>::ArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                let to_terms: fn(Vec<String>) -> $terms = $to_terms;
                <$terms as Encode<'q, $database>>::encode(to_terms(self.to_texts()), buffer)
            }
        }

        impl<D: Document> Type<$database> for SealedJson<D> {
            fn type_info() -> <$database as Database>::TypeInfo {
                <SqlJson<serde_json::Value> as Type<$database>>::type_info()
            }

            fn compatible(found: &<$database as Database>::TypeInfo) -> bool {
                <SqlJson<serde_json::Value> as Type<$database>>::compatible(found)
            }
        }

        impl<'q, D: Document> Encode<'q, $database> for SealedJson<D> {
            fn encode_by_ref(
                &self,
                buffer: &mut <$database as Database>::ArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                <SqlJson<&serde_json::Value> as Encode<'q, $database>>::encode(self.checked()?, buffer)
            }
        }

        impl<'r, D: Document> Decode<'r, $database> for SealedJson<D> {
            fn decode(value: <$database as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
                let SqlJson(document) = <SqlJson<serde_json::Value> as Decode<'r, $database>>::decode(value)?;
                Ok(Self::from_stored(document)?)
            }
        }
    };
}

#[cfg(feature = "sqlx-sqlite")]
mod sqlite {
    use super::*;

    columns_of!(sqlx::Sqlite, String, |terms| serde_json::Value::from(terms).to_string());

    impl<'r, C: Column> Decode<'r, sqlx::Sqlite> for Sealed<C> {
        fn decode(value: sqlx::sqlite::SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
            // SQLite gives the bytes of a text as well.
            Ok(Self::from_bytes(<&[u8] as Decode<'r, sqlx::Sqlite>>::decode(value)?)?)
        }
    }
}

#[cfg(feature = "sqlx-postgres")]
mod postgres {
    use sqlx::{
        TypeInfo as _, ValueRef as _,
        postgres::{PgHasArrayType, PgTypeInfo, PgValueRef},
    };

    use super::*;

    columns_of!(sqlx::Postgres, Vec<String>, |terms| terms);

    impl<'r, C: Column> Decode<'r, sqlx::Postgres> for Sealed<C> {
        fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
            if value.type_info().name() == "BYTEA" {
                return Ok(Self::from_bytes(&<Vec<u8> as Decode<'r, sqlx::Postgres>>::decode(value)?)?);
            }
            Ok(Self::from_text(<&str as Decode<'r, sqlx::Postgres>>::decode(value)?)?)
        }
    }

    impl<C: Column> PgHasArrayType for Sealed<C> {
        fn array_type_info() -> PgTypeInfo {
            match C::STORED {
                Stored::Text => <String as PgHasArrayType>::array_type_info(),
                Stored::Bytes => <Vec<u8> as PgHasArrayType>::array_type_info(),
            }
        }
    }

    impl<C: Indexed> PgHasArrayType for Term<C> {
        fn array_type_info() -> PgTypeInfo {
            <String as PgHasArrayType>::array_type_info()
        }
    }
}
