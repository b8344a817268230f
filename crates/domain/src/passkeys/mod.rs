//! Passkeys: WebAuthn credentials of people, as a second factor and instead of a password (MF-08, ADR 0020).
//!
//! What an authenticator says is verified by a [`PasskeyVerifier`]; who may, for what and how often is decided here. A challenge
//! is good for one ceremony of one person in one session, for five minutes, once. Rows alone make no passkey: each carries a
//! keyed digest of whose key it is.

use async_trait::async_trait;

use crate::{
    ids::{PasskeyId, UserId},
    store::StoreError,
    time::Timestamp,
};

mod again;
mod ceremony;
pub(crate) mod challenge;
mod client_data;
mod login;
mod manage;
mod register;
mod row;
mod settings;

pub use again::{again, begin_again};
pub use ceremony::{AllowedPasskey, AssertionOptions, RegistrationOptions};
pub use challenge::CHALLENGE_SECONDS;
pub use login::{begin_login, begin_step, login, step};
pub use manage::{list, remove, rename};
pub use register::{Registered, begin, begin_in_login, register, register_in_login};
pub use settings::{NotARelyingParty, RelyingParty, SignCountPolicy};

/// How many one user may have.
pub const MAX_PASSKEYS: usize = 20;

/// A passkey as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Its id.
    pub id: PasskeyId,
    /// Whose.
    pub user: UserId,
    /// What its authenticator calls it; unique in the tenant.
    pub credential: Vec<u8>,
    /// Its public key, in the verifier's own form.
    pub public_key: Vec<u8>,
    /// What its user calls it: 1 to 100 characters.
    pub name: String,
    /// How often its authenticator said that it signed; 0 from those that do not count.
    pub sign_count: u32,
    /// Whether it may live on more than one device.
    pub backup_eligible: bool,
    /// Whether it does, by what it said last.
    pub backed_up: bool,
    /// The model of its authenticator; zeros if that was not told.
    pub aaguid: [u8; 16],
    /// How browsers reach its authenticator, as they told: hints, nothing more.
    pub transports: Vec<String>,
    /// Whether its maker's certificate was verified.
    pub attested: bool,
    /// HMAC-SHA-256 under the pepper of whose key it is.
    pub digest: [u8; 32],
    /// The version of the root that the pepper derives from.
    pub pepper_version: u32,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was used last.
    pub last_used_at: Option<Timestamp>,
}

/// Reads passkeys.
#[async_trait]
pub trait PasskeyRows {
    /// A user's, oldest first.
    async fn passkeys(&mut self, user: UserId) -> Result<Vec<Passkey>, StoreError>;
    /// By what its authenticator calls it.
    async fn passkey_by_credential(&mut self, credential: &[u8]) -> Result<Option<Passkey>, StoreError>;
}

/// Changes passkeys.
#[async_trait]
pub trait PasskeyWrites {
    /// Adds one: [`StoreError::Taken`]`("passkey")` if the tenant has this credential already.
    async fn insert_passkey(&mut self, passkey: &Passkey) -> Result<(), StoreError>;
    /// Notes a use, if the count is still as it was read: [`StoreError::Changed`]`("passkey")`.
    async fn use_passkey(
        &mut self,
        passkey: &Passkey,
        sign_count: u32,
        backed_up: bool,
        at: Timestamp,
    ) -> Result<(), StoreError>;
    /// Names one of a user: [`StoreError::Changed`]`("passkey")` if there is none.
    async fn rename_passkey(&mut self, user: UserId, id: PasskeyId, name: &str) -> Result<(), StoreError>;
    /// Removes one of a user: [`StoreError::Changed`]`("passkey")` if there is none.
    async fn remove_passkey(&mut self, user: UserId, id: PasskeyId) -> Result<(), StoreError>;
    /// Uses a challenge up, and forgets those that expired before `now`: [`StoreError::Changed`]`("passkey_challenge")` if it
    /// was used.
    async fn spend_challenge(
        &mut self,
        challenge: &[u8; 32],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError>;
}

/// What a browser answers to a registration.
#[derive(Debug, Clone)]
pub struct RegistrationAnswer {
    /// What the authenticator calls the credential.
    pub credential: Vec<u8>,
    /// What the browser saw, as the bytes that were signed.
    pub client_data: Vec<u8>,
    /// The attestation object.
    pub attestation_object: Vec<u8>,
    /// How the browser reaches the authenticator.
    pub transports: Vec<String>,
}

/// What a browser answers to a login.
#[derive(Debug, Clone)]
pub struct AssertionAnswer {
    /// Which credential.
    pub credential: Vec<u8>,
    /// What the browser saw, as the bytes that were signed.
    pub client_data: Vec<u8>,
    /// What the authenticator saw, as the bytes that were signed.
    pub authenticator_data: Vec<u8>,
    /// Its signature.
    pub signature: Vec<u8>,
    /// Whose it says the credential is.
    pub user_handle: Option<Vec<u8>>,
}

/// A credential whose registration was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCredential {
    /// What its authenticator calls it.
    pub credential: Vec<u8>,
    /// Its public key, for [`PasskeyVerifier::asserted`].
    pub public_key: Vec<u8>,
    /// How often its authenticator said that it signed.
    pub sign_count: u32,
    /// Whether it may live on more than one device.
    pub backup_eligible: bool,
    /// Whether it does.
    pub backed_up: bool,
    /// The model of its authenticator.
    pub aaguid: [u8; 16],
    /// Whether its maker's certificate was verified.
    pub attested: bool,
}

/// What an authenticator said of itself with a right signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assertion {
    /// How often it signed.
    pub sign_count: u32,
    /// Whether the credential lives on more than one device by now.
    pub backed_up: bool,
}

/// Why something that an authenticator said does not hold. For our log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not verified: {0}")]
pub struct Unverified(pub String);

/// Verifies what authenticators say ([WebAuthn Level 3](https://www.w3.org/TR/webauthn-3/) §7.1 and §7.2), for one relying party.
/// The user must have been present and verified. It keeps no state and does not look at sign counts: those are judged here.
pub trait PasskeyVerifier: Send + Sync {
    /// For whom.
    fn relying_party(&self) -> &RelyingParty;

    /// A new credential, if the answer is right for this challenge and the attestation is one that is accepted.
    ///
    /// # Errors
    ///
    /// [`Unverified`].
    fn registered(&self, challenge: &[u8], answer: &RegistrationAnswer) -> Result<NewCredential, Unverified>;

    /// What the authenticator of `passkey` says, if the answer is right for this challenge.
    ///
    /// # Errors
    ///
    /// [`Unverified`].
    fn asserted(&self, challenge: &[u8], passkey: &Passkey, answer: &AssertionAnswer) -> Result<Assertion, Unverified>;
}
