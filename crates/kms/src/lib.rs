//! Key providers: what wraps the platform root.
//!
//! Each implements [`KeyProvider`](chancery_domain::keyring::KeyProvider) and passes
//! `chancery_testkit::key_provider_conformance!`.
//!
//! | provider | where its key is |
//! | --- | --- |
//! | [`Local`] | 32 random bytes in a file of mode 600 on this machine |
//! | [`Recovery`] | printed once as `chyr_…` and kept by people; never on a disk of the server |
//!
//! ```
//! use chancery_crypto::{Key256, random::SystemRandom};
//! use chancery_domain::keyring::{KeyProvider, WrapLabel};
//! use chancery_kms::Local;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let provider = Local::create(&folder.path().join("root.key"))?;
//! let root = Key256::make(&SystemRandom)?;
//! let label = WrapLabel { environment: "production", purpose: "platform-root", version: 1 };
//!
//! let wrapped = provider.wrap(&root, label).await?;
//! assert_eq!(provider.unwrap(&wrapped, label).await?.expose(), root.expose());
//!
//! // What one environment wrapped does not open in another.
//! let elsewhere = WrapLabel { environment: "development", ..label };
//! assert!(provider.unwrap(&wrapped, elsewhere).await.is_err());
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

pub mod private_file;

mod local;
mod recovery;
mod wrapper;

pub use local::Local;
pub use recovery::{ParseRecoveryKeyError, Recovery};
