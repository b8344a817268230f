//! What a message is checked with: secrets that a sender shares with us, tokens, public keys.

use chancery_crypto::{Ed25519PublicKey, P256PublicKey, Secret, sha256};
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};

use super::{KeyAddress, KeyForm, Provider, verify::tink};
use crate::{text::is_url, weak::is_weak};

codes! {
    /// What a secret of a source is for.
    pub enum SecretKind {
        /// The sender signs with it.
        Shared = "shared",
        /// The public half of what the sender signs with.
        PublicKey = "public_key",
        /// The sender shows it, in a handshake or a path.
        Token = "token",
    }
}

/// The fewest bytes of a key that a sender signs with.
const MIN_KEY_BYTES: usize = 16;
/// The fewest characters of a token. Where it is all that there is, it must be drawn: 22 characters of base64 are 128 bits.
const MIN_TOKEN_CHARS: usize = 16;
const MIN_DRAWN_TOKEN_CHARS: usize = 22;
/// The longest text of a secret: a key set has several keys in it.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// A secret of a source, ready to check with. Wiped on drop.
#[derive(Debug)]
pub enum Material {
    /// A key for codes.
    Mac(Secret<Vec<u8>>),
    /// What is compared as it is.
    Token(Secret<String>),
    /// A key of Standard Webhooks (`whpk_`).
    Ed25519(Ed25519PublicKey),
    /// The key of an application on one device.
    Device(Device),
    /// Keys of a Tink key set.
    KeySet(Vec<tink::Key>),
    /// Where a Tink key set is published. Nothing is verified with it before that was fetched.
    KeySetAt(KeyAddress),
}

/// The key of an application on one device, as App Attest made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Its public half.
    pub key: P256PublicKey,
    /// How far it had counted.
    pub counter: u32,
}

impl Device {
    /// What the device calls the key: SHA-256 of the point.
    pub fn key_id(&self) -> [u8; 32] {
        sha256(self.key.as_bytes())
    }
}

impl Material {
    /// Reads the text of a secret, in the form that the provider gives it.
    ///
    /// # Errors
    ///
    /// What is wrong with it. Never repeats it.
    pub fn read(
        provider: Provider,
        key_form: &KeyForm,
        kind: SecretKind,
        text: &Secret<String>,
    ) -> Result<Self, &'static str> {
        let value = text.expose().as_str();
        if !provider.kinds().contains(&kind) {
            return Err("the provider has no secret of this kind");
        }
        if value.len() > MAX_TEXT_BYTES {
            return Err("too long");
        }
        if is_weak(value) {
            return Err("a well-known weak or default value");
        }
        match (provider, kind) {
            (_, SecretKind::Token) => token(provider, value),
            (Provider::Standard, SecretKind::Shared) => {
                let text = value.strip_prefix("whsec_").unwrap_or(value).trim_end_matches('=');
                // Some libraries give it without padding.
                let key = Secret::new(BASE64_NOPAD.decode(text.as_bytes()).map_err(|_| "use whsec_ and base64")?);
                // 24 or more by the specification, whose own example has 18.
                let fits = (MIN_KEY_BYTES..=64).contains(&key.expose().len());
                if fits { Ok(Self::Mac(key)) } else { Err("use 16 to 64 bytes") }
            }
            (_, SecretKind::Shared) => mac(key_form, value),
            (Provider::Standard, SecretKind::PublicKey) => {
                let bytes = value.strip_prefix("whpk_").and_then(|text| BASE64.decode(text.as_bytes()).ok());
                let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or("use whpk_ and base64 of 32 bytes")?;
                Ed25519PublicKey::from_bytes(bytes).map(Self::Ed25519).map_err(|_| "not an Ed25519 key")
            }
            (Provider::AppleHealth, SecretKind::PublicKey) => {
                let bytes = BASE64.decode(value.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
                let key = P256PublicKey::from_bytes(bytes.ok_or("use base64 of the 65 bytes of a P-256 point")?);
                key.map(|key| Self::Device(Device { key, counter: 0 })).map_err(|_| "not a point of P-256")
            }
            (_, SecretKind::PublicKey) if value.contains("://") && !value.contains('{') => {
                let address = is_url(value).then(|| KeyAddress::new(value));
                address.map(Self::KeySetAt).ok_or("use a Tink key set in JSON, or the address of one")
            }
            (_, SecretKind::PublicKey) => tink::read(value).map(Self::KeySet),
        }
    }
}

