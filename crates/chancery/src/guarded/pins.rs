//! Hosts that may have certain public keys and no others, whoever vouches for another one.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use chancery_crypto::sha256;
use data_encoding::BASE64;
use rustls_platform_verifier::Verifier;
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};

/// A host, and the digest of a public key that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Its name.
    pub host: String,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: [u8; 32],
}

/// A text that is no pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a pin: write `app.example sha256/BASE64`")]
pub struct ParsePinError;

impl std::str::FromStr for Pin {
    type Err = ParsePinError;

    fn from_str(text: &str) -> Result<Self, ParsePinError> {
        let (host, digest) = text.trim().split_once(' ').ok_or(ParsePinError)?;
        let digest = digest.trim().strip_prefix("sha256/").ok_or(ParsePinError)?;
        let key = BASE64.decode(digest.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(ParsePinError)?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(ParsePinError);
        }
        Ok(Self { host: host.to_owned(), key })
    }
}

/// Usual TLS with these authorities, or with those of the system, in which pinned hosts must also have one of their keys.
pub(crate) fn tls(authorities: Option<&[u8]>, pins: &[Pin]) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let usual: Arc<dyn ServerCertVerifier> = match authorities {
        Some(pem) => {
            let roots = Arc::new(roots(pem)?);
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?
        }
        None => {
            Arc::new(Verifier::new(Arc::clone(&provider)).context("the system has no certificates of authorities")?)
        }
    };
    let verifier = Arc::new(Pinned { usual, pins: pins.to_vec() });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn roots(pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.context("a certificate that is none")?).context("a certificate of no authority")?;
    }
    if roots.is_empty() {
        bail!("it holds no certificates in PEM");
    }
    Ok(roots)
}

/// Asks for all that is usual, and for one of the keys.
#[derive(Debug)]
struct Pinned {
    usual: Arc<dyn ServerCertVerifier>,
    pins: Vec<Pin>,
}

impl Pinned {
    /// Whether this certificate has a key that the host may have; a host without pins may have any.
    fn allows(&self, host: &ServerName<'_>, certificate: &CertificateDer<'_>) -> Result<bool, rustls::Error> {
        let host = host.to_str().to_ascii_lowercase();
        let mut of_host = self.pins.iter().filter(|pin| pin.host == host).peekable();
        if of_host.peek().is_none() {
            return Ok(true);
        }
        let key = sha256(ParsedCertificate::try_from(certificate)?.subject_public_key_info().as_ref());
        Ok(of_host.any(|pin| pin.key == key))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        if self.allows(server_name, end_entity)? {
            Ok(verified)
        } else {
            Err(rustls::CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_a_host_and_a_digest() {
        let digest = BASE64.encode(&[7; 32]);
        let pin: Pin = format!("app.example sha256/{digest}").parse().unwrap();
        assert_eq!(pin, Pin { host: "app.example".to_owned(), key: [7; 32] });
        for bad in ["", "app.example", "sha256/AAAA", "app.example sha256/AAAA", "App.Example sha256/", "a b sha256/"] {
            assert!(bad.parse::<Pin>().is_err(), "{bad}");
        }
    }
}
