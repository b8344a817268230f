//! The bytes of a sealed value: field profile 0x11, suite 0x01. `docs/adr/0001-suite-0x01.md` freezes them.
//!
//! ```text
//!  0  1  magic 0xF9, never valid in UTF-8     12 24  salt
//!  1  1  profile 0x11                         36 32  commitment to the key
//!  2  1  suite 0x01                           68  n  ciphertext
//!  3  1  flags                             68+n 16  tag
//!  4  8  handle of the key version            84 bytes more than the plaintext
//! ```

use data_encoding::BASE64URL_NOPAD;

use crate::handle::Handle;
use crate::hazmat::TAG;

/// The first byte of everything sealed; no UTF-8 text has it.
pub const MAGIC: u8 = 0xF9;
/// The second byte of a lone sealed field.
pub const PROFILE_FIELD: u8 = 0x11;
/// The third byte: HKDF-Expand-SHA-256 and AES-256-GCM with a 32-byte commitment.
pub const SUITE: u8 = 0x01;
/// Bytes that sealing adds.
pub const OVERHEAD: usize = HEADER + TAG;
/// The longest plaintext of a field, in bytes.
pub const PLAINTEXT_MAX: usize = 1 << 20;
/// What the text form begins with.
pub const TEXT_PREFIX: &str = "chy1.";

/// Everything before the salt ends; goes into the derivation.
pub(crate) const PREFIX: usize = 36;
/// Everything before the ciphertext; the associated data.
pub(crate) const HEADER: usize = 68;

/// Why bytes are no sealed value. Nothing secret was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The first byte is not the magic, or the text lacks its prefix: a value in the clear, or of another system.
    #[error("not a sealed value")]
    NotSealed,
    /// A profile of a later version, or another kind of sealed thing.
    #[error("unknown profile")]
    UnknownProfile,
    /// A suite that this version does not have.
    #[error("unknown suite")]
    UnknownSuite,
    /// A flag bit without a meaning is set.
    #[error("reserved flag")]
    ReservedFlag,
    /// Cut off.
    #[error("sealed value too short")]
    TooShort,
    /// More than the profile allows.
    #[error("sealed value too long")]
    TooLong,
    /// The part after `chy1.` is not base64url without padding.
    #[error("not base64url")]
    NotText,
}

/// How a value is bound, in the clear and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u8);

impl Flags {
    /// Bound to tenant, table and column.
    pub const COLUMN: Self = Self(0);
    /// Bound to the row as well (bit 0).
    pub const ROW: Self = Self(1);

    /// Whether the context held a row.
    pub const fn bound_to_row(self) -> bool {
        self.0 & 1 == 1
    }

    /// The byte as it is stored.
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// Reads the stored byte; `None` when a reserved bit is set.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        if byte & !1 == 0 { Some(Self(byte)) } else { None }
    }
}

/// A sealed value whose shape was checked. Its content was not: only [`ColumnKey::open`](crate::ColumnKey::open) does that.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    bytes: Vec<u8>,
    handle: Handle,
    flags: Flags,
}

impl Sealed {
    /// Checks magic, profile, suite, flags and length, and keeps the bytes.
    ///
    /// # Errors
    ///
    /// [`ParseError`] names the first thing that is wrong.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ParseError> {
        let flags = head(&bytes, PROFILE_FIELD)?;
        if bytes.len() < OVERHEAD {
            return Err(ParseError::TooShort);
        }
        if bytes.len() > OVERHEAD + PLAINTEXT_MAX {
            return Err(ParseError::TooLong);
        }
        let handle =
            bytes.get(4..).and_then(|rest| rest.first_chunk()).copied().map(Handle).ok_or(ParseError::TooShort)?;
        Ok(Self { bytes, handle, flags })
    }

    /// Reads the text form: `chy1.`, then base64url without padding, without white space, without stray bits.
    ///
    /// # Errors
    ///
    /// As [`from_bytes`](Self::from_bytes), and [`ParseError::NotText`].
    pub fn from_text(text: &str) -> Result<Self, ParseError> {
        Self::from_bytes(from_text(text, OVERHEAD + PLAINTEXT_MAX)?)
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        to_text(&self.bytes)
    }

    /// The bytes as they are stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes as they are stored.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The key version that sealed it: what to look up, within the caller's tenant.
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// How it is bound.
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// For [`ColumnKey::seal`](crate::ColumnKey::seal), which just wrote the bytes.
    pub(crate) const fn written(bytes: Vec<u8>, handle: Handle, flags: Flags) -> Self {
        Self { bytes, handle, flags }
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({:?}, {} bytes)", self.handle, self.bytes.len())
    }
}

/// Checks magic, profile, suite and flags, in this order: what a field, a record's header and a blob begin with.
pub(crate) fn head(bytes: &[u8], profile: u8) -> Result<Flags, ParseError> {
    let found = |at: usize| bytes.get(at).copied();
    if found(0) != Some(MAGIC) {
        return Err(ParseError::NotSealed);
    }
    if found(1).ok_or(ParseError::TooShort)? != profile {
        return Err(ParseError::UnknownProfile);
    }
    if found(2).ok_or(ParseError::TooShort)? != SUITE {
        return Err(ParseError::UnknownSuite);
    }
    Flags::from_byte(found(3).ok_or(ParseError::TooShort)?).ok_or(ParseError::ReservedFlag)
}

