//! A sealed value of a column.

use std::{fmt::Display, marker::PhantomData};

use chancery_crypto::{MAGIC, ParseError, Phi, Sealed as Envelope, TEXT_PREFIX, legacy::FERNET_PREFIX};
use chancery_domain::{audit::AuditReceipt, keyring::ring::Place};

use crate::{
    column::Column,
    error::{NotSealed, OpenError, RenewError, SealError},
    opener::Opener,
    sealer::{self, Sealer, row_of},
    value::Value as _,
};

/// A sealed value of column `C`. It is read from SQL or JSON as it lies there; it opens when it is asked for, not before
/// (FE-18), and prints nothing. A `NULL` is `Option<Sealed<C>>::None`: nulls are not sealed.
///
/// What an older application sealed with Fernet is held as well, opens with its legacy key, and is not written again.
pub struct Sealed<C: Column> {
    held: Held,
    column: PhantomData<fn() -> C>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Held {
    Envelope(Envelope),
    Fernet(String),
}

impl Held {
    pub(crate) fn from_text(text: &str) -> Result<Self, NotSealed> {
        if text.starts_with(FERNET_PREFIX) {
            return Ok(Self::Fernet(text.to_owned()));
        }
        Ok(Self::Envelope(Envelope::from_text(text)?))
    }
}

impl<C: Column> Sealed<C> {
    /// Seals a value for a row of its column.
    ///
    /// `row` is the row's id, known before the row is written: a UUID, a patient number. Columns with
    /// [`Bind::Column`](crate::Bind::Column) ignore it.
    ///
    /// # Errors
    ///
    /// [`SealError`]; nothing is written in the clear instead.
    pub fn seal(sealer: &Sealer, row: impl Display, value: &C::Value) -> Result<Self, SealError> {
        sealer::seal::<C>(sealer, row, value).map(Self::from_envelope)
    }

    /// Opens it. The same `row` as when it was sealed.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(&self, opener: &Opener<'_>, row: impl Display) -> Result<Phi<C::Value>, OpenError> {
        let row = row_of(C::BIND, row).ok_or(OpenError::Row)?;
        let bytes = self.open_bytes(opener, &row)?;
        let value = match &self.held {
            Held::Envelope(_) => C::Value::from_bytes(bytes.expose()),
            Held::Fernet(_) => C::Value::from_legacy(bytes.expose()),
        };
        Ok(Phi::new(value?))
    }

