//! Values keep their type through sealing.

use chancery_crypto::Phi;
use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use super::FieldType;
use crate::{records::WipedJson, text::is_date};

/// A value that is not of its field's type. Does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is not of type `{0}`")]
pub struct WrongType(pub FieldType);

impl FieldType {
    /// The bytes that are sealed for a JSON value of this type.
    ///
    /// # Errors
    ///
    /// [`WrongType`]. Nulls are the caller's business: they are not sealed.
    pub fn encode(self, value: &Value) -> Result<Phi<Vec<u8>>, WrongType> {
        let wrong = WrongType(self);
        let bytes = match (self, value) {
            (Self::Text, Value::String(text)) => text.clone().into_bytes(),
            (Self::Integer, Value::Number(number)) => number.as_i64().ok_or(wrong)?.to_string().into_bytes(),
            (Self::Decimal, Value::String(text)) if is_decimal(text) => text.clone().into_bytes(),
            (Self::Boolean, Value::Bool(flag)) => flag.to_string().into_bytes(),
            (Self::Bytes, Value::String(text)) => BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| wrong)?,
            (Self::Date, Value::String(text)) if is_date(text) => text.clone().into_bytes(),
            (Self::Json, value) => value.to_string().into_bytes(),
            _ => return Err(wrong),
        };
        Ok(Phi::new(bytes))
    }

    /// The JSON value of opened bytes.
    ///
    /// # Errors
    ///
    /// [`WrongType`] if the bytes are not what [`Self::encode`] gives.
    pub fn decode(self, bytes: &Phi<Vec<u8>>) -> Result<Value, WrongType> {
        let wrong = WrongType(self);
        if self == Self::Bytes {
            return Ok(Value::String(BASE64URL_NOPAD.encode(bytes.expose())));
        }
        let text = std::str::from_utf8(bytes.expose()).map_err(|_| wrong)?;
        Ok(match self {
            Self::Integer => Value::from(text.parse::<i64>().map_err(|_| wrong)?),
            Self::Boolean => Value::from(text.parse::<bool>().map_err(|_| wrong)?),
            Self::Json => serde_json::from_str(text).map_err(|_| wrong)?,
            Self::Text | Self::Decimal | Self::Date | Self::Bytes => Value::from(text),
        })
    }

    /// As [`Self::encode`]; numbers within a `json` value keep all their digits.
    ///
    /// # Errors
    ///
    /// [`WrongType`].
    pub fn encode_exact(self, value: &WipedJson) -> Result<Phi<Vec<u8>>, WrongType> {
        match (self, value.exact()) {
            (Self::Json, Some(text)) => Ok(Phi::new(text.as_bytes().to_vec())),
            _ => self.encode(value.expose()),
        }
    }

    /// As [`Self::decode`]; numbers within a `json` value keep all their digits.
    ///
    /// # Errors
    ///
    /// [`WrongType`].
    pub fn decode_exact(self, bytes: &Phi<Vec<u8>>) -> Result<WipedJson, WrongType> {
        match self {
            Self::Json => {
                let text = std::str::from_utf8(bytes.expose()).map_err(|_| WrongType(self))?;
                WipedJson::parse(text).map_err(|_| WrongType(self))
            }
            _ => Ok(WipedJson::new(self.decode(bytes)?)),
        }
    }

    /// The text that a term is derived from.
    ///
    /// # Errors
    ///
    /// [`WrongType`] if the value has no text form: bytes and JSON are not searched.
    pub fn searchable(self, bytes: &Phi<Vec<u8>>) -> Result<&str, WrongType> {
        match self {
            Self::Bytes | Self::Json => Err(WrongType(self)),
            Self::Text | Self::Integer | Self::Decimal | Self::Boolean | Self::Date => {
                std::str::from_utf8(bytes.expose()).map_err(|_| WrongType(self))
            }
        }
    }
}

