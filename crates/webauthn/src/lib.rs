//! Verifies what authenticators say, for passkeys, with webauthn-rs (ADR 0020); and reads the certificates of devices that send webhooks
//! (ADR 0038).
//!
//! webauthn-rs is behind the feature `library`: with it come 75 crates. Without it [`verifier()`] says so.
#![forbid(unsafe_code)]

use std::sync::Arc;

use chancery_domain::passkeys::{PasskeyVerifier, RelyingParty};

mod devices;
#[cfg(feature = "library")]
mod roots;
#[cfg(feature = "library")]
mod verifier;

pub use devices::{APPLE_ROOT, AppleDevices, NoRoots};

/// Whose authenticators are registered: those of the makers whose certificates are known, and of certain models.
#[derive(Debug, Clone, Copy)]
pub struct Makers<'a> {
    /// Certificates in PEM.
    pub roots: &'a str,
    /// Models (AAGUIDs) as UUIDs.
    pub models: &'a [String],
}

/// Why nobody verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadVerifier {
    /// The library is not in this build.
    #[error("this build has no passkeys; build it with the feature `passkeys`")]
    NotBuilt,
    /// An origin is none.
    #[error("an origin cannot be read")]
    Origin,
    /// There is no certificate of a maker.
    #[error("there is no certificate in PEM")]
    NoCertificate,
    /// A certificate of a maker cannot be read.
    #[error("a certificate cannot be read")]
    Certificate,
    /// No model is named.
    #[error("no model is allowed: name at least one AAGUID")]
    NoModel,
    /// A model is no UUID.
    #[error("an AAGUID is not written as a UUID")]
    Model,
}

/// Who verifies for this relying party; with makers, it registers their authenticators alone.
///
/// # Errors
///
/// [`BadVerifier`].
#[cfg(feature = "library")]
pub fn verifier(party: RelyingParty, makers: Option<&Makers<'_>>) -> Result<Arc<dyn PasskeyVerifier>, BadVerifier> {
    Ok(Arc::new(verifier::Verifier::new(party, makers)?))
}

/// Who would verify for this relying party.
///
/// # Errors
///
/// [`BadVerifier::NotBuilt`].
#[cfg(not(feature = "library"))]
pub fn verifier(_: RelyingParty, _: Option<&Makers<'_>>) -> Result<Arc<dyn PasskeyVerifier>, BadVerifier> {
    Err(BadVerifier::NotBuilt)
}
