//! JSON values that hold personal data.

use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

/// A JSON value whose texts are wiped on drop. It does not print.
///
/// A [`Value`] keeps 64 bits of a number. Where that loses digits or their spelling, the exact text goes with it.
pub struct WipedJson {
    value: Value,
    exact: Option<Zeroizing<String>>,
}

impl WipedJson {
    /// Takes charge of a value.
    pub fn new(value: Value) -> Self {
        Self { value, exact: None }
    }

    /// Takes charge of a value that was read from this text.
    pub fn with_text(value: Value, text: &str) -> Self {
        let exact = has_floats(&value).then(|| Zeroizing::new(text.to_owned()));
        Self { value, exact }
    }

    /// Reads a value from its text.
    ///
    /// # Errors
    ///
    /// If it is no JSON that a [`Value`] holds.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        Ok(Self::with_text(serde_json::from_str(text)?, text))
    }

    /// Reads it.
    pub fn expose(&self) -> &Value {
        &self.value
    }

    /// Its exact text, if the value alone could lose digits.
    pub fn exact(&self) -> Option<&str> {
        self.exact.as_ref().map(|text| text.as_str())
    }
}

fn has_floats(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_floats),
        Value::Object(members) => members.values().any(has_floats),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

impl Drop for WipedJson {
    fn drop(&mut self) {
        wipe(&mut self.value);
    }
}

impl std::fmt::Debug for WipedJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WipedJson(..)")
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Number(_) | Value::Bool(_) | Value::Null => *value = Value::Null,
    }
}
