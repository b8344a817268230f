//! Moves values to the newest keys. Plaintext is seen in here and nowhere else.

use chancery_crypto::{Phi, Sealed, random::Random};

use super::{Keyring, KeyringError, Place};
use crate::{
    audit::AuditReceipt,
    datasets::tables::Terms,
    fields::Field,
    indexes::Index,
    keyring::Subjects,
    records::{filed, filed_together},
};

/// A value under the newest keys.
pub(crate) struct Moved {
    /// Sealed anew; none if that was not asked for.
    pub(crate) sealed: Option<Sealed>,
    /// The terms under the newest index key, for fields that have indexes.
    pub(crate) terms: Terms,
}

/// The values of a row that are filed together; none where there is none.
pub(crate) type Parts<'a> = Vec<Option<(Place<'a>, &'a Sealed)>>;

impl Keyring {
    /// Opens each value of one table, seals it anew if `anew`, proves that what was sealed opens to the same bytes, and derives its
    /// term. Consumes the receipt that tells of it.
    ///
    /// # Errors
    ///
    /// [`KeyringError::ReceiptTooSmall`]; inside, why a value stays as it is.
    pub(crate) fn move_each(
        &self,
        receipt: AuditReceipt,
        table: &str,
        values: &[(Place<'_>, &Sealed)],
        anew: bool,
        rng: &dyn Random,
    ) -> Result<Vec<Result<Moved, KeyringError>>, KeyringError> {
        let spent = self.spend(receipt, table, values)?;
        // Values of persons are under keys of their own, which no rotation of the data key concerns.
        let nobody = Subjects::default();
        let one = |(place, sealed): &(Place<'_>, &Sealed)| {
            let value = spent.counted(self.open_one(*place, &nobody, sealed, false))?;
            let sealed = if anew {
                let fresh = self.seal(*place, value.expose(), rng)?;
                if self.open_one(*place, &nobody, &fresh, false)?.expose() != value.expose() {
                    return Err(KeyringError::Tampered);
                }
                Some(fresh)
            } else {
                None
            };
            Ok(Moved { sealed, terms: self.terms_of(place.field, &value)? })
        };
        Ok(values.iter().map(one).collect())
    }

    /// Opens each value of one table, a person's with the person's key, and derives its terms. Consumes the receipt that
    /// tells of it.
    ///
    /// # Errors
    ///
    /// As [`Self::move_each`].
    pub(crate) fn file_each(
        &self,
        receipt: AuditReceipt,
        table: &str,
        subjects: &Subjects,
        values: &[(Place<'_>, &Sealed)],
    ) -> Result<Vec<Result<Moved, KeyringError>>, KeyringError> {
        let spent = self.spend(receipt, table, values)?;
        let one = |(place, sealed): &(Place<'_>, &Sealed)| -> Result<Moved, KeyringError> {
            let value = spent.counted(self.open_one(*place, subjects, sealed, false))?;
            Ok(Moved { sealed: None, terms: self.terms_of(place.field, &value)? })
        };
        Ok(values.iter().map(one).collect())
    }

    /// Opens the values of rows of one table that are filed together, and gives each row's term; none for a row that lacks
    /// a value. Consumes the receipt that tells of it.
    ///
    /// # Errors
    ///
    /// As [`Self::move_each`].
    pub(crate) fn file_together(
        &self,
        receipt: AuditReceipt,
        table: &str,
        subjects: &Subjects,
        index: &Index,
        rows: &[Parts<'_>],
    ) -> Result<Vec<Result<Option<String>, KeyringError>>, KeyringError> {
        let values: Vec<(Place<'_>, &Sealed)> = rows.iter().flatten().filter_map(|part| *part).collect();
        let spent = self.spend(receipt, table, &values)?;
        let row = |parts: &Parts<'_>| -> Result<Option<String>, KeyringError> {
            let Some(parts) = parts.iter().copied().collect::<Option<Vec<_>>>() else { return Ok(None) };
            let open = |(place, sealed)| spent.counted(self.open_one(place, subjects, sealed, false));
            let opened = parts.iter().copied().map(open).collect::<Result<Vec<_>, _>>()?;
            let text = |((place, _), value): (&(Place<'_>, &Sealed), _)| {
                place.field.field_type.searchable(value).map_err(|_| KeyringError::WrongContext)
            };
            let texts = parts.iter().zip(&opened).map(text).collect::<Result<Vec<&str>, _>>()?;
            filed_together(self, index, &texts)
        };
        Ok(rows.iter().map(row).collect())
    }

    /// What stands in the columns of terms beside a value.
    fn terms_of(&self, field: &Field, value: &Phi<Vec<u8>>) -> Result<Terms, KeyringError> {
        if field.indexes.iter().all(|index| index.newest().is_none()) {
            return Ok(Terms::default());
        }
        // Sealed by this key for this place, and yet not of its type: it was not sealed as this field.
        let text = field.field_type.searchable(value).map_err(|_| KeyringError::WrongContext)?;
        let filed = filed(self, field, text)?;
        Ok(Terms {
            exact: filed.exact.and_then(|terms| terms.into_iter().next()),
            prefix: filed.prefix.map(|terms| Terms::list(&terms)),
            bucket: filed.bucket.map(|terms| terms.into_iter().next().unwrap_or_default()),
        })
    }
}
