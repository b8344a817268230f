//! The types that values keep through sealing (FE-07).

use chancery_crypto::Phi;
use chancery_domain::{
    fields::{FieldType, value::WrongType},
    records::WipedJson,
};
use zeroize::Zeroize;

/// A type of values that can be sealed. Its name is part of the context: sealed as text, a value does not open as a number.
///
/// The bytes are the same as the server's for a field of this type.
pub trait Value: Zeroize + Sized {
    /// The type's name in the context.
    const TYPE: FieldType;

    /// What [`Column::MAX`](crate::Column::MAX) bounds: characters of text, bytes of anything else.
    fn length(&self) -> usize;

    /// The bytes that are sealed.
    fn to_bytes(&self) -> Phi<Vec<u8>>;

    /// The value of opened bytes.
    ///
    /// # Errors
    ///
    /// [`WrongType`] if they are not what [`Self::to_bytes`] gives.
    fn from_bytes(bytes: &[u8]) -> Result<Self, WrongType>;

    /// The value of what another system sealed: text, mostly.
    ///
    /// # Errors
    ///
    /// [`WrongType`].
    fn from_legacy(bytes: &[u8]) -> Result<Self, WrongType> {
        Self::from_bytes(bytes)
    }
}

/// A value with a text form to search by.
pub trait Searchable: Value {
    /// The text that a term is derived from, before it is normalised.
    fn search_text(&self) -> Phi<String>;
}

fn text<V: Value>(bytes: &[u8]) -> Result<&str, WrongType> {
    std::str::from_utf8(bytes).map_err(|_| WrongType(V::TYPE))
}

impl Value for String {
    const TYPE: FieldType = FieldType::Text;

    fn length(&self) -> usize {
        self.chars().count()
    }

    fn to_bytes(&self) -> Phi<Vec<u8>> {
        Phi::new(self.as_bytes().to_vec())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WrongType> {
        text::<Self>(bytes).map(str::to_owned)
    }
}

impl Searchable for String {
    fn search_text(&self) -> Phi<String> {
        Phi::new(self.clone())
    }
}

impl Value for i64 {
    const TYPE: FieldType = FieldType::Integer;

    fn length(&self) -> usize {
        8
    }

    fn to_bytes(&self) -> Phi<Vec<u8>> {
        Phi::new(self.to_string().into_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WrongType> {
        text::<Self>(bytes)?.parse().map_err(|_| WrongType(Self::TYPE))
    }
}

impl Searchable for i64 {
    fn search_text(&self) -> Phi<String> {
        Phi::new(self.to_string())
    }
}

impl Value for bool {
    const TYPE: FieldType = FieldType::Boolean;

    fn length(&self) -> usize {
        1
    }

    fn to_bytes(&self) -> Phi<Vec<u8>> {
        Phi::new(self.to_string().into_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WrongType> {
        text::<Self>(bytes)?.parse().map_err(|_| WrongType(Self::TYPE))
    }

    fn from_legacy(bytes: &[u8]) -> Result<Self, WrongType> {
        match bytes {
            b"True" => Ok(true), // as Python's `str` writes them
            b"False" => Ok(false),
            other => Self::from_bytes(other),
        }
    }
}

impl Value for Vec<u8> {
    const TYPE: FieldType = FieldType::Bytes;

    fn length(&self) -> usize {
        self.len()
    }

    fn to_bytes(&self) -> Phi<Vec<u8>> {
        Phi::new(self.clone())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WrongType> {
        Ok(bytes.to_vec())
    }
}

/// Any JSON value, sealed as a whole. For chosen members of a document see [`SealedJson`](crate::SealedJson).
pub struct Json(WipedJson);

impl Json {
    /// Takes charge of a value.
    pub fn new(value: serde_json::Value) -> Self {
        Self(WipedJson::new(value))
    }

    /// Reads it.
    pub fn as_value(&self) -> &serde_json::Value {
        self.0.expose()
    }
}

impl Zeroize for Json {
    fn zeroize(&mut self) {
        // What was there is wiped as it drops.
        *self = Self::new(serde_json::Value::Null);
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Json(..)")
    }
}

impl Value for Json {
    const TYPE: FieldType = FieldType::Json;

    fn length(&self) -> usize {
        self.to_bytes().expose().len()
    }

    fn to_bytes(&self) -> Phi<Vec<u8>> {
        Phi::new(self.as_value().to_string().into_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WrongType> {
        serde_json::from_slice(bytes).map(Self::new).map_err(|_| WrongType(Self::TYPE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_server() {
        use serde_json::json;
        let same = |bytes: Phi<Vec<u8>>, field_type: FieldType, value: serde_json::Value| {
            assert_eq!(bytes.expose(), field_type.encode(&value).unwrap().expose(), "{value}");
        };
        same("Zoë".to_owned().to_bytes(), FieldType::Text, json!("Zoë"));
        same(String::new().to_bytes(), FieldType::Text, json!(""));
        same(i64::MIN.to_bytes(), FieldType::Integer, json!(i64::MIN));
        same(true.to_bytes(), FieldType::Boolean, json!(true));
        same(vec![0, 1, 2].to_bytes(), FieldType::Bytes, json!("AAEC"));
        same(Json::new(json!({"b": 1, "a": "1"})).to_bytes(), FieldType::Json, json!({"a": "1", "b": 1}));
    }

    #[test]
    fn bytes_of_another_type_are_refused() {
        assert!(i64::from_bytes(b"one").is_err());
        assert!(bool::from_bytes(b"True").is_err());
        assert!(String::from_bytes(&[0xFF]).is_err());
        assert!(Json::from_bytes(b"{").is_err());
    }

    #[test]
    fn what_python_wrote_is_read() {
        assert_eq!(bool::from_legacy(b"True"), Ok(true));
        assert_eq!(bool::from_legacy(b"false"), Ok(false));
        assert_eq!(i64::from_legacy(b"4111111111111111"), Ok(4_111_111_111_111_111));
        assert_eq!(String::from_legacy(b"4111111111111111").unwrap(), "4111111111111111");
    }
}
