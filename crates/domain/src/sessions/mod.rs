//! A person's login on one client: a family of refresh tokens of which one is the head (RFC 9700 §4.14.2).
//!
//! Each use of the head gives a successor that is *computed* from the family and its generation, so a client that lost the answer
//! may ask again and gets the same one. Anything older than that was copied: the family ends, and with it every access token
//! that names it in `sid`. Changes are compare-and-swap on the generation, never on timestamps.

use async_trait::async_trait;

use crate::{
    ids::{SessionId, UserId},
    store::StoreError,
    time::Timestamp,
};

mod end;
mod inspect;
mod list;
mod open;
mod person;
mod reauthenticate;
mod refresh;
mod token;

pub(crate) use end::end_but;
pub use end::{EndSessionError, end, end_all};
pub use inspect::{end_by_token, inspect};
pub use list::{SessionError, end_of, end_own, list, list_own};
pub(crate) use open::Opening;
pub use open::{SessionTokens, open};
pub use person::Person;
pub use reauthenticate::{Proof, Proved, ReauthenticateError, reauthenticate};
pub(crate) use reauthenticate::{count as count_proof, end_tries, failed as proof_failed, of_factor, proved};
pub use refresh::{RefreshError, refresh};
pub use token::{NotARefreshToken, RefreshToken};

codes! {
    /// Whether a session goes on.
    pub enum SessionState {
        /// Yes.
        Active = "active",
        /// Its person or an administrator ended it.
        Ended = "ended",
        /// A refresh token of it was used twice: somebody had a copy.
        Reused = "reused",
    }
}

codes! {
    /// How somebody proved who it is (RFC 8176).
    pub enum Amr {
        /// A password.
        Password = "pwd",
        /// A one-time code.
        Otp = "otp",
        /// A key that does not leave its device.
        HardwareKey = "hwk",
        /// A key that its owner's devices share.
        SoftwareKey = "swk",
        /// The device knew its owner: a PIN or a finger.
        User = "user",
        /// More than one of them.
        MultiFactor = "mfa",
    }
}

/// By what and when a person proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// The methods, in the order of their use.
    pub methods: Vec<Amr>,
    /// When.
    pub at: Timestamp,
}

impl Authentication {
    /// As text codes, separated by spaces, for the store.
    pub fn methods_text(&self) -> String {
        self.methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// A session as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id: the `sid` of its access tokens.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// Whether it goes on.
    pub state: SessionState,
    /// By what and when its person proved who it is.
    pub authentication: Authentication,
    /// The head of the family.
    pub head: Head,
    /// Since when.
    pub created_at: Timestamp,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
    /// When it was ended before that.
    pub ended_at: Option<Timestamp>,
    /// The thumbprint of the key that its tokens are bound to (RFC 9449).
    pub key: Option<String>,
}

impl Session {
    /// Whether it neither was ended nor ended by itself.
    pub(crate) fn goes_on(&self, now: Timestamp) -> bool {
        self.state.goes_on(self.expires_at, now)
    }
}

impl SessionState {
    /// Whether a session in this state, which ends by itself then, neither was ended nor ended by itself.
    pub(crate) fn goes_on(self, expires_at: Timestamp, now: Timestamp) -> bool {
        self == Self::Active && now < expires_at
    }
}

/// The newest refresh token of a session: what is stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many tokens came before it.
    pub generation: u32,
    /// SHA-256 of its secret part.
    pub digest: [u8; 32],
    /// The version of the pepper that its secret was computed with.
    pub pepper_version: u32,
    /// Who used the one before it: a keyed digest of the client, by its user agent.
    pub client: [u8; 32],
    /// Since when it is the head.
    pub since: Timestamp,
    /// When it ends unless it is used.
    pub expires_at: Timestamp,
}

/// Reads sessions.
#[async_trait]
pub trait SessionRows {
    /// By id.
    async fn session(&mut self, id: SessionId) -> Result<Option<Session>, StoreError>;
    /// The active ones of a user, oldest first.
    async fn active_sessions(&mut self, user: UserId) -> Result<Vec<Session>, StoreError>;
}

/// Changes sessions.
#[async_trait]
pub trait SessionWrites {
    /// Adds one.
    async fn insert_session(&mut self, session: &Session) -> Result<(), StoreError>;
    /// Gives an active session another head, if its head is still of generation `from`: [`StoreError::Changed`]`("session")`.
    async fn advance_session(&mut self, id: SessionId, from: u32, head: &Head) -> Result<(), StoreError>;
    /// Counts a try to prove again who its person is: [`StoreError::Changed`]`("session")` if it is over or was tried `most` times.
    async fn try_session(&mut self, id: SessionId, most: u32) -> Result<(), StoreError>;
    /// Keeps by what and when its person proved again who it is, and ends the count of tries:
    /// [`StoreError::Changed`]`("session")` if it is over.
    async fn prove_session(&mut self, id: SessionId, proof: &Authentication) -> Result<(), StoreError>;
    /// Ends an active session: [`StoreError::Changed`]`("session")` if it is over.
    async fn end_session(&mut self, id: SessionId, state: SessionState, at: Timestamp) -> Result<(), StoreError>;
    /// Ends all active sessions of a user; how many.
    async fn end_sessions_of(&mut self, user: UserId, at: Timestamp) -> Result<u64, StoreError>;
    /// Ends all active sessions of the tenant; how many.
    async fn end_all_sessions(&mut self, at: Timestamp) -> Result<u64, StoreError>;
    /// Forgets at most `limit` sessions that were over before `at`; how many.
    async fn forget_sessions(&mut self, at: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
