//! How it stands with whom a token names: everything that could stop it, seen at one moment and asked for at once.

use async_trait::async_trait;
use ipnet::IpNet;

use super::RoleSet;
use crate::{
    ids::{ApiKeyId, SessionId, TokenId, UserId},
    roles::DefinedRole,
    sessions::SessionState,
    store::StoreError,
    tenants::TenantState,
    time::Timestamp,
    users::UserState,
};

/// Whom a verified token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    /// The token's own id.
    pub token: TokenId,
    /// Whose it is.
    pub whose: Whose,
}

/// Whose a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A person's, perhaps of a session.
    Person(UserId, Option<SessionId>),
    /// A program's, by its API key.
    Client(ApiKeyId),
}

/// What is stored of a bearer, all of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stands {
    /// The tenant's slug and state; `None` if there is no such tenant.
    pub tenant: Option<(String, TenantState)>,
    /// What stands against the token on the denylist: up to which moment of issue, or against it alone (`None`).
    pub revocations: Vec<Option<Timestamp>>,
    /// The person, if one was named and is there.
    pub user: Option<BearingUser>,
    /// The session, if one was named and is there.
    pub session: Option<BearingSession>,
    /// The program's key, if one was named and is there.
    pub key: Option<BearingKey>,
    /// The tenant's own roles that the person or the key holds, by name. What they are for is not read.
    pub roles: Vec<DefinedRole>,
}

/// What of a user decides on its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearingUser {
    /// The name at login.
    pub username: String,
    /// Whether it may log in.
    pub state: UserState,
    /// What it may be.
    pub roles: RoleSet,
}

/// What of a session decides on its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BearingSession {
    /// Whose it is.
    pub user: UserId,
    /// Whether it was ended.
    pub state: SessionState,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// What of an API key decides on its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearingKey {
    /// The user it acts as.
    pub user: Option<UserId>,
    /// What it may be.
    pub roles: RoleSet,
    /// From where it may be used; empty means anywhere.
    pub allowed_cidrs: Vec<IpNet>,
    /// How often it may be used in a minute.
    pub rate_limit: Option<u32>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Until when it is suspended, or was.
    pub suspended_until: Option<Timestamp>,
}

impl BearingSession {
    /// Whether it neither was ended nor ended by itself.
    pub(crate) fn goes_on(&self, now: Timestamp) -> bool {
        self.state.goes_on(self.expires_at, now)
    }
}

/// Reads how it stands with a bearer.
#[async_trait]
pub trait BearerRows {
    /// All of it, in one statement: of the transaction's tenant alone.
    async fn bearer(&mut self, bearer: &Bearer) -> Result<Stands, StoreError>;
}
