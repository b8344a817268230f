//! Verifies a token of the older system and finds its user here.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::LegacyKey;
use crate::{
    Instance, TenantId,
    access::{
        Role, RoleSet,
        authenticate::{AuthenticateError, TOKEN_EXPIRED},
    },
    identity_providers::{Foreign, claims},
    ids::{TokenId, UserId},
    revocations::{Revocation, older_tokens_of},
    store::{StoreError, TenantEntry, View},
    tenants::TenantState,
    time::Timestamp,
    users::{User, UserState},
};

/// By how much clocks may differ, in seconds.
const SKEW_SECONDS: i64 = 5;
/// The longest life of a token, in seconds: the key is over by then.
const LONGEST_SECONDS: i64 = 8 * 86_400;

/// What a token is presented for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// For a request.
    Access,
    /// For the tokens of a session.
    Refresh,
}

/// A user of ours whom a token of the older system names.
#[derive(Debug)]
pub(crate) struct LegacyUser {
    pub(crate) tenant: TenantId,
    pub(crate) slug: String,
    pub(crate) user: User,
    /// Of the roles that the token names those that the user has, without those that need a second factor: the token proves none.
    pub(crate) roles: RoleSet,
    /// The token's id there, or its digest if it has none.
    pub(crate) jti: String,
    /// When, as it says itself; long ago if it does not.
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Whether a token says that it is signed with a shared secret, and there is a key for such tokens at all.
pub(crate) fn is_legacy(instance: &Instance, text: &str) -> bool {
    #[derive(Deserialize)]
    struct Says {
        alg: String,
    }
    let Some((header, _)) = text.split_once('.') else { return false };
    let bytes = BASE64URL_NOPAD.decode(header.as_bytes()).unwrap_or_default();
    let says = || serde_json::from_slice(&bytes).is_ok_and(|Says { alg }| alg == "HS256");
    instance.settings().legacy.is_some() && says()
}

/// Verifies it for this use.
///
/// # Errors
///
/// [`AuthenticateError`].
pub(crate) async fn verify(instance: &Instance, text: &str, r#use: Use) -> Result<LegacyUser, AuthenticateError> {
    let invalid = AuthenticateError::invalid;
    let now = instance.now();
    let key = instance.settings().legacy.as_deref().filter(|key| key.is_open(now));
    let key = key.ok_or(AuthenticateError::expired("the key of older tokens has expired"))?;
    let token = Foreign::parse(text).map_err(invalid)?;
    check_header(key, &token).map_err(invalid)?;
    let right: bool = key.mac.raw(token.signed.as_bytes()).ct_eq(token.signature.as_slice()).into();
    if !right {
        return Err(invalid("token signature"));
    }
    let (issued_at, expires_at) = check_claims(key, &token, r#use, now).map_err(AuthenticateError::of_token)?;
    let entry = served(instance, key).await?;
    if !is_of(key, &token, &entry) {
        return Err(invalid("token of another tenant"));
    }
    let text_of = |name| claims::text(&token.claims, name).filter(|text| !text.is_empty());
    let username = text_of("username").or_else(|| text_of("sub")).ok_or(invalid("token without a subject"))?;
    // What has no id of its own is known by its digest.
    let jti = text_of("jti").map_or_else(|| digest_of(text), str::to_owned);
    let mut view = instance.store().fresh_view(entry.id).await?;
    // As it is spelled: the older system may have told names apart that are one here.
    let found = view.user_by_username(username).await?.filter(|user| user.username == username);
    let user = found
        .filter(|user| user.state == UserState::Active)
        .ok_or(AuthenticateError::denied("unknown or disabled user"))?;
    let against = against(&mut *view, &jti, user.id).await?;
    if against.iter().any(|revocation| revocation.stops(issued_at)) {
        return Err(AuthenticateError::revoked("revoked token"));
    }
    let roles = roles(&token).intersection(user.roles).unprivileged();
    Ok(LegacyUser {
        tenant: entry.id,
        slug: entry.slug,
        user,
        roles,
        jti,
        issued_at,
        expires_at: expires_at.min(key.ends()),
    })
}

/// What may stand against a token of this id and user.
pub(super) async fn against(
    rows: &mut (dyn View + '_),
    jti: &str,
    user: UserId,
) -> Result<Vec<Revocation>, StoreError> {
    let mut against = rows.foreign_revocations_of(Some(jti)).await?;
    against.extend(rows.foreign_revocations_of(Some(&older_tokens_of(user))).await?);
    // No token of ours has this id; what stands against its user stands against this one too.
    against.extend(rows.revocations_of(TokenId::from_bytes([0; 16]), Some(user)).await?);
    Ok(against)
}

fn digest_of(text: &str) -> String {
    format!("sha256:{}", chancery_crypto::sha256_hex(text.as_bytes()))
}

/// `alg`, `typ` and `kid`, and nothing else.
fn check_header(key: &LegacyKey, token: &Foreign<'_>) -> Result<(), &'static str> {
    let text = |name: &str| token.header.get(name).map(|value| value.as_str().ok_or("token header")).transpose();
    if token.header.keys().any(|name| !["alg", "typ", "kid"].contains(&name.as_str())) {
        return Err("token header has a member that is not taken");
    }
    if text("alg")? != Some("HS256") {
        return Err("token algorithm is not the key's");
    }
    if text("typ")?.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err("token type");
    }
    if text("kid")? == key.kid.as_deref() { Ok(()) } else { Err("unknown token key") }
}

fn check_claims(
    key: &LegacyKey,
    token: &Foreign<'_>,
    r#use: Use,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), &'static str> {
    let exactly = |name: &str, wanted: Option<&str>| match token.claims.get(name) {
        None => wanted.is_none(),
        Some(value) => wanted.is_some() && value.as_str() == wanted,
    };
    if !exactly("iss", key.issuer.as_deref()) || !exactly("aud", key.audience.as_deref()) {
        return Err("token of another issuer or for another audience");
    }
    let read = |name| claims::moment(&token.claims, name);
    let (exp, iat, nbf) = (read("exp")?, read("iat")?, read("nbf")?);
    let exp = exp.ok_or("token without exp")?;
    if exp <= now {
        return Err(TOKEN_EXPIRED);
    }
    let early = |at: Option<Timestamp>| at.is_some_and(|at| at > now.plus_seconds(SKEW_SECONDS));
    if early(iat) || early(nbf) {
        return Err("token of the future");
    }
    // One that says nothing was issued so long ago that everything that was revoked since stops it.
    let issued_at = iat.unwrap_or(Timestamp::from_seconds(0));
    if iat.is_some() && exp > issued_at.plus_seconds(LONGEST_SECONDS) || exp > now.plus_seconds(LONGEST_SECONDS) {
        return Err("token lives too long");
    }
    let kind = match token.claims.get("type") {
        None => None,
        Some(kind) => Some(kind.as_str().ok_or("token of an odd type")?),
    };
    match (r#use, kind) {
        (Use::Access, None | Some("access")) | (Use::Refresh, Some("refresh")) => Ok((issued_at, exp)),
        (Use::Access, Some(_)) => Err("not an access token"),
        (Use::Refresh, _) => Err("not a refresh token"),
    }
}

async fn served(instance: &Instance, key: &LegacyKey) -> Result<TenantEntry, AuthenticateError> {
    let entry = match key.tenant.parse::<TenantId>() {
        Ok(id) => instance.directory().tenant(id).await?,
        Err(_) => instance.directory().tenant_by_slug(&key.tenant).await?,
    };
    let entry = entry.filter(|entry| entry.state == TenantState::Active);
    entry.ok_or(AuthenticateError::denied("tenant not active"))
}

/// Whether a token is the tenant's: it names it as it was or is called, or names none.
fn is_of(key: &LegacyKey, token: &Foreign<'_>, entry: &TenantEntry) -> bool {
    match token.claims.get("tenant_id") {
        None => true,
        Some(said) => said.as_str().is_some_and(|said| {
            key.old_tenant.as_deref() == Some(said) || said == entry.slug || said == entry.id.to_string()
        }),
    }
}

/// The roles that a token names, by their older names too.
fn roles(token: &Foreign<'_>) -> RoleSet {
    let names = claims::texts(&token.claims, "roles").into_iter().chain(claims::texts(&token.claims, "role"));
    let roles: Vec<Role> = names
        .filter_map(|name| match name {
            "user" => Some(Role::Staff),
            "admin" => Some(Role::TenantAdmin),
            name => name.parse().ok(),
        })
        .collect();
    RoleSet::of(&roles)
}
