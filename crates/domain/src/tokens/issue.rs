//! Issues access tokens.

use chancery_crypto::Secret;
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    TYPE, TokenAlgorithm,
    claims::{Claims, Confirmation, Header},
};
use crate::{
    Instance,
    access::RoleSet,
    ids::{ApiKeyId, SessionId, TenantId, TokenId, UserId},
    instance::Failure,
    keyring::{KeyringError, Managed},
    sessions::Authentication,
    time::Timestamp,
};

/// What a token says of the person who holds it, for issuing.
#[derive(Debug, Clone)]
pub struct Holder<'a> {
    /// Whose data.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// The name at login.
    pub username: &'a str,
    /// The roles at login.
    pub roles: RoleSet,
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// By what and when its holder proved who it is.
    pub authentication: &'a Authentication,
    /// The thumbprint of the key that it is bound to, if any.
    pub key: Option<&'a str>,
}

/// What a token says of the program that holds it, for issuing.
#[derive(Debug, Clone)]
pub struct Client {
    /// Whose data.
    pub tenant: TenantId,
    /// Which API key.
    pub api_key: ApiKeyId,
    /// The roles, at most those of the key.
    pub roles: RoleSet,
    /// When the key ends: the token does not outlive it.
    pub ends: Option<Timestamp>,
    /// Its life in minutes, if not the usual one.
    pub minutes: Option<u8>,
    /// What it says besides.
    pub claims: Map<String, Value>,
    /// The thumbprint of the key that it is bound to, if any.
    pub key: Option<String>,
}

/// A new access token.
#[derive(Debug)]
pub struct AccessToken {
    /// The compact JWS.
    pub text: Secret<String>,
    /// Its `jti`, the handle for revocation.
    pub id: TokenId,
    /// Its end.
    pub expires_at: Timestamp,
    /// Its life in seconds.
    pub expires_in: i64,
    /// Whether it is bound to a key.
    pub bound: bool,
}

impl AccessToken {
    /// How it is sent: the scheme of `Authorization`.
    pub const fn scheme(&self) -> &'static str {
        if self.bound { "DPoP" } else { "Bearer" }
    }
}

/// Issues an access token to a person.
///
/// # Errors
///
/// [`Failure`].
pub async fn issue(instance: &Instance, holder: Holder<'_>) -> Result<AccessToken, Failure> {
    let now = instance.now();
    let id = TokenId::make(now, instance.random())?;
    let claims = Claims {
        sub: holder.user.to_string(),
        username: Some(holder.username.to_owned()),
        sid: holder.session,
        amr: holder.authentication.methods.clone(),
        auth_time: Some(holder.authentication.at.as_seconds()),
        cnf: holder.key.map(|jkt| Confirmation { jkt: jkt.to_owned() }),
        ..Claims::of(instance, holder.tenant, holder.roles, id, now)
    };
    sign(instance, claims, &Map::new()).await
}

/// Issues an access token to a program. It has no session; `sub` and `client_id` are the same (RFC 9068 §2.2).
///
/// # Errors
///
/// [`Failure`].
pub async fn issue_to_client(instance: &Instance, client: Client) -> Result<AccessToken, Failure> {
    let now = instance.now();
    let id = TokenId::make(now, instance.random())?;
    let claims = Claims::of(instance, client.tenant, client.roles, id, now);
    let exp = client.minutes.map_or(claims.exp, |minutes| claims.iat + i64::from(minutes) * 60);
    let claims = Claims {
        sub: client.api_key.to_string(),
        client_id: client.api_key.to_string(),
        exp: client.ends.map_or(exp, |end| exp.min(end.as_seconds())),
        cnf: client.key.map(|jkt| Confirmation { jkt }),
        ..claims
    };
    sign(instance, claims, &client.claims).await
}

/// All that a token says.
#[derive(Serialize)]
struct Payload<'a> {
    #[serde(flatten)]
    claims: &'a Claims,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

async fn sign(instance: &Instance, claims: Claims, more: &Map<String, Value>) -> Result<AccessToken, Failure> {
    let text = signed(instance, TYPE, &Payload { claims: &claims, more }).await?;
    Ok(AccessToken {
        text: Secret::new(text),
        id: claims.jti,
        expires_at: Timestamp::from_seconds(claims.exp),
        expires_in: claims.exp - claims.iat,
        bound: claims.cnf.is_some(),
    })
}

/// A compact JWS of this type, by the platform's newest token key.
pub(super) async fn signed(instance: &Instance, typ: &str, payload: &impl Serialize) -> Result<String, Failure> {
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let version = ring.active(Managed::Token)?;
    let algorithm = version.public.as_ref().and_then(TokenAlgorithm::of).ok_or(KeyringError::Unwrap)?;
    let header = Header { typ, alg: algorithm.as_str(), kid: version.key_id.as_str() };
    let (header, payload) = (json(&header)?, json(payload)?);
    // Room for all of it but an RSA signature: it is written once, and leaves no part of it behind.
    let parts = BASE64URL_NOPAD.encode_len(header.len()) + BASE64URL_NOPAD.encode_len(payload.len());
    let mut text = String::with_capacity(parts + 2 + BASE64URL_NOPAD.encode_len(64));
    BASE64URL_NOPAD.encode_append(&header, &mut text);
    text.push('.');
    BASE64URL_NOPAD.encode_append(&payload, &mut text);
    let signature = version.sign_token(text.as_bytes())?;
    text.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut text);
    Ok(text)
}

fn json(part: &impl Serialize) -> Result<Vec<u8>, Failure> {
    // As long as most are.
    let mut bytes = Vec::with_capacity(512);
    serde_json::to_writer(&mut bytes, part).map_err(|_| Failure::Internal("a token is no JSON"))?;
    Ok(bytes)
}
