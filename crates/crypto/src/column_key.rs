//! Seals and opens lone fields.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::context::ContextDigest;
use crate::envelope::{
    Flags, HEADER, MAGIC, OVERHEAD, PLAINTEXT_MAX, PREFIX, PROFILE_FIELD, SUITE, Sealed,
    TEXT_PREFIX,
};
use crate::frame;
use crate::handle::Handle;
use crate::hazmat::{self, BLOCK, Prf};
use crate::random::{Random, RandomError};
use crate::secret::{Key256, Secret};

const LABEL: &[u8; 14] = b"chancery/env/1";
/// `LABEL ‖ bytes[0..36) ‖ SHA-256(ctx)`.
const INFO: usize = LABEL.len() + PREFIX + 32;

/// Why a value was not sealed. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Above [`PLAINTEXT_MAX`].
    #[error("value too long to seal")]
    TooLong,
    /// The plaintext is itself a sealed value, in bytes or text: most likely a caller's mistake, and it would hide a key version from the census.
    #[error("value is sealed already")]
    AlreadySealed,
    /// The source of randomness gave nothing.
    #[error("could not draw a salt")]
    Random(#[from] RandomError),
    /// The cipher refused; memory ran out.
    #[error("could not seal")]
    Failed,
}

/// Why a value did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The commitment differs: another key, another place, or a changed header. Nothing was decrypted.
    #[error("wrong key or context")]
    WrongKeyOrContext,
    /// The commitment agrees and the tag does not: the ciphertext was changed.
    #[error("tampered")]
    Tampered,
}

/// The key of one column under one version of the data root. Wiped on drop, never printed, never stored.
pub struct ColumnKey {
    prf: Prf,
    handle: Handle,
}

impl ColumnKey {
    /// `HKDF-Expand-SHA-256(root, "chancery/col/1" ‖ LV(tenant) ‖ LV(table) ‖ LV(column), 32)`; `handle` names the version of `root`.
    pub fn derive(
        root: &Key256,
        handle: Handle,
        tenant: &[u8],
        table: &[u8],
        column: &[u8],
    ) -> Self {
        let info = frame::labelled(b"chancery/col/1", &[tenant, table, column]);
        let key = hazmat::expand::<32>(&Prf::new(root.expose()), &info);
        Self {
            prf: Prf::new(&*key),
            handle,
        }
    }

    /// Takes a key that is not derived from a data root, such as a person's own key. `key` must be uniform and have this use only.
    pub fn from_key(key: &Key256, handle: Handle) -> Self {
        Self {
            prf: Prf::new(key.expose()),
            handle,
        }
    }

    /// The version this key belongs to; what it seals carries it.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// Seals `plaintext` for the place of `context`, under a message key of its own.
    ///
    /// 24 bytes of salt per value: 2^80 values under one column key before two salts meet with a chance of 2^-32.
    ///
    /// # Errors
    ///
    /// [`SealError`]; nothing is written then.
    pub fn seal(
        &self,
        context: &ContextDigest,
        flags: Flags,
        plaintext: &[u8],
        rng: &dyn Random,
    ) -> Result<Sealed, SealError> {
        if plaintext.len() > PLAINTEXT_MAX {
            return Err(SealError::TooLong);
        }
        if plaintext.starts_with(&[MAGIC, PROFILE_FIELD])
            || plaintext.starts_with(TEXT_PREFIX.as_bytes())
        {
            return Err(SealError::AlreadySealed);
        }
        let mut prefix = [0; PREFIX];
        let (head, salt) = prefix.split_at_mut(12);
        let (marks, handle) = head.split_at_mut(4);
        marks.copy_from_slice(&[MAGIC, PROFILE_FIELD, SUITE, flags.to_byte()]);
        handle.copy_from_slice(&self.handle.0);
        rng.fill(salt)?;
        let message = self.message(&prefix, context);
        let [key, commitment] = &*message;
        let mut bytes = Vec::with_capacity(OVERHEAD + plaintext.len());
        bytes.extend_from_slice(&prefix);
        bytes.extend_from_slice(commitment);
        hazmat::seal_behind(key, nonce(&prefix), &mut bytes, plaintext)
            .map_err(|_| SealError::Failed)?;
        Ok(Sealed::written(bytes, self.handle, flags))
    }

    /// Opens a sealed value at the place of `context`.
    ///
    /// # Errors
    ///
    /// - [`OpenError::WrongKeyOrContext`]: found by comparing the commitment in constant time, before any decryption.
    /// - [`OpenError::Tampered`]: the tag does not match; no plaintext leaves.
    pub fn open(
        &self,
        context: &ContextDigest,
        sealed: &Sealed,
    ) -> Result<Secret<Vec<u8>>, OpenError> {
        let short = OpenError::WrongKeyOrContext; // INVARIANT: a `Sealed` has at least 84 bytes
        let (header, body) = sealed.as_bytes().split_at_checked(HEADER).ok_or(short)?;
        let (prefix, found) = header.split_first_chunk::<PREFIX>().ok_or(short)?;
        let message = self.message(prefix, context);
        let [key, commitment] = &*message;
        verify_slices_are_equal(commitment, found).map_err(|_| OpenError::WrongKeyOrContext)?;
        hazmat::open(key, nonce(prefix), header, body)
            .map(Secret::new)
            .map_err(|_| OpenError::Tampered)
    }

    fn message(&self, prefix: &[u8; PREFIX], context: &ContextDigest) -> Message {
        let mut scratch = [0; BLOCK + INFO + 1];
        let (label, rest) = scratch.split_at_mut(BLOCK).1.split_at_mut(LABEL.len());
        let (head, place) = rest.split_at_mut(PREFIX);
        label.copy_from_slice(LABEL);
        head.copy_from_slice(prefix);
        place
            .split_at_mut(context.0.len())
            .0
            .copy_from_slice(&context.0);
        let mut out = Zeroizing::new([[0; 32]; 2]);
        hazmat::expand_in(&self.prf, &mut scratch, out.as_flattened_mut());
        out
    }
}

impl std::fmt::Debug for ColumnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ColumnKey({:?}, ..)", self.handle)
    }
}

/// `[key, commitment]` of one message. The key is used once and never stored.
type Message = Zeroizing<[[u8; 32]; 2]>;

/// The key is single use, so any fixed rule is safe: the second half of the salt.
fn nonce(prefix: &[u8; PREFIX]) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce.copy_from_slice(prefix.split_at(24).1);
    nonce
}