/// Whether a plaintext is itself a sealed value of any profile, in bytes or text.
pub(crate) fn looks_sealed(plaintext: &[u8]) -> bool {
    matches!(plaintext, [MAGIC, 0x11..=0x14, ..]) || plaintext.starts_with(TEXT_PREFIX.as_bytes())
}

/// Reads `chy1.` and base64url of at most `max` bytes.
pub(crate) fn from_text(text: &str, max: usize) -> Result<Vec<u8>, ParseError> {
    let body = text.strip_prefix(TEXT_PREFIX).ok_or(ParseError::NotSealed)?;
    if body.len() / 4 * 3 > max {
        return Err(ParseError::TooLong);
    }
    BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| ParseError::NotText)
}

/// `chy1.` and base64url without padding.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(TEXT_PREFIX.len() + bytes.len().div_ceil(3) * 4);
    text.push_str(TEXT_PREFIX);
    BASE64URL_NOPAD.encode_append(bytes, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape() -> Vec<u8> {
        let mut bytes = vec![0; OVERHEAD];
        bytes[..4].copy_from_slice(&[MAGIC, PROFILE_FIELD, SUITE, 1]);
        bytes
    }

    fn with(at: usize, byte: u8) -> Result<Sealed, ParseError> {
        let mut bytes = shape();
        bytes[at] = byte;
        Sealed::from_bytes(bytes)
    }

    #[test]
    fn each_byte_of_the_head_is_checked() {
        assert_eq!(with(0, b'{').unwrap_err(), ParseError::NotSealed);
        assert_eq!(with(1, 0x31).unwrap_err(), ParseError::UnknownProfile);
        assert_eq!(with(2, 0x02).unwrap_err(), ParseError::UnknownSuite);
        assert_eq!(with(3, 0x02).unwrap_err(), ParseError::ReservedFlag);
        assert_eq!(with(3, 0x81).unwrap_err(), ParseError::ReservedFlag);
        assert!(with(3, 0).unwrap().flags() == Flags::COLUMN);
        assert!(with(3, 1).unwrap().flags().bound_to_row());
    }

    #[test]
    fn length_is_bounded_on_both_sides() {
        assert_eq!(Sealed::from_bytes(Vec::new()).unwrap_err(), ParseError::NotSealed);
        for short in 1..OVERHEAD {
            assert_eq!(Sealed::from_bytes(shape()[..short].to_vec()).unwrap_err(), ParseError::TooShort);
        }
        let mut long = shape();
        long.resize(OVERHEAD + PLAINTEXT_MAX, 0);
        let text = Sealed::from_bytes(long.clone()).unwrap().to_text();
        assert!(Sealed::from_text(&text).is_ok());
        long.push(0);
        assert_eq!(Sealed::from_bytes(long).unwrap_err(), ParseError::TooLong);
        assert_eq!(Sealed::from_text(&(text + "AAAA")).unwrap_err(), ParseError::TooLong);
    }

    #[test]
    fn only_one_text_means_a_value() {
        let sealed = Sealed::from_bytes(shape()).unwrap();
        let text = sealed.to_text();
        assert_eq!(Sealed::from_text(&text).unwrap(), sealed);
        for (bad, error) in [
            (text.replace("chy1.", "chy2."), ParseError::NotSealed),
            (text.replace("chy1.", "CHY1."), ParseError::NotSealed),
            (format!("{text}="), ParseError::NotText),
            (format!("{text}\n"), ParseError::NotText),
            (text.replacen('A', "+", 1), ParseError::NotText),
            (String::from("chy1."), ParseError::NotSealed),
        ] {
            assert_eq!(Sealed::from_text(&bad).unwrap_err(), error, "{bad}");
        }
        let mut odd = shape();
        odd.push(0); // 85 bytes: the last letter has four bits to spare, which must be zero
        let text = Sealed::from_bytes(odd).unwrap().to_text();
        assert!(text.ends_with("AA"));
        assert_eq!(Sealed::from_text(&format!("{}AB", &text[..text.len() - 2])).unwrap_err(), ParseError::NotText);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
            let bytes = if head { [&[MAGIC, PROFILE_FIELD, SUITE, 1][..], &bytes].concat() } else { bytes };
            if let Ok(sealed) = Sealed::from_bytes(bytes.clone()) {
                prop_assert_eq!(sealed.as_bytes(), &bytes[..]);
                prop_assert_eq!(Sealed::from_text(&sealed.to_text()).unwrap(), sealed);
            }
        }

        #[test]
        fn any_text_parses_to_itself_or_is_refused(text in "(chy1\\.)?[ -~é]{0,150}") {
            if let Ok(sealed) = Sealed::from_text(&text) {
                prop_assert_eq!(sealed.to_text(), text);
            }
        }
    }
}
