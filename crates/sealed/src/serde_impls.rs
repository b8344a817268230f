//! serde: a sealed value is its text form, in and out. No plaintext passes.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    column::{Column, Indexed},
    json::{Document, SealedJson},
    sealed::Sealed,
    term::Term,
};

impl<C: Column> Serialize for Sealed<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de, C: Column> Deserialize<'de> for Sealed<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_text(&text).map_err(D::Error::custom)
    }
}

impl<C: Indexed> Serialize for Term<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<D: Document> Serialize for SealedJson<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_stored().serialize(serializer)
    }
}

impl<'de, C: Document> Deserialize<'de> for SealedJson<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_stored(serde_json::Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
