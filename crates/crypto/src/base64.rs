//! Base64 with one spelling for each value.

use data_encoding::{BASE64, Encoding};

/// Reads padded standard base64 ([RFC 4648 §4](https://www.rfc-editor.org/rfc/rfc4648#section-4)).
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    decode_as(&BASE64, text)
}

/// Reads `text` in another alphabet, or without padding.
pub(crate) fn decode_as(form: &Encoding, text: &str) -> Option<Vec<u8>> {
    is_one(text).then(|| form.decode(text.as_bytes()).ok()).flatten()
}

/// Whether padding stands at the end only. `data_encoding` also reads padded texts that were put together, as one value:
/// `AA==AA==` like `AAA=`.
pub(crate) fn is_one(text: &str) -> bool {
    !text.trim_end_matches('=').contains('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_spelling() {
        assert_eq!(decode("AAA="), Some(vec![0, 0]));
        for other in ["AA==AA==", "AAA", "AAB=", "AAA= ", "AAA=\n", "AA_="] {
            assert_eq!(decode(other), None, "{other}");
        }
    }
}
