//! Whether a message is who it says it is from: over the bytes as they came, before anything in them is read.

use chancery_crypto::sha256;
use subtle::ConstantTimeEq as _;

use super::{Layout, MAX_BODY_BYTES, Material, Message, Provider, Rejection, Unit};
use crate::Timestamp;

pub(super) mod app_attest;
pub(super) mod cbor;
pub(super) mod codes;
mod garmin;
pub(super) mod standard;
pub(super) mod tink;

/// How far the moment of a message may be from ours, to either side.
pub const WINDOW_SECONDS: i64 = 300;
/// How long a message is remembered that says its moment: longer than twice the window, for it may be ahead as far as behind.
pub const REMEMBERED_SECONDS: u32 = 660;
const _: () = assert!(REMEMBERED_SECONDS as i64 > 2 * WINDOW_SECONDS);
/// How long an id is remembered that comes with a moment: for as long as senders try anew.
const ID_REMEMBERED_SECONDS: u32 = 4 * 86_400;
/// How long what says no moment is remembered: nothing in it ever makes a copy old.
const TIMELESS_REMEMBERED_SECONDS: u32 = 30 * 86_400;

/// By what rules a source's messages are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Who sends.
    pub provider: Provider,
    /// How it signs, of [`Provider::Generic`].
    pub layout: Option<Layout>,
    /// What it calls us, of [`Provider::Garmin`].
    pub client_id: Option<String>,
    /// The applications whose devices may send, `TEAMID.bundle.id` each, of [`Provider::AppleHealth`].
    pub app_ids: Vec<String>,
}

impl Rules {
    /// For how many seconds a message that was believed is remembered, so that no copy of it is handed on.
    ///
    /// Some senders that say no moment only name what is to be fetched, and say the same words each time it has changed: to take them for
    /// a copy for long would lose what is new, and a copy of them brings nothing in.
    pub fn remembered_seconds(&self, verified: &Verified) -> u32 {
        let layout = self.layout.clone().or_else(|| self.provider.layout());
        let repeats = self.provider == Provider::GoogleHealth || layout.is_some_and(|layout| layout.repeats);
        match (verified.sent_at.is_some(), verified.has_id) {
            (true, true) => ID_REMEMBERED_SECONDS,
            (true, false) => REMEMBERED_SECONDS,
            (false, false) if repeats => REMEMBERED_SECONDS,
            (false, _) => TIMELESS_REMEMBERED_SECONDS,
        }
    }
}

/// A message that was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which of the secrets it was, by its place among those that were given.
    pub secret: usize,
    /// When it was sent, as the sender signed.
    pub sent_at: Option<Timestamp>,
    /// The same for every attempt to send the same message: of its signed id, or else of its body.
    pub identity: [u8; 32],
    /// Whether the identity is of an id that the sender gave: then no other message has it, ever.
    pub has_id: bool,
    /// The same for a copy alone: of all that was signed, where that has a moment or a count in it.
    pub copy: Option<[u8; 32]>,
    /// How far the device had counted.
    pub counter: Option<u32>,
}

/// Verifies a message with the secrets of its source. Every secret is tried, whichever it was.
///
/// # Errors
///
/// [`Rejection`], for the log. The sender is told [`Provider::refused`] whatever it was.
pub fn verify(
    rules: &Rules,
    secrets: &[Material],
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Verified, Rejection> {
    if message.body.len() > MAX_BODY_BYTES {
        return Err(Rejection::TooLong);
    }
    match rules.provider {
        Provider::Standard => standard::verify(secrets, message, now),
        Provider::GoogleHealth => tink::verify(secrets, &[], message),
        Provider::Garmin => garmin::verify(rules, secrets, message),
        Provider::AppleHealth => app_attest::verify(rules, secrets, None, message, now),
        provider => {
            let layout = rules.layout.clone().filter(|_| provider == Provider::Generic).or_else(|| provider.layout());
            codes::verify(&layout.ok_or(Rejection::Malformed)?, secrets, message, now)
        }
    }
}

/// The moment that a sender wrote, if it is within the window.
fn moment(text: &str, unit: Unit, now: Timestamp) -> Result<Timestamp, Rejection> {
    // Digits alone: no sign, no blank, no fraction, and so one spelling.
    if text.is_empty() || text.len() > 16 || !text.bytes().all(|byte| byte.is_ascii_digit()) || text.starts_with('0') {
        return Err(Rejection::Malformed);
    }
    let count: i64 = text.parse().map_err(|_| Rejection::Malformed)?;
    let micros = match unit {
        Unit::Seconds => count.checked_mul(1_000_000),
        Unit::Milliseconds => count.checked_mul(1_000),
    };
    let sent_at = Timestamp::from_micros(micros.ok_or(Rejection::OutsideWindow)?);
    let distance = sent_at.as_micros().abs_diff(now.as_micros());
    if distance > WINDOW_SECONDS.unsigned_abs() * 1_000_000 {
        return Err(Rejection::OutsideWindow);
    }
    Ok(sent_at)
}

/// Notes `index` if `same`, unless one was found before. Looks at every one that it is asked of.
fn note(found: &mut Option<usize>, index: usize, same: bool) {
    if same && found.is_none() {
        *found = Some(index);
    }
}

/// Whether two texts are the same, in a time that tells only their lengths.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// A digest of parts, each with its length, under a name that says of what.
fn digest(of: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut bytes = of.to_vec();
    for part in parts {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        // Of long parts their digest, so that no body is copied.
        bytes.extend_from_slice(&sha256(part));
    }
    sha256(&bytes)
}

#[cfg(test)]
mod tests;
