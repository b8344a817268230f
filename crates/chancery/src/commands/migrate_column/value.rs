//! From a column's text to a JSON value of the field's type, and back.

use chancery_crypto::Phi;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use serde_json::Value;

/// The value of a stored text; `None` if it is not of the field's type. Older systems stored everything as text, so the declared type
/// decides, not the look of the text.
pub(super) fn of_text(kind: &str, text: &Phi<String>) -> Option<Value> {
    let text = text.expose();
    let trimmed = text.trim();
    match kind {
        "integer" => {
            let whole = trimmed.strip_suffix(".0").unwrap_or(trimmed);
            whole.parse::<i64>().ok().map(Value::from)
        }
        "decimal" => Some(Value::from(trimmed)),
        "boolean" => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" | "on" => Some(Value::Bool(true)),
            "false" | "f" | "0" | "no" | "off" => Some(Value::Bool(false)),
            _ => None,
        },
        // A moment of a day is that day.
        "date" => trimmed
            .get(..10)
            .map(Value::from)
            .filter(|_| trimmed.len() == 10 || trimmed.get(10..11).is_some_and(|next| next == " " || next == "T")),
        "bytes" => {
            let bytes = match trimmed.strip_prefix("\\x") {
                Some(hex) => HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok(),
                None => [BASE64, BASE64URL, BASE64_NOPAD, BASE64URL_NOPAD]
                    .iter()
                    .find_map(|form| form.decode(trimmed.as_bytes()).ok()),
            };
            bytes.map(|bytes| Value::String(BASE64URL_NOPAD.encode(&bytes)))
        }
        "json" => serde_json::from_str(text).ok(),
        _ => Some(Value::String(text.clone())),
    }
}

/// The text of an opened value, for the way back.
pub(super) fn to_text(value: &Value) -> Phi<String> {
    Phi::new(match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_declared_type_decides_and_not_the_look() {
        let of = |kind, text: &str| of_text(kind, &Phi::new(text.to_owned()));
        for (kind, text, value) in [
            ("text", "42", json!("42")),
            ("text", "", json!("")),
            ("text", " Zoë ", json!(" Zoë ")),
            ("integer", "42", json!(42)),
            ("integer", "42.0", json!(42)),
            ("boolean", "1", json!(true)),
            ("boolean", "False", json!(false)),
            ("decimal", "1.50", json!("1.50")),
            ("date", "1989-05-25T00:00:00", json!("1989-05-25")),
            ("json", "{\"a\": [1, \"1\"]}", json!({"a": [1, "1"]})),
            ("json", "42", json!(42)),
            ("bytes", "\\x00ff", json!("AP8")),
            ("bytes", "AP8=", json!("AP8")),
        ] {
            assert_eq!(of(kind, text), Some(value), "{kind} {text}");
        }
        for (kind, text) in [
            ("integer", "4x"),
            ("boolean", "maybe"),
            ("date", "1989"),
            ("json", "{"),
            ("bytes", "!"),
            ("date", "1989-05-25x"),
        ] {
            assert_eq!(of(kind, text), None, "{kind} {text}");
        }
        assert_eq!(to_text(&json!(42)).expose(), "42");
        assert_eq!(to_text(&json!("a")).expose(), "a");
    }
}
