//! What of a person is accepted, and how it is kept: trimmed, checked, sealed.

use chancery_crypto::Phi;
use serde_json::Value;

use super::create::MAX_METADATA_BYTES;
use crate::{
    Instance,
    faults::Faults,
    fields::Field,
    keyring::{Keyring, KeyringError, ring::Place},
    text::{check_name, is_email, is_phone, is_url},
};

/// A member, what it must look like, and what to say if it does not.
type Format = (&'static str, fn(&str) -> bool, &'static str);

/// Members of a user's metadata that are checked when they are texts.
const FORMATS: [Format; 2] = [
    ("phone", is_phone, "use a phone number such as +49 30 1234567"),
    ("website", is_url, "use an http or https address"),
];

/// Without blanks at both ends.
pub(crate) fn trimmed(value: Phi<String>) -> Phi<String> {
    value.map(|text| text.trim().to_owned())
}

/// Notes a fault unless it is an e-mail address.
pub(crate) fn check_email(email: &Phi<String>, faults: &mut Faults) {
    if !is_email(email.expose()) {
        faults.add("/email", "format", "use an e-mail address");
    }
}

/// Notes a fault unless it is a name of a person.
pub(super) fn check_person_name(pointer: &str, name: &Phi<String>, faults: &mut Faults) {
    check_name(pointer, name.expose(), 100, faults);
}

/// Notes what is wrong with metadata.
pub(crate) fn check_metadata(metadata: &Phi<String>, faults: &mut Faults) {
    if metadata.expose().len() > MAX_METADATA_BYTES {
        faults.add("/metadata", "too_long", "use at most 64 KiB");
        return;
    }
    let Ok(Value::Object(members)) = serde_json::from_str(metadata.expose()) else {
        faults.add("/metadata", "type", "must be a JSON object");
        return;
    };
    for (name, is_right, message) in FORMATS {
        if members.get(name).and_then(Value::as_str).is_some_and(|text| !is_right(text)) {
            faults.add(format!("/metadata/{name}"), "format", message);
        }
    }
    drop(crate::records::WipedJson::new(Value::Object(members)));
}

/// Seals one value of a user.
pub(crate) fn seal(
    instance: &Instance,
    ring: &Keyring,
    field: &Field,
    row: &str,
    value: &Phi<String>,
) -> Result<Vec<u8>, KeyringError> {
    ring.seal(Place { field, row }, value.expose().as_bytes(), instance.random()).map(|sealed| sealed.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(metadata: &str) -> Vec<String> {
        let mut faults = Faults::default();
        check_metadata(&Phi::new(metadata.to_owned()), &mut faults);
        faults.0.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn phone_numbers_and_addresses_in_metadata_have_a_form() {
        assert!(faults(r#"{"phone": "+49 30 1234567", "website": "https://a.example/x", "ward": 7}"#).is_empty());
        assert!(faults(r#"{"phone": null, "website": ["x"]}"#).is_empty(), "of another type: the application's own");
        let bad = r#"{"phone": "call me", "website": "javascript:alert(1)"}"#;
        assert_eq!(faults(bad), ["/metadata/phone", "/metadata/website"]);
        assert_eq!(faults("[]"), ["/metadata"]);
    }
}
