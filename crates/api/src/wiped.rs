//! Secrets and personal data as they come in and go out: wiped on drop from the first byte that serde hands over.

use chancery_crypto::{Phi, Secret};
use chancery_domain::records::WipedJson;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text under protection, for `deserialize_with`.
pub(crate) fn taken<'de, T: From<String>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer).map(T::from)
}

/// As [`taken`], for a text that need not be there.
pub(crate) fn taken_if_any<'de, T: From<String>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(T::from))
}

/// A text that may be absent, or null for what shall be no more; for `deserialize_with` beside `default`.
pub(crate) fn given<'de, T: From<String>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    taken_if_any(deserializer).map(Some)
}

/// Bytes in base64url without padding, for `deserialize_with`.
pub(crate) fn bytes<'de, T: From<Vec<u8>>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = Secret::new(String::deserialize(deserializer)?);
    decoded(&text)
}

/// As [`bytes`], for what need not be there.
pub(crate) fn bytes_if_any<'de, T: From<Vec<u8>>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.map(Secret::new);
    text.as_ref().map(decoded).transpose()
}

fn decoded<T: From<Vec<u8>>, E: serde::de::Error>(text: &Secret<String>) -> Result<T, E> {
    let odd = |_| E::custom("not a valid `base64url` text: use base64url without padding");
    BASE64URL_NOPAD.decode(text.expose().as_bytes()).map(T::from).map_err(odd)
}

/// Bytes in base64url, for the caller to see.
pub(crate) fn text(bytes: &Secret<Vec<u8>>) -> Secret<String> {
    Secret::new(BASE64URL_NOPAD.encode(bytes.expose()))
}

/// What the caller may see in the end.
pub(crate) trait Shown {
    /// What it is without protection.
    type Content: Serialize;

    /// Reads it.
    fn content(&self) -> &Self::Content;
}

impl Shown for Secret<String> {
    type Content = String;

    fn content(&self) -> &String {
        self.expose()
    }
}

impl Shown for Phi<String> {
    type Content = String;

    fn content(&self) -> &String {
        self.expose()
    }
}

impl Shown for WipedJson {
    type Content = serde_json::Value;

    fn content(&self) -> &serde_json::Value {
        self.expose()
    }
}

/// A value with all digits of its numbers, for `serialize_with`.
pub(crate) fn exact<S: Serializer>(value: &WipedJson, serializer: S) -> Result<S::Ok, S::Error> {
    match value.exact() {
        Some(text) => serde_json::from_str::<&serde_json::value::RawValue>(text)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer),
        None => value.expose().serialize(serializer),
    }
}

/// The personal part of an event.
pub(crate) struct Personal(Option<WipedJson>);

impl Personal {
    /// Reads it, if the caller may see it.
    pub(crate) fn read(json: Option<Phi<Vec<u8>>>) -> Self {
        Self(json.and_then(|json| serde_json::from_slice(json.expose()).ok()).map(WipedJson::new))
    }

    /// One of its values, without the salt of its commitment.
    pub(crate) fn value(&self, name: &str) -> Option<WipedJson> {
        let value = self.0.as_ref()?.expose().get(name)?.get("value")?.clone();
        Some(WipedJson::new(value))
    }

    /// All of it.
    pub(crate) fn whole(self) -> Option<WipedJson> {
        self.0
    }
}

/// Shows it, for `serialize_with`.
pub(crate) fn shown<T: Shown, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.content().serialize(serializer)
}

/// As [`shown`], for what need not be there.
pub(crate) fn shown_if_any<T: Shown, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(Shown::content).serialize(serializer)
}
