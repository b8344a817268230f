//! A phone with an application on it, in software: has its key attested, and lies when told to (App Attest, ADR 0038).

use chancery_crypto::{P256SigningKey, sha256};
use chancery_domain::{
    Timestamp,
    webhooks::{DeviceCertificates, Provider, Rules, Signer, Vouched, sign},
};

/// What stands for Apple's root in [`PlainCertificates`].
pub const ROOT: &[u8] = b"root";

/// Certificates that are a point and a nonce, and a root that is called [`ROOT`]: for tests that are not about X.509.
#[derive(Debug, Clone, Copy)]
pub struct PlainCertificates;

impl DeviceCertificates for PlainCertificates {
    fn vouched(&self, chain: &[&[u8]], _: Timestamp) -> Option<Vouched> {
        let [leaf, root] = chain else { return None };
        let (point, nonce) = leaf.split_first_chunk()?;
        (*root == ROOT).then_some(Vouched { point: *point, nonce: nonce.try_into().ok()? })
    }
}

/// A phone with an application on it. What it says can be changed.
#[derive(Debug)]
pub struct Phone {
    key: P256SigningKey,
    /// `TEAMID.bundle.id` of the application.
    pub app: String,
    /// How far it has counted.
    pub count: u32,
    /// What it says its environment is (AAGUID).
    pub environment: [u8; 16],
}

impl Phone {
    /// With this application from the App Store, and a new key.
    pub fn new(app: &str) -> Self {
        Self {
            key: P256SigningKey::make().unwrap(),
            app: app.to_owned(),
            count: 0,
            environment: *b"appattest\0\0\0\0\0\0\0",
        }
    }

    /// Its key, as a point.
    pub fn point(&self) -> [u8; 65] {
        *self.key.public().as_bytes()
    }

    /// What it says of itself and its key.
    pub fn authenticator_data(&self) -> Vec<u8> {
        let (app, credential) = (sha256(self.app.as_bytes()), sha256(&self.point()));
        [&app[..], &[0x40], &self.count.to_be_bytes(), &self.environment, &[0, 32], &credential, b"COSE"].concat()
    }

    /// What Apple puts into the certificate.
    pub fn nonce(&self, challenge: &[u8]) -> [u8; 32] {
        sha256(&[&self.authenticator_data()[..], &sha256(challenge)].concat())
    }

    /// The attestation object with these certificates.
    pub fn object(&self, chain: [&[u8]; 2]) -> Vec<u8> {
        let [leaf, issuer] = chain;
        let statement =
            [&[0xA2][..], &text("x5c"), &[0x82], &bytes(leaf), &bytes(issuer), &text("receipt"), &bytes(b"r")].concat();
        let data = bytes(&self.authenticator_data());
        let format = text("apple-appattest");
        [&[0xA3][..], &text("fmt"), &format, &text("attStmt"), &statement, &text("authData"), &data].concat()
    }

    /// What it answers to a challenge, with [`PlainCertificates`].
    pub fn attest(&self, challenge: &[u8]) -> Vec<u8> {
        self.object([&[&self.point()[..], &self.nonce(challenge)].concat(), ROOT])
    }

    /// The headers of its next message.
    pub fn sign(&mut self, body: &[u8], now: Timestamp) -> Vec<(String, String)> {
        self.count += 1;
        let app_ids = vec![self.app.clone()];
        let rules = Rules { provider: Provider::AppleHealth, layout: None, client_id: None, app_ids };
        sign(&rules, Signer::Device(&self.key, self.count), "", body, now).unwrap()
    }
}

fn text(text: &str) -> Vec<u8> {
    [&[0x60 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [&[0x59][..], &u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}
