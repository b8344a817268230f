//! The maths: secrets, sealed values, signatures, Merkle logs. No I/O.
//!
//! | what | where |
//! | --- | --- |
//! | values that never print and are wiped | [`Secret`], [`Phi`], [`Key256`] |
//! | sealed fields | [`ColumnKey`] seals and opens, [`Sealed`] is the bytes, [`Context`] the place, [`Handle`] the key version |
//! | sealed rows | [`TableKey`] makes and finds a [`RecordKey`], which seals members; [`RecordHeader`], [`SealedMember`] are the bytes |
//! | sealed blobs | [`BlobKey`] begins a [`BlobSealer`], [`BlobOpener`] or [`BlobReader`]; [`BlobLayout`] finds chunks |
//! | wrapped keys | [`WrappingKey`], [`WrapContext`] |
//! | keys from keys | [`derive_key`] |
//! | terms of a blind index | [`IndexKey`] |
//! | codes and commitments | [`MacKey`], [`commitment()`], [`sha256`] |
//! | signatures | [`Ed25519SigningKey`], [`P256SigningKey`], [`Jwk`], [`dsse`] |
//! | keys of any type | [`KeyMaterial`], [`PublicKey`]: made, stored, read as PEM, DER and JWK, used |
//! | what other systems sealed | [`legacy`]: Fernet, bare AES-GCM, PBKDF2 rows, to read only |
//! | a key in shares | [`shamir`] splits and combines |
//! | what is hashed and signed | [`canonical`] JSON |
//! | logs | [`merkle`], [`tiles`], [`checkpoint`], [`proof`], [`runs`], [`cosignature`] |
//! | passwords, one-time codes | [`password`], [`totp`] |
//! | randomness | [`random`]: the [`Random`] port and [`SystemRandom`] |
//!
//! The formats are frozen in `docs/adr/0001-suite-0x01.md` and shown in `testdata/vectors/chancery/`.

#![forbid(unsafe_code)]

mod base64;
mod blind_index;
mod blob;
pub mod canonical;
pub mod checkpoint;
mod column_key;
mod commitment;
mod context;
pub mod cosignature;
mod derive;
mod digest;
pub mod dsse;
mod envelope;
mod frame;
mod handle;
mod hazmat;
mod jwk;
mod keys;
pub mod legacy;
mod mac;
pub mod merkle;
pub mod password;
pub mod proof;
pub mod random;
mod record;
pub mod runs;
mod secret;
pub mod shamir;
mod sign;
pub mod tiles;
pub mod totp;
mod wrap;

pub use blind_index::{IndexKey, TermError, compound_form};
pub use blob::{
    BLOB_CHUNK, BLOB_HEADER, BLOB_SEALED_CHUNK, BlobHeader, BlobKey, BlobLayout, BlobOpener, BlobReader, BlobSealer,
    ChunkError, PROFILE_BLOB,
};
pub use column_key::{ColumnKey, OpenError, SealError};
pub use commitment::commitment;
pub use context::{Context, ContextDigest, ContextPrefix};
pub use derive::derive_key;
pub use digest::{sha256, sha256_hex, sha384};
pub use envelope::{Flags, MAGIC, OVERHEAD, PLAINTEXT_MAX, PROFILE_FIELD, ParseError, SUITE, Sealed, TEXT_PREFIX};
pub use frame::lv;
pub use handle::Handle;
pub use jwk::{Curve, Jwk, JwkError};
pub use keys::{
    KeyMaterial, KeyType, PublicKey, RsaPrivateKey, RsaPublicKey, RsaSize, SignatureAlgorithm, UnknownKeyType, UseError,
};
pub use mac::MacKey;
pub use random::{Random, RandomError, SystemRandom};
pub use record::{
    MEMBER_OVERHEAD, MemberContext, PROFILE_MEMBER, PROFILE_RECORD, RECORD_OVERHEAD, RecordHeader, RecordKey,
    SealedMember, TableKey,
};
pub use secret::{Key256, Phi, Secret};
pub use sign::{
    Ed25519PublicKey, Ed25519SigningKey, KeyError, P256PublicKey, P256SigningKey, P384PublicKey, P384SigningKey,
};
pub use wrap::{
    MATERIAL_MAX, PROFILE_WRAP, UnwrapError, WRAP_OVERHEAD, WrapContext, WrapError, WrappingKey, parent_of,
};
