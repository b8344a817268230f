//! Seals an application's columns in process, without a server.
//!
//! | what | where |
//! | --- | --- |
//! | keys of an application: made, opened, shared by path, rotated | [`Sealer`] |
//! | a column, and how it is found | [`Column`], [`Indexed`] |
//! | a sealed value; opens when asked | [`Sealed`] |
//! | who opens, and what is recorded of it first | [`Opener`], [`Trail`] |
//! | search terms | [`Term`], [`Terms`] |
//! | documents with sealed members | [`SealedJson`], [`Document`], [`Fields`] |
//! | ready-made values | [`Email`], [`Phone`], [`PersonName`], [`ApiSecret`], [`Date`], [`Decimal`] |
//! | columns in SQL | features `sqlx-postgres`, `sqlx-sqlite` |
//!
//! The bytes are those of the server (suite 0x01, `docs/adr/0001-suite-0x01.md`), and so are the rules: a value is bound to
//! its tenant, table, column, row and type; without a key nothing is sealed and nothing is kept in the clear instead.
//!
//! ```
//! use chancery_sealed::{Column, Email, Indexed, Normalizer, RootUse, Sealed, Sealer};
//!
//! struct PatientEmail;
//! impl Column for PatientEmail {
//!     type Value = Email;
//!     const TABLE: &'static str = "patients";
//!     const COLUMN: &'static str = "email";
//! }
//! impl Indexed for PatientEmail {
//!     const NORMALIZER: Normalizer = Normalizer::Email;
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("clinic.key");
//! let sealer = Sealer::create(&path)?;
//!
//! let email = Email::parse("ana@example.org")?;
//! let sealed = Sealed::<PatientEmail>::seal(&sealer, "patient-42", &email)?;
//! assert!(sealed.to_text().starts_with("chy1."));
//!
//! // Found by its term, whatever the case.
//! let stored = sealer.term::<PatientEmail>(&email)?;
//! assert!(sealer.terms::<PatientEmail>(&Email::parse("ANA@Example.org")?)?.contains(&stored));
//!
//! // Opened when asked, and only in its place.
//! let opener = sealer.unaudited("the clinic's own access log has it");
//! assert_eq!(sealed.open(&opener, "patient-42")?.expose().as_str(), "ana@example.org");
//! assert!(sealed.open(&opener, "patient-43").is_err());
//!
//! // A rotation locks nobody out.
//! sealer.rotate(RootUse::Data)?;
//! let moved = sealed.renewed(&opener, "patient-42")?.unwrap();
//! assert_eq!(moved.open(&opener, "patient-42")?.expose().as_str(), "ana@example.org");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod column;
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
mod database;
mod error;
mod json;
mod opener;
mod ready;
mod ring;
mod sealed;
mod sealer;
mod serde_impls;
mod shared;
mod term;
mod value;

pub use chancery_crypto::Phi;
pub use chancery_domain::{
    TenantId,
    fields::{Bind, FieldType, Normalizer, value::WrongType},
    keyring::KeyProvider,
};
pub use column::{Column, Indexed, Stored};
pub use error::{BoxError, NotSealed, OpenError, RenewError, SealError, SealerError};
pub use json::{Document, Fields, METADATA, PointerError, SealedJson};
pub use opener::{Opener, Reading, Trail};
pub use ready::{ApiSecret, Date, Decimal, Email, Invalid, PersonName, Phone};
pub use ring::RootUse;
pub use sealed::Sealed;
pub use sealer::Sealer;
pub use shared::KEY_PATH_VARIABLE;
pub use term::{Term, Terms};
pub use value::{Json, Searchable, Value};
