//! What a token claims, read strictly.

use serde_json::{Map, Value};

use crate::time::Timestamp;

/// The last second that RFC 3339 can write.
const LAST_SECOND: i64 = 253_402_300_799;
/// How many entries of a list are looked at.
const MAX_ENTRIES: usize = 1_000;

/// The claim called so: a member's name to the letter, or with a `/` in front a pointer to it (RFC 6901).
pub(crate) fn at<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    let Some(rest) = name.strip_prefix('/') else { return claims.get(name) };
    let mut tokens = rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~"));
    let first = claims.get(&tokens.next()?)?;
    tokens.try_fold(first, |value, token| value.get(&token))
}

/// A claim that is a text.
pub(crate) fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    at(claims, name)?.as_str()
}

/// A claim that is a list of texts, or one text. Anything else among them makes it none.
pub(crate) fn texts<'c>(claims: &'c Map<String, Value>, name: &str) -> Vec<&'c str> {
    match at(claims, name) {
        // The two claims that are lists with spaces (RFC 8693 §4.2, Entra).
        Some(Value::String(list)) if matches!(name, "scope" | "scp") => list.split(' ').collect(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) if list.len() <= MAX_ENTRIES => {
            list.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// A NumericDate (RFC 7519 §2): whole seconds. A text, a fraction or a year beyond 9999 is none.
pub(crate) fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, &'static str> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_i64().filter(|seconds| (0..=LAST_SECOND).contains(seconds)) {
            Some(seconds) => Ok(Some(Timestamp::from_seconds(seconds))),
            None => Err("token with an odd time"),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_claim_is_named_or_pointed_to() {
        let claims = claims(json!({
            "cognito:groups": ["a"], "https://clinic.example/roles": ["b"], "a.b": "c", "/odd": "d",
            "realm_access": {"roles": ["e", "f"]}, "x/y": {"~z": "g"}, "scope": "h i", "roles": "j k",
        }));
        for (name, found) in [
            ("cognito:groups", vec!["a"]),
            ("https://clinic.example/roles", vec!["b"]),
            ("a.b", vec!["c"]),
            ("/~1odd", vec!["d"]),
            ("/realm_access/roles", vec!["e", "f"]),
            ("/x~1y/~0z", vec!["g"]),
            ("scope", vec!["h", "i"]),
            ("roles", vec!["j k"]),
            ("realm_access", vec![]),
            ("nothing", vec![]),
            ("/realm_access/nothing", vec![]),
        ] {
            assert_eq!(texts(&claims, name), found, "{name}");
        }
    }

    #[test]
    fn a_list_with_something_else_in_it_is_none() {
        for odd in [json!(["a", 7]), json!([["a"]]), json!({"a": "b"}), json!(7), json!(null), json!([null])] {
            assert_eq!(texts(&claims(json!({"roles": odd})), "roles"), [""; 0], "{odd}");
        }
    }

    #[test]
    fn a_time_is_a_whole_number_of_seconds() {
        let read = |value: Value| moment(&claims(json!({"exp": value})), "exp");
        assert_eq!(read(json!(1_790_000_000)), Ok(Some(Timestamp::from_seconds(1_790_000_000))));
        for odd in [
            json!("1790000000"),
            json!(1_790_000_000.5),
            json!(1.79e9),
            json!(-1),
            json!(253_402_300_800_u64),
            json!(u64::MAX),
            json!(null),
            json!([1]),
            json!(true),
        ] {
            assert!(read(odd.clone()).is_err(), "{odd}");
        }
        assert_eq!(moment(&claims(json!({})), "nbf"), Ok(None));
    }
}
