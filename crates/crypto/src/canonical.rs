//! Canonical JSON: the RFC 8785 profile that is hashed and signed.
//!
//! Narrower than [RFC 8785](https://www.rfc-editor.org/rfc/rfc8785): no floating point, integers within ±(2^53 − 1), ASCII keys, at most
//! [`DEPTH`] levels. Within that profile the bytes are those of RFC 8785. Never hash `serde_json::to_string`: the order of its map
//! depends on the features that other crates switch on.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// How deep arrays and objects may nest.
pub const DEPTH: usize = 32;

const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a value has no canonical form, or bytes are not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// A number with a fraction or an exponent, or `-0`. Write decimals as strings.
    #[error("floating point number")]
    Float,
    /// An integer beyond ±(2^53 − 1), which many readers would round. Write it as a string.
    #[error("integer beyond 2^53 - 1")]
    IntegerTooLarge,
    /// A key with a character outside ASCII.
    #[error("key outside ASCII")]
    Key,
    /// More than [`DEPTH`] levels.
    #[error("nested too deeply")]
    TooDeep,
    /// The bytes are no JSON, or hold a lone surrogate.
    #[error("not JSON")]
    NotJson,
    /// JSON, but not the canonical bytes of its value: spaces, order, a key twice, needless escapes.
    #[error("not canonical")]
    NotCanonical,
}

/// The canonical bytes of `value`.
///
/// # Errors
///
/// [`CanonicalError`] when the value is outside the profile.
pub fn to_vec(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = String::new();
    write(&mut out, value, DEPTH)?;
    Ok(out.into_bytes())
}

/// Reads canonical bytes; every other spelling of the same value is refused.
///
/// # Errors
///
/// [`CanonicalError`]; one value has one spelling, so what is accepted hashes back to the same bytes.
pub fn parse(bytes: &[u8]) -> Result<Value, CanonicalError> {
    let value = serde_json::from_slice(bytes).map_err(|_| CanonicalError::NotJson)?;
    if to_vec(&value)? == bytes {
        Ok(value)
    } else {
        Err(CanonicalError::NotCanonical)
    }
}

fn write(out: &mut String, value: &Value, depth: usize) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => integer(out, number)?,
        Value::String(text) => string(out, text),
        Value::Array(items) => {
            let depth = depth.checked_sub(1).ok_or(CanonicalError::TooDeep)?;
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(out, item, depth)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            let depth = depth.checked_sub(1).ok_or(CanonicalError::TooDeep)?;
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            if members.iter().any(|(key, _)| !key.is_ascii()) {
                return Err(CanonicalError::Key);
            }
            members.sort_unstable_by_key(|(key, _)| key.as_bytes()); // RFC 8785 §3.2.3 sorts UTF-16 units: for ASCII the same order
            out.push('{');
            for (at, (key, item)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                string(out, key);
                out.push(':');
                write(out, item, depth)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn integer(out: &mut String, number: &Number) -> Result<(), CanonicalError> {
    let (sign, size) = match (number.as_u64(), number.as_i64()) {
        (Some(size), _) => ("", size),
        (None, Some(below)) => ("-", below.unsigned_abs()),
        (None, None) => return Err(CanonicalError::Float),
    };
    if size > INTEGER_MAX {
        return Err(CanonicalError::IntegerTooLarge);
    }
    let _ = write!(out, "{sign}{size}"); // writing to a `String` cannot fail
    Ok(())
}

/// RFC 8785 §3.2.2.2: two-letter escapes where JSON has them, `\u00xx` for other control characters, all else as it is.
fn string(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}
