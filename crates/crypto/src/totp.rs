//! One-time codes by the clock ([RFC 6238](https://www.rfc-editor.org/rfc/rfc6238)): SHA-1, six digits, 30 seconds.
//!
//! Authenticator apps ignore any other choice that a provisioning URI states, so there is none.

use data_encoding::BASE32_NOPAD;
use subtle::ConstantTimeEq as _;

use crate::{
    hazmat,
    random::{self, Random, RandomError},
    secret::Secret,
};

/// For how long one code stands, in seconds.
pub const PERIOD_SECONDS: u64 = 30;
/// The digits of a code.
pub const DIGITS: usize = 6;
/// Bytes of a secret: as many as its hash gives (RFC 4226 §4, R6).
pub const SECRET_BYTES: usize = 20;

/// The secret that a server and a person's authenticator share. Wiped on drop.
#[derive(Debug)]
pub struct TotpKey(Secret<[u8; SECRET_BYTES]>);

impl TotpKey {
    /// Draws a new one.
    ///
    /// # Errors
    ///
    /// [`RandomError`] when the source gives nothing.
    pub fn make(rng: &dyn Random) -> Result<Self, RandomError> {
        random::array(rng).map(Secret::new).map(Self)
    }

    /// Copies it out of [`SECRET_BYTES`] bytes; any other length gives `None`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Secret::new).map(Self)
    }

    /// Reads the bytes.
    pub const fn expose(&self) -> &[u8; SECRET_BYTES] {
        self.0.expose()
    }

    /// As people type it: base 32 without padding.
    pub fn base32(&self) -> Secret<String> {
        Secret::new(BASE32_NOPAD.encode(self.expose()))
    }

    /// The code of one step (RFC 4226 §5.3).
    pub fn code(&self, step: u64) -> Secret<String> {
        let tag = hazmat::hmac_sha1(self.expose(), &step.to_be_bytes());
        let offset = usize::from(tag[19] & 15);
        let chosen = tag.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        let number = u32::from_be_bytes(chosen) & 0x7fff_ffff;
        Secret::new(format!("{:0DIGITS$}", number % 1_000_000))
    }

    /// The step whose code this is: the one of that moment, or the one before or after it. Steps up to `last` were used and
    /// do not count again.
    pub fn matching_step(&self, code: &str, seconds: i64, last: Option<u64>) -> Option<u64> {
        let now = step_of(seconds);
        let mut found = None;
        // All three are compared, whichever fits.
        for step in [now.saturating_sub(1), now, now.saturating_add(1)] {
            let fits: bool = self.code(step).expose().as_bytes().ct_eq(code.as_bytes()).into();
            if fits && found.is_none() && last.is_none_or(|last| step > last) {
                found = Some(step);
            }
        }
        found
    }
}

/// The step of a moment.
pub fn step_of(seconds: i64) -> u64 {
    seconds.max(0).unsigned_abs() / PERIOD_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    fn key() -> TotpKey {
        TotpKey::from_slice(b"12345678901234567890").unwrap()
    }

    #[test]
    fn codes_agree_with_the_rfc() {
        // RFC 6238, appendix B: the last six of its eight digits.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(key().code(step_of(seconds)).expose(), code, "{seconds}");
        }
    }

    #[test]
    fn a_code_stands_for_its_own_step_and_the_neighbours() {
        let at = 1_234_567_890;
        let code = key().code(step_of(at));
        for (moved, fits) in [(-60, false), (-30, true), (0, true), (30, true), (60, false)] {
            assert_eq!(key().matching_step(code.expose(), at + moved, None).is_some(), fits, "{moved}");
        }
    }

    #[test]
    fn a_step_that_was_used_does_not_count_again() {
        let (at, now) = (1_234_567_890, step_of(1_234_567_890));
        let code = |step| key().code(step);
        assert_eq!(key().matching_step(code(now).expose(), at, Some(now - 1)), Some(now));
        assert_eq!(key().matching_step(code(now).expose(), at, Some(now)), None);
        assert_eq!(key().matching_step(code(now - 1).expose(), at, Some(now)), None);
        assert_eq!(key().matching_step(code(now + 1).expose(), at, Some(now)), Some(now + 1));
    }

    #[test]
    fn other_texts_are_no_codes() {
        for text in ["", "5924", "0059240", "00592a", "00592４"] {
            assert_eq!(key().matching_step(text, 1_234_567_890, None), None, "{text}");
        }
    }

    #[test]
    fn a_secret_reads_back_and_does_not_print() {
        assert_eq!(key().base32().expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(TotpKey::from_slice(&[0; 19]).is_none());
        let made = TotpKey::make(&SystemRandom).unwrap();
        assert_ne!(made.expose(), TotpKey::make(&SystemRandom).unwrap().expose());
        assert_eq!(format!("{made:?}"), "TotpKey(Secret(..))");
    }
}
