//! A user in its tenant: what every step of a session needs together.

use super::Session;
use crate::{
    TenantId,
    access::{Call, RequestInfo, authenticate::caller_of_user},
    ids::TokenId,
    tokens::AccessToken,
    users::User,
};

/// A user, and the tenant whose user it is.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The tenant's short name.
    pub slug: &'a str,
    /// The user.
    pub user: &'a User,
}

impl Person<'_> {
    /// The call in which it gets an access token of a session, or loses the session without one: for the event.
    pub(super) fn call(self, request: &RequestInfo, session: &Session, access: Option<&AccessToken>) -> Call {
        let end = access.map_or(session.expires_at, |access| access.expires_at);
        let mut caller = caller_of_user(
            self.tenant,
            self.slug.to_owned(),
            self.user.id,
            self.user.username.clone(),
            self.user.roles,
            access.map_or(TokenId::from_bytes([0; 16]), |access| access.id),
            end,
        );
        caller.token = access.map(|access| access.id);
        caller.session = Some(session.id);
        caller.authentication = Some(session.authentication.clone());
        Call { caller, request: request.clone(), once: None }
    }
}
