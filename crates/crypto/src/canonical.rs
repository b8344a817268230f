//! Canonical JSON: the RFC 8785 profile that is hashed and signed.
//!
//! Narrower than [RFC 8785](https://www.rfc-editor.org/rfc/rfc8785): no floating point, integers within ±(2^53 − 1), ASCII keys, at most
//! [`DEPTH`] levels. Within that profile the bytes are those of RFC 8785. Never hash `serde_json::to_string`: the order of its map
//! depends on the features that other crates switch on.

use std::fmt::Write as _;

use serde_json::{Number, Value};

mod members;

pub use members::Members;

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
    if to_vec(&value)? == bytes { Ok(value) } else { Err(CanonicalError::NotCanonical) }
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
    letters(out, text);
    out.push('"');
}

fn letters(out: &mut String, text: &str) {
    // Nearly all texts: ids, codes, moments.
    if !text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.push_str(text);
        return;
    }
    text.chars().for_each(|letter| escape(out, letter));
}

/// One letter of a text, escaped if JSON wants it.
pub(crate) fn escape(out: &mut String, letter: char) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    macro_rules! rfc8785 {
        ($name:literal) => {
            (
                include_bytes!(concat!("../../../testdata/vectors/jcs-rfc8785/input/", $name, ".json")).as_slice(),
                include_bytes!(concat!("../../../testdata/vectors/jcs-rfc8785/output/", $name, ".json")).as_slice(),
            )
        };
    }

    #[test]
    fn the_vectors_of_rfc_8785_that_the_profile_allows_come_out_equal() {
        for (input, output) in [rfc8785!("arrays"), rfc8785!("unicode")] {
            assert_eq!(to_vec(&serde_json::from_slice(input).unwrap()).unwrap(), output);
            assert!(parse(output).is_ok());
            assert_eq!(parse(input), Err(CanonicalError::NotCanonical));
        }
    }

    #[test]
    fn its_other_vectors_are_refused() {
        for ((input, output), error) in [
            (rfc8785!("french"), CanonicalError::Key),
            (rfc8785!("weird"), CanonicalError::Key),
            (rfc8785!("structures"), CanonicalError::Float),
            (rfc8785!("values"), CanonicalError::Float),
        ] {
            assert_eq!(to_vec(&serde_json::from_slice(input).unwrap()), Err(error));
            assert!(parse(output).is_err() || error == CanonicalError::Float);
        }
        // The rest of `values` and `structures`, without their floats.
        let strings = json!({"string": "\u{20ac}$\u{f}\nA'B\"\\\\\"/", "literals": [null, true, false]});
        let wanted = "{\"literals\":[null,true,false],\"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(String::from_utf8(to_vec(&strings).unwrap()).unwrap(), wanted);
        let keys = json!({"1": {"f": {"f": "hi", "F": 5}, "\n": 56}, "10": {}, "": "empty", "a": {}, "111": [{"e": "yes", "E": "no"}], "A": {}});
        let wanted =
            r#"{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}}"#;
        assert_eq!(String::from_utf8(to_vec(&keys).unwrap()).unwrap(), wanted);
    }

    #[test]
    fn one_value_has_one_spelling() {
        for (bad, error) in [
            (r#"{"a":1, "b":2}"#, CanonicalError::NotCanonical),
            (r#"{"b":2,"a":1}"#, CanonicalError::NotCanonical),
            (r#"{"a":1,"a":1}"#, CanonicalError::NotCanonical),
            (r#"{"a":1,"a":2}"#, CanonicalError::NotCanonical),
            ("[1] ", CanonicalError::NotCanonical),
            (r#"["\u0041"]"#, CanonicalError::NotCanonical),
            (r#"["\/"]"#, CanonicalError::NotCanonical),
            (r#"["\u001F"]"#, CanonicalError::NotCanonical),
            ("[1.0]", CanonicalError::Float),
            ("[1e3]", CanonicalError::Float),
            ("[-0]", CanonicalError::Float),
            ("[9007199254740992]", CanonicalError::IntegerTooLarge),
            ("[-9007199254740992]", CanonicalError::IntegerTooLarge),
            ("[18446744073709551615]", CanonicalError::IntegerTooLarge),
            ("[18446744073709551616]", CanonicalError::Float),
            (r#"{"é":1}"#, CanonicalError::Key),
            (r#"["\ud800"]"#, CanonicalError::NotJson),
            ("[01]", CanonicalError::NotJson),
            ("[1]x", CanonicalError::NotJson),
            ("", CanonicalError::NotJson),
            ("\u{feff}[]", CanonicalError::NotJson),
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(error), "{bad}");
        }
        assert_eq!(parse(b"[\"\xff\"]"), Err(CanonicalError::NotJson));
        for good in ["[9007199254740991,-9007199254740991,0]", "null", "\"\u{e9}\u{1f602}\u{7f}\"", "{}", "[]"] {
            assert_eq!(to_vec(&parse(good.as_bytes()).unwrap()).unwrap(), good.as_bytes());
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(DEPTH).as_bytes()).is_ok());
        assert_eq!(parse(nested(DEPTH + 1).as_bytes()), Err(CanonicalError::TooDeep));
        assert_eq!(parse(nested(100_000).as_bytes()), Err(CanonicalError::NotJson));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map("[ -~\t\n]{0,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in values()) {
            let bytes = to_vec(&value).unwrap();
            prop_assert_eq!(parse(&bytes).unwrap(), value);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&bytes);
        }
    }
}
