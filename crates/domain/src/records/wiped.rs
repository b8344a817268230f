//! JSON values that hold personal data.

use serde_json::Value;
use zeroize::Zeroize;

/// A JSON value whose texts are wiped on drop. It does not print.
pub struct WipedJson(Value);

impl WipedJson {
    /// Takes charge of a value.
    pub fn new(value: Value) -> Self {
        Self(value)
    }

    /// Reads it.
    pub fn expose(&self) -> &Value {
        &self.0
    }
}

impl Drop for WipedJson {
    fn drop(&mut self) {
        wipe(&mut self.0);
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
