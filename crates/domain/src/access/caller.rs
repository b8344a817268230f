//! A verified identity.

use std::sync::Arc;

use chancery_crypto::Phi;

use super::{Permission, PermissionSet, RequestInfo, RoleSet};
use crate::{
    idempotency::Claim,
    ids::{ApiKeyId, ExternalId, IdentityProviderId, RequestId, SessionId, TenantId, TokenId, UserId},
    sessions::Authentication,
    time::Timestamp,
};

codes! {
    /// How a caller proved who it is.
    pub enum AuthMethod {
        /// An access token of our own, got with a password.
        Password = "password",
        /// An API key.
        ApiKey = "api_key",
        /// A token of an older system.
        Legacy = "legacy",
        /// A token of an identity provider.
        External = "external",
        /// The process itself: first start, jobs, commands on the machine.
        System = "system",
    }
}

/// Who the caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A person.
    User(UserId),
    /// A program, by its API key.
    ApiKey(ApiKeyId),
    /// Somebody of an identity provider.
    External(ExternalId),
    /// Chancery itself.
    System,
}

/// Somebody whom an identity provider vouches for.
#[derive(Debug)]
pub struct External {
    /// Which provider.
    pub provider: IdentityProviderId,
    /// As it calls them. Personal data.
    pub subject: Phi<String>,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::ApiKey(id) => id.fmt(f),
            Self::External(id) => id.fmt(f),
            Self::System => f.write_str("system"),
        }
    }
}

/// A verified identity: tenant, subject, roles, how it authenticated.
///
/// Nobody constructs one but [`super::authenticate`].
#[derive(Debug, Clone)]
pub struct Caller {
    pub(crate) tenant: TenantId,
    pub(crate) tenant_slug: String,
    pub(crate) subject: Subject,
    pub(crate) username: Option<String>,
    pub(crate) roles: RoleSet,
    /// The names of the tenant's own roles that it holds.
    pub(crate) defined_roles: Vec<String>,
    pub(crate) permissions: PermissionSet,
    pub(crate) auth: AuthMethod,
    pub(crate) token: Option<TokenId>,
    pub(crate) session: Option<SessionId>,
    pub(crate) authentication: Option<Authentication>,
    pub(crate) api_key: Option<ApiKeyId>,
    pub(crate) external: Option<Arc<External>>,
    /// The id of the older system's token that it came with.
    pub(crate) older_token: Option<Arc<str>>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Caller {
    /// Whose data it may touch.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// That tenant's short name.
    pub fn tenant_slug(&self) -> &str {
        &self.tenant_slug
    }

    /// Who it is.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// The user, if it is one.
    pub fn user(&self) -> Option<UserId> {
        match self.subject {
            Subject::User(id) => Some(id),
            Subject::ApiKey(_) | Subject::External(_) | Subject::System => None,
        }
    }

    /// The user's name at login.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// Its roles, of the eight.
    pub fn roles(&self) -> RoleSet {
        self.roles
    }

    /// The names of its tenant's own roles that it holds.
    pub fn defined_roles(&self) -> &[String] {
        &self.defined_roles
    }

    /// Everything it may do in its own tenant.
    pub fn permissions(&self) -> PermissionSet {
        self.permissions
    }

    /// How it authenticated.
    pub fn auth(&self) -> AuthMethod {
        self.auth
    }

    /// Its access token's `jti`.
    pub fn token(&self) -> Option<TokenId> {
        self.token
    }

    /// The session of its access token.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// By what and when the person behind it proved who it is.
    pub fn authentication(&self) -> Option<&Authentication> {
        self.authentication.as_ref()
    }

    /// Its API key.
    pub fn api_key(&self) -> Option<ApiKeyId> {
        self.api_key
    }

    /// Who vouches for it, and under which name.
    pub fn external(&self) -> Option<&External> {
        self.external.as_deref()
    }

    /// The id of the older system's token that it came with: its `jti` there, or its digest.
    pub fn older_token(&self) -> Option<&str> {
        self.older_token.as_deref()
    }

    /// When its credential ends.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Whether it holds `permission` in its own tenant.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
    }
}

/// Why a call may not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The caller lacks this permission in its own tenant.
    #[error("the caller lacks the permission `{0}`")]
    Forbidden(Permission),
    /// The tenant is not the caller's, or there is none: the two look the same.
    #[error("no such tenant")]
    NoSuchTenant,
    /// The person proved who it is longer ago than these seconds, or nobody knows when: it must do so again (RFC 9470).
    #[error("the person must prove again who it is: at most {0} seconds ago")]
    StepUp(u32),
}

