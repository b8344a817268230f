//! The 8-byte name of a key version, in the clear at a fixed place of everything sealed under it.

use std::fmt;

use data_encoding::HEXLOWER;

use crate::random::{self, Random, RandomError};

/// Names one key version. Random, so it tells neither tenant nor age. Prints as 16 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub [u8; 8]);

impl Handle {
    /// Draws a new handle.
    ///
    /// # Errors
    ///
    /// [`RandomError`] when the source gives nothing.
    pub fn make(rng: &dyn Random) -> Result<Self, RandomError> {
        random::array(rng).map(Self)
    }

    /// 16 lower-case hex digits.
    pub fn to_hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// Reads exactly 16 lower-case hex digits; anything else gives `None`.
    pub fn from_hex(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways_and_is_strict() {
        let handle = Handle([0, 1, 2, 3, 0xAB, 5, 6, 0xFF]);
        assert_eq!(format!("{handle:?}"), "00010203ab0506ff");
        assert_eq!(Handle::from_hex("00010203ab0506ff"), Some(handle));
        for bad in
            ["", "00010203AB0506FF", "00010203ab0506f", "00010203ab0506ff00", "00010203ab0506f ", "zz010203ab0506ff"]
        {
            assert_eq!(Handle::from_hex(bad), None, "{bad}");
        }
    }
}
