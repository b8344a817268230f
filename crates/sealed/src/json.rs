//! Documents with some members sealed and the others as they are (FE-04).

use std::{fmt::Display, marker::PhantomData};

use chancery_crypto::ParseError;
use chancery_domain::{
    fields::{Bind, Field, FieldType},
    records::WipedJson,
};
use serde_json::Value as Tree;

use crate::{
    error::{NotSealed, OpenError, RenewError, SealError},
    opener::Opener,
    sealed::{Held, looks_sealed},
    sealer::{Sealer, row_of},
    value::{Json, Value as _},
};

/// What an application's records usually keep sealed within their `metadata`: payment tokens, card numbers, tax ids,
/// phone numbers, addresses (FE-06).
pub const METADATA: &[&str] = &["/payment_token", "/card_number", "/tax_id", "/phone", "/address"];

/// Why a list of JSON pointers was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pointer}` {fault}")]
pub struct PointerError {
    pointer: String,
    fault: &'static str,
}

/// Chosen members of the documents in one column: sealed each on its own, with its JSON type.
///
/// The members are named by JSON pointers (RFC 6901). What a pointer names is sealed whole, an object or a list too;
/// where a document lacks it, or has null there, nothing happens.
pub struct Fields(Vec<(String, Field)>);

impl Fields {
    /// The members at these pointers.
    ///
    /// # Errors
    ///
    /// [`PointerError`] if one is no pointer, names the whole document, is given twice or lies within another.
    pub fn new<'a>(
        table: &str,
        column: &str,
        pointers: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PointerError> {
        let mut fields: Vec<(String, Field)> = Vec::new();
        for pointer in pointers {
            let fault = |fault| PointerError { pointer: pointer.to_owned(), fault };
            let escapes = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
            if !pointer.starts_with('/') || !escapes {
                return Err(fault("is not a JSON pointer to a member"));
            }
            let within = |one: &str, other: &str| {
                one.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            if fields.iter().any(|(other, _)| within(pointer, other) || within(other, pointer)) {
                return Err(fault("lies within another one"));
            }
            let name = format!("{column}{pointer}");
            fields.push((pointer.to_owned(), Field::stated(table, &name, FieldType::Json, Bind::Row, None)));
        }
        Ok(Self(fields))
    }

    /// The members with these keys, at the top of the document.
    ///
    /// # Errors
    ///
    /// [`PointerError`] if a key is given twice.
    pub fn keys<'a>(table: &str, column: &str, keys: impl IntoIterator<Item = &'a str>) -> Result<Self, PointerError> {
        let pointers: Vec<_> =
            keys.into_iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect();
        Self::new(table, column, pointers.iter().map(String::as_str))
    }

    /// Seals the chosen members in place, all or none.
    ///
    /// # Errors
    ///
    /// [`SealError`]; the document is as it was.
    pub fn seal(&self, sealer: &Sealer, row: impl Display, document: &mut Tree) -> Result<(), SealError> {
        let row = row_of(Bind::Row, row).ok_or(SealError::Row)?;
        let mut sealed = Vec::with_capacity(self.0.len());
        for (pointer, field) in &self.0 {
            match document.pointer(pointer) {
                None | Some(Tree::Null) => {}
                Some(Tree::String(text)) if looks_sealed(text) => return Err(SealError::AlreadySealed),
                Some(value) => {
                    let bytes = chancery_crypto::Phi::new(value.to_string().into_bytes());
                    sealed.push((pointer, sealer.seal_bytes(field, &row, bytes.expose())?.to_text()));
                }
            }
        }
        for (pointer, text) in sealed {
            if let Some(place) = document.pointer_mut(pointer) {
                drop(WipedJson::new(std::mem::replace(place, Tree::String(text))));
            }
        }
        Ok(())
    }

    /// Opens the chosen members in place, all or none.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the document is as it was.
    pub fn open(&self, opener: &Opener<'_>, row: impl Display, document: &mut Tree) -> Result<(), OpenError> {
        let row = row_of(Bind::Row, row).ok_or(OpenError::Row)?;
        let mut opened = Vec::with_capacity(self.0.len());
        for (pointer, field) in &self.0 {
            if let Some(value) = open_member(opener, &row, pointer, field, document)? {
                opened.push((pointer, value));
            }
        }
        for (pointer, value) in opened {
            if let Some(place) = document.pointer_mut(pointer) {
                *place = value.as_value().clone();
            }
        }
        Ok(())
    }

    /// Opens one member, or gives `None` where the document has none or null.
    ///
    /// # Errors
    ///
    /// [`OpenError::Pointers`] if the pointer is not among the chosen; otherwise as [`Self::open`].
    pub fn open_one(
        &self,
        opener: &Opener<'_>,
        row: impl Display,
        pointer: &str,
        document: &Tree,
    ) -> Result<Option<Json>, OpenError> {
        let row = row_of(Bind::Row, row).ok_or(OpenError::Row)?;
        let unknown = || PointerError { pointer: pointer.to_owned(), fault: "is not a sealed member of this document" };
        let (pointer, field) = self.0.iter().find(|(known, _)| known == pointer).ok_or_else(unknown)?;
        open_member(opener, &row, pointer, field, document)
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(pointer, _)| pointer)).finish()
    }
}

