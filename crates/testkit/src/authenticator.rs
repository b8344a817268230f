//! A browser with an authenticator, in software: answers WebAuthn's options as they do, and lies when told to.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

/// The user was there.
pub const PRESENT: u8 = 0x01;
/// The user was verified.
pub const VERIFIED: u8 = 0x04;
/// The credential may live on more than one device.
pub const BACKUP_ELIGIBLE: u8 = 0x08;
/// It does.
pub const BACKED_UP: u8 = 0x10;
/// A credential follows.
const ATTESTED: u8 = 0x40;

/// Who vouches for an authenticator.
#[derive(Debug)]
pub struct Maker {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
}

impl Maker {
    /// With a P-256 key in PKCS#8 and its certificate in DER.
    pub fn new(pkcs8: &[u8], certificate: Vec<u8>) -> Self {
        Self { key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).unwrap(), certificate }
    }
}

/// A key on an authenticator.
#[derive(Debug)]
pub struct SoftKey {
    key: EcdsaKeyPair,
    handle: Vec<u8>,
    /// How often it signed.
    pub count: u32,
}

/// A browser with an authenticator. What it says can be changed.
#[derive(Debug)]
pub struct Authenticator {
    /// The page's origin, as the browser writes it.
    pub origin: String,
    /// The id that it binds keys to.
    pub party: String,
    /// What it says of its user and of the credential.
    pub flags: u8,
    /// Its model.
    pub aaguid: [u8; 16],
    /// Whether it counts.
    pub counts: bool,
    /// Whether the page lies in a frame of another.
    pub cross_origin: bool,
    /// Who vouches for it.
    pub maker: Option<Maker>,
    /// Its keys, by what it calls them in base64url.
    pub keys: BTreeMap<String, SoftKey>,
}

impl Authenticator {
    /// On a page of this origin.
    pub fn new(origin: &str, party: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            party: party.to_owned(),
            flags: PRESENT | VERIFIED,
            aaguid: [0xA5; 16],
            counts: true,
            cross_origin: false,
            maker: None,
            keys: BTreeMap::new(),
        }
    }

    /// `navigator.credentials.create()`, and `toJSON()` of what it gives.
    pub fn create(&mut self, options: &Value) -> Value {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let credential = digest(&SHA256, key.public_key().as_ref()).as_ref().to_vec();
        let id = BASE64URL_NOPAD.encode(&credential);
        let client_data = self.client_data("webauthn.create", options);
        let mut data = self.authenticator_data(ATTESTED, 0);
        data.extend(self.aaguid);
        data.extend(u16::try_from(credential.len()).unwrap().to_be_bytes());
        data.extend(&credential);
        data.extend(public_key(key.public_key().as_ref()));
        let (format, statement) = match &self.maker {
            None => ("none", vec![0xA0]),
            Some(maker) => ("packed", packed(maker, &signed(&data, &client_data))),
        };
        let object =
            [vec![0xA3], text("fmt"), text(format), text("attStmt"), statement, text("authData"), bytes(&data)]
                .concat();
        let handle = BASE64URL_NOPAD.decode(options["user"]["id"].as_str().unwrap().as_bytes()).unwrap();
        self.keys.insert(id.clone(), SoftKey { key, handle, count: 0 });
        json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": BASE64URL_NOPAD.encode(&client_data),
                "attestationObject": BASE64URL_NOPAD.encode(&object),
                "transports": ["usb", "sideways"],
            },
        })
    }

    /// `navigator.credentials.get()`, and `toJSON()` of what it gives: with the first key that the options allow.
    pub fn get(&mut self, options: &Value) -> Value {
        let allowed: Vec<&str> = options["allowCredentials"]
            .as_array()
            .map(|all| all.iter().map(|one| one["id"].as_str().unwrap()).collect())
            .unwrap_or_default();
        let fits = |id: &&String| allowed.is_empty() || allowed.contains(&id.as_str());
        let id = self.keys.keys().find(fits).unwrap().clone();
        self.get_with(&id, options)
    }

    /// As [`Self::get`], with this key, whatever the options say.
    pub fn get_with(&mut self, id: &str, options: &Value) -> Value {
        let client_data = self.client_data("webauthn.get", options);
        let counts = self.counts;
        let key = self.keys.get_mut(id).unwrap();
        if counts {
            key.count += 1;
        }
        let count = key.count;
        let data = self.authenticator_data(0, count);
        let key = &self.keys[id];
        let signature = key.key.sign(&SystemRandom::new(), &signed(&data, &client_data)).unwrap();
        json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": BASE64URL_NOPAD.encode(&client_data),
                "authenticatorData": BASE64URL_NOPAD.encode(&data),
                "signature": BASE64URL_NOPAD.encode(signature.as_ref()),
                "userHandle": BASE64URL_NOPAD.encode(&key.handle),
            },
        })
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = &options["challenge"];
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin})
            .to_string()
            .into_bytes()
    }

    fn authenticator_data(&self, more: u8, count: u32) -> Vec<u8> {
        let mut data = digest(&SHA256, self.party.as_bytes()).as_ref().to_vec();
        data.push(self.flags | more);
        data.extend(count.to_be_bytes());
        data
    }
}

/// What is signed.
fn signed(authenticator_data: &[u8], client_data: &[u8]) -> Vec<u8> {
    [authenticator_data, digest(&SHA256, client_data).as_ref()].concat()
}

/// A packed attestation statement (WebAuthn §8.2).
fn packed(maker: &Maker, message: &[u8]) -> Vec<u8> {
    let signature = maker.key.sign(&SystemRandom::new(), message).unwrap();
    let members = [
        vec![0xA3],
        text("alg"),
        vec![0x26],
        text("sig"),
        bytes(signature.as_ref()),
        text("x5c"),
        vec![0x81],
        bytes(&maker.certificate),
    ];
    members.concat()
}

/// A P-256 key in COSE (RFC 9053 §7.1.1).
fn public_key(uncompressed: &[u8]) -> Vec<u8> {
    let (x, y) = uncompressed[1..].split_at(32);
    [&[0xA5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20], x, &[0x22, 0x58, 0x20], y].concat()
}

/// A text of CBOR, shorter than 24 bytes.
fn text(text: &str) -> Vec<u8> {
    [&[0x60 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// Bytes of CBOR.
fn bytes(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0x59, length[0], length[1]], bytes].concat()
}