fn token(provider: Provider, value: &str) -> Result<Material, &'static str> {
    let least = if provider == Provider::Garmin { MIN_DRAWN_TOKEN_CHARS } else { MIN_TOKEN_CHARS };
    if value.len() < least {
        return Err(if provider == Provider::Garmin { "use 22 characters or more, drawn" } else { "use 16 or more" });
    }
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if provider == Provider::Garmin && !value.bytes().all(in_path) {
        return Err("it stands in a path: use letters, digits, - and _");
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("use printable characters");
    }
    Ok(Material::Token(Secret::new(value.to_owned())))
}

fn mac(form: &KeyForm, value: &str) -> Result<Material, &'static str> {
    let key = Secret::new(match form {
        KeyForm::Text => value.as_bytes().to_vec(),
        KeyForm::TextAnd(more) => [value.as_bytes(), more.as_bytes()].concat(),
        KeyForm::Base64 => BASE64.decode(value.as_bytes()).map_err(|_| "not base64")?,
        KeyForm::Hex => HEXLOWER_PERMISSIVE.decode(value.as_bytes()).map_err(|_| "not hex")?,
    });
    // Of what the sender gave, without what is put behind it.
    let more = if let KeyForm::TextAnd(more) = form { more.len() } else { 0 };
    if key.expose().len() < MIN_KEY_BYTES + more { Err("use 16 bytes or more") } else { Ok(Material::Mac(key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(provider: Provider, kind: SecretKind, text: &str) -> Result<Material, &'static str> {
        let form = provider.layout().map(|layout| layout.key).unwrap_or_default();
        Material::read(provider, &form, kind, &Secret::new(text.to_owned()))
    }

    #[test]
    fn a_secret_is_long_enough_and_in_the_providers_form() {
        use SecretKind::{PublicKey, Shared, Token};
        let drawn = "0123456789abcdefABCDEF";
        for (provider, kind, good) in [
            (Provider::Oura, Shared, drawn),
            (Provider::Fitbit, Token, drawn),
            (Provider::Garmin, Token, drawn),
            (Provider::Standard, Shared, "whsec_plJ3nmyCDGBKInavdOK15jslAAAAAAAA"),
            (Provider::Standard, Shared, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            (Provider::GoogleHealth, PublicKey, "https://www.gstatic.com/googlehealthapi/webhooks/keys.json"),
        ] {
            read(provider, kind, good).unwrap();
        }
        for (provider, kind, bad) in [
            (Provider::Oura, Shared, "short"),
            (Provider::Oura, Shared, ""),
            (Provider::Oura, Shared, "your_secret_key_here"),
            (Provider::Fitbit, Shared, "fifteen-chars-1"),
            (Provider::Whoop, Token, drawn),
            (Provider::Garmin, Shared, drawn),
            (Provider::Garmin, Token, "0123456789abcdefABCDE"),
            (Provider::Garmin, Token, "0123456789abcdef/../ABCDE"),
            (Provider::Standard, Shared, "whsec_c2hvcnQ="),
            (Provider::Standard, PublicKey, "whpk_c2hvcnQ="),
            (Provider::AppleHealth, PublicKey, "BAAA"),
            (Provider::GoogleHealth, PublicKey, "{}"),
            (Provider::GoogleHealth, PublicKey, "file:///etc/passwd"),
            (Provider::AppleHealth, PublicKey, "https://keys.example/device"),
        ] {
            assert!(read(provider, kind, bad).is_err(), "{provider} {kind} {bad}");
        }
    }
}
