//! Verifies access tokens of ours: form, type, key, algorithm, signature, issuer, audience, times, holder.

use chancery_crypto::{Jwk, PublicKey};
use data_encoding::BASE64URL_NOPAD;

use super::{
    FIRST_PARTY, MAX_SECONDS, MAX_TOKEN_BYTES, SKEW_SECONDS, TYPE, TokenAlgorithm,
    claims::{Claims, Header},
};
use crate::{
    Instance,
    access::{
        Role,
        authenticate::{AuthenticateError, TOKEN_EXPIRED},
    },
    ids::{ApiKeyId, SessionId, TenantId, TokenId, UserId},
    keyring::{KeyState, Managed, ring::RingVersion},
    sessions::Authentication,
    time::Timestamp,
};

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A person's.
    Person {
        /// Who.
        user: UserId,
        /// The session that it belongs to.
        session: Option<SessionId>,
        /// By what and when the person proved who it is.
        authentication: Authentication,
    },
    /// A program's, by its API key.
    Client(ApiKeyId),
}

impl Who {
    /// The person, if it is one.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Person { user, .. } => Some(*user),
            Self::Client(_) => None,
        }
    }
}

/// What a verified token says. Whether its holder still stands is another question.
#[derive(Debug)]
pub struct Verified {
    /// Whose it is.
    pub who: Who,
    /// Whose data.
    pub tenant: TenantId,
    /// The roles when it was issued.
    pub roles: Vec<Role>,
    /// The handle for revocation.
    pub jti: TokenId,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The end.
    pub expires_at: Timestamp,
    /// The thumbprint of the key that it is bound to: without a proof of that key it is worth nothing (RFC 9449).
    pub key: Option<String>,
}

/// Verifies an access token of ours.
///
/// The key is one of ours that the token's `kid` names; it alone says by which algorithm. Nothing of a token is followed or
/// looked up before its form is right, and an unknown `kid` has the keys looked up again at most once a second.
///
/// # Errors
///
/// [`AuthenticateError`].
pub async fn verify(instance: &Instance, text: &str) -> Result<Verified, AuthenticateError> {
    let invalid = AuthenticateError::invalid;
    let token = Jws::parse(text).map_err(invalid)?;
    let ring = instance.keyring_with(TenantId::PLATFORM, &token.header.kid).await?;
    // One that is staged here may be in force on a node that was quicker.
    let verifies = |version: &&RingVersion| version.state.opens() || version.state == KeyState::Pending;
    let version = ring.versions(Managed::Token).find(|version| version.key_id == token.header.kid).filter(verifies);
    let public = version.and_then(|version| version.public.as_ref()).ok_or(invalid("unknown token key"))?;
    token.check(public, &instance.settings().issuer, instance.now()).map_err(AuthenticateError::of_token)
}

/// Three parts of strict base64url, short enough.
pub(crate) fn check_form(text: &str) -> Result<(), &'static str> {
    parts(text).map(drop)
}

pub(super) fn parts(text: &str) -> Result<[&str; 3], &'static str> {
    if text.len() > MAX_TOKEN_BYTES {
        return Err("token too long");
    }
    let mut parts = text.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("malformed token");
    };
    let strict = |part: &&str| BASE64URL_NOPAD.decode(part.as_bytes()).is_ok_and(|bytes| !bytes.is_empty());
    let all = [header, payload, signature];
    if all.iter().all(strict) { Ok(all) } else { Err("malformed token") }
}

/// A compact JWS, taken apart. Nothing of it is believed yet.
struct Jws<'a> {
    header: Header,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    fn parse(text: &'a str) -> Result<Self, &'static str> {
        let [header, payload, signature] = parts(text)?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| "malformed token");
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| "token header")?;
        // RFC 8725 §3.11: the type is checked before anything else of the token is believed.
        if !(header.typ.eq_ignore_ascii_case(TYPE) || header.typ.eq_ignore_ascii_case("application/at+jwt")) {
            return Err("token type");
        }
        if !is_thumbprint(&header.kid) {
            return Err("token key id");
        }
        let (payload, signature) = (decode(payload)?, decode(signature)?);
        let signed = text.rsplit_once('.').map_or("", |(signed, _)| signed);
        Ok(Self { header, signed, payload, signature })
    }

    /// Checks it against the key that its `kid` names.
    fn check(&self, public: &Jwk, issuer: &str, now: Timestamp) -> Result<Verified, &'static str> {
        let algorithm = TokenAlgorithm::of(public).ok_or("token key signs no tokens")?;
        if !algorithm.is_called(&self.header.alg) {
            return Err("token algorithm is not that of the key");
        }
        let key = PublicKey::try_from(public).map_err(|_| "token key")?;
        if !key.verify(algorithm.maths(), self.signed.as_bytes(), &self.signature) {
            return Err("token signature");
        }
        let claims: Claims = serde_json::from_slice(&self.payload).map_err(|_| "token claims")?;
        if claims.iss != issuer || claims.aud != issuer {
            return Err("token of another issuer or for another audience");
        }
        check_times(&claims, now.as_seconds())?;
        if claims.kind != "access" {
            return Err("not an access token");
        }
        Ok(Verified {
            who: holder(&claims)?,
            tenant: claims.tenant_id,
            roles: claims.roles,
            jti: claims.jti,
            issued_at: Timestamp::from_seconds(claims.iat),
            expires_at: Timestamp::from_seconds(claims.exp),
            key: claims.cnf.map(|confirmation| confirmation.jkt),
        })
    }
}

/// Whether a `kid` can be one of ours: SHA-256 in base64url. Anything else costs no look-up.
fn is_thumbprint(kid: &str) -> bool {
    BASE64URL_NOPAD.decode(kid.as_bytes()).is_ok_and(|bytes| bytes.len() == 32)
}

/// Times are compared with the `Clock` port, not with the system's clock.
fn check_times(claims: &Claims, now: i64) -> Result<(), &'static str> {
    if claims.exp <= now {
        return Err(TOKEN_EXPIRED);
    }
    if claims.iat > now + SKEW_SECONDS || claims.nbf.is_some_and(|start| start > now + SKEW_SECONDS) {
        return Err("token of the future");
    }
    if claims.exp.saturating_sub(claims.iat) > MAX_SECONDS {
        return Err("token lives too long");
    }
    Ok(())
}

/// Who holds it: a person with a token of the first party, or a program with one of its own.
fn holder(claims: &Claims) -> Result<Who, &'static str> {
    if claims.client_id == FIRST_PARTY {
        let user = claims.sub.parse().map_err(|_| "token subject is no user")?;
        let at = claims.auth_time.ok_or("token without auth_time")?;
        let authentication = Authentication { methods: claims.amr.clone(), at: Timestamp::from_seconds(at) };
        return Ok(Who::Person { user, session: claims.sid, authentication });
    }
    if claims.sub != claims.client_id || claims.sid.is_some() {
        return Err("token subject is not its client");
    }
    claims.sub.parse().map(Who::Client).map_err(|_| "token client is no API key")
}

#[cfg(test)]
mod tests;