    /// Opens several values of a column against one receipt: for applications that embed Chancery's store and append the
    /// event there (`chancery_domain::audit::append`). All or nothing; legacy values are refused.
    ///
    /// # Errors
    ///
    /// The position of the first value that does not open, and why.
    pub fn open_all(
        sealer: &Sealer,
        receipt: AuditReceipt,
        values: &[(&Self, &str)],
    ) -> Result<Vec<Phi<C::Value>>, (usize, OpenError)> {
        let field = sealer.field::<C>();
        let legacy = || OpenError::Legacy(chancery_crypto::legacy::LegacyError::NotThisForm);
        let place = |(at, (sealed, row)): (usize, &(&Self, &'_ str))| match &sealed.held {
            Held::Envelope(envelope) => Ok((row_of(C::BIND, row).ok_or((at, OpenError::Row))?, envelope.clone())),
            Held::Fernet(_) => Err((at, legacy())),
        };
        let items: Vec<(String, Envelope)> = values.iter().enumerate().map(place).collect::<Result<_, _>>()?;
        let places: Vec<_> = items.iter().map(|(row, sealed)| (Place { field: &field, row }, sealed)).collect();
        let opened = sealer.current().keyring.open(receipt, C::TABLE, &places);
        let opened = opened.map_err(|(at, error)| (at, error.into()))?;
        let typed = opened
            .iter()
            .enumerate()
            .map(|(at, bytes)| C::Value::from_bytes(bytes.expose()).map(Phi::new).map_err(|error| (at, error.into())));
        typed.collect()
    }

    /// The value under the newest key, or `None` if it is there already. The value itself is not shown.
    ///
    /// # Errors
    ///
    /// [`RenewError`].
    pub fn renewed(&self, opener: &Opener<'_>, row: impl Display) -> Result<Option<Self>, RenewError> {
        let sealer = opener.sealer();
        if self.is_current(sealer) {
            return Ok(None);
        }
        let row = row_of(C::BIND, row).ok_or(OpenError::Row)?;
        let bytes = self.open_bytes(opener, &row)?;
        if let Held::Fernet(_) = self.held {
            // Other systems wrote what they liked: only a value of this column's type is sealed as one.
            let value = Phi::new(C::Value::from_legacy(bytes.expose()).map_err(OpenError::from)?);
            return Ok(Some(Self::seal(sealer, row, value.expose())?));
        }
        let envelope = sealer.seal_bytes(&sealer.field::<C>(), &row, bytes.expose())?;
        Ok(Some(Self::from_envelope(envelope)))
    }

    /// Whether the active root sealed it.
    pub fn is_current(&self, sealer: &Sealer) -> bool {
        matches!(&self.held, Held::Envelope(envelope) if Some(envelope.handle()) == sealer.active_handle())
    }

    /// Whether another system sealed it.
    pub const fn is_legacy(&self) -> bool {
        matches!(self.held, Held::Fernet(_))
    }

    /// Reads the text form: `chy1.…`, or a Fernet token.
    ///
    /// # Errors
    ///
    /// [`NotSealed`]: a value in the clear is not taken for a sealed one.
    pub fn from_text(text: &str) -> Result<Self, NotSealed> {
        Held::from_text(text).map(|held| Self { held, column: PhantomData })
    }

    /// Reads the bytes of a sealed value, or a text form in bytes.
    ///
    /// # Errors
    ///
    /// [`NotSealed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotSealed> {
        match bytes {
            [MAGIC, ..] => Ok(Self::from_envelope(Envelope::from_bytes(bytes.to_vec())?)),
            other => Self::from_text(std::str::from_utf8(other).map_err(|_| ParseError::NotSealed)?),
        }
    }

    /// The text form, as it is stored in a text column.
    pub fn to_text(&self) -> String {
        match &self.held {
            Held::Envelope(envelope) => envelope.to_text(),
            Held::Fernet(token) => token.clone(),
        }
    }

    #[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
    pub(crate) const fn held(&self) -> &Held {
        &self.held
    }

    const fn from_envelope(envelope: Envelope) -> Self {
        Self { held: Held::Envelope(envelope), column: PhantomData }
    }

    fn open_bytes(&self, opener: &Opener<'_>, row: &str) -> Result<Phi<Vec<u8>>, OpenError> {
        let field = opener.sealer().field::<C>();
        match &self.held {
            Held::Envelope(envelope) => opener.open(&field, row, envelope),
            Held::Fernet(token) => {
                opener.record(&field, row)?;
                opener.sealer().legacy().open(token).map(Phi::from).map_err(OpenError::Legacy)
            }
        }
    }
}

impl<C: Column> Clone for Sealed<C> {
    fn clone(&self) -> Self {
        Self { held: self.held.clone(), column: PhantomData }
    }
}

impl<C: Column> PartialEq for Sealed<C> {
    /// Whether they are the same bytes. Two seals of one value are not.
    fn eq(&self, other: &Self) -> bool {
        self.held == other.held
    }
}

impl<C: Column> Eq for Sealed<C> {}

impl<C: Column> std::fmt::Debug for Sealed<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({}.{}, ..)", C::TABLE, C::COLUMN)
    }
}

/// Whether a text has the shape of something sealed, here or by Fernet.
pub(crate) fn looks_sealed(text: &str) -> bool {
    text.starts_with(TEXT_PREFIX) || text.starts_with(FERNET_PREFIX)
}
