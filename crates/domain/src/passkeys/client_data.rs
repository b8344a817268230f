//! What the browser saw: checked by what it says, exactly, before any signature is.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::RelyingParty;

/// What a browser did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ceremony {
    /// `navigator.credentials.create()`.
    Create,
    /// `navigator.credentials.get()`.
    Get,
}

/// The client data (WebAuthn §5.8.1). Browsers may add members.
#[derive(Deserialize)]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: Option<bool>,
    #[serde(default, rename = "topOrigin")]
    top_origin: Option<String>,
}

/// The challenge that the browser was given, if it did what we asked for, on a page of ours.
pub(super) fn challenge(party: &RelyingParty, ceremony: Ceremony, bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let data: ClientData = serde_json::from_slice(bytes).map_err(|_| "client data that is none")?;
    let wanted = match ceremony {
        Ceremony::Create => "webauthn.create",
        Ceremony::Get => "webauthn.get",
    };
    if data.r#type != wanted {
        return Err("client data of another ceremony");
    }
    // INVARIANT: letter by letter. The verifier's own comparison takes origins apart, and lets a path through.
    if !party.origins().contains(&data.origin) {
        return Err("another origin");
    }
    // In a frame of somebody else's page.
    if data.cross_origin == Some(true) || data.top_origin.is_some() {
        return Err("a page within another's");
    }
    BASE64URL_NOPAD.decode(data.challenge.as_bytes()).map_err(|_| "a challenge that is none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<u8>, &'static str> {
        let party = RelyingParty::new("clinic.test", "Clinic", vec!["https://clinic.test".to_owned()]).unwrap();
        challenge(&party, Ceremony::Get, text.as_bytes())
    }

    #[test]
    fn what_a_browser_saw_is_taken_exactly() {
        let fine = r#"{"type":"webauthn.get","challenge":"AQID","origin":"https://clinic.test","crossOrigin":false,"other":{}}"#;
        assert_eq!(read(fine), Ok(vec![1, 2, 3]));
        for (from, to) in [
            ("webauthn.get", "webauthn.create"),
            ("webauthn.get", "webauthn.get "),
            ("https://clinic.test", "https://clinic.test/"),
            ("https://clinic.test", "https://app.clinic.test"),
            ("https://clinic.test", "http://clinic.test"),
            ("https://clinic.test", "https://clinic.test:444"),
            ("\"crossOrigin\":false", "\"crossOrigin\":true"),
            ("\"crossOrigin\":false", "\"topOrigin\":\"https://clinic.test\""),
            ("\"crossOrigin\":false", "\"origin\":\"https://clinic.test\""),
            ("AQID", "AQID="),
            ("AQID", "AQI!"),
            ("{\"type\"", "{\"typ\""),
        ] {
            assert!(fine.contains(from));
            assert!(read(&fine.replacen(from, to, 1)).is_err(), "{from} {to}");
        }
        assert!(read("").is_err());
    }
}
