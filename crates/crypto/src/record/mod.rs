//! Seals the fields of a row under one key: a header per row, 34 bytes more per field. `docs/adr/0005-record-and-blob-profiles.md`.

mod format;
#[cfg(test)]
mod tests;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use self::format::MEMBER_PREFIX;
pub use self::format::{MEMBER_OVERHEAD, PROFILE_MEMBER, PROFILE_RECORD, RECORD_OVERHEAD, RecordHeader, SealedMember};
use crate::column_key::{OpenError, SealError};
use crate::context::ContextDigest;
use crate::envelope::{self, Flags, MAGIC, PLAINTEXT_MAX, PREFIX, SUITE};
use crate::frame;
use crate::handle::Handle;
use crate::hazmat::{self, BLOCK, Cipher, Prf};
use crate::random::{self, Random};
use crate::secret::{Key256, Secret};

/// The key of one table under one version of the data root. Wiped on drop, never printed, never stored.
pub struct TableKey {
    prf: Prf,
    handle: Handle,
}

impl TableKey {
    /// `HKDF-Expand-SHA-256(root, "chancery/tab/1" ‖ LV(tenant) ‖ LV(table), 32)`; `handle` names the version of `root`.
    pub fn derive(root: &Key256, handle: Handle, tenant: &[u8], table: &[u8]) -> Self {
        let info = frame::labelled(b"chancery/tab/1", &[tenant, table]);
        Self { prf: Prf::new(&*hazmat::expand::<32>(&Prf::new(root.expose()), &info)), handle }
    }

    /// Takes a key that is not derived from a data root, such as a person's own key. It may serve a
    /// [`ColumnKey`](crate::ColumnKey) too: the labels below keep the two apart.
    pub fn from_key(key: &Key256, handle: Handle) -> Self {
        Self { prf: Prf::new(key.expose()), handle }
    }

    /// The version this key belongs to; the headers it makes carry it.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// Makes the key of a new row, with a salt of its own. The column of `context` is empty.
    ///
    /// # Errors
    ///
    /// [`SealError::Random`] or [`SealError::Failed`]; nothing is written then.
    pub fn make_record(&self, context: &ContextDigest, flags: Flags, rng: &dyn Random) -> Result<RecordKey, SealError> {
        let mut prefix = [0; PREFIX];
        let (head, salt) = prefix.split_at_mut(12);
        let (marks, handle) = head.split_at_mut(4);
        marks.copy_from_slice(&[MAGIC, PROFILE_RECORD, SUITE, flags.to_byte()]);
        handle.copy_from_slice(&self.handle.0);
        rng.fill(salt)?;
        let okm = self.okm(&prefix, context);
        let [key, commitment] = &*okm;
        let header = RecordHeader::written(&prefix, commitment, self.handle, flags);
        RecordKey::new(key, header).map_err(|_| SealError::Failed)
    }

    /// Finds the key of a stored row at the place of `context`, to open its members or to seal one of them anew.
    ///
    /// # Errors
    ///
    /// [`OpenError::WrongKeyOrContext`], found by comparing the commitment in constant time.
    pub fn open_record(&self, context: &ContextDigest, header: &RecordHeader) -> Result<RecordKey, OpenError> {
        let okm = self.okm(header.prefix(), context);
        let [key, commitment] = &*okm;
        verify_slices_are_equal(commitment, header.commitment()).map_err(|_| OpenError::WrongKeyOrContext)?;
        RecordKey::new(key, *header).map_err(|_| OpenError::WrongKeyOrContext)
    }

    /// `[key, commitment] = Expand(table key, "chancery/row/1" ‖ bytes[0..36) ‖ SHA-256(ctx), 64)`.
    fn okm(&self, prefix: &[u8], context: &ContextDigest) -> Zeroizing<[[u8; 32]; 2]> {
        let mut scratch = [&[0; BLOCK][..], b"chancery/row/1", prefix, &context.0, &[0]].concat();
        let mut out = Zeroizing::new([[0; 32]; 2]);
        hazmat::expand_in(&self.prf, &mut scratch, out.as_flattened_mut());
        out
    }
}

impl std::fmt::Debug for TableKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TableKey({:?}, ..)", self.handle)
    }
}

/// Which field of a row: with another column or type a member does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberContext<'a> {
    /// The column's id.
    pub column: &'a [u8],
    /// The type of the value, such as `text`.
    pub schema_type: &'a [u8],
}

