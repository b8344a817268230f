//! Proofs that a client holds the private key to which its tokens are bound (RFC 9449): a stolen token without it is worth nothing.

use async_trait::async_trait;
use chancery_crypto::{Jwk, PublicKey, Secret, sha256};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::{SKEW_SECONDS, TokenAlgorithm, verify::parts};
use crate::{
    Instance, TenantId,
    instance::{Failure, fails},
    store::{StoreError, Tx},
    time::Timestamp,
};

/// The media type in `typ` (RFC 9449 §4.2).
const TYPE: &str = "dpop+jwt";
/// How old a proof may be, in seconds.
const MAX_AGE_SECONDS: i64 = 60;
/// For how long a used proof is remembered: longer than it is accepted on the clock of any node.
const KEPT_SECONDS: i64 = MAX_AGE_SECONDS + 4 * SKEW_SECONDS;
/// The longest `jti`, in bytes.
const MAX_JTI: usize = 256;

/// Remembers which proofs were used.
#[async_trait]
pub trait ProofWrites {
    /// Notes that a proof is used: [`StoreError::Changed`]`("proof")` if it was before.
    async fn use_proof(&mut self, digest: &[u8; 32], expires_at: Timestamp) -> Result<(), StoreError>;
    /// Forgets what expired before `now`.
    async fn forget_proofs(&mut self, now: Timestamp) -> Result<(), StoreError>;
}

/// A proof as it came in, and the request that it came with.
#[derive(Debug)]
pub struct PresentedProof {
    /// The compact JWS of the header `DPoP`.
    pub text: Secret<String>,
    /// The request's method.
    pub method: String,
    /// The request's path.
    pub path: String,
}

/// Why a proof is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    /// It is not valid; the reason is for our log only.
    #[error("the proof is not valid: {0}")]
    Invalid(&'static str),
    /// Whether it was used before could not be found out.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ProofError);

/// The header (RFC 9449 §4.2). Nothing else may be in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
}

/// The claims that count. Others may be there.
#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    #[serde(default)]
    ath: Option<String>,
}

/// A key that a client has proved to hold, where a token is to be bound to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// Its RFC 7638 thumbprint.
    pub thumbprint: String,
    /// What its proof is remembered by.
    digest: [u8; 32],
}

impl HeldKey {
    /// Uses the proof up, in the commit of what it is for: [`StoreError::Changed`]`("proof")` if it was used before.
    pub(crate) async fn take(&self, rows: &mut (dyn Tx + '_), now: Timestamp) -> Result<(), StoreError> {
        rows.forget_proofs(now).await?;
        rows.use_proof(&self.digest, now.plus_seconds(KEPT_SECONDS)).await
    }
}

/// Checks a proof that comes without a token, for one that is to be given. It is not used up yet: strangers write nothing.
///
/// # Errors
///
/// Why it is not valid, for our log only.
pub fn check_proof(instance: &Instance, proof: &PresentedProof) -> Result<HeldKey, &'static str> {
    check(proof, None, &instance.settings().issuer, instance.now())
}

/// Takes a proof, once, for the use of an access token of `tenant` that is bound to `key`, by its thumbprint. A proof of another key
/// writes nothing.
///
/// # Errors
///
/// [`ProofError`].
pub(crate) async fn take_proof(
    instance: &Instance,
    tenant: TenantId,
    proof: &PresentedProof,
    access_token: &Secret<String>,
    key: &str,
) -> Result<(), ProofError> {
    let now = instance.now();
    let held = check(proof, Some(access_token.expose().as_str()), &instance.settings().issuer, now);
    let held = held.map_err(ProofError::Invalid)?;
    if held.thumbprint != key {
        return Err(ProofError::Invalid("proof of another key"));
    }
    take(instance, tenant, &held).await
}

/// Uses a proof up, in a commit of its own.
pub(crate) async fn take(instance: &Instance, tenant: TenantId, held: &HeldKey) -> Result<(), ProofError> {
    let mut tx = instance.store().begin(tenant).await?;
    match held.take(&mut *tx, instance.now()).await {
        Ok(()) => Ok(tx.commit().await?),
        Err(StoreError::Changed(_)) => Err(ProofError::Invalid("proof used before")),
        Err(error) => Err(error.into()),
    }
}

fn check(
    proof: &PresentedProof,
    access_token: Option<&str>,
    issuer: &str,
    now: Timestamp,
) -> Result<HeldKey, &'static str> {
    let text = proof.text.expose().as_str();
    let [header, payload, signature] = parts(text).map_err(|_| "malformed proof")?;
    let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| "malformed proof");
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| "proof header")?;
    if header.typ != TYPE {
        return Err("proof type");
    }
    let algorithm = TokenAlgorithm::of(&header.jwk).ok_or("proof key signs nothing here")?;
    if !algorithm.is_called(&header.alg) {
        return Err("proof algorithm is not that of its key");
    }
    let key = PublicKey::try_from(&header.jwk).map_err(|_| "proof key")?;
    let signed = text.rsplit_once('.').map_or("", |(signed, _)| signed);
    if !key.verify(algorithm.maths(), signed.as_bytes(), &decode(signature)?) {
        return Err("proof signature");
    }
    let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| "proof claims")?;
    if claims.htm != proof.method || !is_target(&claims.htu, issuer, &proof.path) {
        return Err("proof for another request");
    }
    let age = now.as_seconds().saturating_sub(claims.iat);
    if !(-SKEW_SECONDS..=MAX_AGE_SECONDS).contains(&age) {
        return Err("proof of another time");
    }
    let of_token = access_token.map(|text| BASE64URL_NOPAD.encode(&sha256(text.as_bytes())));
    if of_token.is_some() && claims.ath != of_token {
        return Err("proof for another token");
    }
    if claims.jti.is_empty() || claims.jti.len() > MAX_JTI {
        return Err("proof id");
    }
    let thumbprint = header.jwk.thumbprint();
    let digest = sha256(format!("{thumbprint}.{}", claims.jti).as_bytes());
    Ok(HeldKey { thumbprint, digest })
}

/// Whether `htu` is the address of this path here: scheme and host in any case, a scheme's own port or none, and whatever query
/// and fragment (RFC 9449 §4.3).
fn is_target(htu: &str, issuer: &str, path: &str) -> bool {
    let plain = htu.split(['?', '#']).next().unwrap_or(htu);
    let wanted = format!("{}{path}", issuer.trim_end_matches('/'));
    match (origin_and_path(plain), origin_and_path(&wanted)) {
        (Some(said), Some(wanted)) => said == wanted,
        _ => false,
    }
}

fn origin_and_path(address: &str) -> Option<(String, &str)> {
    let (scheme, rest) = address.split_once("://")?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end)?;
    let scheme = scheme.to_ascii_lowercase();
    let port = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    Some((format!("{scheme}://{host}"), if path.is_empty() { "/" } else { path }))
}

#[cfg(test)]
mod tests;