/// How fresh a person's proof must be for what is dangerous, in seconds.
pub const RECENT_SECONDS: u32 = 600;

/// One call: who, and with which request.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// With which request.
    pub request: RequestInfo,
    /// Set when the caller wants the creation to happen once.
    pub once: Option<Claim>,
}

impl Call {
    /// The caller's tenant.
    pub fn tenant(&self) -> TenantId {
        self.caller.tenant
    }

    /// The request's id.
    pub fn request_id(&self) -> RequestId {
        self.request.id
    }

    /// Asks for `permission` in the caller's own tenant.
    ///
    /// # Errors
    ///
    /// [`Denied::Forbidden`].
    pub fn require(&self, permission: Permission) -> Result<(), Denied> {
        if self.caller.may(permission) { Ok(()) } else { Err(Denied::Forbidden(permission)) }
    }

    /// Asks that a person has proved who it is at most `max_age` seconds before `now`: a stolen session does not do what cannot be
    /// undone, nor give itself more than it has.
    ///
    /// API keys and the process itself prove who they are with every request.
    ///
    /// # Errors
    ///
    /// [`Denied::StepUp`].
    pub fn require_recent(&self, now: Timestamp, max_age: u32) -> Result<(), Denied> {
        match self.caller.auth {
            AuthMethod::ApiKey | AuthMethod::System => return Ok(()),
            AuthMethod::Password | AuthMethod::External | AuthMethod::Legacy => {}
        }
        let proved = self.caller.authentication.as_ref();
        let recent = proved.is_some_and(|proof| now <= proof.at.plus_seconds(i64::from(max_age)));
        if recent { Ok(()) } else { Err(Denied::StepUp(max_age)) }
    }

    /// Asks for `permission` in `tenant`, named by a path; in a foreign one, for `across` instead.
    ///
    /// # Errors
    ///
    /// - [`Denied::NoSuchTenant`]: a foreign tenant and no right across tenants; the same as a missing one.
    /// - [`Denied::Forbidden`]: the own tenant, without the permission.
    pub fn require_within(&self, tenant: TenantId, permission: Permission, across: Permission) -> Result<(), Denied> {
        if tenant == self.caller.tenant {
            return self.require(permission);
        }
        if self.caller.tenant.is_platform() && self.caller.may(across) { Ok(()) } else { Err(Denied::NoSuchTenant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::{RequestInfo, RoleSet, authenticate::caller_of_user},
        sessions::Amr,
    };

    const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

    fn call(auth: AuthMethod, proved: Option<Timestamp>) -> Call {
        let (tenant, user) = (TenantId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let token = TokenId::from_bytes([4; 16]);
        let (slug, name) = ("north".to_owned(), "ada".to_owned());
        let mut caller = caller_of_user(tenant, slug, user, name, RoleSet::default(), token, NOW);
        caller.auth = auth;
        caller.authentication = proved.map(|at| Authentication { methods: vec![Amr::Password], at });
        let id = RequestId::from_bytes([3; 16]);
        let request = RequestInfo { id, address: None, user_agent: None, key: None, route: "/", method: "POST" };
        Call { caller, request, once: None }
    }

    #[test]
    fn a_persons_proof_grows_old_and_a_programs_does_not() {
        let asked = |auth, proved| call(auth, proved).require_recent(NOW, 600);
        assert_eq!(asked(AuthMethod::Password, Some(NOW)), Ok(()));
        assert_eq!(asked(AuthMethod::Password, Some(NOW.plus_seconds(-600))), Ok(()));
        assert_eq!(asked(AuthMethod::Password, Some(NOW.plus_seconds(-601))), Err(Denied::StepUp(600)));
        assert_eq!(asked(AuthMethod::Password, None), Err(Denied::StepUp(600)), "nobody knows when");
        assert_eq!(asked(AuthMethod::ApiKey, None), Ok(()), "also of a key that acts as a person");
        assert_eq!(asked(AuthMethod::System, None), Ok(()));
        // An issuer's word counts, if it says when; a program that an issuer vouches for was never asked.
        assert_eq!(asked(AuthMethod::External, Some(NOW)), Ok(()));
        assert_eq!(asked(AuthMethod::External, None), Err(Denied::StepUp(600)));
    }
}