/// The key of one row. It seals and opens that row's members and nothing else; wiped on drop, never stored.
///
/// Members have random 96-bit nonces, which are stored: a partial update seals one member anew under the same key. Up to 2^32
/// seals in the life of one row keep the chance of a repeated nonce below 2^-32 (SP 800-38D §8.3).
pub struct RecordKey {
    cipher: Cipher,
    header: RecordHeader,
    hint: [u8; 4],
}

impl RecordKey {
    fn new(key: &[u8; 32], header: RecordHeader) -> Result<Self, hazmat::Refused> {
        Ok(Self { cipher: Cipher::new(key)?, hint: header.hint(), header })
    }

    /// What to store once for the row.
    pub const fn header(&self) -> &RecordHeader {
        &self.header
    }

    /// Seals one field, of a new row or of a stored one.
    ///
    /// # Errors
    ///
    /// [`SealError`]; nothing is written then.
    pub fn seal(
        &self,
        member: &MemberContext<'_>,
        plaintext: &[u8],
        rng: &dyn Random,
    ) -> Result<SealedMember, SealError> {
        fits(plaintext)?;
        self.seal_with(random::array(rng)?, member, plaintext)
    }

    /// Seals the fields of a row, in their order. The nonces are drawn at once, which is faster than one by one.
    ///
    /// # Errors
    ///
    /// [`SealError`]; nothing is written then.
    pub fn seal_row(
        &self,
        fields: &[(MemberContext<'_>, &[u8])],
        rng: &dyn Random,
    ) -> Result<Vec<SealedMember>, SealError> {
        fields.iter().try_for_each(|(_, plaintext)| fits(plaintext))?;
        let mut nonces = vec![[0; 12]; fields.len()];
        rng.fill(nonces.as_flattened_mut())?;
        let fields = fields.iter().zip(nonces);
        fields.map(|((member, plaintext), nonce)| self.seal_with(nonce, member, plaintext)).collect()
    }

    /// Opens one field of the row.
    ///
    /// # Errors
    ///
    /// - [`OpenError::WrongKeyOrContext`]: its hint is that of another row, or of an older header of this row. Nothing was decrypted.
    /// - [`OpenError::Tampered`]: the tag does not match: changed bytes, or the member of another column or type.
    pub fn open(&self, member: &MemberContext<'_>, sealed: &SealedMember) -> Result<Secret<Vec<u8>>, OpenError> {
        let (_, nonce, body) = sealed.parts().ok_or(OpenError::Tampered)?;
        if sealed.hint() != self.hint {
            return Err(OpenError::WrongKeyOrContext);
        }
        self.cipher.open(*nonce, &self.aad(member), body).map(Secret::new).map_err(|_| OpenError::Tampered)
    }

    fn seal_with(
        &self,
        nonce: [u8; 12],
        member: &MemberContext<'_>,
        plaintext: &[u8],
    ) -> Result<SealedMember, SealError> {
        let mut bytes = Vec::with_capacity(MEMBER_OVERHEAD + plaintext.len());
        bytes.extend_from_slice(&self.member_prefix());
        bytes.extend_from_slice(&nonce);
        self.cipher.seal(nonce, &self.aad(member), &mut bytes, plaintext).map_err(|_| SealError::Failed)?;
        Ok(SealedMember::written(bytes))
    }

    /// `header ‖ F9 13 hint ‖ LV(column) ‖ LV(type)`. GCM authenticates the nonce by itself.
    fn aad(&self, member: &MemberContext<'_>) -> Vec<u8> {
        let mut aad =
            Vec::with_capacity(RECORD_OVERHEAD + MEMBER_PREFIX + 8 + member.column.len() + member.schema_type.len());
        aad.extend_from_slice(self.header.as_bytes());
        aad.extend_from_slice(&self.member_prefix());
        frame::lv(&mut aad, member.column);
        frame::lv(&mut aad, member.schema_type);
        aad
    }

    const fn member_prefix(&self) -> [u8; MEMBER_PREFIX] {
        let [a, b, c, d] = self.hint;
        [MAGIC, PROFILE_MEMBER, a, b, c, d]
    }
}

impl std::fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecordKey({:?}, ..)", self.header.handle())
    }
}

fn fits(plaintext: &[u8]) -> Result<(), SealError> {
    if plaintext.len() > PLAINTEXT_MAX {
        return Err(SealError::TooLong);
    }
    if envelope::looks_sealed(plaintext) {
        return Err(SealError::AlreadySealed);
    }
    Ok(())
}
