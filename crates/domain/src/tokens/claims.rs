//! What a token says, on the wire.

use serde::{Deserialize, Serialize};

use super::FIRST_PARTY;
use crate::{
    Instance,
    access::{Role, RoleSet},
    ids::{SessionId, TenantId, TokenId},
    sessions::Amr,
    time::Timestamp,
};

/// The header (RFC 7515 §4). Nothing else may be in it: a token that brings a key, a place of one or an extension is refused
/// whatever it is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header<T = String> {
    pub(super) typ: T,
    pub(super) alg: T,
    pub(super) kid: T,
}

/// The payload (RFC 9068 §2.2).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: String,
    pub(super) sub: String,
    pub(super) client_id: String,
    pub(super) iat: i64,
    pub(super) exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<i64>,
    pub(super) jti: TokenId,
    pub(super) tenant_id: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) username: Option<String>,
    pub(super) roles: Vec<Role>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) amr: Vec<Amr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) auth_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cnf: Option<Confirmation>,
}

/// To which key a token is bound (RFC 7800, RFC 9449 §6.1).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation {
    /// The thumbprint of the public key.
    pub(super) jkt: String,
}

impl Claims {
    /// What every token says. Whose it is comes on top.
    pub(super) fn of(instance: &Instance, tenant: TenantId, roles: RoleSet, id: TokenId, now: Timestamp) -> Self {
        let settings = instance.settings();
        Self {
            iss: settings.issuer.clone(),
            aud: settings.issuer.clone(),
            sub: String::new(),
            client_id: FIRST_PARTY.to_owned(),
            iat: now.as_seconds(),
            exp: now.as_seconds() + i64::from(settings.access_minutes) * 60,
            nbf: None,
            jti: id,
            tenant_id: tenant,
            username: None,
            roles: roles.iter().collect(),
            kind: "access".to_owned(),
            sid: None,
            amr: Vec::new(),
            auth_time: None,
            cnf: None,
        }
    }
}