/// An optional sign, digits, and an optional point with digits; at most 64 characters.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 64 && digits(whole) && digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_type_keeps_its_values() {
        let values = [
            (FieldType::Text, json!("")),
            (FieldType::Text, json!("Zoë 👩‍⚕️")),
            (FieldType::Text, json!("4111111111111111")),
            (FieldType::Integer, json!(-9_223_372_036_854_775_808i64)),
            (FieldType::Decimal, json!("-12.50")),
            (FieldType::Boolean, json!(false)),
            (FieldType::Bytes, json!("AAEC")),
            (FieldType::Date, json!("1989-05-25")),
            (FieldType::Json, json!({"a": [1, "1", null]})),
        ];
        for (field_type, value) in values {
            let bytes = field_type.encode(&value).unwrap();
            assert_eq!(field_type.decode(&bytes).unwrap(), value, "{field_type}");
        }
    }

    #[test]
    fn fractions_come_back_to_the_last_bit() {
        // Without serde_json's `float_roundtrip` each of these is another number after one round.
        for number in [5.448_184_794_357_964e-29, 0.1 + 0.2, 31.245_270_191_439_438, f64::MIN_POSITIVE, 1.0 / 3.0, 1e23]
        {
            let value = json!({"number": number});
            let bytes = FieldType::Json.encode(&value).unwrap();
            assert_eq!(FieldType::Json.decode(&bytes).unwrap(), value, "{number:e}");
        }
    }

    #[test]
    fn values_of_another_type_are_refused() {
        let values = [
            (FieldType::Text, json!(1)),
            (FieldType::Integer, json!("1")),
            (FieldType::Integer, json!(1.5)),
            (FieldType::Integer, json!(u64::MAX)),
            (FieldType::Decimal, json!("1e5")),
            (FieldType::Decimal, json!(1)),
            (FieldType::Boolean, json!("true")),
            (FieldType::Bytes, json!("AAE=")),
            (FieldType::Bytes, json!("AAF")),
            (FieldType::Date, json!("1989-02-30")),
            (FieldType::Date, json!("1989-2-3")),
        ];
        for (field_type, value) in values {
            assert!(field_type.encode(&value).is_err(), "{field_type} {value}");
        }
    }

    #[test]
    fn json_keeps_every_digit() {
        for text in ["[123456789012345678901234567890.10]", "{\"a\":-0.0,\"b\":1E+2}", "0.1000", "{\"z\":1,\"a\":2.50}"]
        {
            let bytes = FieldType::Json.encode_exact(&WipedJson::parse(text).unwrap()).unwrap();
            let opened = FieldType::Json.decode_exact(&bytes).unwrap();
            assert_eq!(opened.exact(), Some(text));
        }
        assert_eq!(WipedJson::parse("[1,-2,\"1.0\"]").unwrap().exact(), None, "a plain value is enough");
    }

    fn comes_back(field_type: FieldType, value: &Value) -> bool {
        let bytes = field_type.encode(value).unwrap();
        field_type.decode(&bytes).unwrap() == *value
    }

    proptest::proptest! {
        #[test]
        fn any_value_of_a_type_comes_back(
            text in ".{0,40}", number: i64, flag: bool, bytes: Vec<u8>, decimal in "[+-]?[0-9]{1,30}(\\.[0-9]{1,30})?",
            (year, month, day) in (1_i16..9_999, 1_u8..13, 1_u8..29)
        ) {
            proptest::prop_assert!(comes_back(FieldType::Text, &json!(text)));
            proptest::prop_assert!(comes_back(FieldType::Integer, &json!(number)));
            proptest::prop_assert!(comes_back(FieldType::Boolean, &json!(flag)));
            proptest::prop_assert!(comes_back(FieldType::Bytes, &json!(BASE64URL_NOPAD.encode(&bytes))));
            proptest::prop_assert!(comes_back(FieldType::Decimal, &json!(decimal)));
            let date = json!(format!("{year:04}-{month:02}-{day:02}"));
            proptest::prop_assert!(comes_back(FieldType::Date, &date));
            let any = json!({"t": text, "n": number, "l": [flag, null]});
            proptest::prop_assert!(comes_back(FieldType::Json, &any));
        }

        #[test]
        fn no_bytes_decode_to_another_type(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            let bytes = Phi::new(bytes);
            for field_type in FieldType::ALL {
                if let Ok(value) = field_type.decode(&bytes) {
                    let right = match field_type {
                        FieldType::Integer => value.is_i64(),
                        FieldType::Boolean => value.is_boolean(),
                        FieldType::Json => true,
                        FieldType::Text | FieldType::Decimal | FieldType::Bytes | FieldType::Date => value.is_string(),
                    };
                    proptest::prop_assert!(right, "{}", field_type);
                }
            }
        }
    }
}
