//! Moves values to the newest keys. Plaintext is seen in here and nowhere else.

use chancery_crypto::{Sealed, random::Random};

use super::{Keyring, KeyringError, Place, Subjects};
use crate::{audit::AuditReceipt, indexes::IndexKind, records::filed};

/// A value under the newest keys.
pub(crate) struct Moved {
    /// Sealed anew; none if that was not asked for.
    pub(crate) sealed: Option<Sealed>,
    /// The term under the newest index key, for fields that have one.
    pub(crate) term: Option<String>,
}

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
        self.spend(receipt, table, values)?;
        Ok(values.iter().map(|(place, sealed)| self.move_one(*place, sealed, anew, rng)).collect())
    }

    fn move_one(&self, place: Place<'_>, sealed: &Sealed, anew: bool, rng: &dyn Random) -> Result<Moved, KeyringError> {
        // Values of persons are under keys of their own, which no rotation of the data key concerns.
        let nobody = Subjects::default();
        let value = self.open_one(place, &nobody, sealed, false)?;
        let sealed = if anew {
            let fresh = self.seal(place, value.expose(), rng)?;
            if self.open_one(place, &nobody, &fresh, false)?.expose() != value.expose() {
                return Err(KeyringError::Tampered);
            }
            Some(fresh)
        } else {
            None
        };
        let term = if place.field.index_of(IndexKind::Exact).is_some() {
            // Sealed by this key for this place, and yet not of its type: it was not sealed as this field.
            let text = place.field.field_type.searchable(&value).map_err(|_| KeyringError::WrongContext)?;
            filed(self, place.field, text)?.exact.and_then(|terms| terms.into_iter().next())
        } else {
            None
        };
        Ok(Moved { sealed, term })
    }
}
