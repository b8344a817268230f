//! A token of somebody else, taken apart. Nothing of it is believed yet.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use crate::{records::Tree, tokens::check_form};

/// Members of a header that say nothing a verifier must know: thumbprints of certificates, which Entra and Keycloak send along.
const READ_OVER: [&str; 2] = ["x5t", "x5t#S256"];
/// The longest `kid`.
const MAX_KID: usize = 255;

/// A compact JWS.
pub(crate) struct Foreign<'a> {
    /// All of the header.
    pub(crate) header: Map<String, Value>,
    /// All that it claims.
    pub(crate) claims: Map<String, Value>,
    /// What is signed.
    pub(crate) signed: &'a str,
    /// By this.
    pub(crate) signature: Vec<u8>,
}

/// What a header says.
pub(crate) struct Header<'h> {
    pub(crate) alg: &'h str,
    pub(crate) kid: &'h str,
    pub(crate) typ: Option<&'h str>,
}

impl<'a> Foreign<'a> {
    /// Takes it apart: at most 8 KiB, strict base64url, JSON objects without double keys.
    pub(crate) fn parse(text: &'a str) -> Result<Self, &'static str> {
        check_form(text)?;
        let (signed, signature) = text.rsplit_once('.').ok_or("malformed token")?;
        let (header, claims) = signed.split_once('.').ok_or("malformed token")?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| "malformed token")?;
        Ok(Self { header: object(header, "token header")?, claims: object(claims, "token claims")?, signed, signature })
    }

    /// The header, if it has what is needed and nothing that a verifier would have to understand.
    pub(crate) fn header(&self) -> Result<Header<'_>, &'static str> {
        let mut known = Header { alg: "", kid: "", typ: None };
        for (name, value) in &self.header {
            let text = value.as_str().ok_or("token header");
            match name.as_str() {
                "alg" => known.alg = text?,
                "kid" => known.kid = text?,
                "typ" => known.typ = Some(text?),
                name if READ_OVER.contains(&name) => {}
                // `jwk`, `jku`, `x5u`, `x5c` bring a key; `crit`, `b64`, `zip` change what is signed; the `nonce` of a token of
                // Microsoft Graph changes it too. What else there is, nobody needs.
                _ => return Err("token header has a member that is not taken"),
            }
        }
        let plain =
            |text: &str| !text.is_empty() && text.len() <= MAX_KID && text.bytes().all(|b| b.is_ascii_graphic());
        if plain(known.alg) && plain(known.kid) { Ok(known) } else { Err("token header lacks alg or kid") }
    }
}

/// An object in JSON in base64url.
fn object(part: &str, what: &'static str) -> Result<Map<String, Value>, &'static str> {
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| "malformed token")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| what)?;
    // Refuses a key that comes twice, at any depth: which of both counts, two readers may not agree on.
    drop(Tree::parse(text).map_err(|_| what)?);
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(header: &str, claims: &str) -> Result<(), &'static str> {
        let text = [header, claims, "x"].map(|part| BASE64URL_NOPAD.encode(part.as_bytes())).join(".");
        Foreign::parse(&text)?.header().map(drop)
    }

    #[test]
    fn a_header_brings_nothing_along() {
        assert_eq!(parsed(r#"{"alg":"RS256","kid":"a","typ":"JWT","x5t":"b","x5t#S256":"c"}"#, "{}"), Ok(()));
        for member in [
            r#""jwk":{}"#,
            r#""jku":"x""#,
            r#""x5u":"x""#,
            r#""x5c":[]"#,
            r#""crit":[]"#,
            r#""b64":true"#,
            r#""zip":"DEF""#,
            r#""nonce":"x""#,
            r#""cty":"JWT""#,
            r#""epk":{}"#,
        ] {
            let header = format!(r#"{{"alg":"RS256","kid":"a",{member}}}"#);
            assert_eq!(parsed(&header, "{}"), Err("token header has a member that is not taken"), "{member}");
        }
        for header in
            [r#"{"alg":"RS256"}"#, r#"{"kid":"a"}"#, r#"{"alg":"","kid":"a"}"#, r#"{"alg":"RS256","kid":"a b"}"#]
        {
            assert_eq!(parsed(header, "{}"), Err("token header lacks alg or kid"), "{header}");
        }
        for header in [r#"{"alg":null,"kid":"a"}"#, r#"{"alg":["RS256"],"kid":"a"}"#, r#"{"alg":"RS256","kid":7}"#] {
            assert_eq!(parsed(header, "{}"), Err("token header"), "{header}");
        }
        let long = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(256));
        assert_eq!(parsed(&long, "{}"), Err("token header lacks alg or kid"));
    }

    #[test]
    fn nothing_is_said_twice() {
        let header = r#"{"alg":"RS256","kid":"a"}"#;
        assert_eq!(parsed(r#"{"alg":"RS256","kid":"a","kid":"a"}"#, "{}"), Err("token header"));
        for claims in [
            r#"{"exp":1,"exp":2}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            "[]",
            "7",
            "",
            "{",
            r#"{"a":1e999}"#,
            "{}{}",
            "\u{feff}{}",
        ] {
            assert!(parsed(header, claims).is_err(), "{claims}");
        }
    }
}
