//! Issuers outside whose access tokens a tenant takes: Auth0, Okta, Entra, Cognito, Keycloak, or any that speaks OpenID Connect.
//!
//! A provider belongs to one tenant and makes callers of that tenant only. A token's own `iss` finds a provider that somebody
//! configured; nothing else in a token is followed. See `docs/adr/0019-identity-providers.md`.

use async_trait::async_trait;

use crate::{TenantId, ids::IdentityProviderId, store::StoreError, time::Timestamp};

mod algorithm;
mod apart;
pub(crate) mod claims;
mod explain;
mod fetch;
#[doc(hidden)]
pub mod hostile;
mod judge;
mod jws;
mod key_set;
mod key_sets;
mod manage;
mod mapped;
mod profile;
mod spec;
mod trail;
mod verify;

pub use algorithm::ForeignAlgorithm;
pub use explain::{ClaimShown, Verdict, test};
pub(crate) use fetch::origin;
pub use fetch::{Document, DocumentFetcher, FetchError, MAX_DOCUMENT_BYTES, NoDocuments};
pub(crate) use jws::Foreign;
pub use key_sets::KeyFetches;
pub(crate) use key_sets::{KeySets, KeySource, Missing};
pub use manage::{IdentityProviderError, create, delete, get, list, replace};
pub use mapped::MappedRole;
pub use profile::{AudienceClaim, Profile, SecondFactor, TokenType};
pub use spec::{IdentityProviderSpec, MAX_PROVIDERS};
pub use trail::{Check, Step};
pub(crate) use verify::{Admitted, is_foreign, verify};

/// An issuer whose tokens the tenant takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Which.
    pub id: IdentityProviderId,
    /// What it is called: 1 to 63 characters.
    pub name: String,
    /// By which rules its tokens are read.
    pub profile: Profile,
    /// The `iss` of its tokens, to the letter.
    pub issuer: String,
    /// Where its keys are; asked of its discovery document if nothing is said.
    pub jwks_uri: Option<String>,
    /// For whom its tokens must be: one of these.
    pub audiences: Vec<String>,
    /// In which claim that is said.
    pub audience_claim: AudienceClaim,
    /// How its tokens may be signed.
    pub algorithms: Vec<ForeignAlgorithm>,
    /// What the `typ` of its tokens must be.
    pub token_type: TokenType,
    /// A claim that must have this value, where several tenants share an issuer and an audience.
    pub tenant_claim: Option<(String, String)>,
    /// The claim with the person's groups or roles.
    pub role_claim: String,
    /// Which role of ours a value of that claim gives, ordered by value.
    pub role_map: Vec<(String, MappedRole)>,
    /// What proves a second factor, without which privileged roles are not given.
    pub second_factor: SecondFactor,
    /// How far its clock may differ from ours, in seconds.
    pub leeway_seconds: u8,
    /// How long a token may live, in seconds.
    pub max_age_seconds: u32,
    /// Whether its tokens are taken.
    pub enabled: bool,
    /// When they are not taken any more, whatever `enabled` says.
    pub ends_at: Option<Timestamp>,
    /// Makes the ids of its subjects, so that nobody finds a subject by trying names.
    pub salt: [u8; 32],
    /// Since when.
    pub created_at: Timestamp,
    /// Since when it is as it is.
    pub changed_at: Timestamp,
}

impl IdentityProvider {
    /// Whether its tokens are taken at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.enabled && self.ends_at.is_none_or(|end| now < end)
    }
}

/// What authentication knows of a provider before its tenant is entered. No personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProviderEntry {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: IdentityProviderId,
    /// In which claim it looks for its audience; any, if a version wrote the entry that did not say.
    pub audience_claim: Option<AudienceClaim>,
    /// For whom its tokens must be.
    pub audience: String,
    /// A claim that must have this value.
    pub tenant_claim: Option<(String, String)>,
}

/// Reads providers.
#[async_trait]
pub trait IdentityProviderRows {
    /// All of the tenant's, ordered by id.
    async fn identity_providers(&mut self) -> Result<Vec<IdentityProvider>, StoreError>;
    /// One of them.
    async fn identity_provider(&mut self, id: IdentityProviderId) -> Result<Option<IdentityProvider>, StoreError>;
}

/// Changes providers, and what the directory knows of them.
#[async_trait]
pub trait IdentityProviderWrites {
    /// Holds an issuer until this transaction ends: nobody else sets up a provider of it meanwhile. Gives the enabled ones that
    /// there are, of all tenants, an entry for each audience. Whoever puts an enabled one looks at them first.
    async fn hold_issuer(&mut self, issuer: &str) -> Result<Vec<IdentityProviderEntry>, StoreError>;
    /// Adds one, or replaces what it is. The directory knows enabled ones by issuer, claim and audience.
    /// [`StoreError::Taken`]`("identity_provider")` if an enabled one of any tenant has the same there, and the same tenant's claim.
    async fn put_identity_provider(&mut self, provider: &IdentityProvider) -> Result<(), StoreError>;
    /// Removes one. [`StoreError::Changed`]`("identity_provider")` if there is none.
    async fn delete_identity_provider(&mut self, id: IdentityProviderId) -> Result<(), StoreError>;
}