fn open_member(
    opener: &Opener<'_>,
    row: &str,
    pointer: &str,
    field: &Field,
    document: &Tree,
) -> Result<Option<Json>, OpenError> {
    let Some(held) = held_at(pointer, document)? else { return Ok(None) };
    let value = match held {
        Held::Envelope(sealed) => Json::from_bytes(opener.open(field, row, &sealed)?.expose())?,
        Held::Fernet(token) => {
            opener.record(field, row)?;
            let bytes = opener.sealer().legacy().open(&token).map_err(OpenError::Legacy)?;
            // Text, whatever it looks like: a card number is no number.
            let text = String::from_utf8(bytes.expose().clone());
            Json::new(Tree::String(text.map_err(|_| chancery_domain::fields::value::WrongType(FieldType::Text))?))
        }
    };
    Ok(Some(value))
}

/// The sealed value at a pointer; `None` where there is nothing or null; an error for anything in the clear.
fn held_at(pointer: &str, document: &Tree) -> Result<Option<Held>, NotSealed> {
    let clear = |source| NotSealed { at: Some(pointer.to_owned()), source };
    match document.pointer(pointer) {
        None | Some(Tree::Null) => Ok(None),
        Some(Tree::String(text)) => Held::from_text(text).map(Some).map_err(|error| clear(error.source)),
        Some(_) => Err(clear(ParseError::NotSealed)),
    }
}

/// A column of documents with the same members sealed. The type is built from the list:
///
/// ```
/// use chancery_sealed::{Document, METADATA};
///
/// pub struct TenantMetadata;
///
/// impl Document for TenantMetadata {
///     const TABLE: &'static str = "tenants";
///     const COLUMN: &'static str = "metadata";
///     const FIELDS: &'static [&'static str] = METADATA;
/// }
/// ```
pub trait Document: Send + Sync + 'static {
    /// The table's name. Values are bound to it.
    const TABLE: &'static str;
    /// The column's name, alike.
    const COLUMN: &'static str;
    /// JSON pointers to the sealed members.
    const FIELDS: &'static [&'static str];
}

/// A document of column `D`: its chosen members are sealed, and no other state of it can be stored.
pub struct SealedJson<D: Document> {
    tree: Tree,
    column: PhantomData<fn() -> D>,
}

impl<D: Document> SealedJson<D> {
    /// Seals the chosen members of a document.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn seal(sealer: &Sealer, row: impl Display, mut document: Tree) -> Result<Self, SealError> {
        fields::<D>()?.seal(sealer, row, &mut document)?;
        Ok(Self { tree: document, column: PhantomData })
    }

    /// Opens all of it.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(&self, opener: &Opener<'_>, row: impl Display) -> Result<Json, OpenError> {
        let mut tree = self.tree.clone();
        fields::<D>()?.open(opener, row, &mut tree)?;
        Ok(Json::new(tree))
    }

    /// Opens one sealed member and leaves the others closed; `None` where the document has none or null.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open_one(&self, opener: &Opener<'_>, row: impl Display, pointer: &str) -> Result<Option<Json>, OpenError> {
        fields::<D>()?.open_one(opener, row, pointer, &self.tree)
    }

    /// The document under the newest key, or `None` if all of it is there already.
    ///
    /// # Errors
    ///
    /// [`RenewError`].
    pub fn renewed(&self, opener: &Opener<'_>, row: impl Display) -> Result<Option<Self>, RenewError> {
        let active = opener.sealer().active_handle();
        let mut current = true;
        for pointer in D::FIELDS {
            current &= match held_at(pointer, &self.tree).map_err(OpenError::from)? {
                None => true,
                Some(Held::Envelope(sealed)) => Some(sealed.handle()) == active,
                Some(Held::Fernet(_)) => false,
            };
        }
        if current {
            return Ok(None);
        }
        let row = row.to_string();
        let opened = self.open(opener, &row)?;
        Ok(Some(Self::seal(opener.sealer(), &row, opened.as_value().clone())?))
    }

    /// Takes a document as it was stored.
    ///
    /// # Errors
    ///
    /// [`NotSealed`] if a member that should be sealed is in the clear.
    pub fn from_stored(document: Tree) -> Result<Self, NotSealed> {
        for pointer in D::FIELDS {
            held_at(pointer, &document)?;
        }
        Ok(Self { tree: document, column: PhantomData })
    }

    /// The document as it is stored: chosen members sealed, the others as they are.
    pub const fn as_stored(&self) -> &Tree {
        &self.tree
    }
}

fn fields<D: Document>() -> Result<Fields, PointerError> {
    Fields::new(D::TABLE, D::COLUMN, D::FIELDS.iter().copied())
}

/// Whether a Fernet token is among the chosen members: such a document is not written again.
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
pub(crate) fn has_legacy<D: Document>(document: &SealedJson<D>) -> bool {
    D::FIELDS.iter().any(|pointer| matches!(held_at(pointer, &document.tree), Ok(Some(Held::Fernet(_)))))
}

impl<D: Document> Clone for SealedJson<D> {
    fn clone(&self) -> Self {
        Self { tree: self.tree.clone(), column: PhantomData }
    }
}

impl<D: Document> std::fmt::Debug for SealedJson<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedJson({}.{}, ..)", D::TABLE, D::COLUMN)
    }
}
