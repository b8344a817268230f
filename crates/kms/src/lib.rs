//! Key providers: what wraps the platform root.
//!
//! Each implements [`KeyProvider`](chancery_domain::keyring::KeyProvider) and passes
//! `chancery_testkit::key_provider_conformance!`.
//!
//! | provider | where its key is |
//! | --- | --- |
//! | [`Local`] | 32 random bytes in a file of mode 600 on this machine |
//! | [`Folder`] | no provider: a folder for copies of single keys, wrapped by one |
//! | [`Recovery`] | printed once as `chyr_…` and kept by people; never on a disk of the server |
//! | [`Shares`] | in the hands of n people, any k of whom put it together |
//! | `pkcs11::Worker` | in an HSM, asked through a child process (feature `pkcs11`) |
//! | `AwsKms` | in AWS KMS (feature `aws`) |
//! | `Vault` | in the transit engine of Vault or OpenBao (feature `vault`) |
//! | `GoogleKms` | in Google Cloud KMS (feature `google`) |
//! | `AzureKeyVault` | in Azure Key Vault or Managed HSM (feature `azure`) |
//! | `s3` | no provider: objects in S3, for whatever has AWS's credentials (feature `s3`) |
//!
//! Settings, permissions and what was tested against what: `docs/guides/key-providers.md`.
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

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
pub mod private_file;

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "azure")]
mod azure;
#[cfg(any(feature = "aws", feature = "http", feature = "pkcs11"))]
mod envelope;
mod folder;
#[cfg(feature = "google")]
mod google;
mod local;
mod recovery;
#[cfg(feature = "s3")]
pub mod s3;
pub mod secrets;
mod shares;
#[cfg(feature = "vault")]
mod vault;
mod wrapper;

#[cfg(feature = "aws")]
pub use aws::{AwsCredentials, AwsKms, AwsKmsSettings, region_of_arn};
#[cfg(feature = "azure")]
pub use azure::{AzureAlgorithm, AzureKeyVault, AzureKeyVaultSettings};
pub use folder::Folder;
#[cfg(feature = "google")]
pub use google::{GoogleKms, GoogleKmsSettings};
pub use local::Local;
pub use recovery::{ParseRecoveryKeyError, Recovery};
pub use shares::{Shares, SharesError};
#[cfg(feature = "vault")]
pub use vault::{Vault, VaultSettings};
