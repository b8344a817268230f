//! Query parameters: unknown and double ones are refused.

use std::collections::HashSet;

use chancery_domain::Faults;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::{Code, Problem, hints, json};

/// No parameters at all.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Refuses every parameter; tenant hints are none.
pub(crate) fn none(parts: &Parts) -> Result<(), Problem> {
    read(parts).map(|Nothing {}| ())
}

/// The parameters of the query. `T` denies unknown fields. Tenant hints are taken out before.
pub(crate) fn read<T: DeserializeOwned>(parts: &Parts) -> Result<T, Problem> {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .filter(|(name, _)| !hints::NAMES.contains(&name.as_str()))
        .collect();
    let mut seen = HashSet::new();
    if !pairs.iter().all(|(name, _)| seen.insert(name.as_str())) {
        return Err(Problem::new(Code::RequestMalformed).detail("a query parameter is given twice"));
    }
    let source = serde::de::value::MapDeserializer::<_, serde::de::value::Error>::new(
        pairs.iter().map(|(name, value)| (name.as_str(), Text(value))),
    );
    T::deserialize(source).map_err(|error| {
        let (code, message) = json::explain(&error.to_string());
        Problem::invalid(Faults::one("", code, format!("query: {message}")))
    })
}

/// A parameter's text, read as whatever type the field has.
#[derive(Clone, Copy)]
struct Text<'a>(&'a str);

impl<'de> serde::de::IntoDeserializer<'de, serde::de::value::Error> for Text<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty),+) => {
        $(fn $method<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            let value = self.0.parse::<$type>().map_err(|_| {
                serde::de::Error::custom(concat!("invalid type: text, expected ", stringify!($type)))
            })?;
            visitor.$visit(value)
        })+
    };
}

impl<'de> serde::Deserializer<'de> for Text<'de> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    parsed! { deserialize_bool visit_bool bool, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64, deserialize_i64 visit_i64 i64 }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct enum identifier ignored_any
    }
}
