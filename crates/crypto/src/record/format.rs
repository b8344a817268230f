//! The bytes of a record: a header per row (profile 0x12) and a member per field (profile 0x13).

use crate::envelope::{self, Flags, HEADER, MAGIC, PLAINTEXT_MAX, PREFIX, ParseError};
use crate::handle::Handle;
use crate::hazmat::TAG;

/// The second byte of a record's header.
pub const PROFILE_RECORD: u8 = 0x12;
/// The second byte of a member of a record.
pub const PROFILE_MEMBER: u8 = 0x13;
/// Bytes of a record's header: once per row.
pub const RECORD_OVERHEAD: usize = HEADER;
/// Bytes that sealing adds to each member.
pub const MEMBER_OVERHEAD: usize = MEMBER_HEAD + TAG;

/// Magic, profile, hint.
pub(super) const MEMBER_PREFIX: usize = 6;
/// And the nonce.
const MEMBER_HEAD: usize = MEMBER_PREFIX + 12;

/// The sealed header of one row, its shape checked:
///
/// ```text
///  0  1  magic 0xF9        3  1  flags     12 24  salt
///  1  1  profile 0x12      4  8  handle    36 32  commitment to the row's key
///  2  1  suite 0x01
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    bytes: [u8; HEADER],
    handle: Handle,
    flags: Flags,
}

impl RecordHeader {
    /// Checks magic, profile, suite, flags and length, and keeps the bytes.
    ///
    /// # Errors
    ///
    /// [`ParseError`] names the first thing that is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        let flags = envelope::head(bytes, PROFILE_RECORD)?;
        let bytes: [u8; HEADER] = bytes.try_into().map_err(|_| match bytes.len() {
            ..HEADER => ParseError::TooShort,
            _ => ParseError::TooLong,
        })?;
        let handle = bytes.split_at(4).1.first_chunk().copied().map(Handle).ok_or(ParseError::TooShort)?;
        Ok(Self { bytes, handle, flags })
    }

    /// Reads the text form: `chy1.`, then base64url without padding.
    ///
    /// # Errors
    ///
    /// As [`from_bytes`](Self::from_bytes), and [`ParseError::NotText`].
    pub fn from_text(text: &str) -> Result<Self, ParseError> {
        Self::from_bytes(&envelope::from_text(text, HEADER)?)
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        envelope::to_text(&self.bytes)
    }

    /// The 68 bytes as they are stored.
    pub const fn as_bytes(&self) -> &[u8; RECORD_OVERHEAD] {
        &self.bytes
    }

    /// The key version that sealed the row: what to look up, within the caller's tenant.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// How the row is bound.
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// What members of this row carry: the first four bytes of the commitment. Not secret.
    pub fn hint(&self) -> [u8; 4] {
        let mut hint = [0; 4];
        hint.copy_from_slice(self.commitment().split_at(4).0);
        hint
    }

    pub(super) fn written(prefix: &[u8; PREFIX], commitment: &[u8; 32], handle: Handle, flags: Flags) -> Self {
        let mut bytes = [0; HEADER];
        let (head, rest) = bytes.split_at_mut(PREFIX);
        head.copy_from_slice(prefix);
        rest.copy_from_slice(commitment);
        Self { bytes, handle, flags }
    }

    pub(super) fn prefix(&self) -> &[u8] {
        self.bytes.split_at(PREFIX).0
    }

    pub(super) fn commitment(&self) -> &[u8] {
        self.bytes.split_at(PREFIX).1
    }
}

impl std::fmt::Debug for RecordHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecordHeader({:?})", self.handle)
    }
}

/// One sealed field of a row, its shape checked. It opens only next to its row's header.
///
/// ```text
///  0  1  magic 0xF9        2  4  hint      18  n  ciphertext
///  1  1  profile 0x13      6 12  nonce   18+n 16  tag
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SealedMember(Vec<u8>);

impl SealedMember {
    /// Checks magic, profile and length, and keeps the bytes.
    ///
    /// # Errors
    ///
    /// [`ParseError`] names the first thing that is wrong.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ParseError> {
        match (bytes.first(), bytes.get(1)) {
            (Some(&MAGIC), Some(&PROFILE_MEMBER)) => {}
            (Some(&MAGIC), Some(_)) => return Err(ParseError::UnknownProfile),
            (Some(&MAGIC), None) => return Err(ParseError::TooShort),
            _ => return Err(ParseError::NotSealed),
        }
        if bytes.len() < MEMBER_OVERHEAD {
            return Err(ParseError::TooShort);
        }
        if bytes.len() > MEMBER_OVERHEAD + PLAINTEXT_MAX {
            return Err(ParseError::TooLong);
        }
        Ok(Self(bytes))
    }

    /// Reads the text form: `chy1.`, then base64url without padding.
    ///
    /// # Errors
    ///
    /// As [`from_bytes`](Self::from_bytes), and [`ParseError::NotText`].
    pub fn from_text(text: &str) -> Result<Self, ParseError> {
        Self::from_bytes(envelope::from_text(text, MEMBER_OVERHEAD + PLAINTEXT_MAX)?)
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        envelope::to_text(&self.0)
    }

    /// The bytes as they are stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as they are stored.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The hint of the row it belongs to: equal to that of its header.
    pub fn hint(&self) -> [u8; 4] {
        let mut hint = [0; 4];
        for (to, from) in hint.iter_mut().zip(self.0.iter().skip(2)) {
            *to = *from;
        }
        hint
    }

    pub(super) const fn written(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// `(prefix, nonce, ciphertext ‖ tag)`. `None` cannot occur: the length was checked.
    pub(super) fn parts(&self) -> Option<(&[u8], &[u8; 12], &[u8])> {
        let (prefix, rest) = self.0.split_at_checked(MEMBER_PREFIX)?;
        let (nonce, body) = rest.split_first_chunk()?;
        Some((prefix, nonce, body))
    }
}

impl std::fmt::Debug for SealedMember {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedMember({} bytes)", self.0.len())
    }
}
