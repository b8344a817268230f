//! Certificates of Apple's devices, as App Attest brings them (ADR 0038).
//!
//! The path is rustls-webpki's to judge; x509-parser finds what is in the certificate at its end.

use std::time::Duration;

use chancery_domain::{
    Timestamp,
    webhooks::{DeviceCertificates, Vouched},
};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime, pem::PemObject as _};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, aws_lc_rs};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Apple App Attestation Root CA, valid until 2045-03-15, from
/// <https://www.apple.com/certificateauthority/Apple_App_Attestation_Root_CA.pem>. SHA-256 of the certificate:
/// `1C:B9:82:3B:A2:8B:A6:AD:2D:33:A0:06:94:1D:E2:AE:4F:51:3E:F1:D4:E8:31:B9:F7:E0:FA:7B:62:42:C9:32`.
pub const APPLE_ROOT: &str = include_str!("apple_app_attestation_root.pem");

/// What Apple signs with: P-384 in the authorities, over either hash.
static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 2] =
    [aws_lc_rs::ECDSA_P384_SHA256, aws_lc_rs::ECDSA_P384_SHA384];
/// The extension with the nonce, 1.2.840.113635.100.8.2, and what stands in it before the nonce: a sequence of one octet string, tagged 1.
const NONCE: [u64; 7] = [1, 2, 840, 113_635, 100, 8, 2];
const BEFORE_NONCE: [u8; 6] = [0x30, 0x24, 0xA1, 0x22, 0x04, 0x20];

/// Reads certificates that lead to these roots.
pub struct AppleDevices(Vec<TrustAnchor<'static>>);

/// A text that holds no certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no certificate in PEM, or one that cannot be read")]
pub struct NoRoots;

impl AppleDevices {
    /// With the certificates in this text, in PEM, as roots.
    ///
    /// # Errors
    ///
    /// [`NoRoots`].
    pub fn new(roots: &str) -> Result<Self, NoRoots> {
        let mut anchors = Vec::new();
        for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
            let root = root.map_err(|_| NoRoots)?;
            anchors.push(anchor_from_trusted_cert(&root).map_err(|_| NoRoots)?.to_owned());
        }
        if anchors.is_empty() { Err(NoRoots) } else { Ok(Self(anchors)) }
    }
}

impl DeviceCertificates for AppleDevices {
    fn vouched(&self, chain: &[&[u8]], now: Timestamp) -> Option<Vouched> {
        let (first, others) = chain.split_first()?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_seconds()).ok()?));
        let others: Vec<CertificateDer<'_>> = others.iter().map(|one| CertificateDer::from(*one)).collect();
        let leaf = CertificateDer::from(*first);
        let end = EndEntityCert::try_from(&leaf).ok()?;
        // Apple names no purpose; a certificate that names another than a client's is for something else.
        end.verify_for_usage(&ALGORITHMS, &self.0, &others, now, KeyUsage::client_auth(), None, None).ok()?;
        read(first)
    }
}

/// The key and the nonce of a certificate.
fn read(der: &[u8]) -> Option<Vouched> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut named = certificate.extensions().iter().filter(|one| one.oid.iter().is_some_and(|oid| oid.eq(NONCE)));
    let extension = named.next().filter(|_| named.next().is_none())?;
    let nonce = extension.value.strip_prefix(&BEFORE_NONCE)?.try_into().ok()?;
    let point = <[u8; 65]>::try_from(&*certificate.public_key().subject_public_key.data).ok()?;
    Some(Vouched { point, nonce })
}
